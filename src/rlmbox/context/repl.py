"""The functions of the context that code in a sandbox may call.

Arguments come from hostile code and results are sent over a wire: types are checked as Python would, and a result that
would be too large is refused before it is made, with advice on the alternative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from rlmbox.context.context import Context
from rlmbox.context.search.hits import MAX_MATCHES, MAX_TOTAL_CHARS, Hit
from rlmbox.types import HostFunction

MAX_RESULT_CHARS = 32_000_000
MAX_ITEMS = 100_000
SLICE_KEY = "context_slice"
"""The one key of the value that stands for a part of the context; what it holds are the part's two positions."""
OF_KEY = "of"
"""A second key of such a value, which names the variable that it is a part of, where that is a handle."""
_FAR = 2**62
_MAX_SCHEMAS = 100

_NO_ANSWER_TEXTS = """
-, ?, i don't know, i do not know, n.a, n/a, na, nil, no answer, no answer found, none, not applicable,
not available, not found, not found in the context, not found in the document, not found in the text,
not given, not mentioned, not provided, not specified, not stated, null, unanswerable, undefined, unknown
"""
_NO_ANSWERS = frozenset({"", *(text.strip() for text in _NO_ANSWER_TEXTS.split(","))})


def repl_functions(context: Context) -> tuple[HostFunction, ...]:
    """Return the host functions that work on a context: the methods of `ctx` and the helpers.

    Args:
        context: The text.
    """
    calls = _ContextFunctions(context)
    methods: tuple[Callable[..., object], ...] = (
        calls.metadata,
        calls.get_schema,
        calls.slice,
        calls.slice_view,
        calls.find,
        calls.search,
        calls.count,
        calls.tally,
        calls.rank,
        calls.read_chunk,
        calls.snippet,
        calls.lines,
        calls.page,
        calls.num_pages,
        calls.chunk,
        calls.chunk_documents,
        calls.num_documents,
        calls.document_names,
        calls.document_lengths,
        calls.get_document,
    )
    helpers: tuple[Callable[..., object], ...] = (
        calls.peek,
        calls.tail,
        calls.lenP,
        calls.extract_after,
        calls.pick_first_answer,
    )
    return (*(_function("ctx.", call) for call in methods), *(_function("", call) for call in helpers))


def _function(prefix: str, call: Callable[..., object]) -> HostFunction:
    # Building an index takes a varying time, and so may end in an error or not: the result is recorded.
    name = call.__name__
    return HostFunction(prefix + name, call, _summary(name), pure=name != "rank", is_slice=name == "slice")


@cache
def _summary(name: str) -> str:
    """Return the first sentence of a function's docstring; every session asks for all of them."""
    return (getattr(_ContextFunctions, name).__doc__ or "").strip().splitlines()[0]


def _integer(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = ": use // to divide" if isinstance(value, float) else ""
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}{hint}")
    # Positions beyond any text are clamped: Python refuses to print integers of unlimited length.
    return max(-_FAR, min(value, _FAR))


def _optional_integer(name: str, value: object) -> int | None:
    return None if value is None else _integer(name, value)


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def _bounded(spans: Iterable[tuple[int, int]]) -> None:
    """Refuse results that are too large, judged by their positions alone."""
    total = 0
    for number, (start, end) in enumerate(spans, 1):
        total += max(0, end - start)
        if total > MAX_RESULT_CHARS:
            raise ValueError(
                f"the result would have more than {MAX_RESULT_CHARS} characters: take parts with ctx.slice(start, end)"
            )
        if number > MAX_ITEMS:
            raise ValueError(f"the result would have more than {MAX_ITEMS} items: ask for larger pieces")


def _document(name: str, value: object) -> int | str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value if isinstance(value, str) else _integer(name, value)
    raise TypeError(f"{name} must be an index or a name, not {type(value).__name__}")


