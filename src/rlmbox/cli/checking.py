"""`rlmbox doctor --model NAME`: one tiny question end to end, each step of its way named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rlmbox.budget.limits import Limits
from rlmbox.cli.asking import windows_of
from rlmbox.cli.failing import report
from rlmbox.cli.keeping import key_source
from rlmbox.cli.printing import print_json
from rlmbox.config import OFFLINE_MODEL
from rlmbox.errors import ConfigError, LimitExceeded, RLMError, SandboxError
from rlmbox.events import CellExecuted, Event, SessionStarted, SubcallFinished
from rlmbox.guard.visible import printable
from rlmbox.models.checking import ModelStep, check_reachable
from rlmbox.models.prices import load_overrides
from rlmbox.rlm import RLM
from rlmbox.sync import run_blocking

_CODE = "reply = llm_query('Reply with the one word: ready')\nFINAL(reply)"
_QUESTION = (
    f"This checks that everything works. Reply with exactly this code and nothing else:\n\n```repl\n{_CODE}\n```"
)
_TEXT = "This text is not needed."
_COST_LIMIT_USD = "0.10"
_LIMITS = Limits(max_turns=3, max_subcalls=3, max_seconds=300, max_output_tokens=4_096, last_answer=False)
_MARKS: Mapping[bool | None, tuple[str, str]] = {True: ("ok", "green"), False: ("no", "red"), None: ("?", "yellow")}
_EXIT_CODES = {"key": 2, "price": 2, "window": 2, "cell": 4}


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The model that is checked, as the command line names it.

    Attributes:
        name: The full name.
        base_url: Where it is; None for its own address.
        prices: The user's own prices.
        windows: The values of `--window`.
        sandbox: Where the cell runs.
    """

    name: str
    base_url: str | None = None
    prices: Path | None = None
    windows: tuple[str, ...] = ()
    sandbox: str = "auto"


def check_and_print(options: ModelOptions, *, as_json: bool, debug: bool) -> int:
    """Run `rlmbox doctor --model`; return the exit code."""
    console, found = Console(), list[ModelStep]()

    def note(step: ModelStep) -> None:
        found.append(step)
        if not as_json:
            mark, style = _MARKS[step.ok]
            line = (f"{mark:<3}", style), (f"{step.name:<9}", "bold"), printable(step.found)
            console.print(Text.assemble(*line), soft_wrap=True)

    async def check() -> None:
        async for step in steps(options):
            note(step)

    try:
        run_blocking(check)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    code = exit_code(found)
    if as_json:
        rows = [{"name": step.name, "ok": step.ok, "found": step.found} for step in found]
        print_json({"model": options.name, "ok": code == 0, "steps": rows})
    return code


def exit_code(found: Sequence[ModelStep]) -> int:
    """Return the exit code: 0 where no step failed, else 2 for input, 3 for the provider, 4 for the sandbox."""
    failed = next((step for step in found if step.ok is False), None)
    return 0 if failed is None else _EXIT_CODES.get(failed.name, 3)


async def steps(options: ModelOptions) -> AsyncIterator[ModelStep]:
    """Yield what each step found as soon as it is known; a step that fails ends those that need it.

    Args:
        options: What is checked.

    Raises:
        ConfigError: An option is wrong.
    """
    if options.name == OFFLINE_MODEL:
        raise ConfigError(f"{OFFLINE_MODEL} needs nothing that could be checked; name the model that you will ask")
    windows = windows_of(options.windows)
    window = windows.get(options.name) if isinstance(windows, dict) else windows
    prices = load_overrides(options.prices) if options.prices is not None else {}
    failed, keys = False, key_source(options.name)
    async for step in check_reachable(
        options.name, base_url=options.base_url, api_key=keys, prices=prices, window_tokens=window
    ):
        failed = failed or (step.ok is False and step.name != "window")
        yield step
    if not failed:
        for step in await _end_to_end(options, window):
            yield step


async def _end_to_end(options: ModelOptions, window: int | None) -> list[ModelStep]:
    """Have the model write a cell that makes a sub-call, and return the results of both."""
    events: list[Event] = []
    error: RLMError | None = None
    try:
        async with RLM(
            options.name,
            base_url=options.base_url,
            api_key=key_source(options.name),
            prices=options.prices,
            windows=window,
            sandbox=options.sandbox,
            hooks=[events.append],
        ) as rlm:
            limits = _LIMITS if rlm.model.price is None else replace(_LIMITS, cost_limit_usd=_COST_LIMIT_USD)
            await rlm.aask(_QUESTION, _TEXT, limits=limits)
    except RLMError as raised:
        error = raised
    return _cell_steps(events, error)


def _cell_steps(events: Sequence[Event], error: RLMError | None) -> list[ModelStep]:
    """Return the results of the cell and of its sub-call."""
    cells = [event.execution for event in events if isinstance(event, CellExecuted) and event.cell.by == "model"]
    asked = [event for event in events if isinstance(event, SubcallFinished)]
    if isinstance(error, SandboxError):
        return [ModelStep("cell", False, str(error))]
    if not cells and error is not None and not isinstance(error, LimitExceeded):
        return [ModelStep("cell", False, f"none ran: {error}")]
    if not cells:
        return [ModelStep("cell", None, "the model wrote none though it was asked to, so it may be too small for this")]
    if not asked:
        wrong = next((each.error for each in cells if each.error is not None), None)
        said = f"the model's code failed ({wrong.type}: {wrong.message})" if wrong else "the model wrote other code"
        return [ModelStep("cell", None, f"{said}, so it may be too small for this")]
    cell = ModelStep("cell", True, f"the model's code ran, in {_sandbox(events)}")
    good = next((event for event in asked if event.ended == "done"), None)
    if good is None:
        return [cell, ModelStep("sub-call", False, asked[0].error or "it was not answered")]
    return [cell, ModelStep("sub-call", True, f'it answered "{" ".join(good.text.split())[:40]}"')]


def _sandbox(events: Sequence[Event]) -> str:
    return next((event.sandbox for event in events if isinstance(event, SessionStarted)), "the sandbox")
