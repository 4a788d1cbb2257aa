"""Recorded host calls of earlier cells, used to rebuild a lost namespace without calling anything twice.

After a worker is lost, earlier cells are replayed in a new one. Answers are matched by function and arguments, not by
order; a replayed cell that makes a call which was not recorded is stopped there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rlmbox.sandboxes.monty._code import CellSource

STOP: dict[str, Any] = {"exc_type": "KeyboardInterrupt", "message": "this call was not recorded"}
"""The answer that stops a replayed cell at a call that was not recorded."""


@dataclass(frozen=True)
class MadeCall:
    """A call of a host function.

    Attributes:
        name: The function's name.
        args: Positional arguments in their JSON form.
        kwargs: Keyword arguments in their JSON form.
    """

    name: str
    args: list[Any]
    kwargs: dict[str, Any]

    @cached_property
    def key(self) -> str:
        """The key under which an answer is recorded; only replayed cells look it up."""
        return json.dumps([self.name, self.args, self.kwargs], sort_keys=True)


@dataclass(slots=True)
class CellRun:
    """A run or replay of a cell.

    Attributes:
        source: The cell.
        calls: Its host calls with their answers, in order.
        again: Whether it is a replay, which gets recorded answers only.
        statement: Index of the current statement, from 0.
        called_in: Index of the statement that made the last of `calls`.
        is_cut: Whether it is a part of a cell that reached a limit, and may do so again.
    """

    source: CellSource
    calls: list[tuple[MadeCall, dict[str, Any]]] = field(default_factory=list)
    again: bool = False
    statement: int = 0
    called_in: int = -1
    is_cut: bool = False

    def record(self, call: MadeCall, answer: dict[str, Any]) -> dict[str, Any]:
        """Record an answer, and return it."""
        self.calls.append((call, answer))
        self.called_in = self.statement
        return answer

    def recorded(self, call: MadeCall) -> dict[str, Any]:
        """Return the next recorded answer to a call of a replayed cell, or `STOP` if there is none."""
        for at, (known, answer) in enumerate(self.calls):
            if known.key == call.key:
                del self.calls[at]
                return answer
        return STOP

    def repeated(self) -> CellRun:
        """Return a replay of the same cell."""
        return CellRun(self.source, [*self.calls], again=True, is_cut=self.is_cut)

    def cut(self, *, drop_last: bool) -> CellRun | None:
        """Return the part of the cell that had run when it reached a limit, or None if there is none.

        The statement that was running is included if it made a call.

        Args:
            drop_last: Whether to stop that statement at its last call in the replay, lest it run into the limit again.
        """
        called = self.called_in == self.statement
        source = self.source.upto(self.statement + 1 if called else self.statement)
        calls = self.calls[:-1] if called and drop_last else self.calls
        return replace(self, source=source, calls=calls, is_cut=True) if source is not None else None
