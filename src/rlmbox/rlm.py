"""The facade: a model, a sandbox and limits, ready to be asked."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from anyio import to_thread

from rlmbox import __version__
from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD, Limits
from rlmbox.config import OFFLINE_MODEL, model_from, retriever_from
from rlmbox.context import Context
from rlmbox.errors import AnswerRejected, ConfigError, LimitExceeded, RLMError, StoreError
from rlmbox.events import (
    CellExecuted,
    CellStarted,
    Event,
    Hook,
    ModelRequested,
    QuestionAsked,
    SessionFinished,
    SessionStarted,
    SubcallStarted,
    TurnFinished,
    to_json,
)
from rlmbox.guard import Guard, Policy, RunGuard, secrets_of_environment
from rlmbox.hooks import CostUpdate, NamedHooks, readers_of
from rlmbox.loop import direct
from rlmbox.loop.answers import AnswerRule
from rlmbox.loop.approval import Approval, Approve
from rlmbox.loop.compaction import Compaction, compaction_from
from rlmbox.loop.instructions import Instructions
from rlmbox.loop.options import SessionOptions
from rlmbox.loop.profiles import Profile, profile_from
from rlmbox.loop.prompts import read_parts
from rlmbox.loop.retrieving import CONTEXT_OF_INDEX
from rlmbox.loop.rules import Validator, figures_were_seen, require_repl, require_subcall, validators_of
from rlmbox.loop.scope import RunContext, new_run_id
from rlmbox.loop.session import Session
from rlmbox.loop.task import check_question
from rlmbox.loop.toolbox import Given, Toolbox
from rlmbox.loop.tools import Tool
from rlmbox.loop.typed import AnswerType
from rlmbox.models.base import Model, PriceSource
from rlmbox.models.keys import KeySource
from rlmbox.models.prices import FlatPrice, load_overrides
from rlmbox.record.audit import AuditChain, current_user
from rlmbox.record.context_record import record_context, reopen_context
from rlmbox.record.continuing import begun, forked, questions, resumed
from rlmbox.record.export import write_evidence
from rlmbox.record.hiding import HiddenValues, table_of, whole
from rlmbox.record.journal import Journal, Lease, MemoryStore, Store
from rlmbox.record.offline import RecordedModel
from rlmbox.record.past import Past
from rlmbox.record.run import Run
from rlmbox.record.stores import open_store
from rlmbox.requests.cache import ReplyCache
from rlmbox.requests.client import FallbackWhen
from rlmbox.requests.retries import RetryPolicy
from rlmbox.retrieval.base import Retriever, has_vectors
from rlmbox.retrieval.recorded import RecordedEmbedder, RecordedRetriever
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.sync import run_blocking
from rlmbox.types import Answer, CellLimits, html_table

if TYPE_CHECKING:
    from rlmbox.telemetry import Telemetry  # needs the extra [otel]

Openable = Context | str | bytes | Path | Sequence[object] | Mapping[str, object]
"""What a question can be asked of; anything but a `Context` is made into one with `Context.of`."""


_LEAST_HISTORY_TOKENS = 4_000  # the system message and a question take half of it


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class RLM:
    """A Recursive Language Model.

    An object may be used from several threads and event loops at once; each question is a run of its own, with its
    own sandbox and its own ledger. Use it as a context manager, or call `close()`, to close its connections.

    Args:
        model: The root model: its name, such as `anthropic:claude-sonnet-5-5`, or an object. None is
            `offline:extractive`, which needs no network and only picks sentences.
        sub_model: The model of sub-calls and children; None is the root model.
        fallback_model: The model that is asked where another is not available; None for none.
        fallback_when: Your own check of a reply (a `Completion`): True asks the fallback model as well.
        base_url: Address of a server that speaks the provider's protocol, for models given by name.
        api_key: The key for models given by name; None takes it from the provider's environment variable, and a
            `rlmbox.models.keys.KeySource` is asked where that is not set.
        sandbox: The sandbox's name, or what makes one for each session. `auto` is the strongest that shows, on this
            machine, that it holds; `docker:IMAGE` is `docker` with an image of yours.
        packages: Installed packages that code may import, such as `pandas`, with what they need.
        limits: What a run may use.
        retries: When a request that failed is sent again; None for the usual.
        cache: Keep the replies to sub-calls, so that the same one costs nothing in a later run: True keeps them in the
            user's cache folder, a path in that folder. Off by default.
        prices: Prices that take precedence over the catalogue's: a file (TOML or JSON, see the docs), a mapping from
            full names to prices, or a function from a full name to a price or None, which is asked before each request.
        windows: Most tokens that a request and its reply may have together, for models given by name: one figure for
            all of them, or figures by full name. None takes what is known of each.
        request_timeout_s: Seconds without a byte after which an attempt at a request is given up; None takes 120 at
            first, and learns from the replies how long they take.
        stream_replies: Whether hooks see the text of sessions' models as it comes in, as `ReplyDelta`; None has it in
            `stream` only. Providers that cannot stream are asked for replies in one piece.
        hooks: Readers of every run's events, in their order: plain ones are called on the run's event loop, what async
            ones return is awaited beside the run.
        on_session_start: Called when a session's sandbox is ready; plain or async, as are all hooks by name.
        on_llm_call: Called when a model is about to be asked, by a session or by its code.
        on_code_exec: Called when a cell is about to run.
        on_observation: Called when a cell has run.
        on_cost_update: Called with a `CostUpdate` when a request was charged for, with the run's totals.
        on_step_end: Called when a turn is over.
        telemetry: OpenTelemetry spans and metrics of every run: True sends them where the program has set that up, a
            `Telemetry` says more. It takes the extra `rlmbox[otel]`.
        store: Where runs are recorded: the path of a file, or a store; see the docs on the record. None records none,
            unless `record` is set.
        record: Record runs in the user's own file, where `store` names no other.
        evidence_dir: Folder in which a run that fails leaves what helps to find why, in a folder of its name.
        seed: Seed of the sandboxes' `random` and hash order.
        strict: Take only `FINAL("literal")` and `FINAL_VAR(identifier)` as final tags.
        auto_finalize_var: Name of a variable that ends a session as soon as code has set it.
        tools: Functions of yours that code may call, as they are or as `Tool`, and `MCPTools`.
        retriever: An index whose text code may search, as an object, or by its place: `index:./corpus.idx`,
            `postgresql://…`. A question needs no context then.
        instructions: What the models of the root and of children are told besides: a text for all, or
            `{"root": …, "children": …}`.
        prompts: Texts in place of parts of the prompt, by the part's name, or a TOML file of them.
        approve: Decides on code before it runs: takes a `Proposal`, returns True, False, a reason to reject it, or
            `Replace(code)`; plain or async. An `Approval` says when it is asked, too. None lets everything run.
        validate: Your own check of an answer, or several: takes the answer (`text`, `value`), returns None or what is
            wrong with it, which goes back to the model; plain or async. One with a second parameter is given `ask`,
            by which it asks a model within the run's limits.
        require_repl_before_final: Take no answer before code has run.
        require_subcall_before_final: Take no answer before another model was asked.
        require_seen_figures: Send an answer back, once, that has a figure which no cell has printed.
        invalid_response_limit: Replies in a row with neither code nor an answer, and equal cells with the same result,
            that end a question with `Stalled`.
        fallback_code: Code that runs once in place of that; None for none.
        profile: A way to go about questions, which sets prompts, limits and rules where you do not:
            `deterministic-first`, `semantic-batches`, `hybrid`, `verify`, or the path of a TOML file of your own.
        direct_below_chars: A text that is shorter is sent with the question and answered in one request, without a
            sandbox, unless the model replies with code; None for 8,000, 0 for never. Sessions with tools or inputs, and
            those that must use code or another model, never do.
        max_history_tokens: Most tokens of a session's conversation; where it becomes longer, its middle is replaced
            by a digest. None for 60 % of the model's window.
        compaction: Who writes the digest: `digest`, which asks nobody, `model` for the session's own model, or a
            function of yours that takes a `LeftOut` and returns the text; plain or async.
        guard: What may leave the sandbox for a model: `redact` hides secrets and personal data and bounds what is
            copied of the text, `strict` more, `off` nothing; or a `Guard`. What was hidden is there again in answers.
        record_secrets: Keep secrets and personal data in records, and show them to hooks. By default they have
            placeholders there, and only the record's own file has the values, so that a run can go on.

    Raises:
        ConfigError: A name, a key or a limit is missing or wrong.
        PriceUnknown: A cost limit was set and a model's price is not known.
    """

    def __init__(
        self,
        model: Model | str | None = None,
        *,
        sub_model: Model | str | None = None,
        fallback_model: Model | str | None = None,
        fallback_when: FallbackWhen | None = None,
        base_url: str | None = None,
        api_key: str | KeySource | None = None,
        sandbox: str | Callable[[], Sandbox] = "auto",
        packages: Sequence[str] = (),
        limits: Limits | None = None,
        retries: RetryPolicy | None = None,
        cache: bool | str | Path = False,
        prices: str | Path | Mapping[str, FlatPrice] | PriceSource | None = None,
        windows: int | Mapping[str, int] | None = None,
        request_timeout_s: float | None = None,
        stream_replies: bool | None = None,
        hooks: Iterable[Hook | Callable[[Event], Awaitable[None]]] = (),
        on_session_start: Callable[[SessionStarted], Awaitable[None] | None] | None = None,
        on_llm_call: Callable[[ModelRequested | SubcallStarted], Awaitable[None] | None] | None = None,
        on_code_exec: Callable[[CellStarted], Awaitable[None] | None] | None = None,
        on_observation: Callable[[CellExecuted], Awaitable[None] | None] | None = None,
        on_cost_update: Callable[[CostUpdate], Awaitable[None] | None] | None = None,
        on_step_end: Callable[[TurnFinished], Awaitable[None] | None] | None = None,
        telemetry: Telemetry | bool = False,
        store: Store | str | os.PathLike[str] | None = None,
        record: bool = False,
        evidence_dir: str | os.PathLike[str] | None = None,
        seed: int = 0,
        strict: bool = False,
        auto_finalize_var: str | None = None,
        tools: Iterable[Given] = (),
        retriever: Retriever | str | None = None,
        instructions: str | Mapping[str, str] = "",
        prompts: Mapping[str, str] | str | os.PathLike[str] | None = None,
        approve: Approve | Approval | None = None,
        validate: Validator | Iterable[Validator] = (),
        require_repl_before_final: bool = False,
        require_subcall_before_final: bool = False,
        require_seen_figures: bool = False,
        invalid_response_limit: int = 4,
        fallback_code: str | None = None,
        profile: str | os.PathLike[str] | Profile | None = None,
        direct_below_chars: int | None = None,
        max_history_tokens: int | None = None,
        compaction: str | Compaction = "digest",
        guard: Guard | Policy = "redact",
        record_secrets: bool = False,
    ) -> None:
        for name, given in (("base_url", base_url), ("api_key", api_key)):
            if isinstance(given, str) and model is None:
                raise ConfigError(f"{name} needs the name of the model to ask, such as model='openai:NAME'")
        overrides = load_overrides(prices) if isinstance(prices, str | os.PathLike) else prices
        self._own_models: list[Model] = []

        def made(named: Model | str) -> Model:
            if isinstance(named, str):
                window = windows.get(named) if isinstance(windows, Mapping) else windows
                named = model_from(named, base_url=base_url, api_key=api_key, prices=overrides, window_tokens=window)
                self._own_models.append(named)
            elif not hasattr(named, "complete"):
                raise ConfigError(f"a model is a name such as 'openai:gpt-5' or a Model, not {type(named).__name__}")
            return named

        self.limits = limits or Limits()
        usual = Profile("", direct_below_chars=direct.DIRECT_BELOW_CHARS)
        way = usual if profile is None else profile_from(profile)
        self.limits, parts = way.narrow(self.limits), {**way.prompts, **read_parts(prompts)}
        require_repl_before_final |= way.require_repl_before_final
        require_subcall_before_final |= way.require_subcall_before_final
        require_seen_figures |= way.require_seen_figures
        below = way.direct_below_chars if direct_below_chars is None else _direct_below(direct_below_chars)
        self.model = made(OFFLINE_MODEL if model is None else model)
        self.sub_model = self.model if sub_model is None else made(sub_model)
        self.fallback_model = None if fallback_model is None else made(fallback_model)
        if isinstance(windows, Mapping):
            _check_windows(windows, [each.name for each in self._own_models])
        self._retries = retries if request_timeout_s is None else _giving_up_after(request_timeout_s, retries)
        self._stream_replies = stream_replies
        self._fallback_when = fallback_when
        self._cache = ReplyCache(None if cache is True else cache) if cache else None
        if packages and not isinstance(sandbox, str):
            raise ConfigError("packages go with a sandbox's name; what makes sandboxes is given them where it is made")
        self._new_sandbox = sandbox_from(sandbox, packages=packages) if isinstance(sandbox, str) else sandbox
        self._hooks, self._store, self._seed = tuple(hooks), open_store(store, record=record), seed
        self._telemetry = _telemetry(telemetry)
        self._named_hooks = NamedHooks(
            on_session_start, on_llm_call, on_code_exec, on_observation, on_cost_update, on_step_end
        )
        self._owns_store = self._store is not store
        self._evidence_dir = Path(evidence_dir) if evidence_dir is not None else None
        if self._store is None and evidence_dir is not None:
            self._store = MemoryStore()
        rules: list[AnswerRule] = []
        rules += [require_repl] * require_repl_before_final
        rules += [require_subcall] * require_subcall_before_final
        rules += [figures_were_seen] * require_seen_figures
        validators = validators_of(validate)
        rules += validators
        is_own = "system" in parts and "direct" not in parts
        needs_code = is_own or strict or auto_finalize_var or len(rules) > len(validators)
        self._options = SessionOptions(
            strict=strict,
            auto_finalize_var=auto_finalize_var,
            approval=approve if isinstance(approve, Approval) or approve is None else Approval(approve),
            rules=tuple(rules),
            instructions=Instructions.of(instructions),
            prompts=parts,
            most_repeats=_invalid_limit(invalid_response_limit),
            fallback_code=_fallback(fallback_code),
            direct_below_chars=0 if needs_code else below,
            max_history_tokens=_history_tokens(max_history_tokens),
            compaction=compaction_from(compaction),
        )
        self._retriever: Retriever | None = retriever_from(retriever) if isinstance(retriever, str) else retriever
        self._owns_retriever = isinstance(retriever, str)
        self._tools = tuple(tools)
        toolbox = Toolbox(self._tools)
        toolbox.check()  # what is wrong with a tool is said here
        self._api_key = api_key
        self._records_secrets = record_secrets
        self._guard = guard if isinstance(guard, Guard) else Guard(guard)
        self._made_with: dict[str, object] = {
            "model": self.model.name,
            "sub_model": self.sub_model.name,
            "fallback_model": self.fallback_model.name if self.fallback_model else None,
            "base_url": base_url,
            "prices": os.path.abspath(prices)  # noqa: PTH100 - links stay as they are
            if isinstance(prices, str | os.PathLike)
            else None,
            "windows": dict(windows) if isinstance(windows, Mapping) else windows,
            "request_timeout_s": request_timeout_s,
            "sandbox": sandbox if isinstance(sandbox, str) else None,
            "packages": list(packages),
            "seed": seed,
            "strict": strict,
            "auto_finalize_var": auto_finalize_var,
            "tools": [tool.repl_name for tool in toolbox.tools],
            "retriever": _recorded_retriever(self._retriever),
            "instructions": instructions if isinstance(instructions, str) else dict(instructions),
            "prompts": dict(self._options.prompts),
            "approves": self._options.approval is not None,
            "validators": len(validators),
            "require_repl_before_final": require_repl_before_final,
            "require_subcall_before_final": require_subcall_before_final,
            "require_seen_figures": require_seen_figures,
            "invalid_response_limit": invalid_response_limit,
            "fallback_code": fallback_code,
            "guard": self._guard.settings(),
            "record_secrets": record_secrets,
            "profile": way.name or None,
            "direct_below_chars": self._options.direct_below_chars,
            "max_history_tokens": max_history_tokens,
            "compaction": compaction if isinstance(compaction, str) else "own",
        }
        self._budget(self.limits)

    def ask(
        self,
        question: str,
        context: Openable | None = None,
        *,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
        run_id: str | None = None,
    ) -> Answer:
        """Ask a question of a text and wait for the answer.

        Args:
            question: What is asked.
            context: The text; None where there is a retriever. A `dict` or `list` is the variable `data` in the
                REPL, too.
            returns: The type of `answer.value`: a pydantic model, a dataclass, a TypedDict, `list[int]` and the like,
                or a JSON Schema; None for any.
            inputs: Further variables in the REPL, by name: values that are JSON, strings included.
            limits: What this question may use, in place of the limits of the `RLM`.
            run_id: The run's name, by which a recorded one is found again; None for one of its own.

        Raises:
            RLMError: A limit was reached or something failed for good; `.partial` has what there was until then.
            KeyboardInterrupt: Somebody interrupted it; `.partial` has what there was, where anything had begun.
        """
        session = self.session(context, question=question, returns=returns, inputs=inputs, limits=limits, run_id=run_id)
        try:
            return run_blocking(lambda: self._answer(session))
        except KeyboardInterrupt as interrupt:
            error = session.task.error if session.task is not None else None
            interrupt.partial = getattr(error, "partial", None)  # type: ignore[attr-defined]
            raise

    async def aask(
        self,
        question: str,
        context: Openable | None = None,
        *,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
        run_id: str | None = None,
    ) -> Answer:
        """Ask a question of a text; see `ask`."""
        return await self._answer(
            self.session(context, question=question, returns=returns, inputs=inputs, limits=limits, run_id=run_id)
        )

    def session(
        self,
        context: Openable | None = None,
        *,
        question: str | None = None,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
        hooks: Iterable[Hook | Callable[[Event], Awaitable[None]]] = (),
        run_id: str | None = None,
        stream_replies: bool | None = None,
    ) -> Session:
        """Return a session over a text, to be asked any number of questions or taken step by step.

        It is opened with `async with rlm.session(...) as session: await session.ask(...)`, or with `with` and without
        `await` from blocking code.

        Args:
            context: The text; None where there is a retriever.
            question: The first question, for `session.step()` and `session.run()`.
            returns: The type of the first question's answer; see `ask`.
            inputs: Further variables in the REPL, by name; see `ask`.
            limits: What the session may use, in place of the limits of the `RLM`.
            hooks: Readers of this run's events, besides those of all runs.
            run_id: The run's name, by which a recorded one is found again; None for one of its own.
            stream_replies: Whether hooks see the replies as they come in; None as the `RLM` says.

        Raises:
            ConfigError: The question is empty, the name cannot be one, or a limit cannot be kept with these models.
            ContextError: The text cannot be opened.
        """
        if question is not None:
            check_question(question)
        text, given, limits = self._text_of(context), dict(inputs or {}), limits or self.limits
        settings, tools = self._settings(question, returns, limits), Toolbox(self._tools)
        run = RunContext(
            self.model,
            self.sub_model,
            self._budget(limits),
            self._new_sandbox,
            Journal(self._store, self._readers(hooks), hiding=self._hiding()),
            fallback=self.fallback_model,
            fallback_when=self._fallback_when,
            cache=self._cache,
            retries=self._retries,
            id=new_run_id() if run_id is None else checked_run_id(run_id),
            seed=self._seed,
            describe=lambda: {
                "version": __version__,
                "settings": {**settings, "user": current_user(), "source_tools": list(tools.source_names)},
                "context": record_context(text),
                "inputs": given,
            },
            guard=self._run_guard(text),
            tools=tools,
            retriever=self._retriever,
            streams=bool(self._stream_replies if stream_replies is None else stream_replies),
        )
        return Session(run, text, question=question, returns=returns, inputs=given, options=self._options)

    def stubs(self) -> str:
        """Return what is in the REPL as the text of a stub file (`.pyi`), for editors and type checkers.

        Tools of an MCP server are known once a session has begun; `Session.stubs` has them too.

        Raises:
            ConfigError: A tool has a name that something else has.
        """
        return self.session(" ").stubs()

    def resume(self, run_id: str, *, context: Openable | None = None, returns: Any = None) -> Answer:
        """Go on with a recorded run whose process ended early, and wait for the answer.

        Nothing that was paid for is asked again. A run that has its answer gives it again.

        Args:
            run_id: The run.
            context: The text, where the record has neither it nor its path; None to open it as the record says.
            returns: The type of `answer.value`; None for what the record has of it.

        Raises:
            ConfigError: The run needs a model or a function that this `RLM` has not.
            ContextError: The text has changed since, or is not there any more.
            StoreError: There is no such run, it is at work elsewhere, or it cannot go on.
            RLMError: As for `ask`.
        """
        return run_blocking(lambda: self.aresume(run_id, context=context, returns=returns))

    async def aresume(self, run_id: str, *, context: Openable | None = None, returns: Any = None) -> Answer:
        """Go on with a recorded run; see `resume`."""
        store = self._recorded()
        lease = store.hold(run_id)
        try:
            recorded = await store.read(run_id)
            events, hiding = whole(recorded), self._hiding(table_of(recorded))
            started = begun(events, run_id)
            is_over = Past(events).is_over
            if not is_over:
                self._check_has(started.settings)
                added = resumed(events)
                for event in added:
                    store.write(event)
                events += added
            return await self._go_on(events, lease, context=context, returns=returns, is_sealed=is_over, hiding=hiding)
        finally:
            lease.release()

    def replay(self, run_id: str, *, context: Openable | None = None) -> Answer:
        """Run a recorded run again from its record alone, and return its answer.

        No model is asked, no tool is called and nothing is written. Hooks see the events of the record as the run
        comes to them, and a `CellDiffered` for a cell that prints otherwise than it did.

        Args:
            run_id: The run.
            context: The text, where the record has neither it nor its path; None to open it as the record says.

        Raises:
            StoreError: There is no such run, or it did not come to what the record has.
            RLMError: What the run ended with.
        """
        return run_blocking(lambda: self.areplay(run_id, context=context))

    async def areplay(self, run_id: str, *, context: Openable | None = None) -> Answer:
        """Run a recorded run again from its record; see `replay`."""
        recorded = await self._recorded().read(run_id)
        events, hiding = whole(recorded), self._hiding(table_of(recorded))
        return await self._go_on(events, None, run_id=run_id, context=context, is_sealed=True, hiding=hiding)

    def fork(
        self,
        run_id: str,
        *,
        at: int,
        code: str | None = None,
        limits: Limits | None = None,
        new_id: str | None = None,
    ) -> Answer:
        """Begin a new run that is a recorded one up to a turn, and wait for its answer.

        The models are those of this `RLM`. The new run has its own costs; what the other one paid is the other's.

        Args:
            run_id: The recorded run, which stays as it is.
            at: The turn of the root session from which on the new run is its own, from 1.
            code: Code that runs in this turn in place of the model's; None asks the model anew for this turn.
            limits: What the new run may use; None for the limits of the recorded one.
            new_id: The new run's name; None for one of its own.

        Raises:
            ConfigError: The run has no such turn.
            StoreError: There is no such run, or the record cannot be written.
            RLMError: As for `ask`.
        """
        return run_blocking(lambda: self.afork(run_id, at=at, code=code, limits=limits, new_id=new_id))

    async def afork(
        self,
        run_id: str,
        *,
        at: int,
        code: str | None = None,
        limits: Limits | None = None,
        new_id: str | None = None,
    ) -> Answer:
        """Begin a new run that is a recorded one up to a turn; see `fork`."""
        store = self._recorded()
        origin = whole(await store.read(run_id))
        hiding = self._hiding()
        recorded = begun(origin, run_id).settings
        settings: dict[str, object] = {**recorded, **self._made_with}
        if limits is not None:
            settings |= _limits_setting(limits)
        name = new_run_id() if new_id is None else checked_run_id(new_id)
        events = forked(origin, name, at=at, code=code, model=self.model.name, settings=settings)
        lease = store.hold(name)
        try:
            if await store.read(name):
                raise StoreError(f"there is a run {name} already; give another name")
            chain = AuditChain()
            for place, event in enumerate(events):
                kept = chain.linked(replace(event if hiding is None else hiding.hide(event), audit=""))
                events[place] = replace(event, audit=kept.audit)
                store.write(kept)
            return await self._go_on(events, lease, hiding=hiding)
        finally:
            lease.release()

    async def _answer(self, session: Session) -> Answer:
        """Run a session to its answer, and leave evidence where it fails and a folder for that was named."""
        try:
            async with session:
                return await session.run()
        except RLMError:
            await self._leave_evidence(session.scope.session_id)
            raise

    async def _leave_evidence(self, run_id: str) -> None:
        if self._evidence_dir is None or self._store is None:
            return
        events = tuple(await self._store.read(run_id))
        if events:
            await to_thread.run_sync(write_evidence, Run(events), self._evidence_dir / run_id)

    def _text_of(self, context: Openable | None) -> Context:
        if context is not None:
            return Context.of(context)
        if self._retriever is None:
            raise ConfigError(
                "a question is asked of a text; give a context, or an index: RLM(…, retriever='index:PATH')"
            )
        return Context.from_text(CONTEXT_OF_INDEX)

    def _recorded(self) -> Store:
        if self._store is None:
            raise ConfigError("there is no store; say where runs are recorded: RLM(…, store='runs.db') or record=True")
        return self._store

    def _settings(self, question: str | None, returns: Any, limits: Limits) -> dict[str, object]:
        """Return how a run is made, as its record has it."""
        schema = dict(AnswerType(returns).schema) if returns is not None and self._store is not None else None
        return {**self._made_with, "question": question, "returns": schema, **_limits_setting(limits)}

    def _check_has(self, settings: Mapping[str, Any]) -> None:
        """Check that this `RLM` has what a recorded run goes on with.

        Raises:
            ConfigError: It lacks something, which the message names.
        """
        mine = self._made_with
        for name in ("model", "sub_model", "fallback_model"):
            if settings.get(name) != mine[name]:
                raise ConfigError(f"the run goes on with {name}={settings.get(name)!r}, not {mine[name]!r}; give that")
        toolbox = Toolbox(self._tools)
        if settings.get("retriever") and self._retriever is None:
            raise ConfigError("the run has an index, which is not given; give it with retriever=")
        if settings.get("source_tools") and not toolbox.has_sources:
            raise ConfigError(
                "the run has tools of an MCP server, which is not given; give it with tools=[MCPTools(…)]"
            )
        has = {tool.repl_name for tool in toolbox.tools}
        lacking = sorted({str(name) for name in settings.get("tools", ())} - has)
        if lacking:
            raise ConfigError(f"the run has the tools {', '.join(lacking)}, which are not given; give them with tools=")
        for name, option in (("approves", "approve"), ("validators", "validate")):
            if settings.get(name) and not mine[name]:
                raise ConfigError(f"the run was begun with {option}=, which is not given; give it to go on")

    async def _go_on(
        self,
        events: Sequence[Event],
        lease: Lease | None,
        *,
        run_id: str = "",
        context: Openable | None = None,
        returns: Any = None,
        is_sealed: bool = False,
        hiding: HiddenValues | None = None,
    ) -> Answer:
        """Run a session over a record until its last question is answered."""
        started = begun(events, run_id)
        settings: Mapping[str, Any] = started.settings
        limits = limits_of(settings)
        options, tools = self._options, Toolbox(self._tools)
        if is_sealed:  # nothing is asked, so that there is nothing to limit, and tools are not called
            limits = replace(limits, cost_limit_usd=None, max_tokens=None, max_seconds=None)
            options, tools = replace(options, rules=(), approval=None), Toolbox(_stand_ins(settings))
        text = await to_thread.run_sync(_opened, context, started.context)
        run = RunContext(
            RecordedModel(str(settings["model"])) if is_sealed else self.model,
            RecordedModel(str(settings["sub_model"])) if is_sealed else self.sub_model,
            Budget(limits) if is_sealed else self._budget(limits),
            self._new_sandbox,
            Journal(
                None if is_sealed else self._store,
                self._readers((), () if is_sealed else events, is_replay=is_sealed),
                events,
                is_sealed=is_sealed,
                lease=lease,
                hiding=hiding,
            ),
            fallback=None if is_sealed else self.fallback_model,
            fallback_when=None if is_sealed else self._fallback_when,
            cache=self._cache,
            retries=self._retries,
            id=started.run_id,
            seed=int(settings.get("seed", 0)),
            guard=self._run_guard(text),
            tools=tools,
            retriever=_stand_in_of(settings) if is_sealed else self._retriever,
            streams=bool(self._stream_replies),
        )
        wanted = returns if returns is not None else settings.get("returns")
        asked = questions(events)
        first = asked[0].question if asked else settings.get("question")
        if not first:
            raise StoreError(f"the run {started.run_id} was asked nothing yet, so there is nothing to go on with")
        session = Session(run, text, question=first, returns=wanted, inputs=dict(started.inputs), options=options)
        answer = await _answer_again(session, asked[1:], settings)
        left = run.journal.past.unread() if is_sealed else []
        if left:
            raise StoreError(
                f"the replay did not come to {len(left)} events of the record, the first of them a {left[0].kind}"
            )
        return answer

    async def stream(
        self,
        question: str,
        context: Openable | None = None,
        *,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
    ) -> AsyncIterator[Event]:
        """Ask a question of a text and yield the run's events as they happen.

        The replies of sessions' models are streamed where the provider can, and their pieces are among the events
        (`ReplyDelta`). The last event of the root session is `SessionFinished` with the answer. Leaving the loop early
        cancels the run.

        Args:
            question: What is asked.
            context: The text; None where there is a retriever.
            returns: The type of `answer.value`; see `ask`.
            inputs: Further variables in the REPL, by name; see `ask`.
            limits: What this question may use, in place of the limits of the `RLM`.

        Raises:
            RLMError: After the last event, a limit was reached or something failed for good.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        def put(event: Event) -> None:
            if isinstance(event, SessionFinished) and not event.depth and session.answer is not None:
                event = replace(event, answer=session.answer)  # the user's own answer, in which nothing is hidden
            queue.put_nowait(event)

        session = self.session(
            context,
            question=question,
            returns=returns,
            inputs=inputs,
            limits=limits,
            hooks=[put],
            stream_replies=self._stream_replies is not False,
        )

        async def run() -> None:
            try:
                await self._answer(session)
            finally:
                queue.put_nowait(None)

        # A plain task and not a task group: an async generator may be closed from another task than its reader's.
        task = asyncio.create_task(run())
        try:
            while (event := await queue.get()) is not None:
                yield event
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def aclose(self) -> None:
        """Close the connections of the models that were given by name, and the store that was given by its path.

        What was given as an object is its owner's.
        """
        for model in self._own_models:
            if isinstance(model, _Closable):
                await model.aclose()
        closes = getattr(self._retriever, "aclose", None) if self._owns_retriever else None
        if closes is not None:
            await closes()
        close = getattr(self._store, "close", None) if self._owns_store else None
        if close is not None:
            await to_thread.run_sync(close)

    def close(self) -> None:
        """Close the connections of the models that were given by name; see `aclose`."""
        run_blocking(self.aclose)

    def _shown(self) -> dict[str, str]:
        """Return how it is set, by name: nothing that may have a key in it, such as an address."""
        shown = {"sub_model": self.sub_model, "fallback_model": self.fallback_model}
        models = {name: each.name for name, each in shown.items() if each is not None and each is not self.model}
        limit = self.limits.cost_limit_usd
        return {
            "model": self.model.name,
            **models,
            "sandbox": str(self._made_with["sandbox"] or "own"),
            "cost_limit_usd": "None" if limit is None else str(limit),
        }

    def __repr__(self) -> str:
        return f"RLM({', '.join(f'{name}={value}' for name, value in self._shown().items())})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return f"<strong>RLM</strong>{html_table(self._shown().items())}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _readers(
        self,
        hooks: Iterable[Hook | Callable[[Event], Awaitable[None]]],
        past: Sequence[Event] = (),
        *,
        is_replay: bool = False,
    ) -> tuple[Hook, ...]:
        """Return the readers of one run's journal: all hooks, and what makes its spans."""
        readers = readers_of((*self._hooks, *hooks), self._named_hooks, past)
        return readers if self._telemetry is None or is_replay else (self._telemetry.reader(), *readers)

    def _secrets(self) -> tuple[str, ...]:
        given = self._api_key
        keys = given.found if isinstance(given, KeySource) else (given,) if given else ()
        return (*keys, *secrets_of_environment(os.environ))

    def _hiding(self, known: Mapping[str, str] | None = None) -> HiddenValues | None:
        """Return what keeps secrets out of a record, with the placeholders that it has; None to keep all in it."""
        if self._records_secrets:
            return None
        return HiddenValues(self._guard.for_run(known_secrets=self._secrets()).secrets_in, known)

    def _run_guard(self, context: Context) -> RunGuard:
        run_guard = self._guard.for_run(context, known_secrets=self._secrets())
        run_guard.prepare()
        return run_guard

    def _budget(self, limits: Limits) -> Budget:
        """Return a run's ledger, having checked that its limits can be kept with these models."""
        budget = Budget(limits)
        for model in (self.model, self.sub_model, self.fallback_model):
            if model is not None:
                budget.admit(model)
        return budget


