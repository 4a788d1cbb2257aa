"""`rlmbox profiles`: the ways to go about a question that there are."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from rlmbox.cli.printing import print_json
from rlmbox.events import to_json
from rlmbox.loop.profiles import PROFILES


def profiles_and_print(*, as_json: bool) -> int:
    """Run `rlmbox profiles`; return the exit code.

    Args:
        as_json: Print one JSON object.
    """
    if as_json:
        print_json({name: to_json(profile) for name, profile in PROFILES.items()})
        return 0
    table = Table("profile", "what it is for", "limits", box=None, pad_edge=False)
    for profile in PROFILES.values():
        limits = ", ".join(f"{name}={value}" for name, value in profile.limits.items())
        table.add_row(profile.name, profile.summary, limits)
    Console().print(table)
    return 0
