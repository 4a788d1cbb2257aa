"""The parts that an `RLM` was made with, checked, from which each of its runs is put together."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from rlmbox import __version__
from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits, check_positive
from rlmbox.config import retriever_from
from rlmbox.context import Context
from rlmbox.context.context import Openable
from rlmbox.context.json_parts import is_long
from rlmbox.errors import ConfigError, RLMError
from rlmbox.events import Event, Hook, to_json
from rlmbox.guard import Guard, Policy, RunGuard, secrets_of_environment
from rlmbox.hooks import NamedHooks, readers_of
from rlmbox.loop.inputs import guarded_texts, with_tables, with_texts
from rlmbox.loop.options import SessionOptions
from rlmbox.loop.retrieving import CONTEXT_OF_INDEX
from rlmbox.loop.scope import RunContext, checked_run_id, new_run_id
from rlmbox.loop.session import Session
from rlmbox.loop.task import check_question
from rlmbox.loop.toolbox import Given, Toolbox
from rlmbox.loop.typed import AnswerType
from rlmbox.models.keys import KeySource
from rlmbox.record.audit import current_user
from rlmbox.record.context_record import record_context, record_texts
from rlmbox.record.export import write_evidence
from rlmbox.record.hiding import HiddenValues
from rlmbox.record.journal import Journal, MemoryStore, Store
from rlmbox.record.run import Run
from rlmbox.record.stores import close_store, open_store
from rlmbox.requests.cache import ReplyCache
from rlmbox.requests.client import FallbackWhen
from rlmbox.requests.retries import RetryPolicy
from rlmbox.retrieval.base import Retriever, has_vectors
from rlmbox.rlm.argument_checks import check_arguments
from rlmbox.rlm.chosen_models import ChosenModels
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.types import Answer, Table

if TYPE_CHECKING:
    from rlmbox.telemetry import Telemetry  # needs the extra [otel]


@dataclass(frozen=True, slots=True)
class Requests:
    """The way in which models are asked.

    Attributes:
        retries: When a request is sent again; None for the usual.
        cache: Where the replies to sub-calls are kept from run to run; None for nowhere.
        fallback_when: A check of a reply that has the fallback model asked too; None for none.
        stream_replies: Whether hooks see replies as they come in; None has it in `RLM.stream` only.
        recorded: What a record has of it: `request_timeout_s`.
    """

    retries: RetryPolicy | None
    cache: ReplyCache | None
    fallback_when: FallbackWhen | None
    stream_replies: bool | None
    recorded: Mapping[str, object]

    @classmethod
    def of(
        cls,
        *,
        retries: RetryPolicy | None,
        request_timeout_s: float | None,
        cache: bool | str | Path,
        fallback_when: FallbackWhen | None,
        stream_replies: bool | None,
    ) -> Requests:
        """Return how models are asked; the arguments are those of `RLM`.

        Raises:
            ConfigError: The timeout is not more than 0, or one is of a kind that it cannot be.
        """
        check_arguments({"retries": retries, "cache": cache, "fallback_when": fallback_when})
        if request_timeout_s is not None:
            check_positive("request_timeout_s (--request-timeout)", request_timeout_s)
            retries = replace(retries or RetryPolicy(), attempt_timeout_s=request_timeout_s)
        kept = ReplyCache(None if cache is True else cache) if cache else None
        return cls(retries, kept, fallback_when, stream_replies, {"request_timeout_s": request_timeout_s})


class Setup:
    """The parts that an `RLM` was made with.

    Args:
        models: The models that it asks.
        limits: What a run may use.
        options: How its sessions go.
        requests: How models are asked.
        recorded: What a record has of `options`.
        sandbox: The sandbox's name, or what makes one.
        packages: Installed packages that code may import.
        type_check: Whether cells are checked before they run.
        hooks: Readers of every run's events.
        named_hooks: Readers of some of them.
        telemetry: What makes spans of runs; True for where the program sends its own.
        store: Where runs are recorded: a path, a store, or None.
        record: Whether they are recorded in the user's own file, where no store is named.
        evidence_dir: Folder for what helps to find why a run failed; None for none.
        seed: Seed of the sandboxes.
        tools: The user's own functions.
        retriever: An index or its place; None for none.
        api_key: The key for models given by name, which must be in no record.
        guard: What may leave the sandboxes.
        record_secrets: Whether secrets stay in records.

    Raises:
        ConfigError: One is wrong.
        PriceUnknown: A cost limit was set and a model's price is not known.
    """

    def __init__(
        self,
        models: ChosenModels,
        limits: Limits,
        options: SessionOptions,
        requests: Requests,
        recorded: Mapping[str, object],
        *,
        sandbox: str | Callable[[], Sandbox],
        packages: Sequence[str],
        type_check: bool,
        hooks: Iterable[Hook | Callable[[Event], Awaitable[None]]],
        named_hooks: NamedHooks,
        telemetry: Telemetry | bool,
        store: Store | str | os.PathLike[str] | None,
        record: bool,
        evidence_dir: str | os.PathLike[str] | None,
        seed: int,
        tools: Iterable[Given],
        retriever: Retriever | str | None,
        api_key: str | KeySource | None,
        guard: Guard | Policy,
        record_secrets: bool,
    ) -> None:
        self.models, self.limits, self.options, self.requests = models, limits, options, requests
        check_arguments(
            {"sandbox": sandbox, "packages": packages, "guard": guard, "seed": seed, "telemetry": telemetry}
        )
        check_arguments({"store": store, "evidence_dir": evidence_dir, "retriever": retriever})
        check_arguments({"hooks": hooks, "tools": tools})
        if (packages or type_check) and not isinstance(sandbox, str):
            what = "packages go" if packages else "type_check goes"
            raise ConfigError(f"{what} with a sandbox's name; what makes sandboxes is given them where it is made")
        # A sandbox that somebody makes says itself what it lacks.
        self._has_pandas = not isinstance(sandbox, str) or any(name.lower() == "pandas" for name in packages)
        self.new_sandbox = (
            sandbox_from(sandbox, packages=packages, type_check=type_check) if isinstance(sandbox, str) else sandbox
        )
        self.hooks: tuple[Hook | Callable[[Event], Awaitable[None]], ...] = tuple(hooks)
        self._named_hooks, self._telemetry = named_hooks, _telemetry(telemetry)
        self._evidence_dir = Path(evidence_dir) if evidence_dir is not None else None
        self.retriever: Retriever | None = retriever_from(retriever) if isinstance(retriever, str) else retriever
        self._owns_retriever = isinstance(retriever, str)
        self.tools, self.seed = tuple(tools), seed
        toolbox = Toolbox(self.tools)
        toolbox.check()  # what is wrong with a tool is said here
        self._api_key, self._records_secrets = api_key, record_secrets
        self._guard = guard if isinstance(guard, Guard) else Guard(guard)
        self.made_with: dict[str, object] = {
            **models.recorded,
            **requests.recorded,
            **recorded,
            "sandbox": sandbox if isinstance(sandbox, str) else None,
            "packages": list(packages),
            "type_check": type_check,
            "seed": seed,
            "tools": [tool.repl_name for tool in toolbox.tools],
            "retriever": _recorded_retriever(self.retriever),
            "guard": self._guard.settings(),
            "record_secrets": record_secrets,
        }
        self.budget(limits)
        # The last thing, since a mistake above would leave it open.
        self.store = open_store(store, record=record)
        self._owns_store = self.store is not store
        if self.store is None and evidence_dir is not None:
            self.store = MemoryStore()

    def new_session(
        self,
        context: Openable | None,
        *,
        question: str | None,
        returns: Any,
        inputs: Mapping[str, object] | None,
        limits: Limits | None,
        hooks: Iterable[Hook | Callable[[Event], Awaitable[None]]],
        run_id: str | None,
        stream_replies: bool | None,
    ) -> Session:
        """Return a session of a new run; the arguments are those of `RLM.session`.

        Raises:
            ConfigError: The question is empty, the name cannot be one, or a limit cannot be kept with these models.
            ContextError: The text cannot be opened.
        """
        check_arguments({"inputs": inputs, "limits": limits, "hooks": hooks})
        if question is not None:
            check_question(question)
        text, limits = self._text_of(context), limits or self.limits
        given = with_texts(inputs or {}, limits.cell.inline_limit_chars)
        given = with_tables(given, text, has_pandas=self._has_pandas)
        settings, tools = self._settings(question, returns, limits), Toolbox(self.tools)
        run = RunContext(
            self.models.root,
            self.models.sub,
            self.budget(limits),
            self.new_sandbox,
            Journal(self.store, self.readers(hooks), hiding=self.hiding()),
            fallback=self.models.fallback,
            fallback_when=self.requests.fallback_when,
            cache=self.requests.cache,
            retries=self.requests.retries,
            id=new_run_id() if run_id is None else checked_run_id(run_id),
            seed=self.seed,
            describe=lambda: {
                "version": __version__,
                "settings": {
                    **settings,
                    "user": current_user(),
                    "source_tools": list(tools.source_names),
                    "signatures": tools.signatures,
                },
                "context": record_context(text),
                "inputs": {name: value for name, value in given.items() if not isinstance(value, Table | Context)},
                "texts": record_texts({k: v for k, v in given.items() if isinstance(v, Context)}, text),
                "tables": {name: value.form for name, value in given.items() if isinstance(value, Table)},
            },
            guard=self.run_guard(text, given),
            tools=tools,
            retriever=self.retriever,
            streams=bool(self.requests.stream_replies if stream_replies is None else stream_replies),
        )
        return Session(run, text, question=question, returns=returns, inputs=given, options=self.options)

    async def made(
        self, make: Callable[[], Session], context: Openable | None, inputs: Mapping[str, object] | None
    ) -> Session:
        """Return a session, which is made in a thread if what it is given may take long to read.

        Args:
            make: Makes it.
            context: Its text.
            inputs: Its inputs.
        """
        is_text = context is None or (isinstance(context, str) and not is_long(context))
        if not inputs and (is_text or (isinstance(context, Context) and context.data is None)):
            return make()
        return await to_thread.run_sync(make, abandon_on_cancel=True)

    async def answer(self, session: Session) -> Answer:
        """Run a session to its answer, and leave evidence where it fails and a folder for that was named.

        Args:
            session: The session, which is opened and closed.

        Raises:
            RLMError: What it ended with.
        """
        try:
            async with session:
                return await session.run()
        except RLMError:
            await self._leave_evidence(session.scope.session_id)
            raise

    def recorded(self) -> Store:
        """Return where runs are recorded.

        Raises:
            ConfigError: They are not.
        """
        if self.store is None:
            raise ConfigError("no store is set; set where runs are recorded: RLM(…, store='runs.db') or record=True")
        return self.store

    def readers(
        self,
        hooks: Iterable[Hook | Callable[[Event], Awaitable[None]]],
        past: Sequence[Event] = (),
        *,
        is_replay: bool = False,
    ) -> tuple[Hook, ...]:
        """Return the readers of one run's journal: all hooks, and what makes its spans.

        Args:
            hooks: Readers of this run's events, besides those of all runs.
            past: The events that its record has.
            is_replay: Whether it is run from its record alone, of which no spans are made.
        """
        readers = readers_of((*self.hooks, *hooks), self._named_hooks, past)
        return readers if self._telemetry is None or is_replay else (self._telemetry.reader(), *readers)

    def hiding(self, known: Mapping[str, str] | None = None) -> HiddenValues | None:
        """Return what keeps secrets out of a record; None to keep all in it.

        Args:
            known: The placeholders that the record has already, with their values.
        """
        if self._records_secrets:
            return None
        run_guard = self._guard.for_run(known_secrets=self._secrets())
        return HiddenValues(run_guard.secrets_in, known, run_guard.suspects)

    def run_guard(self, context: Context, inputs: Mapping[str, object], *, prepares: bool = True) -> RunGuard:
        """Return what decides on all that would leave the sandboxes of one run.

        Args:
            context: The run's text.
            inputs: The run's inputs, by name.
            prepares: Whether it gets ready in threads; of a replay it may decide nothing.
        """
        others = guarded_texts(inputs) if self._guard.is_ever_on else ()
        run_guard = self._guard.for_run(context, others=others, known_secrets=self._secrets())
        if prepares:
            run_guard.prepare()
        return run_guard

    def budget(self, limits: Limits) -> Budget:
        """Return a run's ledger, having checked that its limits can be kept with these models.

        Args:
            limits: What the run may use.

        Raises:
            PriceUnknown: There is a cost limit, and a model's price is not known.
        """
        budget = Budget(limits)
        for model in (self.models.root, self.models.sub, self.models.fallback):
            if model is not None:
                budget.admit(model)
        return budget

    def shown(self) -> dict[str, str]:
        """Return how it is set, by name: nothing that may have a key in it, such as an address."""
        limit = self.limits.cost_limit_usd
        return {
            **self.models.shown(),
            "sandbox": str(self.made_with["sandbox"] or "own"),
            "cost_limit_usd": "None" if limit is None else str(limit),
        }

    async def aclose(self) -> None:
        """Close what was made by its name: models, an index, a store."""
        await self.models.aclose()
        closes = getattr(self.retriever, "aclose", None) if self._owns_retriever else None
        if closes is not None:
            await closes()
        if self._owns_store:
            await to_thread.run_sync(close_store, self.store)

    def _text_of(self, context: Openable | None) -> Context:
        if context is not None:
            return context_of(context)
        if self.retriever is None:
            raise ConfigError("a question needs a text: pass a context, or an index: RLM(…, retriever='index:PATH')")
        return Context.from_text(CONTEXT_OF_INDEX)

    def _settings(self, question: str | None, returns: Any, limits: Limits) -> dict[str, object]:
        """Return how a run is made, as its record has it."""
        schema = dict(AnswerType(returns).schema) if returns is not None and self.store is not None else None
        return {**self.made_with, "question": question, "returns": schema, **limits_setting(limits)}

    def _secrets(self) -> tuple[str, ...]:
        given = self._api_key
        keys = given.found if isinstance(given, KeySource) else (given,) if given else ()
        return (*keys, *secrets_of_environment(os.environ))

    async def _leave_evidence(self, run_id: str) -> None:
        if self._evidence_dir is None or self.store is None:
            return
        events = tuple(await self.store.read(run_id))
        if events:
            await to_thread.run_sync(write_evidence, Run(events), self._evidence_dir / run_id)


def context_of(value: Openable) -> Context:
    """Return the text of whatever a user gave as one.

    Args:
        value: See `Context.of`.

    Raises:
        ConfigError: It is nothing of which a text is made.
        ContextError: The text cannot be opened.
    """
    try:
        return Context.of(value)
    except TypeError as error:  # which a cell gets as it is, and a user as an error of the library's
        raise ConfigError(str(error)) from error


def limits_setting(limits: Limits) -> dict[str, object]:
    """Return what a record has of limits, from which `limits_of` makes them again.

    Args:
        limits: The limits.
    """
    return {"limits": to_json(limits), "cost_limit_is_default": limits.cost_limit_is_default}


def _telemetry(given: Telemetry | bool) -> Telemetry | None:
    if given is False:
        return None
    from rlmbox.telemetry import Telemetry

    return Telemetry() if given is True else given


def _recorded_retriever(retriever: Retriever | None) -> dict[str, object] | None:
    """Return what a record has of an index, which is what decides on the functions of the REPL."""
    if retriever is None:
        return None
    embedder = retriever.embedder if has_vectors(retriever) else None
    return {"name": retriever.name, "embedder": embedder.name if embedder is not None else None}
