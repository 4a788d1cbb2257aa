"""The calls of earlier cells with their answers, so that a lost namespace can be rebuilt without asking anybody twice.

A worker that is lost is replaced by running the earlier cells again. An answer belongs to a function and its arguments,
never to a place in the order: where a cell that runs again asks for something else, it is stopped there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rlmbox.sandboxes.monty._code import CellSource

STOP: dict[str, Any] = {"exc_type": "KeyboardInterrupt", "message": "this call was not recorded"}
"""The answer that stops a cell which runs again and calls what it did not call before."""


@dataclass(frozen=True)
class MadeCall:
    """A call of a host function.

    Attributes:
        name: The function's name.
        args: Its arguments by position, in their JSON form.
        kwargs: Its arguments by name, in their JSON form.
    """

    name: str
    args: list[Any]
    kwargs: dict[str, Any]

    @cached_property
    def key(self) -> str:
        """The key that a recorded answer is bound to; only a cell that runs again asks for it."""
        return json.dumps([self.name, self.args, self.kwargs], sort_keys=True)


@dataclass(slots=True)
class CellRun:
    """A cell that runs, or runs again.

    Attributes:
        source: The cell.
        calls: The calls that it made, by function and arguments, and their answers, in order.
        again: Whether it runs again: then it gets recorded answers only.
        statement: The number of the statement that it has come to, from 0.
        called_in: The number of the statement that made the last of `calls`.
    """

    source: CellSource
    calls: list[tuple[MadeCall, dict[str, Any]]] = field(default_factory=list)
    again: bool = False
    statement: int = 0
    called_in: int = -1

    def record(self, call: MadeCall, answer: dict[str, Any]) -> dict[str, Any]:
        """Keep an answer, and return it."""
        self.calls.append((call, answer))
        self.called_in = self.statement
        return answer

    def recorded(self, call: MadeCall) -> dict[str, Any]:
        """Return the next answer to a call, in a cell that runs again; `STOP` where it was not made."""
        for at, (known, answer) in enumerate(self.calls):
            if known.key == call.key:
                del self.calls[at]
                return answer
        return STOP

    def repeated(self) -> CellRun:
        """Return the same cell, to run again."""
        return CellRun(self.source, [*self.calls], again=True)

    def cut(self, *, drop_last: bool) -> CellRun | None:
        """Return the part of the cell that had run when it ended at a limit; None where there is none.

        The statement that was running is a part of it if it called something.

        Args:
            drop_last: Whether that statement did not end in a call: then it is stopped at its last call, lest it runs
                on into the same limit.
        """
        called = self.called_in == self.statement
        source = self.source.upto(self.statement + 1 if called else self.statement)
        calls = self.calls[:-1] if called and drop_last else self.calls
        return replace(self, source=source, calls=calls) if source is not None else None