def _direct_below(chars: Any) -> int:
    if not isinstance(chars, int) or isinstance(chars, bool) or chars < 0:
        raise ConfigError(f"direct_below_chars is a whole number, 0 or more, not {chars!r}")
    return chars


def _history_tokens(most: Any) -> int | None:
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < _LEAST_HISTORY_TOKENS):
        raise ConfigError(f"max_history_tokens is a whole number of at least {_LEAST_HISTORY_TOKENS:,}, not {most!r}")
    return None if most is None else int(most)


def _invalid_limit(most: Any) -> int:
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise ConfigError(f"invalid_response_limit is a whole number of at least 1, not {most!r}")
    return most


def _fallback(code: Any) -> str | None:
    if code is not None and not (isinstance(code, str) and code.strip()):
        raise ConfigError(f"fallback_code is Python code, a text, not {code!r}")
    return code


def _telemetry(given: Telemetry | bool) -> Telemetry | None:
    if given is False:
        return None
    from rlmbox.telemetry import Telemetry

    return Telemetry() if given is True else given


def _giving_up_after(request_timeout_s: float, retries: RetryPolicy | None) -> RetryPolicy:
    """Return the policy with the time after which an attempt is given up."""
    if not request_timeout_s > 0:
        raise ConfigError(f"request_timeout_s (--request-timeout) is more than 0, not {request_timeout_s:g}")
    return replace(retries or RetryPolicy(), attempt_timeout_s=request_timeout_s)


