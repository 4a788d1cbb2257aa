"""All of Python's syntax and names: each is accepted as the table says, or refused by name with what to write instead.

The lists come from Python itself, so that what a later version adds is refused until somebody decides.
"""

import ast
import builtins
import keyword
import sys

import pytest

from rlmbox.sandboxes.subset import grammar
from rlmbox.sandboxes.subset.errors import SubsetError
from rlmbox.sandboxes.subset.evaluate import SubsetSession
from rlmbox.sandboxes.subset.grammar import SubsetProfile
from rlmbox.sandboxes.subset.service import default_limits

ABSTRACT = {
    *(ast.mod, ast.stmt, ast.expr, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
    *(ast.excepthandler, ast.pattern, ast.type_ignore, ast.slice),
    getattr(ast, "type_param", None),  # from 3.12 on
}
NOT_IN_A_CELL = {"Module", "Interactive", "Expression", "FunctionType", "TypeIgnore"}
NO_LONGER_MADE = {"AugLoad", "AugStore", "ExtSlice", "Index", "Param", "Suite", "Num", "Str", "Bytes", "NameConstant"}
NO_LONGER_MADE |= {"Ellipsis"}
ACCEPTED = {
    "FunctionDef": "def f(a, *b, c=1, **d):\n    return a",
    "Delete": "x = 1\ndel x",
    "Assign": "x = 1",
    "AugAssign": "x = 1\nx += 1",
    "AnnAssign": "x: int = 1",
    "For": "for i in [1]:\n    continue",
    "If": "if 1:\n    pass",
    "Raise": "try:\n    raise ValueError(1) from None\nexcept ValueError as e:\n    pass",
    "Try": "try:\n    pass\nfinally:\n    pass",
    "Assert": "assert 1, 'text'",
    "Import": "import re",
    "ImportFrom": "from re import search as s",
    "Global": "def f():\n    global x",
    "Expr": "1",
    "Break": "for i in [1]:\n    break",
    "BoolOp": "1 and 0 or 2",
    "NamedExpr": "(x := 1)",
    "BinOp": "[1 + 1, 1 - 1, 2 * 2, 1 / 2, 7 % 2, 2 ** 3, 1 << 2, 8 >> 1, 6 | 1, 6 ^ 1, 6 & 1, 7 // 2]",
    "UnaryOp": "[~1, not 1, +1, -1]",
    "Lambda": "(lambda x: x)(1)",
    "IfExp": "1 if 1 else 2",
    "Dict": "{1: 2, **{}}",
    "Set": "{1}",
    "ListComp": "[x for x in [1] if x]",
    "SetComp": "{x for x in [1]}",
    "DictComp": "{x: x for x in [1]}",
    "GeneratorExp": "list(x for x in [1])",
    "Compare": "[1 == 1, 1 != 2, 1 < 2, 1 <= 2, 1 > 0, 1 >= 0, 1 is 1, 1 is not 2, 1 in [1], 1 not in [2]]",
    "Call": "len('a', *[], **{})",
    "JoinedStr": "f'{1!r:>{3}}'",
    "Subscript": "'abc'[0:2:1]",
    "Starred": "a, *b = [1, 2]",
    "List": "[1]",
    "Tuple": "(1, 2)",
    "Attribute": "'a'.upper()",
}
REFUSED = {
    "AsyncFunctionDef": "async def f():\n    pass",
    "ClassDef": "class A:\n    pass",
    "AsyncFor": "async def f():\n    async for x in y:\n        pass",
    "While": "while 1:\n    pass",
    "With": "with x as y:\n    pass",
    "AsyncWith": "async def f():\n    async with x:\n        pass",
    "Match": "match 1:\n    case [1, *_] | {'a': 1, **r} | int() | None | x as y if 1:\n        pass",
    "TryStar": "try:\n    pass\nexcept* ValueError:\n    pass",
    "Nonlocal": "def f():\n    x = 1\n    def g():\n        nonlocal x",
    "Await": "async def f():\n    await x",
    "Yield": "def f():\n    yield 1",
    "YieldFrom": "def f():\n    yield from []",
    "MatMult": "1 @ 2",
}
if sys.version_info >= (3, 12):
    REFUSED |= {"TypeAlias": "type X = int", "TypeVar": "def f[T](x):\n    pass"}
    REFUSED |= {"ParamSpec": "def f[**P](x):\n    pass", "TypeVarTuple": "def f[*T](x):\n    pass"}
if sys.version_info >= (3, 14):
    REFUSED |= {"TemplateStr": "t'{1}'"}


def kinds_of_node() -> list[str]:
    """Return the names of all kinds of node that Python's parser makes."""
    found, open_kinds = set(), [ast.AST]
    while open_kinds:
        for kind in open_kinds.pop().__subclasses__():
            open_kinds.append(kind)
            if kind.__module__ in ("ast", "_ast") and kind not in ABSTRACT:
                found.add(kind.__name__)
    return sorted(found - NOT_IN_A_CELL - NO_LONGER_MADE)


def nodes_of(code: str) -> set[str]:
    return {type(node).__name__ for node in ast.walk(ast.parse(code))}


def ended(code: str, profile: SubsetProfile = "wide") -> SubsetError | None:
    session = SubsetSession(profile, default_limits(profile), lambda text: None, {"context": "abc", "query": "q"})
    return session.run(session.prepare(code)).error


def test_every_kind_of_node_is_in_a_cell_that_is_accepted_or_in_one_that_is_refused() -> None:
    accepted = set().union(*map(nodes_of, ACCEPTED.values()))
    refused = set().union(*map(nodes_of, REFUSED.values()))
    assert set(kinds_of_node()) - accepted - refused == set()


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_accepted_is_in_the_tree_and_runs(kind: str) -> None:
    assert kind in nodes_of(ACCEPTED[kind])
    error = ended(ACCEPTED[kind])
    assert error is None or error.code == "NameError", error


@pytest.mark.parametrize("profile", grammar.PROFILES)
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_is_named_with_what_to_write_instead(kind: str, profile: SubsetProfile) -> None:
    error = ended(REFUSED[kind], profile)
    assert error is not None
    assert error.code == "ForbiddenSyntax"
    assert error.hint
    assert error.line
    assert error.column


def test_every_keyword_of_python_is_in_one_of_those_cells() -> None:
    cells = " ".join([*ACCEPTED.values(), *REFUSED.values(), "None True False if elif else"])
    assert not [word for word in keyword.kwlist if word not in cells]


BUILTINS = sorted(
    {*dir(builtins), "exit", "quit", "help", "copyright", "credits", "license"} - {"_IncompleteInputError"}
)  # 3.13's own
OFFERED = {row.name for row in grammar.table() if row.kind in ("builtin", "exception")}
CONSTANTS = {"None", "True", "False"}


@pytest.mark.parametrize("name", BUILTINS)
def test_every_builtin_is_offered_or_refused_by_name(name: str) -> None:
    error = ended(f"x = {name}")
    if name in OFFERED or name in CONSTANTS:
        assert error is None
        return
    assert error is not None
    assert error.code in ("ForbiddenName", "ForbiddenSyntax")
    assert error.hint
    assert ended(f"try:\n    {name}\nexcept BaseException:\n    pass") is not None


MODULES = sorted(sys.stdlib_module_names - {row.name.partition(".")[0] for row in grammar.table()})


def test_every_module_of_python_that_is_not_offered_is_refused_by_name() -> None:
    for module in MODULES:
        error = ended(f"import {module}")
        assert error is not None
        assert error.code == "ForbiddenName"
        assert error.hint
        assert (ended(f"from {module} import x") or error).code == "ForbiddenName"
        assert (ended(f"import {module}", "strict") or error).code == "ForbiddenSyntax"


@pytest.mark.parametrize("profile", grammar.PROFILES)
def test_every_special_name_is_refused_as_a_name_and_as_an_attribute(profile: SubsetProfile) -> None:
    special = {name for kind in (object, str, int, list, dict, type, ast.AST, Exception) for name in dir(kind)}
    for name in sorted(name for name in special if name.startswith("__")):
        for code in (name, f"context.{name}", f"len(context.{name})", f"{name} = 1"):
            error = ended(code, profile)
            assert error is not None
            assert error.code == "ForbiddenName", code
            assert error.hint
