"""The facade: a model, a sandbox and limits, ready to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rlmbox.budget.budget import Budget, Limits
from rlmbox.config import OFFLINE_MODEL, model_from, sandbox_from
from rlmbox.context import Context
from rlmbox.errors import ConfigError
from rlmbox.events import Event, Hook
from rlmbox.loop.scope import Run
from rlmbox.loop.session import Session
from rlmbox.models.base import Model
from rlmbox.models.prices import FlatPrice, load_overrides
from rlmbox.requests.cache import ReplyCache
from rlmbox.requests.retries import RetryPolicy
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sync import run_blocking
from rlmbox.types import Answer

Openable = Context | str | bytes | Path | Sequence[object] | Mapping[str, object]
"""What a question can be asked of; anything but a `Context` is made into one with `Context.of`."""


class RLM:
    """A Recursive Language Model.

    Args:
        model: The root model: its name, such as `anthropic:claude-sonnet-4-5`, or an object. None is
            `offline:extractive`, which needs no network and only picks sentences.
        sub_model: The model of sub-calls and children; None is the root model.
        fallback_model: The model that is asked where another is not available; None for none.
        base_url: Address of a server that speaks the provider's protocol, for models given by name.
        sandbox: The sandbox's name, or what makes one for each session.
        limits: What a run may use.
        retries: When a request that failed is sent again; None for the usual.
        cache: Keep the replies to sub-calls, so that the same one costs nothing in a later run: True keeps them in the
            user's cache folder, a path in that folder. Off by default.
        prices: File of prices that take precedence over the catalogue's (TOML or JSON, see the docs).
        hooks: Readers of every run's events.
        strict: Take only `FINAL("literal")` and `FINAL_VAR(identifier)` as final tags.
        auto_finalize_var: Name of a variable that ends a session as soon as code has set it.

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
        sandbox: str | Callable[[], Sandbox] = "monty",
        limits: Limits | None = None,
        retries: RetryPolicy | None = None,
        cache: bool | str | Path = False,
        prices: str | Path | None = None,
        hooks: Iterable[Hook] = (),
        strict: bool = False,
        auto_finalize_var: str | None = None,
    ) -> None:
        if base_url is not None and model is None:
            raise ConfigError(f"{base_url} needs the name of the model to ask there, such as openai:NAME")
        overrides = load_overrides(prices) if prices is not None else {}
        self.limits = limits or Limits()
        self.model = self._model(model or OFFLINE_MODEL, base_url, overrides)
        self.sub_model = self.model if sub_model is None else self._model(sub_model, base_url, overrides)
        self.fallback_model = None if fallback_model is None else self._model(fallback_model, base_url, overrides)
        self._retries = retries
        self._cache = ReplyCache(None if cache is True else cache) if cache else None
        self._new_sandbox = sandbox_from(sandbox) if isinstance(sandbox, str) else sandbox
        self._hooks = tuple(hooks)
        self._strict = strict
        self._auto_finalize_var = auto_finalize_var
        self._budget()

    def ask(self, question: str, context: Openable) -> Answer:
        """Asks a question of a text and waits for the answer.

        Args:
            question: What is asked.
            context: The text.

        Raises:
            RLMError: A limit was reached or something failed for good; `.partial` has what there was until then.
        """
        return run_blocking(lambda: self.aask(question, context))

    async def aask(self, question: str, context: Openable) -> Answer:
        """Asks a question of a text; see `ask`."""
        async with self.session(question, context) as session:
            return await session.run()

    def session(
        self,
        question: str,
        context: Openable,
        *,
        hooks: Iterable[Hook] = (),
    ) -> Session:
        """Opens a session to be taken step by step: `async with rlm.session(...) as session: await session.step()`.

        Args:
            question: What is asked.
            context: The text.
            hooks: Readers of this run's events, besides those of all runs.
        """
        if not question.strip():
            raise ConfigError("the question is empty; say what you want to know")
        run = Run(
            self.model,
            self.sub_model,
            self._budget(),
            self._new_sandbox,
            (*self._hooks, *hooks),
            fallback=self.fallback_model,
            cache=self._cache,
            retries=self._retries,
        )
        return Session(
            run, question, Context.of(context), strict=self._strict, auto_finalize_var=self._auto_finalize_var
        )

    async def stream(self, question: str, context: Openable) -> AsyncIterator[Event]:
        """Asks a question of a text and gives the run's events as they happen.

        The last event of the root session is `SessionFinished` with the answer. Leaving the loop early cancels
        the run.

        Args:
            question: What is asked.
            context: The text.

        Raises:
            RLMError: After the last event, a limit was reached or something failed for good.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()

        async def run() -> None:
            try:
                async with self.session(question, context, hooks=[queue.put_nowait]) as session:
                    await session.run()
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

    def _model(self, model: Model | str, base_url: str | None, prices: Mapping[str, FlatPrice]) -> Model:
        return model_from(model, base_url=base_url, prices=prices) if isinstance(model, str) else model

    def _budget(self) -> Budget:
        """Gives a run's ledger, having checked that its limits can be kept with these models."""
        budget = Budget(self.limits)
        for model in (self.model, self.sub_model, self.fallback_model):
            if model is not None:
                budget.admit(model)
        return budget
