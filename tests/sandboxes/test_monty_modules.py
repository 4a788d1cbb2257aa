"""The modules written for Monty give what CPython's own give, cell by cell."""

import ast
import contextlib
import heapq
import io
import math
import pprint
import statistics
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_monty import CollectString, Monty, MontyComplete, MontyError, NameLookupSnapshot

from examples import examples
from rlmbox.errors import SandboxError
from rlmbox.sandboxes.monty._refusals import native_modules
from rlmbox.sandboxes.monty.modules import HOST_FUNCTIONS, MODULES, NOTES, imported, instance_name, module_source

HOST = {function.name: function.call for function in HOST_FUNCTIONS}
MIB = 1024 * 1024
some = settings(max_examples=examples(60), deadline=None)


class Repl:
    """A Monty session that answers imports and host calls as the sandbox does."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        if name not in self.modules:
            self.session.feed_run(module_source(name))
            self.modules[name] = self.session.feed_run(instance_name(name))
        return self.modules[name]

    def run(self, code: str, **inputs: Any) -> tuple[Any, str]:
        for name in imported(code):
            self.module(name)
        printed = CollectString()
        snapshot = self.session.feed_start(code, inputs=inputs, print_callback=printed)
        while not isinstance(snapshot, MontyComplete):
            snapshot = self.answer(snapshot)
        return snapshot.output, printed.output

    def answer(self, snapshot: Any) -> Any:
        if isinstance(snapshot, NameLookupSnapshot):
            if snapshot.variable_name not in HOST:
                return snapshot.resume()

            def reference() -> None: ...

            reference.__name__ = snapshot.variable_name
            return snapshot.resume(value=reference)
        name = snapshot.function_name
        if name == "import" and snapshot.args[0] in MODULES:
            return snapshot.resume({"return_value": self.module(snapshot.args[0])})
        if name not in HOST:
            return snapshot.resume({"exc_type": "NameError", "message": f"name {name!r} is not defined"})
        try:
            return snapshot.resume({"return_value": HOST[name](*snapshot.args)})
        except (ValueError, TypeError) as error:
            return snapshot.resume({"exc_type": type(error).__name__, "message": str(error)})

    def value(self, code: str, **inputs: Any) -> Any:
        return self.run(code, **inputs)[0]


@pytest.fixture(scope="module")
def repl() -> Iterator[Repl]:
    limits: Any = {"max_memory": 128 * MIB, "max_recursion_depth": 100, "max_suspensions": 1_000_000}
    with Monty(max_processes=1) as pool, pool.checkout(script_name="test", limits=limits) as session:
        yield Repl(session)


def python(code: str, **inputs: Any) -> tuple[Any, str]:
    """Runs a cell in CPython: the value of its last expression, and what it printed."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = dict(inputs)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(tree, "<cell>", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    return value, printed.getvalue()


def outcome(run: Any, code: str) -> tuple[str, str]:
    """A cell's value and output as text, or the family of its exception."""
    try:
        value, printed = run(code)
    except MontyError as error:
        return "raised", str(error).partition(":")[0]
    except (statistics.StatisticsError, zlib.error):
        return "raised", "ValueError"  # a class of Monty's cannot inherit, so theirs is ValueError itself
    except Exception as error:  # noqa: BLE001 - whichever it is, Monty is to raise it too
        return "raised", type(error).__name__
    return repr(value), printed


IMPORTS = (
    "from decimal import Decimal\nfrom collections import Counter, defaultdict, deque\nfrom functools import reduce\n"
)


SECTIONS = dict(
    section.split("\n", 1) for section in (Path(__file__).parent / "monty_cells.txt").read_text().split("\n## ")[1:]
)
WHOLE_CELLS = SECTIONS.pop("whole cells").strip().split("\n\n")
EXPRESSIONS = [(module, line) for module, text in SECTIONS.items() for line in text.strip().splitlines()]


@pytest.mark.parametrize(("module", "expression"), EXPRESSIONS)
def test_a_call_gives_what_cpython_gives(repl: Repl, module: str, expression: str) -> None:
    names = [n.id for n in ast.walk(ast.parse(expression)) if isinstance(n, ast.Name)]
    offered = sorted(set(names) & set(__import__(module).__all__))
    code = f"{IMPORTS}from {module} import {', '.join(offered)}\n{expression}"
    assert outcome(repl.run, code) == outcome(python, code)


@pytest.mark.parametrize("code", WHOLE_CELLS)
def test_a_cell_gives_what_cpython_gives(repl: Repl, code: str) -> None:
    expected = outcome(python, code)
    # CPython refuses this before zlib sees it, Monty's host after: the exception's name is not ours to keep.
    if expected == ("raised", "OverflowError"):
        expected = ("raised", "ValueError")
    assert outcome(repl.run, code) == expected


