"""Building an index: incremental, durable step by step, and visible to readers only when complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path

from anyio import to_thread

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.context import Context
from rlmbox.errors import RetrievalError, StoreError
from rlmbox.record.process_lock import FileLease, hold_file
from rlmbox.retrieval.base import Embedder
from rlmbox.retrieval.documents import Document, documents
from rlmbox.retrieval.embedding import EmbeddingCalls, batches
from rlmbox.retrieval.index.layout import (
    BASE,
    DOCUMENTS,
    MANIFEST,
    VECTORS,
    WORDS,
    Entry,
    Layout,
    Manifest,
    entry_line,
    manifest_line,
    read_entries,
    removal_line,
    sync_folder,
    write_durably,
)
from rlmbox.retrieval.index.vectors import VectorFile
from rlmbox.retrieval.index.words import Passage, WordsFailed, WordsWriter, check_installed

CHECKPOINT_PASSAGES = 10_000
_EMBEDDER = "embedder"
_DEAD_SHARE = 0.25  # share of obsolete vectors from which on the file is rewritten
_QUEUE_BATCHES = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a build.

    Attributes:
        phase: `words` or `vectors`.
        done: Number of characters processed, or of passages with vectors.
        total: Total number.
    """

    phase: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Built:
    """The result of a build.

    Attributes:
        documents: Number of documents in the index.
        passages: Number of passages in it.
        added: Number of new or changed documents.
        removed: Number of documents that no longer exist.
        unchanged: Number of unchanged documents.
        embedded: Number of passages that were embedded.
        cost_usd: The cost of embedding.
        resumed: Whether an interrupted build was continued.
    """

    documents: int
    passages: int
    added: int
    removed: int
    unchanged: int
    embedded: int = 0
    cost_usd: Decimal = Decimal(0)
    resumed: bool = False


