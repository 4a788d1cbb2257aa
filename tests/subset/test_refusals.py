"""Every construct and name that is refused is refused by its code, and the error says what to write instead."""

import ast
import pathlib
import re

import pytest

from rlmbox.sandboxes.subset import attributes, grammar
from rlmbox.sandboxes.subset.evaluate import CellResult, SubsetSession
from rlmbox.sandboxes.subset.grammar import GrammarRow, SubsetProfile, table
from rlmbox.sandboxes.subset.regex import Match, Pattern
from rlmbox.sandboxes.subset.service import default_limits
from rlmbox.sandboxes.subset.values import CellFrozenSet, CellSet

ROWS = table()
REFUSED_SYNTAX = [row for row in ROWS if row.kind == "refused syntax"]
REFUSED_NAMES = [row for row in ROWS if row.kind == "refused name"]
CONSTRUCTS = [row for row in ROWS if row.kind in ("statement", "expression")]
SUBSET = ["while", "with", "class", "yield", "async", "await", "match", "decorator", "nonlocal"]
NAMES = [
    "open",
    "eval",
    "exec",
    "compile",
    "globals",
    "locals",
    "vars",
    "getattr",
    "setattr",
    "type",
    "id",
    "hash",
    "input",
    "__import__",
]


def ended(code: str, profile: SubsetProfile = "wide") -> CellResult:
    session = SubsetSession(profile, default_limits(profile), lambda text: None, {"context": "abc", "query": "q"})
    return session.run(session.prepare(code))


@pytest.mark.parametrize("row", REFUSED_SYNTAX, ids=lambda row: row.name)
def test_a_refused_construct_names_what_to_write_instead(row: GrammarRow) -> None:
    if row.name in ("type statement", "except*"):
        try:
            ast.parse(row.example)
        except SyntaxError:
            pytest.skip("this Python has no such statement")
    error = ended(f"x = 1\nf = 2\n{row.example}").error
    assert error is not None
    assert (error.code, error.hint) == ("ForbiddenSyntax", row.hint)
    assert error.hint
    assert error.line is not None
    assert error.line >= 3
    assert error.column


@pytest.mark.parametrize("row", REFUSED_NAMES, ids=lambda row: row.name)
def test_a_refused_name_names_what_to_use_instead(row: GrammarRow) -> None:
    for code in (row.name, f"{row.name}('x')", f"f = [{row.name}]", f"def f():\n    return {row.name}"):
        error = ended(code).error
        assert error is not None
        assert (error.code, error.hint) == ("ForbiddenName", row.hint)
        assert row.hint


def test_the_table_has_all_that_the_design_refuses() -> None:
    assert {*SUBSET} <= {row.name for row in REFUSED_SYNTAX}
    assert {*NAMES} <= {row.name for row in REFUSED_NAMES}


@pytest.mark.parametrize("profile", grammar.PROFILES)
@pytest.mark.parametrize("row", CONSTRUCTS, ids=lambda row: row.name)
def test_a_construct_is_accepted_exactly_in_its_profiles(row: GrammarRow, profile: SubsetProfile) -> None:
    error = ended(f"x = 1\n{row.example}", profile).error
    if profile in row.profiles:
        assert error is None
    else:
        assert error is not None
        assert error.code in ("ForbiddenSyntax", "ForbiddenName")
        assert error.hint


@pytest.mark.parametrize("kind", ["builtin", "exception"])
def test_a_name_is_there_exactly_in_its_profiles(kind: grammar.ConstructKind) -> None:
    for row in (row for row in ROWS if row.kind == kind):
        for profile in grammar.PROFILES:
            code = row.name if profile == "wide" or kind == "builtin" else "try:\n    pass\nexcept Exception:\n    pass"
            error = ended(code, profile).error
            if profile in row.profiles:
                assert error is None, row
            elif kind == "builtin":
                assert error is not None
                assert error.code == "ForbiddenName"


def test_a_member_of_a_module_is_there_exactly_in_its_profiles() -> None:
    for row in (row for row in ROWS if row.kind == "module"):
        for profile in grammar.PROFILES:
            error = ended(row.name, profile).error
            assert (error is None) == (profile in row.profiles), (row, error)


VALUES = {
    "str": "'a'",
    "bytes": "b'a'",
    "list": "[1]",
    "dict": "{}",
    "tuple": "(1,)",
    "set": "{1}",
    "frozenset": "frozenset()",
    "Counter": "collections.Counter()",
    "defaultdict": "collections.defaultdict(list)",
    "Match": "re.search('a', 'a')",
    "Pattern": "re.compile('a')",
    "exception": "ValueError(1)",
}