numbers = st.one_of(
    st.lists(st.integers(-(10**20), 10**20), min_size=2, max_size=12),
    st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=12),
    st.lists(st.one_of(st.integers(-9, 9), st.floats(-10, 10)), min_size=2, max_size=12),
)
EXACT = "mean fmean median median_low median_high mode multimode quantiles stdev pstdev variance pvariance"


@some
@given(data=numbers)
def test_statistics_are_exactly_those_of_cpython(repl: Repl, data: list[float]) -> None:
    calls = ", ".join(f"statistics.{name}(data)" for name in EXACT.split())
    found = repl.value(f"import statistics\n[{calls}]", data=data)
    expected = [getattr(statistics, name)(data) for name in EXACT.split()]
    assert list(map(repr, found)) == list(map(repr, expected))


@some
@given(data=st.lists(st.floats(1e-50, 1e50), min_size=1, max_size=9), n=st.integers(1, 12))
def test_means_and_quantiles_of_positive_numbers_are_those_of_cpython(repl: Repl, data: list[float], n: int) -> None:
    code = """import statistics
[statistics.harmonic_mean(data), statistics.harmonic_mean(data, weights), statistics.geometric_mean(data),
 statistics.quantiles(data + [1], n=n, method='inclusive')]"""
    weights = [float(i + 1) for i in range(len(data))]
    harmonic, weighted, geometric, cuts = repl.value(code, data=data, n=n, weights=weights)
    assert harmonic == statistics.harmonic_mean(data)
    assert weighted == statistics.harmonic_mean(data, weights)
    assert math.isclose(geometric, statistics.geometric_mean(data), rel_tol=1e-13)
    assert cuts == statistics.quantiles([*data, 1], n=n, method="inclusive")


@some
@given(
    items=st.lists(st.integers(0, 30), max_size=40),
    steps=st.lists(st.tuples(st.sampled_from(["push", "pop", "replace", "pushpop"]), st.integers(0, 30)), max_size=15),
)
def test_a_heap_has_the_layout_of_cpython_after_any_steps(repl: Repl, items: list[int], steps: list[Any]) -> None:
    code = """import heapq
heap = list(items)
heapq.heapify(heap)
seen = [list(heap)]
for step, x in steps:
    if step == 'push':
        heapq.heappush(heap, x)
    elif step == 'pushpop':
        seen.append(heapq.heappushpop(heap, x))
    elif heap:
        seen.append(heapq.heappop(heap) if step == 'pop' else heapq.heapreplace(heap, x))
    seen.append(list(heap))
seen"""
    assert repl.value(code, items=items, steps=steps) == python(code, items=items, steps=steps)[0]


@some
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers()), max_size=20), n=st.integers(-1, 8))
def test_the_largest_and_smallest_keep_the_order_of_equals(repl: Repl, pairs: list[Any], n: int) -> None:
    code = "import heapq\n[f(n, pairs, key=lambda p: p[0]) for f in (heapq.nlargest, heapq.nsmallest)]"
    assert repl.value(code, pairs=pairs, n=n) == [
        f(n, pairs, key=lambda p: p[0]) for f in (heapq.nlargest, heapq.nsmallest)
    ]


@some
@given(
    text=st.text(alphabet="ab C.!?-'\"\t\n\r\u00a0é_1", max_size=80),
    width=st.integers(8, 25),
    flags=st.lists(st.booleans(), min_size=6, max_size=6),
    max_lines=st.none() | st.integers(1, 3),
    indents=st.tuples(st.sampled_from(["", "* "]), st.sampled_from(["", "  "])),
)
def test_wrapped_text_breaks_where_cpython_breaks_it(
    repl: Repl, text: str, width: int, flags: list[bool], max_lines: int | None, indents: tuple[str, str]
) -> None:
    names = "expand_tabs replace_whitespace fix_sentence_endings break_long_words drop_whitespace break_on_hyphens"
    options: dict[str, object] = dict(zip(names.split(), flags, strict=True))
    options |= {"width": width, "max_lines": max_lines, "initial_indent": indents[0], "subsequent_indent": indents[1]}
    # Versions of CPython differ in what a line of other whitespace is to dedent.
    plain = text.replace("\r", "").replace("\u00a0", "")
    code = "import textwrap\n[textwrap.wrap(text, **options), textwrap.dedent(plain), textwrap.indent(text, '> ')]"
    inputs = {"text": text, "plain": plain, "options": options}
    assert repl.value(code, **inputs) == python(code, **inputs)[0]


