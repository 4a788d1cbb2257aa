"""Refusals: code that Monty would not run as CPython does, found before a cell runs and reported with an alternative.

Monty lacks parts of Python. A cell that would behave differently from CPython is not run at all: stopping halfway
wastes the calls it has paid for, and a silent difference is worse than a refusal. What can be rewritten to behave alike
is handled in `_rewrite.py` and the modules beside it; this module refuses the rest.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import keyword
import re
import sys
import typing
from collections.abc import Collection, Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, TypeGuard

from rlmbox.sandboxes.monty import _annotations, _tuples
from rlmbox.sandboxes.monty._members import KINDS
from rlmbox.sandboxes.monty._nodes import OWN_PREFIX
from rlmbox.sandboxes.monty._syntax import CellRefused
from rlmbox.sandboxes.monty.modules import MODULES, offered_names

if TYPE_CHECKING:
    from rlmbox.sandboxes.monty._errors import Errors
    from rlmbox.sandboxes.monty._known import Known

SURROGATE = re.compile("[\ud800-\udfff]")
SHIMMED_BUILTINS = frozenset(
    [
        "all",
        "any",
        "ascii",
        "bytes",
        "callable",
        "chr",
        "enumerate",
        "eval",
        "exec",
        "filter",
        "format",
        "getattr",
        "hasattr",
        "hash",
        "issubclass",
        "map",
        "max",
        "min",
        "next",
        "pow",
        "reversed",
        "round",
        "sorted",
        "zip",
    ]
)
"""Builtins that ours replace, because Monty lacks them or implements them differently."""

_LACKING = {
    "breakpoint": "print",
    "bytearray": "bytes, or a list of int",
    "classmethod": "@classmethod on a method",
    "compile": "the code itself in a cell",
    "complex": "pairs of float",
    "delattr": "an attribute that is None",
    "dir": "SHOW_VARS() for the variables",
    "exit": "if and else; a cell ends by itself",
    "globals": "SHOW_VARS() for the variables, and their names in the code",
    "help": "the system prompt, which has the signatures",
    "input": "the question, which is in `query`",
    "locals": "SHOW_VARS() for the variables, and their names in the code",
    "memoryview": "slices of bytes",
    "property": "@property on a method",
    "quit": "if and else; a cell ends by itself",
    "staticmethod": "@staticmethod on a method",
    "super": "one class without a base",
    "vars": "SHOW_VARS() for the variables",
    "__import__": "an import statement",
}
OF_KINDS = {"List": "list", "Dict": "dict", "Set": "set", "FrozenSet": "frozenset", "Tuple": "tuple"}
"""Names of `typing` that `isinstance` takes for classes."""
_TAKE_TYPES = frozenset({"NewType", "TypeVar", "cast", "isinstance", "issubclass"})
"""Functions that take a type of `typing`."""
_OF_ONE = {
    "dir": "hasattr(x, 'name')",
    "vars": "dataclasses.asdict(x), or x.name for each name",
}
"""What to write in the place of a builtin that is asked about one object."""
_DUNDERS = frozenset(
    "__init__ __repr__ __str__ __eq__ __hash__ __iter__ __next__ __getitem__ __setitem__ __contains__ __call__ __add__ "  # noqa: SIM905
    "__radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __floordiv__ __mod__ __enter__ __exit__ __slots__ "
    "__annotations__ __doc__ __post_init__ __match_args__".split()
)
CALLED_BY = {
    "__contains__": 1,
    "__getitem__": 1,
    "__iter__": 0,
    "__len__": 0,
    "__next__": 0,
    "__repr__": 0,
    "__str__": 0,
}
"""Methods to call through a builtin or an operator instead, with their number of arguments."""
_READABLE_DUNDERS = frozenset({"__name__", "__class__", "__init__", "__doc__"})
_DUNDER_WAYS = {
    "__dict__": "dataclasses.asdict(x), or x.name for each name",
    "__len__": "len(x)",
    "__module__": "type(x).__name__",
    "__qualname__": "__name__",
}
_NO_ATTRIBUTES = {
    "with_traceback": "the exception as it is",
    "add_note": "the text in the exception's message",
    "fold": "",
    "regs": "match.span(group)",
    "scanner": "pattern.finditer(text)",
    "cache_info": "a dict as the cache, and count yourself",
    "cache_clear": "a dict as the cache, and clear that",
}
_SPECIAL_WAYS = dict.fromkeys(
    ("__lt__", "__le__", "__gt__", "__ge__"), "key=lambda item: ... of sorted, min and max, or tuples for heapq"
)
"""What to write in the place of a method with a special name."""
_MEMBER_WAYS = {
    "abstractmethod": "a plain method that raises NotImplementedError",
    "cache": "a dict in self",
    "cached_property": "@property that keeps its value in self",
    "lru_cache": "a dict in self",
    "setter": "a plain method, such as set_value",
}
"""What to write in the place of a decorator of a method."""
_BASE_HINTS = {
    "Exception": "a class at the top of the cell whose base is Exception, ValueError, KeyError or their like",
    "Enum": "a class with plain attributes, such as class Color: RED = 1",
    "IntEnum": "a class with plain attributes, such as class Color: RED = 1",
    "StrEnum": "a class with plain attributes, such as class Color: RED = 'red'",
    "JSONEncoder": "json.dumps(value, default=function)",
    "Generic": "a class without a base; annotations are free",
    "Protocol": "a class without a base; annotations are free",
    "NamedTuple": "fields alone in it, or @dataclass",
    "TypedDict": "a plain dict",
    "ABC": "a class without a base",
    "dict": "a class that has a dict",
    "list": "a class that has a list",
}


def lacking(what: str, way: str, node: ast.AST | None = None) -> CellRefused:
    """Return the refusal of a feature that the REPL lacks.

    Args:
        what: The feature.
        way: What to write instead; may be empty.
        node: Where it is used.
    """
    use = f": use {way}" if way else ""
    return CellRefused(f"{what} is not in this REPL's Python{use}", getattr(node, "lineno", None))


ONLY_NAMED = frozenset(
    "AbstractSet AnyStr AsyncIterable AsyncIterator Awaitable Collection Container Coroutine DefaultDict Deque "  # noqa: SIM905
    "Hashable ItemsView KeysView LiteralString Match MutableMapping MutableSequence MutableSet Pattern Reversible "
    "Sized TypeAlias TypeGuard ValuesView".split()
)
"""Names of `typing` that annotations alone use."""
ADDED_NAMES = {
    "functools": frozenset({"cmp_to_key", "wraps"}),
    "typing": frozenset({"NamedTuple", "NewType", "TypeVar", "cast"}) | ONLY_NAMED,
    "dataclasses": frozenset({"asdict", "astuple", "replace"}),
    "re": frozenset({"L", "LOCALE", "PatternError", "U", "UNICODE", "VERBOSE", "X", "error", "purge", "subn"}),
}
"""Names that Monty's own modules lack and that we provide."""
_CODE = re.compile("%([-_]?.)", re.DOTALL)
_CODES = frozenset("aAbBcCdDeFfgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%")
_JSON_HOOKS = frozenset({"object_hook", "object_pairs_hook", "parse_float", "parse_int", "parse_constant", "cls"})


