"""The one ledger over an evaluation: what each trial may spend is set aside before, and settled after."""

from __future__ import annotations

from decimal import Decimal

import anyio

from rlmbox.errors import BudgetExceeded

_LEAST_USD = Decimal("0.0001")  # below it nothing can be asked of a model that costs anything


class Purse:
    """The money of an evaluation; used on one event loop.

    Args:
        limit_usd: The most that all trials may cost together; None for no limit.
        spent_usd: What was spent before, in an evaluation that goes on.

    Attributes:
        limit_usd: The same.
        spent_usd: What trials that are over have cost.
        reserved_usd: What trials under way may cost.
    """

    def __init__(self, limit_usd: Decimal | None, spent_usd: Decimal = Decimal(0)) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = Decimal(0)
        self._changed: anyio.Event | None = None

    async def reserve(self, wanted_usd: Decimal, least_usd: Decimal) -> Decimal:
        """Set money aside for a trial, and return how much, waiting for others to end where that may help.

        Args:
            wanted_usd: The most that it may cost.
            least_usd: What it needs at least; it is given no less.

        Raises:
            BudgetExceeded: What is left will not do.
        """
        while self.limit_usd is not None:
            left = self.limit_usd - self.spent_usd - self.reserved_usd
            if left >= wanted_usd:
                break
            if not self.reserved_usd:
                if left < max(least_usd, _LEAST_USD):
                    raise BudgetExceeded(
                        f"${self.spent_usd:.4f} of ${self.limit_usd} is spent, which does not leave what the next "
                        "trial may cost; rlmbox eval --resume goes on with a higher --cost-limit",
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
        """Replace what was set aside by what was spent.

        Args:
            reserved_usd: What `reserve` returned.
            spent_usd: What the trial cost.
        """
        self.reserved_usd -= reserved_usd
        self.spent_usd += spent_usd
        if self._changed is not None:
            self._changed.set()
            self._changed = None
