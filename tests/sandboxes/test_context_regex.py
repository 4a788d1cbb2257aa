"""`re` on a long text gives what it gives on the `str`, with the matches found by the host's linear engine."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.context import Context
from rlmbox.sandboxes import _large_matches
from rlmbox.sandboxes.worker import _context_regex as regex
from rlmbox.sandboxes.worker import _context_text as texts

ATOMS = ("a", "b", "\\n", ".", "\\s", "\\w", "[^a]", "[ab]", "é", "(?i:É)", "(?s:.)", "x")


class Scans:
    """The host's functions, without a wire in between."""

    def __init__(self, text: str) -> None:
        self._text, self._store = text, Context.from_text(text)._store

    def slice(self, start: int, end: int) -> str:
        return self._text[start:end]

    def find(self, sub: str, start: int, end: int) -> int:
        return self._text.find(sub, start, end)

    def rfind(self, sub: str, start: int, end: int) -> int:
        return self._text.rfind(sub, start, end)

    def count(self, sub: str, start: int, end: int) -> int:
        return self._text.count(sub, start, end)

    def line_count(self) -> int:
        return len(self._text.splitlines())

    def line_span(self, first: int, last: int) -> list[int]:
        ends = [0]
        for line in self._text.splitlines(keepends=True):
            ends.append(ends[-1] + len(line))
        return [ends[min(line, len(ends) - 1)] for line in (first, last)]

    def matches(self, pattern: str, flags: int, span: list[int], part: list[int], most: int) -> list[Any]:
        view = self._store.view(*part)
        return _large_matches.find_matches(view, pattern, flags, (span[0], span[1]), most)


