"""A session, which runs cells one after the other over the same variables."""

from __future__ import annotations

import ast
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlmbox.sandboxes.subset.builtins import builtins_for
from rlmbox.sandboxes.subset.check import check, parse
from rlmbox.sandboxes.subset.errors import (
    CELL_EXCEPTIONS,
    Frame,
    LimitReached,
    SubsetError,
    Uncatchable,
    describe,
    forget_place,
)
from rlmbox.sandboxes.subset.expressions import Compiled
from rlmbox.sandboxes.subset.grammar import SubsetProfile
from rlmbox.sandboxes.subset.meter import Meter, StepLimits
from rlmbox.sandboxes.subset.modules import modules_for
from rlmbox.sandboxes.subset.statements import Statements
from rlmbox.sandboxes.subset.syntax import check_syntax
from rlmbox.sandboxes.subset.values import Function, show, text
from rlmbox.types import cut_middle

_HOST_DEPTH = 12_000
MESSAGE_CHARS = 20_000
"""Longest message or `repr` of a value that is kept whole."""


class Compiler(Statements):
    """Compiles a cell to a function that runs it."""

    handling: list[BaseException]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.handling = []

    def cell(self, tree: ast.Module) -> tuple[Compiled | None, Compiled | None]:
        """Compile a cell.

        Returns:
            A function that runs its statements and one that evaluates its last bare expression; None for each it lacks.
        """
        body, last = tree.body, None
        if body and isinstance(body[-1], ast.Expr):
            node = body[-1]
            last = self.placed(self.lazily(node.value), node)
            body = body[:-1]
        return (self.block(body) if body else None), last


@dataclass(frozen=True, slots=True)
class CompiledCell:
    """A compiled cell.

    Attributes:
        code: The source.
        body: Runs its statements.
        last: Evaluates its last bare expression.
        error: Why it cannot run, or None.
    """

    code: str
    body: Compiled | None = None
    last: Compiled | None = None
    error: SubsetError | None = None


@dataclass(frozen=True, slots=True)
class CellResult:
    """The outcome of a cell.

    Attributes:
        error: How it failed, or None.
        value: Value of its last bare expression; None without one.
        steps: Number of steps it took.
        is_expression: Whether it is nothing but that expression.
    """

    error: SubsetError | None
    value: Any
    steps: int
    is_expression: bool = False


