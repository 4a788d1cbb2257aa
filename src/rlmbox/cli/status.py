"""The last line of the live view: how long the run has taken, what it has spent, and what it waits for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from decimal import Decimal

from rlmbox.events import (
    AttemptFinished,
    AttemptStarted,
    CallRetried,
    Event,
    ModelReplied,
    QuestionAsked,
    SubcallFinished,
    TurnFinished,
)
from rlmbox.guard.visible import printable

_HTTP_STATUS = re.compile(r"\bHTTP (\d{3})\b")
_MOST_REASON_CHARS = 60


def short_reason(reason: str, model: str = "") -> str:
    """Return what a request failed for, in a few words: the provider's own words and the advice are left out.

    Args:
        reason: An error's message.
        model: The model that was asked; where the message begins with its name, the name is left out.
    """
    said = printable(reason).removeprefix(f"{model}: ").partition("; ")[0]
    said = " ".join(re.sub(r', "[^"]*"(?=\)|$)', "", said).split())
    return said if len(said) <= _MOST_REASON_CHARS else said[: _MOST_REASON_CHARS - 1].rstrip() + "…"


def shortest_reason(reason: str, model: str = "") -> str:
    """Return the HTTP status that a request failed with, or where it has none, `short_reason`."""
    status = _HTTP_STATUS.search(reason)
    return status[1] if status else short_reason(reason, model)


def money(amount_usd: Decimal) -> str:
    """Return an amount that was spent, to the hundredth of a cent."""
    return f"${amount_usd:,.4f}"


class RunStatus:
    """Money, waits and time of a run, from its events.

    Args:
        clock: Returns seconds since the epoch, as events have them.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._began_s = clock()
        self._spent_usd = Decimal(0)
        self._limit_usd: Decimal | None = None
        self._is_paid = self._is_least = False
        self._waits: dict[str, tuple[float, str]] = {}

    def take(self, event: Event) -> None:
        """Update the status with an event."""
        match event:
            case QuestionAsked() if not event.depth:
                limit = event.limits.get("cost_limit_usd")
                self._limit_usd = None if limit is None else Decimal(str(limit))
            case AttemptStarted():
                self._is_paid |= event.reserved_usd > 0
                self._waits.pop(event.key, None)
            case AttemptFinished():
                self._is_paid |= event.cost_usd > 0
                self._spent_usd += event.cost_usd
            case TurnFinished():  # has what an earlier process of the run spent, too
                self._spent_usd = max(self._spent_usd, event.spent.total_usd)
                self._is_least |= event.spent.unknown
            case CallRetried():
                self._waits[event.key] = event.at_s + event.wait_s, shortest_reason(event.reason, event.model)
            case ModelReplied() | SubcallFinished():
                self._waits.pop(event.key, None)
            case _:
                pass

    def __str__(self) -> str:
        """The line, the most important first: a narrow terminal cuts its end."""
        return ", ".join(part for part in (self._elapsed(), self._money(), self._wait()) if part)

    def _elapsed(self) -> str:
        minutes, seconds = divmod(max(0, int(self._clock() - self._began_s)), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours} h {minutes} min"
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"

    def _money(self) -> str:
        if not self._is_paid:
            return ""
        spent = ("at least " if self._is_least else "") + money(self._spent_usd)
        if self._limit_usd is None:
            return spent
        digits = 2 if self._limit_usd == round(self._limit_usd, 2) else 4
        return f"{spent} of ${self._limit_usd:,.{digits}f}"

    def _wait(self) -> str:
        """Return what is waited for until the first request is sent again."""
        if not self._waits:
            return ""
        until_s, reason = min(self._waits.values())
        left_s = until_s - self._clock()
        again = f"sent again in {round(left_s) or 1} s" if left_s > 0 else "sent again"
        others = f" ({len(self._waits)} requests)" if len(self._waits) > 1 else ""
        return f"{reason}, {again}{others}"
