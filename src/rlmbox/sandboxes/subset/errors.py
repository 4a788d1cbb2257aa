"""Errors of a cell: Python's exceptions, which it can catch, and limits and refusals, which it cannot."""

from __future__ import annotations

import binascii
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

RESOURCE = "ResourceLimitExceeded"
FORBIDDEN_SYNTAX = "ForbiddenSyntax"
FORBIDDEN_NAME = "ForbiddenName"


class SystemExit_(BaseException):  # noqa: N801 - takes the name that a cell sees
    """A cell's own `SystemExit`, which is not the host's."""


class KeyboardInterrupt_(BaseException):  # noqa: N801 - takes the name that a cell sees
    """A cell's own `KeyboardInterrupt`, which is not the host's."""


for _stand_in in (SystemExit_, KeyboardInterrupt_):
    _stand_in.__name__ = _stand_in.__qualname__ = _stand_in.__name__.rstrip("_")

NAMED_EXCEPTIONS: Mapping[str, type[BaseException]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            BaseException,
            Exception,
            ArithmeticError,
            AssertionError,
            AttributeError,
            EOFError,
            ImportError,
            IndexError,
            KeyError,
            LookupError,
            ModuleNotFoundError,
            NameError,
            NotImplementedError,
            OverflowError,
            OSError,
            RecursionError,
            RuntimeError,
            StopIteration,
            TimeoutError,
            TypeError,
            UnboundLocalError,
            UnicodeDecodeError,
            UnicodeEncodeError,
            UnicodeError,
            ValueError,
            ZeroDivisionError,
            SystemExit_,
            KeyboardInterrupt_,
        )
    }
)
"""The exception types that a cell can use, by name."""

_UNNAMED = (
    binascii.Error,
    json.JSONDecodeError,
    re.error,
    zlib.error,
    FileNotFoundError,
    PermissionError,
    ConnectionError,
    MemoryError,
)
CELL_EXCEPTIONS = frozenset({*NAMED_EXCEPTIONS.values(), *_UNNAMED})
"""Types of exceptions that a cell may raise; any other type is a bug of the interpreter."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A stack frame of an error.

    Attributes:
        source: Number of the cell, from 0.
        line: Line in the cell, from 1.
        column: Character in the line, from 1.
        function: Name of the function; `<module>` outside of any.
    """

    source: int
    line: int
    column: int
    function: str


@dataclass(frozen=True, slots=True)
class SubsetError:
    """The failure of a cell.

    Attributes:
        code: Name of the exception, or `ResourceLimitExceeded`, `ForbiddenSyntax` or `ForbiddenName`.
        message: The message.
        line: Line in the cell, from 1; None if not known.
        column: Character in the line, from 1.
        hint: What to write instead; may be empty.
        limit: Name of the limit that was reached; empty for other errors.
        frames: The stack, outermost frame first.
    """

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    hint: str = ""
    limit: str = ""
    frames: tuple[Frame, ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, object]:
        """Return the error in the form of the service's answers."""
        found: dict[str, object] = {
            "code": self.code,
            "message": self.message,
            "line": self.line,
            "column": self.column,
        }
        if self.limit:
            found["limit"] = self.limit
        if self.hint:
            found["hint"] = self.hint
        return found


class Uncatchable(BaseException):
    """Ends a cell, which cannot catch it.

    Attributes:
        code: Code of the error.
        message: The message.
        hint: What to write instead.
        limit: Name of the limit, if one was reached.
    """

    code = RESOURCE

    def __init__(self, message: str, *, hint: str = "", limit: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.limit = message, hint, limit


class LimitReached(Uncatchable):
    """The session reached a limit."""


class Stopped(Uncatchable):
    """The host ended the cell: it reached its time limit, or the session was closed."""


class Refusal(Uncatchable):
    """The cell uses something that the language lacks.

    Args:
        code: `ForbiddenSyntax` or `ForbiddenName`.
        message: The message.
        hint: What to write instead.
        at: Line and column, both from 1, if already known.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", at: tuple[int, int] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code, self.at = code, at


def forbidden_name(name: str, hint: str = "", *, at: tuple[int, int] | None = None) -> Refusal:
    """Return the error for a name or attribute that is not available."""
    return Refusal(FORBIDDEN_NAME, f"{name} is not available in this REPL", hint=hint, at=at)


def forbidden_syntax(what: str, hint: str = "", *, at: tuple[int, int] | None = None) -> Refusal:
    """Return the error for a construct that the language lacks."""
    return Refusal(FORBIDDEN_SYNTAX, f"{what} is not available in this REPL", hint=hint, at=at)


_TRACE = "_rlm_trace"


def note_place(error: BaseException, depth: int, frame: Frame) -> None:
    """Record a frame that an exception passed through, once per call depth."""
    trace: dict[int, Frame] | None = error.__dict__.get(_TRACE)
    if trace is None:
        trace = {}
        error.__dict__[_TRACE] = trace
    trace.setdefault(depth, frame)


def forget_place(error: BaseException) -> None:
    """Drop the recorded frames of an exception, and the interpreter's own."""
    error.__dict__.pop(_TRACE, None)
    release(error)


def release(error: BaseException) -> None:
    """Drop references to the interpreter's frames, which would keep values alive uncounted."""
    error.__traceback__ = error.__context__ = error.__cause__ = None


def frames_of(error: BaseException) -> tuple[Frame, ...]:
    """Return the frames that an exception passed through, outermost first."""
    trace: dict[int, Frame] = error.__dict__.get(_TRACE) or {}
    return tuple(trace[depth] for depth in sorted(trace))


def describe(error: BaseException, message: str) -> SubsetError:
    """Convert an exception to a `SubsetError`.

    Args:
        error: The exception that ended the cell.
        message: Its message, bounded.
    """
    frames = frames_of(error)
    line, column = (frames[0].line, frames[0].column) if frames else (None, None)
    if isinstance(error, Uncatchable):
        at = getattr(error, "at", None)
        line, column = at or (line, column)
        return SubsetError(error.code, message, line, column, error.hint, error.limit, frames)
    return SubsetError(type(error).__name__, message, line, column, "", "", frames)
