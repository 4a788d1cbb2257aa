"""How a session ends: the answer that a model gives, in any of the ways it may give it.

In the order in which they count within a turn: a call of `FINAL`, `SUBMIT` or `FINAL_VAR` in code, the `answer`
dictionary made ready by code, the variable named by `auto_finalize_var`, a final tag in the reply's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlmbox.context import Context
from rlmbox.errors import ContextError, RLMError
from rlmbox.loop.observation import missing_variable
from rlmbox.reply.parse import Final, mentions_answer_dict, parse_reply
from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Cell, HostFunction, Source

MAX_SOURCES = 50
_QUOTED = re.compile(r"`([^`\n]{3,300})`|\"([^\"\n]{8,300})\"|“([^”\n]{8,300})”")


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """An answer that was given.

    Attributes:
        text: In words.
        value: As a JSON value.
        sources: What the model named as its sources, not yet checked.
    """

    text: str
    value: object
    sources: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class _Called:
    value: object = None
    variable: str | None = None
    sources: Sequence[Any] = ()


class AnswerRules:
    """The functions by which code ends a session, and what a turn came to.

    Args:
        auto_finalize_var: Name of a variable that ends the session as soon as code has set it to something.
        strict: Take a final tag by its letters.
    """

    def __init__(self, auto_finalize_var: str | None = None, *, strict: bool = False) -> None:
        self._auto = auto_finalize_var
        self._strict = strict
        self._called: _Called | None = None

    def functions(self) -> tuple[HostFunction, ...]:
        """Gives the functions, which the prompt describes in words."""
        return (
            HostFunction("FINAL", self._final, "ends with an answer"),
            HostFunction("SUBMIT", self._final, "ends with an answer"),
            HostFunction("FINAL_VAR", self._final_var, "ends with the value of a variable"),
        )

    async def of_turn(self, sandbox: Sandbox, cells: Sequence[Cell], final: Final | None) -> FinalAnswer | str | None:
        """Finds the answer that a turn gave.

        Args:
            sandbox: Where the turn's cells ran.
            cells: Those that ran.
            final: The final tag in the reply's text, or None where it does not count.

        Returns:
            The answer; or what to tell the model, where it named a variable that there is not; or None.
        """
        called, self._called = self._called, None
        if called is not None and called.variable is None:
            return FinalAnswer(in_words(called.value), called.value, called.sources)
        if called is not None:
            named = str(called.variable)
            ending = await _variable(sandbox, named, called.sources)
            written = any(re.search(rf"FINAL_VAR\(\s*['\"]{named}['\"]", cell.code) for cell in cells)
            # FINAL_VAR(result) passes what `result` holds; a word that no code has written is not a name.
            return ending if isinstance(ending, FinalAnswer) or written else FinalAnswer(named, named, called.sources)
        if any(mentions_answer_dict(cell.code) for cell in cells):
            answer = (await sandbox.execute(Cell("answer"))).value
            if isinstance(answer, Mapping) and answer.get("ready") is True:
                value = answer.get("content", "")
                return FinalAnswer(in_words(value), value)
        if self._auto is not None and any(self._auto in cell.code for cell in cells):
            ending = await _variable(sandbox, self._auto, ())
            if isinstance(ending, FinalAnswer) and ending.value not in (None, ""):
                return ending
        if final is None:
            return None
        if final.kind == "variable":
            return await _variable(sandbox, final.name or "", ())
        if final.text.isidentifier() and not self._strict and final.text in await sandbox.variables():
            # FINAL(result) beside code that set `result` means what it holds.
            return await _variable(sandbox, final.text, ())
        return FinalAnswer(final.text, final.value)

    async def last_word(self, sandbox: Sandbox, text: str, *, prose: bool) -> str | None:
        """Reads the answer out of the last reply of a session that a limit has ended; its code does not run.

        Args:
            sandbox: Where the session's variables are.
            text: The reply.
            prose: Whether words without a final tag are an answer, because one was asked for.
        """
        reply = parse_reply(text)
        if reply.final is None:
            return reply.thought.strip() or None if prose and not reply.cells else None
        if reply.cells and not prose:
            return None  # it speaks of results that there are not
        try:
            ending = await self.of_turn(sandbox, (), reply.final)
        except RLMError:
            return None
        return ending.text if isinstance(ending, FinalAnswer) else None

    def _final(self, answer: Any = "", sources: Any = None) -> None:
        self._called = _Called(answer, sources=sources if isinstance(sources, list | tuple) else ())

    def _final_var(self, name: Any, sources: Any = None) -> None:
        listed = sources if isinstance(sources, list | tuple) else ()
        if isinstance(name, str) and name.isidentifier():
            self._called = _Called(variable=name, sources=listed)
        else:
            # Code often passes the variable itself instead of its name; what it holds is what was meant.
            self._called = _Called(name, sources=listed)


async def _variable(sandbox: Sandbox, name: str, sources: Sequence[Any]) -> FinalAnswer | str:
    """Reads a variable's value; a hint for the model where there is none of that name."""
    execution = await sandbox.execute(Cell(name))
    if execution.error is None:
        return FinalAnswer(in_words(execution.value), execution.value, sources)
    return missing_variable(name, await sandbox.variables())


def in_words(value: object) -> str:
    """Gives a value as text: a string as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def checked_sources(ending: FinalAnswer, context: Context) -> tuple[Source, ...]:
    """Finds where an answer stands in the context.

    What the model named counts where it is a position in the text; without that, what the answer quotes counts
    where the text has it word for word.

    Args:
        ending: The answer.
        context: The text.
    """
    found: dict[tuple[str, int, int], Source] = {}
    for item in ending.sources[:MAX_SOURCES]:
        start, end = _span(item)
        if start is not None and 0 <= start < end <= context.length:
            source = context.locate(start, end)
            found[source.document, source.start, source.end] = source
    if not found:
        quotes = ["".join(groups) for groups in _QUOTED.findall(ending.text[:20_000])]
        whole = ending.text.strip()
        for quote in dict.fromkeys([whole] * (8 <= len(whole) <= 2_000) + quotes[:10]):
            try:
                sources = context.find_quote(quote, limit=1)
            except (ContextError, ValueError):
                continue
            found.update({(source.document, source.start, source.end): source for source in sources})
    return tuple(found.values())


def _span(item: Any) -> tuple[int | None, int]:
    """Reads a position that code gave: a match with `start` and `end`, or a pair."""
    if isinstance(item, Mapping):
        item = (item.get("start"), item.get("end"))
    if isinstance(item, list | tuple) and len(item) == 2 and all(type(part) is int for part in item):
        return item[0], item[1]
    return None, 0