def check(
    tree: ast.Module, bound: Collection[str], known: Known, errors: Errors, methods: Collection[int] = ()
) -> None:
    """Check a cell for what has to be refused.

    Args:
        tree: The cell.
        bound: Names that this cell or an earlier one binds.
        known: What earlier cells have bound.
        errors: The exceptions that the session's cells define.
        methods: The `id` of each decorator of a method that is rewritten.

    Raises:
        CellRefused: The cell uses something that Monty lacks.
    """
    modules = imported_names(tree, known)
    _check_attributes_of_functions(tree, known)
    _check_slots(tree)
    _check_types_as_values(tree, modules)
    called = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and CALLED_BY.get(node.func.attr) == len(node.args)
        and not node.keywords
    }
    unread = {id(node) for node in _annotations.nodes_in(tree)}
    asked = {id(node.comparators[0].func) for node in ast.walk(tree) if is_asked_for(node)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        _check_own_names(node)
        _check_statement(node)
        _check_class(node, is_whole=id(node) in errors.here or _tuples.is_one(node, modules), methods=methods)
        _check_pattern(node, errors)
        _check_keys(node)
        _check_text(node)
        if isinstance(node, ast.Call):
            _check_call(node, bound)
            _check_kinds(node, modules)
            _check_codes(node)
        if (
            isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and node.id not in bound
            and id(node) not in unread
            and id(node) not in asked
            and id(node) not in errors.supers
            and id(node) not in methods
        ):
            _check_builtin(node)
        elif isinstance(node, ast.Attribute) and id(node) not in called:
            _check_attribute(node, modules)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _check_import(node)


def is_super(node: ast.expr) -> bool:
    """Return whether a node is `super()`."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def is_asked_for(node: ast.AST) -> TypeGuard[ast.Compare]:
    """Return whether a node tests for a variable, as `'name' in globals()` does."""
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0], ast.In | ast.NotIn):
        return False
    where = node.comparators[0]
    return (
        isinstance(node.left, ast.Constant)
        and isinstance(node.left.value, str)
        and node.left.value.isidentifier()
        and not keyword.iskeyword(node.left.value)
        and isinstance(where, ast.Call)
        and isinstance(where.func, ast.Name)
        and where.func.id in ("globals", "locals", "vars", "dir")
        and not where.args
        and not where.keywords
    )


def _check_own_names(node: ast.AST) -> None:
    for name in _names_of(node):
        if name.startswith(OWN_PREFIX):
            line = getattr(node, "lineno", None)
            raise CellRefused(f"names that begin with {OWN_PREFIX} are the REPL's own: take another", line, "NameError")


def _names_of(node: ast.AST) -> Iterator[str]:
    for field in ("id", "name", "asname", "attr", "arg", "rest"):
        value = getattr(node, field, None)
        if isinstance(value, str):
            yield value
    if isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names


def _check_statement(node: ast.AST) -> None:
    if isinstance(node, ast.arguments) and node.posonlyargs and node.kwarg:
        raise lacking("a / together with **", "distinct names, without the /", node.kwarg)
    if isinstance(node, ast.Yield | ast.YieldFrom):
        raise lacking("yield", "a list that the function fills and returns", node)
    if isinstance(node, ast.Delete):
        for target in node.targets:
            if not isinstance(target, ast.Subscript):
                name = ast.unparse(target)
                raise lacking(f"del {name}", f"{name} = None", node)
    if isinstance(node, ast.AsyncFor | ast.AsyncWith):
        raise lacking("async for and async with", "await asyncio.gather(*[...])", node)
    if isinstance(node, ast.comprehension) and node.is_async:
        raise lacking("an async comprehension", "await asyncio.gather(*[...])", node.target)
    if sys.version_info >= (3, 12) and isinstance(node, ast.TypeAlias):
        raise lacking("a type statement", "no annotation", node)


def _check_attributes_of_functions(tree: ast.Module, known: Known) -> None:
    """Refuse `f.calls = 0` for a function `f`: functions have no attributes in Monty."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    names |= {name for name, qualified in known.functions if name == qualified and name in known.names - known.classes}
    names -= {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    names -= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in names
        ):
            raise lacking(f"an attribute of a function, such as {ast.unparse(node)},", "a dict beside it", node)


def _check_keys(node: ast.AST) -> None:
    """Refuse equal keys of different types: CPython keeps the first, Monty the last."""
    keys = node.keys if isinstance(node, ast.Dict) else node.elts if isinstance(node, ast.Set) else []
    seen: dict[object, type] = {}
    for key in keys:
        if not isinstance(key, ast.Constant) or not isinstance(key.value, int | float):
            continue
        if seen.setdefault(key.value, type(key.value)) is not type(key.value):
            raise lacking(f"a dict or set in which {key.value!r} equals another key", "one type of key", key)


def _check_text(node: ast.AST) -> None:
    """Refuse a literal with a lone surrogate, which Monty's strings cannot hold."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and SURROGATE.search(node.value):
        raise lacking("a lone surrogate such as '\\ud800'", "text, and leave it out", node)


def _check_call(node: ast.Call, bound: Collection[str]) -> None:
    function = node.func
    if _is_type_of_builtin(node, bound):
        raise lacking(ast.unparse(node), "the name of the function", node)
    if isinstance(function, ast.Name) and function.id in _OF_ONE and node.args and function.id not in bound:
        raise lacking(f"{function.id}(x)", _OF_ONE[function.id], node)
    if ast.unparse(function) == "type" and len(node.args) == 3 and ast.unparse(node.args[1]) != "()":
        raise lacking("type(name, bases, members)", "a class statement at the top of the cell", node)
    if _writes(node):
        raise lacking("a file to write to", "a variable, or io.StringIO()", node)
    if ast.unparse(function) in ("asyncio.gather", "gather") and any(one.arg for one in node.keywords):
        raise lacking("asyncio.gather(return_exceptions=...)", "try and except in what is gathered", node)
    if isinstance(function, ast.Attribute):
        _check_call_of_module(node, function)


def _check_call_of_module(node: ast.Call, function: ast.Attribute) -> None:
    """Refuse arguments that functions of Monty's modules do not take."""
    if function.attr == "field_size_limit" and node.args:
        raise lacking("csv.field_size_limit(n)", "csv.reader as it is, with fields of up to 131,072 characters", node)
    if function.attr in ("loads", "load") and ast.unparse(function.value) == "json":
        for option in node.keywords:
            if option.arg in _JSON_HOOKS:
                raise lacking(f"json.{function.attr}({option.arg}=...)", "a loop over what json.loads gives", node)


def _check_codes(node: ast.Call) -> None:
    """Refuse codes of dates that Monty reads differently from the C library, such as `%q`, or does not read."""
    is_format = isinstance(node.func, ast.Attribute) and node.func.attr == "strftime"
    for part in node.args if is_format else ():
        codes = _CODE.findall(part.value) if isinstance(part, ast.Constant) and isinstance(part.value, str) else []
        for code in codes:
            if code.lstrip("-_") not in _CODES:
                raise lacking(f"%{code} in a format of a date", "another code, such as %d or %B", part)


def _check_kinds(node: ast.Call, modules: dict[str, str]) -> None:
    """Refuse `isinstance(x, Iterable)`, for which Monty has no classes."""
    if not isinstance(node.func, ast.Name) or node.func.id not in ("isinstance", "issubclass") or len(node.args) != 2:
        return
    for kind in node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]:
        name = ast.unparse(kind)
        module, _, last = name.rpartition(".")
        stands_for = f"{modules.get(module)}.{last}" if module else modules.get(name, "")
        if name == "type":
            raise lacking(f"{node.func.id}(x, type)", "callable(x), or the class itself", node)
        if stands_for.startswith("typing.") and last not in OF_KINDS:
            way = "its classes, as in isinstance(x, (list, tuple, dict))"
            raise lacking(f"{node.func.id}(x, {name})", way, node)


