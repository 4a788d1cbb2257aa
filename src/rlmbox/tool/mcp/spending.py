"""Cost limits: of each call, and of all calls of the server together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from rlmbox.errors import BudgetExceeded
from rlmbox.events import AttemptFinished, Event


@dataclass(slots=True)
class CallSpend:
    """The money of one call.

    Attributes:
        limit_usd: Cost limit; None for no limit.
        spent_usd: Cost so far.
    """

    limit_usd: Decimal | None
    spent_usd: Decimal = Decimal(0)

    def note(self, event: Event) -> None:
        """Add the cost of an event of a run."""
        if isinstance(event, AttemptFinished):
            self.spent_usd += event.cost_usd

    def __str__(self) -> str:
        return f"${self.spent_usd:.4f}" + ("" if self.limit_usd is None else f" of ${self.limit_usd:.2f}")


class Spending:
    """The money of the server. A call's limit is reserved at its start, and the unspent rest released at its end.

    Args:
        per_call_usd: Cost limit of a call; None for no limit.
        total_usd: Cost limit of all calls together; None for no limit.
    """

    def __init__(self, per_call_usd: Decimal | None, total_usd: Decimal | None) -> None:
        self._per_call_usd, self._total_usd = per_call_usd, total_usd
        self._reserved_usd = Decimal(0)
        self.spent_usd = Decimal(0)

    @contextmanager
    def call(self, wanted_usd: Decimal | None = None) -> Iterator[CallSpend]:
        """Reserve the money of a call, as a context manager.

        Args:
            wanted_usd: The call's own limit, which can only lower the server's.

        Raises:
            BudgetExceeded: Nothing is left for it.
        """
        left = None if self._total_usd is None else self._total_usd - self.spent_usd - self._reserved_usd
        limits = [limit for limit in (wanted_usd, self._per_call_usd, left) if limit is not None]
        limit = min(limits) if limits else None
        if left is not None and left <= 0:
            raise BudgetExceeded(
                f"the server may spend ${self._total_usd:.2f}, of which ${self.spent_usd:.4f} are spent and "
                f"${self._reserved_usd:.4f} set aside for calls that are under way; "
                "wait for those, or have the server started with a higher --total-cost-limit",
                limit=self._total_usd or Decimal(0),
                used=self.spent_usd + self._reserved_usd,
            )
        spend = CallSpend(limit)
        self._reserved_usd += limit or 0
        try:
            yield spend
        finally:
            self._reserved_usd -= limit or 0
            self.spent_usd += spend.spent_usd
