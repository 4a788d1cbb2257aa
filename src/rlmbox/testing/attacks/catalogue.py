"""The attacks as data: what each runs, what must be proven before, and the expected result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

NEEDS = ("walls", "time", "memory", "output", "processes", "disk")
"""Properties of a sandbox that may have to be proven before an attack runs; each is the name of a probe."""


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack.

    Attributes:
        id: Its name, such as `NETW-02-dns-exfil`.
        group: Its group, such as `network`.
        expected: A description of the expected result.
        description: What it does, if no code shows it.
        cells: Code to run in the sandbox, one cell after the other. Placeholders such as `@SECRET_FILE@` stand for what
            only the run knows. An output line that begins with `ESCAPE:` means that the attack succeeded, and one that
            begins with `WEAK:` that a barrier is missing.
        scenario: Name of the function that carries out an attack which takes more than cells.
        not_here: Why the attack cannot be tried on a sandbox; empty if it can.
        needs: Properties that must have been proven of this sandbox before the attack runs; if there are any, its walls
            must hold too.
        first_decides: Whether the later cells only inspect the effects of the first, so that the attack is not
            expressible if the first cell is not.
        ends: Allowed outcomes of the last cell; empty for any.
        cell_timeout_s: Time limit of each cell, in seconds.
        hides: Facts of the host that must not be revealed: `kernel`, `paths`.
        calls_at_most: Largest number of host calls that may reach the host; None for any.
        see: Tests of the same barrier from another side.
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
        """Return whether it may run where nothing is proven."""
        return not self.needs


@cache
def attacks() -> Mapping[str, Attack]:
    """Return the attacks by id, in their order.

    Raises:
        ValueError: The data is invalid.
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
