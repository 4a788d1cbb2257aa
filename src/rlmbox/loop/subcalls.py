"""The functions by which code in a sandbox asks other models.

Identity, depth and budget are the host's: a cell can only name a function of the table and pass it values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from rlmbox.budget.ledger import Account
from rlmbox.context import Context
from rlmbox.errors import LimitExceeded, ModelError, RLMError
from rlmbox.events import EffectEnded, Ended, SubcallFinished, SubcallStarted
from rlmbox.loop.arguments import (
    ChildLimits,
    RefusedItem,
    read_batch,
    read_child_limits,
    read_list,
    read_prompt,
    read_temperature,
    read_text,
    whole_number,
)
from rlmbox.loop.bridge import current_call, ended_with, recorded_error
from rlmbox.loop.json_schema import UnusableSchema
from rlmbox.loop.scope import Scope
from rlmbox.loop.task import AskForRule, Task
from rlmbox.loop.typed import MOST_ANSWERS, AnswerType
from rlmbox.models.base import Model
from rlmbox.record.journal import Effect
from rlmbox.record.keys import digest, key_of
from rlmbox.reply.thoughts import split_thought
from rlmbox.types import Answer, HostFunction, Message, Usage

NOT_FOUND = "NOT FOUND"
"""What `ask` has a model say when a text does not answer the question."""

_ASK = (
    "Answer the question from the text only. If the text does not answer it, reply with exactly "
    f"{NOT_FOUND}.\n\nQuestion: {{question}}"
)
_CHILD = (
    "str: the answer of a session with a REPL of its own over a text (yours, if None); for parts that are "
    "themselves too long to read. [INCOMPLETE begins the best answer of one that reached its limits. With returns= "
    "(a JSON Schema) it gives a value that fits"
)
_RULE = "validate"
_CHARS_PER_TOKEN = 3  # of what a window is sure to hold
_FIRST_WAVE = 4
_Item = TypeVar("_Item")

OpenChild = Callable[[str, str, Context, ChildLimits, Model | None, AnswerType | None], Awaitable[Answer]]
"""Runs a child session to its end: (name, question, context, limits, model, type of its answer) -> answer."""


class Subcalls:
    """The functions of one session that reach other models.

    Args:
        scope: The session.
        context: Its text, which a child gets when it is given none.
        open_child: Runs a child session.

    Attributes:
        count: Calls that this session has made.
        fatal: The limit that a call ran into, or what else ends the question whatever the cell does with the error.
        cell: What the running cell is cancelled by when that happens: code that swallows the error and asks again
            would otherwise go on for as long as it likes, because waiting is not running.
        task: The question at work, to whose account calls are entered.
    """

    def __init__(self, scope: Scope, context: Context, open_child: OpenChild) -> None:
        self._scope = scope
        self._run = scope.run
        self._context = context
        self._open_child = open_child
        self._children = anyio.CapacityLimiter(self._run.budget.limits.concurrency)
        self._is_deepest = scope.depth >= self._run.budget.limits.max_depth
        self._told_deepest = False
        self._notes: list[str] = []
        self.count = 0
        self.fatal: RLMError | None = None
        self.cell: anyio.CancelScope | None = None
        self.task: Task | None = None

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the table, in the order in which a model should read it."""
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
        return tuple(HostFunction(*entry, is_alias=entry[2] is alias) for entry in table)

    def for_rules(self, task: Task) -> AskForRule:
        """Return what asks the model of sub-calls on behalf of rules; on record, and within the question's limits.

        Args:
            task: The question.
        """
        seen: Counter[str] = Counter()

        async def ask(prompt: str, schema: dict[str, Any] | None) -> Any:
            path = key_of(self._scope.session_id, task.number, len(task.turns), _RULE)
            key = key_of(path, digest([read_prompt(prompt), schema], {}))
            seen[key] += 1
            asker = key_of(key, seen[key] - 1)
            if schema is not None:
                return await self._json(_RULE, prompt, AnswerType.of_code(schema, "schema"), asker=asker)
            return await self._converse(_RULE, [Message("user", prompt)], None, None, item=0, asker=asker)

        return ask

    def notes(self) -> list[str]:
        """Return what the session's model should be told of its calls, each once."""
        notes, self._notes = self._notes, []
        return notes

    async def llm_query(
        self,
        prompt: str,
        context_chunk: str = "",
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> str:
        """Ask another model; the error of the call is the cell's."""
        text, degree = read_prompt(prompt, context_chunk), read_temperature(temperature)
        return await self._fatal(self._query("llm_query", text, model, max_tokens, temperature=degree))

    async def llm_query_batched(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[str]:
        """Ask for each prompt at once; keep the order; one failure is one string."""
        texts = read_batch(prompts, context_chunks, read_prompt)
        return await self._all(
            texts, lambda text, item: self._query("llm_query_batched", text, model, max_tokens, item), _error_text
        )

    async def llm_query_json(
        self,
        prompt: str,
        context_chunk: str = "",
        schema: dict[str, Any] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> Any:
        """Ask for JSON that fits a schema, and return the value."""
        wanted = AnswerType.of_code(schema, "schema")
        return await self._fatal(
            self._json("llm_query_json", read_prompt(prompt, context_chunk), wanted, model, max_tokens)
        )

    async def llm_batch_json(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        schema: dict[str, Any] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[Any]:
        """Ask for JSON for each prompt at once; keep the order."""
        texts, wanted = read_batch(prompts, context_chunks, read_prompt), AnswerType.of_code(schema, "schema")
        return await self._all(
            texts,
            lambda text, item: self._json("llm_query_json", text, wanted, model, max_tokens, item),
            _error_value,
        )

    async def ask(self, question: str, text: str) -> str:
        """Ask a question about a text."""
        return await self._fatal(self._query("ask", read_prompt(_ASK.format(question=question), text)))

    async def ask_chunks(self, question: str, chunks: list[str]) -> list[str]:
        """Ask the same question about each text at once; keep the order."""
        texts = read_batch([_ASK.format(question=question)] * len(read_list(chunks, "chunks")), chunks, read_prompt)
        return await self._all(texts, lambda text, item: self._query("ask_chunks", text, item=item), _error_text)

    async def ask_chunks_first(self, question: str, chunks: list[str]) -> str | None:
        """Ask about the texts in waves, each twice as wide, and return the first answer in their order."""
        texts = read_batch([_ASK.format(question=question)] * len(read_list(chunks, "chunks")), chunks, read_prompt)
        begin, wave = 0, _FIRST_WAVE
        while begin < len(texts):
            answers = await self._all(
                texts[begin : begin + wave],
                lambda text, item: self._query("ask_chunks_first", text, item=item),
                _error_text,
                first_item=begin,
            )
            for answer in answers:
                if answer.strip(" .'\"`*").upper() != NOT_FOUND and not answer.startswith("Error:"):
                    return answer
            begin, wave = begin + wave, 2 * wave
        return None

    async def rlm_query(
        self,
        prompt: str,
        context: Any = None,
        max_turns: int | None = None,
        cost_limit_usd: float | None = None,
        model: str | None = None,
        returns: dict[str, Any] | None = None,
    ) -> Any:
        """Run a child session to its answer: its words, or a value that fits the schema of `returns`."""
        limits, wanted = self._child_limits(max_turns, cost_limit_usd, model), _wanted(returns)
        return await self._fatal(self._child("rlm_query", read_prompt(prompt), context, limits, model, wanted))

    async def rlm_query_batched(
        self,
        prompts: list[str],
        contexts: list[Any] | None = None,
        max_turns: int | None = None,
        cost_limit_usd: float | None = None,
        model: str | None = None,
        returns: dict[str, Any] | None = None,
    ) -> list[Any]:
        """Run a child session for each prompt at once; keep the order; one failure is one string, or one dict."""
        limits, wanted = self._child_limits(max_turns, cost_limit_usd, model), _wanted(returns)
        jobs = read_batch(prompts, contexts, lambda prompt, context: (read_prompt(prompt), context or None))
        return await self._all(
            jobs,
            lambda job, item: self._child("rlm_query_batched", job[0], job[1], limits, model, wanted, item),
            _error_text if wanted is None else _error_value,
        )

    async def _query(
        self,
        function: str,
        prompt: str,
        model: str | None = None,
        max_tokens: int | None = None,
        item: int = 0,
        temperature: float | None = None,
    ) -> str:
        messages = [Message("user", prompt)]
        return await self._converse(function, messages, model, max_tokens, item=item, temperature=temperature)

    async def _converse(
        self,
        function: str,
        messages: list[Message],
        model: str | None,
        max_tokens: int | None,
        *,
        item: int,
        part: int = 0,
        temperature: float | None = None,
        asker: str | None = None,
    ) -> str:
        """Send one request, counted, reserved for and under the limiter, or take what the journal has of it.

        `asker` is the key below which it belongs where no call of code asks.
        """
        target = self._model(model)
        messages = self._scope.guard.asked(messages, target.name)
        if max_tokens is not None:
            whole_number(max_tokens, "max_tokens")
        account = self._task_account().below()
        key = key_of(asker or current_call().key, item, part)
        number = self._count(key, by_code=asker is None)
        tale = self._scope.tells("ACTION", target.name, key, number)

        async def ask() -> tuple[str, Usage, Decimal, str]:
            async with self._run.requests:
                reply = await self._run.calls.complete(
                    target,
                    messages,
                    account=account,
                    max_output_tokens=max_tokens,
                    timeout_s=self._run.budget.limits.subcall_timeout_s,
                    temperature=temperature,
                    tell=tale.tell,
                    whole=True,
                )
            return reply.completion.text, reply.completion.usage, reply.cost_usd, reply.model_name

        began = self._scope.event(
            SubcallStarted,
            "ACTION",
            key=key,
            number=number,
            function=function,
            model=target.name,
            prompt_chars=sum(len(message.content) for message in messages),
            item=item,
            prompt=tuple(messages),
            max_output_tokens=max_tokens,
            temperature=temperature if temperature is not None else getattr(target, "temperature", None),
        )
        effect = replace(self._effect(began, lambda: tale.cost_usd), is_part=asker is None)
        text, *_ = await self._run.journal.once(effect, ask)
        self._run.budget.check(account)
        thought, answer = split_thought(text)
        if not answer.strip():
            only = "only reasoning" if thought else "empty"
            raise ModelError(f"{target.name}: the reply is {only}, no answer; ask in other words, or allow more tokens")
        return str(self._scope.guard.restored(answer))

    def _effect(
        self, began: SubcallStarted, cost_usd: Callable[[], Decimal]
    ) -> Effect[tuple[str, Usage, Decimal, str]]:
        """Return how a call of another model is recorded.

        Args:
            began: The event that says so.
            cost_usd: Returns what its attempts were charged so far.
        """

        def event(**fields: Any) -> EffectEnded:
            ending: EffectEnded = self._scope.event(
                SubcallFinished, "ACTION", key=began.key, number=began.number, **fields
            )
            return ending

        def failed(error: BaseException, ended: Ended) -> EffectEnded:
            return event(model=began.model, cost_usd=cost_usd(), **ended_with(error, ended))

        return Effect(
            began=began,
            done=lambda got: event(text=got[0], usage=got[1], cost_usd=got[2], model=got[3]),
            failed=failed,
            load=_loaded,
            is_part=True,
        )

    async def _json(
        self,
        function: str,
        prompt: str,
        wanted: AnswerType,
        model: str | None = None,
        max_tokens: int | None = None,
        item: int = 0,
        asker: str | None = None,
    ) -> Any:
        """Ask for a JSON value; one that cannot be read or does not fit is sent back with the reason."""
        messages = [Message("user", f"{prompt}\n\n{wanted.in_words(in_code=False)}")]
        text, problem = "", ""
        for part in range(MOST_ANSWERS):
            text = await self._converse(function, messages, model, max_tokens, item=item, part=part, asker=asker)
            try:
                return wanted.of_reply(text)
            except UnusableSchema as error:  # asking again would change nothing
                raise ValueError(str(error)) from None
            except ValueError as error:
                problem = str(error)
            again = wanted.sent_back(problem, in_code=False)
            messages += [Message("assistant", text), Message("user", again)]
        raise ValueError(f"the model did not answer in JSON as asked: {problem}; it said {text[:200]!r}")

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
        text = read_text(context, self._context)
        target = self._model(model)
        prompt = self._scope.guard.asked([Message("user", prompt)], target.name, "question")[0].content
        key = key_of(current_call().key, item)
        number = self._count(key)

        async def ask() -> tuple[str, Usage, Decimal, str]:
            async with self._children:
                named = self._models_of_code().get(model or "")
                answer = await self._open_child(key, prompt, text, limits, named, wanted)
            return answer.text if wanted is None else json.dumps(answer.value), Usage(), Decimal(0), target.name

        began = self._scope.event(
            SubcallStarted,
            "ACTION",
            key=key,
            number=number,
            function=function,
            model=target.name,
            prompt_chars=len(prompt),
            item=item,
        )
        try:
            said = (await self._run.journal.once(self._effect(began, Decimal), ask))[0]
        except LimitExceeded as error:
            partial = error.partial
            # A value that is not whole cannot say so of itself, as words can.
            if wanted is None and not self._is_own(error) and partial and partial.value is not None:
                return f"[INCOMPLETE: {error}] {partial.text}"
            raise
        return said if wanted is None else json.loads(said)

    async def _instead_of_child(
        self, function: str, prompt: str, context: Any, model: str | None, wanted: AnswerType | None, item: int
    ) -> Any:
        """Ask the model directly where no session may open below this one, and say so once."""
        if not self._told_deepest:
            self._told_deepest = True
            self._notes.append(f"{function} was answered as llm_query: {self._deepest()}.")
        text = read_text(context, self._context)
        longest = self._model(model).window_tokens * _CHARS_PER_TOKEN
        if text.length > longest:
            raise ValueError(
                f"{function} is llm_query at this depth, which reads at most {longest:,} characters, and the text has "
                f"{text.length:,}; give it a slice"
            )
        whole = await anyio.to_thread.run_sync(text.slice, 0, text.length)
        function, prompt = f"{function} as llm_query", read_prompt(prompt, whole)
        if wanted is not None:
            return await self._json(function, prompt, wanted, model, item=item)
        return await self._query(function, prompt, model, item=item)

    def _deepest(self) -> str:
        return (
            f"this session is at depth {self._scope.depth}, the deepest there may be, so rlm_query opens no session "
            "but asks a model that sees the prompt and the text and nothing else"
        )

    def _child_limits(self, max_turns: Any, cost_limit_usd: Any, model: str | None) -> ChildLimits:
        """Return what code gives a child of its own session's limits."""
        if cost_limit_usd is not None and self._model(model).price is None:
            raise ValueError(f"the price of {self._model(model).name} is not known; limit the child by max_turns")
        return read_child_limits(max_turns, cost_limit_usd)

    def _is_own(self, error: RLMError) -> bool:
        """Return True if an error is a limit of this session or of one above it, and not only of a child."""
        return isinstance(error, LimitExceeded) and error.is_final and error.depth <= self._scope.depth

    async def _fatal(self, call: Awaitable[_Item]) -> _Item:
        """Note a limit of this session that a call ran into; a child's own is not one."""
        try:
            return await call
        except LimitExceeded as error:
            self._note(error)
            raise

    def _note(self, error: RLMError) -> None:
        if isinstance(error, LimitExceeded) and self._is_own(error):
            self.stop(error)

    def stop(self, error: RLMError) -> None:
        """End the question with an error, and the running cell with it.

        Args:
            error: The error.
        """
        self.fatal = error
        if self.cell is not None:
            self.cell.cancel()

    async def _all(
        self,
        items: Sequence[Any],
        one: Callable[[Any, int], Awaitable[_Item]],
        failed: Callable[[Exception], _Item],
        *,
        first_item: int = 0,
    ) -> list[_Item]:
        """Run one call for each item at once; a failed one gets its own value in its place.

        Equal items are one call. A limit that only some of them met ends nothing: the answers that were paid for
        reach the code, and the session's model is told of the rest. One that all of them met ends the question, like
        that of a single call.
        """
        results: list[Any] = [None] * len(items)
        met: list[LimitExceeded] = []
        answered = 0

        async def run(places: Sequence[int]) -> None:
            nonlocal answered
            item = items[places[0]]
            try:
                if isinstance(item, RefusedItem):
                    raise item.error
                result: Any = await one(item, first_item + places[0])
                answered += 1
            except (RLMError, ValueError, TypeError) as error:
                if isinstance(error, LimitExceeded) and self._is_own(error):
                    met.append(error)
                result = failed(error)
            for place in places:
                results[place] = result

        async with anyio.create_task_group() as tasks:
            for places in _equal(items):
                tasks.start_soon(run, places)
        if met and not answered:
            self._note(met[0])
        elif met:
            self._notes.append(f"{len(met)} of the {len(items)} calls of a batch were not made: {met[0]}.")
        if self.fatal is not None:
            raise self.fatal
        return results

    def _count(self, key: str, *, by_code: bool = True) -> int:
        begun = self._run.journal.past.begun.get(key)
        number = begun.number if isinstance(begun, SubcallStarted) else None
        if number is None:  # one that began in the past is counted there
            number = self._run.budget.count_subcall(self._task_account())
        self.count += by_code
        if self.task is not None and by_code:
            self.task.subcalls += 1
        return number

    def _task_account(self) -> Account:
        return self.task.account if self.task is not None else self._scope.account

    def _model(self, name: str | None) -> Model:
        """Return a model that the user has put at the code's disposal; code cannot reach for any other."""
        if name is None:
            return self._run.sub_model
        known = self._models_of_code()
        if name not in known:
            raise ValueError(f"model {name!r} is not at hand; there are {', '.join(sorted(known))}")
        return known[name]

    def _models_of_code(self) -> dict[str, Model]:
        run = self._run
        return {run.model.name: run.model, run.sub_model.name: run.sub_model, **run.models}


def _equal(items: Sequence[Any]) -> list[list[int]]:
    """Return the places of equal items together, in the order of the first of each."""
    places: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        same = item if isinstance(item, str) else (place,)
        places.setdefault(same, []).append(place)
    return list(places.values())


def _loaded(event: EffectEnded) -> tuple[str, Usage, Decimal, str]:
    if not isinstance(event, SubcallFinished) or event.ended != "done":
        raise recorded_error(event)
    return event.text, event.usage, event.cost_usd, event.model


def _wanted(returns: Any) -> AnswerType | None:
    return None if returns is None else AnswerType.of_code(returns, "returns")


def _error_value(error: Exception) -> dict[str, str]:
    return {"error": _error_text(error)}


def _error_text(error: Exception) -> str:
    return f"Error: {type(error).__name__}: {error}"
