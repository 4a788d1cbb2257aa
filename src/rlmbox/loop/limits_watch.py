"""The behaviour of a session when a limit is near, and when it is reached.

Near a limit, the model is told once what is left. At the limit, it is asked for its best answer so far, in one request
whose cost was reserved when the question was asked: so the answer exceeds no limit, and a paid run does not end without
a result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal

import anyio

from rlmbox import events
from rlmbox.budget.budget import MIN_OUTPUT_TOKENS
from rlmbox.budget.ledger import Left
from rlmbox.errors import LimitExceeded, RLMError
from rlmbox.loop.root_request import RootReply, ask_model
from rlmbox.loop.scope import Scope
from rlmbox.loop.task import Task
from rlmbox.models.base import Model
from rlmbox.record.keys import LAST_WORD, key_of
from rlmbox.requests.state import model_state_of
from rlmbox.requests.window import fit
from rlmbox.types import Completion, Message, Turn

NEAR_LEFT_SHARE = 0.2
"""The part of a limit that is left when the model is told to conclude."""

_MOST_HELD_SHARE = 0.25
_MOST_OUTPUT_TOKENS = 4_096
# Input beyond the first messages, and output, in tokens: the preferred reservation, and smaller ones.
_ROOMS = ((16_000, 1_024), (4_000, 512), (1_000, MIN_OUTPUT_TOKENS))

_LAST = (
    "This is the end: {reason}. No more code will run. From what you have seen, give the best answer you can to the "
    "question, and say what of it is not certain. Reply with FINAL(your answer) and no code."
)
_UNITS = {"usd": "${left:.4f} of ${limit:.4f}", "seconds": "{left:.0f} of {limit:.0f} seconds"}


class Remaining:
    """The remainder of a question's limits, as reported to its model.

    Args:
        scope: The session.
        model: Its model.
        task: The question.
    """

    def __init__(self, scope: Scope, model: Model, task: Task) -> None:
        self._scope = scope
        self._model = model
        self._task = task
        self._told: set[str] = set()

    def left(self) -> tuple[Left, ...]:
        """Return what is left of each limit, turns first."""
        turns = Left("turns", self._task.max_turns, self._task.max_turns - len(self._task.turns))
        found = self._scope.run.budget.left(self._task.account)
        if self._task.limits.max_seconds is None:
            return (turns, *found)
        limit_s = self._task.limits.max_seconds - self._task.limits.last_answer_s
        seconds = Left("seconds", limit_s, max(self._task.left_s, 0.0))
        return (turns, *(left for left in found if left.name != "seconds"), seconds)

    def in_words(self) -> str:
        """Return the same in one line."""
        return ", ".join(_in_words(left) for left in self.left())

    def remark(self, completion: Completion) -> list[str]:
        """Return a remark to the model on limits that have come near since the last one.

        The minimum size of the next request counts as used, because a run ends when that does not fit.

        Args:
            completion: The session's last reply.
        """
        tokens = completion.usage.input_tokens + completion.usage.output_tokens
        coming: Mapping[str, Decimal | float] = {
            "usd": self._scope.run.budget.worst_usd(self._model, tokens, MIN_OUTPUT_TOKENS),
            "tokens": tokens + MIN_OUTPUT_TOKENS,
        }
        near = [left for left in self.left() if _is_near(left, coming.get(left.name, 0))]
        if not {left.name for left in near} - self._told:
            return []
        self._told |= {left.name for left in near}
        shown = ", ".join(_in_words(left) for left in near)
        return [f"[LIMITS] Left: {shown}. Conclude now: finish what matters most and give your answer."]

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the lowest remainder of each limit, and the depth.

        The keys are `turns`, `usd`, `tokens`, `subcalls` and `seconds`, with None where there is no limit, and `depth`
        and `max_depth`.
        """
        found: dict[str, float | int | None] = {"depth": self._scope.depth}
        found["max_depth"] = self._scope.run.budget.limits.max_depth
        found |= dict.fromkeys(("turns", "usd", "tokens", "subcalls", "seconds"))
        for left in self.left():
            value = left.left if isinstance(left.left, int) else round(float(left.left), 6)
            before = found[left.name]
            found[left.name] = value if before is None else min(before, value)
        return found