def _hits(found: list[Hit], max_matches: int) -> list[dict[str, object]]:
    """Return hits as JSON; if the list was cut before `max_matches`, its last item has the key `cut`."""
    hits = [dict(hit) for hit in found]
    total = sum(len(hit["match"]) + len(hit["snippet"]) for hit in found)
    if len(hits) < max_matches and (len(hits) >= MAX_MATCHES or total >= MAX_TOTAL_CHARS):
        hits[-1]["cut"] = (
            f"there may be more: a list ends at {MAX_MATCHES:,} hits or {MAX_TOTAL_CHARS:,} characters;"
            " use a more specific pattern, or ctx.count"
        )
    return hits


class _ContextFunctions:
    """The functions themselves. The first sentence of each docstring is part of the prompt."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._schemas: dict[object, dict[str, object]] = {}

    def _text(self, start: int | None, end: int | None) -> str:
        first, last, _ = slice(start, end).indices(self._context.length)
        _bounded([(first, last)])
        return self._context.slice(first, last)

    def metadata(self) -> dict[str, object]:
        """Kind, length, documents, lines, file suffixes and a short preview of the context."""
        return self._context.metadata()

    def get_schema(self, document: int | str | None = None) -> dict[str, object]:
        """Structure without data, of all or of one document: columns, keys, elements, headings, definitions, files."""
        key = None if document is None else _document("document", document)
        if key not in self._schemas:  # takes seconds for a long text
            if len(self._schemas) >= _MAX_SCHEMAS:
                self._schemas.clear()
            self._schemas[key] = self._context.get_schema(key)
        return self._schemas[key]

    def slice(self, start: int, end: int | None = None) -> str:
        """The text from start up to end, like context[start:end]."""
        return self._text(_optional_integer("start", start), _optional_integer("end", end))

    def slice_view(self, start: int, end: int | None = None) -> dict[str, list[int]]:
        """That part of the context as what rlm_query takes, not as a str: nothing is copied, however long it is."""
        length = self._context.length
        first, last, _ = slice(_optional_integer("start", start), _optional_integer("end", end)).indices(length)
        if first >= last:
            raise ValueError(f"the part from {start} to {end} has no text; the context has {length} characters")
        return {SLICE_KEY: [first, last]}

    def find(
        self, pattern: str, regex: bool = False, case_sensitive: bool = True, max_matches: int = 100
    ) -> list[dict[str, object]]:
        """Hits of a text: dicts with start, end, match, snippet, document, position in it, line (from 1)."""
        hits = self._context.find(
            _string("pattern", pattern),
            _flag("regex", regex),
            _flag("case_sensitive", case_sensitive),
            max_matches := _integer("max_matches", max_matches),
        )
        return _hits(hits, max_matches)

    def search(
        self, pattern: str, max_matches: int = 50, window: int = 120, case_sensitive: bool = True
    ) -> list[dict[str, object]]:
        """Hits of a regular expression (linear-time: no look-around or back-references), as find gives them."""
        hits = self._context.search(
            _string("pattern", pattern),
            max_matches := _integer("max_matches", max_matches),
            min(_integer("window", window), self._context.length * 2),
            _flag("case_sensitive", case_sensitive),
        )
        return _hits(hits, max_matches)

    def count(self, pattern: str, regex: bool = False, case_sensitive: bool = True) -> int:
        """How often a text or regular expression occurs in the whole context."""
        return self._context.count(
            _string("pattern", pattern), _flag("regex", regex), _flag("case_sensitive", case_sensitive)
        )

    def tally(self, pattern: str, n: int = 20, case_sensitive: bool = True) -> dict[str, int]:
        """How often each text occurs that a regular expression (or its one group) matches: the n most frequent."""
        return self._context.tally(
            _string("pattern", pattern), _integer("n", n), _flag("case_sensitive", case_sensitive)
        )

    def rank(self, query: str, k: int = 10) -> list[dict[str, object]]:
        """The k passages (about 2,000 characters) that fit some words best: start, end, score, document, snippet."""
        return [dict(passage) for passage in self._context.rank(_string("query", query), _integer("k", k))]

    def read_chunk(self, start: int, size: int = 10_000) -> str:
        """Up to size characters from start on."""
        start, size = _integer("start", start), min(_integer("size", size), self._context.length)
        _bounded([(0, size)])
        return self._context.read_chunk(start, size)

    def snippet(self, offset: int, window: int = 400) -> str:
        """The window characters around a position."""
        window = min(_integer("window", window), self._context.length * 2)
        _bounded([(0, min(window, self._context.length))])
        return self._context.snippet(_integer("offset", offset), window)

    def lines(self, a: int, b: int | None = None) -> str:
        """The lines from a up to but without b, counted from 0 (the line k of a hit is a = k - 1)."""
        return self._text(*self._context.line_span(_optional_integer("a", a), _optional_integer("b", b)))

    def page(self, n: int) -> str:
        """Page n, counted from 0: the page of a PDF, the sheet of a workbook, else about 3,000 characters."""
        return self._text(*self._context.page_span(_integer("n", n)))

    def num_pages(self) -> int:
        """How many pages there are."""
        return self._context.num_pages

    def chunk(self, size: int = 100_000, overlap: int = 0) -> list[str]:
        """The whole context in pieces of size characters, each beginning with the last overlap of the one before."""
        size, overlap = _integer("size", size), _integer("overlap", overlap)
        starts = self._context.chunk_spans(size, overlap)
        _bounded((start, min(start + size, self._context.length)) for start in starts)
        return self._context.chunk(size, overlap)

    def chunk_documents(self, n: int) -> list[str]:
        """The whole context in pieces of n documents each, with their headers."""
        _bounded(self._context.document_chunk_spans(_integer("n", n)))
        return self._context.chunk_documents(n)

    def num_documents(self) -> int:
        """How many documents there are."""
        return self._context.num_documents

    def document_names(self, start: int = 0, count: int = 200) -> list[str]:
        """The names of count documents from index start on."""
        start, count = _integer("start", start), _integer("count", count)
        if count < 0:
            raise ValueError(f"count must not be negative: {count}")
        if count > MAX_ITEMS < self._context.num_documents:
            raise ValueError(f"count must be at most {MAX_ITEMS}: ask again from another start")
        first = slice(start, None).indices(self._context.num_documents)[0]
        return list(self._context.document_names[first : first + count])

    def document_lengths(self) -> list[int]:
        """The length of each document in characters."""
        if self._context.num_documents > MAX_ITEMS:
            raise ValueError(f"there are more than {MAX_ITEMS} documents: measure some with len(ctx.get_document(i))")
        return self._context.document_lengths()

    def get_document(self, i: int | str) -> str:
        """The text of a document by index, name, or the end of its path where only one has it."""
        return self._text(*self._context.document_span(_document("i", i)))

    def peek(self, n: int = 2000) -> str:
        """The first n characters of the context."""
        return self._text(0, max(0, _integer("n", n)))

    def tail(self, n: int = 2000) -> str:
        """The last n characters of the context."""
        return self._text(max(0, self._context.length - max(0, _integer("n", n))), None)

    def lenP(self) -> int:  # noqa: N802 - the name that models know
        """The length of the context in characters."""
        return self._context.length

    def extract_after(self, marker: str, max_len: int = 128) -> str | None:
        """The text after the first occurrence of marker, up to max_len characters, stripped; None if it is absent."""
        marker, max_len = _string("marker", marker), _integer("max_len", max_len)
        if max_len < 0:
            raise ValueError(f"max_len must not be negative: {max_len}")
        hits = self._context.find(marker, max_matches=1, window=0)
        return self._text(hits[0]["end"], hits[0]["end"] + max_len).strip() if hits else None

    def pick_first_answer(self, answers: list[object]) -> object:
        """The first item that is an answer: not empty, "unknown", "not found", "n/a", "none" or the like; else None."""
        if not isinstance(answers, list):
            raise TypeError(f"answers must be a list, not {type(answers).__name__}")
        return next((answer for answer in answers if _is_answer(answer)), None)


def _is_answer(value: object) -> bool:
    if isinstance(value, str):
        return value[:1_000].strip().strip("\"'`*.!()[]<> \t\n").casefold().replace("\u2019", "'") not in _NO_ANSWERS
    return value is not None and value not in ([], {})
