"""The functions with which code searches an index, and references to its passages in requests to models.

Text that is not requested stays in the index: code gets snippets, and passes a reference to `llm_query` or
`rlm_query`, for which the host fetches the passage. Every call passes through the Bridge, so that a replay needs no
index.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import anyio

from rlmbox.context import Context
from rlmbox.errors import RetrievalError, RLMError, is_interrupt
from rlmbox.loop.bridge import HostCall, Next, current_call
from rlmbox.loop.index_hits import PART_KEY, clean, hits_as_json, is_of_index, place_of
from rlmbox.loop.scope import Scope
from rlmbox.loop.task import Task
from rlmbox.retrieval.base import (
    DocumentPart,
    Embedder,
    Retriever,
    SearchHit,
    VectorRetriever,
    check_filters,
    has_vectors,
)
from rlmbox.retrieval.embedding import EmbeddingCalls
from rlmbox.retrieval.fusion import depth_of, fused
from rlmbox.types import HostFunction, Message, Source

MAX_HITS = 200
MAX_QUERY_CHARS = 4_000
MAX_PART_CHARS = 1_000_000
"""Longest text that `get_document` brings into the REPL, or that stands for a hit in a prompt."""

MAX_CHILD_CHARS = 64_000_000
"""Longest text of an index that a child session gets."""

CONTEXT_OF_INDEX = (
    "The text of this question is in an index, not here. search(query) finds passages in it, get_document(id) reads "
    "one, and index_info() says what there is."
)
"""The text of a question that was given an index and nothing else."""

_SHORT_CHARS, _QUOTE_CHARS, _ERROR_CHARS = 1_000, 300, 500
_MAX_SOURCES = 50
_KEPT_VECTORS = 256
_CHILD = frozenset({"rlm_query", "recursive_llm", "sub_rlm"})
_CHILDREN = frozenset({"rlm_query_batched"})
_PROMPTS = frozenset(
    {
        "llm_query",
        "llm_query_batched",
        "llm_query_batch",
        "llm_batch",
        "llm_query_json",
        "llm_batch_json",
        "ask",
        "ask_chunks",
        "ask_chunks_first",
        "sub_llm",
        "sub_llm_batch",
    }
)
_NOTE = (
    "The text of the question is in an index{besides}: search it with a few words, not a pattern; a hit is a dict with "
    "id, score, title, snippet, start, end, metadata. Give hits as they are to llm_query (as its chunk) or rlm_query "
    "(as its context), and as sources of the answer: FINAL(answer, sources=hits)."
)
_Result = TypeVar("_Result")


class Retrieval:
    """The functions of one session that reach an index.

    Args:
        scope: The session.
        retriever: The index.
        timeout_of: Returns the seconds that a call may take.
        has_context: Whether the session also has a text.

    Raises:
        PriceUnknown: There is a cost limit, and the price of the embedder is unknown.

    Attributes:
        task: The current question, to whose account embeddings are charged.
    """

    def __init__(
        self, scope: Scope, retriever: Retriever, timeout_of: Callable[[], float], *, has_context: bool
    ) -> None:
        self._scope, self._retriever, self._timeout_of = scope, retriever, timeout_of
        self.has_context = has_context
        self._vectors: VectorRetriever | None = retriever if has_vectors(retriever) else None
        self._embedder: Embedder | None = self._vectors.embedder if self._vectors is not None else None
        self._embeddings = (
            EmbeddingCalls(self._embedder, scope.run.budget, scope.run.retries) if self._embedder is not None else None
        )
        self._fields: Mapping[str, str] | None = None
        self._embedded: dict[str, Sequence[float]] = {}
        self.task: Task | None = None

    @classmethod
    def over(cls, scope: Scope, context: Context, timeout_of: Callable[[], float]) -> Retrieval | None:
        """Return the functions over the run's index, or None if it has none.

        Args:
            scope: The session.
            context: Its text, which may only mention the index.
            timeout_of: Returns the timeout of a call, in seconds.
        """
        if scope.run.retriever is None:
            return None
        is_short = context.kind == "text" and context.length == len(CONTEXT_OF_INDEX)
        has_context = not (is_short and context.slice(0, context.length) == CONTEXT_OF_INDEX)
        return cls(scope, scope.run.retriever, timeout_of, has_context=has_context)

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the functions that this index supports, in the order in which a model should read them."""
        hits = "hits, the best first: dicts with id, score, title, snippet, start, end, metadata"
        calls: list[tuple[Callable[..., object], str]] = [
            (self.search, f"passages of the index that fit some words; {hits}")
        ]
        if self._vectors is not None:
            calls += [
                (self.vector_search, "the same by meaning: for other words than the text has"),
                (self.hybrid_search, "both rankings as one; where you do not know which words the text has"),
            ]
        calls += [
            (self.get_document, "text of a document of the index, from start on; size characters, all if None"),
            (self.document_view, "a part of a document for rlm_query or llm_query, which is not copied into the REPL"),
            (self.index_info, "number of documents, fields for filters, languages, date range"),
        ]
        return tuple(HostFunction(call.__name__, call, summary) for call, summary in calls)

    @property
    def note(self) -> str:
        """The sentences that describe the index to a model."""
        return _NOTE.format(besides=", and other text in `context`" if self.has_context else ", not in `context`")

    async def search(self, query: str, k: int = 10, filters: dict[str, Any] | None = None) -> list[dict[str, object]]:
        """Search by keywords."""
        query, k, wanted = await self._read(query, k, filters)
        return hits_as_json(await self._asked(lambda: self._retriever.search(query, k=k, filters=wanted)), k)

    async def vector_search(
        self, query: str, k: int = 10, filters: dict[str, Any] | None = None
    ) -> list[dict[str, object]]:
        """Search by meaning."""
        query, k, wanted = await self._read(query, k, filters)
        return hits_as_json(await self._by_vector(query, k, wanted), k)

    async def hybrid_search(
        self, query: str, k: int = 10, filters: dict[str, Any] | None = None
    ) -> list[dict[str, object]]:
        """Search by keywords and by meaning, and fuse the rankings."""
        query, k, wanted = await self._read(query, k, filters)
        deep = depth_of(k)
        by_words = await self._asked(lambda: self._retriever.search(query, k=deep, filters=wanted))
        return hits_as_json(fused([by_words, await self._by_vector(query, deep, wanted)], k), k)

    async def get_document(self, id: str, start: int = 0, size: int | None = None) -> str:  # noqa: A002 - as it is told
        """Return a part of a document."""
        first = _whole("start", start, 0)
        chars = MAX_PART_CHARS if size is None else _whole("size", size, 1)
        if chars > MAX_PART_CHARS:
            raise ValueError(f"size is at most {MAX_PART_CHARS:,}; take parts, or give document_view(id) to rlm_query")
        part = await self._part(_text("id", id, _SHORT_CHARS), first, chars)
        if size is None and part.length - first > MAX_PART_CHARS:
            raise ValueError(
                f"the document has {part.length:,} characters from there on, and at most {MAX_PART_CHARS:,} come into "
                "the REPL; take parts with start and size, or give document_view(id) to rlm_query"
            )
        return clean(part.text)[:chars]

    async def document_view(self, id: str, start: int = 0, end: int | None = None) -> dict[str, object]:  # noqa: A002
        """Return a reference to a part of a document."""
        first, name = _whole("start", start, 0), _text("id", id, _SHORT_CHARS)
        length = (await self._part(name, 0, 1)).length
        last = length if end is None else min(_whole("end", end, 1), length)
        if first >= last:
            raise ValueError(f"the part from {start} to {end} has no text; the document has {length:,} characters")
        return {PART_KEY: [name, first, last]}

    async def index_info(self) -> dict[str, object]:
        """Describe the index."""
        info = await self._asked(self._retriever.info)
        self._fields = info.fields
        return {
            "documents": info.documents,
            "passages": info.passages,
            "fields": {clean(name): kind for name, kind in list(info.fields.items())[:_SHORT_CHARS]},
            "languages": [clean(name) for name in info.languages[:100]],
            "date_range": list(info.date_range) if info.date_range else None,
        }

    async def fetch(self, call: HostCall, then: Next) -> Any:
        """Replace hits by their text in requests to models; used as middleware of the Bridge.

        Args:
            call: The call.
            then: The rest of the chain.
        """
        name = call.function.name
        replaced: Callable[[Any], Awaitable[Any]]
        if name in _PROMPTS:
            replaced = self._with_texts
        elif name in _CHILD:
            replaced = self._as_context
        elif name in _CHILDREN:
            replaced = self._as_contexts
        else:
            return await then(call)
        arguments = tuple([await replaced(each) for each in call.arguments])
        keywords = {key: await replaced(each) for key, each in call.keywords.items()}
        return await then(HostCall(call.function, arguments, keywords, call.key))

    async def checked_sources(self, given: Sequence[Any]) -> tuple[Source, ...]:
        """Return the given sources that exist in the index, each with its text there.

        Args:
            given: Values for which `is_place` is True.
        """
        found: dict[tuple[str, int, int], Source] = {}
        for item in given[:_MAX_SOURCES]:
            name, start, end = place_of(item)
            try:
                part = await self._part(name, start, min(end - start, _QUOTE_CHARS))
            except (RLMError, ValueError, KeyError, TimeoutError):
                continue
            last = min(end, part.length)
            if start < last and part.text:
                found[name, start, last] = Source(name, start, last, clean(part.text)[:_QUOTE_CHARS])
        return tuple(found.values())

    async def _read(self, query: Any, k: Any, filters: Any) -> tuple[str, int, dict[str, Any]]:
        """Return the checked arguments of a search, with text that the guard hid from the model restored."""
        query = _text("query", self._scope.guard.restored(query), MAX_QUERY_CHARS)
        if not query.strip():
            raise ValueError("the query is empty; give a few words that the passages should have")
        if _whole("k", k, 1) > MAX_HITS:
            raise ValueError(f"k is at most {MAX_HITS}, not {k}; use a more specific query, or filters")
        if filters is None or filters == {}:
            return query, k, {}
        if not isinstance(filters, Mapping):
            raise TypeError(f"filters is a dict of fields, not {type(filters).__name__}")
        if self._fields is None:
            self._fields = (await self._asked(self._retriever.info)).fields
        wanted: dict[str, Any] = self._scope.guard.restored(dict(filters))
        check_filters(wanted, self._fields)
        return query, k, wanted

    async def _by_vector(self, query: str, k: int, filters: Mapping[str, Any]) -> Sequence[SearchHit]:
        vectors = self._vectors
        assert vectors is not None  # noqa: S101 - the function is only offered with vectors
        embedding = await self._vector_of(query)
        return await self._asked(lambda: vectors.vector(embedding, k=k, filters=filters))

    async def _vector_of(self, query: str) -> Sequence[float]:
        """Return the embedding of a query, paid for once; text that the guard hides is not sent to a provider."""
        embedder, embeddings = self._embedder, self._embeddings
        assert embedder is not None and embeddings is not None  # noqa: S101, PT018 - as above
        if not embedder.is_local:
            query = (await self._scope.may_ask([Message("user", query)], embedder.name))[0].content
        if query not in self._embedded:
            tale = self._scope.tells("ACTION", embedder.name, current_call().key)
            account = (self.task.account if self.task is not None else self._scope.account).below()
            vectors = await embeddings.embed([query], role="query", account=account, tell=tale.tell)
            if len(self._embedded) >= _KEPT_VECTORS:
                self._embedded.clear()
            self._embedded[query] = vectors[0]
        return self._embedded[query]

    async def _part(self, name: str, start: int, size: int) -> DocumentPart:
        return await self._asked(lambda: self._retriever.get(name, start=start, size=size))

    async def _asked(self, ask: Callable[[], Awaitable[_Result]]) -> _Result:
        """Query the index within the time limit; any failure is an error of the cell that names the remedy."""
        timeout_s, name = self._timeout_of(), self._retriever.name
        try:
            with anyio.fail_after(timeout_s):
                return await ask()
        except TimeoutError:
            raise TimeoutError(
                f"the index {name} did not answer within {timeout_s:g} s; ask for fewer hits, or with a filter"
            ) from None
        except (RLMError, ValueError, KeyError):
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            said = " ".join(str(error).split())[:_ERROR_CHARS] or type(error).__name__
            raise RetrievalError(
                f"the index {name} failed: {said}; try once more, or go on without it and say so in the answer"
            ) from error

    async def _with_texts(self, value: Any) -> Any:
        """Return an argument of a function that asks a model, with texts in place of hits."""
        if is_of_index(value):
            return (await self._texts([value], MAX_PART_CHARS))[0][1]
        if isinstance(value, list | tuple):
            return [await self._with_texts(item) for item in value]
        if isinstance(value, Mapping) and "prompt" in value:
            return {key: await self._with_texts(item) for key, item in value.items()}
        return value

    async def _as_context(self, value: Any) -> Any:
        """Return an argument of `rlm_query`, with a context in place of a hit or a list of hits."""
        if is_of_index(value):
            ((name, text),) = await self._texts([value], MAX_CHILD_CHARS)
            return Context.from_text(text, name=name)
        if isinstance(value, list) and value and all(map(is_of_index, value)):
            return Context.from_documents(await self._texts(value, MAX_CHILD_CHARS))
        return value

    async def _as_contexts(self, value: Any) -> Any:
        return [await self._as_context(item) for item in value] if isinstance(value, list) else value

    async def _texts(self, items: Sequence[Any], most_chars: int) -> list[tuple[str, str]]:
        """Return the texts of hits, each with the name of its document."""
        found: list[tuple[str, str]] = []
        left = most_chars
        for item in items:
            name, start, end = place_of(item)
            pieces: list[str] = []
            if end - start > left:
                raise ValueError(f"the text of the hits has more than {most_chars:,} characters; give fewer, or parts")
            left -= end - start
            while start < end:
                part = await self._part(name, start, min(end - start, MAX_PART_CHARS))
                if not part.text:
                    break
                pieces.append(part.text)
                start += len(part.text)
            if not pieces:
                raise ValueError(f"the index has no text of {name!r} from {start} to {end}")
            found.append((name, clean("".join(pieces))))
        return found


def _text(name: str, value: object, most_chars: int) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str, not {type(value).__name__}")
    if len(value) > most_chars:
        raise ValueError(f"{name} has {len(value):,} characters, more than {most_chars:,}; give only what matters")
    return clean(value)


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is an integer, not {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} is at least {least}, not {value}")
    return min(value, 2**53)