def _check_types_as_values(tree: ast.Module, modules: dict[str, str]) -> None:
    """Refuse `kind = List`: `isinstance(x, kind)` would not take it for a class."""
    if not any(one.partition(".")[0] == "typing" for one in modules.values()):
        return
    ways = {**OF_KINDS, "Callable": "callable(x)"}
    for node in ast.walk(tree):
        for value in _values_in(node):
            name = ast.unparse(value)
            module, _, last = name.rpartition(".")
            stands_for = f"{modules.get(module)}.{last}" if module else modules.get(name, "")
            kind = stands_for.removeprefix("typing.")
            if kind != stands_for and hasattr(getattr(typing, kind, None), "__origin__"):
                raise lacking(f"{name} as a value", ways.get(kind, "its classes, as in (list, tuple, dict)"), value)


def _values_in(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """Iterate over the names that a statement or a call passes on as values."""
    values: list[ast.expr] = []
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] not in _TAKE_TYPES:
        values = [*node.args, *(one.value for one in node.keywords)]
    elif isinstance(node, ast.Assign | ast.Return) and node.value is not None:
        values = [node.value]
    elif isinstance(node, ast.For | ast.comprehension):
        values = [node.iter]
    for value in values:
        if isinstance(value, ast.Tuple | ast.List):
            values += value.elts
        elif isinstance(value, ast.Dict):
            values += value.values
        elif isinstance(value, ast.Name | ast.Attribute):
            yield value


