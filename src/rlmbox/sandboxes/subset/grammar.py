"""The constructs that the language accepts and refuses, as one table.

The interpreter consults it, `rlmbox subset --spec` prints it, the documentation includes it and the tests iterate over
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

SubsetProfile = Literal["strict", "wide"]
ConstructKind = Literal[
    "statement", "expression", "builtin", "exception", "method", "module", "refused syntax", "refused name"
]
PROFILES: tuple[SubsetProfile, ...] = ("strict", "wide")


@dataclass(frozen=True, slots=True)
class GrammarRow:
    """A construct or a name.

    Attributes:
        kind: Its kind.
        name: Its name; `str.strip` is the method `strip` of `str`, `re.search` a member of the module `re`.
        profiles: The profiles that accept it; empty if it is refused.
        example: How it is used; for a refused construct, a cell that is refused.
        hint: What to write instead of a refused construct.
    """

    kind: ConstructKind
    name: str
    profiles: tuple[SubsetProfile, ...]
    example: str = ""
    hint: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the row as JSON."""
        found: dict[str, object] = {"kind": self.kind, "name": self.name, "profiles": list(self.profiles)}
        if self.example:
            found["example"] = self.example
        if self.hint:
            found["hint"] = self.hint
        return found


_BOTH: tuple[SubsetProfile, ...] = PROFILES
_WIDE: tuple[SubsetProfile, ...] = ("wide",)
PROFILE_HINT = 'it is in the profile `wide`; choose it with --profile wide or SubsetSandbox(profile="wide")'

