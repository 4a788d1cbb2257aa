"""Verdicts on a proposed answer: accepted with its sources, or sent back with the reason."""

from __future__ import annotations

from dataclasses import replace

import anyio.to_thread

from rlmbox import events
from rlmbox.context import Context
from rlmbox.errors import AnswerRejected
from rlmbox.loop.answers import AnswerRules, checked_sources
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.index_hits import is_place
from rlmbox.loop.long_texts import off_loop
from rlmbox.loop.recorder import SessionRecorder
from rlmbox.loop.retrieving import Retrieval
from rlmbox.loop.task import Task
from rlmbox.record.journal import RecordEnded
from rlmbox.types import Source

_MESSAGE_CHARS = 1_000


class Verdicts:
    """The verdicts on the answers that a session's model proposes.

    Args:
        recorder: Records the session's events, and reads recorded ones.
        context: The text.
        answers: The rules that an answer must pass.
        retrieval: The index whose hits an answer may cite; None for none.
        most_corrections: Maximum number of answers sent back; then the question ends with `AnswerRejected`.
    """

    def __init__(
        self,
        recorder: SessionRecorder,
        context: Context,
        answers: AnswerRules,
        retrieval: Retrieval | None,
        most_corrections: int,
    ) -> None:
        self._recorder = recorder
        self._scope = recorder.scope
        self._context = context
        self._answers = answers
        self._retrieval = retrieval
        self._most_corrections = most_corrections

    async def of(self, task: Task, found: FinalAnswer, *, in_code: bool) -> FinalAnswer | str:
        """Return an answer of the requested type, or the correction to send to the model.

        Args:
            task: The question.
            found: The answer.
            in_code: True if the model works with code, which affects the wording of a correction.

        Raises:
            AnswerRejected: Too many answers were sent back.
        """
        restored = self._scope.guard.restored
        text, value = await off_loop(restored, found.text), await off_loop(restored, found.value)
        given = replace(found, text=text, value=value)
        typed: FinalAnswer | str = given
        if task.returns is not None:
            returns = task.returns
            typed = await off_loop(lambda value: returns.read(replace(given, value=value), in_code=in_code), value)
        recorded = self._recorded(task)
        if recorded == "" and task.returns is not None and task.returns.is_schema:
            return typed if isinstance(typed, FinalAnswer) else given  # accepted then; JSON is stricter
        if recorded is not None:
            correction = typed if isinstance(typed, str) else recorded or None
        else:
            correction = typed if isinstance(typed, str) else await self._answers.judge(task, typed)
        if correction is None and isinstance(typed, FinalAnswer):
            return typed
        task.corrections += 1
        if task.corrections >= self._most_corrections:
            times = task.corrections
            raise AnswerRejected(f"{times} answers were sent back; the last one because: {correction}"[:_MESSAGE_CHARS])
        return correction or ""

    async def sources(self, found: FinalAnswer) -> tuple[Source, ...]:
        """Return the valid sources of an answer: hits in the index, positions and quotations in the text.

        Args:
            found: The answer.
        """
        if self._retrieval is None:
            return await anyio.to_thread.run_sync(checked_sources, found, self._context)
        if self._recorder.next_recorded(events.SessionFinished) is not None:
            return ()  # the recorded answer has its sources
        hits = [item for item in found.sources if is_place(item)]
        others = replace(found, sources=[item for item in found.sources if not is_place(item)])
        of_index = await self._retrieval.checked_sources(hits)
        if not self._retrieval.has_context or (of_index and not others.sources):
            return of_index
        return (*of_index, *await anyio.to_thread.run_sync(checked_sources, others, self._context))

    def _recorded(self, task: Task) -> str | None:
        """Return the recorded verdict on this turn's answer: empty if accepted, None if there is none.

        Raises:
            RecordEnded: There is none, and nothing may be added.
        """
        journal = self._scope.run.journal
        observed = self._recorder.next_recorded(events.ObservationMade)
        finished = self._recorder.next_recorded(events.SessionFinished)
        # The verdict of a later question may be on the same turn number, but comes after the end of this one.
        is_next = observed is not None and (finished is None or observed.sequence < finished.sequence)
        if is_next and isinstance(observed, events.ObservationMade) and observed.turn == len(task.turns):
            return "(as it was recorded)"
        if finished is not None:
            return ""
        if journal.is_over(self._scope.session_id):
            raise RecordEnded(journal.past.end_of(self._scope.session_id))
        return None
