"""Reading of paths, standard input, mappings and sequences."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from rlmbox.context.load import kinds, opening, structured, walking
from rlmbox.context.load.converting import Converted, convertible
from rlmbox.context.load.opening import OpenedText, Opening
from rlmbox.context.load.walking import ALL, Selection
from rlmbox.context.storage import source
from rlmbox.context.storage.cache import MAX_CACHE_BYTES, NewText
from rlmbox.context.storage.documents import Joining, printable_name
from rlmbox.context.storage.source import InFile
from rlmbox.context.storage.text import TextStore, Utf8, encode
from rlmbox.errors import ContextError

MAX_BYTES = MAX_CACHE_BYTES
"""Most bytes of several documents together."""

MAX_DOCUMENT_BYTES = 4 * 1024**3
"""Most bytes of one file among several, and of any that is converted."""

CONVERTING_S = 900.0
"""Seconds that converting the documents among many files may take together; those that are left are counted."""

STANDARD_INPUT = "-"
_NAMED = 5
_PIECE_BYTES = 1024 * 1024


class Omissions:
    """The skipped files and directories: their number and the first few names, by reason.

    Attributes:
        counts: Their number, by reason.
        names: The first names, by reason.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.counts: dict[str, int] = {}
        self.names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one skipped file."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        names = self.names.setdefault(reason, [])
        if len(names) < _NAMED:
            names.append(printable_name(name))

    def update(self, other: Omissions, prefix: str) -> None:
        """Add the parts skipped in one file, whose name is prepended to theirs."""
        for reason, count in other.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
            names = self.names.setdefault(reason, [])
            inner = (f"{prefix}/{name}" if prefix else name for name in other.names[reason])
            names += list(inner)[: _NAMED - len(names)]

    def described(self) -> dict[str, object]:
        """Return the facts for `metadata`: `skipped`, and `skipped_names` if any."""
        names = {reason: list(names) for reason, names in self.names.items()}
        return {"skipped": dict(self.counts), **({"skipped_names": names} if names else {})}

    def told(self) -> str:
        """Return them in one line; the empty string if nothing was skipped."""
        parts = []
        for reason, count in self.counts.items():
            names = ", ".join(self.names[reason])
            more = ", …" if count > len(self.names[reason]) else ""
            parts.append(f"{count} {reason} ({names}{more})")
        return f"left out: {'; '.join(parts)}" if parts else ""


@dataclass(frozen=True, slots=True)
class Single:
    """One text, complete or still being scanned.

    Attributes:
        name: The name of its document.
        text: The text.
        page_starts: The start of each page, if it was converted from a file with pages.
        left_out: The parts that were skipped.
    """

    name: str
    text: OpenedText | Opening
    page_starts: tuple[int, ...] = ()
    left_out: Omissions = field(default_factory=Omissions)


@dataclass(frozen=True, slots=True)
class Options:
    """Options for reading paths.

    Attributes:
        selection: The files to read in directories.
        encoding: The encoding of text files; None to detect it.
        called: Original paths of files that have moved, by their present path; documents are named after the original.
        only: The original documents, if others have been added since; None for all.
    """

    selection: Selection = ALL
    encoding: str | None = None
    called: tuple[tuple[str, str], ...] = ()
    only: frozenset[str] | None = None

    def name_of(self, path: str) -> str:
        """Return the path after which the documents of a path are named.

        Args:
            path: The path.
        """
        return dict(self.called).get(path, path)


DEFAULT = Options()


@dataclass(frozen=True, slots=True)
class Several:
    """The documents in one file.

    Attributes:
        documents: The documents; the name is None for the file's own text.
        notes: Notes about them for readers.
        left_out: The parts of the file that were skipped.
    """

    documents: tuple[tuple[str | None, Single], ...]
    notes: tuple[str, ...]
    left_out: Omissions