_STATEMENTS = (
    ("assignment to a name", _BOTH, "x = 1", ""),
    ("if", _BOTH, "if x:\n    pass\nelse:\n    pass", ""),
    ("for", _BOTH, "for i in range(3):\n    pass", ""),
    ("try", _BOTH, "try:\n    pass\nexcept Exception:\n    pass", ""),
    ("pass", _BOTH, "pass", ""),
    ("expression", _BOTH, "x", ""),
    ("assignment to several names", _WIDE, "a, *b = [1, 2]", "assign to one name and take items by index"),
    ("assignment to an item", _WIDE, "d = {}\nd['k'] = 1", "assign to a name"),
    ("augmented assignment", _WIDE, "x = 1\nx += 1", "write x = x + y"),
    ("annotated assignment", _WIDE, "x: int = 1", "leave the annotation out"),
    ("for with several names", _WIDE, "for a, b in [(1, 2)]:\n    pass", "loop over one name"),
    ("for else", _WIDE, "for i in []:\n    pass\nelse:\n    pass", "put what follows after the loop"),
    ("break", _WIDE, "for i in [1]:\n    break", "test a variable in the loop"),
    ("continue", _WIDE, "for i in [1]:\n    continue", "put the rest of the loop under an if"),
    ("except of other types", _WIDE, "try:\n    pass\nexcept ValueError:\n    pass", "write except Exception:"),
    ("except as", _WIDE, "try:\n    pass\nexcept Exception as e:\n    pass", "write except Exception:"),
    ("try else", _WIDE, "try:\n    pass\nexcept Exception:\n    pass\nelse:\n    pass", "put it at the end of the try"),
    ("try finally", _WIDE, "try:\n    pass\nfinally:\n    pass", "put it after the try"),
    ("raise", _WIDE, "try:\n    raise ValueError\nexcept ValueError:\n    pass", "print what is wrong"),
    ("def", _WIDE, "def f(a, b=1, *c, d=2, **e):\n    pass", "write the steps out, or use a loop"),
    ("return", _WIDE, "def f():\n    return 1", "assign the result to a name"),
    ("del", _WIDE, "x = 1\ndel x", "assign None"),
    ("assert", _WIDE, "assert True", "use if and print"),
    ("global", _WIDE, "def f():\n    global x\n    x = 1", "return the value"),
    ("import", _WIDE, "import re", "re, base64, binascii and zlib are there without import"),
)
_EXPRESSIONS = (
    ("name", _BOTH, "x = 1\nx", ""),
    ("constant", _BOTH, "'a'", ""),
    ("call", _BOTH, "len('a')", ""),
    ("keyword argument", _BOTH, "print('a', end='')", ""),
    ("attribute", _BOTH, "'a'.strip()", ""),
    ("item", _BOTH, "'abc'[0]", ""),
    ("slice", _BOTH, "'abc'[0:2]", ""),
    ("conditional expression", _BOTH, "1 if True else 2", ""),
    ("+", _BOTH, "'a' + 'b'", ""),
    ("|", _BOTH, "re.IGNORECASE | re.DOTALL", ""),
    ("== != is is not", _BOTH, "1 == 1", ""),
    ("not", _BOTH, "not True", ""),
    ("unary -", _BOTH, "-1", ""),
    ("float", _WIDE, "1.5", "use int, or str"),
    ("- * / // % **", _WIDE, "2 * 3", "use + and the functions of the profile"),
    ("& ^ << >> ~", _WIDE, "6 & 3", "use | on flags"),
    ("unary +", _WIDE, "+1", "leave it out"),
    ("< <= > >=", _WIDE, "1 < 2", "use max(a, b) == b"),
    ("in not in", _WIDE, "'a' in 'abc'", "use 'abc'.find('a') != -1"),
    ("comparison chain", _WIDE, "1 == 1 == 1", "use nested ifs"),
    ("and or", _WIDE, "True and False", "use nested ifs"),
    ("slice with a step", _WIDE, "'abc'[::2]", "use a slice without a step"),
    ("list", _WIDE, "[1, 2]", "use re.findall, which gives a list"),
    ("tuple", _WIDE, "(1, 2)", "use several names"),
    ("dict", _WIDE, "{'a': 1}", "use several names"),
    ("set", _WIDE, "{1}", "use several names"),
    ("f-string", _WIDE, "f'{1:>3}'", "use + between texts, or print with several arguments"),
    ("list comprehension", _WIDE, "[i for i in range(3)]", "use a for loop"),
    ("set comprehension", _WIDE, "{i for i in range(3)}", "use a for loop"),
    ("dict comprehension", _WIDE, "{i: i for i in range(3)}", "use a for loop"),
    ("generator expression", _WIDE, "sum(i for i in range(3))", "use a for loop"),
    ("lambda", _WIDE, "(lambda x: x)(1)", "write the expression where it is used"),
    (":=", _WIDE, "(x := 1)", "assign in a statement of its own"),
    ("* in a call or display", _WIDE, "print(*[1, 2])", "write the arguments out"),
)
_REFUSED_SYNTAX = (
    ("while", "while True:\n    pass", "loop with `for i in range(n)` and `break`"),
    ("with", "with x:\n    pass", "there are no files or locks here; the text is in `context`"),
    ("class", "class A:\n    pass", "use a dict for the fields and functions for the methods"),
    ("yield", "def f():\n    yield 1", "return a list, or use a generator expression"),
    ("async", "async def f():\n    pass", "write def; host functions are called without await"),
    ("await", "await x", "call the function without await; it waits by itself"),
    ("match", "match 1:\n    case 1:\n        pass", "use if and elif"),
    ("decorator", "@f\ndef g():\n    pass", "call the function: g = f(g)"),
    ("nonlocal", "def f():\n    x = 1\n    def g():\n        nonlocal x", "keep the value in a list or dict"),
    ("except*", "try:\n    pass\nexcept* ValueError:\n    pass", "write except"),
    ("@", "1 @ 2", "multiply with a loop or sum(a * b for a, b in zip(x, y))"),
    ("...", "...", "write pass or None"),
    ("complex number", "1j", "use float"),
    ("type statement", "type X = int", "leave it out; annotations are not evaluated"),
    ("assignment to an attribute", "x.y = 1", "use a dict: x['y'] = 1"),
    ("import of a name with *", "from math import *", "name what you need: from math import sqrt"),
    (
        "FINAL",
        "FINAL(1 + 1)",
        'in the reply\'s text, not in code, write FINAL_VAR(name), or FINAL("...") with the text',
    ),
)
_BUILTINS = (
    (_BOTH, "iter len max print range"),
    (
        _WIDE,
        (
            "abs all any bool bytes chr dict divmod enumerate filter float frozenset int isinstance "
            "list map min next ord "
            "repr reversed round set sorted str sum tuple zip"
        ),
    ),
)
_EXCEPTIONS = (
    (_BOTH, "Exception"),
    (
        _WIDE,
        (
            "ArithmeticError AssertionError AttributeError BaseException EOFError ImportError IndexError KeyError "
            "KeyboardInterrupt LookupError ModuleNotFoundError NameError NotImplementedError OSError OverflowError "
            "RecursionError RuntimeError StopIteration SystemExit TimeoutError TypeError UnboundLocalError "
            "UnicodeDecodeError UnicodeEncodeError UnicodeError ValueError ZeroDivisionError"
        ),
    ),
)
_DICT = "clear copy get items keys pop popitem setdefault update values"
_METHODS = (
    (_BOTH, "str", "find lower strip"),
    (_BOTH, "bytes", "decode"),
    (_BOTH, "Match", "group"),
    (
        _WIDE,
        "str",
        (
            "capitalize casefold center count encode endswith expandtabs format index isalnum isalpha "
            "isascii isdecimal "
            "isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lstrip maketrans "
            "partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines "
            "startswith swapcase title translate upper zfill"
        ),
    ),
    (
        _WIDE,
        "bytes",
        (
            "capitalize center count endswith expandtabs find fromhex hex index isalnum isalpha "
            "isascii isdigit islower "
            "isspace istitle isupper join ljust lower lstrip maketrans partition removeprefix "
            "removesuffix replace rfind "
            "rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title "
            "translate upper zfill"
        ),
    ),
    (_WIDE, "list", "append clear copy count extend index insert pop remove reverse sort"),
    (_WIDE, "dict", _DICT + " fromkeys"),
    (_WIDE, "tuple", "count index"),
    (
        _WIDE,
        "set",
        (
            "add clear copy difference difference_update discard intersection intersection_update isdisjoint issubset "
            "issuperset pop remove symmetric_difference symmetric_difference_update union update"
        ),
    ),
    (
        _WIDE,
        "frozenset",
        "copy difference intersection isdisjoint issubset issuperset symmetric_difference union",
    ),
    (_WIDE, "Counter", _DICT + " elements most_common subtract total"),
    (_WIDE, "defaultdict", _DICT),
    (_WIDE, "Match", "end groupdict groups span start"),
    (_WIDE, "Pattern", "findall finditer fullmatch match pattern search split sub"),
    (_WIDE, "exception", "args"),
)
_MODULES = (
    (_BOTH, "re", "DOTALL IGNORECASE findall search"),
    (_BOTH, "base64", "b64decode"),
    (_BOTH, "binascii", "hexlify"),
    (_BOTH, "zlib", "decompress"),
    (
        _WIDE,
        "re",
        "A ASCII I M MULTILINE S VERBOSE X compile error escape finditer fullmatch match split sub",
    ),
    (_WIDE, "json", "JSONDecodeError dumps loads"),
    (
        _WIDE,
        "math",
        (
            "acos acosh asin asinh atan atan2 atanh ceil comb copysign cos cosh degrees dist e erf erfc exp expm1 fabs "
            "factorial floor fmod frexp fsum gamma gcd hypot inf isclose isfinite isinf isnan isqrt "
            "lcm ldexp lgamma log "
            "log10 log1p log2 modf nan perm pi pow prod radians remainder sin sinh sqrt tan tanh tau trunc"
        ),
    ),
    (_WIDE, "base64", "b64encode urlsafe_b64decode urlsafe_b64encode"),
    (_WIDE, "binascii", "Error unhexlify"),
    (_WIDE, "zlib", "error"),
    (
        _WIDE,
        "string",
        "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits printable punctuation whitespace",
    ),
    (_WIDE, "collections", "Counter defaultdict"),
)
_NO_FILES = "there are no files; the text is in `context`, and `ctx` searches it"
_NO_CODE = "write the code itself"
_NO_NAMES = "use the names themselves, or a dict"
_REFUSED_NAMES = (
    ("open", _NO_FILES),
    ("input", "nobody can type here; `query` is the question"),
    ("eval", "write the expression itself; json.loads reads literals"),
    ("exec", _NO_CODE),
    ("compile", "write the code itself; re.compile is there for patterns"),
    ("__import__", "write import re; json, math, base64, binascii, zlib, string and collections are there too"),
    ("globals", _NO_NAMES),
    ("locals", _NO_NAMES),
    ("vars", _NO_NAMES),
    ("dir", _NO_NAMES),
    ("getattr", "write value.name"),
    ("setattr", "use a dict"),
    ("delattr", "use a dict"),
    ("hasattr", "use isinstance, or `in` on a dict"),
    ("type", "use isinstance(value, str)"),
    ("id", "compare with `is`"),
    ("hash", "use the value itself as the key of a dict"),
    ("object", "use a dict"),
    ("super", "there are no classes; call the function by its name"),
    ("property", "there are no classes; use a function"),
    ("staticmethod", "there are no classes; use a function"),
    ("classmethod", "there are no classes; use a function"),
    ("memoryview", "use bytes and slices"),
    ("bytearray", "use bytes, or a list of numbers and bytes(list)"),
    ("complex", "use float"),
    ("slice", "write value[a:b]"),
    ("pow", "write a ** b"),
    ("hex", "write f'{n:#x}'"),
    ("bin", "write f'{n:#b}'"),
    ("oct", "write f'{n:#o}'"),
    ("ascii", "write f'{value!a}'"),
    ("format", "write f'{value:>10}'"),
    ("callable", "keep functions and values apart"),
    ("breakpoint", "print what you want to see"),
    ("help", "print what you want to see"),
    ("exit", "let the cell end"),
    ("quit", "let the cell end"),
    ("aiter", "use a for loop"),
    ("anext", "use next"),
    ("issubclass", "use isinstance with a value of the type"),
    ("Ellipsis", "write pass or None"),
    ("NotImplemented", "write None"),
    ("copyright", "let the cell end"),
    ("credits", "let the cell end"),
    ("license", "let the cell end"),
    ("__name__", "leave the test out; a cell always runs as the main program"),
    ("__builtins__", "use the functions by their names"),
    ("__class__", "use isinstance(value, str)"),
    ("__dict__", "use a dict"),
    ("__doc__", "there is no documentation in the REPL"),
    ("__file__", _NO_FILES),
    ("__subclasses__", "use isinstance(value, str)"),
)
_OTHER_EXCEPTION = "catch Exception, or raise ValueError or RuntimeError"
_REFUSED_EXCEPTIONS = (
    "BaseExceptionGroup BlockingIOError BrokenPipeError BufferError BytesWarning ChildProcessError "
    "ConnectionAbortedError ConnectionError ConnectionRefusedError ConnectionResetError DeprecationWarning "
    "EncodingWarning EnvironmentError ExceptionGroup FileExistsError FileNotFoundError FloatingPointError "
    "FutureWarning GeneratorExit IOError ImportWarning IndentationError InterruptedError IsADirectoryError "
    "MemoryError NotADirectoryError PendingDeprecationWarning PermissionError ProcessLookupError "
    "PythonFinalizationError ReferenceError ResourceWarning RuntimeWarning StopAsyncIteration SyntaxError "
    "SyntaxWarning SystemError TabError UnicodeTranslateError UnicodeWarning UserWarning Warning"
)
_DUNDER_HINT = "names that begin and end with two underscores are not reachable; use the operator or function itself"