async def build_index(
    context: Context,
    out: str | os.PathLike[str],
    *,
    embedder: Embedder | None = None,
    limits: Limits | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Built:
    """Build an index of a text, or update an existing one.

    Documents that did not change are not indexed again, and texts that have a vector are not embedded again. A build
    that was interrupted continues where it was; until it is complete, readers see the previous index.

    Args:
        context: The text; each of its documents becomes one of the index.
        out: The folder of the index.
        embedder: Computes vectors; None for an index of words only.
        limits: Limits on the cost of embedding; None for the default.
        progress: Called periodically with the progress, in a thread or on the event loop.

    Raises:
        ConfigError: A required package is not installed.
        RetrievalError: The folder cannot be written, is not an index, or another build is using it.
        LimitExceeded: Embedding would exceed a limit; vectors computed so far are kept for the next build.
        ModelError: The embedder failed; the same applies.
    """
    check_installed()
    layout = Layout(out)
    tell = progress or (lambda _: None)
    try:
        lease = await to_thread.run_sync(_held, layout)
        try:
            work, built = await to_thread.run_sync(_with_words, layout, context, tell)
            if embedder is not None:
                budget = Budget(limits or Limits())
                embedded = await work.add_vectors(context, embedder, budget, tell)
                built = replace(built, embedded=embedded, cost_usd=budget.spent_usd)
            await to_thread.run_sync(work.finish, built, embedder)
        finally:
            lease.release()
    except OSError as error:
        raise RetrievalError(f"{out} cannot be written: {error.strerror or error}") from None
    return built


def _with_words(layout: Layout, context: Context, tell: Callable[[Progress], None]) -> tuple[_Work, Built]:
    """Return a build whose passages are up to date; an interrupted one that cannot be continued is restarted."""
    work = _Work.begin(layout)
    try:
        return work, work.add_words(context, tell)
    except WordsFailed as error:
        shutil.rmtree(layout.building, ignore_errors=True)
        if work.resumed:
            return _with_words(layout, context, tell)
        raise RetrievalError(
            f"{layout.folder} cannot be updated ({error}); unless the disk is full, it is damaged: "
            "delete it, and rebuild it"
        ) from None


def _held(layout: Layout) -> FileLease:
    folder = layout.folder
    if folder.exists() and not folder.is_dir():
        raise RetrievalError(f"{folder} is a file; an index is a folder")
    if folder.is_dir() and layout.current() is None:
        others = [each.name for each in folder.iterdir() if each.name not in ("building", "lock", "current.new")]
        if [name for name in others if not name.startswith("generation-")]:
            raise RetrievalError(f"{folder} has other files, such as {min(others)}; give a folder of its own")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return hold_file(folder / "lock", folder.name)
    except StoreError:
        raise RetrievalError(f"another build of {folder} is in progress; wait for it") from None


class _Work:
    """The generation being built."""

    def __init__(self, layout: Layout, base: str | None, *, resumed: bool) -> None:
        self._layout, self._base, self._folder = layout, base, layout.building
        self.resumed = resumed
        self._log = self._folder / DOCUMENTS
        self._manifest = layout.manifest(base) if base else None
        self._entries: dict[str, Entry] = {}
        self._embedder: Embedder | None = None
        self._vectors: VectorFile | None = None
        self._dimensions = 0
        self._live: set[int] = set()

    @classmethod
    def begin(cls, layout: Layout) -> _Work:
        """Continue an interrupted build of the same generation, or otherwise begin with a copy of the current one."""
        base, folder = layout.current(), layout.building
        if base is not None:
            layout.whole(base)
        begun = folder / BASE
        if begun.exists() and begun.read_text("ascii") == (base or "-"):
            return cls(layout, base, resumed=True)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / WORDS).mkdir(parents=True)
        if base is not None:
            _copy(layout.folder / base, folder)
        write_durably(begun, [base or "-"])
        return cls(layout, base, resumed=False)

    def add_words(self, context: Context, tell: Callable[[Progress], None]) -> Built:
        """Update the passages."""
        self._entries = read_entries(self._log)
        before = dict(self._entries)
        writer = WordsWriter(self._folder / WORDS)
        pending: list[str] = []
        since = added = unchanged = 0
        there: set[str] = set()
        for document in documents(context):
            name, digest = document.name, document.digest()
            there.add(name)
            known = self._entries.get(name)
            if known is not None and known.digest == digest:
                unchanged += 1
                continue
            if known is not None or self.resumed:  # an interrupted build may have added some without logging them
                writer.remove(name)
            count = 0
            for passage in _passages(document):
                writer.add(passage)
                count += 1
            entry = self._entries[name] = Entry(name, digest, document.length, count)
            pending.append(entry_line(entry))
            added, since = added + 1, since + count
            if since >= CHECKPOINT_PASSAGES:
                self._checkpoint(writer, pending)
                since = 0
                tell(Progress("words", document.end, context.length))
        gone = [name for name in before if name not in there]
        for name in gone:
            writer.remove(name)
            pending.append(removal_line(name))
            del self._entries[name]
        self._checkpoint(writer, pending)
        writer.close()
        tell(Progress("words", context.length, context.length))
        total = sum(each.passages for each in self._entries.values())
        return Built(len(self._entries), total, added, len(gone), unchanged, resumed=self.resumed)

    def _checkpoint(self, writer: WordsWriter, pending: list[str]) -> None:
        if pending:
            writer.commit()
            write_durably(self._log, pending, "a")
            pending.clear()

    async def add_vectors(
        self, context: Context, embedder: Embedder, budget: Budget, tell: Callable[[Progress], None]
    ) -> int:
        """Compute the missing vectors, and store each as soon as it is paid for."""
        calls = EmbeddingCalls(embedder, budget)
        self._embedder = embedder
        await to_thread.run_sync(self._open_vectors, embedder)
        total = sum(each.passages for each in self._entries.values())
        made = looked = 0
        queue: dict[int, str] = {}

        async def flush() -> None:
            nonlocal made
            keys = list(queue)
            for texts in batches(list(queue.values()), embedder.batch_size):
                vectors = await calls.embed(texts, role="passage", account=budget.root)
                await to_thread.run_sync(self._keep_vectors, keys[: len(texts)], vectors)
                keys = keys[len(texts) :]
                made += len(texts)
                tell(Progress("vectors", looked, total))
            queue.clear()

        walk = self._all_passages(context)
        while found := await to_thread.run_sync(_some, walk):
            for passage in found:
                looked += 1
                self._live.add(passage.key)
                if passage.key not in queue and not (self._vectors and passage.key in self._vectors.keys):
                    queue[passage.key] = passage.text
                    if len(queue) >= embedder.batch_size * _QUEUE_BATCHES:
                        await flush()
        await flush()
        tell(Progress("vectors", total, total))
        return made

    def _open_vectors(self, embedder: Embedder) -> None:
        """Open existing vectors if they are of the same embedder; others are useless."""
        path, label = self._folder / VECTORS, self._folder / _EMBEDDER
        said = label.read_text("utf-8").rpartition(" ") if label.exists() else ("", "", "")
        if said[0] == embedder.name and said[2].isdecimal() and path.exists():
            self._dimensions = int(said[2])
            self._vectors = VectorFile(path, self._dimensions)
        else:
            path.unlink(missing_ok=True)
            label.unlink(missing_ok=True)

    def _keep_vectors(self, keys: Sequence[int], vectors: Sequence[Sequence[float]]) -> None:
        length = len(vectors[0])
        if self._vectors is None:
            assert self._embedder is not None  # noqa: S101 - there are only vectors with an embedder
            write_durably(self._folder / _EMBEDDER, [f"{self._embedder.name} {length}"])
            self._dimensions, self._vectors = length, VectorFile(self._folder / VECTORS, length)
        if length != self._dimensions:
            raise RetrievalError(
                f"{self._embedder.name if self._embedder else ''} gives vectors of {length} numbers, and gave some of "
                f"{self._dimensions}; delete {self._layout.folder}, and rebuild it"
            )
        self._vectors.append(keys, vectors)

    def _all_passages(self, context: Context) -> Iterator[Passage]:
        for document in documents(context):
            yield from _passages(document)

    def finish(self, built: Built, embedder: Embedder | None) -> None:
        """Make the generation the current one, unless it is identical to the previous one."""
        if not self._entries:
            raise RetrievalError("there is no text to be indexed")
        has = self._manifest.embedder if self._manifest else None
        same_words = not (built.added or built.removed or built.resumed)
        if (
            self._base is not None
            and same_words
            and not built.embedded
            and has == (embedder.name if embedder else None)
        ):
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        self._trim_vectors(embedder)
        vectors = len(self._vectors.keys) if self._vectors is not None and embedder is not None else 0
        manifest = Manifest(
            built.documents,
            built.passages,
            sum(each.chars for each in self._entries.values()),
            embedder.name if embedder is not None and vectors else None,
            self._dimensions if vectors else 0,
            vectors,
        )
        fresh = self._log.with_suffix(".new")
        write_durably(fresh, map(entry_line, self._entries.values()))
        fresh.replace(self._log)
        write_durably(self._folder / MANIFEST, [manifest_line(manifest)])
        (self._folder / BASE).unlink()
        name = self._layout.following(self._base)
        shutil.rmtree(
            self._layout.folder / name, ignore_errors=True
        )  # left by a build that ended just before making it current
        self._folder.rename(self._layout.folder / name)
        sync_folder(self._layout.folder)
        self._layout.make_current(name)
        for folder in self._layout.superseded(name, self._base):
            shutil.rmtree(folder, ignore_errors=True)

    def _trim_vectors(self, embedder: Embedder | None) -> None:
        if embedder is None:
            (self._folder / VECTORS).unlink(missing_ok=True)
            (self._folder / _EMBEDDER).unlink(missing_ok=True)
        elif self._vectors is not None:
            dead = len(self._vectors.keys - self._live)
            if dead > _DEAD_SHARE * len(self._vectors.keys):
                self._vectors.keep(self._live)


def _some(walk: Iterator[Passage], most: int = 512) -> list[Passage]:
    return [passage for _, passage in zip(range(most), walk, strict=False)]


def _passages(document: Document) -> Iterator[Passage]:
    for start, text in document.passages():
        key = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")
        yield Passage(document.name, start, document.length, key, text)


def _copy(source: Path, folder: Path) -> None:
    """Begin with the files of a generation; tantivy never changes its files, so links are sufficient."""
    for path in (source / WORDS).iterdir():
        if path.name.endswith(".lock"):
            continue
        target = folder / WORDS / path.name
        if path.suffix == ".json":  # except these two, which it replaces
            shutil.copyfile(path, target)
            continue
        with suppress(OSError):
            os.link(path, target)
            continue
        shutil.copyfile(path, target)
    for name in (DOCUMENTS, VECTORS, _EMBEDDER):
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