class FoundFiles:
    """The documents found at paths, and the files that were left out."""

    def __init__(self, label: str, options: Options) -> None:
        """Start without documents.

        Args:
            label: The name of the paths in errors.
            options: How to read them.
        """
        self.label = label
        self.options = options
        self.joining = Joining(label)
        self.left_out = Omissions()
        self.encodings: set[str] = set()
        self.guessed: list[str] = []
        self.notes: list[str] = []
        self._purse = _Purse(CONVERTING_S)
        # A file's name is that of its document, or the prefix of its documents' names.
        names = options.only or ()
        self._wanted = {name[:end] for name in names for end in (*_slashes(name), len(name))}

    def take(self, name: str, path: Path) -> None:
        """Add a file that the user did not name; if it cannot be read, it is counted as skipped.

        Raises:
            ContextError: The text is too long.
        """
        if self.options.only is not None and name not in self._wanted:
            return
        try:
            found = _one(path, name, self.options, purse=self._purse)
        except _NotConverted:
            found = "not converted"
        except ContextError:
            found = "unreadable"
        if isinstance(found, str):
            self.left_out.add(found, name)
            return
        self.add(name, found)

    def add(self, name: str, found: Single | Several) -> None:
        """Add a document, or the documents of one file prefixed with its name.

        Raises:
            ContextError: The text is too long, or cannot be read.
        """
        if isinstance(found, Single):
            self._add(name, found)
            return
        for inner, single in found.documents:
            self._add(name if inner is None else f"{name}/{inner}", single)
        self.notes += [f"{name} {note}" if name else note for note in found.notes]
        self.left_out.update(found.left_out, name)

    def _add(self, name: str, single: Single) -> None:
        text = single.text.text() if isinstance(single.text, Opening) else single.text
        if text is None:  # pragma: no cover - without a time limit there is a text or an error
            return
        if self.joining.size_bytes + text.store.size_bytes > MAX_BYTES:
            self.joining.discard()
            raise ContextError(
                f"{self.label}: has more than {MAX_BYTES // 1024**2} MiB of text, which does not fit; give a part"
            )
        self.encodings.add(text.encoding)
        if text.is_guess:
            self.guessed.append(name)
        self.notes += [f"{name}: {note}" for note in text.notes]
        pieces = text.store.pieces(_PIECE_BYTES)
        self.joining.add_pieces(name, text.store.length, pieces, text.replaced)


def _slashes(name: str) -> list[int]:
    return [place for place, character in enumerate(name) if character == "/"]


class _NotConverted(ContextError):
    """A document that cannot be converted."""


class _Purse:
    """The time left for converting the documents of many files, including those that fail."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds

    @contextmanager
    def spending(self, most_s: int) -> Iterator[int]:
        """Subtract the time that one document takes; the value is its time limit in seconds, 0 if none is left."""
        began = time.monotonic()
        try:
            yield min(most_s, max(0, int(self._left_s)))
        finally:
            self._left_s -= time.monotonic() - began


def path_kind(path: Path) -> str:
    """Return the kind of a path, `file` or `directory`.

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


def open_path(given: str | os.PathLike[str], options: Options = DEFAULT) -> Single | FoundFiles:
    """Open a file, the files in a directory or matching a pattern, standard input (`-`), or a remote file.

    Raises:
        ContextError: It is missing, cannot be read or has no text.
    """
    name = os.fspath(given)
    if name == STANDARD_INPUT:
        return read_stream(opening.standard_input(), "standard input", options)
    if _is_pipe(name):
        with Path(name).open("rb") as stream:
            return read_stream(stream, Path(name).name, options)
    path = _local(name)
    if walking.is_pattern(str(path)):
        found = FoundFiles(name, options)
        take = _take_of(found, str(path))
        _discarding(found, lambda: walking.matches(str(path), take, found.left_out.add, options.selection))
        return found
    if path_kind(path) == "file":
        called = Path(options.name_of(name)) if options.called else path
        opened = _one(path, called.name, options)
        assert not isinstance(opened, str)  # noqa: S101 - only files that the user did not name are skipped
        return opened if isinstance(opened, Single) else _of_one_file(called, opened, options)
    found = FoundFiles(str(path), options)
    _discarding(found, lambda: walking.walk(path, found.take, found.left_out.add, selection=options.selection))
    return found


def _of_one_file(path: Path, several: Several, options: Options) -> Single | FoundFiles:
    """Return the content of one file: a single text, or its documents under their own names."""
    if len(several.documents) == 1 and several.documents[0][0] is None:
        single = several.documents[0][1]
        text = single.text
        assert isinstance(text, OpenedText)  # noqa: S101 - converted texts are in memory
        text = replace(text, notes=(*text.notes, *several.notes))
        return replace(single, name=path.name, text=text, left_out=several.left_out)
    found = FoundFiles(str(path), options)
    documents = tuple((inner or path.name, single) for inner, single in several.documents)

    def add() -> None:
        for inner, single in documents:
            found.add(inner, single)

    _discarding(found, add)
    found.notes += several.notes
    found.left_out.update(several.left_out, "")
    return found


