"""`rlmbox subset`: the deterministic interpreter as a service on standard input and output."""

from __future__ import annotations

import sys

from rlmbox.cli.failing import report
from rlmbox.cli.printing import print_json
from rlmbox.context.load.opening import standard_input
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.subset import grammar
from rlmbox.sandboxes.subset.grammar import Profile
from rlmbox.sandboxes.subset.service import answer_line


def serve_and_print(profile: str, *, spec: bool, as_json: bool, debug: bool) -> int:
    """Answer requests, or print what the language has; return the exit code.

    Args:
        profile: `strict` or `wide`.
        spec: Print the table instead of answering.
        as_json: Print it as JSON.
        debug: Print the traceback of an error.
    """
    try:
        if spec:
            _print_table(as_json=as_json)
        else:
            _serve(_profile(profile))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=False, debug=debug)
    return 0


def _profile(name: str) -> Profile:
    for profile in grammar.PROFILES:
        if profile == name:
            return profile
    raise ConfigError(f"there is no profile {name!r}; there are {', '.join(grammar.PROFILES)}")


def _print_table(*, as_json: bool) -> None:
    if as_json:
        rows = [row.as_json() for row in grammar.table()]
        print_json(rows)
    else:
        print(grammar.as_text(grammar.table()), end="")  # noqa: T201


def _serve(profile: Profile) -> None:
    standard_input()  # a closed one is named; iterating over None would be a mistake of ours
    for line in sys.stdin:
        if line.strip():
            print(answer_line(line, profile), flush=True)  # noqa: T201
