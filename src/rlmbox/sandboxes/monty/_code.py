"""Preparation of a cell on the host, before Monty runs it.

The cell is parsed with `ast` but never compiled or run. It is refused where Monty would behave differently from
CPython (`_refusals.py`), rewritten where a rewrite makes the two agree (`_rewrite.py`, and `_large.py` for a long
context), and unparsed; line numbers are mapped back to those of the cell.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from rlmbox.sandboxes.monty import (
    _annotations,
    _comprehensions,
    _errors,
    _large,
    _members,
    _own_imports,
    _private,
    _syntax,
)
from rlmbox.sandboxes.monty._caught import Words
from rlmbox.sandboxes.monty._host import LARGE_TEXT
from rlmbox.sandboxes.monty._known import Known
from rlmbox.sandboxes.monty._refusals import check, imported_names
from rlmbox.sandboxes.monty._rewrite import rewrite
from rlmbox.sandboxes.monty._syntax import CellRefused
from rlmbox.sandboxes.monty.modules import imported
from rlmbox.sandboxes.worker._values import MAX_NODES
from rlmbox.sandboxes.worker._values import REPR_CHARS as OBJECT_CHARS

VALUE_LIMIT_CHARS = 64 * 1024 * 1024
"""Longest `repr` of a value that can leave the worker."""

REPR_CHARS = 20_000
"""Longest `repr` that is displayed whole."""

_KEPT_CHARS = 20_000
"""Longest cell whose prepared form is cached."""

_NOTHING = Known()

MARK = "_rlm_mark"
"""The function that reports the index of the next statement to the host."""

_KINDS = "'list', 'tuple', 'set', 'dict', 'defaultdict', 'Counter', 'dict_keys', 'dict_values', 'dict_items', 'range', 'deque'"  # noqa: E501

_ITERATORS = "'generator', 'flattened', 'map', 'filter', 'zip', 'enumerate', 'reversed', 'count'"
"""Iterator types whose names do not end with `iterator`."""

_BY_REPR = (
    "'generator', 'function', 'type', 'Match', 'Pattern', 'module', 'method_shown', 'count', 'SimpleNamespace', "
    "'Stream', 'Template', 'SequenceMatcher'"
)
"""Types whose values leave the worker as their `repr`."""
_MARKS = (
    "'dict_', 'range(', '[...]', '{...}', '<', 're.compile(', 'IsoCalendarDate(', 'count(', 'namespace(', "
    "'struct_time('"
)
"""Substrings of the `repr` of values that have no form outside the worker."""

PRELUDE = """\
import json, math, base64, binascii
_rlm_missing = NameError
_rlm_own = (repr, len, str, type, TypeError, ValueError, list, dict, tuple, set, hex, int, isinstance, any, getattr)
"""
"""Run in each new session. Saves the builtins that our functions call, since a cell may rebind their names."""

VALUE_SOURCE = f"""\
def _rlm_value(value, own=_rlm_own, classes=()):
    repr, len, str = own[:3]
    try:
        text = repr(value)
    except own[5]:
        text = repr(_rlm_plain(value, own, []))
    if len(text) > {REPR_CHARS}:
        dropped = '{{:,}}'.format(len(text) - {REPR_CHARS})
        half = {REPR_CHARS} // 2
        shown = text[:half] + ' ... [' + dropped + ' characters dropped] ... ' + text[-half:]
    else:
        shown = text
    if (len(value) if own[3](value) is str else len(text)) > {VALUE_LIMIT_CHARS}:
        raise own[5]('the value is larger than {VALUE_LIMIT_CHARS:,} bytes, the most that can leave a cell')
    return [_rlm_leaving(value, own, classes), shown]