def is_descriptor(name: str) -> bool:
    """Return whether a path names an open descriptor of this process, which means nothing to another process.

    Args:
        name: A path.
    """
    return name.startswith(("/dev/fd/", "/proc/self/fd/", "/dev/stdin"))


def _is_pipe(name: str) -> bool:
    """Return whether a path names a pipe made by a shell, as for `<(zcat a.gz)`."""
    import stat

    try:
        return is_descriptor(name) and stat.S_ISFIFO(os.stat(name).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def _local(name: str) -> Path:
    from rlmbox.context.load import remote

    return remote.fetch(name) if remote.is_remote(name) else Path(name)


def _discarding(found: FoundFiles, work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException:
        found.joining.discard()
        raise


def open_paths(paths: Sequence[str | os.PathLike[str]], options: Options = DEFAULT) -> FoundFiles:
    """Read several paths, each under its name as given.

    Raises:
        ContextError: One of them cannot be read.
    """
    found = FoundFiles("the paths", options)

    def read() -> None:
        for given in paths:
            _add_path(found, os.fspath(given))

    _discarding(found, read)
    return found


def _take_of(found: FoundFiles, pattern: str) -> walking.Take:
    """Return a callback that adds the files of a pattern, under their original names if they have moved."""
    here, there = (walking.beginning(each) for each in (pattern, found.options.name_of(pattern)))
    return lambda name, path: found.take(there + name.removeprefix(here), path)


def _add_path(found: FoundFiles, name: str) -> None:
    options = found.options
    if name == STANDARD_INPUT:
        found.add("standard input", read_stream(opening.standard_input(), "standard input", options))
        return
    if _is_pipe(name):
        with Path(name).open("rb") as stream:
            found.add(name, read_stream(stream, name, options))
        return
    path = _local(name)
    if walking.is_pattern(str(path)):
        walking.matches(str(path), _take_of(found, str(path)), found.left_out.add, options.selection)
    elif path_kind(path) == "directory":
        prefix = Path(options.name_of(name)).as_posix()
        prefix = "" if prefix == "." else prefix.rstrip("/") + "/"
        walking.walk(path, found.take, found.left_out.add, prefix, options.selection)
    else:
        called = Path(options.name_of(name)) if str(path) == name else path
        opened = _one(path, called.as_posix(), options, empty=True)
        assert not isinstance(opened, str)  # noqa: S101 - only files that the user did not name are skipped
        found.add(called.as_posix() if str(path) == name else path.name, opened)


def _one(
    path: Path,
    name: str,
    options: Options,
    *,
    empty: bool = False,
    purse: _Purse | None = None,
) -> Single | Several | str:
    """Open one file; if the user did not name it, it may be skipped, and the reason is returned.

    Args:
        path: The file.
        name: Its name.
        options: How to read it.
        empty: Whether it may have no text.
        purse: The time left for converting documents; None if the user named the file.
    """
    named = purse is None
    file = InFile(path, follow=named)
    head = file.read(0, min(kinds.HEAD_BYTES, file.size_bytes))
    kind = kinds.file_kind(head, path.name)
    is_source = kind.name == "html" and not convertible(path, named=named)
    # Naming the encoding of a file means that it is text.
    if is_source or (kind == kinds.FileKind(kinds.BINARY) and named and options.encoding):
        kind = kinds.FileKind(kinds.TEXT)
    if not named and (kind.name in kinds.ARCHIVES or kind.name == kinds.BINARY):
        return "archive" if kind.name in kinds.ARCHIVES else "binary"
    if kind.name == kinds.BINARY:
        raise ContextError(
            f"{path}: is {kind.label or 'not text'}" + ("" if kind.label else "; convert it to text first")
        )
    if kind.is_converted and file.size_bytes > MAX_DOCUMENT_BYTES:
        if not named:
            return "too large"
        raise ContextError(
            f"{path}: is larger than {MAX_DOCUMENT_BYTES // 1024**3} GiB; give a part of it, or its text"
        )
    if kind.is_converted:
        return _converted(file, name, kind.name, options, purse)
    return _text(file, head, name, options, named=named, empty=empty)


def _text(file: InFile, head: bytes, name: str, options: Options, *, named: bool, empty: bool) -> Single | str:
    """Open a text file, whose first bytes are known."""
    if not named and kinds.has_nul(head):
        return "binary"
    if not named and file.size_bytes > MAX_DOCUMENT_BYTES:
        return "too large"
    if file.size_bytes <= opening.SMALL_BYTES:
        text = opening.read_small(file, head, encoding=options.encoding, may_be_empty=empty or not named)
        return Single(name, text)
    return Single(name, Opening(file, encoding=options.encoding))


def _converted(file: InFile, name: str, kind: str, options: Options, purse: _Purse | None) -> Single | Several | str:
    """Convert a file that the user named, or one of many, which share a time limit."""
    from rlmbox.context.load import converting

    if purse is None:
        return _converted_within(converting.TIMEOUT_S, file, name, kind, options, named=True)
    with purse.spending(converting.TIMEOUT_S) as seconds:
        if seconds < 1:
            raise _NotConverted(name)
        return _converted_within(seconds, file, name, kind, options, named=False)


def _converted_within(
    seconds: int, file: InFile, name: str, kind: str, options: Options, *, named: bool
) -> Single | Several | str:
    """Convert a file; one that is only compressed is unpacked first, and treated as its content."""
    from rlmbox.context.load import converting

    try:
        if kind not in kinds.COMPRESSED:
            return _several(converting.convert(file.path, timeout_s=seconds))
        unpacked = converting.unpack(file.path, timeout_s=seconds)
        inner = kinds.without_compression(file.path.name)
        kind_inside = kinds.file_kind(unpacked.read(0, min(kinds.HEAD_BYTES, unpacked.size_bytes)), inner)
        if kind_inside.is_converted and not (kind_inside.name == "html" and not named):
            if kind_inside.name in kinds.ARCHIVES and not named:
                return "archive"
            return _several(converting.convert(unpacked.path, name=inner, label=file.path, timeout_s=seconds))
    except ContextError as error:
        if named:
            raise
        raise _NotConverted(str(error)) from None
    if kind_inside.name == kinds.BINARY:
        if not named:
            return "binary"
        raise ContextError(f"{file.path}: what is packed in it is {kind_inside.label or 'not text; convert it first'}")
    return _unpacked_text(unpacked, name, options)


def _unpacked_text(file: InFile, name: str, options: Options) -> Single:
    if not file.size_bytes:
        raise opening.empty(file.label)
    if file.size_bytes <= opening.SMALL_BYTES:
        return Single(name, opening.read_small(file, encoding=options.encoding))
    return Single(name, Opening(file, encoding=options.encoding, kept=False))


def _several(converted: Converted) -> Several:
    left_out = Omissions()
    for reason, name in converted.omitted:
        left_out.add(reason, name)
    documents = []
    for inner, text, page_starts in converted.each():
        content = encode(text)
        opened = OpenedText(TextStore.of(content), "converted", content.replaced)
        documents.append((inner, Single(inner or "", opened, page_starts)))
    return Several(tuple(documents), converted.notes, left_out)


def read_stream(stream: BinaryIO, label: str, options: Options = DEFAULT) -> Single:
    """Read all of a stream, into memory or, if it is long, into a file of the cache.

    Raises:
        ContextError: It has no text, or there is no room for it.
    """
    head = stream.read(opening.SMALL_BYTES + 1)
    kind = kinds.file_kind(head[: kinds.HEAD_BYTES], label)
    if kind.name != kinds.TEXT:
        what = kind.label or ("not text" if kind.name == kinds.BINARY else f"a file of the kind {kind.name}")
        raise ContextError(f"{label}: is {what}; write it to a file, and give that")
    if len(head) <= opening.SMALL_BYTES:
        return Single(label, opening.decoded_text(head, label, encoding=options.encoding))
    new = NewText(label)
    try:
        while head:
            new.write(head)
            head = stream.read(_PIECE_BYTES)
        return Single(label, Opening(new.keep(None), encoding=options.encoding, kept=False))
    except BaseException:
        new.discard()
        raise


def document(item: object, number: int) -> tuple[str, Utf8]:
    """Return the name and text of one item of a list of documents.

    Args:
        item: A text; a name and a text; or a mapping with `text` or `content`, and optionally a `name`, `path`,
            `title` or `id`.
        number: Its index, which names it if nothing else does.

    Raises:
        TypeError: The item is of another type.
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
    """Return the document of one item of a mapping: a text as it is, anything else as indented JSON.

    It is made from what the context keeps as `data`, so that a context restored from a record has the same text.
    """
    form = structured.jsonable(value)
    text = form if isinstance(form, str) else json.dumps(form, indent=2, ensure_ascii=False)
    return str(key), encode(text)