class LastAnswer:
    """The final request that a question may make after a limit has ended it.

    Args:
        scope: The session.
        model: Its model.
        task: The question.
    """

    def __init__(self, scope: Scope, model: Model, task: Task) -> None:
        self._scope = scope
        self._model = model
        self._task = task
        self._budget = scope.run.budget
        self._account = task.account
        self._tokens = model_state_of(model).tokens
        self._output_tokens = min(_MOST_OUTPUT_TOKENS, task.limits.max_output_tokens)

    def set_aside(self, messages: Sequence[Message]) -> None:
        """Reserve room, if the question's limits are wide enough.

        Args:
            messages: The first messages, which are part of every request.
        """
        if not self._task.limits.last_answer or self._account.pools[-1].depth != self._scope.depth:
            return
        first = self._tokens.likely([*messages, Message("user", _LAST)])
        for room, output in _ROOMS:
            held = self._budget.hold(
                self._model,
                first + room,
                min(output, self._output_tokens),
                account=self._account,
                most_share=_MOST_HELD_SHARE,
            )
            if held is not None:
                self._account = held
                return

    def free(self) -> None:
        """Release the reservation if it was not used."""
        self._budget.give_back(self._account)

    async def ask(self, messages: Sequence[Message], error: RLMError) -> Turn | None:
        """Ask for the best answer, if a limit of this session ended the question and there is room.

        Args:
            messages: The conversation until now.
            error: The error that ended the question.

        Returns:
            The request as a turn without cells, or None if nothing was asked or the model failed.
        """
        mine = isinstance(error, LimitExceeded) and error.depth == self._scope.depth
        request = self._request(messages, error) if mine and self._task.limits.last_answer else None
        if request is None or len(messages) <= 2:
            return None
        self._scope.note(events.LastAnswerAsked, "THOUGHT", model=self._model.name, reason=str(error))
        reply: RootReply | None = None
        number, before = len(self._task.turns) + 1, self._scope.run.journal.past.last_words(self._scope.session_id)
        with anyio.move_on_after(self._time_s()):
            try:
                reply = await ask_model(
                    self._scope,
                    self._model,
                    request,
                    key=key_of(self._scope.session_id, self._task.number, number, LAST_WORD, before),
                    turn=number,
                    added=request,  # in full: it may be truncated, and its last message is a composed one
                    account=self._account,
                    max_output_tokens=self._output_tokens,
                )
            except RLMError:
                return None  # the caller gets the error that ended the run
        return Turn(number, reply.completion.text, cost_usd=reply.cost_usd, is_last_word=True) if reply else None

    def _time_s(self) -> float | None:
        end_s = self._task.end_s
        return None if math.isinf(end_s) else max(end_s - time.monotonic(), 0.0)

    def _request(self, messages: Sequence[Message], error: RLMError) -> tuple[Message, ...] | None:
        """Return the request, with as much of the conversation as fits; None if there is no room."""
        prompt = _LAST.format(reason=str(error))
        beside = self._tokens.likely([Message("user", prompt)])
        first = self._tokens.likely(messages[:2])
        whole = self._tokens.likely(messages)
        rooms = ((whole, self._output_tokens), (whole, _ROOMS[0][1]), *((first + more, out) for more, out in _ROOMS))
        for room, output in (*rooms, (whole, MIN_OUTPUT_TOKENS)):
            if self._fits(min(room, whole) + beside, output):
                return _with_prompt(fit(messages, min(room, whole), self._tokens.likely_text), prompt)
        return None

    def _fits(self, input_tokens: int, output_tokens: int) -> bool:
        output_tokens = min(output_tokens, self._output_tokens)
        return self._budget.fits(self._model, input_tokens, output_tokens, account=self._account)


def _with_prompt(messages: Sequence[Message], prompt: str) -> tuple[Message, ...]:
    """Append a prompt, to the last message if that is a user's, since some models require alternating roles."""
    if messages[-1].role == "user":
        return (*messages[:-1], Message("user", f"{messages[-1].content}\n\n{prompt}"))
    return (*messages, Message("user", prompt))


def _is_near(left: Left, coming: Decimal | float) -> bool:
    if left.name == "turns" and left.left <= 1:
        return True
    return left.limit > 0 and float(left.left) - float(coming) <= NEAR_LEFT_SHARE * float(left.limit)


def _in_words(left: Left) -> str:
    shape = _UNITS.get(left.name, "{left:,} of {limit:,} " + left.name.replace("subcalls", "sub-calls"))
    return shape.format(left=left.left, limit=left.limit)
