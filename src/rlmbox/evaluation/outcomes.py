"""The value types of an evaluation: trials, their outcomes and results, and estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from rlmbox.context import Context
from rlmbox.errors import ContextLimitExceeded, LimitExceeded, ModelError
from rlmbox.evaluation.questions import Question

Ending = Literal["answered", "no answer", "limit", "crash", "refused", "provider", "cannot"]
"""How a trial ended; `cannot`, which is no failure, means that the arm cannot answer such a question at all."""

FAILURES: tuple[str, ...] = ("wrong", "no answer", "limit", "crash", "refused", "provider")
"""The kinds of failure that are counted, in display order."""


def ending_of(error: BaseException) -> tuple[Ending, str]:
    """Return how a trial ended because of an exception, with the error in one line.

    Args:
        error: The exception.
    """
    said = " ".join(str(error).split())
    if isinstance(error, ContextLimitExceeded):
        return "cannot", said
    if isinstance(error, LimitExceeded):
        return "limit", said
    if isinstance(error, ModelError):
        refused = "refus" in said.casefold() or "content filter" in said.casefold()
        return ("refused" if refused else "provider"), said
    return "crash", f"{type(error).__name__}: {said}"


@dataclass(frozen=True, slots=True)
class Trial:
    """One question put to one arm once.

    Attributes:
        key: Its globally unique name, such as `eval-7/rlm/q3/0`.
        question: The question.
        context: The text.
        wanted: A description of the answer's form; may be empty.
        repeat: Number of the repeat, from 0.
    """

    key: str
    question: Question
    context: Context
    wanted: str
    repeat: int

    @property
    def asked(self) -> str:
        """The question with the description of the answer's form, the same for every arm."""
        return f"{self.question.question}\n{self.wanted}" if self.wanted else self.question.question


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        ending: How it ended.
        text: The answer as text.
        value: The answer as a JSON value, if the arm returns one.
        note: Why it ended without an answer, and what was done to the text.
        cost_usd: Its cost, in US dollars.
        uncertain_usd: The part of the cost that is for requests with unknown outcome.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        requests: Number of answered requests.
        duration_s: Wall time in seconds, without queueing.
        run_id: Name of its recorded run; may be empty.
    """

    ending: Ending
    text: str = ""
    value: Any = None
    note: str = ""
    cost_usd: Decimal = Decimal(0)
    uncertain_usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    duration_s: float = 0.0
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated time, money and tokens of a trial.

    Attributes:
        requests: Number of requests.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        cost_usd: Cost; 0 if the price is not known.
        most_usd: Upper bound of the cost.
        least_usd: Money that has to be left for it to begin.
        duration_s: Wall time in seconds.
        price_known: False if the price of a model is not known.
        cannot: Why the arm cannot answer it; empty if it can.
    """

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    most_usd: Decimal = Decimal(0)
    least_usd: Decimal = Decimal(0)
    duration_s: float = 0.0
    price_known: bool = True
    cannot: str = ""


class Arm(Protocol):
    """A way to answer questions, to be measured."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that affect its answers, as JSON; an evaluation is resumed with the same ones."""

    def estimate(self, trial: Trial) -> Estimate:
        """Estimate a trial without any request.

        Args:
            trial: The trial.
        """

    async def answer(self, trial: Trial, most_usd: Decimal | None) -> Outcome:
        """Answer a question; every failure is reported in the outcome.

        Args:
            trial: The trial.
            most_usd: Cost limit; None for no limit.
        """

    async def aclose(self) -> None:
        """Release resources."""


@dataclass(frozen=True, slots=True)
class Result:
    """A trial with its grade.

    Attributes:
        arm: Name of the arm.
        question: Id of the question.
        repeat: Number of the repeat, from 0.
        outcome: Its outcome.
        score: The score, from 0 to 1; None if the arm cannot answer such a question.
        judge_usd: Cost of judging it.
        size_chars: Length of the text.
    """

    arm: str
    question: str
    repeat: int
    outcome: Outcome
    score: float | None
    judge_usd: Decimal = field(default_factory=Decimal)
    size_chars: int = 0

    @property
    def kind(self) -> str:
        """`right`, `partly`, or the kind of failure."""
        if self.outcome.ending != "answered":
            return self.outcome.ending
        if self.score == 1.0:
            return "right"
        return "partly" if self.score else "wrong"