def _is_type_of_builtin(node: ast.Call, bound: Collection[str]) -> bool:
    """Return whether a call is `type(f)` for a builtin `f` that we replace by a function."""
    return (
        isinstance(node.func, ast.Name)
        and node.func.id == "type"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Name)
        and node.args[0].id in SHIMMED_BUILTINS - {*bound}
    )


def _writes(node: ast.Call) -> bool:
    """Return whether a call opens or writes a file."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr in ("write_text", "write_bytes")
    if not isinstance(function, ast.Name) or function.id != "open":
        return False
    modes = [*node.args[1:2], *(one.value for one in node.keywords if one.arg == "mode")]
    return any(isinstance(mode, ast.Constant) and bool({*"wax+"} & {*str(mode.value)}) for mode in modes)


def _check_class(node: ast.AST, *, is_whole: bool, methods: Collection[int]) -> None:
    if not isinstance(node, ast.ClassDef):
        return
    _check_decorators(node)
    for base in () if is_whole else node.bases:
        name = ast.unparse(base)
        if name != "object":
            way = _BASE_HINTS.get(name.rpartition(".")[2], "")
            if not way and name.endswith(("Error", "Exception")):
                way = _BASE_HINTS["Exception"]
            way = way or f"a class without a base, with what it needs of {name} in it"
            raise lacking(f"a class with a base, such as {node.name}({name}),", way, node)
    if node.keywords:
        raise lacking("a class with a keyword such as metaclass", "a plain class", node)
    for member in node.body:
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
            _check_member(member, methods)
        elif isinstance(member, ast.ClassDef):
            raise lacking("a class in a class", f"{member.name} at the top of the cell", member)
        elif not is_whole and not _is_simple_member(member):
            way = "name = value, one name a line" if isinstance(member, ast.Assign) else "it before or after the class"
            raise lacking(f"{ast.unparse(member).splitlines()[0]} in a class", way, member)


def _is_simple_member(member: ast.stmt) -> bool:
    """Return whether Monty runs a statement that is no method in the body of a class."""
    if isinstance(member, ast.Assign):
        return len(member.targets) == 1 and isinstance(member.targets[0], ast.Name)
    return isinstance(member, ast.AnnAssign | ast.Pass) or (
        isinstance(member, ast.Expr) and isinstance(member.value, ast.Constant)
    )


def _check_member(member: ast.FunctionDef | ast.AsyncFunctionDef, methods: Collection[int]) -> None:
    if member.name.startswith("__") and member.name.endswith("__") and member.name not in _DUNDERS:
        way = _SPECIAL_WAYS.get(member.name, "a method with a plain name, and call it")
        raise lacking(f"{member.name} of a class", way, member)
    for decorator in member.decorator_list:
        if id(decorator) not in methods:
            name = ast.unparse(decorator)
            way = (
                "a class at the top of the cell"
                if name in KINDS
                else _MEMBER_WAYS.get(name.partition("(")[0].rpartition(".")[2], "")
            )
            raise lacking(f"@{name} on a method", way or "a plain method or function", member)


def _check_slots(tree: ast.Module) -> None:
    """Refuse the assignment of an attribute outside `__slots__`, which Monty does not enforce."""
    slots = [
        one.value
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for one in node.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "__slots__"
    ]
    named = {str(one.value) for value in slots for one in ast.walk(value) if isinstance(one, ast.Constant)}
    for node in ast.walk(tree) if slots else ():
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr not in named:
            raise lacking(
                f"{node.attr}, which no __slots__ has,", f"a class without __slots__, or add {node.attr} to them", node
            )


def _check_decorators(node: ast.ClassDef) -> None:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and any(one.arg == "order" for one in decorator.keywords):
            raise lacking("@dataclass(order=True)", "sorted(items, key=lambda item: (item.a, item.b))", decorator)


def _check_pattern(node: ast.AST, errors: Errors) -> None:
    """Refuse `case ValueError():`, which would not match exceptions that a cell defines."""
    if isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name) and errors.is_one(node.cls.id):
        raise lacking(f"case {node.cls.id}()", "isinstance(e, ...), or except", node.cls)


def _check_builtin(node: ast.Name) -> None:
    name = node.id
    if name == "__class__":
        raise lacking("__class__ in a method", "type(self)", node)
    if name in _LACKING:
        raise lacking(f"{name}()" if name != "property" else name, _LACKING[name], node)
    if name in _missing_builtins():
        raise lacking(name, "ValueError or RuntimeError" if name.endswith(("Error", "Warning", "Group")) else "", node)


def _check_attribute(node: ast.Attribute, modules: dict[str, str]) -> None:
    name = node.attr
    if name.startswith("__") and name.endswith("__") and name not in _READABLE_DUNDERS and name not in _DUNDERS:
        raise lacking(f".{name}", _DUNDER_WAYS.get(name, ""), node)
    if name in _NO_ATTRIBUTES:
        raise lacking(f".{name}", _NO_ATTRIBUTES[name], node)
    if isinstance(node.value, ast.Name) and node.value.id in modules:
        _check_module_name(modules[node.value.id], name, node)


def _check_module_name(module: str, name: str, node: ast.AST) -> None:
    offered = native_modules().get(module) or (offered_names(module) if module in MODULES else None)
    if f"{module}.{name}" in _OF_INTERPRETER:
        raise lacking(f"{module}.{name}", _OF_INTERPRETER[f"{module}.{name}"], node)
    if offered and name not in offered | ADDED_NAMES.get(module, frozenset()) and _has(module, name):
        raise lacking(f"{module}.{name}", _MODULE_WAYS.get(f"{module}.{name}") or _WAYS_WITHOUT.get(module, ""), node)


def _check_import(node: ast.Import | ast.ImportFrom) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            _check_module(alias.name, node)
        return
    module = node.module or ""
    if node.level:
        raise lacking("a relative import", "the module's whole name", node)
    if module == "__future__":
        return
    _check_module(module, node)
    for alias in node.names:
        if alias.name == "*":
            raise lacking("import *", f"import {module}, or from {module} import what is used", node)
        _check_module_name(module, alias.name, node)


def is_offered(module: str) -> bool:
    """Return whether a cell can import a module.

    Args:
        module: Its name.
    """
    return (module in native_modules() and module != "builtins") or module in MODULES


def _check_module(name: str, node: ast.AST) -> None:
    if is_offered(name):
        return
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise lacking(
            f"the module {name}", _MODULE_WAYS.get(name, "plain Python, or one of the modules in the notes"), node
        )


def imported_names(tree: ast.Module, known: Known) -> dict[str, str]:
    """Return what this cell and earlier ones have imported, as target by name, including the modules bound at start."""
    found = {name: name for name in ("re", "json", "math", "base64", "binascii") if name not in known.names}
    found |= dict(known.imports)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


@cache
def native_modules() -> dict[str, frozenset[str]]:
    """Return the names in each of Monty's own modules."""
    text = files("rlmbox.sandboxes.monty.modules").joinpath("native.txt").read_text(encoding="utf-8")
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: frozenset(names.split()) for name, _, names in lines}


