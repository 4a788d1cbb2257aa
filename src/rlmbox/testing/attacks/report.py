"""The results of attacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Verdict = Literal["contained", "not expressible", "not applicable", "refused", "failed", "escaped"]
"""The verdict on an attack.

- `contained`: it ran, did no harm on the host, and ended as expected.
- `not expressible`: the sandbox's language lacks what it needs; nothing happened on the host.
- `not applicable`: it is not aimed at a sandbox, or at something that does not exist yet.
- `refused`: it was not run, because a limit or wall that has to stop it was not seen to hold.
- `failed`: no harm was seen, but it did not end as expected.
- `escaped`: it succeeded, as seen on the host's side.
"""

BAD: frozenset[Verdict] = frozenset({"refused", "failed", "escaped"})
"""Verdicts that are errors unless they are declared as known gaps."""


@dataclass(frozen=True, slots=True)
class AttackResult:
    """The result of an attack.

    Attributes:
        id: Name of the attack.
        group: Group of the attack.
        verdict: The verdict.
        detail: The reason, in one line.
        duration_s: Wall time in seconds.
    """

    id: str
    group: str
    verdict: Verdict
    detail: str = ""
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe of a wall or a limit.

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
    """The result of running attacks on a sandbox.

    Attributes:
        sandbox: Name of the sandbox.
        results: A result per attack, in order.
        probes: What was proven of the sandbox before the attacks ran.
        gaps: Known gaps that are still open, by attack, with the declared reason.
        failed: Undeclared failures, and declared gaps that are closed, by attack, with the problem.
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
        """True if every attack ended well or is a known gap."""
        return not self.failed

    @property
    def counts(self) -> dict[str, int]:
        """Number of attacks by verdict."""
        return dict(Counter(result.verdict for result in self.results))

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        lines = [f"{self.sandbox}: {counts}; {len(self.gaps)} declared gaps, {len(self.failed)} failed"]
        return "\n".join([*lines, *(f"{name}: {why}" for name, why in self.failed.items())])


def judged(result: AttackResult, known_gaps: Mapping[str, str]) -> str | None:
    """Return what is wrong with a result, given the known gaps; None if nothing is."""
    gap = known_gaps.get(result.id)
    if gap is None:
        return f"{result.verdict}: {result.detail}" if result.verdict in BAD else None
    return None if result.verdict in BAD else f"it is {result.verdict}, but declared as a gap: {gap}"
