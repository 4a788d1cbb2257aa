"""The facade: a model, a sandbox and limits, ready to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.config import OFFLINE_MODEL, model_from
from rlmbox.context import Context
from rlmbox.errors import ConfigError
from rlmbox.events import Event, Hook
from rlmbox.loop.answers import AnswerRule
from rlmbox.loop.approval import Approval, Approve
from rlmbox.loop.prompts import check_parts
from rlmbox.loop.rules import Validator, require_repl, require_subcall, validated_by
from rlmbox.loop.scope import RunContext
from rlmbox.loop.session import Session, SessionOptions, check_question
from rlmbox.loop.tools import Tool, host_functions
from rlmbox.models.base import Model
from rlmbox.models.prices import load_overrides
from rlmbox.record.journal import Journal, Store
from rlmbox.requests.cache import ReplyCache
from rlmbox.requests.retries import RetryPolicy
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.sync import run_blocking
from rlmbox.types import Answer

Openable = Context | str | bytes | Path | Sequence[object] | Mapping[str, object]
"""What a question can be asked of; anything but a `Context` is made into one with `Context.of`."""


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


class RLM:
    """A Recursive Language Model.

    An object may be used from several threads and event loops at once; each question is a run of its own, with its
    own sandbox and its own ledger. Use it as a context manager, or call `close()`, to close its connections.

    Args:
        model: The root model: its name, such as `anthropic:claude-sonnet-4-5`, or an object. None is
            `offline:extractive`, which needs no network and only picks sentences.
        sub_model: The model of sub-calls and children; None is the root model.
        fallback_model: The model that is asked where another is not available; None for none.
        base_url: Address of a server that speaks the provider's protocol, for models given by name.
        api_key: The key for models given by name; None takes it from the provider's environment variable.
        sandbox: The sandbox's name, or what makes one for each session. `auto` is the strongest that shows, on this
            machine, that it holds.
        packages: Installed packages that code may import, such as `pandas`, with what they need.
        limits: What a run may use.
        retries: When a request that failed is sent again; None for the usual.
        cache: Keep the replies to sub-calls, so that the same one costs nothing in a later run: True keeps them in the
            user's cache folder, a path in that folder. Off by default.
        prices: File of prices that take precedence over the catalogue's (TOML or JSON, see the docs).
        hooks: Readers of every run's events. They are called on the run's event loop, in the order of the events.
        store: Where the events of runs are kept; None keeps none.
        seed: Seed of the sandboxes' `random` and hash order.
        strict: Take only `FINAL("literal")` and `FINAL_VAR(identifier)` as final tags.
        auto_finalize_var: Name of a variable that ends a session as soon as code has set it.
        tools: Functions of yours that code may call, as they are or as `Tool`.
        instructions: What the models of the root and of children are told besides.
        prompts: Texts in place of parts of the prompt, by the part's name.
        approve: Decides on code before it runs: takes a `Proposal`, returns True, False, a reason to reject it, or
            `Replace(code)`; plain or async. An `Approval` says when it is asked, too. None lets everything run.
        validate: Your own check of an answer, or several: takes the answer (`text`, `value`), returns None or what is
            wrong with it, which goes back to the model; plain or async.
        require_repl_before_final: Take no answer before code has run.
        require_subcall_before_final: Take no answer before another model was asked.
        invalid_response_limit: Replies in a row with neither code nor an answer, and equal failing cells, that end a
            question with `Stalled`.
        fallback_code: Code that runs once in place of that; None for none.

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
        base_url: str | None = None,
        api_key: str | None = None,
        sandbox: str | Callable[[], Sandbox] = "auto",
        packages: Sequence[str] = (),
        limits: Limits | None = None,
        retries: RetryPolicy | None = None,
        cache: bool | str | Path = False,
        prices: str | Path | None = None,
        hooks: Iterable[Hook] = (),
        store: Store | None = None,
        seed: int = 0,
        strict: bool = False,
        auto_finalize_var: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        instructions: str = "",
        prompts: Mapping[str, str] | None = None,
        approve: Approve | Approval | None = None,
        validate: Validator | Iterable[Validator] = (),
        require_repl_before_final: bool = False,
        require_subcall_before_final: bool = False,
        invalid_response_limit: int = 4,
        fallback_code: str | None = None,
    ) -> None:
        for name, given in (("base_url", base_url), ("api_key", api_key)):
            if given is not None and model is None:
                raise ConfigError(f"{name} needs the name of the model to ask, such as model='openai:NAME'")
        overrides = load_overrides(prices) if prices is not None else {}
        self._own_models: list[Model] = []

        def made(named: Model | str) -> Model:
            if isinstance(named, str):
                named = model_from(named, base_url=base_url, api_key=api_key, prices=overrides)
                self._own_models.append(named)
            elif not hasattr(named, "complete"):
                raise ConfigError(f"a model is a name such as 'openai:gpt-5' or a Model, not {type(named).__name__}")
            return named

        self.limits = limits or Limits()
        self.model = made(OFFLINE_MODEL if model is None else model)
        self.sub_model = self.model if sub_model is None else made(sub_model)
        self.fallback_model = None if fallback_model is None else made(fallback_model)
        self._retries = retries
        self._cache = ReplyCache(None if cache is True else cache) if cache else None
        if packages and not isinstance(sandbox, str):
            raise ConfigError("packages go with a sandbox's name; what makes sandboxes is given them where it is made")
        self._new_sandbox = sandbox_from(sandbox, packages=packages) if isinstance(sandbox, str) else sandbox
        self._hooks, self._store, self._seed = tuple(hooks), store, seed
        rules: list[AnswerRule] = []
        rules += [require_repl] * require_repl_before_final
        rules += [require_subcall] * require_subcall_before_final
        rules += [validated_by(check) for check in ((validate,) if callable(validate) else validate)]
        self._options = SessionOptions(
            strict=strict,
            auto_finalize_var=auto_finalize_var,
            tools=tuple(tools),
            approval=approve if isinstance(approve, Approval) or approve is None else Approval(approve),
            rules=tuple(rules),
            instructions=instructions,
            prompts=dict(prompts or {}),
            most_repeats=invalid_response_limit,
            fallback_code=fallback_code,
        )
        host_functions(self._options.tools, depth=0)  # what is wrong with a tool is said here
        check_parts(self._options.prompts)
        self._budget(self.limits)

    def ask(
        self,
        question: str,
        context: Openable,
        *,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
    ) -> Answer:
        """Ask a question of a text and wait for the answer.

        Args:
            question: What is asked.
            context: The text. A `dict` or `list` is the variable `data` in the REPL, too.
            returns: The type of `answer.value`: a pydantic model, a dataclass, a TypedDict, `list[int]` and the like,
                or a JSON Schema; None for any.
            inputs: Further variables in the REPL, by name: values that are JSON, strings included.
            limits: What this question may use, in place of the limits of the `RLM`.

        Raises:
            RLMError: A limit was reached or something failed for good; `.partial` has what there was until then.
            KeyboardInterrupt: Somebody interrupted it; `.partial` has what there was, where anything had begun.
        """
        session = self.session(context, question=question, returns=returns, inputs=inputs, limits=limits)
        try:
            return run_blocking(lambda: _answer(session))
        except KeyboardInterrupt as interrupt:
            error = session.task.error if session.task is not None else None
            interrupt.partial = getattr(error, "partial", None)  # type: ignore[attr-defined]
            raise

    async def aask(
        self,
        question: str,
        context: Openable,
        *,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
    ) -> Answer:
        """Ask a question of a text; see `ask`."""
        return await _answer(self.session(context, question=question, returns=returns, inputs=inputs, limits=limits))

    def session(
        self,
        context: Openable,
        *,
        question: str | None = None,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
        hooks: Iterable[Hook] = (),
    ) -> Session:
        """Return a session over a text, to be asked any number of questions or taken step by step.

        It is opened with `async with rlm.session(...) as session: await session.ask(...)`, or with `with` and without
        `await` from blocking code.

        Args:
            context: The text.
            question: The first question, for `session.step()` and `session.run()`.
            returns: The type of the first question's answer; see `ask`.
            inputs: Further variables in the REPL, by name; see `ask`.
            limits: What the session may use, in place of the limits of the `RLM`.
            hooks: Readers of this run's events, besides those of all runs.

        Raises:
            ConfigError: The question is empty, or a limit cannot be kept with these models.
            ContextError: The text cannot be opened.
        """
        if question is not None:
            check_question(question)
        run = RunContext(
            self.model,
            self.sub_model,
            self._budget(limits or self.limits),
            self._new_sandbox,
            Journal(self._store, (*self._hooks, *hooks)),
            fallback=self.fallback_model,
            cache=self._cache,
            retries=self._retries,
            seed=self._seed,
        )
        return Session(
            run,
            Context.of(context),
            question=question,
            returns=returns,
            inputs=dict(inputs or {}),
            options=self._options,
        )

    async def stream(
        self,
        question: str,
        context: Openable,
        *,
        returns: Any = None,
        inputs: Mapping[str, object] | None = None,
        limits: Limits | None = None,
    ) -> AsyncIterator[Event]:
        """Ask a question of a text and yield the run's events as they happen.

        The last event of the root session is `SessionFinished` with the answer. Leaving the loop early cancels
        the run.

        Args:
            question: What is asked.
            context: The text.
            returns: The type of `answer.value`; see `ask`.
            inputs: Further variables in the REPL, by name; see `ask`.
            limits: What this question may use, in place of the limits of the `RLM`.

        Raises:
            RLMError: After the last event, a limit was reached or something failed for good.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        async def run() -> None:
            try:
                hooks = [queue.put_nowait]
                await _answer(
                    self.session(context, question=question, returns=returns, inputs=inputs, limits=limits, hooks=hooks)
                )
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
        """Close the connections of the models that were given by name; models given as objects are their owner's."""
        for model in self._own_models:
            if isinstance(model, _Closable):
                await model.aclose()

    def close(self) -> None:
        """Close the connections of the models that were given by name; see `aclose`."""
        run_blocking(self.aclose)

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

    def _budget(self, limits: Limits) -> Budget:
        """Return a run's ledger, having checked that its limits can be kept with these models."""
        budget = Budget(limits)
        for model in (self.model, self.sub_model, self.fallback_model):
            if model is not None:
                budget.admit(model)
        return budget


async def _answer(session: Session) -> Answer:
    async with session:
        return await session.run()
