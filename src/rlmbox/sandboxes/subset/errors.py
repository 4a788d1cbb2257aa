"""Errors of a cell: Python's exceptions, which it may catch, and limits and refusals, which it may not."""

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
"""The exception types that a cell can name, by name."""

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
"""The exact types that are a cell's own; any other would be a fault of the interpreter."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the calls that led to an error.

    Attributes:
        source: Number of the cell, from 0.
        line: Its line, from 1.
        column: The character in the line, from 1.
        function: Name of the function, `<module>` outside of any.
    """

    source: int
    line: int
    column: int
    function: str


@dataclass(frozen=True, slots=True)
class SubsetError:
    """The failure of a cell.

    Attributes:
        code: The exception's name, `ResourceLimitExceeded`, `ForbiddenSyntax` or `ForbiddenName`.
        message: What it says.
        line: The line of the cell, from 1; None where it is not known.
        column: The character in that line, from 1.
        hint: What could be written instead; empty where there is nothing to say.
        limit: Name of the limit that was reached; empty for other errors.
        frames: The calls that led to it, outermost first.
    """

    code: str
    message: str
    line: int | None = None
    column: int | None = None
    hint: str = ""
    limit: str = ""
    frames: tuple[Frame, ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, object]:
        """Return the error as the service gives it."""
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
    """Ends a cell whatever it catches.

    Attributes:
        code: The code of the error.
        message: What it says.
        hint: What could be written instead.
        limit: Name of the limit, for a limit.
    """

    code = RESOURCE

    def __init__(self, message: str, *, hint: str = "", limit: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.limit = message, hint, limit


class LimitReached(Uncatchable):
    """A limit of the session was reached."""


class Stopped(Uncatchable):
    """The host ended the cell: its wall clock ran out, or the session was closed."""


class Refusal(Uncatchable):
    """The language does not have something.

    Args:
        code: `ForbiddenSyntax` or `ForbiddenName`.
        message: What it says.
        hint: What could be written instead.
        at: Line and column, both from 1, where they are known already.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", at: tuple[int, int] | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code, self.at = code, at


def forbidden_name(name: str, hint: str = "", *, at: tuple[int, int] | None = None) -> Refusal:
    """Return the error for a name or attribute that is not reachable."""
    return Refusal(FORBIDDEN_NAME, f"{name} is not available in this REPL", hint=hint, at=at)


def forbidden_syntax(what: str, hint: str = "", *, at: tuple[int, int] | None = None) -> Refusal:
    """Return the error for a construct that the language does not have."""
    return Refusal(FORBIDDEN_SYNTAX, f"{what} is not available in this REPL", hint=hint, at=at)


_TRACE = "_rlm_trace"


def note_place(error: BaseException, depth: int, frame: Frame) -> None:
    """Remember where an exception passed through, once for each depth of calls."""
    trace: dict[int, Frame] | None = error.__dict__.get(_TRACE)
    if trace is None:
        trace = {}
        error.__dict__[_TRACE] = trace
    trace.setdefault(depth, frame)


def forget_place(error: BaseException) -> None:
    """Drop what is remembered of an exception, also the interpreter's own frames."""
    error.__dict__.pop(_TRACE, None)
    release(error)


def release(error: BaseException) -> None:
    """Let go of the interpreter's frames, which would keep values alive unseen."""
    error.__traceback__ = error.__context__ = error.__cause__ = None


def frames_of(error: BaseException) -> tuple[Frame, ...]:
    """Return where an exception passed through, outermost first."""
    trace: dict[int, Frame] = error.__dict__.get(_TRACE) or {}
    return tuple(trace[depth] for depth in sorted(trace))


def describe(error: BaseException, message: str) -> SubsetError:
    """Return an exception as data.

    Args:
        error: What ended the cell.
        message: What it says, bounded.
    """
    frames = frames_of(error)
    line, column = (frames[0].line, frames[0].column) if frames else (None, None)
    if isinstance(error, Uncatchable):
        at = getattr(error, "at", None)
        line, column = at or (line, column)
        return SubsetError(error.code, message, line, column, error.hint, error.limit, frames)
    return SubsetError(type(error).__name__, message, line, column, "", "", frames)
