"""`re` window by window gives exactly what it gives on the whole text."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlmbox.sandboxes.worker import _context_regex as regex

ATOMS = ("a", "b", "\\n", ".", "\\s", "\\w", "[^a]", "[ab]", "é", "^", "$", "\\b", "\\B", "\\Z", "(?i:É)", "(?s:.)")


class Long:
    """A text that gives pieces only, as the handle in a sandbox does."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __len__(self) -> int:
        return len(self._text)

    def pieces(self, start: int, end: int, chars: int) -> Iterator[str]:
        return (self._text[at : min(at + chars, end)] for at in range(start, end, chars))


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex, "WINDOW_CHARS", 3)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeats = st.sampled_from(("*", "+", "?", "*?", "+?", "{2}", "{0,3}?"))
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        inner.map(lambda part: f"({part})"),
        st.tuples(inner, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        inner.map(lambda part: f"(?={part})"),
        inner.map(lambda part: f"(?!{part})"),
        st.sampled_from(("(?<=a)", "(?<!ab)", "(?<=^a)", "(?<=\\n)")),
    )


patterns = st.recursive(st.sampled_from(ATOMS), _grown, max_leaves=6).filter(lambda pattern: _works(pattern))
flags = st.sampled_from([0, re.MULTILINE, re.DOTALL, re.IGNORECASE, re.MULTILINE | re.DOTALL, re.ASCII])


def _works(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _told(match: Any) -> object:
    return match and (match.span(), match.group(), match.groups(), match.regs, match.lastindex)


@settings(max_examples=400, deadline=None)
@given(patterns, flags, st.text("ab\né", max_size=40))
@example("a(?=.*b)", re.DOTALL, "a\n\n\n\n\nab")
@example("(a).*\\1", 0, "abbbbbbbbba")
@example("(?:(a+)\\1)+$", 0, "aaaaaaaaaaaa\n")
@example("$", 0, "aaaaaa\n")
def test_every_match_is_that_of_the_whole_text(pattern: str, flag: int, text: str) -> None:
    compiled, long = re.compile(pattern, flag), Long(text)
    assert [_told(m) for m in regex.finditer(compiled, long)] == [_told(m) for m in compiled.finditer(text)]
    assert regex.findall(compiled, long) == compiled.findall(text)
    for name in ("search", "match", "fullmatch"):
        large: Callable[..., Any] = getattr(regex, name)
        assert _told(large(compiled, long)) == _told(getattr(compiled, name)(text)), name


@settings(max_examples=200, deadline=None)
@given(patterns, st.text("ab\né", max_size=20), st.integers(-2, 22), st.integers(0, 22))
def test_a_pattern_keeps_to_its_bounds(pattern: str, text: str, pos: int, more: int) -> None:
    compiled, long, endpos = re.compile(pattern, re.MULTILINE), Long(text), pos + more
    for name in ("search", "match", "fullmatch"):
        large: Callable[..., Any] = getattr(regex, name)
        assert _told(large(compiled, long, pos, endpos)) == _told(getattr(compiled, name)(text, pos, endpos)), name
    found = [m.span() for m in regex.finditer(compiled, long, pos, endpos)]
    assert found == [m.span() for m in compiled.finditer(text, pos, endpos)]


def test_a_bounded_pattern_needs_a_small_window() -> None:
    taken = []

    class Counting(Long):
        def pieces(self, start: int, end: int, chars: int) -> Iterator[str]:
            for piece in super().pieces(start, end, chars):
                taken.append(len(piece))
                yield piece

    long = Counting("ab\n" * 1_000)
    match = regex.search(re.compile("a.*"), long)
    assert match is not None
    assert match.span() == (0, 2)
    assert sum(taken) < 50


def test_a_pattern_that_may_reach_over_everything_is_refused_with_the_way_around(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(regex, "MAX_WINDOW_CHARS", 100)
    long = Long("<a>text</a>\n" * 100)
    with pytest.raises(ValueError, match="give it a bound, such as"):
        regex.search(re.compile("(?s)<a>.*?</a>"), long)
    found = regex.findall(re.compile(r"(?s)<a>(.{0,10}?)</a>"), long)
    assert found == ["text"] * 100


def test_what_stands_for_a_match_has_what_a_match_has() -> None:
    text = "x = 1\n" * 10
    match = regex.search(re.compile(r"(?P<key>\w+) = (\d)"), Long(text), 6)
    assert match is not None
    assert (match["key"], match[2], match.group("key", 2), match.groupdict()) == ("x", "1", ("x", "1"), {"key": "x"})
    assert (match.start("key"), match.end(2), match.span(2)) == (6, 11, (10, 11))
    assert match.expand(r"\2:\g<key>") == "1:x"
    assert repr(match) == "<re.Match object; span=(6, 11), match='x = 1'>"
