"""`ask` and `demo`: settings to an RLM, its answer or its error to the terminal."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import tomllib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from rlmbox.budget.budget import DEFAULT_COST_LIMIT_USD, Limits
from rlmbox.cli.approving import approval_of
from rlmbox.cli.cell_options import cell_limits, image_note, with_image
from rlmbox.cli.failing import answer_as_object, division, report, summary
from rlmbox.cli.guarding import guard_of
from rlmbox.cli.keeping import key_source
from rlmbox.cli.printing import print_json
from rlmbox.cli.tree import LiveTree
from rlmbox.config import OFFLINE_MODEL
from rlmbox.context import Context
from rlmbox.errors import AnswerRejected, ConfigError, LimitExceeded, StoreError
from rlmbox.events import Event, Hook, LoopEntered, RunResumed, RunStarted, SessionStarted
from rlmbox.guard.visible import printable
from rlmbox.loop.json_schema import schema_check
from rlmbox.record.journal import Store
from rlmbox.record.jsonl_store import JsonlStore
from rlmbox.record.sqlite_store import KEPT_BYTES, KEPT_DAYS, SqliteStore
from rlmbox.record.stores import close_store, default_path, open_store
from rlmbox.rlm import RLM
from rlmbox.types import Answer
from rlmbox.usage import quantity

if TYPE_CHECKING:
    from rlmbox.telemetry import Telemetry  # needs the extra [otel]

_WIDER = {
    "BudgetExceeded": "--cost-limit USD",
    "TokenLimitExceeded": "--max-tokens N",
    "MaxTurnsExceeded": "--max-turns N",
    "SubcallLimitExceeded": "--max-subcalls N",
    "TimeLimitExceeded": "--max-seconds S",
}
"""What widens a limit of a run that goes on, by the error that it ended with."""

_LEAVE_OUT = frozenset(
    {"test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3", "ensurepip", "__pycache__"}
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a run, as they came from the command line."""

    model: str | None = None
    retriever: str | None = None
    sub_model: str | None = None
    fallback_model: str | None = None
    base_url: str | None = None
    prices: Path | None = None
    windows: tuple[str, ...] = ()
    request_timeout_s: float | None = None
    cost_limit_usd: str | None = None
    max_turns: int = 30
    max_depth: int = 3
    max_subcalls: int = 200
    max_tokens: int | None = None
    max_seconds: float | None = None
    last_answer: bool = True
    profile: str | None = None
    direct_below_chars: int | None = None
    max_history_tokens: int | None = None
    cache: bool = False
    sandbox: str = "auto"
    sandbox_image: str | None = None
    packages: tuple[str, ...] = ()
    type_check: bool = False
    cell_timeout_s: float | None = None
    memory_mb: float | None = None
    approve: str | None = None
    schema: Path | None = None
    instructions: Path | None = None
    prompts: Path | None = None
    guard: str = "redact"
    guard_model: tuple[str, ...] = ()
    guard_path: tuple[str, ...] = ()
    guard_allow: tuple[str, ...] = ()
    record_secrets: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    encoding: str | None = None
    store: Path | None = None
    record: bool = False
    run_id: str | None = None
    otel: bool = False
    streams: bool | None = None

    def returns(self) -> object:
        """Return the JSON Schema that the answer must fit, or None.

        Raises:
            ConfigError: The file cannot be read, or is not JSON.
        """
        if self.schema is None:
            return None
        try:
            schema = json.loads(option_text(self.schema))
        except ValueError as error:
            raise ConfigError(f"{self.schema} is not JSON: {error}") from None
        if not isinstance(schema, dict):
            kind = type(schema).__name__
            raise ConfigError(f'{self.schema} is not a JSON Schema, such as {{"type": "integer"}}: it is a {kind}')
        try:
            schema_check(schema)
        except ValueError as error:
            raise ConfigError(f"--schema {self.schema}: {error}") from None
        return schema

    @contextmanager
    def opened(self, hooks: Sequence[Hook], telemetry: Telemetry | bool = False) -> Iterator[RLM]:
        """Make the RLM and the store that it records in, and close both afterwards; see `rlm`."""
        store = self.opened_store()
        try:
            say = [partial(_say_where_kept, store.path)] if isinstance(store, SqliteStore) and store.is_empty() else []
            with self.rlm([*say, *hooks], store, telemetry) as rlm:
                yield rlm
        finally:
            close_store(store)

    def rlm(self, hooks: Sequence[Hook], store: Store | None, telemetry: Telemetry | bool = False) -> RLM:
        """Make the RLM.

        Args:
            hooks: Readers of its events.
            store: Where its runs are recorded; None for nowhere.
            telemetry: What makes spans of its runs.

        Raises:
            ConfigError: An option is wrong.
        """
        limits = Limits(
            cost_limit_usd=DEFAULT_COST_LIMIT_USD if self.cost_limit_usd is None else self.cost_limit_usd,
            max_turns=self.max_turns,
            max_depth=self.max_depth,
            max_subcalls=self.max_subcalls,
            max_tokens=self.max_tokens,
            max_seconds=self.max_seconds,
            last_answer=self.last_answer,
            cell=cell_limits(self.cell_timeout_s, self.memory_mb),
        )
        return RLM(
            self.model,
            sub_model=self.sub_model,
            fallback_model=self.fallback_model,
            base_url=self.base_url,
            api_key=key_source(self.model),
            sandbox=with_image(self.sandbox, self.sandbox_image),
            packages=self.packages,
            type_check=self.type_check,
            limits=limits,
            cache=self.cache,
            prices=self.prices,
            windows=windows_of(self.windows),
            request_timeout_s=self.request_timeout_s,
            stream_replies=self.streams,
            hooks=hooks,
            telemetry=telemetry,
            approve=approval_of(self.approve, Console(stderr=True)),
            instructions=_instructions_of(self.instructions) if self.instructions else "",
            prompts=self.prompts,
            profile=self.profile,
            direct_below_chars=self.direct_below_chars,
            max_history_tokens=self.max_history_tokens,
            record_secrets=self.record_secrets,
            guard=guard_of(self.guard, self.guard_model, self.guard_path, self.guard_allow),
            store=store,
            retriever=self.retriever,
        )

    def opened_store(self) -> Store | None:
        """Return where the run is recorded, or None for nowhere.

        Raises:
            StoreError: The store that was named cannot be opened.
        """
        if not self.record:
            return None
        try:
            return open_store(self.store or default_path())
        except StoreError as error:
            if self.store is not None or self.run_id is not None:
                raise
            print(f"note: the run is not recorded: {error}", file=sys.stderr)  # noqa: T201
            return None