def long(text: str) -> Any:
    return texts.LargeText(texts.Reader(len(text), Scans(text), is_ascii=text.isascii()))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex, "FIRST_MATCHES", 2)
    monkeypatch.setattr(regex, "MOST_MATCHES", 3)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(("*", "+", "?", "*?", "+?", "{2}", "{0,3}?"))
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        inner.map(lambda part: f"({part})"),
        st.tuples(inner, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


inside = st.recursive(st.sampled_from(ATOMS), _grown, max_leaves=6)
# A match that is empty is left out: after one, the engine goes on at the next character, `re` at the same.
# Beside what may be a letter or not, such as `.`, the engine's `\b` knows ASCII letters only.
patterns = st.tuples(st.sampled_from(("", "^", r"\bé?a")), inside, st.sampled_from(("", "$", r"é\b"))).map("".join)
flags = st.sampled_from([0, re.MULTILINE, re.DOTALL, re.IGNORECASE, re.MULTILINE | re.DOTALL, re.ASCII])


def _told(match: Any) -> object:
    return match and (match.span(), match.group(), match.groups(), match.regs, match.lastindex)


@settings(max_examples=examples(300), deadline=None)
@given(patterns, flags, st.text("ab\né x", min_size=1, max_size=40))
@example("(a+)(b+)$", 0, "abb\nabb\n")
@example(r"\bé\b", re.ASCII, "é xé")
@example(r"\bé?a(?s:.)", 0, "a éa aa")
def test_every_match_is_that_of_the_whole_text(pattern: str, flag: int, text: str) -> None:
    compiled = re.compile(pattern, flag)
    wanted = list(compiled.finditer(text))
    if any(not match.group() for match in wanted) or compiled.match(""):
        return
    try:
        got = list(regex.finditer(compiled, long(text)))
    except ValueError as error:
        assert "does not support" in str(error)  # noqa: PT017 - the engine says no rather than something else
        return
    assert [_told(m) for m in got] == [_told(m) for m in wanted]
    assert regex.findall(compiled, long(text)) == compiled.findall(text)
    for name in ("search", "match", "fullmatch"):
        large: Callable[..., Any] = getattr(regex, name)
        assert _told(large(compiled, long(text))) == _told(getattr(compiled, name)(text)), name


@settings(max_examples=examples(200), deadline=None)
@given(inside, st.text("ab\né", min_size=1, max_size=20), st.integers(0, 22), st.integers(0, 22))
def test_a_pattern_keeps_to_its_bounds(pattern: str, text: str, pos: int, more: int) -> None:
    compiled, endpos = re.compile(pattern, re.MULTILINE), pos + more
    if compiled.match(""):
        return
    for name in ("search", "match"):
        large: Callable[..., Any] = getattr(regex, name)
        assert _told(large(compiled, long(text), pos, endpos)) == _told(getattr(compiled, name)(text, pos, endpos)), (
            name
        )
    found = [m.span() for m in regex.finditer(compiled, long(text), pos, endpos)]
    assert found == [m.span() for m in compiled.finditer(text, pos, endpos)]


@pytest.mark.parametrize("pattern", ["a(?=b)", "(?<!a)b", r"(a)\1", "(?>a)b"])
def test_what_the_engine_lacks_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(ValueError, match="does not support"):
        regex.search(re.compile(pattern), long("aab"))


def test_a_pattern_over_everything_is_found_at_once() -> None:
    text = "<a>" + "x\n" * 200_000 + "</a> the end"
    match = regex.search(re.compile("(?s)<a>(.*?)</a>"), long(text))
    assert match is not None
    assert match.span() == (0, len(text) - 8)
    assert match.group(1) == "x\n" * 200_000


def test_the_flag_of_comments_is_known() -> None:
    pattern = re.compile(r"""
        (\w+)   # a word
        \ =\    # with a space [on] either side
        ([0-9 #]+)
    """, re.VERBOSE)  # fmt: skip
    assert regex.findall(pattern, long("x = 1 2\ny = 3#")) == pattern.findall("x = 1 2\ny = 3#")


@settings(max_examples=examples(200), deadline=None)
@given(st.text("ab\n\r ,é", min_size=1, max_size=60), st.integers(-1, 4))
def test_parts_are_those_of_a_text(text: str, most: int) -> None:
    handle = long(text)
    assert list(handle.split(",", most)) == text.split(",", most)
    assert list(handle.split(None, most)) == text.split(None, most)
    assert list(regex.split(re.compile("[,\n]+"), handle, max(most, 0))) == re.split(
        "[,\n]+", text, maxsplit=max(most, 0)
    )
    parts, wanted = handle.split("a"), text.split("a")
    assert (len(parts), parts[0], parts[-1], parts[1:3], parts[::-1]) == (
        len(wanted),
        wanted[0],
        wanted[-1],
        wanted[1:3],
        wanted[::-1],
    )
    assert list(handle.lower().splitlines()) == text.lower().splitlines()
    assert list(handle.lower().splitlines(True)) == text.lower().splitlines(True)
    assert handle.strip()[:] == text.strip()
    assert handle.partition(",")[2][:] == text.partition(",")[2]
    assert handle.rpartition(",")[0][:] == text.rpartition(",")[0]


@pytest.mark.parametrize(("text", "seps"), [("part " * 1000, (None, " ", "a")), ("é,b\n" * 1000, (None, ",", "b\n"))])
def test_parts_far_on_are_found_from_places_that_were_kept(text: str, seps: tuple[str | None, ...]) -> None:
    for sep in seps:
        parts, wanted = long(text).split(sep), text.split(sep)
        assert [parts[n] for n in (700, 3, 699, 0)] == [wanted[n] for n in (700, 3, 699, 0)]
        assert parts[650:660] == wanted[650:660]
        assert len(parts) == len(wanted)
        assert parts[-1] == wanted[-1]


def test_what_stands_for_a_match_has_what_a_match_has() -> None:
    text = "x = 1\n" * 10
    match = regex.search(re.compile(r"(?P<key>\w+) = (\d)"), long(text), 6)
    assert match is not None
    assert (match["key"], match[2], match.group("key", 2), match.groupdict()) == ("x", "1", ("x", "1"), {"key": "x"})
    assert (match.start("key"), match.end(2), match.span(2), match.pos) == (6, 11, (10, 11), 6)
    assert match.expand(r"\2:\g<key>") == "1:x"
    assert repr(match) == "<re.Match object; span=(6, 11), match='x = 1'>"


@pytest.mark.parametrize("letter", ["e", "é🎉"], ids=["one byte a character", "several"])
def test_a_pattern_over_a_view_in_another_case_matches_what_it_matches_on_the_copy_or_is_refused(letter: str) -> None:
    text = "".join(f"Line {n} OF, tHe {letter} {chr(65 + n)}{chr(97 + n)} ~x\n" for n in range(20)) + "The END"
    view = long(text).lower()
    same = ["line", "[a-z]+", r"\bt\w*", "(l)(ine)?", "[^a-m]+", "[ -~]+?x", "(?P<n>[0-9]+) of", "(?i)LINE", r"\S+$"]
    for pattern in map(re.compile, same):
        found = [(one.span(), one.groups(), one.group()) for one in regex.finditer(pattern, view)]
        assert found == [(one.span(), one.groups(), one.group()) for one in pattern.finditer(text.lower())]
    for refused in ("LINE", "[^A-M]+", "[A-Z]+", "i|N", "\\x4c", "[!-Z]+", "(?-i:a)", "(?i)(?-i:A)", "(?i)x|((?-i:a))"):
        with pytest.raises(TypeError, match=r"re\.I"):
            regex.findall(re.compile(refused), view)
