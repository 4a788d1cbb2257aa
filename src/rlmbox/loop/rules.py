"""Rules that an answer must pass: each receives the question and the answer, and accepts it or returns a correction."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import anyio.from_thread
import anyio.to_thread

from rlmbox.errors import ConfigError, RLMError, is_interrupt
from rlmbox.loop.answers import AnswerRule
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.task import Task
from rlmbox.types import Execution

Validator = Callable[..., str | Awaitable[str | None] | None]
"""A user's check of an answer: None accepts it, a string says what is wrong with it.

It takes the answer; or the answer and `ask`, by which it asks a model: `ask(prompt)` returns the reply, and
`ask(prompt, schema={...})` a value that fits the JSON Schema. An async check awaits it.
"""

_FIGURE = re.compile(r"(?<![\w.,])\d(?:[\d,.]*\d)?")
_FIGURE_CHARS = 100
_COMPLAINT_CHARS = 100_000
_UNSEEN = "No cell has printed {figure}, which is in your answer. Compute it with code, print it, and answer again."


def validated_by(check: Validator) -> AnswerRule:
    """Return the rule of a user's check.

    Args:
        check: Called with the answer (`text`, `value`, `sources`), and `ask` if it has a second parameter; or async.

    Raises:
        ConfigError: It cannot be called like that.
    """
    takes_ask = _takes_ask(check)
    call = getattr(check, "__call__", check)  # noqa: B004 - an object whose class has an async __call__
    is_async = inspect.iscoroutinefunction(check) or inspect.iscoroutinefunction(call)

    async def rule(task: Task, answer: FinalAnswer) -> str | None:
        async def ask(prompt: str, schema: dict[str, Any] | None = None) -> Any:
            assert task.ask is not None  # noqa: S101 - set before a question can have an answer
            return await task.ask(prompt, schema)

        def ask_and_wait(prompt: str, schema: dict[str, Any] | None = None) -> Any:
            return anyio.from_thread.run(ask, prompt, schema)

        try:
            if is_async:
                found: Any = check(answer, ask) if takes_ask else check(answer)
            else:  # it may take long, and must not block the event loop
                arguments = (answer, ask_and_wait) if takes_ask else (answer,)
                found = await anyio.to_thread.run_sync(check, *arguments, abandon_on_cancel=True)
            wrong = await found if inspect.isawaitable(found) else found
        except RLMError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise ConfigError(f"validate raised {type(error).__name__}: {error}") from error
        if not isinstance(wrong, str | None):
            raise ConfigError(f"validate returns None or what is wrong, a text, not {wrong!r}"[:300])
        if wrong and len(wrong) > _COMPLAINT_CHARS:  # no model reads on
            wrong = f"{wrong[:_COMPLAINT_CHARS]} … ({len(wrong):,} characters)"
        return f"The answer was not accepted: {wrong}" if wrong else None

    rule.__name__ = str(getattr(check, "__name__", type(check).__name__))  # its name in the record
    return rule


def validators_of(validate: Any) -> list[AnswerRule]:
    """Return the rules of a user's checks.

    Args:
        validate: One check, or several.

    Raises:
        ConfigError: One is not a function of an answer.
    """
    if callable(validate):
        return [validated_by(validate)]
    if not isinstance(validate, Iterable) or isinstance(validate, str | bytes):
        raise ConfigError(f"validate is a function that takes the answer, or several, not {validate!r}"[:300])
    return [validated_by(check) for check in validate]


def _takes_ask(check: Validator) -> bool:
    """Return True if a check takes `ask`: a second parameter without a default, or with that name."""
    if not callable(check):
        raise ConfigError(f"validate is a function that takes the answer, not {type(check).__name__}")
    try:
        parameters = list(inspect.signature(check).parameters.values())
    except (TypeError, ValueError):  # a C function without a signature
        return False
    by_position = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if not by_position and not any(each.kind is each.VAR_POSITIONAL for each in parameters):
        raise ConfigError("validate takes the answer; give its function a parameter for it")
    needed = [each for each in by_position if each.default is each.empty]
    if len(needed) > 2:
        raise ConfigError(f"validate takes the answer, or the answer and ask, not {len(needed)} arguments")
    return len(needed) == 2 or any(each.name == "ask" for each in by_position[1:2])


async def require_repl(task: Task, _answer: FinalAnswer) -> str | None:
    """Refuse an answer before any code has run."""
    if any(turn.executions for turn in task.turns):
        return None
    return "No code has run yet. Look at the text with code before you answer."


async def require_subcall(task: Task, _answer: FinalAnswer) -> str | None:
    """Refuse an answer before any other model was asked."""
    if task.has_asked():
        return None
    return "No passage was read yet. Give the passages that matter to llm_query before you answer."


async def figures_were_seen(task: Task, answer: FinalAnswer) -> str | None:
    """Refuse, once per question, an answer with a figure of the model's own that no cell has printed.

    A figure is the model's own if its last reply contains it as in the answer; one inserted by code was computed.
    Figures in the question and in what the model was told about the text are known. A figure counts as printed, too,
    if it was printed with more digits, or as a fraction where the answer has percent.
    """
    begins = _UNSEEN.partition("{")[0]
    if any(turn.observation is not None and begins in turn.observation.text for turn in task.turns):
        return None
    known = [task.message, *(given for turn in task.turns for e in turn.executions for given in _shown(e))]
    seen = {number for text in known for figure in set(_FIGURE.findall(text)) for number, _ in _readings(figure)}
    written = set(_FIGURE.findall(task.turns[-1].reply))
    for figure in _FIGURE.findall(answer.text):
        if figure in written and len(figure) > 1 and not _is_among(figure, seen):
            return _UNSEEN.format(figure=figure)
    return None


def _shown(execution: Execution) -> tuple[str, ...]:
    return (execution.stdout, execution.value_repr or "")


def _readings(figure: str) -> list[tuple[float, int]]:
    """Return the numbers that a figure may mean, each with its decimals: 1,234.5 has one, 1.234 may have two."""
    figure = figure[:_FIGURE_CHARS]
    found = [(float(re.sub(r"[,.]", "", figure)), 0)]
    head, separator, tail = figure.rpartition("." if figure.rfind(".") > figure.rfind(",") else ",")
    if not separator:
        return found
    decimal = (float(f"{re.sub('[,.]', '', head)}.{tail}"), len(tail))
    grouped = re.fullmatch(r"\d{1,3}([,.])\d{3}(?:\1\d{3})*", figure)
    return [decimal, *found] if grouped else [decimal]


def _is_among(figure: str, seen: set[float]) -> bool:
    for number, decimals in _readings(figure):
        near = 0.5 * 10.0**-decimals * (1 + 1e-9)
        shares = (100 * other for other in seen if not other.is_integer())
        if any(abs(other - number) <= near for other in (*seen, *shares)):
            return True
    return False
