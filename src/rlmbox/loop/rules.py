"""Rules that an answer must pass: each takes the question and the answer, and accepts it or says what is wrong."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread

from rlmbox.errors import ConfigError, RLMError
from rlmbox.loop.answers import AnswerRule
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.task import Task

Validator = Callable[[FinalAnswer], str | Awaitable[str | None] | None]
"""A user's check of an answer: None accepts it, a string says what is wrong with it."""

_FIGURE = re.compile(r"\d[\d,.]*\d|\d{2,}")


def validated_by(check: Validator) -> AnswerRule:
    """Return the rule of a user's check.

    Args:
        check: Takes the answer (`text`, `value`, `sources`); plain or async.
    """

    async def rule(_task: Task, answer: FinalAnswer) -> str | None:
        try:
            if inspect.iscoroutinefunction(check):
                found: Any = check(answer)
            else:  # it may take its time, and must not hold up everything else
                found = await anyio.to_thread.run_sync(check, answer, abandon_on_cancel=True)
            wrong = await found if inspect.isawaitable(found) else found
        except RLMError:
            raise
        except Exception as error:
            raise ConfigError(f"validate raised {type(error).__name__}: {error}") from error
        if not isinstance(wrong, str | None):
            raise ConfigError(f"validate returns None or what is wrong, a text, not {wrong!r}"[:300])
        return f"The answer was not accepted: {wrong}" if wrong else None

    return rule


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
    """Refuse, once, an answer with a figure that no cell has printed and no code computed."""
    if task.corrections or not any(turn.executions for turn in task.turns):
        return None
    seen = "\n".join(
        part
        for turn in task.turns
        for part in (turn.reply, *(e.stdout + (e.value_repr or "") for e in turn.executions))
    )
    seen = f"{task.question}\n{seen}".replace(",", "")
    unseen = [figure for figure in _FIGURE.findall(answer.text) if figure.replace(",", "").rstrip(".") not in seen]
    if not unseen or not isinstance(answer.value, str):
        return None
    return f"No cell has printed {unseen[0]}. Compute it with code, print it, and answer again."
