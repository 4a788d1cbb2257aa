"""Paths, standard input, mappings and sequences -> texts."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rlmbox.context.load import kinds, opening, walking
from rlmbox.context.load.converting import convertible
from rlmbox.context.load.opening import OpenedText, Opening
from rlmbox.context.load.walking import ALL, Selection
from rlmbox.context.storage import source
from rlmbox.context.storage.cache import MAX_CACHE_BYTES, NewText
from rlmbox.context.storage.documents import Joining, printable
from rlmbox.context.storage.source import InFile
from rlmbox.context.storage.text import TextStore, Utf8, encode
from rlmbox.errors import ContextError

MAX_BYTES = MAX_CACHE_BYTES
"""Most bytes of several documents together."""

MAX_DOCUMENT_BYTES = 4 * 1024**3
"""Most bytes of one file among several."""

CONVERTING_S = 900.0
"""Seconds that converting the documents among many files may take together; those that are left are counted."""

STANDARD_INPUT = "-"
_NAMED = 5
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Single:
    """One text: there, or being looked through.

    Attributes:
        name: What its document is called.
        text: The text.
        page_starts: Where its pages begin, if it was converted from something with pages.
    """

    name: str
    text: OpenedText | Opening
    page_starts: tuple[int, ...] = ()


class LeftOut:
    """The files and directories that were left out: how many for which reason, and the first few names of each.

    Attributes:
        counts: How many, by reason.
        names: The first names, by reason.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.counts: dict[str, int] = {}
        self.names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        names = self.names.setdefault(reason, [])
        if len(names) < _NAMED:
            names.append(printable(name))

    def described(self) -> dict[str, object]:
        """Return it as the facts of `metadata`: `skipped`, and `skipped_names` where there are any."""
        names = {reason: list(names) for reason, names in self.names.items()}
        return {"skipped": dict(self.counts), **({"skipped_names": names} if names else {})}

    def told(self) -> str:
        """Return it as one line for a person; the empty string where nothing was left out."""
        parts = []
        for reason, count in self.counts.items():
            names = ", ".join(self.names[reason])
            more = ", …" if count > len(self.names[reason]) else ""
            parts.append(f"{count} {reason} ({names}{more})")
        return f"left out: {'; '.join(parts)}" if parts else ""


class Found:
    """What paths gave: documents, and how many files were left out for which reason."""

    def __init__(self, label: str) -> None:
        """Begins with nothing.

        Args:
            label: What the paths are called in errors.
        """
        self.label = label
        self.joining = Joining(label)
        self.left_out = LeftOut()
        self.encodings: set[str] = set()
        self._converting_s = 0.0

    def take(self, name: str, path: Path) -> None:
        """Takes a file that nobody asked for by its name: one that cannot be read is counted as left out.

        Raises:
            ContextError: There is more text than fits.
        """
        found = self._converted(name, path) if convertible(path, named=False) else self._opened(name, path)
        if isinstance(found, str):
            self.left_out.add(found, name)
        else:
            self.add(name, found)

    def _opened(self, name: str, path: Path) -> Single | str:
        try:
            return _one(path, name, sniff=True)
        except ContextError:
            return "unreadable"

    def _converted(self, name: str, path: Path) -> Single | str:
        """Convert one of many files, within a time for all of them together."""
        left_s = CONVERTING_S - self._converting_s
        if left_s < 1:
            return "not converted"
        began = time.monotonic()
        try:
            return _converted(path, name, timeout_s=left_s)
        except ContextError:
            return "not converted"
        finally:
            self._converting_s += time.monotonic() - began

    def add(self, name: str, single: Single) -> None:
        """Takes a document.

        Raises:
            ContextError: There is more text than fits, or it cannot be read.
        """
        text = single.text.text() if isinstance(single.text, Opening) else single.text
        if text is None:  # pragma: no cover - without a time limit there is a text or an error
            return
        if self.joining.size_bytes + text.store.size_bytes > MAX_BYTES:
            self.joining.discard()
            raise ContextError(
                f"{self.label}: has more than {MAX_BYTES // 1024**2} MiB of text, which does not fit; give a part"
            )
        self.encodings.add(text.encoding)
        pieces = text.store.pieces(_PIECE_BYTES)
        self.joining.add_pieces(name, text.store.length, pieces, text.replaced)


def kind_of(path: Path) -> str:
    """Says whether a path is a `file` or a `directory`.

    Raises:
        ContextError: It does not exist, cannot be reached, or is something else, such as a FIFO.
    """
    import stat

    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise source.missing(str(path)) from None
    except OSError as error:
        raise source.unreadable(str(path), error) from None
    except ValueError:
        raise source.not_a_path(str(path)) from None
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    raise source.special(str(path), mode)