@cache
def _missing_builtins() -> frozenset[str]:
    offered = native_modules()["builtins"] | SHIMMED_BUILTINS
    return frozenset(name for name in dir(builtins) if not name.startswith("_")) - offered


def _has(module: str, name: str) -> bool:
    """Return whether CPython's module has a name, so that its absence is a lack of Monty's."""
    try:
        return hasattr(importlib.import_module(module), name)
    except ImportError:
        return False


_NAMES_OF_SYS = (
    "abiflags api_version argv base_exec_prefix base_prefix builtin_module_names copyright exec_prefix executable "
    "flags hexversion platform platlibdir prefix pycache_prefix version version_info"
)
_OF_INTERPRETER = {f"sys.{name}": "what Python 3.11 has, without asking for it" for name in _NAMES_OF_SYS.split()}
"""Names of `sys` that describe the interpreter, which is a different one."""
_MODULE_WAYS = {
    "abc": "a class without a base",
    "argparse": "variables",
    "array": "a list",
    "ast.dump": "ast.literal_eval for values; code itself cannot be read",
    "ast.parse": "ast.literal_eval for values; code itself cannot be read",
    "asyncio.create_task": "await asyncio.gather(*[...])",
    "calendar": "datetime",
    "cmath": "math",
    "collections.ChainMap": "{**a, **b}",
    "collections.OrderedDict": "a dict, which keeps its order",
    "concurrent.futures": "llm_batch(prompts), or await asyncio.gather(*[...])",
    "contextlib.contextmanager": "a class with __enter__ and __exit__",
    "contextlib.redirect_stdout": "print(text, file=stream) with an io.StringIO()",
    "contextlib.ExitStack": "with statements inside each other",
    "dataclasses.fields": "dataclasses.asdict(item), which has the names and the values",
    "datetime.UTC": "datetime.timezone.utc",
    "datetime.tzinfo": "datetime.timezone(timedelta(hours=...))",
    "difflib.ndiff": "difflib.unified_diff",
    "doctest": "assert",
    "enum": "a class with plain attributes, such as class Color: RED = 1",
    "fnmatch": "str.endswith, or re",
    "fractions": "decimal, or pairs of int",
    "functools.cached_property": "@property that keeps its value in self",
    "functools.singledispatch": "isinstance in an if",
    "functools.total_ordering": "sorted(items, key=...)",
    "html": "str.replace",
    "html.parser": "re",
    "inspect": "SHOW_VARS() for the variables; the source of a function cannot be read",
    "locale": "f'{number:,}'",
    "logging": "print",
    "operator.methodcaller": "lambda item: item.method()",
    "os": "the text in `context`; there are no files",
    "os.environ": "os.getenv(name, default); there are no variables",
    "pickle": "json",
    "queue": "collections.deque, or heapq",
    "shlex": "str.split, or re.findall",
    "statistics.correlation": "statistics.mean and sum",
    "statistics.covariance": "statistics.mean and sum",
    "statistics.NormalDist": "statistics.mean and statistics.stdev",
    "string.Formatter": "str.format",
    "struct": "int.from_bytes(data[a:b], 'little')",
    "subprocess": "Python itself; there are no processes",
    "sys.exc_info": "except ... as e",
    "sys.exit": "if and else; a cell ends by itself",
    "sys.getsizeof": "len(x)",
    "sys.setrecursionlimit": "a loop",
    "threading": "llm_batch(prompts), or await asyncio.gather(*[...])",
    "typing.TypedDict": "a plain dict",
    "unittest": "assert",
    "urllib.parse": "str.split and str.replace",
    "uuid": "random",
    "warnings": "print",
    "zoneinfo": "datetime.timezone(timedelta(hours=...))",
}
_WAYS_WITHOUT = {
    "asyncio": "await asyncio.gather(*[...])",
    "os": "Python itself; there are no processes and no files",
    "sys": "plain Python, which does not ask the interpreter",
    "types": "isinstance",
}
"""What to write instead of those names of a module that have no entry above."""
