"""The results of the guard: what may leave of a text, and what was found in a session."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from rlmbox.guard.findings import Finding


@dataclass(frozen=True, slots=True)
class Checked:
    """The part of a text that may leave.

    Attributes:
        text: The text to send on.
        findings: The findings, with positions in the checked text; never the values.
        copied_chars: Number of distinct positions of the context that it shows.
        hidden_chars: Number of characters hidden for length.
        cut_message: Notice for the model at the end of `text` if it was cut for copying; empty otherwise.
        cut_reason: The allowance that was exceeded if it was cut for copying, in words; empty otherwise.
        is_changed: Whether `text` differs from the checked text.
    """

    text: str
    findings: tuple[Finding, ...] = ()
    copied_chars: int = 0
    hidden_chars: int = 0
    cut_message: str = ""
    cut_reason: str = ""
    is_changed: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """The number of findings of each kind."""
        return dict(Counter(finding.kind for finding in self.findings))

    def as_json(self) -> dict[str, object]:
        """Return everything except the text as a JSON value, for an event."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "copied_chars": self.copied_chars,
            "hidden_chars": self.hidden_chars,
            "was_cut": bool(self.cut_message),
            "is_changed": self.is_changed,
        }


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of an output that a model may see.

    Attributes:
        text: The text, without `notice`.
        hidden_chars: Number of characters hidden for length.
        notice: Notice for the model if it was cut for copying; empty otherwise.
    """

    text: str
    hidden_chars: int = 0
    notice: str = ""


@dataclass(slots=True)
class News:
    """Findings of a session since they were last recorded.

    Attributes:
        found: Counts by path, and by kind and effect.
        why: How each kind was recognised.
        copied_chars: Distinct characters of the context that were shown.
        cuts: Number of texts cut or refused for copying.
    """

    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    why: dict[str, str] = field(default_factory=dict)
    copied_chars: int = 0
    cuts: int = 0

    def add(self, checked: Checked, path: str) -> None:
        """Add the findings of a text.

        Args:
            checked: The text.
            path: The path that it took.
        """
        self.found.update((path, f"{each.kind} {each.effect}") for each in checked.findings)
        self.why |= {each.kind: each.why for each in checked.findings}
        self.copied_chars += checked.copied_chars
        self.cuts += bool(checked.cut_message)

    def as_fields(self) -> dict[str, Any] | None:
        """Return the fields of a `TextGuarded` event, or None if nothing was found."""
        if not (self.found or self.cuts):
            return None
        found: dict[str, dict[str, int]] = {}
        for (path, kind), times in sorted(self.found.items()):
            found.setdefault(path, {})[kind] = times
        return {"found": found, "why": self.why, "copied_chars": self.copied_chars, "cuts": self.cuts}