class SubsetSession:
    """The variables of a session, with an interpreter that runs cells over them.

    Args:
        profile: The language of the cells.
        limits: Their limits.
        write: Receives their output.
        injected: Names besides the builtins and modules, such as `context`.
    """

    def __init__(
        self, profile: SubsetProfile, limits: StepLimits, write: Callable[[str], None], injected: Mapping[str, Any]
    ) -> None:
        self.profile: SubsetProfile = profile
        self.limits = limits
        self.variables: dict[str, Any] = {}
        self.meter = Meter(limits, self._roots)
        self.sources: list[str] = []
        self.builtins: dict[str, Any] = {
            **builtins_for(profile, self.meter, write),
            **modules_for(profile, self.meter),
        }
        self.bind(injected)

    def bind(self, injected: Mapping[str, Any]) -> None:
        """Add names to the builtins; a cell that assigns to one creates a variable of its own."""
        self.builtins.update(injected)
        self.meter.ignored = {id(value) for value in self.builtins.values()} | {id(self.variables)}

    def _roots(self) -> Iterable[Any]:
        return [*self.variables.values()]

    def prepare(self, code: str) -> CompiledCell:
        """Compile a cell, or record why it is refused, without running any of it."""
        source = len(self.sources)
        self.sources.append(code)
        try:
            with _quiet():
                tree = parse(code, self.limits.code_chars)
                check(tree, self.profile, self.variables.keys() | self.builtins.keys())
                check_syntax(code, tree)
            compiler = Compiler(self.meter, self.variables, self.builtins, self.profile, source)
            with _HeadRoom():
                body, last = compiler.cell(tree)
        except SyntaxError as error:
            return CompiledCell(code, error=_syntax_error(error, source))
        except Uncatchable as error:
            return CompiledCell(code, error=describe(error, error.message))
        except RecursionError:
            too_deep = LimitReached("the code is nested too deeply", limit="nesting")
            return CompiledCell(code, error=describe(too_deep, too_deep.message))
        return CompiledCell(code, body, last)

    def compiler_for(self, code: str) -> tuple[Compiler, ast.Module]:
        """Return a compiler for the functions of a cell of another session, and the cell's tree.

        Raises:
            SyntaxError: It is not valid Python.
            ValueError: It uses something that the language lacks.
        """
        try:
            with _quiet():
                tree = parse(code, self.limits.code_chars)
            check(tree, self.profile, self.variables.keys() | self.builtins.keys() | set(_names_in(tree)))
        except Uncatchable as error:
            raise ValueError(error.message) from None
        self.sources.append(code)
        return Compiler(self.meter, self.variables, self.builtins, self.profile, len(self.sources) - 1), tree

    def run(self, prepared: CompiledCell) -> CellResult:
        """Run a cell; every failure is reported in the result."""
        if prepared.error is not None:
            return CellResult(prepared.error, None, 0)
        meter = self.meter
        meter.begin()
        value: Any = None
        try:
            with _HeadRoom():
                if prepared.body is not None:
                    prepared.body(None)
                if prepared.last is not None:
                    value = prepared.last(None)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - any exception is the cell's
            steps = meter.steps
            return CellResult(self._described(error), None, steps)
        finally:
            meter.held.clear()
            meter.frames.clear()
        return CellResult(None, value, meter.steps, is_expression=prepared.body is None)

    def _described(self, error: BaseException) -> SubsetError:
        if isinstance(error, MemoryError):
            error = LimitReached("the data does not fit into memory", limit="memory")
        elif not isinstance(error, Uncatchable) and error.__class__ not in CELL_EXCEPTIONS:
            name = error.__class__.__name__
            inner = RuntimeError(f"the interpreter failed with {name}: {error!s:.200}")
            inner.__dict__.update(error.__dict__)
            error = inner
        message = error.message if isinstance(error, Uncatchable) else self._message(error)
        found = describe(error, message)
        forget_place(error)
        return found

    def _message(self, error: BaseException) -> str:
        try:
            self.meter.begin()
            return cut_middle(text(self.meter, error), MESSAGE_CHARS)
        except (Uncatchable, RecursionError, MemoryError):
            return "the message is too long"

    def shown(self, value: Any) -> str:
        """Return the `repr` of a value, for the host; the cell is charged for it.

        Raises:
            Uncatchable: It exceeds a limit.
        """
        with _HeadRoom():
            return show(self.meter, value)

    def traceback(self, error: SubsetError) -> str:
        """Return a traceback in Python's format."""
        last = f"{error.code}: {error.message}" if error.message else error.code
        if not error.frames:
            return last
        lines = ["Traceback (most recent call last):"]
        for place, frame in _folded(error.frames):
            if frame is None:
                lines.append(f"  [{place} more calls]")
            else:
                lines.append(f'  File "<rlm_session>", line {frame.line}, in {frame.function}')
                lines.extend(self._line(frame))
        return "\n".join([*lines, last])

    def _line(self, frame: Frame) -> list[str]:
        lines = self.sources[frame.source].splitlines()
        if 0 < frame.line <= len(lines):
            return [f"    {lines[frame.line - 1].strip()[:200]}"]
        return []


def _names_in(tree: ast.Module) -> Iterable[str]:
    """Return the names that a cell reads, except those that start with two underscores."""
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not node.id.startswith("__"))


def _folded(frames: tuple[Frame, ...]) -> list[tuple[int, Frame | None]]:
    """Replace the middle of a long traceback by a count."""
    if len(frames) <= 12:
        return [(0, frame) for frame in frames]
    ends = [(0, frame) for frame in frames]
    return [*ends[:6], (len(frames) - 12, None), *ends[-6:]]


def _syntax_error(error: SyntaxError, source: int) -> SubsetError:
    line, column = error.lineno, error.offset
    frames = (Frame(source, line, column or 1, "<module>"),) if line else ()
    return SubsetError(type(error).__name__, str(error.msg), line, column or None, "", "", frames)


class _quiet:  # noqa: N801 - used like a function
    """Suppresses warnings about the escapes in a cell."""

    def __init__(self) -> None:
        self._catching = warnings.catch_warnings()

    def __enter__(self) -> None:
        self._catching.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *raised: object) -> None:
        self._catching.__exit__(*raised)  # type: ignore[arg-type]


class _HeadRoom:
    """Raises Python's recursion limit while a cell runs.

    One call in a cell takes several of Python's, more than the host's limit may allow.
    """

    _lock = threading.Lock()
    _users = 0
    _before = 0

    def __enter__(self) -> None:
        cls = _HeadRoom
        with cls._lock:
            if not cls._users:
                cls._before = sys.getrecursionlimit()
                sys.setrecursionlimit(max(cls._before, _HOST_DEPTH))
            cls._users += 1

    def __exit__(self, *raised: object) -> None:
        cls = _HeadRoom
        with cls._lock:
            cls._users -= 1
            if not cls._users:
                sys.setrecursionlimit(cls._before)


__all__ = ["MESSAGE_CHARS", "CellResult", "CompiledCell", "Function", "StepLimits", "SubsetSession"]