def _rows() -> Iterator[GrammarRow]:
    for name, profiles, example, hint in _STATEMENTS:
        yield GrammarRow("statement", name, profiles, example, hint)
    for name, profiles, example, hint in _EXPRESSIONS:
        yield GrammarRow("expression", name, profiles, example, hint)
    for profiles, names in _BUILTINS:
        yield from (GrammarRow("builtin", name, profiles) for name in names.split())
    for profiles, names in _EXCEPTIONS:
        yield from (GrammarRow("exception", name, profiles) for name in names.split())
    for profiles, owner, names in _METHODS:
        yield from (GrammarRow("method", f"{owner}.{name}", profiles) for name in names.split())
    for profiles, owner, names in _MODULES:
        yield from (GrammarRow("module", f"{owner}.{name}", profiles) for name in names.split())
    for name, example, hint in _REFUSED_SYNTAX:
        yield GrammarRow("refused syntax", name, (), example, hint)
    for name, hint in _REFUSED_NAMES:
        yield GrammarRow("refused name", name, (), name, hint)
    for name in _REFUSED_EXCEPTIONS.split():
        yield GrammarRow("refused name", name, (), name, _OTHER_EXCEPTION)


@cache
def table() -> tuple[GrammarRow, ...]:
    """Return all rows, grouped by kind."""
    order = {kind: place for place, kind in enumerate(ConstructKind.__args__)}  # type: ignore[attr-defined]
    return tuple(sorted(_rows(), key=lambda row: order[row.kind]))


