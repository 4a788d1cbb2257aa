"""The text of a question, as a value."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from rlmbox.context import describing
from rlmbox.context.describing import ContextKind
from rlmbox.context.load import dumps, loaders, structured
from rlmbox.context.load.encodings import known_encoding, repair
from rlmbox.context.load.loaders import Omissions, Options, Single
from rlmbox.context.load.opening import Opening
from rlmbox.context.load.origin import Origin
from rlmbox.context.load.walking import Selection
from rlmbox.context.search.searching import Searching
from rlmbox.context.storage.documents import Documents, Joining
from rlmbox.context.storage.text import TextStore, Utf8, encode
from rlmbox.errors import ContextError
from rlmbox.usage import quantity

if TYPE_CHECKING:
    from rlmbox.context.rank.ranking import Ranked, Ranking

Data = dict[str, object] | list[object]

# How long a description waits for the exact figures of a file that is still being scanned.
_DESCRIBE_WAIT_S = 0.02


class Context(Searching):
    r"""An immutable text, consisting of one document or several.

    Positions are character offsets, as in a Python `str`. Several documents form one text: each is preceded by a line
    `===== NAME =====`, ends with a newline, and is separated from the next by a blank line. Lines end with `\n`.
    Create one with `of`, or with one of the other `from_…` methods.

    A large file is not read into memory: it opens immediately, and a background thread scans it to count its characters
    and to check that it is UTF-8. Methods that need the result wait for it; `metadata` does not.
    """

    def __init__(
        self,
        content: describing.Content | loaders.Single,
        kind: ContextKind,
        left_out: Omissions | None = None,
        *,
        data: Data | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._kind: ContextKind = kind
        self._data = data
        self._origin = origin
        self._left_out = left_out or Omissions()
        self._table: object = None
        self._single = content if isinstance(content, Single) else None
        self._known = content if isinstance(content, describing.Content) else None

    # ---- construction -----------------------------------------------------------------------------------------

    @classmethod
    def of(cls, value: object) -> Context:
        """Create a context from a value of any supported type.

        Args:
            value: A `Context`, `str`, bytes, `Path`, mapping, sequence of paths, documents or other values, or a
                `pandas.DataFrame` or `Series`, which becomes CSV. Mappings and sequences are also available as `data`,
                tables as a list of rows, and as themselves if code has pandas.

        Raises:
            ContextError: The value has no text or cannot be read.
            TypeError: The type is not supported.
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
        if structured.is_table(value):
            return cls._of_table(value)
        if isinstance(value, Sequence):
            if value and all(isinstance(item, os.PathLike) for item in value):
                return cls.from_path(value)
            if all(map(structured.is_document, value)):
                return cls.from_documents(value)
            return cls._of_list(value)
        raise TypeError(
            f"a context is made from a str, bytes, a pathlib.Path, a list or a dict, not {type(value).__name__}"
            f"{structured.instead_of(value, 'it')}"
        )

    @classmethod
    def from_text(cls, text: str, *, name: str = "context") -> Context:
        """Create a context from one text; lone surrogates become U+FFFD.

        Args:
            text: The text.
            name: The name of its document.

        Raises:
            ContextError: The text is empty.
        """
        return cls._of_text(encode(text), name, "text")

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "context") -> Context:
        """Create a context from bytes in UTF-8, or as a byte order mark says; invalid bytes become U+FFFD.

        Args:
            data: The bytes.
            name: The name of the document.

        Raises:
            ContextError: The bytes contain no text.
        """
        return cls._of_text(repair(bytes(data)), name, "bytes")

    @classmethod
    def from_path(
        cls,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        include: str | Sequence[str] = (),
        exclude: str | Sequence[str] = (),
        encoding: str | None = None,
    ) -> Context:
        """Create a context from a file, from the text files below a directory, or from several of both.

        The documents of a directory are named by their relative paths. Hidden, binary and other skipped files are
        counted in `skipped`; a file that is named explicitly is always read.

        Args:
            path: The path, or paths; also a pattern such as `logs/**/*.txt`, an address, or `-` for standard input.
            include: Patterns in the syntax of `.gitignore`; in directories, only matching files are read.
            exclude: Patterns in the same syntax; matching files and directories are skipped.
            encoding: The encoding of text files, such as `cp1250`; None to detect it.

        Raises:
            ContextError: A path is missing, cannot be read, is neither a file nor a directory, or has no text; or the
                encoding is unknown.
        """
        return cls._from_path(path, _options(include, exclude, encoding))

    @classmethod
    def _from_recorded(
        cls,
        paths: Sequence[str],
        called: str | Sequence[str],
        *,
        include: Sequence[str],
        exclude: Sequence[str],
        encoding: str | None,
        only: Iterable[str] | None,
    ) -> Context:
        """Recreate a context of `from_path` whose files have moved; the documents keep their names.

        Args:
            paths: The paths now.
            called: The original path or paths, in the same order.
            include: The original argument.
            exclude: The original argument.
            encoding: The original argument.
            only: The documents that it had, if known; documents added since are ignored.
        """
        names = [called] if isinstance(called, str) else called
        moved = tuple((path, name) for path, name in zip(paths, names, strict=True) if path != name)
        known = None if only is None else frozenset(only)
        options = replace(_options(include, exclude, encoding), called=moved, only=known)
        return cls._from_path(paths[0] if isinstance(called, str) else paths, options)

    @classmethod
    def _from_path(cls, path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], options: Options) -> Context:
        if not isinstance(path, str | os.PathLike):
            paths = [os.fspath(each) for each in path]
            return cls._collection(loaders.open_paths(paths, options), "documents", Origin.of(paths, options))
        found, origin = loaders.open_path(path, options), Origin.of(os.fspath(path), options)
        if isinstance(found, Single):
            return cls(found, "file", found.left_out, origin=origin)
        return cls._collection(found, "directory", origin)

    @classmethod
    def from_documents(cls, documents: Sequence[object]) -> Context:
        """Create a context from documents.

        Args:
            documents: Each a `str`, a pair of name and text, or a mapping with `text` or `content` and optionally a
                `name`, `path`, `title` or `id`.

        Raises:
            ContextError: The documents contain no text.
            TypeError: The type of a document is not supported.
        """
        joining = Joining("the documents")
        for number, item in enumerate(documents):
            joining.add(*loaders.document(item, number))
        return cls._joined(joining, "documents", "the documents", documents)

    @classmethod
    def _of_list(cls, values: Sequence[object]) -> Context:
        """Create a context from a list of other values: one document, with a value as JSON on each line."""
        data = structured.jsonable(values)
        assert isinstance(data, list)  # noqa: S101 - a sequence becomes a list
        content = encode(structured.json_lines(data))
        documents = Documents.single("data.jsonl", content.length)
        known = describing.Content(TextStore.of(content), documents, "utf-8", content.replaced)
        return cls(known, "list", data=data)

    @classmethod
    def _of_table(cls, value: Any) -> Context:
        """Create a context from a pandas object, as CSV; a copy of the object itself is kept."""
        made = cls._of_csv(structured.csv_of(value), structured.records_of(value))
        made._table = value.copy()  # noqa: SLF001
        return made

    @classmethod
    def _of_csv(cls, text: str, records: list[object]) -> Context:
        """Create a context from a table's CSV and its rows."""
        if not text.strip():
            raise ContextError("the table: has no columns; give one with at least one")
        content = encode(text)
        documents = Documents.single("data.csv", content.length)
        known = describing.Content(TextStore.of(content), documents, "utf-8", content.replaced)
        return cls(known, "table", data=records)

    @classmethod
    def from_dict(cls, mapping: Mapping[object, object]) -> Context:
        """Create a context with a document for each key; values that are not `str` are written as indented JSON.

        Args:
            mapping: Names and texts.

        Raises:
            ContextError: The mapping contains no text.
        """
        joining = Joining("the dict")
        for key, value in mapping.items():
            joining.add(*loaders.dict_part(key, value))
        return cls._joined(joining, "dict", "the dict", mapping)

    @classmethod
    def _of_text(cls, content: Utf8, name: str, kind: ContextKind) -> Context:
        if not content.length:
            raise ContextError(f"{name}: has no text; give something with at least one character")
        store = TextStore.of(content)
        return cls(describing.Content(store, _documents(store, name), "utf-8", content.replaced), kind)

    @classmethod
    def _collection(cls, found: loaders.FoundFiles, kind: ContextKind, origin: Origin) -> Context:
        store, documents = cls._finished(found.joining, found.label, found.left_out)
        encoding = ", ".join(sorted(found.encodings)) or "utf-8"
        guess, replaced = describing.guess_note(found.encodings, found.guessed), found.joining.replaced
        notes = (*guess, *found.notes)
        content = describing.Content(store, documents, encoding, replaced, bool(found.guessed), notes)
        return cls(content, kind, found.left_out, origin=origin)

    @classmethod
    def _joined(
        cls, joining: Joining, kind: ContextKind, label: str, data: Sequence[object] | Mapping[object, object]
    ) -> Context:
        store, documents = cls._finished(joining, label)
        content = describing.Content(store, documents, "utf-8", joining.replaced)
        kept = structured.jsonable(data)
        return cls(content, kind, data=kept if isinstance(kept, list | dict) else None)

    @staticmethod
    def _finished(joining: Joining, label: str, left_out: Omissions | None = None) -> tuple[TextStore, Documents]:
        if not joining.has_text:
            joining.discard()
            hint = f" ({told})" if left_out and (told := left_out.told()) else ""
            raise ContextError(f"{label}: no text found{hint}; give something with at least one text that is not empty")
        return joining.finish()

    # ---- properties -------------------------------------------------------------------------------------------

    @property
    def _content(self) -> describing.Content:
        if self._known is None:
            content = self._content_within(None)
            assert content is not None  # noqa: S101 - without a time limit there is a result, or an error
            self._known = content
        return self._known

    def _content_within(self, timeout_s: float | None) -> describing.Content | None:
        if self._known is None and self._single:
            text = self._single.text
            text_now = text.text(timeout_s) if isinstance(text, Opening) else text
            if text_now is None:
                return None
            documents = _documents(text_now.store, self._single.name, self._single.page_starts)
            guess = describing.guess_note({text_now.encoding}, [self._single.name] if text_now.is_guess else [])
            notes = (*guess, *text_now.notes)
            self._known = describing.Content(
                text_now.store, documents, text_now.encoding, text_now.replaced, text_now.is_guess, notes
            )
        return self._known

    @property
    def _store(self) -> TextStore:
        return self._content.store

    @property
    def _documents(self) -> Documents:
        return self._content.documents

    @property
    def _own_page_starts(self) -> tuple[int, ...] | None:
        return self._documents.page_starts

    def prepare(self) -> None:
        """Wait until a large file has been scanned, so that no later call has to wait.

        Raises:
            ContextError: The file cannot be read, or was changed in the meantime.
        """
        self._content_within(None)

    @property
    def kind(self) -> ContextKind:
        """The kind of value that the context was created from."""
        return self._kind

    @property
    def num_documents(self) -> int:
        """The number of documents."""
        return len(self._documents)

    @property
    def document_names(self) -> tuple[str, ...]:
        """The unique names of the documents."""
        return self._documents.names

    @property
    def skipped(self) -> Mapping[str, int]:
        """The number of skipped files, by reason."""
        return MappingProxyType(self._left_out.counts)

    @property
    def skipped_summary(self) -> str:
        """One line about the skipped files; empty if there are none."""
        return self._left_out.told()

    @property
    def replaced(self) -> int:
        """The number of U+FFFD that replace lone surrogates or invalid bytes."""
        return self._content.replaced

    @property
    def encoding(self) -> str:
        """The encoding of the file, such as `utf-8` or `cp1252`."""
        return self._content.encoding

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what is missing from the text, or was guessed."""
        return self._content.notes

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the text in UTF-8, in hexadecimal; that of a large file is cached."""
        if self._single and isinstance(self._single.text, Opening):
            return self._single.text.sha256()
        return self._store.sha256()

    @property
    def data(self) -> dict[str, object] | list[object] | None:
        """The `dict` or `list` that the context was created from, reduced to JSON values, or None.

        For a table, it is the list of rows, each a dict. It is the context's own copy; do not modify it.
        """
        return self._data

    @property
    def table(self) -> object:
        """The `pandas.DataFrame` or `Series` that the context was created from, or None.

        It is the context's own copy; do not modify it.
        """
        return self._table

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Context):
            return NotImplemented
        if self is other:
            return True
        mine, others = self._documents, other._documents
        same = self.length == other.length and self.size_bytes == other.size_bytes and mine == others
        return same and self.kind == other.kind and self.data == other.data and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash((self.kind, self.length, self.size_bytes, self.document_names))

    def __reduce__(self) -> tuple[Callable[..., Context], tuple[object, ...]]:
        """Pickle the paths, which are opened again and checked, or the text."""
        if self._origin is not None and self._origin.can_reopen:
            return _reopened, (self._origin, self.sha256)
        content = self._content
        known = (content.documents, content.encoding, content.replaced, content.is_guess, content.notes)
        return _restored, (
            b"".join(self.pieces()),
            self.length,
            known,
            self.kind,
            self._left_out,
            self.data,
            self._table,
        )

    def _origin_facts(self) -> dict[str, object]:
        """Return facts about the text's origin as JSON values, for a context that is recreated from its text."""
        content = self._content
        return {
            "kind": self.kind,
            "encoding": content.encoding,
            "replaced": content.replaced,
            "is_guess": content.is_guess,
            "notes": list(content.notes),
        }

    def _with_origin_facts(self, facts: Mapping[str, Any]) -> Context:
        """Return this context with these facts about its origin."""
        own = {**facts, "notes": tuple(facts["notes"])}
        kind = own.pop("kind")
        return Context(replace(self._content, **own), kind, self._left_out, data=self._data)

    def __deepcopy__(self, memo: dict[int, object]) -> Context:
        if self._data is None:
            return self  # immutable
        content = self._content_within(None) or self._single
        assert content is not None  # noqa: S101 - without a time limit there is a result, or an error
        made = Context(content, self.kind, self._left_out, data=deepcopy(self._data, memo), origin=self._origin)
        made._table = deepcopy(self._table, memo)
        return made

    def __repr__(self) -> str:
        return (
            f"<Context {self.kind}: {quantity(self.length, 'character')}, {quantity(self.num_documents, 'document')}>"
        )

    # ---- reading ----------------------------------------------------------------------------------------------

    def slice_view(self, start: int | None = None, end: int | None = None) -> Context:
        """Return a part as a separate context over the same bytes; its positions start at 0.

        Raises:
            ContextError: The part is empty.
        """
        first, last, _ = slice(start, end).indices(self.length)
        if first >= last:
            raise ContextError(f"the slice from {start} to {end} has no text; the context has {self.length} characters")
        store = self._store.view(first, last)
        content = replace(self._content, store=store, documents=self._documents.clipped(first, last))
        origin = self._origin.part(first, last) if self._origin else None
        return Context(content, self.kind, self._left_out, origin=origin)

    def document_chunk_spans(self, n: int) -> list[tuple[int, int]]:
        """Return the spans of the chunks of `chunk_documents`.

        Raises:
            ValueError: `n` is not positive.
        """
        if n <= 0:
            raise ValueError(f"n must be positive: {n}")
        starts = [0, *self._documents.regions[n::n]]
        return list(zip(starts, [*starts[1:], self.length], strict=True))

    def chunk_documents(self, n: int) -> list[str]:
        """Cut the text into pieces of `n` documents each, headers included; together they are the whole text.

        Raises:
            ValueError: `n` is not positive.
        """
        return [self._store.slice(start, end) for start, end in self.document_chunk_spans(n)]

    def document_span(self, document: int | str) -> tuple[int, int]:
        """Return the span of a document's own text, without its header.

        Args:
            document: Its index, its name, or the last parts of its path if they are unique.

        Raises:
            IndexError: There is no document with this index.
            KeyError: No document has this name, or several do; the message suggests similar names.
        """
        index = self._documents.index_of(document)
        return self._documents.starts[index], self._documents.ends[index]

    def get_document(self, document: int | str) -> str:
        """Return a document's own text, without its header; see `document_span`."""
        return self._store.slice(*self.document_span(document))

    def document_lengths(self) -> list[int]:
        """Return the length of each document in characters."""
        return self._documents.lengths()

    # ---- description ------------------------------------------------------------------------------------------

    def get_schema(self, document: int | str | None = None) -> dict[str, object]:
        """Describe the structure without the data: columns, keys, headings, kinds of lines or files; bounded in size.

        The keys are `kind` (`csv`, `tsv`, `table`, `json`, `jsonl`, `markdown`, `html`, `xml`, `log`, `code` or `text`)
        and `lines`, and by kind:

        - tables: `delimiter`, `header`, `columns` (`name` and `type` of each), `column_count`, `sampled_rows`, `rows`,
          `rows_exact`, and, if any, `preamble_rows`, `duplicate_names`, `ragged_rows`;
        - `json`: `value` (`type`, `keys`, `items`, `length` at every level), `values` if there are several, `note`;
        - `jsonl`: `rows`, `rows_exact`, `row` (as `value`), `sampled_rows`, and if lines are broken `broken_rows`
          and `note`;
        - `xml`: `elements` (`path`, `count`, `attributes`, `text` of each);
        - `markdown`: `headings` (`level`, `title`, `line` of each), `more_headings`;
        - `log`: `timestamp`, `levels`, `fields`, `sampled_lines`;
        - `code`: `language`, `definitions` (`kind`, `name`, `line` of each), `more_definitions`;
        - several documents: `kind` (`tree`, `documents`, `dict`, …), `documents`, `suffixes`, `folders`, `shortest`,
          `median`, `longest`, `keys` of a `dict`, and `first`, the first document's structure.

        Args:
            document: The document to describe, as for `document_span`; None for the whole text.

        Raises:
            IndexError: There is no document with this index.
            KeyError: No document has this name, or several do.
        """
        from rlmbox.context.schema import schema  # late: slow to import

        if document is None and not self._is_collection:
            return schema.text_schema(self._store, self.document_names[0])
        index = self._documents.index_of(0 if document is None else document)
        name = self.document_names[index]
        described = {"document": name, **schema.text_schema(self._document_store(index), name)}
        if document is not None:
            return described
        return {**schema.tree_schema(self._documents, self.kind), "first": described}

    def rank(self, query: str, k: int = 10) -> list[Ranked]:
        """Find the passages that are most relevant to a query, best first; see `Ranking.rank`."""
        return self._ranking.rank(query, k)

    @cached_property
    def _ranking(self) -> Ranking:
        from rlmbox.context.rank.ranking import Ranking

        return Ranking(self)

    @property
    def _is_collection(self) -> bool:
        return describing.is_collection(self.kind) or self.num_documents > 1

    def _document_store(self, index: int) -> TextStore:
        return self._store.view(self._documents.starts[index], self._documents.ends[index])

    def metadata(self) -> dict[str, object]:
        """Describe the context in a few facts.

        The keys are `kind`, `length` in characters, `size_bytes`, `documents` (their number), `lines`, `suffixes`
        (number of documents by extension), `longest_document` (`name` and `length`), `encoding`, `replaced`,
        `line_endings` (`lf`, `crlf`, `cr`, `mixed` or `none`), `schema` (the `kind` of `get_schema`), `preview`, and
        `skipped` (number of skipped files, by reason). If any: `skipped_names` (the first names for each reason),
        `encoding_is_guess`, `notes` (on what is missing from the text or was guessed) and `data` (`type` and `length`
        of the object that the context was created from). While a large file is being scanned, `estimated` lists
        the keys whose values are still estimated from the file's beginning.
        """
        return {**self._facts(), **({"data": self._data_fact} if self._data is not None else {})}

    @property
    def _data_fact(self) -> dict[str, object]:
        return {"type": type(self._data).__name__, "length": len(self._data or ())}

    def _facts(self) -> dict[str, object]:
        content = self._content_within(_DESCRIBE_WAIT_S)
        if content is None and self._single and isinstance(self._single.text, Opening):
            return describing.estimate(self._single.name, self._single.text, self.kind)
        if not self._content.store.knows_lines:
            return {**describing.describe(self._content, self.kind), **self._left_out.described()}
        return {**deepcopy(self._metadata), **self._left_out.described()}

    @cached_property
    def _metadata(self) -> dict[str, object]:
        return describing.describe(self._content, self.kind)


