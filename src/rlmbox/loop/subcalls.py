"""The functions with which code in a sandbox asks other models.

The host determines identity, depth and budget: a cell can only name a function of the table and pass it values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from rlmbox.budget.ledger import Account
from rlmbox.errors import LimitExceeded, ModelError, RLMError
from rlmbox.events import EffectEnded, Ended, SubcallFinished, SubcallStarted
from rlmbox.loop.arguments import (
    read_batch,
    read_list,
    read_prompt,
    read_question,
    read_temperature,
    whole_number,
)
from rlmbox.loop.batches import call_for_each, error_text, error_value
from rlmbox.loop.bridge import current_call, ended_with, recorded_error
from rlmbox.loop.json_schema import UnusableSchema
from rlmbox.loop.long_texts import off_loop
from rlmbox.loop.scope import Scope
from rlmbox.loop.task import AskForRule, Task
from rlmbox.loop.typed import MOST_ANSWERS, AnswerType
from rlmbox.models.base import Model
from rlmbox.record.journal import Effect
from rlmbox.record.keys import digest, key_of
from rlmbox.reply.thoughts import split_thought
from rlmbox.types import HostFunction, Message, Usage

NOT_FOUND = "NOT FOUND"
"""What `ask` has a model say when a text does not answer the question."""

_ASK = (
    "Answer the question from the text only. If the text does not answer it, reply with exactly "
    f"{NOT_FOUND}.\n\nQuestion: {{question}}"
)
_RULE = "validate"
_FIRST_WAVE = 4
_Item = TypeVar("_Item")


class Subcalls:
    """The functions of one session that reach other models.

    Args:
        scope: The session.

    Attributes:
        count: Number of calls that this session has made.
        fatal: The limit that a call reached, or another error that ends the question regardless of the cell.
        cell: The scope that cancels the running cell when that happens: code that swallows the error and asks
            again could otherwise continue forever, because waiting does not count as running.
        task: The current question, to whose account calls are charged.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._run = scope.run
        self._notes: list[str] = []
        self.count = 0
        self.fatal: RLMError | None = None
        self.cell: anyio.CancelScope | None = None
        self.task: Task | None = None

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the functions, in the order in which a model should read them."""
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
        )
        return tuple(HostFunction(*entry, is_alias=entry[2] is alias) for entry in table)

    def for_rules(self, task: Task) -> AskForRule:
        """Return a function with which rules ask the sub-call model, recorded and within the question's limits.

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
                return await self.ask_json(_RULE, prompt, AnswerType.of_code(schema, "schema"), asker=asker)
            return await self._converse(_RULE, [Message("user", prompt)], None, None, item=0, asker=asker)

        return ask

    def remark(self, text: str) -> None:
        """Add a remark about calls for the session's model.

        Args:
            text: A sentence.
        """
        self._notes.append(text)

    def notes(self) -> list[str]:
        """Return the remarks about calls for the session's model, each once."""
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
        """Ask another model; an error of the call is the cell's."""
        text, degree = read_prompt(prompt, context_chunk), read_temperature(temperature)
        return await self.noting(self.ask_text("llm_query", text, model, max_tokens, temperature=degree))

    async def llm_query_batched(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[str]:
        """Ask for each prompt concurrently, in order; a failure is a string in its place."""
        texts = read_batch(prompts, context_chunks, read_prompt)
        return await self.for_each(
            texts, lambda text, item: self.ask_text("llm_query_batched", text, model, max_tokens, item), error_text
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
        return await self.noting(
            self.ask_json("llm_query_json", read_prompt(prompt, context_chunk), wanted, model, max_tokens)
        )

    async def llm_batch_json(
        self,
        prompts: list[str],
        context_chunks: list[str] | None = None,
        schema: dict[str, Any] | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> list[Any]:
        """Ask for JSON for each prompt concurrently, in order."""
        texts, wanted = read_batch(prompts, context_chunks, read_prompt), AnswerType.of_code(schema, "schema")
        return await self.for_each(
            texts,
            lambda text, item: self.ask_json("llm_query_json", text, wanted, model, max_tokens, item),
            error_value,
        )

    async def ask(self, question: str, text: str) -> str:
        """Ask a question about a text."""
        return await self.noting(self.ask_text("ask", read_question(_ASK, question, text)))

    async def ask_chunks(self, question: str, chunks: list[str]) -> list[str]:
        """Ask the same question about each text concurrently, in order."""
        texts = read_batch([question] * len(read_list(chunks, "chunks")), chunks, partial(read_question, _ASK))
        return await self.for_each(texts, lambda text, item: self.ask_text("ask_chunks", text, item=item), error_text)

    async def ask_chunks_first(self, question: str, chunks: list[str]) -> str | None:
        """Ask about the texts in batches of doubling size; return the first answer, in the order of the texts."""
        texts = read_batch([question] * len(read_list(chunks, "chunks")), chunks, partial(read_question, _ASK))
        # One that an earlier wave has asked is not asked again; it is recorded under the number of its first place.
        numbers = {text: number for number, text in reversed([*enumerate(texts)])}
        asked, begin, wave = sorted(numbers, key=numbers.__getitem__), 0, _FIRST_WAVE
        failures: list[Exception] = []
        while begin < len(asked):
            answers: list[str | Exception] = await self.for_each(
                asked[begin : begin + wave],
                lambda text, _: self.ask_text("ask_chunks_first", text, item=numbers[text]),
                lambda error: error,
            )
            for answer in answers:
                if isinstance(answer, Exception):
                    failures.append(answer)
                elif answer.strip(" .'\"`*").upper() != NOT_FOUND:
                    return answer
            begin, wave = begin + wave, 2 * wave
        if failures and len(failures) == len(asked):
            raise failures[0]
        if failures:  # None would say that they do not answer
            self.remark(f"{len(failures)} of the {len(asked)} calls of ask_chunks_first failed: {failures[0]}.")
        return None

    async def ask_text(
        self,
        function: str,
        prompt: str,
        model: str | None = None,
        max_tokens: int | None = None,
        item: int = 0,
        temperature: float | None = None,
    ) -> str:
        """Ask another model for a text.

        Args:
            function: The function that code called, as named in events.
            prompt: The request.
            model: One of the models available to code; None for the model of sub-calls.
            max_tokens: Maximum tokens of the reply; None for the model's own limit.
            item: The request's number in a batch.
            temperature: Sampling temperature; None for the model's default.
        """
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
        """Send one request, counted, recorded and within the concurrency limit; or take its reply from the journal.

        `asker` is the key below which it is recorded if a rule asks, and not code.
        """
        target = self.model_named(model)
        messages = await self._scope.may_ask(messages, target.name)
        if max_tokens is not None:
            whole_number(max_tokens, "max_tokens")
        account = self._task_account().below()
        key = key_of(asker or current_call().key, item, part)
        chars = sum(len(message.content) for message in messages)
        began = replace(
            self.began(key, function, target, chars, item, by_code=asker is None),
            prompt=tuple(messages),
            max_output_tokens=max_tokens,
            temperature=temperature if temperature is not None else getattr(target, "temperature", None),
        )
        tale = self._scope.tells("ACTION", target.name, key, began.number)

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

        text, *_ = await self._run.journal.once(self.effect(began, lambda: tale.cost_usd), ask)
        self._run.budget.check(account)
        thought, answer = await off_loop(split_thought, text)
        if not answer.strip():
            only = "only reasoning" if thought else "empty"
            raise ModelError(f"{target.name}: the reply is {only}, no answer; ask in other words, or allow more tokens")
        return str(self._scope.guard.restored(answer))

    def effect(self, began: SubcallStarted, cost_usd: Callable[[], Decimal]) -> Effect[tuple[str, Usage, Decimal, str]]:
        """Return the effect by which a call of another model is recorded.

        Args:
            began: The event of its start.
            cost_usd: Returns the charges of its attempts so far.
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
        )

    async def ask_json(
        self,
        function: str,
        prompt: str,
        wanted: AnswerType,
        model: str | None = None,
        max_tokens: int | None = None,
        item: int = 0,
        asker: str | None = None,
    ) -> Any:
        """Ask for a JSON value; one that cannot be parsed or does not fit is sent back with the reason.

        Args:
            function: The function that code called, as named in events.
            prompt: The request.
            wanted: The type of the value.
            model: One of the models available to code; None for the model of sub-calls.
            max_tokens: Maximum tokens of the reply; None for the model's own limit.
            item: The request's number in a batch.
            asker: The key below which it is recorded if code does not ask.

        Raises:
            ValueError: No reply fits, or the schema is unusable.
        """
        messages = [Message("user", f"{prompt}\n\n{wanted.in_words(in_code=False)}")]
        text, problem = "", ""
        for part in range(MOST_ANSWERS):
            text = await self._converse(function, messages, model, max_tokens, item=item, part=part, asker=asker)
            try:
                return wanted.of_reply(text)
            except UnusableSchema as error:  # asking again is pointless
                raise ValueError(str(error)) from None
            except ValueError as error:
                problem = str(error)
            again = wanted.sent_back(problem, in_code=False)
            messages += [Message("assistant", text), Message("user", again)]
        raise ValueError(f"the model did not answer in JSON as asked: {problem}; it said {text[:200]!r}")

    def is_own(self, error: RLMError) -> bool:
        """Return True if an error is a limit of this session or of one above it, and not only of a child.

        Args:
            error: The error.
        """
        return isinstance(error, LimitExceeded) and error.is_final and error.depth <= self._scope.depth

    async def noting(self, call: Awaitable[_Item]) -> _Item:
        """Return the result of a call, and end the question if it reached a limit of this session.

        Args:
            call: The call; a limit that is only a child's is an error of the cell.

        Raises:
            LimitExceeded: A limit was reached.
        """
        try:
            return await call
        except LimitExceeded as error:
            self._note(error)
            raise

    def _note(self, error: RLMError) -> None:
        if isinstance(error, LimitExceeded) and self.is_own(error):
            self.stop(error)

    def stop(self, error: RLMError) -> None:
        """End the question with an error, and the running cell with it.

        Args:
            error: The error.
        """
        self.fatal = error
        if self.cell is not None:
            self.cell.cancel()

    async def for_each(
        self,
        items: Sequence[Any],
        one: Callable[[Any, int], Awaitable[_Item]],
        failed: Callable[[Exception], _Item],
    ) -> list[_Item]:
        """Run one call per item concurrently; a failed call yields a value in its place.

        A limit that only some of them reached ends nothing: the answers that were paid for reach the code, and the
        session's model is informed of the rest. A limit that all of them reached ends the question, as with a single
        call.

        Args:
            items: The arguments of the calls.
            one: The call, given an item and its number.
            failed: Returns the value in place of an error.

        Raises:
            RLMError: The question has ended.
        """
        got = await call_for_each(items, one, failed, self.is_own)
        if got.met and not got.answered:
            self._note(got.met[0])
        elif got.met:
            self.remark(f"{len(got.met)} of the {len(items)} calls of a batch were not made: {got.met[0]}.")
        if self.fatal is not None:
            raise self.fatal
        return got.values

    def began(
        self, key: str, function: str, target: Model, prompt_chars: int, item: int, *, by_code: bool = True
    ) -> SubcallStarted:
        """Count a call of another model, and return the event of its start.

        Args:
            key: Its key.
            function: The function that code called.
            target: The model that is asked, or the first one of a child session.
            prompt_chars: Length of the prompt.
            item: The call's number in a batch.
            by_code: True if code made it, and not a rule.

        Raises:
            SubcallLimitExceeded: The run has made the maximum number of calls.
        """
        event: SubcallStarted = self._scope.event(
            SubcallStarted,
            "ACTION",
            key=key,
            number=self._counted(key, by_code=by_code),
            function=function,
            model=target.name,
            prompt_chars=prompt_chars,
            item=item,
        )
        return event

    def _counted(self, key: str, *, by_code: bool) -> int:
        """Count a call, and return its number in the run."""
        begun = self._run.journal.past.begun.get(key)
        number = begun.number if isinstance(begun, SubcallStarted) else None
        if number is None:  # a call that began before a resume is counted there
            number = self._run.budget.count_subcall(self._task_account())
        self.count += by_code
        if self.task is not None and by_code:
            self.task.subcalls += 1
        return number

    def _task_account(self) -> Account:
        return self.task.account if self.task is not None else self._scope.account

    def model_named(self, name: object) -> Model:
        """Return a model that the user has made available to code; no other can be reached.

        Args:
            name: Its name; None for the model of sub-calls.

        Raises:
            ValueError: It is not available.
        """
        if name is None:
            return self._run.sub_model
        known = self.models()
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"model {name!r} is not available; there are {', '.join(sorted(known))}")
        return known[name]

    def models(self) -> dict[str, Model]:
        """Return the models available to code, by name."""
        run = self._run
        return {run.model.name: run.model, run.sub_model.name: run.sub_model, **run.models}


def _loaded(event: EffectEnded) -> tuple[str, Usage, Decimal, str]:
    if not isinstance(event, SubcallFinished) or event.ended != "done":
        raise recorded_error(event)
    return event.text, event.usage, event.cost_usd, event.model
