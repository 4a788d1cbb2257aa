"""The seam at which somebody may look at what the model would do, before anything of it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rlmbox.loop.task import Proposal

Approval = Callable[[Proposal], Awaitable[Proposal]]
"""Takes a proposal and returns what is to be done instead: the same, or one with other cells."""


async def unchanged(proposal: Proposal) -> Proposal:
    """Return a proposal as it is: nobody is asked."""
    return proposal
