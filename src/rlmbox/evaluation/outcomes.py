"""The value types of an evaluation: a trial, its result, and an estimate of what a trial takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from rlmbox.context import Context
from rlmbox.errors import ContextLimitExceeded, LimitExceeded, ModelError
from rlmbox.evaluation.questions import Question

Ending = Literal["answered", "no answer", "limit", "crash", "refused", "provider", "cannot"]
"""The end of a trial: `cannot` where the arm is not able to answer such a question at all, which is no failure."""

FAILURES: tuple[str, ...] = ("wrong", "no answer", "limit", "crash", "refused", "provider")
"""The kinds of failure that are counted, in the order in which they are shown."""


def ending_of(error: BaseException) -> tuple[Ending, str]:
    """Return how a trial ended that an error ended, and the error in one line.

    Args:
        error: The error.
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
        key: Its name within all evaluations, such as `eval-7/rlm/q3/0`.
        question: The question.
        context: The text.
        wanted: A description of the form of the answer, or empty.
        repeat: Number of the repeat, from 0.
    """

    key: str
    question: Question
    context: Context
    wanted: str
    repeat: int

    @property
    def asked(self) -> str:
        """The question with the description of the form of the answer, which is the same in every arm."""
        return f"{self.question.question}\n{self.wanted}" if self.wanted else self.question.question


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a trial.

    Attributes:
        ending: How it ended.
        text: The answer in words.
        value: The answer as a JSON value, where the arm has one.
        note: Why it ended so, where it did not end with an answer, and what was done to the text.
        cost_usd: What it cost, in US dollars.
        uncertain_usd: The part of that of requests whose outcome nobody knows.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        requests: Requests that were answered.
        duration_s: Wall time in seconds, without waits for its turn.
        run_id: Name of its run in the record; empty where there is none.
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
    """The time, money and tokens that a trial will likely take.

    Attributes:
        requests: Requests.
        input_tokens: Tokens sent.
        output_tokens: Tokens received.
        cost_usd: Money; 0 where the price is not known.
        most_usd: The most that it may cost.
        least_usd: What has to be left for it to begin.
        duration_s: Wall time.
        price_known: False where some model has no known price.
        cannot: Why the arm is not able to answer it; empty where it is.
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
    """A way to answer questions that is measured."""

    @property
    def name(self) -> str:
        """Its name in the table."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Whatever decides its answers, as JSON, so that an evaluation goes on with the same."""

    def estimate(self, trial: Trial) -> Estimate:
        """Estimate what a trial will take; asks nobody.

        Args:
            trial: The trial.
        """

    async def answer(self, trial: Trial, most_usd: Decimal | None) -> Outcome:
        """Answer a question; whatever goes wrong is how it ended.

        Args:
            trial: The trial.
            most_usd: The most that it may cost; None for no limit.
        """

    async def aclose(self) -> None:
        """Close what it holds."""


@dataclass(frozen=True, slots=True)
class Result:
    """A trial with its grade, as the journal has it.

    Attributes:
        arm: Name of the arm.
        question: Id of the question.
        repeat: Number of the repeat, from 0.
        outcome: How it ended.
        score: How right it is, from 0 to 1; None where the arm cannot answer such a question.
        judge_usd: What judging it cost.
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
        """`right`, `partly`, or how it failed."""
        if self.outcome.ending != "answered":
            return self.outcome.ending
        if self.score == 1.0:
            return "right"
        return "partly" if self.score else "wrong"
