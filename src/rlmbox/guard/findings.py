"""Findings of detectors, and the protocol of detectors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

FindingEffect = Literal["hidden", "warned", "named"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a text that should not leave, without its value.

    Attributes:
        kind: What it is, such as `github-token` or `email`.
        start: Position of its first character.
        end: Position after its last.
        effect: `hidden` behind a placeholder, `named` if a blob was replaced by a description, or only `warned`.
        number: The placeholder's number within the run; 0 if there is none.
        why: A few words on how it was recognised.
    """

    kind: str
    start: int
    end: int
    effect: FindingEffect = "hidden"
    number: int = 0
    why: str = ""


class Detector(Protocol):
    """Anything that finds what should not leave, such as a plain function.

    Positions are in characters of the text that it is given, which is normalised: NFKC, without zero-width characters,
    digits of all scripts as ASCII.
    """

    def __call__(self, text: str, /) -> Iterable[Finding]:
        """Return the findings in any order; they may overlap, and of two with the same start the first one wins."""
        ...


def without_overlaps(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in order of position, merged where they overlap.

    When two overlap, the one that begins earlier determines the kind (the longer one if both begin together, and the
    first given if both are equally long), and covers both: nothing that a detector found stays visible. A warning never
    replaces something to be hidden, nor a token that is merely rare one that is known.
    """
    merged: list[Finding] = []
    for finding in sorted(findings, key=lambda found: (found.start, -found.end)):
        if not merged or finding.start >= merged[-1].end:
            merged.append(finding)
        elif finding.end > merged[-1].end or _rank(finding) > _rank(merged[-1]):
            merged[-1] = _joined(merged[-1], finding)
    return merged


def _rank(finding: Finding) -> int:
    """Return how informative a finding is about what it found."""
    if finding.effect == "warned":
        return 0
    return 1 if finding.kind == "rare-token" else 2


def _joined(first: Finding, second: Finding) -> Finding:
    named = second if _rank(second) > _rank(first) else first
    return Finding(named.kind, first.start, max(first.end, second.end), named.effect, named.number, named.why)
