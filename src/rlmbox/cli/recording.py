"""`resume`, `runs`, `show`, `replay`, `fork`, `export` and `rm`: what is done with recorded runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from rlmbox.budget.limits import Limits
from rlmbox.cli.approving import approval_of
from rlmbox.cli.asking import exported_where, print_run
from rlmbox.cli.cell_options import cell_limits
from rlmbox.cli.failing import report
from rlmbox.cli.keeping import key_source
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.errors import ConfigError, StoreError
from rlmbox.events import CellDiffered, Event, Hook, LoopEntered, SessionStarted, to_json
from rlmbox.guard import Guard
from rlmbox.guard.visible import printable
from rlmbox.record.continuing import begun
from rlmbox.record.export import FORMATS, write_evidence
from rlmbox.record.hiding import whole
from rlmbox.record.journal import Store
from rlmbox.record.run import Run
from rlmbox.record.stores import default_path, open_store
from rlmbox.record.summary import RunSummary
from rlmbox.rlm import RLM
from rlmbox.rlm.recorded_runs import limits_of
from rlmbox.sandboxes.registry import AUTO, BACKENDS, backend
from rlmbox.sync import run_blocking
from rlmbox.types import Answer

if TYPE_CHECKING:
    from rlmbox.telemetry import Telemetry  # needs the extra [otel]

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_MOST_SHOWN = 100
_NO_IMAGE = (
    "--freeze: an image of the container would hold nothing of the run, whose state is in memory; "
    "for its files use --evidence; to bring the state back, rlmbox replay {run}, "
    "or rlmbox fork {run} --at TURN --edit FILE with a cell that prints what you look for"
)


def resume_and_print(
    run_id: str,
    store: Path | None,
    *,
    retriever: str | None,
    prices: Path | None,
    approve: str | None,
    otel: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Run `rlmbox resume`; return the exit code."""

    def run(hooks: Sequence[Hook]) -> Answer:
        kept = opened(store)
        events = whole(_events_of(kept, run_id))
        hooks = [_said_difference(), *hooks]
        with exported_where(Console(stderr=True), wanted=otel) as telemetry:
            rlm = _rlm_of(
                events, run_id, kept, hooks, retriever=retriever, prices=prices, approve=approve, telemetry=telemetry
            )
            return rlm.resume(run_id)

    asks = approve not in (None, "never")
    return print_run(run, as_json=as_json, quiet=quiet, debug=debug, asks=asks)


def replay_and_print(run_id: str, store: Path | None, *, as_json: bool, quiet: bool, debug: bool) -> int:
    """Run `rlmbox replay`, which asks no model and needs no key; return the exit code."""

    def run(hooks: Sequence[Hook]) -> Answer:
        kept = opened(store)
        sandbox = _sandbox_of(_events_of(kept, run_id), run_id)
        packages = begun(_events_of(kept, run_id), run_id).settings.get("packages")
        given = tuple(str(name) for name in packages) if isinstance(packages, list) else ()
        checks = _checks_types(begun(_events_of(kept, run_id), run_id).settings, sandbox)
        asked = RLM(sandbox=sandbox, packages=given, type_check=checks, store=kept, hooks=[_said_difference(), *hooks])
        return asked.replay(run_id)

    return print_run(run, as_json=as_json, quiet=quiet, debug=debug)


@dataclass(frozen=True, slots=True)
class ForkLimits:
    """The limits of a fork that were given; None for as it was recorded. The names are those of `Limits`.

    Attributes:
        cell_timeout_s: Seconds that a cell may run.
        memory_mb: MiB that a cell may use.
    """

    cost_limit_usd: str | None = None
    max_turns: int | None = None
    max_depth: int | None = None
    max_subcalls: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None
    last_answer: bool | None = None
    cell_timeout_s: float | None = None
    memory_mb: float | None = None

    def instead_of(self, recorded: Limits) -> Limits | None:
        """Return what the new run may use, or None where nothing was given.

        Args:
            recorded: The limits of the recorded run.

        Raises:
            ConfigError: A limit is out of its range.
        """
        given: dict[str, Any] = {name: value for name, value in asdict(self).items() if value is not None}
        cell_timeout_s, memory_mb = given.pop("cell_timeout_s", None), given.pop("memory_mb", None)
        if cell_timeout_s is not None or memory_mb is not None:
            given["cell"] = cell_limits(cell_timeout_s, memory_mb, recorded.cell)
        return replace(recorded, **given) if given else None


