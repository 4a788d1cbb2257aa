"""What code in a sandbox may ask of other models: the functions, and what they cost.

Identity, depth and budget are the host's: a cell can only name a function of the table and pass it values.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import anyio

from rlmbox.context import Context
from rlmbox.errors import LimitExceeded, MaxTurnsExceeded, ModelError, RecursionDepthExceeded, RLMError
from rlmbox.events import SubcallFinished, SubcallStarted
from rlmbox.models.base import Model
from rlmbox.run import Place
from rlmbox.types import Answer, HostFunction, Message

MAX_BATCH = 10_000
"""Most sub-calls that one call may ask for."""

NOT_FOUND = "NOT FOUND"
"""What `ask` has a model say when a text does not answer the question."""

_ASK = (
    "Answer the question from the text only. If the text does not answer it, reply with exactly "
    f"{NOT_FOUND}.\n\nQuestion: {{question}}"
)
_JSON = "Reply with one JSON value and nothing else.{schema}"
_Item = TypeVar("_Item")

OpenChild = Callable[[str, Context, int], Awaitable[Answer]]
"""Runs a child session to its end: (question, context, sub-call number) -> answer."""


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

    def __init__(self, place: Place, context: Context, open_child: OpenChild) -> None:
        self._place = place
        self._run = place.run
        self._context = context
        self._open_child = open_child
        self._children = anyio.CapacityLimiter(self._run.budget.limits.concurrency)
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
            ("rlm_query", self.rlm_query, "a child session with a REPL of its own over a text (yours, if None)"),
            ("rlm_query_batched", self.rlm_query_batched, "rlm_query for many prompts at once, each over its text"),
        )
        return tuple(HostFunction(*entry) for entry in table)

    async def llm_query(
        self, prompt: str, context_chunk: str = "", model: str | None = None, max_tokens: int | None = None
    ) -> str:
        """Asks another model; the error of the call is the cell's."""
        return await self._fatal(self._query("llm_query", self._prompt(prompt, context_chunk), model, max_tokens))

    async def llm_query_batched(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[str]:
        """Asks for each prompt at once; keeps the order; one failure is one string."""
        texts = self._batch(prompts, context_chunks, self._prompt)
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
        return await self._fatal(self._json(self._prompt(prompt, context_chunk), schema, model, max_tokens))

    async def llm_batch_json(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        schema: dict[str, Any] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[Any]:
        """Asks for JSON for each prompt at once; keeps the order."""
        texts = self._batch(prompts, context_chunks, self._prompt)
        return await self._all(
            texts, lambda text: self._json(text, schema, model, max_tokens), lambda error: {"error": _error_text(error)}
        )

    async def ask(self, question: str, text: str) -> str:
        """Asks a question about a text."""
        return await self._fatal(self._query("ask", self._prompt(_ASK.format(question=question), text), None, None))

    async def ask_chunks(self, question: str, chunks: list[str]) -> list[str]:
        """Asks the same question about each text at once; keeps the order."""
        texts = self._batch([_ASK.format(question=question)] * len(_list(chunks, "chunks")), chunks, self._prompt)
        return await self._all(texts, lambda text: self._query("ask_chunks", text, None, None), _error_text)

    async def ask_chunks_first(self, question: str, chunks: list[str]) -> str | None:
        """Asks about each text at once and gives the first that has an answer."""
        answers = await self.ask_chunks(question, chunks)
        return next(
            (a for a in answers if a.strip(" .'\"`*").upper() != NOT_FOUND and not a.startswith("Error:")), None
        )

    async def rlm_query(self, prompt: str, context: Any = None) -> str:
        """Runs a child session to its answer."""
        return await self._fatal(self._child("rlm_query", self._prompt(prompt, ""), context))

    async def rlm_query_batched(self, prompts: list[str], contexts: list[Any] | None = None) -> list[str]:
        """Runs a child session for each prompt at once; keeps the order; one failure is one string."""
        jobs = self._batch(prompts, contexts, lambda prompt, context: (self._prompt(prompt, ""), context or None))
        return await self._all(jobs, lambda job: self._child("rlm_query_batched", *job), _error_text)

    async def _query(self, function: str, prompt: str, model: str | None, max_tokens: int | None) -> str:
        return await self._converse(function, [Message("user", prompt)], model, max_tokens)

    async def _converse(self, function: str, messages: list[Message], model: str | None, max_tokens: Any) -> str:
        """Sends one request, counted, reserved for and under the limiter."""
        target = self._model(model)
        if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
            raise ValueError(f"max_tokens is a whole number above 0, not {max_tokens!r}")
        number = self._count(function, target.name, sum(len(message.content) for message in messages))
        timeout_s = self._run.budget.limits.subcall_timeout_s
        try:
            async with self._run.requests:
                completion, cost = await self._in_time(
                    functools.partial(
                        self._run.budget.complete,
                        target,
                        messages,
                        account="recursive",
                        max_output_tokens=max_tokens,
                        timeout_s=timeout_s,
                    ),
                    timeout_s,
                )
        except RLMError as error:
            self._finished(number, target.name, error=f"{type(error).__name__}: {error}")
            raise
        self._finished(number, target.name, text=completion.text, usage=completion.usage, cost_usd=cost)
        return completion.text

    async def _in_time(self, request: Callable[[], Awaitable[_Item]], timeout_s: float) -> _Item:
        """Gives up a request that a model has not by itself."""
        with anyio.move_on_after(timeout_s * 1.1 + 0.1):
            return await request()
        raise ModelError(f"the sub-call took longer than {timeout_s:g} s", retryable=True, possibly_billed=True)

    async def _json(self, prompt: str, schema: dict[str, Any] | None, model: str | None, max_tokens: int | None) -> Any:
        shape = f" It must fit this JSON Schema: {json.dumps(schema)}" if schema else ""
        messages = [Message("user", f"{prompt}\n\n{_JSON.format(schema=shape)}")]
        text = await self._converse("llm_query_json", messages, model, max_tokens)
        try:
            return _parse_json(text)
        except ValueError as error:
            messages += [
                Message("assistant", text or "(empty reply)"),
                Message("user", f"That is not JSON ({error}). Reply with the JSON value only."),
            ]
        text = await self._converse("llm_query_json", messages, model, max_tokens)
        try:
            return _parse_json(text)
        except ValueError as error:
            raise ValueError(f"the model did not answer in JSON: {error}; it said {text[:200]!r}") from None

    async def _child(self, function: str, prompt: str, context: Any) -> str:
        self._run.budget.check_depth(self._place.depth + 1)
        text = self._context if context is None else Context.of(context)
        number = self._count(function, self._run.sub_model.name, len(prompt))
        try:
            async with self._children:
                answer = await self._open_child(prompt, text, number)
        except RLMError as error:
            self._finished(number, self._run.sub_model.name, error=f"{type(error).__name__}: {error}")
            raise
        self._finished(number, self._run.sub_model.name, text=answer.text)
        return answer.text

    async def _fatal(self, call: Awaitable[_Item]) -> _Item:
        """Notes a limit of the run that a call ran into; a session's own depth is not one."""
        try:
            return await call
        except LimitExceeded as error:
            self._note(error)
            raise

    def _note(self, error: RLMError) -> None:
        if isinstance(error, LimitExceeded) and not isinstance(error, RecursionDepthExceeded | MaxTurnsExceeded):
            self.fatal = error
            if self.cell is not None:
                self.cell.cancel()

    async def _all(
        self,
        items: Sequence[Any],
        one: Callable[[Any], Awaitable[_Item]],
        failed: Callable[[Exception], _Item],
    ) -> list[_Item]:
        """Runs one call for each item at once; a failed one gets its own value in its place."""
        results: list[Any] = [None] * len(items)

        async def run(index: int, item: Any) -> None:
            try:
                results[index] = await one(item)
            except (RLMError, ValueError, TypeError) as error:
                if isinstance(error, RLMError):
                    self._note(error)
                results[index] = failed(error)

        async with anyio.create_task_group() as tasks:
            for index, item in enumerate(items):
                tasks.start_soon(run, index, item)
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

    @staticmethod
    def _prompt(prompt: Any, chunk: Any) -> str:
        """Puts a prompt and its chunk together, refusing anything but text."""
        if isinstance(prompt, list | tuple) and len(prompt) == 2 and not chunk:
            prompt, chunk = prompt
        if isinstance(prompt, dict) and "prompt" in prompt:
            prompt, chunk = prompt["prompt"], prompt.get("context_chunk", chunk)
        if not isinstance(prompt, str):
            raise TypeError(f"a prompt is a str, not {type(prompt).__name__}")
        chunk = "" if chunk is None else chunk
        if not isinstance(chunk, str):
            raise TypeError(f"a context chunk is a str, not {type(chunk).__name__}")
        text = f"{prompt}\n\n{chunk}" if chunk else prompt
        if not text.strip():
            raise ValueError("the prompt is empty")
        return text

    @staticmethod
    def _batch(prompts: Any, extras: Any, join: Callable[[Any, Any], _Item]) -> list[_Item]:
        """Pairs prompts with their texts; both are lists of the same length."""
        prompts = _list(prompts, "prompts")
        extras = [""] * len(prompts) if extras is None else _list(extras, "texts")
        if len(prompts) == 1 and len(extras) > 1:
            prompts = prompts * len(extras)
        if len(extras) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts but {len(extras)} texts; give as many of each")
        if len(prompts) > MAX_BATCH:
            raise ValueError(f"a batch has at most {MAX_BATCH:,} prompts, not {len(prompts):,}")
        return [join(prompt, extra) for prompt, extra in zip(prompts, extras, strict=True)]


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is a list, not {type(value).__name__}")
    return list(value)


def _error_text(error: Exception) -> str:
    return f"Error: {type(error).__name__}: {error}"


def _parse_json(text: str) -> Any:
    """Parses a reply that is JSON, also within a fence.

    Raises:
        ValueError: It is not.
    """
    text = text.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    return json.loads(text)