@cache
def accepted(profile: SubsetProfile, kind: ConstructKind) -> frozenset[str]:
    """Return the names of a kind that a profile accepts."""
    return frozenset(row.name for row in table() if row.kind == kind and profile in row.profiles)


@cache
def members(profile: SubsetProfile, kind: ConstructKind) -> Mapping[str, frozenset[str]]:
    """Return the member names of methods or modules, by the name before the dot."""
    found: dict[str, set[str]] = {}
    for name in accepted(profile, kind):
        owner, _, member = name.partition(".")
        found.setdefault(owner, set()).add(member)
    return MappingProxyType({owner: frozenset(names) for owner, names in found.items()})


@cache
def _hints() -> Mapping[str, str]:
    return MappingProxyType({row.name: row.hint for row in table() if row.hint})


def hint_of(name: str) -> str:
    """Return what to write instead of a refused construct or name."""
    found = _hints().get(name)
    if found is not None:
        return found
    return _DUNDER_HINT if is_dunder(name) else ""


def is_dunder(name: str) -> bool:
    """Return whether a name starts with two underscores."""
    return name.startswith("__")


def is_refused_name(name: str) -> bool:
    """Return whether a name is one of Python's that the language refuses."""
    return is_dunder(name) or name in _refused_names()


@cache
def _refused_names() -> frozenset[str]:
    return frozenset(row.name for row in table() if row.kind == "refused name")


def as_text(rows: Iterable[GrammarRow]) -> str:
    """Format the table as text, one section per kind.

    Args:
        rows: The rows to include.
    """
    sections: dict[str, list[GrammarRow]] = {}
    for row in rows:
        sections.setdefault(row.kind, []).append(row)
    return "\n\n".join(_section(kind, found) for kind, found in sections.items()) + "\n"


def _section(kind: str, rows: list[GrammarRow]) -> str:
    if not kind.startswith("refused"):
        lines = []
        for profiles in (_BOTH, _WIDE):
            names = [row.name for row in rows if row.profiles == profiles]
            if names:
                lines.append(f"  {'strict and wide' if profiles == _BOTH else 'wide only'}: {', '.join(names)}")
        return "\n".join([kind, *lines])
    width = max(len(row.name) for row in rows)
    return "\n".join([kind, *(f"  {row.name:<{width}}  {row.hint}" for row in rows)])
