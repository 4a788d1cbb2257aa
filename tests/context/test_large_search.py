"""Searching a file by pieces and threads gives what searching the whole in memory gives."""

import threading
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from context.matches import spans_by_re
from examples import examples
from rlmbox.context import Context
from rlmbox.context.load import kinds, opening
from rlmbox.context.search import linewise, search, windows
from rlmbox.context.search.hits import Hit
from rlmbox.context.storage import scan
from rlmbox.context.storage.source import InFile

WORDS = st.lists(
    st.sampled_from(["é", "b", "bb", "aab", " ", "\n", "éb", "日😀", "ERROR", "ERR", "error 42", "\0", "x" * 90]),
    min_size=1,
    max_size=150,
)
LITERALS = ["b", "bb", "bbb", "aab", "é", "ERROR", "\n", "RR", "b\nb", "日😀", "\0", "ERROR\0", "bERRORb"]
PATTERNS = [
    "b",
    "b+",
    "b.",
    "(?s)b.{3}",
    r"ERR\w+",
    r"\w+ 42",
    r"[a-z]+ \d\d",
    r"(?m)^b+",
    r"(?m)b+$",
    r"(?m)^.*ERROR.*$",
    r"ERROR\n?b",
    r"\bERROR\b",
    r"\bé\w+\b",
    r"é+$",
    r"(?i)error",
    r"(?i:e)rror 42",
    r"(?:ERROR|error 42)b*",
    r"a{2}b",
    r"a*",
    r"[^b]+",
    r"[^b\n]+ERR",
    r"\s+",
    r"x{90}b?",
    r"\AERROR",
    r"42\Z",
    "b|é",
    ".",
    "b(?-i:ERR)OR",
]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    monkeypatch.setattr(kinds, "_MOST_CONTROLS", 1)  # texts of many NULs are searched here, too
    monkeypatch.setattr(scan, "_FIRST_BYTES", 32)
    monkeypatch.setattr(scan, "_STEP_BYTES", 64)
    monkeypatch.setattr(scan, "_MANY", 3)
    monkeypatch.setattr(windows, "FILE_WINDOW_BYTES", 1_024)
    monkeypatch.setattr(windows, "_WORTH_THREADS_BYTES", 0)
    monkeypatch.setattr(windows, "_MAX_AHEAD_POSITIONS", 20)
    monkeypatch.setattr(linewise, "MIN_BYTES", 0)
    monkeypatch.setattr(linewise, "_STEP_BYTES", 200)
    monkeypatch.setattr(linewise, "_NEAR_BYTES", 16)
    monkeypatch.setattr(linewise, "_MANY_LINES", 3)
    monkeypatch.setattr(linewise, "_MAX_POSITIONS", 10)


def in_file(path: Path, text: str) -> Context:
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    context = Context.from_path(path)
    assert context.backing()
    return context


def spans(hits: list[Hit]) -> list[tuple[int, int]]:
    return [(hit["start"], hit["end"]) for hit in hits]


@pytest.mark.parametrize("needle", LITERALS)
def test_a_literal_is_found_where_str_find_finds_it(tmp_path_factory, needle: str):
    @settings(max_examples=examples(40))
    @given(WORDS)
    def check(words: list[str]) -> None:
        text = "".join(words)
        context = in_file(tmp_path_factory.mktemp("f") / "it", text)
        expected, position = [], 0
        while (position := text.find(needle, position)) >= 0:
            expected.append((position, position + len(needle)))
            position += len(needle)
        assert spans(context.find(needle, max_matches=9_999)) == expected
        assert context.count(needle) == len(expected)

    check()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_where_re_does(tmp_path_factory, pattern: str):
    warnings.simplefilter("ignore", FutureWarning)

    @settings(max_examples=examples(40))
    @given(WORDS)
    def check(words: list[str]) -> None:
        text = "".join(words)
        expected = spans_by_re(pattern, text)
        if max([len(text[a:b].encode()) for a, b in expected], default=0) >= 128:
            return  # longer than what a window of this size promises
        context = in_file(tmp_path_factory.mktemp("f") / "it", text)
        assert spans(context.find(pattern, True, max_matches=9_999)) == expected
        assert context.count(pattern, regex=True) == len(expected)
        if len(text) > 20:
            view = context.slice_view(7, -7)
            assert spans(view.find(pattern, True, max_matches=9_999)) == spans_by_re(pattern, text[7:-7])

    check()


def test_lines_longer_than_searching_by_lines_bears_are_searched_by_windows(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(linewise, "_MAX_LINE_BYTES", 300)
    text = "ERROR 1\n" * 40 + "x" * 900 + "ERROR 2\n" + "ERROR 3\n" * 40
    context = in_file(tmp_path / "it", text)
    assert spans(context.find(r"ERROR \d", True)) == spans_by_re(r"ERROR \d", text)


def test_a_match_that_is_longer_than_a_window_is_seen_whole_up_to_four_windows(tmp_path: Path):
    text = "<" + "é" * 1_500 + ">" + "b" * 9_000
    context = in_file(tmp_path / "it", text)
    assert spans(context.find("(?s)<é*>?", True)) == [(0, 1_502)]
    found = spans(context.find("(?s)é.*", True))
    assert found[0][0] == 1
    assert found[0][1] < len(text)


def test_only_what_is_searched_of_a_file_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    largest = 0
    for name in ("read", "read_into"):
        original = getattr(InFile, name)

        def watched(self, *arguments, original=original):
            nonlocal largest
            largest = max(largest, arguments[-1] - arguments[-2])
            return original(self, *arguments)

        monkeypatch.setattr(InFile, name, watched)
    context = in_file(tmp_path / "it", "some é text\n" * 50_000)
    context.prepare()
    assert context.line_count == 50_000
    largest = 0
    for call in (
        lambda: context.count("absent"),
        lambda: context.count(r"(?s)absent.*x", regex=True),
        lambda: context.count(r"absen\w", regex=True),
        lambda: context.find("absent", case_sensitive=False),
        lambda: context.count("(?s).+", regex=True),
    ):
        call()
    assert 0 < largest <= 10_000


def test_searching_a_file_has_a_deadline_and_leaves_no_thread(tmp_path: Path):
    context = in_file(tmp_path / "it", "some text\n" * 5_000)
    for call in (
        lambda: context.find("x", timeout_s=0),
        lambda: context.count("absent", timeout_s=0),
        lambda: context.find("absen[ct]", True, timeout_s=0),
        lambda: context.find("(?s)absent.*", True, timeout_s=0),
    ):
        with pytest.raises(ValueError, match="was stopped after 0 matches"):
            call()
    context.find("some", max_matches=1)
    context.search("so.e", max_matches=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rlmbox-search")]


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", r"(\w+\s?)+!", "(?:a?){30}a{30}b"])
def test_a_pattern_that_explodes_elsewhere_is_linear_in_a_file(tmp_path: Path, pattern: str):
    in_file(tmp_path / "it", "a" * 20_000 + "á!?").count(pattern, regex=True)


def test_the_c_library_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scan, "_strstr", lambda: None)
    assert in_file(tmp_path / "it", "an ERROR\n" * 99).count("ERROR") == 99


def test_a_compiled_pattern_serves_texts_in_memory_and_in_files(tmp_path: Path):
    search.compiled.cache_clear()
    text = "bERROR b\n" * 300
    assert Context.from_text(text).search("b.*R", 9_999) == [
        {**hit, "document": "context"} for hit in in_file(tmp_path / "it", text).search("b.*R", 9_999)
    ]
