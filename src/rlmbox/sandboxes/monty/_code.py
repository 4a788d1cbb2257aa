"""What the host must know of a cell before Monty runs it.

The cell is parsed with `ast`, never compiled or run. Code that does not parse is fed as it is: Monty then says
what is wrong with it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from rlmbox.sandboxes.monty._large import rewritten
from rlmbox.sandboxes.monty.modules import imported

VALUE_LIMIT_CHARS = 4_000_000
"""Longest `repr` of a value that crosses to the host as a value."""

_MENDED = re.compile(r"\bkey\s*=|\b(?:map|filter)\s*\(")

PRELUDE = """\
import re, json, math, base64, binascii
answer = {'content': '', 'ready': False}
_rlm_missing, _rlm_own = NameError, (repr, len, str, type, TypeError)
"""
"""Run in each new session. What our own functions call is kept now, since a cell may rebind the names of builtins."""

VALUE_SOURCE = f"""\
def rlm_value_(value, own=_rlm_own):
    repr, len, str, _, _ = own
    text = repr(value)
    if len(text) <= {VALUE_LIMIT_CHARS}:
        return [True, value]
    return [False, text[:10000] + ' ... [' + str(len(text) - 20000) + ' characters dropped] ... ' + text[-10000:]]
"""
"""Run before the first cell that ends with an expression: to compile it takes longer than a small cell."""

_DESCRIBE_SOURCE = """\
def _rlm_describe(value, own=_rlm_own):
    repr, len, str, type, TypeError = own
    kind = type(value).__name__
    try:
        size = len(value)
    except TypeError:
        return kind + ', ' + repr(value)[:60] if kind in ('int', 'float', 'bool', 'NoneType') else kind
    return kind + ', ' + str(size) + (' characters' if kind == 'str' else ' items')
"""


@dataclass(frozen=True, slots=True)
class CellSource:
    """A cell as it is fed.

    Attributes:
        code: The source that Monty runs; line numbers are those of the cell.
        lines: The cell's own lines, for tracebacks.
        names: Global names that the cell binds, in order.
        modules: Offered modules that it imports.
        awaited: UTF-8 offsets of the calls whose result the cell awaits.
        has_value: Whether its last statement is an expression.
        numbers: For each line of `code` that of the cell; empty where they are the same.
    """

    code: str
    lines: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()
    awaited: frozenset[int] = frozenset()
    has_value: bool = False
    numbers: tuple[int, ...] = ()

    def line(self, number: int) -> tuple[int, str]:
        """Gives the cell's own line, and its number, for a line of `code`; '' for one that there is not."""
        if 0 < number <= len(self.numbers):
            number = self.numbers[number - 1]
        return number, self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""


def read_cell(code: str, *, large: Collection[str] | None = None) -> CellSource:
    """Prepares a cell: makes its last expression a bounded value and mends what Monty cannot do; its lines stay.

    Args:
        code: The cell.
        large: Names that earlier cells have bound, where the context is too long to be a `str`; None where it is one.
    """
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    lines = tuple(code.split("\n"))
    try:
        tree = ast.parse(code)
        if large is None:
            return _prepared(code, tree, lines)
        names = tuple(dict.fromkeys(_bound_names(tree.body, walrus=":=" in code)))
        change = rewritten(tree, large)
        if change is None:
            return _prepared(code, ast.parse(code), lines)
        prepared = _prepared(change.code, change.tree, tuple(change.code.split("\n")))
        return replace(prepared, lines=lines, names=names, numbers=change.numbers)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return CellSource(code, lines)


def _prepared(code: str, tree: ast.Module, lines: tuple[str, ...]) -> CellSource:
    last = tree.body[-1] if tree.body else None
    # Each look at the tree costs as much as running a small cell, so it is taken only where there may be something.
    edits = list(_mended_methods(tree, lines)) if _MENDED.search(code) else []
    if isinstance(last, ast.Expr):
        # Twice parenthesised, so that `a, b` is one value.
        start, end = _span(last.value, lines)
        edits += [(start, start, "rlm_value_(("), (end, end, "))")]
    edits.sort(key=lambda edit: edit[0])
    awaited = frozenset(
        at + sum(len(text) - (end - start) for start, end, text in edits if start <= at)
        for at in (_awaited(tree, lines) if "await" in code else ())
    )
    names = tuple(dict.fromkeys(_bound_names(tree.body, walrus=":=" in code)))
    modules = imported(code) if "import" in code else frozenset()
    return CellSource(_edited(code, edits), lines, names, modules, awaited, isinstance(last, ast.Expr))


