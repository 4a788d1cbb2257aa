"""Opening one file of any size immediately; a background thread determines whatever requires reading all of it."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from rlmbox.context.load.encodings import (
    HEAD_BYTES,
    Presumed,
    decoded,
    joined,
    mark_bytes,
    presumed,
    recognised,
    transcoded,
)
from rlmbox.context.storage import cache
from rlmbox.context.storage.index import Index, InvalidUtf8, count_chars
from rlmbox.context.storage.source import InFile, InMemory
from rlmbox.context.storage.text import TextStore, Utf8
from rlmbox.errors import ContextError
from rlmbox.threads import start_background

SMALL_BYTES = 16 * 1024 * 1024
"""Files up to this size are read into memory, where nobody can change them."""

_MAX_UNSIZED_BYTES = 16 * 1024 * 1024
_SAMPLE_BYTES = 4 * HEAD_BYTES


@dataclass(frozen=True, slots=True)
class OpenedText:
    """A text that is known in full.

    Attributes:
        store: The text.
        encoding: The encoding of the file.
        replaced: Number of U+FFFD that replace invalid bytes.
        is_guess: Whether the encoding is a guess.
        notes: Notes for readers on how the text was read.
    """

    store: TextStore
    encoding: str
    replaced: int
    is_guess: bool = False
    notes: tuple[str, ...] = ()


class Opening:
    """A file whose beginning is available immediately, and whose length once it has been scanned."""

    def __init__(self, file: InFile, *, encoding: str | None = None, kept: bool = True) -> None:
        """Start to scan a file.

        Args:
            file: The file.
            encoding: Its encoding; None to detect it.
            kept: Whether to cache the result.

        Raises:
            ContextError: It is empty or cannot be read.
        """
        self.file = file
        self.size_bytes = file.size_bytes
        head = file.read(0, min(_SAMPLE_BYTES, file.size_bytes))
        if not head:
            raise empty(file.label)
        found = presumed(head[:HEAD_BYTES])
        if encoding is not None:
            found = Presumed(encoding, mark_bytes(head, encoding))
        mark = found.mark_bytes
        self.encoding = found.encoding
        # May cut the text inside a character; its last bytes are never used.
        self._head = head[mark : mark + (len(head) - mark & ~3)]
        self.sample_bytes = len(self._head)
        self._result: Future[OpenedText] = Future()
        self._stop = threading.Event()
        weakref.finalize(self, self._stop.set)
        key = cache.cache_key(file, encoding) if kept else None
        self._look = _Scan(file, found, encoding is not None, self._stop, key)
        start_background(partial(self._look.run, self._result), "rlmbox-look", self._stop.set)

    def text(self, timeout_s: float | None = None) -> OpenedText | None:
        """Return the text once the scan is complete; None if that takes longer than `timeout_s`.

        Raises:
            ContextError: It cannot be read, or changed during the scan.
        """
        try:
            return self._result.result(timeout_s)
        except NotYet:
            if self._result.done():
                raise
            return None

    def sha256(self) -> str:
        """Return the SHA-256 of the text in hexadecimal; it is cached.

        Raises:
            ContextError: It cannot be read, or changed during the scan.
        """
        text = self._result.result()
        return self._look.known_sha256() or self._look.keep_sha256(text.store.sha256())

    def beginning(self) -> TextStore:
        """Return about the first 256 KiB of the text, which correspond to `sample_bytes` of the file."""
        return TextStore.of(joined(transcoded(InMemory(self._head), self.encoding)))


class _OpeningStopped(Exception):
    pass


@dataclass(slots=True)
class _Scan:
    """A scan of a file in its own thread. It must not refer to the `Opening`, whose finalizer stops it."""

    file: InFile
    found: Presumed
    is_named: bool
    stop: threading.Event
    key: str | None
    facts: cache.Facts | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, result: Future[OpenedText]) -> None:
        try:
            text = self._known() or self._looked()
            _has_text(text, self.file.label)
        except BaseException as error:  # noqa: BLE001 - raised in the waiting thread
            result.set_exception(error)
            return
        result.set_result(text)
        try:
            newlines = text.store.index.count_newlines(self.check)
            self._learn(lambda facts: facts if facts.newlines else replace(facts, newlines=newlines))
        except (ContextError, _OpeningStopped):
            return  # determined when lines are first needed
        except RuntimeError as error:
            # At interpreter shutdown no thread can be started, and shortly before, pools accept no more work.
            if "shutdown" not in str(error) and not sys.is_finalizing() and threading.main_thread().is_alive():
                raise

    def check(self) -> None:
        if self.stop.is_set():
            raise _OpeningStopped

    def known_sha256(self) -> str | None:
        return self.facts.sha256 if self.facts else None

    def keep_sha256(self, sha256: str) -> str:
        self._learn(lambda facts: replace(facts, sha256=sha256))
        return sha256

    def _learn(self, more: Callable[[cache.Facts], cache.Facts]) -> None:
        """Extend the known facts, and cache them if there are more."""
        with self.lock:
            if self.facts is None or (facts := more(self.facts)) is self.facts:
                return
            self.facts = facts
        if self.key and cache.is_settled(self.file):
            cache.save(self.key, facts)

    def _known(self) -> OpenedText | None:
        facts = cache.load(self.key) if self.key else None
        if facts is None or self.key is None:
            return None
        file: InFile | None = self.file
        if not facts.in_place:
            file = cache.cached_text(self.key, facts, self.file.label)
        elif self.file.size_bytes == facts.mark_bytes + facts.size_bytes:
            self.file.skip(facts.mark_bytes)
        else:
            return None
        if file is None:
            return None
        self.facts = facts
        return self._text(file, facts)

    def _text(self, file: InFile, facts: cache.Facts) -> OpenedText:
        index = Index(file, facts.chars, facts.newlines)
        store = TextStore.over(index, facts.length)
        return OpenedText(store, facts.encoding, facts.replaced, facts.is_guess)

    def _looked(self) -> OpenedText:
        mark_bytes = self.found.mark_bytes
        self.file.skip(mark_bytes)
        if self.found.encoding == "utf-8":
            try:
                length, chars = count_chars(self.file, self.check)
            except InvalidUtf8 as invalid:
                if not mark_bytes and not self.is_named:
                    name = recognised(self.file, invalid.position)
                    self.found = Presumed(name, is_guess=name != "utf-8")
                return self._transcoded()
            facts = cache.Facts("utf-8", length, self.file.size_bytes, 0, True, mark_bytes, chars=chars)
            return self._kept(self.file, facts)
        return self._transcoded()

    def _transcoded(self) -> OpenedText:
        new = cache.NewText(self.file.label)
        replaced = 0
        try:
            for piece in transcoded(self.file, self.found.encoding):
                self.check()
                new.write(piece.data)
                replaced += piece.replaced
        except BaseException:
            new.discard()
            raise
        file = new.keep(self.key if cache.is_settled(self.file) else None)
        length, chars = count_chars(file, self.check)
        encoding, mark_bytes, is_guess = self.found
        facts = cache.Facts(encoding, length, file.size_bytes, replaced, False, mark_bytes, is_guess, chars=chars)
        return self._kept(file, facts)

    def _kept(self, file: InFile, facts: cache.Facts) -> OpenedText:
        self.facts = facts
        self._learn(replace)
        return self._text(file, facts)


def standard_input() -> BinaryIO:
    """Return the process's standard input as bytes.

    Raises:
        ContextError: It was closed before the program started.
    """
    if sys.stdin is None:
        raise ContextError("standard input is closed; give a file, or pipe the text in")
    return sys.stdin.buffer


def read_small(
    file: InFile, head: bytes = b"", *, encoding: str | None = None, may_be_empty: bool = False
) -> OpenedText:
    """Read a whole file into memory.

    Args:
        file: The file.
        head: Its first bytes, if they were read before; a file that has no more is not read again.
        encoding: Its encoding; None to detect it.
        may_be_empty: Whether it may have no text.

    Raises:
        ContextError: It changed while being read, or has no text.
    """
    if not file.size_bytes:
        data = file.read_to_end(_MAX_UNSIZED_BYTES)
    else:
        data = head if len(head) == file.size_bytes else file.read(0, file.size_bytes)
    return decoded_text(data, file.label, encoding=encoding, may_be_empty=may_be_empty)


def decoded_text(data: bytes, label: str, *, encoding: str | None = None, may_be_empty: bool = False) -> OpenedText:
    """Return the text of the bytes of a file.

    Lines that end with a single CR, as on old Macintoshes, end with LF in the result; positions are unchanged.

    Args:
        data: The bytes.
        label: The name of the file in errors.
        encoding: Their encoding; None to detect it.
        may_be_empty: Whether the text may be empty.

    Raises:
        ContextError: There is no text.
    """
    content, name, is_guess = decoded(data, encoding)
    if not content.length and not may_be_empty:
        raise empty(label)
    notes: tuple[str, ...] = ()
    if content.data.count(b"\r") > 1 and b"\n" not in content.data:
        content = Utf8(content.data.replace(b"\r", b"\n"), content.length, content.replaced)
        notes = ("its lines ended with CR alone, which are LF here",)
    return OpenedText(TextStore.of(content), name, content.replaced, is_guess, notes)


def _has_text(text: OpenedText, label: str) -> None:
    if not text.store.length:
        raise empty(label)


def empty(label: str | Path) -> ContextError:
    """Return the error for a file without text."""
    return ContextError(f"{label}: has no text; give something with at least one character")