@some
@given(a=st.text("abc ", max_size=20), b=st.text("abc ", max_size=20), n=st.integers(1, 3))
def test_differences_are_those_of_cpython(repl: Repl, a: str, b: str, n: int) -> None:
    code = """import difflib
s = difflib.SequenceMatcher(lambda c: c == ' ', a, b)
[s.ratio(), s.quick_ratio(), s.real_quick_ratio(), s.get_matching_blocks(), s.get_opcodes(),
 list(difflib.unified_diff(list(a), list(b), 'a', 'b', n=n))]"""
    assert repr(repl.value(code, a=a, b=b, n=n)) == repr(python(code, a=a, b=b, n=n)[0])


leaves = st.one_of(st.integers(), st.booleans(), st.none(), st.text("ab \n'", max_size=40), st.binary(max_size=30))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text("abc", max_size=12), inner, max_size=5),
        st.sets(st.integers(0, 99), max_size=9),
    ),
    max_leaves=20,
)


@some
@given(tree=trees, width=st.integers(10, 60), indent=st.integers(0, 4), compact=st.booleans())
def test_pretty_printed_structures_are_those_of_cpython(
    repl: Repl, tree: Any, width: int, indent: int, compact: bool
) -> None:
    code = "import pprint\npprint.pformat(tree, width=width, indent=indent, compact=compact)"
    expected = pprint.pformat(tree, width=width, indent=indent, compact=compact)
    assert repl.value(code, tree=tree, width=width, indent=indent, compact=compact) == expected


STREAM_STEPS = st.one_of(
    st.tuples(st.just("write"), st.text("ab\n", max_size=6)),
    st.tuples(st.sampled_from(["read", "readline"]), st.integers(-1, 6)),
    st.tuples(st.sampled_from(["seek", "truncate"]), st.integers(0, 12)),
)


@some
@given(start=st.text("ab\n", max_size=12), steps=st.lists(STREAM_STEPS, max_size=12), binary=st.booleans())
def test_a_stream_is_at_every_step_as_in_cpython(repl: Repl, start: str, steps: list[Any], binary: bool) -> None:
    code = """import io
f = io.BytesIO(start.encode()) if binary else io.StringIO(start)
seen = []
for step, x in steps:
    if step == 'write':
        seen.append(f.write(x.encode() if binary else x))
    elif step == 'read':
        seen.append(f.read(x))
    elif step == 'readline':
        seen.append(f.readline(x))
    else:
        seen.append(f.seek(x) if step == 'seek' else f.truncate(x))
    seen.append((f.tell(), f.getvalue()))
seen + f.readlines()"""
    assert (
        repl.value(code, start=start, steps=steps, binary=binary)
        == python(code, start=start, steps=steps, binary=binary)[0]
    )


def test_a_bomb_is_refused_without_being_unpacked(repl: Repl) -> None:
    with pytest.raises(MontyError, match=r"ValueError: .*more than 16,777,216 bytes"):
        repl.value("import zlib\nzlib.decompress(data)", data=zlib.compress(bytes(17 * MIB)))
    assert len(repl.value("import zlib\nzlib.decompress(data)", data=zlib.compress(bytes(16 * MIB)))) == 16 * MIB


def test_the_host_compresses_and_unpacks_no_more_than_it_may() -> None:
    with pytest.raises(ValueError, match="at most 16,777,216 bytes"):
        HOST["_rlm_zlib_compress"](bytes(16 * MIB + 1))
    with pytest.raises(ValueError, match="at most 17,825,792 bytes"):
        HOST["_rlm_zlib_decompress"](bytes(17 * MIB + 1))
    with pytest.raises(ValueError, match="at most"):
        HOST["_rlm_zlib_crc32"](bytes(17 * MIB))


def test_a_checksum_of_more_than_one_piece_is_that_of_the_whole(repl: Repl) -> None:
    data = bytes(range(256)) * (65 * 1024)  # 16.25 MiB
    assert repl.value("import zlib\n[zlib.crc32(data), zlib.adler32(data)]", data=data) == [
        zlib.crc32(data),
        zlib.adler32(data),
    ]


