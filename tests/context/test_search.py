"""Searching gives what `str` and `re` give, in linear time."""

import re
import warnings

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from context.matches import spans_by_re
from rlmbox.context import Context
from rlmbox.context.search import search
from rlmbox.context.search.hits import MAX_MATCH_CHARS
from rlmbox.context.storage.text import TextStore, Utf8

TEXTS = st.text(
    st.sampled_from([*"ab cA_-.\n1", "é", "ç", "É", "ü", "٣", "日", "😀", "\u0301", "\u2028", "\xa0", "\x1c"]),
    min_size=1,
    max_size=30,
)

PATTERNS = [
    "a",
    "é",
    "a+b*",
    "a+?",
    ".",
    "(?s).+",
    r"\w+",
    r"\W+",
    r"\d",
    r"\D+",
    r"\s",
    r"\S+",
    "[a-c]+",
    "[^a-c]",
    "[é-ü]",
    r"[\w.-]+",
    r"[^\w\s]",
    r"[^\W\d_]+",
    r"[\W_]",
    r"[\S\n]",
    "[]a]",
    "[^]a]",
    "[[:a]",
    r"[\b\-a]",
    "^a",
    "^",
    "$",
    "a$",
    r"\w+$",
    r"\w*$",
    "^$",
    "(?m)^",
    "(?m)$",
    r"(?m)^\w+",
    r"(?m)\w+$",
    "(?m)^$",
    r"\Aa",
    r"b\Z",
    "(?i)a",
    "(?i)é",
    "(?is)A.",
    "(?i:a)b",
    "(?-i:a)",
    "(a|b)c",
    "(?P<name>a)b",
    "(?:ab|é|a$)",
    "a{2}",
    "a{1,2}",
    "a{,2}b",
    "a{1,}",
    "a{",
    "{}",
    r"\u00e9",
    r"\xe9",
    r"\U0001f600",
    r"\N{LATIN SMALL LETTER E WITH ACUTE}",
    r"\141",
    r"\0",
    r"\.",
    r"\é",
    "a(?#a comment)b",
    r"(?a)\w+",
    r"(?a)\d",
    r"\ba",
    r"a\b",
    r"\bé",
    r"é\b",
    r"\b\w+\b",
    r"\b[a-cé]+\b",
    r"(?:\ba|\bé)b",
    r"\bab\b|\bé\b",
    r"(\bé\b)",
    r"a\b|é\b",
    r"\b\w+\b \b\w+\b",
    r"^\bé",
    r"é\b$",
    r"\w\B",
    r"-\b",
    r" \bé",
    r"\bé\b|\ba\b",
]


def spans(context: Context, pattern: str) -> list[tuple[int, int]]:
    return [(hit["start"], hit["end"]) for hit in context.find(pattern, regex=True)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_regular_expression_matches_where_re_does(pattern: str):
    warnings.simplefilter("ignore", FutureWarning)

    @settings(deadline=None)
    @given(TEXTS)
    @example("áreas é\n")
    @example("ab\né ab\n")
    @example("\n")
    @example("a1_b aa\n\na")
    def check(text: str) -> None:
        context = Context.from_text(text)
        expected = spans_by_re(pattern, text)
        assert spans(context, pattern) == expected
        assert context.count(pattern, regex=True) == len(expected)

    check()


@settings(deadline=None)
@given(TEXTS, st.text(st.sampled_from("ab é\n日😀"), min_size=1, max_size=3))
def test_a_literal_is_found_where_str_find_finds_it(text: str, needle: str):
    expected, position = [], 0
    while (position := text.find(needle, position)) >= 0:
        expected.append((position, position + len(needle)))
        position += len(needle)
    context = Context.from_text(text)
    hits = context.find(needle)
    assert [(hit["start"], hit["end"]) for hit in hits] == expected
    assert all(hit["match"] == needle for hit in hits)
    assert context.count(needle) == text.count(needle)


@settings(deadline=None)
@given(TEXTS, st.text(st.sampled_from("aAbÉé .*[(\\\n"), min_size=1, max_size=3))
def test_a_literal_without_case_is_found_where_re_finds_it_escaped(text: str, needle: str):
    context = Context.from_text(text)
    expected = [match.span() for match in re.finditer(re.escape(needle), text, re.IGNORECASE)]
    assert [(h["start"], h["end"]) for h in context.find(needle, case_sensitive=False)] == expected
    assert context.count(needle, case_sensitive=False) == len(expected)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["a", "é", r"\w+", "(?m)^."]), st.integers(0, 20))