def _check_windows(windows: Mapping[str, int], names: Sequence[str]) -> None:
    """Check that each window is that of a model which is used.

    Raises:
        ConfigError: It is not.
    """
    other = next((name for name in windows if name not in names), None)
    if other is not None:
        raise ConfigError(f"windows names {other!r}, which is none of the models given by name: {', '.join(names)}")


async def _answer_again(session: Session, others: Sequence[QuestionAsked], settings: Mapping[str, Any]) -> Answer:
    """Answer a session's first question and then the others that its record has."""
    async with session:
        for following in others:
            with suppress(LimitExceeded, AnswerRejected):  # it ended so, and the next one was asked all the same
                await session.run()
            own = None if dict(following.limits) == settings["limits"] else limits_of({"limits": following.limits})
            await session.begin(following.question, limits=own)
        return await session.run()


def _opened(context: Openable | None, recorded: Mapping[str, Any]) -> Context:
    return reopen_context(recorded) if context is None else Context.of(context)


def _limits_setting(limits: Limits) -> dict[str, object]:
    return {"limits": to_json(limits), "cost_limit_is_default": limits.cost_limit_is_default}


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """Return the limits that a record has.

    Args:
        settings: The settings of the run.
    """
    found = {name: value for name, value in settings["limits"].items() if name != "cell"}
    if settings.get("cost_limit_is_default"):
        found["cost_limit_usd"] = DEFAULT_COST_LIMIT_USD
    return Limits(**found, cell=CellLimits(**settings["limits"]["cell"]))


