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
        type_check: Check the names and arguments of a cell before it runs, where the sandbox can: `monty`.
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
        """The model that is asked where another is not available, or None."""
        return self._setup.models.fallback

    @property
    def limits(self) -> Limits:
        """Limits of a run."""
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
        """Ask a question of a text and wait for the answer.

        Args:
            question: What is asked.
            context: The text; None where there is a retriever. A `dict` or `list` is the variable `data` in the
                REPL, too.
            returns: The type of `answer.value`: a pydantic model, a dataclass, a TypedDict, `list[int]` and the like,
                or a JSON Schema; None for any.
            inputs: Further variables in the REPL, by name: values that are JSON; texts of any length, as a `str`, the
                `Path` of a file or a `Context`; and with `packages=["pandas"]` a `pandas.DataFrame` or `Series`.
            limits: What this question may use, in place of the limits of the `RLM`.
            run_id: The run's name, by which a recorded one is found again; None for one of its own.

        Raises:
            RLMError: A limit was reached or something failed for good; `.partial` has what there was until then.
            KeyboardInterrupt: Somebody interrupted it; `.partial` has what there was, where anything had begun.
        """
        from rlmbox.sync import run_blocking

        session = self.session(context, question=question, returns=returns, inputs=inputs, limits=limits, run_id=run_id)
        try:
            return run_blocking(lambda: self._setup.answer(session))
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
        return await self._setup.answer(
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
        """Return what is in the REPL as the text of a stub file (`.pyi`), for editors and type checkers.

        Tools of an MCP server are known once a session has begun; `Session.stubs` has them too.

        Raises:
            ConfigError: A tool has a name that something else has.
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
        """Go on with a recorded run whose process ended early, and wait for the answer.

        Nothing that was paid for is asked again. A run that has its answer gives it again.

        Args:
            run_id: The run.
            context: Where the text is now, a `Path` or several, where it was moved; or the text, where the record has
                neither it nor its path. It has to be the same. None to open it as the record says.
            inputs: The inputs that are texts of which the same is true, by name.
            returns: The type of `answer.value`; None for what the record has of it.
            limits: What the run may use from now on, in all; None for what the record has of it, whatever the limits of
                this `RLM` are.

        Raises:
            ConfigError: The run needs a model or a function that this `RLM` has not, or has used more than the limits.
            ContextError: The text has changed since, is not there any more, or is another one.
            StoreError: There is no such run, it is at work elsewhere, or it cannot go on.
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
        """Go on with a recorded run; see `resume`."""
        from rlmbox.rlm import recorded_runs

        return await recorded_runs.resume(
            self._setup, run_id, context=context, inputs=inputs, returns=returns, limits=limits
        )

    def replay(
        self, run_id: str, *, context: Openable | None = None, inputs: Mapping[str, object] | None = None
    ) -> Answer:
        """Run a recorded run again from its record alone, and return its answer.

        No model is asked, no tool is called and nothing is written. Hooks see the events of the record as the run
        comes to them, and a `CellDiffered` for a cell that prints otherwise than it did.

        Args:
            run_id: The run.
            context: As for `resume`.
            inputs: As for `resume`.
            inputs: As for `resume`.

        Raises:
            ContextError: As for `resume`.
            StoreError: There is no such run, or it did not come to what the record has.
            RLMError: What the run ended with.
        """
        from rlmbox.sync import run_blocking

        return run_blocking(lambda: self.areplay(run_id, context=context, inputs=inputs))

    async def areplay(
        self, run_id: str, *, context: Openable | None = None, inputs: Mapping[str, object] | None = None
    ) -> Answer:
        """Run a recorded run again from its record; see `replay`."""
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
        """Begin a new run that is a recorded one up to a turn, and wait for its answer.

        The models are those of this `RLM`. The new run has its own costs; what the other one paid is the other's.

        Args:
            run_id: The recorded run, which stays as it is.
            at: The turn of the root session from which on the new run is its own, from 1.
            code: Code that runs in this turn in place of the model's; None asks the model anew for this turn.
            limits: What the new run may use; None for the limits of the recorded one.
            new_id: The new run's name; None for one of its own.
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
        """Begin a new run that is a recorded one up to a turn; see `fork`."""
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
        from rlmbox.rlm.streaming import events_of

        def begin(reader: Hook) -> Session:
            return self.session(
                context,
                question=question,
                returns=returns,
                inputs=inputs,
                limits=limits,
                hooks=[reader],
                stream_replies=self._setup.requests.stream_replies is not False,
            )

        events = events_of(begin, self._setup.answer)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def aclose(self) -> None:
        """Close the connections of the models that were given by name, and the store that was given by its path.

        What was given as an object is its owner's.
        """
        await self._setup.aclose()

    def close(self) -> None:
        """Close the connections of the models that were given by name; see `aclose`."""
        from rlmbox.sync import run_blocking

        run_blocking(self.aclose)

    def __repr__(self) -> str:
        return f"RLM({', '.join(f'{name}={value}' for name, value in self._setup.shown().items())})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
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
