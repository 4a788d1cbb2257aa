"""`RLM`: a model, a sandbox and limits, ready to be asked.

What does the work is imported when an `RLM` is made, and not with its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from rlmbox.budget.limits import Limits
    from rlmbox.context.context import Openable
    from rlmbox.events import (
        CellExecuted,
        CellStarted,
        Event,
        Hook,
        ModelRequested,
        SessionStarted,
        SubcallStarted,
        TurnFinished,
    )
    from rlmbox.guard import Guard, Policy
    from rlmbox.hooks import CostUpdate
    from rlmbox.loop.approval import Approval, Approve
    from rlmbox.loop.compaction import Compaction
    from rlmbox.loop.profiles import Profile
    from rlmbox.loop.rules import Validator
    from rlmbox.loop.session import Session
    from rlmbox.loop.toolbox import Given
    from rlmbox.models.base import Model, PriceSource
    from rlmbox.models.keys import KeySource
    from rlmbox.models.prices import FlatPrice
    from rlmbox.record.journal import Store
    from rlmbox.requests.client import FallbackWhen
    from rlmbox.requests.retries import RetryPolicy
    from rlmbox.retrieval.base import Retriever
    from rlmbox.sandboxes.base import Sandbox
    from rlmbox.telemetry import Telemetry
    from rlmbox.types import Answer


class RLM:
    """A Recursive Language Model.

    An instance can be shared between threads and event loops. Each question is a separate run, with its own sandbox
    and its own ledger. Use it as a context manager, or call `close()`, to close its connections.

    Args:
        model: The root model: its name, such as `anthropic:claude-sonnet-5-5`, or an object. None is
            `offline:extractive`, which needs no network and only quotes sentences from the text.
        sub_model: The model for sub-calls and child sessions; defaults to the root model.
        fallback_model: The model to use when another one is unavailable. Default: none.
        fallback_when: A function that takes a reply (a `Completion`) and returns True if the fallback model should be
            asked as well.
        base_url: Address of a server that speaks the provider's protocol, for models given by name.
        api_key: The key for models given by name. None reads the provider's environment variable; a
            `rlmbox.models.keys.KeySource` is asked if that variable is not set.
        sandbox: The name of a sandbox, or a function that creates one for each session. `auto` picks the strongest
            one that passes its self-check on this machine; `docker:IMAGE` runs `docker` with your own image.
        packages: Installed packages that code may import, such as `pandas`, along with their dependencies.
        type_check: Check the names and arguments in a cell before running it, where the sandbox can: `monty`.
        limits: Limits on what a run may use.
        retries: When to resend a request that failed; None for the default policy.
        cache: Cache replies to sub-calls, so that repeating one in a later run is free: True uses the user's cache
            folder, a path uses that folder. Off by default.
        prices: Prices that take precedence over the catalogue's: a file (TOML or JSON, see the docs), a mapping from
            full names to prices, or a function from a full name to a price or None, called before each request.
        windows: Context windows in tokens (request plus reply) for models given by name: one number for all of them,
            or numbers by full name. None uses the known window of each model.
        request_timeout_s: Seconds without receiving a byte after which an attempt is abandoned. None starts at 120
            and adapts to how long the model's replies take.
        stream_replies: Emit the text of each session's model as it arrives, as `ReplyDelta` events; None does so only
            in `stream`. Providers that cannot stream return their replies in one piece.
        hooks: Called with the events of every run, in order. Sync hooks are called on the run's event loop; async
            hooks are awaited concurrently with the run.
        on_session_start: Called when a session's sandbox is ready; sync or async, like all the hooks below.
        on_llm_call: Called before a model is asked, by a session or by its code.
        on_code_exec: Called before a cell runs.
        on_observation: Called after a cell has run.
        on_cost_update: Called with a `CostUpdate`, which has the run's totals, after a request was charged.
        on_step_end: Called at the end of each turn.
        telemetry: OpenTelemetry spans and metrics for every run: True uses the program's OpenTelemetry configuration,
            a `Telemetry` configures more. Requires the extra `rlmbox[otel]`.
        store: Where runs are recorded: the path of a file, or a store; see the docs on the record. None records
            nothing, unless `record` is set.
        record: Record runs in the user's default file if `store` is not given.
        evidence_dir: Folder in which each failed run leaves a subfolder, named after the run, with diagnostics.
        seed: Seed for the sandboxes' `random` module and hash order.
        strict: Accept only `FINAL("literal")` and `FINAL_VAR(identifier)` as final tags.
        auto_finalize_var: Name of a variable that ends a session as soon as code has set it.
        tools: Functions that code may call, plain or wrapped in `Tool`, and `MCPTools`.
        retriever: An index that code may search: an object, or an address such as `index:./corpus.idx` or
            `postgresql://…`. With a retriever, a question needs no context.
        instructions: Additional instructions for the models of the root and child sessions: one text for all, or
            `{"root": …, "children": …}`.
        prompts: Replacements for parts of the prompt, by the part's name, or a TOML file with them.
        approve: Called with a `Proposal` before code runs; returns True, False, a reason to reject it, or
            `Replace(code)`. Sync or async. An `Approval` also sets when it is called. None lets everything run.
        validate: One or more checks of the answer. Each takes the answer (`text`, `value`) and returns None, or what
            is wrong with it, which is sent back to the model. Sync or async. A check with a second parameter receives
            `ask`, a function that asks a model within the run's limits.
        require_repl_before_final: Accept no answer before code has run.
        require_subcall_before_final: Accept no answer before another model has been asked.
        require_seen_figures: Send an answer back, once, if it has a figure that no cell has printed.
        invalid_response_limit: Number of consecutive replies with neither code nor an answer, or of identical cells
            with the same result, that ends a question with `Stalled`.
        fallback_code: Code that runs, once, instead of ending a question with `Stalled`; None for none.
        profile: A strategy, which sets the prompts, limits and rules that you do not set: `deterministic-first`,
            `semantic-batches`, `hybrid`, `verify`, or the path of your own TOML file.
        direct_below_chars: A shorter text is sent with the question and answered in one request, without a sandbox,
            unless the model replies with code; None for 8,000, 0 for never. This never applies to sessions with tools
            or inputs, or to those that must use code or another model.
        max_history_tokens: Maximum tokens in a session's conversation; beyond it, the middle is replaced by a digest.
            None for 60 % of the model's window.
        compaction: How the digest is written: `digest` without a model, `model` by the session's own model, or a
            function that takes a `LeftOut` and returns the text; sync or async.
        guard: What may leave the sandbox for a model: `redact` hides secrets and personal data and limits how much of
            the text is copied, `strict` hides more, `off` nothing; or a `Guard`. Hidden values are restored in answers.
        record_secrets: Keep secrets and personal data in records and show them to hooks. By default both see
            placeholders, and only the record's own file has the values, so that a run can be resumed.

    Raises:
        ConfigError: A name, a key or a limit is missing or wrong.
        PriceUnknown: A cost limit is set but the price of a model is not known.
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
        type_check: bool = False,
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
        from rlmbox.hooks import NamedHooks
        from rlmbox.rlm.chosen_models import chosen_models
        from rlmbox.rlm.chosen_options import chosen_options
        from rlmbox.rlm.setup import Requests, Setup

        models = chosen_models(
            model,
            sub_model,
            fallback_model,
            base_url=base_url,
            api_key=api_key,
            prices=prices,
            windows=windows,
        )
        limits, options, recorded = chosen_options(
            limits,
            profile=profile,
            prompts=prompts,
            instructions=instructions,
            strict=strict,
            auto_finalize_var=auto_finalize_var,
            approve=approve,
            validate=validate,
            require_repl_before_final=require_repl_before_final,
            require_subcall_before_final=require_subcall_before_final,
            require_seen_figures=require_seen_figures,
            invalid_response_limit=invalid_response_limit,
            fallback_code=fallback_code,
            direct_below_chars=direct_below_chars,
            max_history_tokens=max_history_tokens,
            compaction=compaction,
        )
        requests = Requests.of(
            retries=retries,
            request_timeout_s=request_timeout_s,
            cache=cache,
            fallback_when=fallback_when,
            stream_replies=stream_replies,
        )
        self._setup = Setup(
            models,
            limits,
            options,
            requests,
            recorded,
            sandbox=sandbox,
            packages=packages,
            type_check=type_check,
            hooks=hooks,
            named_hooks=NamedHooks(
                on_session_start, on_llm_call, on_code_exec, on_observation, on_cost_update, on_step_end
            ),
            telemetry=telemetry,
            store=store,
            record=record,
            evidence_dir=evidence_dir,
            seed=seed,
            tools=tools,
            retriever=retriever,
            api_key=api_key,
            guard=guard,
            record_secrets=record_secrets,
        )

    @property
    def model(self) -> Model:
        """The model of sessions."""
        return self._setup.models.root

    @property
    def sub_model(self) -> Model:
        """The model of sub-calls and children."""
        return self._setup.models.sub

    @property
    def fallback_model(self) -> Model | None:
        """The model that is used when another one is unavailable, or None."""
        return self._setup.models.fallback

    @property
    def limits(self) -> Limits:
        """The limits of a run."""
        return self._setup.limits

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
        """Ask a question about a text and wait for the answer.

        Args:
            question: The question.
            context: The text; optional if there is a retriever. A `dict` or `list` is also the variable `data` in the
                REPL.
            returns: The type of `answer.value`: a pydantic model, a dataclass, a TypedDict, `list[int]` and the like,
                or a JSON Schema; None for any type.
            inputs: Additional variables in the REPL, by name: JSON values; texts of any length, as a `str`, the `Path`
                of a file or a `Context`; and, with `packages=["pandas"]`, a `pandas.DataFrame` or `Series`.
            limits: Limits for this question, in place of those of the `RLM`.
            run_id: A name for the run, used to find it in the record; generated by default.

        Raises:
            RLMError: A limit was reached or something failed permanently; `.partial` has the results so far.
            KeyboardInterrupt: The run was interrupted; `.partial` has the results so far, if it had begun.
        """
        from rlmbox.sync import run_blocking

        session = self.session(context, question=question, returns=returns, inputs=inputs, limits=limits, run_id=run_id)
        return run_blocking(lambda: self._setup.answer(session))

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
        """Ask a question about a text; see `ask`.

        What takes long to read is read in a thread, so do not change it until the answer is there.
        """

        def make() -> Session:
            return self.session(
                context, question=question, returns=returns, inputs=inputs, limits=limits, run_id=run_id
            )

        return await self._setup.answer(await self._setup.made(make, context, inputs))

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
        """Return a session over a text, which can be asked any number of questions or run step by step.

        Open it with `async with rlm.session(...) as session: await session.ask(...)`, or with `with` and without
        `await` in synchronous code. What it is given is read at once; where that is much, and no `Context`, do it in a
        thread: `await asyncio.to_thread(rlm.session, documents)`.

        Args:
            context: The text; optional if there is a retriever.
            question: The first question, for `session.step()` and `session.run()`.
            returns: The type of the first question's answer; see `ask`.
            inputs: Additional variables in the REPL, by name; see `ask`.
            limits: Limits for the session, in place of those of the `RLM`.
            hooks: Additional hooks for this run.
            run_id: A name for the run, used to find it in the record; generated by default.
            stream_replies: Emit replies to hooks as they arrive; None for the setting of the `RLM`.

        Raises:
            ConfigError: The question is empty, the name is invalid, or a limit cannot be enforced with these models.
            ContextError: The text cannot be opened.
        """
        return self._setup.new_session(
            context,
            question=question,
            returns=returns,
            inputs=inputs,
            limits=limits,
            hooks=hooks,
            run_id=run_id,
            stream_replies=stream_replies,
        )

    def stubs(self) -> str:
        """Return the names in the REPL as a stub file (`.pyi`), for editors and type checkers.

        Tools of an MCP server are only known once a session has begun; `Session.stubs` includes them.

        Raises:
            ConfigError: The name of a tool is already taken.
        """
        return self.session(" ").stubs()

    def resume(
        self,
        run_id: str,
        *,
        context: Openable | None = None,
        inputs: Mapping[str, object] | None = None,
        returns: Any = None,
        limits: Limits | None = None,
    ) -> Answer:
        """Resume a recorded run whose process ended early, and wait for the answer.

        Nothing is paid for twice. A run that already has an answer returns it. A run that ended at a limit continues if
        `limits` sets a wider one, and otherwise ends there again.

        Args:
            run_id: The run.
            context: The new location of a text that was moved, as one or several `Path`s, or the text itself if the
                record has neither the text nor its path. It must be unchanged. None opens it as recorded.
            inputs: The same for inputs that are texts, by name.
            returns: The type of `answer.value`; None for the recorded one.
            limits: Limits for the run as a whole; None for the recorded ones, whatever the limits of this `RLM` are.

        Raises:
            ConfigError: The run needs a model or a function that this `RLM` lacks, or has already exceeded the limits;
                or `limits` change nothing, because the run has its answer or ended at something else.
            ContextError: The text has changed, is missing, or is not the recorded one.
            StoreError: There is no such run, another process is running it, or it cannot be resumed.
            RLMError: As for `ask`.
        """
        from rlmbox.sync import run_blocking

        return run_blocking(
            lambda: self.aresume(run_id, context=context, inputs=inputs, returns=returns, limits=limits)
        )

    async def aresume(
        self,
        run_id: str,
        *,
        context: Openable | None = None,
        inputs: Mapping[str, object] | None = None,
        returns: Any = None,
        limits: Limits | None = None,
    ) -> Answer:
        """Resume a recorded run; see `resume`."""
        from rlmbox.rlm import recorded_runs

        return await recorded_runs.resume(
            self._setup, run_id, context=context, inputs=inputs, returns=returns, limits=limits
        )

    def replay(
        self, run_id: str, *, context: Openable | None = None, inputs: Mapping[str, object] | None = None
    ) -> Answer:
        """Replay a run from its record alone, and return its answer.

        No model is asked, no tool is called and nothing is written. Hooks receive the recorded events as the replay
        reaches them, and a `CellDiffered` for each cell that prints something else than it did.

        Args:
            run_id: The run.
            context: As for `resume`.
            inputs: As for `resume`.

        Raises:
            ContextError: As for `resume`.
            StoreError: There is no such run, or the replay diverged from the record.
            RLMError: The error that the run ended with.
        """
        from rlmbox.sync import run_blocking

        return run_blocking(lambda: self.areplay(run_id, context=context, inputs=inputs))

    async def areplay(
        self, run_id: str, *, context: Openable | None = None, inputs: Mapping[str, object] | None = None
    ) -> Answer:
        """Replay a run from its record; see `replay`."""
        from rlmbox.rlm import recorded_runs

        return await recorded_runs.replay(self._setup, run_id, context=context, inputs=inputs)

    def fork(
        self,
        run_id: str,
        *,
        at: int,
        code: str | None = None,
        limits: Limits | None = None,
        new_id: str | None = None,
        context: Openable | None = None,
        inputs: Mapping[str, object] | None = None,
    ) -> Answer:
        """Fork a recorded run at a turn, and wait for the answer of the new run.

        The new run uses the models of this `RLM`. Its costs do not include those of the recorded run.

        Args:
            run_id: The recorded run, which is not changed.
            at: The turn of the root session, from 1, at which the new run departs from the recorded one.
            code: Code to run in this turn in place of the model's; None asks the model again.
            limits: Limits for the new run; None for those of the recorded run.
            new_id: A name for the new run; generated by default.
            context: As for `resume`.
            inputs: As for `resume`.

        Raises:
            ConfigError: The run has no such turn.
            ContextError: As for `resume`.
            StoreError: There is no such run, or the record cannot be written.
            RLMError: As for `ask`.
        """
        from rlmbox.sync import run_blocking

        return run_blocking(
            lambda: self.afork(run_id, at=at, code=code, limits=limits, new_id=new_id, context=context, inputs=inputs)
        )

    async def afork(
        self,
        run_id: str,
        *,
        at: int,
        code: str | None = None,
        limits: Limits | None = None,
        new_id: str | None = None,
        context: Openable | None = None,
        inputs: Mapping[str, object] | None = None,
    ) -> Answer:
        """Fork a recorded run at a turn; see `fork`."""
        from rlmbox.rlm import recorded_runs

        return await recorded_runs.fork(
            self._setup, run_id, at=at, code=code, limits=limits, new_id=new_id, context=context, inputs=inputs
        )

    async def stream(
        self,
        question: str,
        context: Openable | None = None,
        *,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
    ) -> AsyncIterator[Event]:
        """Ask a question about a text and yield the run's events as they happen.

        Replies of the sessions' models are streamed if the provider supports it, as `ReplyDelta` events. The last event
        of the root session is `SessionFinished`, which has the answer. Leaving the loop early cancels the run.

        Args:
            question: The question.
            context: The text; optional if there is a retriever.
            returns: The type of `answer.value`; see `ask`.
            inputs: Additional variables in the REPL, by name; see `ask`.
            limits: Limits for this question, in place of those of the `RLM`.

        Raises:
            RLMError: After the last event: a limit was reached or something failed permanently.
        """
        from rlmbox.rlm.streaming import events_of

        async def begin(reader: Hook) -> Session:
            def make() -> Session:
                return self.session(
                    context,
                    question=question,
                    returns=returns,
                    inputs=inputs,
                    limits=limits,
                    hooks=[reader],
                    stream_replies=self._setup.requests.stream_replies is not False,
                )

            return await self._setup.made(make, context, inputs)

        events = events_of(begin, self._setup.answer)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def aclose(self) -> None:
        """Close the connections of models given by name, and the store if it was given by its path.

        Objects that were passed in are left open; closing them is up to the caller.
        """
        await self._setup.aclose()

    def close(self) -> None:
        """Close connections; see `aclose`."""
        from rlmbox.sync import run_blocking

        run_blocking(self.aclose)

    def __repr__(self) -> str:
        return f"RLM({', '.join(f'{name}={value}' for name, value in self._setup.shown().items())})"

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        from rlmbox.types import html_table

        return f"<strong>RLM</strong>{html_table(self._setup.shown().items())}"

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
