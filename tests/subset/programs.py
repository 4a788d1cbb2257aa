"""Programs of the language, for hypothesis: from the grammar's rows, so that none is forgotten."""

from hypothesis import strategies as st

from rlmbox.sandboxes.subset.grammar import GrammarRow, table

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


# ---- one row of the table each ---------------------------------------------------------------------------------------

SHOW = (
    "def show(v):\n"
    "    if isinstance(v, (set, frozenset)):\n        return sorted(map(repr, v))\n"
    "    if isinstance(v, (str, bytes, int, float, bool, tuple, list, dict, range)) or v is None:\n        return v\n"
    "    if isinstance(v, (ValueError, LookupError, ArithmeticError, OSError, RuntimeError)):\n        return repr(v)\n"
    "    return 'some object'\n"
)
"""Sets have no order in CPython, and what is shown with an address is another each time."""
IMPORTS = "import collections, math, re, json, base64, binascii, zlib, string\n"
RECEIVERS = {
    "str": ("''", "'Hello World'", "'a,b,,c'", "'ÉéßŒ 日本'", "' \\t x\\n'", "'12'", "'٣'", "'{} {x:>4}'", "'aAbB'"),
    "bytes": ("b''", "b'Hello World'", "b'a,b,,c'", "b'\\xff\\x00 z'", "b'12 34'"),
    "list": ("[]", "[3, 1, 2]", "['b', 'a']", "[1, 'x', None]", "[[1], [2]]"),
    "dict": ("{}", "{'a': 1, 'b': 2}", "{1: [], 2: 'x'}"),
    "tuple": ("()", "(1, 2, 1)", "('a', None)"),
    "set": ("set()", "{1, 2, 3}", "{'a', 'b'}"),
    "frozenset": ("frozenset()", "frozenset({1, 2})", "frozenset('ab')"),
    "Counter": ("collections.Counter()", "collections.Counter('hello')", "collections.Counter({'a': 3, 'b': -1})"),
    "defaultdict": ("collections.defaultdict(list)", "collections.defaultdict(int, {'a': 1})"),
    "Match": (r"re.search(r'(?P<x>\w+) (\w)?', context)", "re.search('(a)|(b)', 'b')"),
    "Pattern": (r"re.compile(r'\d+')", "re.compile('(a)(?P<n>b)?', re.IGNORECASE)", "re.compile('x*')"),
    "exception": ("ValueError()", "KeyError('k')", "IndexError(1, 'two')"),
}
ARGUMENTS = (
    *("''", "'a'", "'l'", "' '", "','", "'o W'", "'Hello World'", "'utf-8'", "'é'", "'0f'", "'[1, {\"a\": null}]'"),
    *("b''", "b'a'", "b'l'", "b'YQ=='", "b'x,y'", "0", "1", "2", "-1", "7", "10**6", "1.5", "-0.25", "True", "None"),
    *("[]", "[3, 1, 2]", "['b', 'a']", "(1, 2)", "{}", "{'a': 1}", "{'a': 'b'}", "{1, 2}", "range(3)", "str", "int"),
    *(
        "len",
        "lambda *a: a",
        "lambda *a: len(a)",
        "re.IGNORECASE",
        "context",
        "query",
        "math.inf",
        "'nan'",
        "[['a', 1]]",
    ),
)
KEYWORDS = (
    "key=len",
    "key=str",
    "reverse=True",
    "default=None",
    "sep='-'",
    "maxsplit=1",
    "count=1",
    "indent=1",
    "start=2",
)
CALLABLE_KINDS = ("builtin", "exception", "method", "module")
NOT_CALLED = ("set.pop", "json.JSONDecodeError")  # which item is the first is not said; json.loads makes the errors
CALLED = tuple(
    row for row in table() if row.kind in CALLABLE_KINDS and "wide" in row.profiles and row.name not in NOT_CALLED
)
CONSTRUCTS = tuple(row for row in table() if row.kind in ("statement", "expression") and "wide" in row.profiles)
arguments = st.lists(st.sampled_from(ARGUMENTS), max_size=3)
keywords = st.lists(st.sampled_from(KEYWORDS), max_size=1)


@st.composite
def calls(draw: st.DrawFn, row: GrammarRow) -> str:
    """Return a call of what a row names, with arguments that often are the wrong ones."""
    owner, _, member = row.name.rpartition(".")
    prefix = f"x = {draw(st.sampled_from(RECEIVERS[owner]))}\n" if row.kind == "method" else ""
    name = f"x.{member}" if row.kind == "method" else row.name
    given = ", ".join([*draw(arguments), *draw(keywords)])
    shown = "list" if row.name in ("enumerate", "filter", "map", "reversed", "zip", "iter", "re.finditer") else ""
    called = f"show({shown}({name}({given})))" if shown else f"show({name}({given}))"
    return f"{IMPORTS}{SHOW}{prefix}print({called})" + ("\nprint(show(x))" if prefix else "")