def _rlm_leaving(value, own=_rlm_own, classes=(), consumes=False):
    # What has no form outside the worker in one that has: huge ints, views of dicts, ranges, cycles, objects.
    # An argument of a host call consumes iterators, as a function does; what is only shown stays as it is.
    repr, len, str, type, _, ValueError, list, dict, tuple, set, hex, int, isinstance, any, getattr = own
    kind = type(value)
    if kind is str or value is None or kind.__name__ in ('float', 'bool', 'bytes', '{LARGE_TEXT}'):
        return value
    if kind in (list, tuple, set) and len(value) > {MAX_NODES}:
        raise ValueError('a value that leaves the REPL may have at most {MAX_NODES:,} parts')
    try:
        text = repr(value)
    except ValueError:
        return _rlm_plain(value, own, [], classes)
    if any([mark in text for mark in ({_MARKS})]):
        return _rlm_plain(_rlm_listed(value, own, [], classes) if consumes else value, own, [], classes)
    if classes and _rlm_has_one(value, own, classes):
        return _rlm_plain(value, own, [], classes)
    return value
def _rlm_listed(value, own, around, classes):
    # The same with a list in the place of each iterator; the value itself where there is none.
    type, list, dict, tuple, any, len = own[3], own[6], own[7], own[8], own[13], own[1]
    name = type(value).__name__
    if len(around) > 60 or any([value is one for one in around]):
        return value
    around = around + [value]
    if name == '_rlm_Lines':
        return _rlm_large_lines_of(value)
    if name not in classes and (name in ({_ITERATORS}) or name.endswith('iterator')):
        return [_rlm_listed(item, own, around, classes) for item in value]
    if name in ('list', 'tuple'):
        pairs = [(item, _rlm_listed(item, own, around, classes)) for item in value]
        if not any([item is not listed for item, listed in pairs]):
            return value
        items = [listed for item, listed in pairs]
        return items if name == 'list' else tuple(items)
    if name == 'dict':
        pairs = [(key, item, _rlm_listed(item, own, around, classes)) for key, item in value.items()]
        if any([item is not listed for key, item, listed in pairs]):
            return {{key: listed for key, item, listed in pairs}}
    return value
def _rlm_has_one(value, own, classes):
    # Whether there is an object of one of the cell's classes within a value; level by level, which is quick.
    len, type, list, dict, isinstance, any = own[1], own[3], own[6], own[7], own[12], own[13]
    level = [value]
    while 0 < len(level) <= {MAX_NODES}:
        kinds = [kind for kind in {{type(item).__name__: None for item in level}}]
        if any([kind in classes for kind in kinds]):
            return True
        inner = [kind for kind in kinds if kind in ({_KINDS}) and kind != 'range']
        level = [item for item in level if type(item).__name__ in inner] if len(inner) > 0 else []
        level = [list(item) + list(item.values()) if isinstance(item, dict) else item for item in level]
        level = [one for items in level for one in items]
    return len(level) > 0
def _rlm_plain(value, own, around, classes=()):
    repr, len, str, type, _, ValueError, list, dict, tuple, set, hex, int, isinstance, any, getattr = own
    kind = type(value)
    name = kind.__name__
    if kind is int:
        return hex(value) if value >= 10 ** 4300 or value <= -10 ** 4300 else value
    if name == '{LARGE_TEXT}':
        return value  # the host has the text
    if name.startswith('_rlm_') or name in ({_BY_REPR}):
        return _rlm_shown_text(value, own, classes)
    if name == 'IsoCalendarDate':
        return (value[0], value[1], value[2])
    if name == 'namedtuple' and repr(value)[:17] == 'time.struct_time(':
        return tuple([item for item in value][:9])
    if name in classes:
        import dataclasses
        if not dataclasses.is_dataclass(value):
            return _rlm_shown_text(value, own, classes)
        if len(around) > 60:
            return value
        around = around + [value]
        return {{key: _rlm_plain(getattr(value, key), own, around, classes) for key in value.__dataclass_fields__}}
    if name not in ({_KINDS}):
        return value
    if any([value is one for one in around]):
        return '<cycle>'
    if len(around) > 60:
        return value
    around = around + [value]
    if isinstance(value, dict):
        pairs = [(_rlm_key(key, own, around, classes), item) for key, item in value.items()]
        return {{key: _rlm_plain(item, own, around, classes) for key, item in pairs}}
    items = [_rlm_plain(item, own, around, classes) for item in value]
    return kind(items) if kind in (tuple, set) else items
def _rlm_key(key, own, around, classes):
    found = _rlm_plain(key, own, around, classes)
    import json
    return json.dumps(found) if own[3](found) is own[7] else found
