"""The attacks as data: what each runs, what must have been proven before it may, and what must come of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

NEEDS = ("walls", "time", "memory", "output", "processes", "disk")
"""Properties that may have to be proven of a sandbox before an attack runs there; each is the name of a probe."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Attributes:
        id: Its name, such as `NETW-02-dns-exfil`.
        group: What it belongs to, such as `network`.
        expected: What must happen, in words.
        description: What it does, where no code says it.
        cells: Code that runs in the sandbox, one cell after the other. Words such as `@SECRET_FILE@` stand for
            what only the run knows; a line of output that begins with `ESCAPE:` says that the attack succeeded, one
            that begins with `WEAK:` that a wall which should be there is missing.
        scenario: Name of the function that carries the attack out where that takes more than cells.
        not_here: Why the attack cannot be tried on a sandbox; empty where it can.
        needs: What must have been seen to hold in this sandbox before the attack runs; where there is anything, the
            walls must hold too.
        first_decides: Whether the later cells only look at what the first one did, so that there is no attack where
            that one cannot be expressed.
        ends: Outcomes that the last cell may have; empty where any will do.
        cell_timeout_s: Seconds that each cell is given.
        hides: Facts of the host that may not be told: `kernel`, `paths`.
        calls_at_most: Most calls of host functions that reach the host; None where that does not matter.
        see: Tests that attack the same place from another side.
    """

    id: str
    group: str
    expected: str
    description: str = ""
    cells: tuple[str, ...] = ()
    scenario: str = ""
    not_here: str = ""
    needs: frozenset[str] = frozenset()
    first_decides: bool = False
    ends: frozenset[str] = frozenset()
    cell_timeout_s: float = 3.0
    hides: frozenset[str] = frozenset()
    calls_at_most: int | None = None
    see: str = ""

    @property
    def harmless(self) -> bool:
        """Return whether it may run where nothing is proven, not even that there is a wall."""
        return not self.needs


@cache
def attacks() -> Mapping[str, Attack]:
    """Return the attacks by id, in their order.

    Raises:
        ValueError: The data is wrong.
    """
    text = files(__package__).joinpath("attacks.json").read_text("utf-8")
    found = [_attack(entry) for entry in json.loads(text)]
    return MappingProxyType({attack.id: attack for attack in found})


def _attack(entry: Mapping[str, object]) -> Attack:
    fields = {
        name: (tuple(value) if name == "cells" else frozenset(value)) if isinstance(value, list) else value
        for name, value in entry.items()
    }
    attack = Attack(**fields)  # type: ignore[arg-type]
    ways = [bool(attack.not_here), bool(attack.scenario or attack.cells)]
    if sum(ways) != 1 or not attack.needs <= set(NEEDS):
        raise ValueError(f"{attack.id}: an attack has cells, a scenario or a reason, and needs only what can be probed")
    return attack
