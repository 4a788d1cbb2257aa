"""Requests for the next step of a session's model, within the conversation and the limits of its question."""

from __future__ import annotations

from functools import partial

from rlmbox.loop.compaction import Compactor
from rlmbox.loop.history import History
from rlmbox.loop.limits_watch import Remaining
from rlmbox.loop.long_texts import off_loop
from rlmbox.loop.namespace import SessionNamespace
from rlmbox.loop.options import SessionOptions
from rlmbox.loop.recorder import SessionRecorder
from rlmbox.loop.root_request import ask_model
from rlmbox.loop.task import Proposal, Task
from rlmbox.models.base import Model
from rlmbox.record.keys import key_of
from rlmbox.reply.parse import parse_reply
from rlmbox.reply.thoughts import split_thought
from rlmbox.types import Cell, Turn


class Proposals:
    """Proposals of a session's model.

    Args:
        recorder: Records the session's events.
        model: The session's model.
        options: The session's options.
        namespace: The session's variables, which a digest lists.
        history: The conversation.
    """

    def __init__(
        self,
        recorder: SessionRecorder,
        model: Model,
        options: SessionOptions,
        namespace: SessionNamespace,
        history: History,
    ) -> None:
        self._recorder = recorder
        self._scope = recorder.scope
        self._model = model
        self._options = options
        self._namespace = namespace
        self._history = history
        self._compactor = Compactor(recorder.scope, model, options.compaction, options.max_history_tokens)
        self._reply_at = 0

    async def propose(self, task: Task, remaining: Remaining) -> Proposal:
        """Ask the model for a proposal; none of its code has run.

        Args:
            task: The question.
            remaining: What is left of its limits.

        Raises:
            LimitExceeded: The limits do not allow another turn.
            ModelError: The provider failed.
        """
        number = len(task.turns) + 1
        unchanged = await self._compactor.keep_within(self._history, task, self._namespace.variables)
        self._history.sent = self._history.sent if unchanged is None else unchanged
        messages = self._history.messages
        replied = await ask_model(
            self._scope,
            self._model,
            messages,
            key=key_of(self._scope.session_id, task.number, number, "request"),
            turn=number,
            added=messages[self._history.sent :],
            account=task.account,
            max_output_tokens=task.limits.max_output_tokens,
            read=partial(parse_reply, strict=self._options.strict),
        )
        completion, reply = replied.completion, replied.parsed
        self._history.sent = len(messages)
        # Reasoning stays out of the conversation, as recommended for reasoning models.
        self._reply_at = self._history.said
        said = (await off_loop(split_thought, completion.text))[1] if reply.reasoning else completion.text
        self._history.add_reply(said)
        # Recorded at once, and again with its outcome, so that no reply that was paid for is lost.
        task.turns.append(Turn(number, completion.text, cost_usd=replied.cost_usd))
        # Read leniently, since what `strict` does not run is still code.
        read = await off_loop(parse_reply, completion.text) if self._options.strict else reply
        task.words = read.thought.strip() or task.words
        self._scope.run.budget.check(task.account)
        cells = tuple(Cell(code, number, index) for index, code in enumerate(reply.cells))
        if task.useless + 1 >= self._options.most_repeats and not cells and reply.final is None:
            cells = self._fallback(task, number)
        return Proposal(number, completion, reply, cells, left=remaining.as_dict())

    def note_question(self, task: Task) -> None:
        """Note a question for digests.

        Args:
            task: The question, with its message.
        """
        self._history.add_question(task.message)
        self._compactor.note_question(task, self._history.said - 1)

    def note_turn(self, task: Task, turn: Turn) -> None:
        """Note a finished turn for digests.

        Args:
            task: The question.
            turn: The turn.
        """
        self._compactor.note_turn(task, turn, self._reply_at)

    def note_answer(self, text: str) -> None:
        """Note an answer for digests.

        Args:
            text: The answer.
        """
        self._compactor.note_answer(text)

    def _fallback(self, task: Task, turn: int) -> tuple[Cell, ...]:
        """Return the user's fallback code for a stalled model, once per question."""
        if self._options.fallback_code is None or task.has_fallen_back:
            return ()
        task.has_fallen_back = True
        return (Cell(self._options.fallback_code, turn, 0, by="person"),)