def fork_and_print(
    run_id: str,
    store: Path | None,
    *,
    at: int,
    edit: Path | None,
    new_id: str | None,
    model: str | None,
    limits: ForkLimits,
    retriever: str | None,
    prices: Path | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Run `rlmbox fork`; return the exit code."""

    def run(hooks: Sequence[Hook]) -> Answer:
        kept = opened(store)
        events = whole(_events_of(kept, run_id))
        code = _text_of(edit) if edit is not None else None
        rlm = _rlm_of(events, run_id, kept, hooks, retriever=retriever, prices=prices, approve=None, model=model)
        own = limits.instead_of(limits_of(begun(events, run_id).settings))
        return rlm.fork(run_id, at=at, code=code, limits=own, new_id=new_id)

    return print_run(run, as_json=as_json, quiet=quiet, debug=debug)


def runs_and_print(store: Path | None, *, status: str | None, text: str | None, as_json: bool, debug: bool) -> int:
    """Run `rlmbox runs`; return the exit code."""

    def work() -> None:
        found = run_blocking(opened(store).runs)
        chosen = [
            each
            for each in found
            if status in (None, each.status) and (text is None or text.casefold() in each.question.casefold())
        ]
        if as_json:
            print_json([to_json(each) for each in chosen])
        else:
            _print_table(chosen)

    return _printed(work, as_json=as_json, debug=debug)


def show_and_print(
    run_id: str,
    store: Path | None,
    *,
    turn: int | None,
    evidence: bool,
    folder: Path | None,
    freeze: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Run `rlmbox show`; return the exit code."""

    def work() -> None:
        if freeze:
            raise ConfigError(_NO_IMAGE.format(run=run_id))
        run = _run_of(run_id, opened(store))
        if evidence or folder is not None:
            written = write_evidence(run, folder or Path("rlm_traces", run_id), doctor=_doctor_of(run))
            print("\n".join(str(path) for path in written))  # noqa: T201
        elif turn is not None:
            _print_turn(run, turn, as_json=as_json)
        elif as_json:
            shown = {**asdict(run.summary), "error": run.error, "turns": run.turns, "answer": run.answer}
            print_json(to_json(shown))
        else:
            print(run)  # noqa: T201

    return _printed(work, as_json=as_json, debug=debug)


def export_and_print(run_id: str, store: Path | None, *, form: str, as_json: bool, debug: bool) -> int:
    """Run `rlmbox export`; return the exit code."""

    def work() -> None:
        if form not in FORMATS:
            raise ConfigError(f"there is no format {form!r} to export a run in; there are {', '.join(FORMATS)}")
        lines = FORMATS[form](_run_of(run_id, opened(store)))
        if as_json:
            print(json.dumps({"run_id": run_id, "format": form, "text": "\n".join(lines)}))  # noqa: T201
            return
        for line in lines:
            sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
        sys.stdout.flush()

    return _printed(work, as_json=as_json, debug=debug)


def remove_and_print(run_ids: Sequence[str], store: Path | None, *, as_json: bool, debug: bool) -> int:
    """Run `rlmbox rm`; return the exit code."""

    def work() -> None:
        kept = opened(store)
        for run_id in run_ids:
            begun(_events_of(kept, run_id), run_id)
        for run_id in run_ids:
            run_blocking(lambda name=run_id: kept.remove(name))  # type: ignore[misc]
        if as_json:
            print(json.dumps({"removed": list(run_ids)}))  # noqa: T201

    return _printed(work, as_json=as_json, debug=debug)


def opened(store: Path | None) -> Store:
    """Return the store that was named, or the user's own, which has to be there.

    Args:
        store: Its path, or None.

    Raises:
        StoreError: There is none, or it cannot be opened.
    """
    path = default_path() if store is None else store
    if not path.exists():
        raise StoreError(f"there are no recorded runs in {path}; name another file with --store")
    found = open_store(path)
    assert found is not None  # noqa: S101 - it was named
    return found


def _events_of(store: Store, run_id: str) -> Sequence[Event]:
    return run_blocking(lambda: store.read(run_id))


def _rlm_of(
    events: Sequence[Event],
    run_id: str,
    store: Store,
    hooks: Sequence[Hook],
    *,
    retriever: str | None,
    prices: Path | None,
    approve: str | None,
    model: str | None = None,
    telemetry: Telemetry | bool = False,
) -> RLM:
    """Return an RLM as the one that a recorded run was begun with."""
    made: Mapping[str, Any] = begun(events, run_id).settings
    if made.get("tools"):
        names = ", ".join(made["tools"])
        raise ConfigError(f"the run has tools of a program ({names}); go on with it there: rlm.resume({run_id!r})")
    had_index: Mapping[str, Any] | None = made.get("retriever")
    if had_index and retriever is None:
        raise ConfigError(f"the run searches an index ({had_index['name']}); name it with --retriever")
    root = model or made["model"]
    sub = made["sub_model"] if made["sub_model"] != made["model"] else None
    sandbox = _sandbox_of(events, run_id)
    return RLM(
        root,
        sub_model=sub,
        fallback_model=made["fallback_model"],
        base_url=made["base_url"],
        api_key=key_source(root),
        sandbox=sandbox,
        packages=made["packages"],
        type_check=_checks_types(made, sandbox),
        limits=limits_of(made),
        prices=prices or made.get("prices"),
        windows=_windows_of(made, (root, sub, made["fallback_model"])),
        request_timeout_s=made.get("request_timeout_s"),
        hooks=hooks,
        store=store,
        retriever=retriever if had_index else None,  # one that is set here is not for a run that had none
        seed=made["seed"],
        strict=made["strict"],
        auto_finalize_var=made["auto_finalize_var"],
        instructions=made["instructions"],
        prompts=made["prompts"],
        approve=approval_of(approve, Console(stderr=True)),
        telemetry=telemetry,
        require_repl_before_final=made["require_repl_before_final"],
        require_subcall_before_final=made["require_subcall_before_final"],
        require_seen_figures=bool(made.get("require_seen_figures")),
        invalid_response_limit=made["invalid_response_limit"],
        fallback_code=made["fallback_code"],
        max_history_tokens=made.get("max_history_tokens"),
        compaction="model" if made.get("compaction") == "model" else "digest",
        guard=_guard_of(made),
        record_secrets=bool(made.get("record_secrets")),
    )


def _guard_of(made: Mapping[str, Any]) -> Guard:
    """Return the guard that a run was begun with; of one from before guards were recorded, the usual one."""
    found = made.get("guard") or {"policy": "redact"}
    return Guard(found["policy"], per_model=found.get("per_model"), per_path=found.get("per_path"))


def _windows_of(made: Mapping[str, Any], models: Sequence[str | None]) -> int | Mapping[str, int] | None:
    """Return the windows that a run was begun with, of the models that it goes on with."""
    windows = made.get("windows")
    if isinstance(windows, Mapping):
        return {name: tokens for name, tokens in windows.items() if name in models}
    return windows


def _sandbox_of(events: Sequence[Event], run_id: str) -> str:
    """Return the sandbox that a run was in, also where `auto` had chosen it."""
    made = begun(events, run_id).settings
    # A session whose text was sent with the question has its sandbox when it enters the loop.
    ran_in = next(
        (e.sandbox for e in reversed(events) if isinstance(e, SessionStarted | LoopEntered) and not e.depth), None
    )
    names = {each.name for each in BACKENDS if each.is_isolated}
    named = str(made.get("sandbox") or "auto")
    return ran_in if ran_in in names and ran_in != named.partition(":")[0] else named


def _checks_types(made: Mapping[str, Any], sandbox: str) -> bool:
    """Return whether a run's cells were checked, in a sandbox that can."""
    return bool(made.get("type_check")) and (sandbox == AUTO or backend(sandbox.partition(":")[0]).checks_types)


def _run_of(run_id: str, store: Store) -> Run:
    events = _events_of(store, run_id)
    begun(events, run_id)
    return Run(tuple(events))


def _doctor_of(run: Run) -> str:
    """Return what `rlmbox doctor` prints here of the sandbox that a run was in."""
    from rlmbox.cli.diagnosing import table_of

    name = run.summary.sandbox
    return table_of([name]) if name in {each.name for each in BACKENDS} else ""


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _said_difference() -> Hook:
    console = Console(stderr=True)

    def say(event: Event) -> None:
        if isinstance(event, CellDiffered):
            line = f"note: the cell of turn {event.cell.turn} printed otherwise than it did when it was recorded"
            console.print(Text(line, style="yellow"))

    return say


def _print_table(runs: Sequence[RunSummary]) -> None:
    headings = ("run", "status", "cost", "age", "model", "question")
    rows = [
        (each.run_id, each.status, f"${each.cost_usd:.4f}", _age(each.changed_s), each.model, each.question)
        for each in runs[:_MOST_SHOWN]
    ]
    print_table(headings, [[" ".join(cell.split()) for cell in row] for row in rows], folds=("question",))
    if len(runs) > _MOST_SHOWN:
        print(f"and {len(runs) - _MOST_SHOWN} older ones; --json shows all")  # noqa: T201


def _age(at_s: float) -> str:
    age_s = max(time.time() - at_s, 0.0)
    return next((f"{age_s // size_s:.0f} {unit}" for unit, size_s in _UNITS if age_s >= size_s), f"{age_s:.0f} s")


def _print_turn(run: Run, number: int, *, as_json: bool) -> None:
    turn = next((each for each in run.turns if each.number == number), None)
    if turn is None:
        raise ConfigError(f"the run {run.run_id} has no turn {number}; it has {len(run.turns)}")
    if as_json:
        print_json(to_json(turn))
        return
    parts = [f"turn {turn.number}, ${turn.cost_usd:.4f}", turn.reply]
    for cell, execution in zip(turn.cells, turn.executions, strict=False):
        error = execution.error.traceback if execution.error else ""
        parts += [f"--- ran, {execution.duration_s:.2f} s:", cell.code, "--- gave:", execution.stdout + error]
    if turn.observation is not None:
        parts += ["--- the model was told:", turn.observation.text]
    print("\n".join(printable(part.rstrip("\n")) for part in parts if part.strip()))  # noqa: T201


def _printed(work: Callable[[], None], *, as_json: bool, debug: bool) -> int:
    """Do what a command does, and return its exit code."""
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    return 0