def _documents(store: TextStore, name: str, page_starts: tuple[int, ...] = ()) -> Documents:
    """Return the documents of one text: itself, or the files that were concatenated in it."""
    made_of = dumps.documents_of(store, name) if not page_starts else None
    return made_of or Documents.single(name, store.length, page_starts)


def _patterns(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _reopened(origin: Origin, sha256: str) -> Context:
    selection, encoding = origin.options.selection, origin.options.encoding
    context = Context.from_path(origin.paths, include=selection.include, exclude=selection.exclude, encoding=encoding)
    for first, last in origin.parts:
        context = context.slice_view(first, last)
    if context.sha256 != sha256:
        raise ContextError(f"{origin.label}: the text has changed since the context was made; make a new one")
    return context


def _restored(
    text: bytes,
    length: int,
    known: tuple[Documents, str, int, bool, tuple[str, ...]],
    kind: ContextKind,
    left_out: Omissions,
    data: Data | None,
    table: object = None,
) -> Context:
    content = describing.Content(TextStore.of(Utf8(text, length)), *known)
    made = Context(content, kind, left_out, data=data)
    made._table = table  # noqa: SLF001
    return made


class Tabular(Protocol):
    """The part of a `pandas.DataFrame` or `Series` that a type checker needs to know."""

    @property
    def iloc(self) -> Any:
        """Access to rows by number."""

    @property
    def to_csv(self) -> Any:
        """A method that returns the table as CSV."""


def _options(include: str | Sequence[str], exclude: str | Sequence[str], encoding: str | None) -> Options:
    known = None if encoding is None else known_encoding(encoding)
    return Options(Selection(_patterns(include), _patterns(exclude)), known)


Openable = Context | str | bytes | Path | Sequence[object] | Mapping[str, object] | Tabular
"""What a question can be asked of; anything but a `Context` is made into one with `Context.of`."""
