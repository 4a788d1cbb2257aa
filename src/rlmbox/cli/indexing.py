"""`rlmbox index`: an index of files, built and looked at."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD, Limits
from rlmbox.cli.asking import open_context
from rlmbox.cli.failing import report
from rlmbox.cli.printing import print_json
from rlmbox.config import embedder_from, retriever_from
from rlmbox.errors import ConfigError, RetrievalError
from rlmbox.guard.visible import printable
from rlmbox.models.prices import FlatPrice, load_overrides
from rlmbox.retrieval.base import ClosableRetriever, Embedder, Retriever
from rlmbox.retrieval.index import building
from rlmbox.retrieval.index.layout import Layout
from rlmbox.usage import quantity


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """The options of `rlmbox index build`, as they came from the command line.

    Attributes:
        out: Folder of the index.
        embed: The embedder's name; None for that of the index, if there is one.
        base_url: Address of a server that speaks OpenAI's protocol.
        prices: File of prices.
        cost_limit_usd: US dollars that the vectors may cost.
        include: Patterns of files to take.
        exclude: Patterns of files to leave out.
        encoding: The encoding of text files.
    """

    out: Path
    embed: str | None = None
    base_url: str | None = None
    prices: Path | None = None
    cost_limit_usd: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    encoding: str | None = None

    def embedder(self) -> Embedder | None:
        """Return what makes the vectors; None for none.

        Raises:
            ConfigError: The name, the key or the price is missing or wrong.
        """
        name = self.embed
        if name is None:
            layout = Layout(self.out)
            with suppress(RetrievalError):
                generation = layout.current()
                name = layout.manifest(generation).embedder if generation else None
        if name is None:
            return None
        prices: Mapping[str, FlatPrice] = load_overrides(self.prices) if self.prices else {}
        return embedder_from(name, base_url=self.base_url, price=prices.get(name))


def build_and_print(paths: Sequence[str], settings: BuildSettings, *, as_json: bool, quiet: bool, debug: bool) -> int:
    """Run `rlmbox index build`; return the exit code.

    Args:
        paths: Files and folders.
        settings: The options.
        as_json: Print one JSON object.
        quiet: Print nothing but errors.
        debug: Show the traceback of an error.
    """
    console = Console(stderr=True)
    try:
        limit = DEFAULT_COST_LIMIT_USD if settings.cost_limit_usd is None else settings.cost_limit_usd
        limits, embedder = Limits(cost_limit_usd=limit), settings.embedder()
        context = open_context(paths, include=settings.include, exclude=settings.exclude, encoding=settings.encoding)
        if context.skipped_summary and not quiet:
            console.print(Text(f"note: {printable(context.skipped_summary)}", style="yellow"))
        with _shown(console, wanted=not (quiet or as_json) and sys.stderr.isatty()) as progress:
            built = asyncio.run(
                building.build_index(context, settings.out, embedder=embedder, limits=limits, progress=progress)
            )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    if as_json:
        print_json({**asdict(built), "cost_usd": str(built.cost_usd)})
    elif not quiet:
        print(_summary(settings.out, built))  # noqa: T201
    return 0


def show(place: str, query: str | None, hits: int, *, as_json: bool, debug: bool) -> int:
    """Run `rlmbox index show`; return the exit code.

    Args:
        place: The index.
        query: Words to search it for; None for what there is in it.
        hits: Most hits.
        as_json: Print one JSON object.
        debug: Show the traceback of an error.
    """
    try:
        retriever = retriever_from(place if ":" in place else f"index:{place}")
        found = asyncio.run(_look(retriever, query, hits))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    if as_json:
        print_json(found)
        return 0
    listed = found.get("hits")
    if not isinstance(listed, list):
        for name, value in found.items():
            if value:
                print(printable(f"{name.replace('_', ' ')}: {_listed(value)}"))  # noqa: T201
        return 0
    if not listed:
        Console(stderr=True).print("no passage has any of these words", markup=False, highlight=False)
    for hit in listed:
        where = f"{hit['id']}, characters {hit['start']:,}-{hit['end']:,} ({hit['score']:.3f})"
        print(printable(where))  # noqa: T201
        print(printable("  " + " ".join(str(hit["snippet"]).split())))  # noqa: T201
    return 0


async def _look(retriever: Retriever, query: str | None, hits: int) -> dict[str, object]:
    try:
        if query is None:
            return asdict(await retriever.info())
        if not query.strip():
            raise ConfigError("the query is empty; give a few words")
        return {"hits": [asdict(hit) for hit in await retriever.search(query, k=hits, filters={})]}
    finally:
        if isinstance(retriever, ClosableRetriever):
            await retriever.aclose()


def _listed(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} ({kind})" for name, kind in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else f"{value:,}"


def _summary(out: Path, built: building.Built) -> str:
    parts = [f"{quantity(built.documents, 'document')}, {quantity(built.passages, 'passage')}"]
    parts.append(f"{built.added:,} new or changed, {built.removed:,} gone, {built.unchanged:,} as they were")
    if built.embedded:
        parts.append(f"{quantity(built.embedded, 'passage')} embedded for ${built.cost_usd:.4f}")
    if built.resumed:
        parts.append("went on with a build that was cut off")
    return f"{out}: {'; '.join(parts)}"


@contextmanager
def _shown(console: Console, *, wanted: bool) -> Iterator[_Bars | None]:
    if not wanted:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        yield _Bars(progress)


class _Bars:
    """Progress as bars, one for each phase."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, progress: building.Progress) -> None:
        if progress.phase not in self._tasks:
            self._tasks[progress.phase] = self._progress.add_task(progress.phase, total=max(progress.total, 1))
        self._progress.update(self._tasks[progress.phase], completed=progress.done)