def _rlm_shown_text(value, own, classes):
    # The `repr` of an object, without addresses, and with the module of the cell's own classes.
    repr, len, str, type = own[:4]
    text = repr(value)
    name = type(value).__name__
    if name == 'type' and text[8:-2] in classes:
        text = text[:8] + '__main__.' + text[8:]
    if name == 'type' and text[:13] == "<class '_rlm_":
        text = "<class '_context_text." + text[13:]
    if ' at 0x' in text and text[-8:] != ' at 0x0>':  # where it may be a function of ours, the host looks at it
        first = text.split(' at 0x')
        text = first[0] + ''.join([part.lstrip('0123456789abcdef') for part in first[1:]])
    for one in classes:
        if '<' + one + ' object>' in text:
            text = text.replace('<' + one + ' object>', '<__main__.' + one + ' object>')
    return text if len(text) <= {OBJECT_CHARS} else text[: {OBJECT_CHARS} - 1] + '\u2026'
"""
"""Run before the first cell that ends with an expression: compiling it takes longer than running a small cell."""

_DESCRIBE_SOURCE = """\
def _rlm_describe(value, own=_rlm_own):
    repr, len, str, type, TypeError = own[:5]
    kind = type(value).__name__.replace('_rlm_', '')
    try:
        size = len(value)
    except TypeError:
        if kind == 'int' and not -2**200 < value < 2**200:
            return 'int, large'
        return kind + ', ' + repr(value) if kind in ('int', 'float', 'bool', 'NoneType') else kind
    return kind + ', ' + str(size) + (' characters' if kind == 'str' else ' items')