def _say_where_kept(path: Path, event: Event) -> None:
    """Say where runs are kept and for how long, when the first one is."""
    if isinstance(event, RunStarted):
        kept = f"{KEPT_DAYS} days, at most {KEPT_BYTES // 10**9} GB"
        print(f"note: runs are kept in {path} ({kept}); --no-record keeps none", file=sys.stderr)  # noqa: T201


def windows_of(options: Sequence[str]) -> int | dict[str, int] | None:
    """Return what `--window` says: one figure for all models, figures by name, or None where it was not given.

    Args:
        options: Its values, `TOKENS` or `NAME=TOKENS`.

    Raises:
        ConfigError: One is neither, or there is one for all beside others.
    """
    found: dict[str, int] = {}
    for option in options:
        name, _, tokens = option.rpartition("=")
        if not tokens.strip().isdecimal() or int(tokens) < 1:
            raise ConfigError(f"--window takes TOKENS, or NAME=TOKENS such as ollama:qwen3=8192, not {option!r}")
        found[name] = int(tokens)
    if "" in found and len(found) > 1:
        raise ConfigError("--window takes either one number for all models or NAME=TOKENS for each, not both")
    return found.get("", found) if found else None


def _instructions_of(path: Path) -> str | dict[str, str]:
    """Return the instructions of a file: its text for all sessions, or what a TOML file has for root and children."""
    text = option_text(path)
    if path.suffix != ".toml":
        return text
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def option_text(path: Path) -> str:
    """Return the text of a file that an option names, without a byte order mark.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def ask_and_print(
    question: str,
    paths: Sequence[str],
    settings: Settings,
    *,
    as_json: bool,
    trace: Path | None,
    quiet: bool,
    debug: bool,
) -> int:
    """Run `rlmbox ask`; gives the exit code."""
    # A tree that is drawn again and again would cover what a person is asked.
    show_tree = not (as_json or quiet or settings.approve not in (None, "never")) and sys.stderr.isatty()
    console = Console(stderr=True)

    def say_sandbox(event: Event) -> None:
        if isinstance(event, SessionStarted | LoopEntered) and event.sandbox_reason and not (event.depth or quiet):
            console.print(Text(printable(f"sandbox: {event.sandbox}, {event.sandbox_reason}"), style="dim"))

    def run(hooks: Sequence[Hook]) -> Answer:
        with (
            exported_where(console, wanted=settings.otel) as telemetry,
            replace(settings, streams=show_tree).opened([say_sandbox, *hooks], telemetry) as rlm,
        ):
            if not quiet:
                print_notices(rlm, console)
                if note := image_note(settings.sandbox, settings.sandbox_image):
                    console.print(Text(f"note: {printable(note)}", style="yellow"))
            context = open_context_or_none(paths, settings)
            if context is not None and context.skipped_summary and not quiet:
                console.print(Text(f"note: {printable(context.skipped_summary)}", style="yellow"))
            return rlm.ask(question, context, returns=settings.returns(), run_id=settings.run_id)

    return _run_and_print(run, console if show_tree else None, as_json=as_json, trace=trace, quiet=quiet, debug=debug)


def demo_and_print(question: str, settings: Settings, *, as_json: bool, trace: Path | None, debug: bool) -> int:
    """Run `rlmbox demo`; gives the exit code."""
    console = Console(stderr=as_json)

    def run(hooks: Sequence[Hook]) -> Answer:
        with (
            exported_where(Console(stderr=True), wanted=settings.otel) as telemetry,
            settings.opened(hooks, telemetry) as rlm,
        ):
            folder = Path(sysconfig.get_paths()["stdlib"])
            context = Context.from_documents(_standard_library(folder))
            if not as_json:
                console.print(
                    f"{context.size_bytes / 1e6:.1f} MB of text in "
                    f"{quantity(context.num_documents, 'file')} of {folder}",
                    highlight=False,
                )
                print_notices(rlm, console)
            return rlm.ask(question, context)

    return _run_and_print(run, None if as_json else console, as_json=as_json, trace=trace, quiet=False, debug=debug)


def _run_and_print(
    run: Callable[[Sequence[Hook]], Answer],
    tree: Console | None,
    *,
    as_json: bool,
    trace: Path | None,
    quiet: bool,
    debug: bool,
) -> int:
    recorded: list[Event] = []
    heads: deque[str] = deque(maxlen=1)
    try:
        with ExitStack() as stack:
            hooks: list[Hook] = []
            if trace is not None:
                hooks.append(stack.enter_context(_traced(trace)))
            if tree is not None:
                hooks.append(stack.enter_context(LiveTree(tree)))
            hooks.append(lambda event: recorded.append(event) if isinstance(event, RunStarted | RunResumed) else None)
            hooks.append(lambda event: heads.append(event.audit) if event.audit else None)
            answer = run(hooks)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        code = report(error, as_json=as_json, debug=debug)
        if recorded:
            run_id = recorded[0].run_id
            print(f"look at it: rlmbox show {run_id} --evidence{_further(error, run_id)}", file=sys.stderr)  # noqa: T201
        return code
    if as_json:
        # Whoever keeps what was printed can tell later that the record is still the one of this run.
        print_json({**answer_as_object(answer), "audit_head": heads[0] if heads else None})
    else:
        print_answer(answer, quiet=quiet, facts_to_stdout=tree is not None and not tree.stderr)
    return 0


def _further(error: BaseException, run_id: str) -> str:
    """Return how a run is gone on with: as it is, with a wider limit, or, where it would end so again, not at all."""
    wider = _WIDER.get(type(error).__name__)
    if wider is not None:
        return f"; go on with a wider limit: rlmbox resume {run_id} {wider}"
    return "" if isinstance(error, LimitExceeded | AnswerRejected) else f"; go on with it: rlmbox resume {run_id}"


def print_run(
    run: Callable[[Sequence[Hook]], Answer], *, as_json: bool, quiet: bool, debug: bool, asks: bool = False
) -> int:
    """Print the answer of a run, or its error in one line, as `ask` does; return the exit code.

    Args:
        run: Runs it, with these readers of its events.
        as_json: Print one JSON object.
        quiet: Print the answer only.
        debug: Print the traceback of an error.
        asks: True if a person at the terminal is asked, which a tree that is drawn again would cover.
    """
    tree = Console(stderr=True) if sys.stderr.isatty() and not (as_json or quiet or asks) else None
    return _run_and_print(run, tree, as_json=as_json, trace=None, quiet=quiet, debug=debug)


def open_context_or_none(paths: Sequence[str], settings: Settings) -> Context | None:
    """Open what `--context` names; None where there is an index and nothing else.

    Raises:
        ConfigError: There is neither.
        ContextError: It is missing, unreadable or empty.
    """
    if paths:
        return open_context(paths, include=settings.include, exclude=settings.exclude, encoding=settings.encoding)
    if settings.retriever is None:
        raise ConfigError("a question needs a text: pass --context PATH, or an index with --retriever")
    return None


def open_context(
    paths: Sequence[str], *, include: Sequence[str] = (), exclude: Sequence[str] = (), encoding: str | None = None
) -> Context:
    """Open what `--context` names.

    Raises:
        ContextError: It is missing, unreadable or empty.
    """
    path = paths[0] if len(paths) == 1 else list(paths)
    return Context.from_path(path, include=include, exclude=exclude, encoding=encoding)


def _standard_library(folder: Path) -> list[tuple[str, str]]:
    """Read the standard library's own modules, without its tests and what is installed beside it."""
    documents: list[tuple[str, str]] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEAVE_OUT)
        paths = [Path(parent, name) for name in sorted(files) if name.endswith(".py")]
        documents += [(path.relative_to(folder).as_posix(), path.read_text("utf-8", "replace")) for path in paths]
    return documents


