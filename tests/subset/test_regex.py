"""Regular expressions find what `re` finds, or are refused by name."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.sandboxes.subset.errors import Uncatchable
from rlmbox.sandboxes.subset.meter import Meter, StepLimits
from rlmbox.sandboxes.subset.regex import Engine

PATTERNS = [
    r"\d+",
    r"\bfoo\b",
    r"\b\w+\b",
    r"(\w+)@(\w+)\.com",
    r"^a.*$",
    r"a$",
    r"(?m)^\w+$",
    r"x*",
    r"\b[\w.+-]+@[\w-]+\.[A-Za-z]{2,}\b",
    r"(?i)straße|k|i|s",
    r"[^\W\d]+",
    r"(a)|(b)",
    r"\s+",
    r"(?x)a#c",
    r"\bé\w*",
    r"é\b",
    r"\B\w\B",
    r"\b",
    r"(\bfoo|\bbar)\b",
    r"(?P<y>\d{4})-(?P<m>\d\d)",
    r"[A-Z]\w+(?:\s[A-Z]\w+)*",
    r"\bthe\b.*?\.",
    r"(\d+)$",
    r"\b(?:[A-Z][a-z]+|é\w)\b",
    r'"([^"]*)"',
    r"\w+\b:",
    r".+?",
    r"a|",
    r"(a*)(b*)",
    r"\b-\w",
    r"\w\b\W",
    r"[^a]\b",
    r"\b.",
    r".\b",
    r"(?i)[a-zé]+",
    r"(?a)\b\w+\b",
    r"\Z",
    r"\A\w",
    r"(?s).$",
    r"(?i:É)x?",
    r"\d\b\D",
    r"(x|é)+\b",
    r"(\b[\w.]+)",
    r"\bbar\b.*",
    r"\bfoo\b\s*\w",
]
TEXTS = (
    "",
    "foo",
    "foo bar\n",
    "a@b.com, ééa@x.com",
    "É été foo.bar été\n",
    "abc\nabd\n",
    "STRASSE straße ſ K ı İ i",  # noqa: RUF001
    "2024-05-06 x",
    "The Man of the House. the é.",
    "aaa baac",
    'a "b" c: d',
    "\n",
    "é",
    "foo\n\n",
    "x\x1cy\u2003z١٢",  # noqa: RUF001
    "-a é-é",
    "user.name+tag@exa-mple.org é",
)


def engine() -> Engine:
    return Engine(Meter(StepLimits(steps=10**9, pattern_chars=10_000), list))


def told(match: object) -> object:
    if match is None:
        return None
    return match.span(), match.group(), match.groups(), match.groupdict(), repr(match)  # type: ignore[attr-defined]


def same(pattern: str, text: str, *, may_refuse: bool) -> None:
    ours, python = engine(), re.compile(pattern)
    try:
        for name in ("search", "match", "fullmatch"):
            assert told(getattr(ours, name)(pattern, text)) == told(getattr(python, name)(text)), name
        assert ours.findall(pattern, text) == python.findall(text)
        assert [told(m) for m in ours.finditer(pattern, text)] == [told(m) for m in python.finditer(text)]
        assert ours.split(pattern, text) == python.split(text)
        assert ours.sub(pattern, r"<\g<0>>", text) == python.sub(r"<\g<0>>", text)
        assert ours.sub(pattern, lambda m: m.group().upper(), text) == python.sub(lambda m: m.group().upper(), text)
        if len(text) > 2:
            assert told(ours.search(pattern, text, 0, 2)) == told(python.search(text, 2))
    except Uncatchable as error:
        assert may_refuse, error  # noqa: PT017
        assert error.hint  # noqa: PT017


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_finds_what_re_finds(pattern: str) -> None:
    for text in TEXTS:
        same(pattern, text, may_refuse=False)


pieces = st.sampled_from(
    [
        "a",
        "b",
        "é",
        "\\w",
        "\\W",
        "\\d",
        "\\s",
        ".",
        "[a-c]",
        "[^a]",
        "[\\w.]",
        "\\.",
        "\\b",
        "\\B",
        "^",
        "$",
        "\\Z",
        "(a)",
        "(?:b|é)",
        "(a|)",
        "x*",
        "a+",
        "b?",
        "\\w+",
        "\\w*?",
        ".*",
        "a{1,2}",
        "-",
        "@",
    ]
)
alphabet = st.text("aábé1. -@\nxAÉ", max_size=12)


@given(
    st.lists(pieces, min_size=1, max_size=5).map("".join),
    alphabet,
    st.sampled_from(("", "(?i)", "(?m)", "(?s)", "(?a)")),
)
@settings(max_examples=examples(1_500), deadline=None)
def test_any_pattern_finds_what_re_finds_or_is_refused(pattern: str, text: str, flags: str) -> None:
    same(flags + pattern, text, may_refuse=True)


@given(st.characters(exclude_categories=["Cs"]), st.characters(exclude_categories=["Cs"]))
@settings(max_examples=examples(500), deadline=None)
def test_ignoring_case_is_that_of_re(a: str, b: str) -> None:
    for other in (b, a.upper(), a.lower(), a.swapcase(), a.title()):
        for pattern in (re.escape(a), f"[{re.escape(a)}-{re.escape(max(a, b))}]" if a <= b else re.escape(b)):
            expected = re.findall(pattern, other + "é", re.IGNORECASE)
            assert engine().findall(pattern, other + "é", re.IGNORECASE) == expected


@given(alphabet.map(str.encode), st.sampled_from((rb"\w+", rb"[^a]", rb"(a)|b", rb"\s", rb".$")))
def test_bytes_are_searched_as_bytes(text: bytes, pattern: bytes) -> None:
    assert engine().findall(pattern, text) == re.findall(pattern, text)


def test_a_template_is_read_as_re_reads_it() -> None:
    for template in (r"\1", r"\g<1>x", r"\g<w>", r"\\", r"\n", "plain", r"[\1\1]"):
        expected = re.sub(r"(?P<w>\w)\d", template, "a1 é2")
        assert engine().sub(r"(?P<w>\w)\d", template, "a1 é2") == expected


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{2,1}", r"\q", "(?P<1>a)", "(?i", "a**", r"(?P<a>x)(?P<a>y)"])
def test_what_is_no_pattern_is_the_error_that_it_is_in_re(pattern: str) -> None:
    with pytest.raises(re.error) as expected:
        re.compile(pattern)
    with pytest.raises(re.error) as found:
        engine().compile(pattern)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("pattern", [r"\B(a|)^", r"\b(a|)^", r"\B(?:a|b|)\A", r"\Ba?^", r"\B^", r"\B(a|@)^"])
@pytest.mark.parametrize("text", ["@É", "É@", "É", "aÉ"])
def test_an_anchor_after_a_boundary_is_matched_as_in_re_or_refused(pattern: str, text: str) -> None:
    same(pattern, text, may_refuse=True)
