"""Charging an attempt in the ledger and in the record, for any kind of request."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from rlmbox.budget.budget import Budget
from rlmbox.budget.ledger import Reservation
from rlmbox.events import AttemptFinished
from rlmbox.requests.request import Tell
from rlmbox.types import Usage

ChargeOutcome = Literal["settled", "uncertain", "released"]


def charge(
    budget: Budget,
    reservation: Reservation,
    usage: Usage | None,
    tell: Tell,
    attempt: int,
    *,
    certain: bool = False,
    error: BaseException | None = None,
) -> Decimal:
    """Charge an attempt in the ledger, record it, and return its cost.

    Args:
        budget: The ledger.
        reservation: The attempt's reservation.
        usage: Its usage; None if it used nothing.
        tell: Records the event.
        attempt: The attempt's number, from 1.
        certain: True if the provider counted the usage, False if it is an upper bound.
        error: Why the attempt failed, or None.
    """
    outcome: ChargeOutcome = "released"
    cost = Decimal(0)
    if usage is None:
        budget.release(reservation)
    elif certain:
        outcome, cost = "settled", budget.settle(reservation, usage)
    else:
        outcome, cost = "uncertain", budget.abandon(reservation, usage)
    tell(
        AttemptFinished,
        attempt=attempt,
        outcome=outcome,
        usage=usage or Usage(),
        cost_usd=cost,
        account_depth=reservation.account.depth,
        error=f"{type(error).__name__}: {error}" if error is not None else None,
    )
    return cost
