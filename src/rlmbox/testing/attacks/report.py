"""The results of attacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Verdict = Literal["contained", "not expressible", "not applicable", "refused", "failed", "escaped"]
"""The verdict on an attack.

- `contained`: it ran, did no harm on the host, and ended as it should.
- `not expressible`: what it is made of does not exist in this sandbox's language; nothing happened on the host.
- `not applicable`: it is not aimed at a sandbox, or at something that does not exist yet.
- `refused`: it was not run, because a limit or a wall that would have to stop it was not seen to hold.
- `failed`: no harm was seen, but it did not end as it should.
- `escaped`: the host's side shows that it got through.
"""

BAD: frozenset[Verdict] = frozenset({"refused", "failed", "escaped"})
"""Verdicts that are errors unless they are declared as known gaps."""


@dataclass(frozen=True, slots=True)
class AttackResult:
    """The result of one attack.

    Attributes:
        id: The attack's name.
        group: The attack's group.
        verdict: Its result.
        detail: Why, in one line.
        duration_s: Wall time.
    """

    id: str
    group: str
    verdict: Verdict
    detail: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe: a wall or a limit was seen to hold, or not.

    Attributes:
        name: `walls`, or the limit: `time`, `memory`, `output`, `recursion`, `processes`, `disk`.
        holds: Whether it held.
        detail: What was seen, in one line.
    """

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class AttackReport:
    """The result of a run of attacks on one sandbox.

    Attributes:
        sandbox: The sandbox's name.
        results: One for each attack, in order.
        probes: What was proven of the sandbox before the attacks ran.
        gaps: Known gaps that are still there: attack to declared reason.
        failed: Attacks that went wrong, and declared gaps that are none, each with what is wrong.
        unwatched: What could not be watched on this machine.
    """

    sandbox: str
    results: tuple[AttackResult, ...] = ()
    probes: tuple[Probe, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    failed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    unwatched: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether every attack ended well or is a known gap."""
        return not self.failed

    @property
    def counts(self) -> dict[str, int]:
        """The number of attacks of each verdict."""
        return dict(Counter(result.verdict for result in self.results))

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        lines = [f"{self.sandbox}: {counts}; {len(self.gaps)} declared gaps, {len(self.failed)} failed"]
        return "\n".join([*lines, *(f"{name}: {why}" for name, why in self.failed.items())])


def judged(result: AttackResult, known_gaps: Mapping[str, str]) -> str | None:
    """Return what is wrong with a result, in the light of the known gaps; None where nothing is."""
    gap = known_gaps.get(result.id)
    if gap is None:
        return f"{result.verdict}: {result.detail}" if result.verdict in BAD else None
    return None if result.verdict in BAD else f"it is {result.verdict}, but declared as a gap: {gap}"
