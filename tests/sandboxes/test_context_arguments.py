"""Any arguments for a context too long to be a `str`: it does what the `str` does, or refuses."""

import textwrap
from dataclasses import replace

import pytest

from sandboxes.local_repl import LIMITS, local

LARGE = replace(LIMITS, inline_limit_chars=100)
COMPARE = """
import itertools, re

def told(question, text):
    try:
        return plain(question(text))
    except Exception as error:
        # Which of both it says is a matter of how the method was called.
        return type(error).__name__, str(error).removeprefix("str.")

def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value[:] if isinstance(value, str) else str(value)

def compare(what, question):
    got, wanted = told(question, context), told(question, real)
    asked.append(got)
    if got != wanted and not (got[0] == "TypeError" and "would not fit in memory" in got[1]):
        different.append((what, str(got)[:100], str(wanted)[:100]))

real, asked, different = context[:], [], []
"""
METHODS = """
names = [name for name in dir(str) if not name.startswith("_")]
odd = [None, 0, -1, 5, 2**70, -2**70, True, 1.5, "line", "", "zzz", b"a"]
odd += [("line", 5), ("zzz", 1), (), [], {}, "ab", " "]
for name in names:
    compare((name, "without"), lambda text: getattr(text, name)())
    for one in odd:
        compare((name, one), lambda text: getattr(text, name)(one))
        compare((name, "line", one), lambda text: getattr(text, name)("line", one))
        compare((name, "by name", one), lambda text: getattr(text, name)(sep=one, maxsplit=one))
    if name != "encode":  # whose error quotes it
        compare((name, "itself"), lambda text: getattr(text, name)(text))
for name in ("find", "rfind", "index", "rindex", "count", "startswith", "endswith"):
    for sub, start, end in itertools.product(["", "e", "line"], [-2**70, -3, 0, 5, 2**70], [-3, 0, 5, None]):
        compare((name, sub, start, end), lambda text: getattr(text, name)(sub, start, end))
"""
OPERATORS = """
odd = [None, 0, -1, 2**70, -2**70, True, 1.5, "line", b"a", (1, 2), []]
for one in odd:
    compare(("at", one), lambda text: text[one])
    compare(("slice", one), lambda text: [text[one:], text[:one], text[::one]])
    compare(("in", one), lambda text: one in text)
    compare(("at of lines", one), lambda text: text.splitlines()[one])
    compare(("at of parts", one), lambda text: text.split("e")[one])
    compare(("lines", one), lambda text: text.splitlines().index(one))
    if not isinstance(one, str):
        compare(("+", one), lambda text: (text + one)[-9:])
    compare(("==", one), lambda text: [text == one, one != text])
for spec in ("d", ",", "+", "=10", ".3f", ".5", "10.5", "*^9.3s", ".<9.2", ".0", "5.0", "nope"):
    compare(("format", spec), lambda text: format(text, spec))
compare("bytes", lambda text: bytes(text))
compare("dir", lambda text: dir(text))
compare("nothing", lambda text: text.nothing)
"""
PATTERNS = """
odd = [None, 0, 1.5, "a", b"a", "(", "*", ""]
for name in ("search", "match", "fullmatch", "finditer", "findall", "split"):
    for one in odd[: -1 if name == "split" else None]:
        compare((name, one), lambda text: bool(getattr(re, name)(one, text)))
        compare((name, "flags", one), lambda text: bool(getattr(re, name)("line", text, flags=one)))
for name in ("sub", "subn"):
    for one in odd:
        compare((name, one), lambda text: getattr(re, name)(one, "x", text)[0])
        compare((name, "by", one), lambda text: getattr(re, name)("line", one, text)[0])
        compare((name, "often", one), lambda text: getattr(re, name)("line", "y", text, count=one)[0])
"""


@pytest.mark.parametrize(
    ("questions", "most"),
    [(METHODS, 3_000), (OPERATORS, 90), (PATTERNS, 140)],
    ids=["methods", "operators", "patterns"],
)
@pytest.mark.parametrize("letter", ["e", "é🎉\r"], ids=["one byte a character", "several"])
async def test_any_arguments_get_what_they_get_on_a_str_and_the_same_words_if_they_are_wrong(
    letter: str, questions: str, most: int
) -> None:
    text = "".join(f"line {n} {letter}\n" for n in range(30)) + "the end"
    async with local(text=text, limits=LARGE) as repl:
        await repl.run(COMPARE)
        assert (await repl.run(textwrap.dedent(questions))).error is None
        assert await repl.value("different") == []
        assert await repl.value("len(asked)") >= most
