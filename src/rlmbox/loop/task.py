"""One question to a session: its turns, its limits and its outcome."""

from __future__ import annotations

import ast
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Account
from rlmbox.budget.limits import Limits
from rlmbox.errors import ConfigError, MaxTurnsExceeded, RLMError, TimeLimitExceeded
from rlmbox.loop.typed import AnswerType
from rlmbox.reply.parse import ParsedReply
from rlmbox.types import Answer, Cell, Completion, Turn
from rlmbox.usage import quantity

AskForRule = Callable[[str, dict[str, Any] | None], Awaitable[Any]]
"""Asks the model of sub-calls: (prompt, JSON Schema or None) -> its reply, or the value."""


@dataclass(slots=True, eq=False)
class Proposal:
    """The model's next step, before any of its code has run.

    Attributes:
        turn: The turn, from 1.
        completion: The model's reply.
        reply: The parsed reply.
        cells: The code that would run, in order.
        left: What is left of each limit, by name; None where there is no limit.
        rejected: The reason for its rejection, or None.
        is_edited: True if the code was replaced.
        proposed_code: The code that the model proposed, even if it was replaced.
    """

    turn: int
    completion: Completion
    reply: ParsedReply
    cells: tuple[Cell, ...]
    left: Mapping[str, float | int | None] = field(default_factory=dict)
    rejected: str | None = None
    is_edited: bool = False
    proposed_code: str = field(init=False)

    def __post_init__(self) -> None:
        self.proposed_code = self.code_block

    @property
    def has_code(self) -> bool:
        """True if there is code to run, in cells or in the final tag."""
        return bool(self.cells or self.final_code)

    @property
    def final_code(self) -> str:
        """The call of `FINAL` that stands for a final tag which is evaluated and calls functions; empty otherwise."""
        final = self.reply.final
        if final is None or not final.code or self.is_edited or self.rejected is not None:
            return ""
        return f"FINAL({final.code})"

    @property
    def code_block(self) -> str:
        """The code that would run, all cells together, and the final tag if it is evaluated."""
        return "\n\n".join(self._codes())

    @property
    def calls(self) -> tuple[str, ...]:
        """Names of the functions that the code calls, in order, as far as its source shows."""
        found: dict[str, None] = {}
        for code in self._codes():
            try:
                tree = ast.parse(code)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
            found |= dict.fromkeys(ast.unparse(call) for call in calls if isinstance(call, ast.Name | ast.Attribute))
        return tuple(found)

    def _codes(self) -> list[str]:
        final = self.final_code
        return [*(cell.code for cell in self.cells), *([final] if final else [])]

    def override_code(self, code: str) -> None:
        """Replace the model's code; the model is informed.

        Args:
            code: The code.
        """
        self.cells = (Cell(code, self.turn, 0, by="person"),)
        self.rejected, self.is_edited = None, True

    def reject(self, reason: str) -> None:
        """Reject the proposal, so that nothing runs; the model is informed of the reason.

        Args:
            reason: The reason.
        """
        self.rejected = reason or "no reason was given"


@dataclass(slots=True, eq=False)
class Task:
    """A question in progress.

    Attributes:
        question: The question.
        number: Number within the session, from 1.
        limits: Its limits: the session's, narrowed by its own.
        account: The account in the ledger to which its requests are charged.
        max_turns: Maximum number of turns.
        end_s: Its deadline, on the monotonic clock.
        turns: The finished turns.
        words: The model's last words: the prose of its replies, never their code.
        proposal: The proposal of the last turn or the current one; None before the first.
        answer: The answer, once there is one.
        error: The error that ended it without an answer.
        last_outcome: The code of the last turn and its outcome; None if nothing ran.
        repeats: Number of consecutive turns with the same outcome as the turn before.
        corrections: Number of answers sent back so far.
        subcalls: Number of calls to other models that the session's code has made for it.
        useless: Number of consecutive replies with neither code nor an answer.
        is_taken: True if the last proposal was executed.
        has_fallen_back: True if the user's fallback code has run.
        returns: The required type of the answer; None for any.
        message: The question's message to the model, with facts about the text.
        ask: Asks another model on behalf of a rule, within the question's limits; None before the question is asked.
    """

    question: str
    number: int
    limits: Limits
    account: Account
    max_turns: int
    end_s: float = math.inf
    turns: list[Turn] = field(default_factory=list)
    words: str = ""
    proposal: Proposal | None = None
    answer: Answer | None = None
    error: BaseException | None = None
    last_outcome: tuple[str, ...] | None = None
    repeats: int = 0
    corrections: int = 0
    subcalls: int = 0
    useless: int = 0
    is_taken: bool = False
    has_fallen_back: bool = False
    returns: AnswerType | None = None
    message: str = ""
    ask: AskForRule | None = None
    began_s: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls, question: str, number: int, budget: Budget, account: Account, *, max_turns: int, limits: Limits | None
    ) -> Task:
        """Return the task of a question.

        Args:
            question: The question.
            number: Number within the session, from 1.
            budget: The run's ledger.
            account: The session's account.
            max_turns: Maximum number of turns for a question.
            limits: Limits of its own, which cannot widen the run's; None for none.
        """
        if limits is None:
            end_s, began_s = budget.end_s, budget.began_s
            return cls(question, number, budget.limits, account, max_turns, end_s, began_s=began_s)
        narrowed, run = budget.limits.narrowed(limits), budget.limits
        own = account.for_question(
            cost_limit_usd=narrowed.money if narrowed.money != run.money else None,
            max_tokens=narrowed.max_tokens if narrowed.max_tokens != run.max_tokens else None,
            max_subcalls=narrowed.max_subcalls if narrowed.max_subcalls != run.max_subcalls else None,
        )
        own_s = narrowed.max_seconds if narrowed.max_seconds != run.max_seconds else None
        end_s = min(budget.end_s, time.monotonic() + (own_s or math.inf))
        return cls(question, number, narrowed, own, min(max_turns, narrowed.max_turns), end_s)

    @property
    def is_finished(self) -> bool:
        """True if it has an answer or has failed."""
        return self.answer is not None or self.error is not None

    def has_asked(self) -> bool:
        """Return True if code of this question has asked another model."""
        return self.subcalls > 0

    @property
    def left_s(self) -> float:
        """Seconds until work has to end so that there is time for a last answer."""
        return self.end_s - self.limits.last_answer_s - time.monotonic()

    def check_turn(self) -> None:
        """Check that it may take another turn.

        Raises:
            MaxTurnsExceeded: It has taken `max_turns` already.
        """
        if len(self.turns) >= self.max_turns:
            raise MaxTurnsExceeded(
                f"no final answer after {quantity(self.max_turns, 'turn')} (max_turns)",
                limit=self.max_turns,
                used=len(self.turns) + 1,
                depth=self.account.depth,
            )

    def time_is_up(self) -> RLMError:
        """Return the error of a question whose time is over."""
        limit = self.limits.max_seconds or 0.0
        return TimeLimitExceeded(
            f"the time is used up (max_seconds={limit:g})",
            limit=limit,
            used=time.monotonic() - self.began_s,
        )


def check_question(question: object) -> None:
    """Check that a question can be asked.

    Args:
        question: The question.

    Raises:
        ConfigError: It is not a string, or is empty.
    """
    if not isinstance(question, str):
        raise ConfigError(f"a question is a string, not {type(question).__name__}")
    if not question.strip():
        raise ConfigError("the question is empty; say what you want to know")
