"""`rlmbox profiles`: the ways to go about a question that there are."""

from __future__ import annotations

from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
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
    rows = [
        (profile.name, profile.summary, ", ".join(f"{name}={value}" for name, value in profile.limits.items()))
        for profile in PROFILES.values()
    ]
    print_table(("profile", "what it is for", "limits"), rows, folds=("what it is for", "limits"))
    return 0
