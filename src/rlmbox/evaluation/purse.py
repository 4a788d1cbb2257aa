"""The ledger of an evaluation: the cost of each trial is reserved before, and settled after."""

from __future__ import annotations

from decimal import Decimal

import anyio

from rlmbox.errors import BudgetExceeded

_LEAST_USD = Decimal("0.0001")  # no request to a model that is not free costs less


class Purse:
    """The money of an evaluation; used on one event loop.

    Args:
        limit_usd: Cost limit of all trials together; None for no limit.
        spent_usd: Money spent before, if the evaluation is resumed.

    Attributes:
        limit_usd: As above.
        spent_usd: Cost of finished trials.
        reserved_usd: Upper bound of the cost of running trials.
    """

    def __init__(self, limit_usd: Decimal | None, spent_usd: Decimal = Decimal(0)) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = Decimal(0)
        self._changed: anyio.Event | None = None

    async def reserve(self, wanted_usd: Decimal, least_usd: Decimal) -> Decimal:
        """Reserve money for a trial and return the amount, waiting for other trials to end where that may help.

        Args:
            wanted_usd: Upper bound of its cost.
            least_usd: The least that it can use.

        Raises:
            BudgetExceeded: Less than that is left.
        """
        while self.limit_usd is not None:
            left = self.limit_usd - self.spent_usd - self.reserved_usd
            if left >= wanted_usd:
                break
            if not self.reserved_usd:
                if left < max(least_usd, _LEAST_USD):
                    raise BudgetExceeded(
                        f"${self.spent_usd:.4f} of ${self.limit_usd} is spent, which leaves too little for the next "
                        "trial; rlmbox eval --resume goes on with a higher --cost-limit",
                        limit=float(self.limit_usd),
                        used=float(self.spent_usd),
                    )
                wanted_usd = left
                break
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()
        self.reserved_usd += wanted_usd
        return wanted_usd

    def settle(self, reserved_usd: Decimal, spent_usd: Decimal) -> None:
        """Replace a reservation by the actual cost.

        Args:
            reserved_usd: What `reserve` returned.
            spent_usd: Cost of the trial.
        """
        self.reserved_usd -= reserved_usd
        self.spent_usd += spent_usd
        if self._changed is not None:
            self._changed.set()
            self._changed = None