def print_notices(rlm: RLM, console: Console) -> None:
    """Print in one line each what a user should know before the run."""
    lines = []
    if OFFLINE_MODEL in (rlm.model.name, rlm.sub_model.name):
        from rlmbox.models.offline import NOTICE

        lines.append(NOTICE)
    if rlm.limits.cost_limit_is_default:
        models = (rlm.model, rlm.sub_model, *([rlm.fallback_model] if rlm.fallback_model else []))
        unpriced = [model.name for model in models if model.price is None]
        if unpriced:
            unknown = f"the price of {unpriced[0]} is not known, so no cost limit is kept"
            lines.append(f"{unknown}; give it with --prices FILE")
    for line in lines:
        console.print(Text(f"note: {line}", style="yellow"))


@contextmanager
def _traced(path: Path) -> Iterator[Hook]:
    """Write each event to a file at once, so that a run that breaks off leaves all until then."""
    store = JsonlStore(path)
    if not path.absolute().parent.is_dir():  # a store makes its folder; one that was mistyped here should not be made
        raise ConfigError(f"the trace cannot be written to {path}: there is no folder {path.parent}")
    try:
        try:
            store.empty()
        except StoreError as error:
            raise ConfigError(f"the trace cannot be written: {error}") from None
        # A trace is a record: of a reply that came in pieces it has the whole.
        yield lambda event: store.write(event) if event.KEPT else None
    finally:
        store.close()


@contextmanager
def exported_where(console: Console, *, wanted: bool) -> Iterator[Telemetry | bool]:
    """Export spans and metrics where that is wanted, and say where they did not arrive.

    Args:
        console: The console for the message.
        wanted: True if it is wanted.
    """
    if not wanted:
        yield False
        return
    from rlmbox.telemetry.exporting import Delivery, exported

    delivery = Delivery()
    try:
        with exported(delivery) as telemetry:
            yield telemetry
    finally:
        if delivery.problem:
            console.print(Text(f"note: telemetry did not arrive: {printable(delivery.problem)}", style="yellow"))


def print_answer(answer: Answer, *, quiet: bool, facts_to_stdout: bool) -> None:
    """Print the answer, and what is known of it where a program that reads the answer will not trip over it."""
    print(printable(answer.text))  # noqa: T201
    if quiet:
        return
    console = Console(stderr=not (facts_to_stdout or sys.stdout.isatty()))
    for source in answer.sources:
        where = printable(f" {source.document}, characters {source.start:,}-{source.end:,}")
        console.print(Text.assemble(("found in", "green"), where))
    for line in (summary(answer), *division(answer)):
        console.print(Text(line, style="dim"))