_Edit = tuple[int, int, str]
"""UTF-8 offsets of what is replaced, and by what; edits do not overlap."""


def _edited(code: str, edits: list[_Edit]) -> str:
    """Applies edits, which are in order."""
    raw, parts, done = code.encode(), [], 0
    for start, end, text in edits:
        parts += [raw[done:start], text.encode()]
        done = end
    return b"".join([*parts, raw[done:]]).decode()


def _span(node: ast.expr, lines: tuple[str, ...]) -> tuple[int, int]:
    """Gives the UTF-8 offsets of an expression."""
    start = _offset(lines, node.lineno, node.col_offset)
    return start, _offset(lines, node.end_lineno or node.lineno, node.end_col_offset or 0)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Walks a tree, but for f-strings: in Python 3.11 the positions within them are wrong."""
    queue = [tree]
    while queue:
        node = queue.pop()
        if not isinstance(node, ast.JoinedStr):
            yield node
            queue.extend(ast.iter_child_nodes(node))


def _mended_methods(tree: ast.Module, lines: tuple[str, ...]) -> Iterator[_Edit]:
    """Replaces methods that are passed on without a call, as in `key=str.lower` or `map(" ".join, rows)`.

    Monty has no value for a method of a builtin type; a function around the call of it does the same.
    """
    for node in _nodes(tree):
        if not isinstance(node, ast.Call):
            continue
        passed = [keyword.value for keyword in node.keywords if keyword.arg == "key"]
        if isinstance(node.func, ast.Name) and node.func.id in ("map", "filter") and len(node.args) == 2:
            passed.append(node.args[0])
        for method in passed:
            if not isinstance(method, ast.Attribute):
                continue
            start, end = _span(method, lines)
            if isinstance(method.value, ast.Name) and method.value.id in (
                "str",
                "bytes",
                "list",
                "dict",
                "set",
                "tuple",
            ):
                yield start, end, f"(lambda _x: _x.{method.attr}())"
            else:
                yield start, start, "(lambda _x: "
                yield end, end, "(_x))"


def show_vars_source(names: Iterable[str]) -> str:
    """Gives the source of a `SHOW_VARS` that describes those of `names` that exist."""
    probes = "".join(
        f"    try:\n        found[{name!r}] = _rlm_describe({name})\n    except _rlm_missing:\n        pass\n"
        for name in names
    )
    return f"{_DESCRIBE_SOURCE}def SHOW_VARS():\n    found = {{}}\n{probes}    return found\n"


def _offset(lines: tuple[str, ...], line: int, column: int) -> int:
    """Gives the UTF-8 offset in the source of a position as `ast` counts it."""
    return sum(len(text.encode()) + 1 for text in lines[: line - 1]) + column


def _bound_names(body: Iterable[ast.stmt], *, walrus: bool = True) -> Iterator[str]:
    """Names that a module's statements bind, without those that only functions and comprehensions see.

    Args:
        body: The statements.
        walrus: Whether expressions are looked into, which takes most of the time.
    """
    queue: list[ast.AST] = []
    queue.extend(reversed([*body]))
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not node.id.startswith("_"):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            yield from (name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names)
            continue
        elif isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            continue
        inner = ast.iter_child_nodes(node)
        queue.extend(reversed([n for n in inner if walrus or not isinstance(n, ast.expr) or _is_target(n)]))


def _is_target(node: ast.expr) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Store)


def _awaited(tree: ast.Module, lines: tuple[str, ...]) -> Iterator[int]:
    """Offsets of calls that are awaited themselves, or stand in the arguments of an awaited `asyncio.gather`."""
    for node in _nodes(tree):
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            call = node.value
            gathers = isinstance(call.func, ast.Attribute | ast.Name) and ast.unparse(call.func).endswith("gather")
            inner = [n for argument in call.args for n in _nodes(argument)] if gathers else [call]
            yield from (_offset(lines, n.lineno, n.col_offset) for n in inner if isinstance(n, ast.Call))
