"""What the subset accepts does what CPython does, character for character."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subset.cpython import cells, in_cpython, in_subset, run

CELLS = cells()


def test_there_are_three_hundred_cells() -> None:
    assert len(CELLS) >= 300


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_prints_what_cpython_prints_and_fails_as_it_fails(name: str) -> None:
    expected = in_cpython(CELLS[name])
    assert in_subset(CELLS[name]) == expected
    assert expected.output or expected.error or expected.value or name == "conditional import"


# ---- programs from the grammar -----------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "xs", "s", "d")
numbers = st.integers(-20, 20).map(str) | st.sampled_from(("0", "1", "2.5", "-0.5", "1e3", "10**12"))
texts = st.sampled_from(
    ("''", "'a'", "'Hello World'", "'é日🎉'", "'1,2;3'", "' x '", "'\\n'", "'a\\tb'", "context[:40]")
)
names = st.sampled_from(NAMES)


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    arithmetic = st.tuples(
        inner,
        st.sampled_from(
            ["+", "-", "*", "/", "//", "%", "&", "|", "^", "==", "!=", "<", "<=", ">", ">=", "in", "and", "or"]
        ),
        inner,
    )
    methods = st.sampled_from(
        [
            "strip()",
            "lower()",
            "upper()",
            "title()",
            "split()",
            "splitlines()",
            "isdigit()",
            "swapcase()",
            "split(',')",
            "find('l')",
            "count('a')",
            "replace('a','bb')",
            "zfill(5)",
            "center(9,'*')",
            "partition(',')",
            "encode()",
            "startswith('a')",
            "rsplit(None,1)",
            "keys()",
            "items()",
            "copy()",
            "index(1)",
            "capitalize()",
            "rjust(7)",
            "expandtabs(3)",
        ]
    )
    calls = st.sampled_from(
        [
            "len",
            "str",
            "repr",
            "list",
            "tuple",
            "sorted",
            "sum",
            "max",
            "min",
            "any",
            "all",
            "bool",
            "abs",
            "int",
            "float",
            "round",
        ]
    )
    specs = st.sampled_from((":>8", ":<5", ":,", ":.2f", ":05d", "!r", "!s:^9", "", ":x", ":e"))
    return st.one_of(
        arithmetic.map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(inner, methods).map(lambda p: f"({p[0]}).{p[1]}"),
        st.tuples(calls, inner).map(lambda p: f"{p[0]}({p[1]})"),
        pair.map(lambda p: f"({p[0]})[{p[1]}]"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]})[{p[1]}:{p[2]}]"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.lists(inner, max_size=3).map(lambda p: f"[{', '.join(p)}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda p: f"({', '.join(p)},)"),
        st.lists(pair, max_size=2).map(lambda p: "{" + ", ".join(f"{k}: {v}" for k, v in p) + "}"),
        st.tuples(inner, names, inner).map(lambda p: f"[{p[0]} for {p[1]} in {p[2]}]"),
        st.tuples(inner, names, inner, inner).map(lambda p: f"[{p[0]} for {p[1]} in {p[2]} if {p[3]}]"),
        st.tuples(inner, names, inner).map(lambda p: f"sum({p[0]} for {p[1]} in {p[2]})"),
        st.tuples(names, inner, inner).map(lambda p: f"(lambda {p[0]}: {p[1]})({p[2]})"),
        inner.map(lambda p: f"(not {p})"),
        inner.map(lambda p: f"(-{p})"),
        st.tuples(inner, specs).map(lambda p: f'f"{{{p[0]}{p[1]}}}"' if '"' not in p[0] and "\\" not in p[0] else p[0]),
        st.tuples(texts, inner).map(lambda p: f"({p[0]} % {p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} < {p[1]} <= {p[2]})"),
    )


expressions = st.recursive(numbers | texts | names, _deeper, max_leaves=6)


@st.composite
def blocks(draw: st.DrawFn, depth: int = 2) -> str:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        lines.append(draw(statements(depth)))
    return "\n".join(lines)


def indented(text: str) -> str:
    return "\n".join("    " + line for line in text.split("\n"))


@st.composite
def statements(draw: st.DrawFn, depth: int = 2) -> str:
    kinds = ["assign", "print", "augment", "several", "item"]
    kinds += ["if", "for", "try", "def", "delete"] if depth else []
    kind = draw(st.sampled_from(kinds))
    value = draw(expressions)
    name = draw(names)
    if kind == "assign":
        return f"{name} = {value}"
    if kind == "print":
        return f"print({value}, {name}, sep='|')"
    if kind == "augment":
        return f"{name} {draw(st.sampled_from(['+', '-', '*', '|']))}= {value}"
    if kind == "several":
        return f"{name}, *{draw(names)} = {value}"
    if kind == "item":
        return f"d[{value}] = {draw(expressions)}"
    if kind == "delete":
        return f"del {name}"
    body = indented(draw(blocks(depth - 1)))
    if kind == "if":
        return f"if {value}:\n{body}\nelse:\n{indented(draw(blocks(depth - 1)))}"
    if kind == "for":
        ending = draw(st.sampled_from(("", "\n    break", "\n    continue")))
        return f"for {name} in {value}:\n{body}{ending}\nelse:\n    print('else')"
    if kind == "try":
        caught = draw(st.sampled_from(("Exception", "TypeError", "(ValueError, KeyError)", "LookupError")))
        return f"try:\n{body}\nexcept {caught} as e:\n    print(type_name, repr(e))\nfinally:\n    print('finally')"
    return f"def f({name}, k={value}):\n{body}\n    return {draw(expressions)}\nprint(f({draw(expressions)}))"


START = "a, b, c, xs, s, d, type_name = 1, -2, 3.5, [3, 1, 2], 'some text, 1', {1: 'x', 'a': [1]}, 'error'\n"


@given(blocks())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_program_from_the_grammar_does_what_cpython_does(code: str) -> None:
    found = in_subset(START + code)
    if found.error in ("ResourceLimitExceeded", "ForbiddenSyntax", "ForbiddenName"):
        return  # CPython might take for ever
    assert found == in_cpython(START + code)


@given(expressions)
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_expression_from_the_grammar_has_cpythons_value(code: str) -> None:
    found = in_subset(START + code)
    if found.error not in ("ResourceLimitExceeded", "ForbiddenSyntax", "ForbiddenName"):
        assert found == in_cpython(START + code)


def test_sets_go_through_their_items_in_the_order_they_were_put_in() -> None:
    code = (
        "s = {'c', 'a', 'b'}\ns.add('0')\ns.discard('a')\nprint(s, list(s), s | {'z', 'a'}, frozenset('xyx'))\ns.pop()"
    )
    found = in_subset(code)
    assert found.output == "{'c', 'b', '0'} ['c', 'b', '0'] {'c', 'b', '0', 'z', 'a'} frozenset({'x', 'y'})\n"
    assert found.value == "'c'"


def test_no_address_is_shown() -> None:
    code = "print(print, len, (lambda: 1), [].append, str.lower, (x for x in []), map(str, []), re, iter([]))"
    assert "0x" not in in_subset(code).output


def test_texts_and_numbers_that_are_equal_are_the_same() -> None:
    code = "a, b = 'ab', 'a' + 'b'\n[a is b, 1000 + 1 is 1001, 1 is 1.0, True is 1, [] is [], None is None]"
    assert in_subset(code).value == "[True, True, False, False, False, True]"


def test_steps_are_one_for_each_node_and_each_thousand_characters() -> None:
    assert run("1 + 2")[1] == 3
    assert run("x = 'a'\nx.upper()")[1] - run("x = 'a'")[1] == 3
    assert run("context.count('q')", "x" * 1_000_000)[1] == 1_000 + 4