"""


@dataclass(frozen=True, slots=True)
class CellSource:
    """A prepared cell.

    Attributes:
        code: The source that Monty runs.
        lines: Lines of the original cell, for tracebacks.
        names: Global names that the cell binds, in order.
        modules: Modules of `MODULES` that it imports.
        awaited: UTF-8 offsets of the calls whose result the cell awaits.
        has_value: Whether its last statement is an expression.
        numbers: The original line number of each line of `code`.
        ends: For each statement of the cell, the line of `code` after it.
        globals: Names that its functions declare global.
        members: Members of the host's objects that it binds, such as `ctx.find`.
        binds: What later cells need to know of the names it binds.
    """

    code: str
    lines: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()
    awaited: frozenset[int] = frozenset()
    has_value: bool = False
    numbers: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    globals: frozenset[str] = frozenset()
    members: tuple[str, ...] = ()
    binds: Known = field(default_factory=Known)

    def line(self, number: int) -> tuple[int, str]:
        """Map a line of `code` to the number and text of the original line; '' if there is none."""
        if 0 < number <= len(self.numbers):
            number = self.numbers[number - 1]
        return number, self.lines[number - 1].strip() if 0 < number <= len(self.lines) else ""

    def upto(self, count: int) -> CellSource | None:
        """Return the first `count` statements as a cell of their own, or None if there are none."""
        if count <= 0 or not self.ends:
            return None
        end = self.ends[min(count, len(self.ends)) - 1]
        code = "\n".join(self.code.split("\n")[:end])
        size = len(code.encode())
        return replace(self, code=code, awaited=frozenset(at for at in self.awaited if at < size), has_value=False)


def read_cell(
    code: str, *, known: Known = _NOTHING, host_names: Collection[str] = (), is_large: bool = False
) -> CellSource:
    """Prepare a cell. Results are cached across sessions.

    Args:
        code: The cell.
        known: What earlier cells have bound.
        host_names: Names of the host functions and of the objects that have such methods.
        is_large: Whether the context is too long to be a `str`.

    Raises:
        CellRefused: It is not valid Python, or Monty would run it differently from CPython.
    """
    read = _read if len(code) <= _KEPT_CHARS else _read.__wrapped__
    return read(code, known, frozenset(host_names), is_large)


@lru_cache(maxsize=128)
def _read(code: str, known: Known, host_names: frozenset[str], is_large: bool) -> CellSource:
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    lines = tuple(code.split("\n"))
    tree = _parsed(code)
    _own_imports.replace(tree)
    names = tuple(dict.fromkeys(_bound_names(tree.body)))
    bound = {*known.bound, *names, *_large.bound_names(tree)}
    imports = imported_names(tree, known)
    members = tuple(_bound_members(tree, host_names))
    _syntax.check(tree, {*host_names} - bound)
    errors = _errors.Errors.of(tree, bound, known)
    methods = _members.of_cell(tree, bound, errors.here)
    properties = known.properties | {*_members.properties_in(tree)}
    check(tree, bound, known, errors, methods)
    _members.check(tree, properties)
    _comprehensions.check(tree)
    try:
        _private.rewrite(tree)
        _comprehensions.rewrite(tree)
        bound = {*known.bound, *names, *_large.bound_names(tree)}
        has_value = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
        words = Words.of(tree, known)
        binds = Known.of(tree, names, known, notes_divisions=words.are_seen, errors=errors.here.values())
        _errors.rewrite(tree, errors)
        _members.rewrite(tree, methods)
        rewrite(tree, bound, host_names, is_large=is_large, known=known, properties=properties)
        _comprehensions.rewrite(tree)  # those that stand for `map` and `filter`
        if is_large:
            tree = _large.rewritten(tree, bound, imports)
        declared = frozenset(name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names)
        written = _written(tree, has_value=has_value, classes=known.classes | binds.classes)
        return replace(
            written, lines=lines, names=names, modules=imported(code), globals=declared, members=members, binds=binds
        )
    except RecursionError:
        raise CellRefused("the cell is nested too deeply: split it", 1, "RecursionError") from None


def read_expression(code: str, *, known: Known = _NOTHING, hidden: Collection[str] = ()) -> str:
    """Prepare the source of an expression for `eval`.

    Args:
        code: The source.
        known: What earlier cells have bound.
        hidden: Local names of the function that calls `eval`, which the expression cannot read.

    Raises:
        CellRefused: As `read_cell`.
    """
    tree = _parsed(code.strip())
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        raise CellRefused("eval() takes one expression", 1, "SyntaxError")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in hidden:
            raise CellRefused(
                f"eval() of {node.id}, a local name of the enclosing function, is not in this REPL's Python: "
                "write the expression itself",
                1,
            )
    _syntax.check(tree)
    errors = _errors.Errors.of(tree, known.bound, known)
    check(tree, known.bound, known, errors)
    _comprehensions.rewrite(tree)
    _errors.rewrite(tree, errors)
    rewrite(tree, known.bound, (), known=known)
    _comprehensions.rewrite(tree)
    if len(tree.body) != 1:
        raise CellRefused("eval() of a generator expression is not in this REPL: write it in the cell", 1)
    return ast.unparse(tree.body[0])


def _parsed(code: str) -> ast.Module:
    try:
        tree = ast.parse(code)
        if "global" in code or ":=" in code:
            symtable.symtable(code, "<unknown>", "exec")  # finds conflicting declarations, without generating code
    except SyntaxError as error:
        raise CellRefused(error.msg, error.lineno, type(error).__name__) from None
    except ValueError as error:
        raise CellRefused(str(error), None, "SyntaxError") from None
    except (MemoryError, RecursionError):
        raise CellRefused("the cell is nested too deeply: split it", 1, "SyntaxError") from None
    if ":" in code and _annotations.are_read(tree):
        tree = _annotations.Called().visit(tree)
    return tree


def _written(tree: ast.Module, *, has_value: bool, classes: Collection[str]) -> CellSource:
    """Unparse a tree, with marks that report the progress from statement to statement."""
    tree.body, ends_at = _numbered(tree.body)
    if has_value:
        last = tree.body[-1]
        assert isinstance(last, ast.Expr)  # noqa: S101 - it was the cell's last statement
        named = [ast.keyword("classes", ast.Tuple([ast.Constant(one) for one in sorted(classes)], ast.Load()))]
        ours = ast.Call(ast.Name("_rlm_value", ast.Load()), [last.value], named if classes else [])
        last.value = ast.copy_location(ours, last.value)
    if any(isinstance(node, ast.Await) for node in ast.walk(tree)):
        tree = _large.Formats().visit(tree)  # Python 3.11 gets positions within f-strings wrong
    ast.fix_missing_locations(tree)
    code = _unparsed(tree)
    again = ast.parse(code)
    numbers = [0] * (code.count("\n") + 1)
    for before, after in zip(_statements(tree), _statements(again), strict=True):
        numbers[after.lineno - 1 : after.end_lineno] = [before.lineno] * ((after.end_lineno or 0) - after.lineno + 1)
    ends = tuple(again.body[at].end_lineno or 0 for at in ends_at)
    awaited = frozenset(_awaited(again, tuple(code.split("\n")))) if "await" in code else frozenset()
    return CellSource(code, awaited=awaited, has_value=has_value, numbers=tuple(numbers), ends=ends)


def _numbered(body: list[ast.stmt]) -> tuple[list[ast.stmt], list[int]]:
    """Insert marks between the statements; return all of them and the index of each statement of the cell."""
    done: list[ast.stmt] = []
    ends: list[int] = []
    for at, statement in enumerate(body):
        is_ours = isinstance(statement, ast.FunctionDef) and statement.name.startswith("_rlm_")
        if at and not is_ours and _may_take_long(statement):
            mark = ast.Call(ast.Name(MARK, ast.Load()), [ast.Constant(len(ends))], [])
            done.append(ast.copy_location(ast.Expr(mark), statement))
        done.append(statement)
        if not is_ours:
            ends.append(len(done) - 1)
    return done, ends


def _may_take_long(statement: ast.stmt) -> bool:
    """Return whether a statement may run into a limit; a mark costs as much as a host call, so the rest get none."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
        return False
    looping = (ast.Call, ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.BinOp)
    return any(isinstance(node, looping) for node in ast.walk(statement))


