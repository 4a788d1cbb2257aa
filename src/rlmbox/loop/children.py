"""The functions with which code opens child sessions, and their behaviour at the depth limit."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import anyio
import anyio.to_thread

from rlmbox.context import Context
from rlmbox.errors import LimitExceeded
from rlmbox.loop.arguments import ChildLimits, read_batch, read_child_limits, read_prompt, read_text
from rlmbox.loop.batches import error_text, error_value
from rlmbox.loop.bridge import current_call
from rlmbox.loop.scope import Scope
from rlmbox.loop.subcalls import Subcalls
from rlmbox.loop.typed import AnswerType
from rlmbox.models.base import Model
from rlmbox.record.keys import key_of
from rlmbox.types import Answer, HostFunction, Message, Usage

_CHILD = (
    "str: the answer of a session with a REPL of its own over a text (yours, if None); for parts that are "
    "themselves too long to read. [INCOMPLETE begins the best answer of one that reached its limits. With returns= "
    "(a JSON Schema) it gives a value that fits"
)
_CHARS_PER_TOKEN = 3  # a conservative estimate of what fits a window

OpenChild = Callable[[str, str, Context, ChildLimits, Model | None, AnswerType | None], Awaitable[Answer]]
"""Runs a child session to its end: (name, question, context, limits, model, type of its answer) -> answer."""


class Children:
    """The functions of one session that open child sessions.

    Args:
        scope: The session.
        subcalls: Its calls of other models, with which a child is counted.
        context: Its text, the default for a child.
        inputs: Its inputs, by name; those that are texts may be given to a child.
        open_child: Runs a child session.
    """

    def __init__(
        self, scope: Scope, subcalls: Subcalls, context: Context, inputs: Mapping[str, object], open_child: OpenChild
    ) -> None:
        self._scope = scope
        self._run = scope.run
        self._subcalls = subcalls
        self._context, self._inputs = context, inputs
        self._open_child = open_child
        self._at_once = anyio.CapacityLimiter(self._run.budget.limits.concurrency)
        self._is_deepest = scope.depth >= self._run.budget.limits.max_depth
        self._told_deepest = False

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the functions, in the order in which a model should read them."""
        return (
            HostFunction(
                "rlm_query", self.rlm_query, self._deepest() if self._is_deepest else _CHILD, takes_texts=True
            ),
            HostFunction(
                "rlm_query_batched",
                self.rlm_query_batched,
                "rlm_query for many prompts at once, each over its text",
                takes_texts=True,
            ),
        )

    async def rlm_query(
        self,
        prompt: str,
        context: Any = None,
        max_turns: int | None = None,
        cost_limit_usd: float | None = None,
        model: str | None = None,
        returns: dict[str, Any] | None = None,
    ) -> Any:
        """Run a child session to its answer: text, or a value that fits the schema of `returns`."""
        limits, wanted = self._child_limits(max_turns, cost_limit_usd, model), _wanted(returns)
        return await self._subcalls.noting(
            self._child("rlm_query", read_prompt(prompt), context, limits, model, wanted)
        )

    async def rlm_query_batched(
        self,
        prompts: list[str],
        contexts: list[Any] | None = None,
        max_turns: int | None = None,
        cost_limit_usd: float | None = None,
        model: str | None = None,
        returns: dict[str, Any] | None = None,
    ) -> list[Any]:
        """Run a child session for each prompt concurrently, in order; a failure is a string or dict in its place."""
        limits, wanted = self._child_limits(max_turns, cost_limit_usd, model), _wanted(returns)
        jobs = read_batch(prompts, contexts, lambda prompt, context: (read_prompt(prompt), context or None))
        return await self._subcalls.for_each(
            jobs,
            lambda job, item: self._child("rlm_query_batched", job[0], job[1], limits, model, wanted, item),
            error_text if wanted is None else error_value,
        )

    async def _child(
        self,
        function: str,
        prompt: str,
        context: Any,
        limits: ChildLimits,
        model: str | None,
        wanted: AnswerType | None = None,
        item: int = 0,
    ) -> Any:
        if self._is_deepest:
            return await self._instead_of_child(function, prompt, context, model, wanted, item)
        text = read_text(context, self._context, self._inputs)
        target = self._subcalls.model_named(model)
        asked = await self._scope.may_ask([Message("user", prompt)], target.name, "question")
        prompt = asked[0].content
        key = key_of(current_call().key, item)
        began = self._subcalls.began(key, function, target, len(prompt), item)

        async def ask() -> tuple[str, Usage, Decimal, str]:
            async with self._at_once:
                named = self._subcalls.models().get(model or "")
                answer = await self._open_child(key, prompt, text, limits, named, wanted)
            return answer.text if wanted is None else json.dumps(answer.value), Usage(), Decimal(0), target.name

        try:
            said = (await self._run.journal.once(self._subcalls.effect(began, Decimal), ask))[0]
        except LimitExceeded as error:
            partial = error.partial or self._recorded_partial(key)
            # A partial value cannot be marked as such, as text can.
            if wanted is None and not self._subcalls.is_own(error) and partial and partial.value is not None:
                return f"[INCOMPLETE: {error}] {partial.text}"
            raise
        return said if wanted is None else json.loads(said)

    def _recorded_partial(self, name: str) -> Answer | None:
        """Return the partial result of a failed child whose process ended before its caller received it."""
        failed = self._run.journal.past.last_failure(name)
        return failed.partial if failed is not None else None

    async def _instead_of_child(
        self, function: str, prompt: str, context: Any, model: str | None, wanted: AnswerType | None, item: int
    ) -> Any:
        """Ask the model directly at the depth limit, and note that once."""
        if not self._told_deepest:
            self._told_deepest = True
            self._subcalls.remark(f"{function} was answered as llm_query: {self._deepest()}.")
        text = read_text(context, self._context, self._inputs)
        longest = self._subcalls.model_named(model).window_tokens * _CHARS_PER_TOKEN
        if text.length > longest:
            raise ValueError(
                f"{function} is llm_query at this depth, which reads at most {longest:,} characters, and the text has "
                f"{text.length:,}; give it a slice"
            )
        whole = await anyio.to_thread.run_sync(text.slice, 0, text.length)
        function, prompt = f"{function} as llm_query", read_prompt(prompt, whole)
        if wanted is not None:
            return await self._subcalls.ask_json(function, prompt, wanted, model, item=item)
        return await self._subcalls.ask_text(function, prompt, model, item=item)

    def _deepest(self) -> str:
        return (
            f"this session is at depth {self._scope.depth}, the deepest there may be, so rlm_query opens no session "
            "but asks a model that sees the prompt and the text and nothing else"
        )

    def _child_limits(self, max_turns: Any, cost_limit_usd: Any, model: str | None) -> ChildLimits:
        """Return the limits of a child, checked against its parent's."""
        target = self._subcalls.model_named(model)
        if cost_limit_usd is not None and target.price is None:
            raise ValueError(f"the price of {target.name} is not known; limit the child by max_turns")
        return read_child_limits(max_turns, cost_limit_usd)


def _wanted(returns: Any) -> AnswerType | None:
    return None if returns is None else AnswerType.of_code(returns, "returns")