def open_path(given: str | os.PathLike[str], selection: Selection = ALL) -> Single | Found:
    """Opens a file, the files below a directory or of a pattern, standard input (`-`), or what is elsewhere.

    Raises:
        ContextError: It is missing, cannot be read or has no text.
    """
    name = os.fspath(given)
    if name == STANDARD_INPUT:
        return read_stream(sys.stdin.buffer, "standard input")
    path = _local(name)
    if walking.is_pattern(str(path)):
        found = Found(name)
        _discarding(found, lambda: walking.matches(str(path), found.take, found.left_out.add, selection))
        return found
    if kind_of(path) == "file":
        single = _one(path, path.name)
        assert isinstance(single, Single)  # noqa: S101 - only sniffing leaves out
        return single
    found = Found(str(path))
    _discarding(found, lambda: walking.walk(path, found.take, found.left_out.add, selection=selection))
    return found


def _local(name: str) -> Path:
    from rlmbox.context.load import remote

    return remote.fetch(name) if remote.is_remote(name) else Path(name)


def _discarding(found: Found, work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:
        found.joining.discard()
        raise


def open_paths(paths: Sequence[str | os.PathLike[str]], selection: Selection = ALL) -> Found:
    """Reads several, each under its path as given.

    Raises:
        ContextError: One of them cannot be read.
    """
    found = Found("the paths")

    def read() -> None:
        for given in paths:
            _add_path(found, os.fspath(given), selection)

    _discarding(found, read)
    return found


def _add_path(found: Found, name: str, selection: Selection) -> None:
    path = _local(name) if name != STANDARD_INPUT else Path(name)
    if name == STANDARD_INPUT:
        found.add("standard input", read_stream(sys.stdin.buffer, "standard input"))
    elif walking.is_pattern(str(path)):
        walking.matches(str(path), found.take, found.left_out.add, selection)
    elif kind_of(path) == "directory":
        prefix = path.as_posix()
        walking.walk(path, found.take, found.left_out.add, "" if prefix == "." else prefix.rstrip("/") + "/", selection)
    else:
        single = _one(path, path.as_posix(), empty=True)
        if isinstance(single, Single):
            found.add(path.as_posix() if str(path) == name else path.name, single)


def _one(path: Path, name: str, *, sniff: bool = False, empty: bool = False) -> Single | str:
    """Opens one file; among others that nobody named, gives the reason why it is left out."""
    if convertible(path, named=not sniff):
        return _converted(path, name)
    file = InFile(path)
    if sniff and kinds.is_binary(file):
        return "binary"
    if sniff and file.size_bytes > MAX_DOCUMENT_BYTES:
        return "too large"
    if file.size_bytes <= opening.SMALL_BYTES:
        return Single(name, opening.read_small(file, may_be_empty=sniff or empty))
    return Single(name, Opening(file))


def _converted(path: Path, name: str, timeout_s: float | None = None) -> Single:
    from rlmbox.context.load import converting

    limits = {} if timeout_s is None else {"timeout_s": min(converting.TIMEOUT_S, int(timeout_s))}
    converted = converting.convert(path, **limits)
    content = encode(converted.text)
    if not content.length:
        raise opening.empty(path)
    return Single(name, OpenedText(TextStore.of(content), "converted", content.replaced), converted.page_starts)


def read_stream(stream: BinaryIO, label: str) -> Single:
    """Reads all of a stream: into memory, or into a file of the cache if it is long.

    Raises:
        ContextError: It has no text, or there is no room for it.
    """
    head = stream.read(opening.SMALL_BYTES + 1)
    if len(head) <= opening.SMALL_BYTES:
        return Single(label, opening.text_of(head, label))
    new = NewText(label)
    try:
        while head:
            new.write(head)
            head = stream.read(_PIECE_BYTES)
        return Single(label, Opening(new.keep(None), kept=False))
    except BaseException:
        new.discard()
        raise


def document(item: object, number: int) -> tuple[str, Utf8]:
    """Gives the name and text of one item of a list of documents.

    Args:
        item: A text; a name and a text; or a mapping with `text` or `content`, and perhaps a `name`, `path`,
            `title` or `id`.
        number: Its place in the list, which names it if nothing else does.

    Raises:
        TypeError: It is something else.
    """
    name: object = None
    text: object = item
    if isinstance(item, Mapping):
        text = item.get("text", item.get("content"))
        name = next((item[key] for key in ("name", "path", "title", "id") if item.get(key) not in (None, "")), None)
    elif isinstance(item, tuple) and len(item) == 2:
        name, text = item
    if not isinstance(text, str):
        raise TypeError(
            f"document {number} must be a str, a (name, text) pair, or a mapping with a 'text' or 'content' str,"
            f" not {type(item).__name__}"
        )
    return f"document {number}" if name is None else str(name), encode(text)


def dict_part(key: object, value: object) -> tuple[str, Utf8]:
    """Gives the document of one item of a mapping: a `str` as it is, anything else as indented JSON."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return str(key), encode(text)