@pytest.mark.parametrize("owner", VALUES)
def test_a_value_has_exactly_the_methods_of_the_table(owner: str) -> None:
    offered = grammar.members("wide", "method")[owner]
    for name in offered:
        assert ended(f"({VALUES[owner]}).{name}").error is None, name
    kind = attributes.TYPES.get(owner, ValueError)
    ordered: dict[type, type] = {CellSet: set, CellFrozenSet: frozenset}
    python = ordered.get(kind, kind)
    for name in set(dir(python)) - offered:
        if kind in (Match, Pattern):
            continue  # our own classes, whose other names are no attributes at all
        error = ended(f"x = {VALUES[owner]}\nx.{name}").error
        assert error is not None
        assert error.code == "ForbiddenName", (owner, name, error)
        assert error.hint


@pytest.mark.parametrize(
    "name", ["os", "sys", "subprocess", "socket", "ctypes", "importlib", "builtins", "pathlib", "io"]
)
def test_other_modules_are_refused(name: str) -> None:
    for code in (f"import {name}", f"from {name} import x", f"import {name} as json", f"import {name}.path"):
        error = ended(code).error
        assert error is not None
        assert error.code == "ForbiddenName"
        assert "ctx" in error.hint


def test_a_module_that_does_not_exist_is_the_error_that_it_is_in_python() -> None:
    assert ended("try:\n    import numpy_like\nexcept ImportError:\n    x = 1\nx").value == 1


ESCAPES = [
    "().__class__.__bases__[0].__subclasses__()",
    "'{0.__class__}'.format(1)",
    "'{0[0]}'.format([1])",
    "'{x.__globals__}'.format(x=print)",
    "'{:{0.__class__}}'.format(1)",
    "f'{print.__self__}'",
    "print.__globals__",
    "(lambda: 1).__code__",
    "(x for x in []).gi_frame",
    "try:\n    1/0\nexcept Exception as e:\n    e.__traceback__.tb_frame",
    "try:\n    1/0\nexcept Exception as e:\n    e.with_traceback",
    "re.compile('x')._tree",
    "re.sre_parse",
    "re._compiler",
    "json.decoder",
    "json.codecs",
    "collections.abc",
    "collections.sys",
    "str.mro",
    "str.__mro__",
    "[].append.__self__",
    "''.format_map({})",
    "import re._parser",
    "from re import sys",
    "from collections import _sys",
    "globals()['x']",
    "def f(__class__):\n    pass",
    "def __build_class__():\n    pass",
    "print(end='', **{'__x': 1}, file=print)",
    "__debug__ = 1",
    "for __x in []:\n    pass",
    "x = lambda __y: 1",
    "import json as __json",
    "(__x := 1)",
    "[__x for __x in []]",
    "try:\n    pass\nexcept Exception as __e:\n    pass",
    "def f():\n    global __x",
    "f(__class__=1)",
    "math.__loader__",
    "context.__class__",
    "SHOW_VARS.__globals__",
]


@pytest.mark.parametrize("code", ESCAPES)
def test_nothing_leads_to_the_host(code: str) -> None:
    error = ended(code).error
    assert error is not None
    assert error.code in ("ForbiddenName", "ForbiddenSyntax", "AttributeError", "ImportError", "TypeError")


@pytest.mark.parametrize("code", ["print.__self__", "[0] * 10**12", "sum(range(10**12))", "10**10**10", "x = open"])
def test_what_is_refused_cannot_be_caught(code: str) -> None:
    caught = f"try:\n    {code}\nexcept BaseException:\n    print('caught')\nfinally:\n    print('finally')"
    written: list[str] = []
    session = SubsetSession("wide", default_limits("wide"), written.append, {})
    assert session.run(session.prepare(caught)).error is not None
    assert written == []


def test_nothing_is_compiled_or_executed_by_python() -> None:
    folder = pathlib.Path(grammar.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("exec", "eval", "compile", "__import__"), path


@pytest.mark.parametrize(
    "pattern", [r"(?=a)", r"(?<=a)b", r"(?!a)", r"(?<!a)b", r"(a)\1", r"(?P<x>a)(?P=x)", r"(a)?(?(1)b|c)"]
)
def test_a_pattern_that_takes_more_than_linear_time_is_refused_by_name(pattern: str) -> None:
    error = ended(f"re.search(r'{pattern}', 'aab')").error
    assert error is not None
    assert error.code == "ForbiddenSyntax"
    assert re.search("look-around|back-reference|conditional", error.message)
    assert error.hint
