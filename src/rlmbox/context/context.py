"""The text of a question, as a value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from rlmbox.context import loaders, schema
from rlmbox.context.documents import Documents, join, suffix_counts
from rlmbox.context.hits import MAX_MATCHES, Hit, make_hits
from rlmbox.context.reading import Reading
from rlmbox.context.search import MAX_LITERAL_CHARS, TIMEOUT_S, Deadline, literal_spans, regex_spans
from rlmbox.context.text import TextStore, Utf8, encode, repair
from rlmbox.errors import ContextError
from rlmbox.types import Source

Kind = Literal["text", "bytes", "file", "directory", "documents", "dict"]

_QUOTE_CHARS = 300
_METADATA_SUFFIXES = 20
_FIND_WINDOW_CHARS = 120


class Context(Reading):
    r"""An immutable text, made of one document or of several.

    Positions are characters, as in a Python `str`. Several documents form one text: each is preceded by a line
    `===== NAME =====`, ends with a newline, and is separated from the next by a blank line. Lines are what `\n`
    ends. Make one with `of`, or with the constructor for what you have.
    """

    def __init__(
        self, store: TextStore, documents: Documents, kind: Kind, *, replaced: int = 0, skipped: Mapping[str, int] = {}
    ) -> None:
        super().__init__(store)
        self._documents = documents
        self._kind: Kind = kind
        self._replaced = replaced
        self._skipped = MappingProxyType(dict(skipped))

    # ---- making one -------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, value: object) -> Context:
        """Makes a context of whatever is given, a context included.

        Args:
            value: A `Context`, `str`, bytes, `Path`, mapping, or sequence of paths or documents.

        Raises:
            ContextError: It has no text or cannot be read.
            TypeError: It is something else.
        """
        if isinstance(value, Context):
            return value
        if isinstance(value, str):
            return cls.from_text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return cls.from_bytes(bytes(value))
        if isinstance(value, os.PathLike):
            return cls.from_path(value)
        if isinstance(value, Mapping):
            return cls.from_dict(value)
        if isinstance(value, Sequence):
            if value and all(isinstance(item, os.PathLike) for item in value):
                return cls.from_path(value)
            return cls.from_documents(value)
        raise TypeError(
            "a context is made of a str, bytes, a pathlib.Path, a list of documents or a dict,"
            f" not {type(value).__name__}"
        )

    @classmethod
    def from_text(cls, text: str, *, name: str = "context") -> Context:
        """Makes a context of one text; lone surrogates become U+FFFD.

        Args:
            text: The text.
            name: What its document is called.

        Raises:
            ContextError: The text is empty.
        """
        return cls._single(encode(text), name, "text")

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "context") -> Context:
        """Makes a context of bytes: UTF-8, or what a byte order mark says; what is invalid becomes U+FFFD.

        Args:
            data: The bytes.
            name: What its document is called.

        Raises:
            ContextError: There is no text in them.
        """
        return cls._single(repair(bytes(data)), name, "bytes")

    @classmethod
    def from_path(cls, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Context:
        """Makes a context of a file, of the text files below a directory, or of several of both.

        A directory's documents are called by their paths relative to it. Hidden and binary files and others that
        are left out are counted in `skipped`.

        Args:
            path: The path, or paths.

        Raises:
            ContextError: A path is missing, cannot be read, is no file or directory, or there is no text.
        """
        if not isinstance(path, str | os.PathLike):
            found = loaders.load_paths([Path(item) for item in path])
            return cls._collection(found.parts, "documents", "the paths", skipped=found.skipped)
        place = Path(path)
        if loaders.kind_of(place) == "file":
            return cls._single(loaders.read_file(place), place.name, "file", str(place))
        found = loaders.Found()
        loaders.walk(place, found)
        return cls._collection(found.parts, "directory", str(place), skipped=found.skipped)

    @classmethod
    def from_documents(cls, documents: Sequence[object]) -> Context:
        """Makes a context of documents.

        Args:
            documents: Each a `str`, a pair of name and text, or a mapping with `text` or `content` and perhaps a
                `name`, `path`, `title` or `id`.

        Raises:
            ContextError: There is no text in them.
            TypeError: A document is something else.
        """
        parts = [loaders.document(item, number) for number, item in enumerate(documents)]
        return cls._collection(parts, "documents", "the documents")

    @classmethod
    def from_dict(cls, mapping: Mapping[object, object]) -> Context:
        """Makes a context with a document for each key; values that are not `str` are written as indented JSON.

        Args:
            mapping: Names and texts.

        Raises:
            ContextError: There is no text in it.
        """
        parts = [loaders.dict_part(key, value) for key, value in mapping.items()]
        return cls._collection(parts, "dict", "the dict")

    @classmethod
    def _single(cls, content: Utf8, name: str, kind: Kind, label: str = "") -> Context:
        if not content.length:
            raise ContextError(f"{label or name}: has no text; give something with at least one character")
        documents = Documents.single(name, content.length)
        return cls(TextStore.of(content), documents, kind, replaced=content.replaced)

    @classmethod
    def _collection(
        cls, parts: list[tuple[str, Utf8]], kind: Kind, label: str, *, skipped: Mapping[str, int] = {}
    ) -> Context:
        if not any(content.length for _, content in parts):
            left_out = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
            hint = f" (left out: {left_out})" if left_out else ""
            raise ContextError(f"{label}: no text found{hint}; give something with at least one text that is not empty")
        content, documents = join(parts)
        return cls(TextStore.of(content), documents, kind, replaced=content.replaced, skipped=skipped)

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def kind(self) -> Kind:
        """What it was made of."""
        return self._kind

    @property
    def num_documents(self) -> int:
        """Documents."""
        return len(self._documents)

    @property
    def document_names(self) -> tuple[str, ...]:
        """The documents' names, each once."""
        return self._documents.names

    @property
    def skipped(self) -> Mapping[str, int]:
        """How many files were left out, by reason."""
        return self._skipped

    @property
    def replaced(self) -> int:
        """How many U+FFFD stand in for lone surrogates or invalid bytes."""
        return self._replaced

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of its UTF-8, in hexadecimal."""
        return self._store.sha256()

    def __repr__(self) -> str:
        return f"<Context {self.kind}: {self.length:,} characters, {self.num_documents} documents>"

    # ---- reading ----------------------------------------------------------------------------------------------

    def slice_view(self, start: int | None = None, end: int | None = None) -> Context:
        """Gives a part as a context of its own over the same bytes; its positions start at 0.

        Raises:
            ContextError: The part is empty.
        """
        first, last, _ = slice(start, end).indices(self.length)
        if first >= last:
            raise ContextError(f"the slice from {start} to {end} has no text; the context has {self.length} characters")
        store = self._store.view(first, last)
        documents = self._documents.clipped(first, last)
        return Context(store, documents, self.kind, replaced=self.replaced, skipped=self._skipped)

    def document_chunk_spans(self, n: int) -> list[tuple[int, int]]:
        """Gives where the chunks of `chunk_documents` begin and end.

        Raises:
            ValueError: `n` is not positive.
        """
        if n <= 0:
            raise ValueError(f"n must be positive: {n}")
        starts = [0, *self._documents.regions[n::n]]
        return list(zip(starts, [*starts[1:], self.length], strict=True))

    def chunk_documents(self, n: int) -> list[str]:
        """Cuts the text into pieces of `n` documents each, headers included; together they are the whole text.

        Raises:
            ValueError: `n` is not positive.
        """
        return [self._store.slice(start, end) for start, end in self.document_chunk_spans(n)]

    def document_span(self, document: int | str) -> tuple[int, int]:
        """Gives where a document's own text, without its header, begins and ends.

        Args:
            document: Its index, its name, or the last parts of its path where only one document has them.

        Raises:
            IndexError: There is none with this index.
            KeyError: There is none with this name, or several; the message lists names that are close.
        """
        index = self._documents.index_of(document)
        return self._documents.starts[index], self._documents.ends[index]

    def get_document(self, document: int | str) -> str:
        """Gives a document's own text, without its header; see `document_span`."""
        return self._store.slice(*self.document_span(document))

    def document_lengths(self) -> list[int]:
        """Gives the characters of each document."""
        return self._documents.lengths()

    # ---- searching --------------------------------------------------------------------------------------------

    def _spans(self, pattern: str, regex: bool, case_sensitive: bool, timeout_s: float) -> Iterator[tuple[int, int]]:
        deadline = Deadline(timeout_s)
        if regex:
            return regex_spans(self._store, pattern, ignore_case=not case_sensitive, deadline=deadline)
        if case_sensitive:
            return literal_spans(self._store, pattern, deadline=deadline)
        return regex_spans(self._store, pattern, literal=True, ignore_case=True, deadline=deadline)

    def find(
        self,
        pattern: str,
        regex: bool = False,
        case_sensitive: bool = True,
        max_matches: int = 100,
        *,
        window: int = _FIND_WINDOW_CHARS,
        timeout_s: float = TIMEOUT_S,
    ) -> list[Hit]:
        """Finds where a text, or a regular expression, occurs, without overlaps.

        The list is cut at `max_matches`, and at 4 million characters of matches and snippets; `count` tells how
        many there are. For what differs from `re` see `rlmbox.context.search.regex_spans`.

        Args:
            pattern: The text or regular expression.
            regex: Which of the two it is.
            case_sensitive: Whether upper and lower case differ.
            max_matches: Most hits that are wanted, at most 10,000.
            window: Characters around a match in its snippet, half before and half after.
            timeout_s: Seconds after which it gives up.

        Raises:
            ValueError: The pattern is empty, too long, invalid or has what a linear search lacks; `max_matches` is
                not positive; or time is up.
        """
        if max_matches <= 0:
            raise ValueError(f"max_matches must be positive: {max_matches}")
        if window < 0:
            raise ValueError(f"window must not be negative: {window}")
        spans = self._spans(pattern, regex, case_sensitive, timeout_s)
        return make_hits(self._store, self._documents, spans, max_matches=min(max_matches, MAX_MATCHES), window=window)

    def search(
        self,
        pattern: str,
        max_matches: int = 50,
        window: int = _FIND_WINDOW_CHARS,
        case_sensitive: bool = True,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> list[Hit]:
        """Finds where a regular expression matches; see `find`."""
        return self.find(pattern, True, case_sensitive, max_matches, window=window, timeout_s=timeout_s)

    def count(
        self, pattern: str, regex: bool = False, case_sensitive: bool = True, *, timeout_s: float = TIMEOUT_S
    ) -> int:
        """Counts what `find` would find without its bounds.

        Raises:
            ValueError: As `find`.
        """
        return sum(1 for _ in self._spans(pattern, regex, case_sensitive, timeout_s))

    def locate(self, start: int, end: int) -> Source:
        """Gives the document and the positions in it of a part of the text.

        A header belongs to the document that follows; a part that reaches beyond its document is cut.

        Args:
            start: Position of the first character, from 0.
            end: Position after the last.
        """
        first, last, _ = slice(start, end).indices(self.length)
        index = self._documents.at(first)
        begin = self._documents.within(index, first)
        finish = max(begin, self._documents.within(index, last))
        offset = self._documents.starts[index]
        quote = self._store.slice(offset + begin, offset + min(finish, begin + _QUOTE_CHARS))
        return Source(self._documents.names[index], begin, finish, quote)

    def find_quote(self, text: str, *, limit: int = 1) -> list[Source]:
        """Finds where a quotation stands, exactly and without overlaps.

        Args:
            text: The quotation; one of more than 1,000,000 characters is not looked for.
            limit: Most places that are wanted.
        """
        if not text or limit <= 0 or len(text) > min(self.length, MAX_LITERAL_CHARS):
            return []
        found = []
        for begin, end in literal_spans(self._store, text, deadline=Deadline(TIMEOUT_S)):
            found.append(self.locate(self._store.char_offset(begin), self._store.char_offset(end)))
            if len(found) == limit:
                break
        return found

    # ---- describing -------------------------------------------------------------------------------------------

    def get_schema(self) -> dict[str, object]:
        """Describes the structure: columns, keys, headings, kinds of lines or files; no data, and bounded."""
        if self._is_collection:
            first = self._document_store(0)
            described = {"document": self.document_names[0], **schema.text_schema(first, self.document_names[0])}
            return {**schema.tree_schema(self._documents, self.kind), "first": described}
        return schema.text_schema(self._store, self.document_names[0])

    @property
    def _is_collection(self) -> bool:
        return self.kind in ("directory", "documents", "dict")

    def _document_store(self, index: int) -> TextStore:
        return self._store.view(self._documents.starts[index], self._documents.ends[index])

    def metadata(self) -> dict[str, object]:
        """Describes the context in a few facts: kind, sizes, documents, what was left out, a preview."""
        return {**deepcopy(self._metadata), "skipped": dict(self._skipped)}

    @cached_property
    def _metadata(self) -> dict[str, object]:
        names, lengths = self.document_names, self.document_lengths()
        longest = max(range(len(lengths)), key=lengths.__getitem__)
        kind = "tree" if self._is_collection else schema.schema_kind(self._store, names[0])
        return {
            "kind": self.kind,
            "length": self.length,
            "size_bytes": self.size_bytes,
            "documents": len(names),
            "lines": self.line_count,
            "suffixes": suffix_counts(names, _METADATA_SUFFIXES),
            "longest_document": {"name": names[longest], "length": lengths[longest]},
            "replaced": self.replaced,
            "schema": kind,
            "preview": self.preview(),
        }