def test_a_hit_describes_its_place(text: str, pattern: str, window: int):
    context = Context.from_text(text, name="it")
    for hit in context.search(pattern, window=window):
        start, end = hit["start"], hit["end"]
        assert hit["match"] == text[start:end]
        assert hit["snippet"] == text[max(0, start - window // 2) : end + window - window // 2]
        assert (hit["document"], hit["position"]) == ("it", start)
        assert hit["line"] == text.count("\n", 0, start) + 1


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_hit_in_one_of_several_documents_has_its_position_and_line_there(texts: list[str]):
    context = Context.from_documents(texts)
    for hit in context.find("a", max_matches=500):
        if hit["match"] == context.text()[hit["start"]] and "=====" not in hit["snippet"][:1]:
            document = context.get_document(hit["document"])
            start, _ = context.document_span(hit["document"])
            assert hit["start"] == start + hit["position"]
            assert document[hit["position"]] == "a"
            assert hit["line"] == document.count("\n", 0, hit["position"]) + 1
    inside = sum(text.count("a") for text in texts)
    assert context.count("a") == inside


def test_search_ignores_case_when_it_is_told_to():
    context = Context.from_text("Ação AÇÃO ação")
    assert len(context.search("ação")) == 1
    assert len(context.search("ação", case_sensitive=False)) == 3


def test_the_number_of_hits_is_bounded_and_count_tells_them_all():
    context = Context.from_text("ab" * 20_000)
    assert len(context.find("a")) == 100
    assert len(context.search("a")) == 50
    assert len(context.find("a", max_matches=10**9)) == 10_000
    assert context.count("a") == 20_000


def test_a_long_match_is_cut_in_the_hit_but_not_in_its_positions():
    text = "é" * 5_000
    (hit,) = Context.from_text(f"<{text}>").search("é+", window=2)
    assert (hit["start"], hit["end"], hit["match"]) == (1, 5_001, "é" * MAX_MATCH_CHARS)
    assert hit["snippet"] == "<" + "é" * (MAX_MATCH_CHARS + 1)


def test_hits_are_bounded_in_total_characters():
    context = Context.from_text("x" * 100_000)
    assert len(context.find("x", max_matches=10_000, window=100_000)) < 100


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("a(?=b)", "look-ahead"),
        ("a(?!b)", "look-ahead"),
        ("(?<=a)b", "look-behind"),
        ("(?<!a)b", "look-behind"),
        (r"(a)\1", "a back-reference"),
        ("(?P<x>a)(?P=x)", "a back-reference"),
        ("(?>a)", "an atomic group"),
        ("a++", "possessive quantifier"),
        ("(a)(?(1)b)", "a conditional"),
        ("(?x) a", "flag 'x'"),
        ("a{1001}", "a repetition of more than 1000"),
        ("(?:a{1000}){1000}", "more states than fit"),
        (r"[\w日]{1000}\w{1000}", "more states than fit"),
    ],
)
def test_what_a_linear_search_lacks_is_refused_by_name(pattern: str, what: str):
    with pytest.raises(
        ValueError, match=rf"the pattern has .*{re.escape(what)}.* use re in a cell on a chunk"
    ) as caught:
        Context.from_text("aé").search(pattern)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a",
        "a)",
        "[a",
        "[]",
        "[b-a]",
        "*a",
        "a**",
        "a{2,1}",
        "(?",
        "(?i",
        "(?z)",
        "(?P<n",
        "(?P<1>a)",
        "(?#",
        r"\q",
        r"\C",
        r"\Qa",
        "\\",
        r"\x1",
        r"\u12",
        r"\U00110000",
        r"\N{NO SUCH NAME}",
        r"\pQ",
        r"\p{Nope}",
        r"\p",
        "\ud800",
        "(" * 5_000,
        "(" * 500 + ")" * 500,
    ],
)
def test_an_invalid_pattern_is_a_value_error_of_one_line(pattern: str):
    with pytest.raises(ValueError, match=r"^(invalid regular expression|the pattern has)") as caught:
        Context.from_text("aé").search(pattern)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("regex", [False, True])