def _stand_ins(settings: Mapping[str, Any]) -> tuple[Tool, ...]:
    """Return functions in the places of a run's tools, whose answers the record has."""

    def stand_in(*arguments: object, **keywords: object) -> object:
        """Answer from the record."""
        raise StoreError(f"the record has no answer to {(arguments, keywords)}")

    names = (*settings.get("tools", ()), *settings.get("source_tools", ()))
    return tuple(Tool(stand_in, name=str(name)) for name in names)


def _recorded_retriever(retriever: Retriever | None) -> dict[str, object] | None:
    """Return what a record has of an index, which is what decides on the functions of the REPL."""
    if retriever is None:
        return None
    embedder = retriever.embedder if has_vectors(retriever) else None
    return {"name": retriever.name, "embedder": embedder.name if embedder is not None else None}


def _stand_in_of(settings: Mapping[str, Any]) -> RecordedRetriever | None:
    recorded = settings.get("retriever")
    if not recorded:
        return None
    embedder = recorded.get("embedder")
    return RecordedRetriever(str(recorded["name"]), RecordedEmbedder(str(embedder)) if embedder else None)


def checked_run_id(run_id: str) -> str:
    """Return a run's name, having checked that it can be one.

    Args:
        run_id: The name.

    Raises:
        ConfigError: It cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", run_id):
        raise ConfigError(f"a run's name has letters, digits, '.', '_' and '-', at most 100 of them, not {run_id!r}")
    return run_id
