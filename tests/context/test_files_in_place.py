"""A file that is not read into memory is the same text, and says so when it is not any more."""

import gc
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.context import Context
from rlmbox.context.load import opening
from rlmbox.context.storage import index
from rlmbox.context.storage.index import BLOCK_BYTES, count_chars
from rlmbox.errors import ContextError

CHARACTERS = st.sampled_from(["a", "b", " ", "\n", "é", "ç", "日", "€", "😀", "\u0301"])
TEXTS = st.text(CHARACTERS, min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every file one that is too large for memory."""
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)


def opened(path: Path, data: str | bytes) -> Context:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return Context.from_path(path)


@st.composite
def long_texts(draw: st.DrawFn) -> str:
    """Texts of several blocks, whose multi-byte characters lie across the blocks' borders."""
    unit = draw(st.sampled_from(["aé", "日", "😀x", "abc\n", "é日😀a\n"]))
    lead = draw(st.text(CHARACTERS, max_size=5))
    plain = "p" * draw(st.integers(0, 70)) * BLOCK_BYTES
    return lead + unit * (BLOCK_BYTES // 2) + plain + draw(st.text(CHARACTERS, max_size=5)) + unit


@given(TEXTS, st.integers(-70, 70), st.integers(-70, 70), CHARACTERS)
def test_every_reading_of_a_file_is_that_of_the_str(tmp_path_factory, text: str, start: int, end: int, needle: str):
    context = opened(tmp_path_factory.mktemp("f") / "it.txt", text)
    rows = text.splitlines(keepends=True) if "\r" not in text else []
    data = text.encode()
    assert (context.text(), len(context), context.size_bytes) == (text, len(text), len(data))
    assert context.slice(start, end) == text[start:end]
    assert b"".join(context.pieces(7)) == bytes(context.buffer()) == data
    assert context.sha256 == hashlib.sha256(data).hexdigest()
    assert context.line_count == len(rows)
    assert context.lines(start, end) == "".join(rows[start:end])
    assert context.count(needle) == text.count(needle)
    assert [hit["start"] for hit in context.find(needle)] == [i for i, char in enumerate(text) if char == needle]
    assert context.find(needle) == Context.from_text(text, name="it.txt").find(needle)
    if text[start:end]:
        view = context.slice_view(start, end)
        assert view.text() == text[start:end]
        assert view.find(needle) == Context.from_text(text[start:end], name="it.txt").find(needle)


@settings(max_examples=examples(60))
@given(long_texts(), st.data())
def test_a_position_in_a_file_of_many_blocks_is_that_of_the_str(tmp_path_factory, text: str, data: st.DataObject):
    context = opened(tmp_path_factory.mktemp("f") / "it.txt", text)
    assert context.length == len(text)
    for _ in range(10):
        start = data.draw(st.integers(0, len(text) - 1))
        assert context.slice(start, start + 20) == text[start : start + 20]
        needle = text[start : start + 3]
        place = text.find(needle)
        hit = context.find(needle, max_matches=1)[0]
        assert (hit["start"], hit["end"]) == (place, place + len(needle))
        assert hit["line"] == text.count("\n", 0, place) + 1


def test_positions_far_outside_are_those_of_the_str(tmp_path: Path):
    context = opened(tmp_path / "it.txt", "añb")
    assert context.slice(-(10**30), 10**30) == "añb"
    assert context.slice(10**30, None) == context.slice(None, -(10**30)) == ""
    assert context.read_chunk(-2, 10**18) == "ñb"


# ---- backing ----------------------------------------------------------------------------------------------------


def test_a_file_in_place_gives_its_range_to_whoever_maps_it(tmp_path: Path):
    context = opened(tmp_path / "it.txt", "\ufeffolá mundo")
    view = context.slice_view(2, 7)
    for part in (context, view, view.slice_view(2, 4)):
        backing = part.backing()
        assert backing.path == tmp_path / "it.txt"
        descriptor = backing.open()
        assert os.pread(descriptor, backing.size_bytes, backing.offset).decode() == part.text()
        os.close(descriptor)
    assert not context.backing().is_ascii
    assert view.slice_view(2, 4).backing().is_ascii


def test_a_descriptor_of_a_backing_cannot_be_written_to(tmp_path: Path):
    descriptor = opened(tmp_path / "it.txt", "text").backing().open()
    with pytest.raises(OSError):
        os.write(descriptor, b"x")
    os.close(descriptor)


def test_a_text_in_memory_has_no_backing():
    assert Context.from_text("text").backing() is None


def test_a_backing_of_a_file_that_changed_is_an_error(tmp_path: Path):
    backing = opened(tmp_path / "it.txt", "some text").backing()
    backing.check()
    (tmp_path / "it.txt").write_text("other")
    with pytest.raises(ContextError, match=r"it\.txt: became shorter while it was in use; make a copy"):
        backing.check()
    with pytest.raises(ContextError, match="became shorter"):
        backing.open()


# ---- a file that changes ----------------------------------------------------------------------------------------

READINGS = {
    "slice": lambda c: c.slice(5_000, 6_000),
    "text": lambda c: c.text(),
    "lines": lambda c: c.lines(90, 95),
    "find": lambda c: c.find("absent"),
    "count": lambda c: c.count("line"),
    "search": lambda c: c.search(r"\d{7}"),
    "ignoring case": lambda c: c.count("LINE", case_sensitive=False),
    "page": lambda c: c.page(2),
    "schema": lambda c: c.get_schema(),
    "digest": lambda c: c.sha256,
    "view": lambda c: c.slice_view(5, 5_000).text(),
    "quote": lambda c: c.find_quote("line 50"),
    "pieces": lambda c: list(c.pieces()),
}
CHANGES = {
    "became shorter": lambda path: os.truncate(path, 100),
    "became empty": lambda path: os.truncate(path, 0),
    "grew": lambda path: path.write_bytes(path.read_bytes() + b"more\n"),
    "was written over": lambda path: path.write_text("É" * path.stat().st_size),
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_is_an_error_that_names_it(tmp_path: Path, reading: str, change: str):
    path = tmp_path / "it.log"
    context = opened(path, "".join(f"line {i} is é line\n" for i in range(1_000)))
    context.prepare()
    assert context.line_count == 1_000
    CHANGES[change](path)
    with pytest.raises(
        ContextError, match=r"it\.log: (changed|became shorter) while it was in use; make a copy"
    ) as got:
        READINGS[reading](context)
    assert "\n" not in str(got.value)


def test_a_file_that_changes_while_it_is_looked_through_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = count_chars

    def count(source, check):
        os.truncate(tmp_path / "it.txt", 3)
        return real(source, check)

    monkeypatch.setattr(opening, "count_chars", count)
    context = opened(tmp_path / "it.txt", "some text")
    with pytest.raises(ContextError, match=r"it\.txt: became shorter"):
        len(context)


def test_a_file_that_gives_less_than_it_has_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    context = opened(tmp_path / "it.txt", "some text")
    context.prepare()
    monkeypatch.setattr(os, "pread", lambda *arguments: b"")
    with pytest.raises(ContextError, match=r"it\.txt: became shorter"):
        context.slice(0, 3)


def test_a_file_that_fails_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    context = opened(tmp_path / "it.txt", "some text")
    context.prepare()
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        patch.setattr(os, "preadv", fail)
        for reading in (lambda: context.slice(0, 3), lambda: context.count("some")):
            with pytest.raises(ContextError, match=r"it\.txt: cannot be read \(Input/output error\); check"):
                reading()
    assert context.slice(0, 4) == "some"


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse_to_open(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "it.txt").write_text("text")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse_to_open)
        with pytest.raises(ContextError, match=r"it\.txt: cannot be read \(Permission denied\); check its permissions"):
            Context.from_path(tmp_path / "it.txt")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_a_file_that_says_it_is_empty_and_is_not_is_read(monkeypatch: pytest.MonkeyPatch):
    assert Context.from_path("/proc/self/status").find("VmSize")


def test_a_file_whose_name_goes_to_another_is_still_the_one_that_was_opened(tmp_path: Path):
    context = opened(tmp_path / "it.txt", "the first")
    (tmp_path / "other.txt").write_text("another one")
    (tmp_path / "other.txt").replace(tmp_path / "it.txt")
    assert context.text() == "the first"
    (tmp_path / "it.txt").unlink()
    assert context.find("first")


# ---- at once ----------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Keeps files from being looked through until it is set."""
    may, real = threading.Event(), count_chars

    def count(source, check):
        while not may.wait(0.01):
            check()
        return real(source, check)

    monkeypatch.setattr(opening, "count_chars", count)
    return may


def test_metadata_is_there_before_a_file_has_been_looked_through(tmp_path: Path, gate: threading.Event):
    context = opened(tmp_path / "it.csv", "a,b\n" + "1,é\n" * 50_000)
    facts: Mapping[str, Any] = context.metadata()
    assert facts["estimated"] == ["length", "size_bytes", "lines", "encoding", "replaced"]
    assert facts["size_bytes"] == 250_004
    assert abs(facts["length"] - 200_004) < 20
    assert abs(facts["lines"] - 50_001) < 500
    assert (facts["schema"], facts["kind"], facts["suffixes"]) == ("csv", "file", {".csv": 1})
    assert facts["preview"] == context.metadata()["preview"] == ("a,b\n" + "1,é\n" * 50)[:200]
    gate.set()
    context.prepare()
    facts = context.metadata()
    assert "estimated" not in facts
    assert (facts["length"], facts["lines"]) == (200_004, 50_001)


def test_a_sparse_file_of_ten_gigabytes_is_open_at_once(tmp_path: Path, gate: threading.Event):
    path = tmp_path / "sparse.txt"
    path.write_text("beginning\n" * 1_000)
    os.truncate(path, 10 * 1024**3)
    facts: Mapping[str, Any] = Context.from_path(path).metadata()
    assert facts["size_bytes"] == facts["length"] == 10 * 1024**3
    assert facts["preview"].startswith("beginning\nbeginning\n")


def test_a_context_that_is_not_wanted_any_more_ends_its_thread(tmp_path: Path, gate: threading.Event):
    context = opened(tmp_path / "it.txt", "text")
    threads = [thread for thread in threading.enumerate() if thread.name == "rlmbox-look"]
    assert threads
    del context
    gc.collect()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


# ---- counted by several processes -------------------------------------------------------------------------------

COUNTED = {
    "two bytes": "aé".encode() * 50_000,
    "three bytes": "日".encode() * 50_000,
    "four bytes": "😀".encode() * 50_000 + b"!",
    "begins as ASCII": b"p" * 600_000 + "é日😀a\n".encode() * 9_000,
    "ends as ASCII": "é日😀a\n".encode() * 9_000 + b"p" * 100_000,
    "truncated": "日".encode() * 50_000 + b"\xe6\x97",
    "damaged": "日".encode() * 30_000 + b"\x80\x80\x80\x80\xff" + "日".encode() * 30_000,
    "damaged at a border": b"a" * 49_151 + b"\xe6" + b"\x97" * 2 + b"\xa5" * 3 + "日".encode() * 30_000,
}


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("data", COUNTED.values(), ids=COUNTED)
def test_counting_by_several_processes_gives_the_same(tmp_path: Path, monkeypatch, data: bytes, parts: int):
    monkeypatch.setattr(index, "PROGRAMS_BYTES", 0)
    monkeypatch.setattr(index, "threads", lambda: parts)
    text = data.decode("utf-8", "replace")
    context = opened(tmp_path / "it.txt", b"\xef\xbb\xbf" + data)
    assert (context.length, context.replaced) == (len(text), text.count("\ufffd"))
    for start in range(0, len(text), len(text) // 50):
        assert context.slice(start, start + 9) == text[start : start + 9]


def test_where_no_process_can_be_started_one_thread_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(index, "PROGRAMS_BYTES", 0)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    assert opened(tmp_path / "it.txt", "é" * 50_000).length == 50_000


ENDS_EARLY = """
import os, sys, time
from rlmbox import Context

read = os.pread
def slowly(*given):
    time.sleep(0.01)
    return read(*given)
os.pread = slowly
Context.from_path(sys.argv[1]).prepare()
"""


def test_a_program_that_ends_while_lines_are_counted_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("a line of text\n" * 1_600_000)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", ENDS_EARLY, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