def test_an_empty_or_a_huge_pattern_is_refused(regex: bool):
    context = Context.from_text("text")
    with pytest.raises(ValueError, match="is empty"):
        context.find("", regex=regex)
    with pytest.raises(ValueError, match="characters, more than"):
        context.find("x" * 1_000_001, regex=regex)


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]):
    context = Context.from_text("aé")
    for pattern in ("(", r"\p{Nope}", "(?:a{1000}){1000}"):
        with pytest.raises(ValueError):
            context.search(pattern)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "(a*)*c", "(?:a?){50}a{50}b", "(.*)*x", r"(\w+\s?)+!", "a" * 5_000 + "b"]
)
@pytest.mark.parametrize("letter", ["a", "á"])
def test_a_pattern_that_explodes_elsewhere_is_linear_here(pattern: str, letter: str):
    # The test's own time limit would end a backtracking engine's hours.
    context = Context.from_text(("a" * 100_000) + letter + "!?")
    context.count(pattern, regex=True)


def test_a_search_that_takes_too_long_says_how_far_it_came():
    context = Context.from_text("a" * 1_000)
    for regex in (False, True):
        with pytest.raises(ValueError, match="stopped after 0 matches"):
            context.find("a", regex=regex, timeout_s=0)


def test_the_deadline_counts_between_the_windows_of_a_search_without_matches(monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(1_000))
    monkeypatch.setattr("rlmbox.context.search.search.time.monotonic", lambda: next(clock))
    context = Context.from_text("ab" * 200_000)
    with pytest.raises(ValueError, match="longer than 2 s"):
        context.count("(?s)(?:a.{0,900}|b.{0,900}){1}zq", regex=True, timeout_s=2)


@pytest.mark.parametrize("pattern", [r"b.", r"(?s)b.{3}", r"\bé\w+\b", r"\w+", "(?m)^..", "a*", "é+$", "b{2}[^b]+b"])
def test_windows_change_nothing_where_matches_are_short(pattern: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "_WINDOW_WORK", 1)
    monkeypatch.setattr(search, "_MIN_WINDOW_BYTES", 64)
    search.compiled.cache_clear()

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["é", "b", "bb", " ", "\n", "éb", "日😀"]), min_size=1, max_size=300))
    def check(words: list[str]) -> None:
        text = "b b".join(words)
        expected = spans_by_re(pattern, text)
        longest = max([len(text[a:b].encode()) for a, b in expected], default=0)
        if longest < 8:
            context = Context.from_text(text)
            assert [(h["start"], h["end"]) for h in context.find(pattern, True, max_matches=9_999)] == expected

    check()
    search.compiled.cache_clear()


def test_a_match_longer_than_a_window_grows_the_window(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "_WINDOW_WORK", 1)
    monkeypatch.setattr(search, "_MIN_WINDOW_BYTES", 64)
    search.compiled.cache_clear()
    text = "<" + "é" * 5_000 + "> <b>"
    assert [h["end"] - h["start"] for h in Context.from_text(text).search("<b>|<é*>?")] == [5_002, 3]
    assert [h["end"] - h["start"] for h in Context.from_text(text).search(r"\bé+")] == [5_000]
    search.compiled.cache_clear()


def test_a_pattern_of_fixed_length_is_found_across_windows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "_WINDOW_WORK", 1)
    monkeypatch.setattr(search, "_MIN_WINDOW_BYTES", 64)
    search.compiled.cache_clear()
    needle = "n" * 700
    for lead in range(0, 9_000, 611):
        text = "é" + "x" * lead + needle + "y" * 9_000
        assert Context.from_text(text).count(needle, case_sensitive=False) == 1
    search.compiled.cache_clear()


def test_only_a_few_compiled_patterns_are_kept():
    import re2

    context = Context.from_text("é")
    for number in range(50):
        context.count(f"x{number}", regex=True)
    assert search.compiled.cache_info().currsize <= 8
    assert re2._Regexp._make.cache_info().currsize == 0


def test_the_storage_takes_valid_utf8_as_it_is():
    assert TextStore.of(Utf8("é".encode(), 1)).slice(None, None) == "é"


def test_the_characters_of_words_are_those_of_re():
    import sys

    from rlmbox.context.search import code_ranges

    words = {chr(code) for low, high in code_ranges.word() for code in range(low, high + 1)}
    assert words == {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isalnum() or chr(code) == "_"}
