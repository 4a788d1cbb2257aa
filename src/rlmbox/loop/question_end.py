"""The end of a question without an answer: at its deadline, at another limit, by a failure, by Ctrl-C.

However it ends, the result so far is kept as the error's `partial`, and recorded.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from rlmbox import events
from rlmbox.errors import LimitExceeded, RLMError, is_interrupt
from rlmbox.loop.answers import AnswerRules
from rlmbox.loop.history import History
from rlmbox.loop.limits_watch import LastAnswer
from rlmbox.loop.long_texts import off_loop
from rlmbox.loop.namespace import SessionNamespace
from rlmbox.loop.recorder import SessionRecorder
from rlmbox.loop.task import Task
from rlmbox.models.base import Model
from rlmbox.record.journal import RecordEnded
from rlmbox.types import Answer, Source

_Result = TypeVar("_Result")


class QuestionEnd:
    """The ends of a session's questions without an answer.

    Args:
        recorder: Records the session's events.
        model: The session's model.
        answers: Extracts the answer from a last reply.
        namespace: The session's variables.
        history: The conversation.
    """

    def __init__(
        self,
        recorder: SessionRecorder,
        model: Model,
        answers: AnswerRules,
        namespace: SessionNamespace,
        history: History,
    ) -> None:
        self._recorder = recorder
        self._scope = recorder.scope
        self._model = model
        self._answers = answers
        self._namespace = namespace
        self._history = history
        self._last_answer: LastAnswer | None = None

    async def set_aside(self, task: Task) -> None:
        """Reserve room for the best answer so far, in case a limit ends the question.

        Args:
            task: The question.
        """
        self._last_answer = LastAnswer(self._scope, self._model, task)
        await self._history.messages.measure_ahead()
        self._last_answer.set_aside(self._history.messages)

    def free(self) -> None:
        """Release the reservation if it was not used."""
        if self._last_answer is not None:
            self._last_answer.free()

    async def before_question(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Run the preparation of a question; an error includes the session's usage so far.

        Args:
            work: The preparation.

        Raises:
            RLMError: It failed.
        """
        try:
            return await work()
        except RLMError as error:
            error.partial = error.partial or self._without_task()
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            mistake = _mistake(error)
            mistake.partial = self._without_task()
            raise mistake from error

    async def within_deadline(self, task: Task, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Run a part of a turn within the deadline; on failure, keep and record the result so far.

        Args:
            task: The question.
            work: The part.

        Raises:
            RLMError: The question ended, now or before.
        """
        if task.error is not None:
            raise task.error
        try:
            return await self._or_failed(task, work)
        except BaseException as error:
            if not isinstance(error, Exception):  # including one raised while a failure was being recorded
                self._interrupted(task, error)
            raise

    async def _or_failed(self, task: Task, work: Callable[[], Awaitable[_Result]]) -> _Result:
        failure = self._recorder.failure
        try:
            # A recorded part is replayed without a deadline.
            is_recorded = failure is not None or self._recorder.next_recorded(events.TurnFinished) is not None
            left_s = math.inf if is_recorded else task.left_s
            with anyio.move_on_after(left_s):
                if left_s > 0:
                    return await work()
            raise task.time_is_up()  # noqa: TRY301 - it ends the question like any other limit
        except RecordEnded as end:
            error = end.error if isinstance(end.error, RLMError) else end
            await self._fail(task, error)
            raise error from None
        except RLMError as error:
            # A replay does not meet the limits of time and money again, but may meet another one.
            if isinstance(error, LimitExceeded) and isinstance(failure, RLMError):
                await self._fail(task, failure)
                raise failure from None
            await self._fail(task, error)
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            mistake = _mistake(error)
            await self._fail(task, mistake)
            raise mistake from error

    def answer(
        self, task: Task, text: str, *, value: object = None, sources: tuple[Source, ...] = (), complete: bool = True
    ) -> Answer:
        """Return an answer to a question with the usage of the whole tree so far.

        Args:
            task: The question.
            text: The answer in words.
            value: The answer as a JSON value.
            sources: Its sources in the context.
            complete: False for the result so far when an error ended the question.
        """
        return self._scope.run.answer(
            text,
            task.turns,
            model=self._model.name,
            sandbox=self._namespace.sandbox,
            value=value,
            sources=sources,
            complete=complete,
        )

    def _without_task(self) -> Answer:
        return self._scope.run.answer("", (), model=self._model.name, sandbox=self._namespace.sandbox, complete=False)

    async def _fail(self, task: Task, error: RLMError) -> None:
        """Keep the result so far, and record how the question ended."""
        self._answers.forget()
        # A child's error carries the child's partial answer; this session's caller needs this session's.
        self._recorder.note_guarding(len(task.turns), events.SessionFailed)
        error.partial, task.error = await self._result_so_far(task, error), error
        self.free()
        failed = await self._recorder.append(
            events.SessionFailed,
            "TERMINATED",
            error_type=type(error).__name__,
            message=str(error),
            partial=error.partial,
        )
        error.partial = failed.partial

    async def _result_so_far(self, task: Task, error: RLMError) -> Answer | None:
        """Return the result so far, from the record if the question ended there with the same error."""
        recorded = self._recorder.next_recorded(events.SessionFailed)
        if isinstance(recorded, events.SessionFailed) and recorded.message == str(error):
            return recorded.partial
        try:
            return await self._partial(task, error)
        except Exception as mistake:  # noqa: BLE001 - the caller gets the error that ended the question
            error.add_note(f"the last words could not be read: {type(mistake).__name__}: {mistake}")
            return self.answer(task, task.words, complete=False)

    def _interrupted(self, task: Task, error: BaseException) -> None:
        """Record that a question was cancelled, and keep the result so far; nothing may be awaited here."""
        if task.error is None and task.answer is None:  # otherwise its end is already recorded
            self._answers.forget()
            task.error = RLMError("the question was interrupted")
            task.error.partial = self.answer(task, task.words, complete=False)
            self.free()
            self._recorder.note(
                events.SessionFailed,
                "TERMINATED",
                error_type=type(error).__name__,
                message=str(task.error),
                partial=task.error.partial,
            )
        error.partial = task.answer if task.error is None else task.error.partial  # type: ignore[attr-defined]

    async def _partial(self, task: Task, error: RLMError) -> Answer:
        """Return the result so far: the best answer that the model can give now, or its last words."""
        last = await self._last_answer.ask(self._history.messages, error) if self._last_answer is not None else None
        said = last.reply if last else task.turns[-1].reply if task.turns else ""
        best = await self._answers.last_word(self._namespace, said, prose=last is not None)
        text, value = (best.text, best.value) if best else (task.words, None)
        restored = self._scope.guard.restored
        text, value = await off_loop(restored, text), await off_loop(restored, value)
        if last is not None:
            task.turns.append(last)
        return self.answer(task, text, value=value, complete=False)


def _mistake(error: BaseException) -> RLMError:
    return RLMError(f"a mistake in rlmbox: {type(error).__name__}: {error}; please report it")