def _unparsed(tree: ast.Module) -> str:
    try:
        code = ast.unparse(tree)
        ast.parse(code)
    except (ValueError, SyntaxError):
        # Some Python versions cannot unparse every f-string.
        code = ast.unparse(ast.fix_missing_locations(_large.Formats().visit(tree)))
    return code


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Iterate over the statements of a tree in source order."""
    for part in ("body", "handlers", "cases", "orelse", "finalbody"):
        nodes = getattr(tree, part, ())
        for node in nodes if isinstance(nodes, list) else ():
            if isinstance(node, ast.stmt):
                yield node
            yield from _statements(node)


def show_vars_source(names: Iterable[str]) -> str:
    """Return the source of a `SHOW_VARS` that describes those of `names` that exist."""
    # Prefixed names, since a global of the cell would be shadowed by a local name.
    probes = "".join(
        f"    try:\n        _rlm_found[{name!r}] = _rlm_describe({name})\n    except _rlm_missing:\n        pass\n"
        for name in names
    )
    return f"{_DESCRIBE_SOURCE}def SHOW_VARS():\n    _rlm_found = {{}}\n{probes}    return _rlm_found\n"


def _bound_names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Iterate over the names that statements bind at module level."""
    queue: list[ast.AST] = [*reversed([*body])]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not node.id.startswith("_"):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
            yield from (name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names)
            continue
        elif isinstance(node, ast.alias) and node.name != "*":
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        elif isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            yield from (n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            continue
        queue.extend(reversed([*ast.iter_child_nodes(node)]))


def _bound_members(tree: ast.Module, host_names: Collection[str]) -> Iterator[str]:
    """Iterate over the members of the host's objects that a cell binds."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in host_names:
                yield f"{name}.{node.attr}"


def _awaited(tree: ast.Module, lines: tuple[str, ...]) -> Iterator[int]:
    """Iterate over the offsets of calls that are awaited directly or as arguments of an awaited `asyncio.gather`."""
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()) + 1)
    for node in ast.walk(tree):
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            call = node.value
            gathers = isinstance(call.func, ast.Attribute | ast.Name) and ast.unparse(call.func).endswith("gather")
            inner = [n for argument in call.args for n in ast.walk(argument)] if gathers else [call]
            yield from (starts[n.lineno - 1] + n.col_offset for n in inner if isinstance(n, ast.Call))


_OWN_NAME = re.compile(r"\b_rlm_(\w+)")


def own_names(code: str) -> frozenset[str]:
    """Return the names of our functions that the source of a cell calls, without their prefix."""
    return frozenset(_OWN_NAME.findall(code))