@pytest.mark.parametrize("arguments", [("text",), (b"", "15"), (b"", None), (None,), (3,)])
def test_the_host_refuses_arguments_of_the_wrong_type(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        HOST["_rlm_zlib_decompress"](*arguments)


def test_host_functions_may_be_called_again_when_a_session_is_rebuilt() -> None:
    assert all(function.pure and function.name.startswith("_rlm_") for function in HOST_FUNCTIONS)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_loads_under_a_tight_recursion_limit_and_names_itself(name: str) -> None:
    limits: Any = {"max_recursion_depth": 10, "max_memory": 8 * MIB}
    with Monty(max_processes=1) as pool, pool.checkout(script_name="test", limits=limits) as session:
        repl = Repl(session)
        assert repl.value(f"import {name}\nrepr({name})") == f"<module '{name}'>"


SHADOWED = "abs all any bin bool bytes dict divmod enumerate float frozenset getattr id int isinstance len list map max"
SHADOWED += " min print range repr set setattr slice sorted str sum tuple type zip"
USES = {
    "contextlib": "with contextlib.suppress(KeyError):\n    {}['a']\nr = 1",
    "difflib": "r = difflib.get_close_matches('appel', ['apple', 'x'])",
    "heapq": "h = [3, 1, 2]\nheapq.heapify(h)\nr = (heapq.heappop(h), heapq.nlargest(1, h))",
    "ast": "r = ast.literal_eval(\"[1, 'a', {'k': (1, 2)}]\")",
    "io": "f = io.StringIO('a\\nb')\nf.seek(0, 2)\nf.write('c')\nr = f.getvalue()",
    "operator": "r = (operator.itemgetter(0, 1)('ab'), operator.abs(-1), operator.countOf('aab', 'a'))",
    "pprint": "r = pprint.pformat({'b': ['word'] * 30, 'a': (b'x' * 99,)})",
    "statistics": "r = (statistics.stdev([1, 2.5]), statistics.median([1, 2]), statistics.quantiles([1, 2, 3]))",
    "string": "r = string.Template('$a').substitute(a=1) + string.capwords('a b')",
    "traceback": "r = [traceback.print_exc is not None, traceback.format_exc is not None]",
    "textwrap": "r = textwrap.wrap('some words to wrap', 9) + [textwrap.shorten('a b c d', 5, placeholder='')]",
    "types": "r = types.SimpleNamespace(a=1) == types.SimpleNamespace(a=1)",
    "zlib": "r = zlib.decompress(zlib.compress(b'abc')), zlib.crc32(b'abc')",
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_works_in_a_session_whose_cells_have_reused_the_names_of_builtins(name: str) -> None:
    code = f"{' = '.join(SHADOWED.split())} = None\nimport {name}\n{USES[name]}\nr"
    with Monty(max_processes=1) as pool, pool.checkout(script_name="test") as session:
        assert Repl(session).value(code) == python(code)[0]


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import heapq", {"heapq"}),
        ("import os, heapq as h, json", {"heapq"}),
        ("from textwrap import fill as f", {"textwrap"}),
        ("def f():\n    if True:\n        import io\n        from zlib import crc32", {"io", "zlib"}),
        ("import os.path, io.nothing, re", set()),
        ("from . import heapq\nfrom .heapq import x", set()),
        ("heapq = 'import heapq'", set()),
        ("import heapq\nthis is not valid python", set()),
        ("import heapq\0", set()),
        ("(" * 100_000, set()),
    ],
)
def test_the_imports_of_a_cell_are_found(code: str, names: set[str]) -> None:
    assert imported(code) == names


def test_an_unknown_module_has_no_source() -> None:
    with pytest.raises(SandboxError, match="no source of a module 'os'"):
        module_source("os")


@pytest.mark.parametrize(
    "code",
    [
        "class A(list): pass",
        "def f():\n    yield 1",
        "x = 1\ndel x",
        "from math import *",
        *(f"class A:\n    @{name}\n    def x(self): return 1" for name in ("property", "classmethod", "staticmethod")),
        *("globals()", "callable(len)", "issubclass(bool, int)", "vars(1)", "dir(1)", "bytearray(b'a')"),
        "raise ValueError('a', 'b')",
        "sorted(['b'], key=str.lower)",
        "d = {'a': 1}\nmax(d, key=d.get)",
        "import re\nre.sub('a', lambda m: 'b', 'a')",
        "import re\nre.VERBOSE",
        "'a'.translate({97: 'b'})",
        "import collections\ncollections.OrderedDict",
        "class A:\n    def __len__(self): return 3\nlen(A())",
        "class A:\n    def __lt__(self, other): return True\nA() < A()",
        "class A:\n    def __bool__(self): return False\nassert not A()",
        "import io\nprint('x', file=io.StringIO())",
    ],
)
def test_what_the_notes_call_missing_fails_so_that_the_notes_stay_true(repl: Repl, code: str) -> None:
    with pytest.raises(MontyError):
        repl.run(code)


def test_the_modules_that_the_notes_name_can_be_imported(repl: Repl) -> None:
    listed = next(note for note in NOTES if note.startswith("Modules: ")).removeprefix("Modules: ")
    own = listed.partition(", and the main parts of ")[0].replace(" (gather, run, sleep)", "").split(", ")
    repl.run("import " + ", ".join(own))
    assert all(name in listed for name in MODULES)


def test_what_is_listed_of_montys_own_modules_is_there(repl: Repl) -> None:
    for module, names in native_modules().items():
        if module == "builtins":
            repl.run("\n".join(sorted(names)))
            continue
        repl.run(f"import {module}")
        for name in sorted(names):
            repl.run(f"{module}.{name}")  # raises where it is not
