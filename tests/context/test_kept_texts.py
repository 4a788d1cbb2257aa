"""What is kept in the cache of large files, of many documents and of standard input, and what goes away again."""

import gc
import hashlib
import io
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.context.load import loaders, opening
from rlmbox.context.storage import cache, caching, documents
from rlmbox.errors import ContextError


@pytest.fixture(autouse=True)
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every file one that is too large for memory."""
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)


def opened(path: Path, data: str | bytes) -> Context:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return Context.from_path(path)


def settled(path: Path) -> Path:
    """Makes a file look as if it had not changed for a while."""
    then = time.time_ns() - 10**11
    os.utime(path, ns=(then, then))
    return path


# ---- what is kept -----------------------------------------------------------------------------------------------


def refuse(*arguments: object) -> None:
    raise AssertionError("what is known was found out again")


def wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name == "rlmbox-look":
            thread.join(10)


def wait_for_facts(path: Path, text: str) -> None:
    context = opened(path, text)
    settled(path)
    context = Context.from_path(path)
    assert context.line_count
    wait_for_threads()


@pytest.mark.parametrize("text", ["plain\ntext\n", "ação\n€" * 9_000])
def test_what_is_found_out_about_a_file_is_kept_for_the_next_time(tmp_path: Path, monkeypatch, text: str):
    path = tmp_path / "it.txt"
    wait_for_facts(path, text)
    monkeypatch.setattr(opening, "count_chars", refuse)
    monkeypatch.setattr("rlmbox.context.storage.index.count_newlines", refuse)
    context = Context.from_path(path)
    assert (context.text(), context.line_count) == (text, text.count("\n") + (not text.endswith("\n")))
    assert context.slice(-9, -3) == text[-9:-3]


def test_the_digest_of_a_file_is_kept_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "it.txt"
    wait_for_facts(path, "ação")
    digest = Context.from_path(path).sha256
    assert digest == hashlib.sha256("ação".encode()).hexdigest()
    monkeypatch.setattr("rlmbox.context.storage.text.TextStore.sha256", refuse)
    again = Context.from_path(path)
    assert again.sha256 == digest
    assert again.line_count == 1


def test_what_was_kept_about_an_earlier_state_of_a_file_does_not_count(tmp_path: Path):
    path = tmp_path / "it.txt"
    wait_for_facts(path, "éé")
    path.write_text("abcd")  # of the same size
    assert Context.from_path(path).text() == "abcd"


def test_nothing_is_kept_about_a_file_that_changed_just_now(tmp_path: Path, cache_home: Path):
    opened(tmp_path / "it.txt", "text").prepare()
    assert not list(cache_home.rglob("*.facts"))


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:30] + b"x" + data[31:], lambda data: b""])
def test_what_was_kept_and_is_spoiled_is_found_out_again(tmp_path: Path, cache_home: Path, spoil):
    path = tmp_path / "it.txt"
    wait_for_facts(path, "é" * 99)
    (kept,) = cache_home.rglob("*.facts")
    kept.write_bytes(spoil(kept.read_bytes()))
    assert Context.from_path(path).length == 99


def test_a_transcoded_text_is_kept_and_made_again_if_it_is_gone(tmp_path: Path, cache_home: Path, monkeypatch):
    path = tmp_path / "it.txt"
    path.write_bytes("olá\n".encode("utf-16") * 50)
    settled(path)
    first = Context.from_path(path)
    assert (first.encoding, first.backing().path.parent) == ("utf-16-le", cache_home / "rlmbox" / "texts")
    with monkeypatch.context() as patch:
        patch.setattr(opening, "transcoded", refuse)
        assert Context.from_path(path).text() == first.text()
    (copy,) = cache_home.rglob("*.utf8")
    copy.unlink()
    assert first.slice(0, 3) == "olá"
    assert Context.from_path(path).text() == first.text()


def test_the_cache_belongs_to_its_user_alone(tmp_path: Path, cache_home: Path):
    path = tmp_path / "it.txt"
    path.write_bytes("olá\n".encode("utf-16"))
    settled(path)
    Context.from_path(path).prepare()
    folder = cache_home / "rlmbox" / "texts"
    assert folder.stat().st_mode & 0o777 == 0o700
    wait_for_threads()
    assert {kept.suffix for kept in folder.iterdir()} == {".utf8", ".facts"}
    assert all(kept.stat().st_mode & 0o077 == 0 for kept in folder.iterdir())


def test_a_cache_that_others_could_read_is_closed_to_them(cache_home: Path):
    (cache_home / "rlmbox" / "texts").mkdir(0o755, parents=True)
    folder = caching.cache_folder("texts")
    assert [part.stat().st_mode & 0o777 for part in (folder.parent, folder)] == [0o700, 0o700]


@pytest.mark.parametrize("name", ["rlmbox", "rlmbox/texts"])
def test_a_cache_behind_a_link_is_not_used(tmp_path: Path, cache_home: Path, name: str):
    (tmp_path / "elsewhere").mkdir(0o700)
    (cache_home / name).parent.mkdir(0o700, parents=True, exist_ok=True)
    (cache_home / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ContextError, match="is a link, which the cache does not follow"):
        caching.cache_folder("texts")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_neither_a_link_nor_a_file_is_written_through(tmp_path: Path):
    (tmp_path / "target").write_text("before")
    (tmp_path / "link").symlink_to("target")
    for name in ("link", "target"):
        with pytest.raises(FileExistsError):
            caching.write_private(tmp_path / name, b"after")
    assert (tmp_path / "target").read_text() == "before"


def test_only_an_absolute_place_counts_for_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", " ", "relative/place"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert caching.cache_path("texts").is_relative_to(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", f" {tmp_path}/own ")
    assert caching.cache_path("texts") == tmp_path / "own" / "rlmbox" / "texts"


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path, cache_home: Path):
    folder = cache_home / "rlmbox" / "texts"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    path = tmp_path / "it.txt"
    path.write_bytes("olá\n".encode("utf-16"))
    context = Context.from_path(settled(path))
    assert context.text() == "olá\n"
    assert not list(folder.iterdir())
    copy = context.backing().path
    assert copy.exists()
    del context
    wait_for_threads()
    gc.collect()
    assert not copy.exists()


def test_the_oldest_texts_go_when_the_cache_is_full(tmp_path: Path, cache_home: Path, monkeypatch):
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 4_000)
    for number in range(9):
        path = tmp_path / f"{number}.txt"
        path.write_bytes(f"{number}é".encode("utf-16") * 100)
        context = Context.from_path(settled(path))
        context.prepare()
        assert context.slice(0, 2) == f"{number}é"
    wait_for_threads()
    assert sum(kept.stat().st_size for kept in cache_home.rglob("*.*")) <= 4_000


def test_a_text_may_take_more_than_half_of_the_cache(tmp_path: Path, cache_home: Path, monkeypatch):
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 4_000)
    for name in ("old", "new"):
        path = tmp_path / f"{name}.txt"
        path.write_bytes((f"{name}é" * 600).encode("utf-16"))
        context = Context.from_path(settled(path))
        assert context.slice(0, 4) == f"{name}é"
    wait_for_threads()
    (copy,) = cache_home.rglob("*.utf8")
    assert copy.read_text() == "newé" * 600


def test_a_text_that_is_larger_than_the_cache_is_an_error(tmp_path: Path, cache_home: Path, monkeypatch):
    monkeypatch.setattr(cache, "MAX_CACHE_BYTES", 4_000)
    path = tmp_path / "it.txt"
    path.write_bytes("é".encode("utf-16") * 9_000)
    with pytest.raises(ContextError, match=r"it\.txt: has more than 0 MiB of text, which does not fit into the cache"):
        len(Context.from_path(path))
    assert not list(cache_home.rglob("*.part"))


def test_no_room_for_a_text_is_an_error_with_the_remedy(tmp_path: Path, cache_home: Path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    path = tmp_path / "it.txt"
    path.write_bytes("olá\n".encode("utf-16"))
    monkeypatch.setattr(cache.NewText, "_put", full)
    with pytest.raises(ContextError, match=r"cannot be written to the cache \(No space left .*; make room, or set XDG"):
        len(Context.from_path(path))
    assert not list(cache_home.rglob("*.part"))


# ---- several files, standard input ------------------------------------------------------------------------------


def test_documents_that_are_many_are_put_into_a_file_that_goes_with_them(tmp_path: Path, monkeypatch):
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text(f"text é of {number}\n" * 5)
    small = Context.from_path(tmp_path)
    monkeypatch.setattr(documents, "MEMORY_BYTES", 100)
    large = Context.from_path(tmp_path)
    assert (large.text(), large.document_names) == (small.text(), small.document_names)
    assert large.get_document("07.txt") == "text é of 7\n" * 5
    assert large.find("of 11")[0] == small.find("of 11")[0]
    assert small.backing() is None
    copy = large.backing().path
    assert copy.exists()
    del large
    gc.collect()
    assert not copy.exists()


def test_documents_that_are_too_many_leave_nothing_behind(tmp_path: Path, cache_home: Path, monkeypatch):
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text("text\n" * 5)
    monkeypatch.setattr(documents, "MEMORY_BYTES", 100)
    monkeypatch.setattr(loaders, "MAX_BYTES", 500)
    with pytest.raises(ContextError, match="which does not fit; give a part"):
        Context.from_path(tmp_path)
    assert not list(cache_home.rglob("*.part"))


@pytest.mark.parametrize("limit", [10, 10**6])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_hyphen_is_standard_input(monkeypatch: pytest.MonkeyPatch, limit: int, encoding: str):
    monkeypatch.setattr(opening, "SMALL_BYTES", limit)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("olá, mundo\n".encode(encoding) * 9)))
    context = Context.from_path("-")
    assert context.text().replace("\ufeff", "") == "olá, mundo\n" * 9
    assert context.document_names == ("standard input",)
    assert (context.backing() is None) == (limit > 10)


def test_standard_input_without_text_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(ContextError, match="standard input: has no text"):
        Context.from_path("-")


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_a_file_without_text_is_an_error_that_names_it(tmp_path: Path, data: bytes):
    with pytest.raises(ContextError, match=r"it\.txt: has no text; give"):
        len(opened(tmp_path / "it.txt", data))
