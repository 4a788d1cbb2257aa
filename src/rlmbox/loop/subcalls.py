"""What code in a sandbox may ask of other models: the functions, and what they cost.

Identity, depth and budget are the host's: a cell can only name a function of the table and pass it values.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from rlmbox.context import Context
from rlmbox.errors import LimitExceeded, RLMError
from rlmbox.events import SubcallFinished, SubcallStarted
from rlmbox.loop.arguments import (
    ChildLimits,
    read_batch,
    read_child_limits,
    read_json,
    read_list,
    read_prompt,
    read_text,
    whole_number,
)
from rlmbox.loop.scope import Scope
from rlmbox.models.base import Model
from rlmbox.types import Answer, HostFunction, Message

NOT_FOUND = "NOT FOUND"
"""What `ask` has a model say when a text does not answer the question."""

_ASK = (
    "Answer the question from the text only. If the text does not answer it, reply with exactly "
    f"{NOT_FOUND}.\n\nQuestion: {{question}}"
)
_CHILD = (
    "a child session with a REPL of its own over a text (yours, if None; a part of it, with ctx.slice_view), "
    "under lower limits if you give them; [INCOMPLETE begins the best answer of one that reached them"
)
_CHARS_PER_TOKEN = 3  # of what a window is sure to hold
_JSON = "Reply with one JSON value and nothing else.{schema}"
_Item = TypeVar("_Item")

OpenChild = Callable[[str, Context, ChildLimits], Awaitable[Answer]]
"""Runs a child session to its end: (question, context, share) -> answer."""


class Subcalls:
    """The functions of one session that reach other models.

    Args:
        place: The session.
        context: Its text, which a child gets when it is given none.
        open_child: Runs a child session.

    Attributes:
        count: Calls that this session has made.
        fatal: The limit that a call ran into, which ends the session whatever the cell does with the error.
        cell: What the running cell is cancelled by when that happens: code that swallows the error and asks again
            would otherwise go on for as long as it likes, because waiting is not running.
    """

    def __init__(self, place: Scope, context: Context, open_child: OpenChild) -> None:
        self._place = place
        self._run = place.run
        self._context = context
        self._open_child = open_child
        self._children = anyio.CapacityLimiter(self._run.budget.limits.concurrency)
        self._is_deepest = place.depth >= self._run.budget.limits.max_depth
        self._told_deepest = False
        self._notes: list[str] = []
        self.count = 0
        self.fatal: LimitExceeded | None = None
        self.cell: anyio.CancelScope | None = None

    def functions(self) -> tuple[HostFunction, ...]:
        """Gives the table, in the order in which a model should read it."""
        batch = (
            "the same for many prompts at once; answers in order, a failed one as a string that begins with 'Error:'"
        )
        alias = "another name of llm_query_batched"
        table: tuple[tuple[str, Callable[..., object], str], ...] = (
            ("llm_query", self.llm_query, "asks another model, which sees the prompt and the chunk and nothing else"),
            ("llm_query_batched", self.llm_query_batched, batch),
            ("llm_query_batch", self.llm_query_batched, alias),
            ("llm_batch", self.llm_query_batched, alias),
            ("llm_query_json", self.llm_query_json, "like llm_query, for an answer in JSON; gives the parsed value"),
            (
                "llm_batch_json",
                self.llm_batch_json,
                "llm_query_json for many prompts at once; a failed one is {'error': …}",
            ),
            ("ask", self.ask, f"asks about a text; '{NOT_FOUND}' where the text does not say"),
            ("ask_chunks", self.ask_chunks, "ask for each chunk, at once; answers in order"),
            ("ask_chunks_first", self.ask_chunks_first, "the first of ask_chunks that is an answer, or None"),
            ("rlm_query", self.rlm_query, self._deepest() if self._is_deepest else _CHILD),
            ("rlm_query_batched", self.rlm_query_batched, "rlm_query for many prompts at once, each over its text"),
        )
        return tuple(HostFunction(*entry) for entry in table)

    def notes(self) -> list[str]:
        """Gives what the session's model should be told of its calls, each once."""
        notes, self._notes = self._notes, []
        return notes

    async def llm_query(
        self, prompt: str, context_chunk: str = "", model: str | None = None, max_tokens: int | None = None
    ) -> str:
        """Asks another model; the error of the call is the cell's."""
        return await self._fatal(self._query("llm_query", read_prompt(prompt, context_chunk), model, max_tokens))

    async def llm_query_batched(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[str]:
        """Asks for each prompt at once; keeps the order; one failure is one string."""
        texts = read_batch(prompts, context_chunks, read_prompt)
        return await self._all(
            texts, lambda text: self._query("llm_query_batched", text, model, max_tokens), _error_text
        )

    async def llm_query_json(
        self,
        prompt: str,
        context_chunk: str = "",
        schema: dict[str, Any] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> Any:
        """Asks for JSON and parses it; a reply that is not JSON is sent back once with the reason."""
        return await self._fatal(self._json(read_prompt(prompt, context_chunk), schema, model, max_tokens))

    async def llm_batch_json(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        schema: dict[str, Any] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[Any]:
        """Asks for JSON for each prompt at once; keeps the order."""
        texts = read_batch(prompts, context_chunks, read_prompt)
        return await self._all(
            texts, lambda text: self._json(text, schema, model, max_tokens), lambda error: {"error": _error_text(error)}
        )

    async def ask(self, question: str, text: str) -> str:
        """Asks a question about a text."""
        return await self._fatal(self._query("ask", read_prompt(_ASK.format(question=question), text), None, None))

    async def ask_chunks(self, question: str, chunks: list[str]) -> list[str]:
        """Asks the same question about each text at once; keeps the order."""
        texts = read_batch([_ASK.format(question=question)] * len(read_list(chunks, "chunks")), chunks, read_prompt)
        return await self._all(texts, lambda text: self._query("ask_chunks", text, None, None), _error_text)

    async def ask_chunks_first(self, question: str, chunks: list[str]) -> str | None:
        """Asks about each text at once and gives the first that has an answer."""
        answers = await self.ask_chunks(question, chunks)
        return next(
            (a for a in answers if a.strip(" .'\"`*").upper() != NOT_FOUND and not a.startswith("Error:")), None
        )

    async def rlm_query(
        self,
        prompt: str,
        context: Any = None,
        max_turns: int | None = None,
        cost_limit_usd: float | None = None,
    ) -> str:
        """Runs a child session to its answer."""
        share = self._share(max_turns, cost_limit_usd)
        return await self._fatal(self._child("rlm_query", read_prompt(prompt), context, share))

    async def rlm_query_batched(
        self,
        prompts: list[str],
        contexts: list[Any] | None = None,
        max_turns: int | None = None,
        cost_limit_usd: float | None = None,
    ) -> list[str]:
        """Runs a child session for each prompt at once; keeps the order; one failure is one string."""
        share = self._share(max_turns, cost_limit_usd)
        jobs = read_batch(prompts, contexts, lambda prompt, context: (read_prompt(prompt), context or None))
        return await self._all(jobs, lambda job: self._child("rlm_query_batched", job[0], job[1], share), _error_text)

    async def _query(self, function: str, prompt: str, model: str | None, max_tokens: int | None) -> str:
        return await self._converse(function, [Message("user", prompt)], model, max_tokens)

    async def _converse(self, function: str, messages: list[Message], model: str | None, max_tokens: Any) -> str:
        """Sends one request, counted, reserved for and under the limiter."""
        target = self._model(model)
        if max_tokens is not None:
            whole_number(max_tokens, "max_tokens")
        number = self._count(function, target.name, sum(len(message.content) for message in messages))
        account = self._place.account.below()
        try:
            async with self._run.requests:
                reply = await self._run.calls.complete(
                    target,
                    messages,
                    account=account,
                    max_output_tokens=max_tokens,
                    timeout_s=self._run.budget.limits.subcall_timeout_s,
                    notice=self._place.noticed("ACTION", target.name, number),
                    whole=True,
                )
        except RLMError as error:
            self._finished(number, target.name, error=f"{type(error).__name__}: {error}")
            raise
        completion = reply.completion
        self._finished(number, reply.model_name, text=completion.text, usage=completion.usage, cost_usd=reply.cost_usd)
        self._run.budget.check(account)
        return completion.text

    async def _json(self, prompt: str, schema: dict[str, Any] | None, model: str | None, max_tokens: int | None) -> Any:
        shape = f" It must fit this JSON Schema: {json.dumps(schema)}" if schema else ""
        messages = [Message("user", f"{prompt}\n\n{_JSON.format(schema=shape)}")]
        text = await self._converse("llm_query_json", messages, model, max_tokens)
        try:
            return read_json(text)
        except ValueError as error:
            messages += [
                Message("assistant", text or "(empty reply)"),
                Message("user", f"That is not JSON ({error}). Reply with the JSON value only."),
            ]
        text = await self._converse("llm_query_json", messages, model, max_tokens)
        try:
            return read_json(text)
        except ValueError as error:
            raise ValueError(f"the model did not answer in JSON: {error}; it said {text[:200]!r}") from None

    async def _child(self, function: str, prompt: str, context: Any, share: ChildLimits) -> str:
        if self._is_deepest:
            return await self._instead_of_child(function, prompt, context)
        text = read_text(context, self._context)
        model = self._run.sub_model.name
        number = self._count(function, model, len(prompt))
        try:
            async with self._children:
                answer = await self._open_child(prompt, text, share)
        except RLMError as error:
            self._finished(number, model, error=f"{type(error).__name__}: {error}")
            partial = error.partial
            if not self._is_own(error) and isinstance(error, LimitExceeded) and partial and partial.value is not None:
                return f"[INCOMPLETE: {error}] {partial.text}"
            raise
        self._finished(number, model, text=answer.text)
        return answer.text

    async def _instead_of_child(self, function: str, prompt: str, context: Any) -> str:
        """Asks the model directly where no session may open below this one, and says so once."""
        if not self._told_deepest:
            self._told_deepest = True
            self._notes.append(f"{function} was answered as llm_query: {self._deepest()}.")
        text = read_text(context, self._context)
        longest = self._run.sub_model.window_tokens * _CHARS_PER_TOKEN
        if text.length > longest:
            raise ValueError(
                f"{function} is llm_query at this depth, which reads at most {longest:,} characters, and the text has "
                f"{text.length:,}; give it a slice"
            )
        whole = await anyio.to_thread.run_sync(text.slice, 0, text.length)
        return await self._query(f"{function} as llm_query", read_prompt(prompt, whole), None, None)

    def _deepest(self) -> str:
        return (
            f"this session is at depth {self._place.depth}, the deepest there may be, so rlm_query opens no session "
            "but asks a model that sees the prompt and the text and nothing else"
        )

    def _share(self, max_turns: Any, cost_limit_usd: Any) -> ChildLimits:
        """Reads what code gives a child of its own session's limits."""
        if cost_limit_usd is not None and self._run.sub_model.price is None:
            raise ValueError(f"the price of {self._run.sub_model.name} is not known; limit the child by max_turns")
        return read_child_limits(max_turns, cost_limit_usd)

    def _is_own(self, error: RLMError) -> bool:
        """Whether an error is a limit of this session or of one above it, and not only of a child."""
        return isinstance(error, LimitExceeded) and error.depth <= self._place.depth

    async def _fatal(self, call: Awaitable[_Item]) -> _Item:
        """Notes a limit of this session that a call ran into; a child's own is not one."""
        try:
            return await call
        except LimitExceeded as error:
            self._note(error)
            raise

    def _note(self, error: RLMError) -> None:
        if isinstance(error, LimitExceeded) and self._is_own(error):
            self.fatal = error
            if self.cell is not None:
                self.cell.cancel()

    async def _all(
        self,
        items: Sequence[Any],
        one: Callable[[Any], Awaitable[_Item]],
        failed: Callable[[Exception], _Item],
    ) -> list[_Item]:
        """Runs one call for each item at once; a failed one gets its own value in its place.

        A limit that only some of them met ends nothing: the answers that were paid for reach the code, and the
        session's model is told of the rest. One that all of them met ends the session, like that of a single call.
        """
        results: list[Any] = [None] * len(items)
        met: list[LimitExceeded] = []
        answered = 0

        async def run(index: int, item: Any) -> None:
            nonlocal answered
            try:
                results[index] = await one(item)
                answered += 1
            except (RLMError, ValueError, TypeError) as error:
                if isinstance(error, LimitExceeded) and self._is_own(error):
                    met.append(error)
                results[index] = failed(error)

        async with anyio.create_task_group() as tasks:
            for index, item in enumerate(items):
                tasks.start_soon(run, index, item)
        if met and not answered:
            self._note(met[0])
        elif met:
            self._notes.append(f"{len(met)} of the {len(items)} calls of a batch were not made: {met[0]}.")
        if self.fatal is not None:
            raise self.fatal
        return results

    def _count(self, function: str, model: str, prompt_chars: int) -> int:
        number = self._run.budget.count_subcall()
        self.count += 1
        self._place.emit(
            SubcallStarted, "ACTION", number=number, function=function, model=model, prompt_chars=prompt_chars
        )
        return number

    def _finished(self, number: int, model: str, **result: Any) -> None:
        self._place.emit(SubcallFinished, "ACTION", number=number, model=model, **result)

    def _model(self, name: str | None) -> Model:
        """Gives a model that the user has put at the code's disposal; code cannot reach for any other."""
        if name is None:
            return self._run.sub_model
        known = {
            self._run.model.name: self._run.model,
            self._run.sub_model.name: self._run.sub_model,
            **self._run.models,
        }
        if name not in known:
            raise ValueError(f"model {name!r} is not at hand; there are {', '.join(sorted(known))}")
        return known[name]


def _error_text(error: Exception) -> str:
    return f"Error: {type(error).__name__}: {error}"
