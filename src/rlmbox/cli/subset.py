"""`rlmbox subset`: the deterministic interpreter as a service on standard input and output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

from rlmbox.cli.failing import report
from rlmbox.cli.printing import print_json
from rlmbox.context.load.opening import standard_input
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.subset import grammar
from rlmbox.sandboxes.subset.grammar import SubsetProfile
from rlmbox.sandboxes.subset.meter import StepLimits
from rlmbox.sandboxes.subset.service import answer_line, default_limits

_MOST = 10**15
_MOST_CALLS = 500  # as deep as Python's own stack bears


def serve_and_print(profile: str, limits: Iterable[str] = (), *, spec: bool, as_json: bool, debug: bool) -> int:
    """Answer requests, or print what the language has; return the exit code.

    Args:
        profile: `strict` or `wide`.
        limits: Other limits than the default ones, each as `name=number`.
        spec: Print the table instead of answering.
        as_json: Print it as JSON.
        debug: Print the traceback of an error.
    """
    try:
        if spec:
            _print_table(as_json=as_json)
        else:
            known = _profile(profile)
            _serve(known, _limits(default_limits(known), limits))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=False, debug=debug)
    return 0


def _profile(name: str) -> SubsetProfile:
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


def _limits(limits: StepLimits, changes: Iterable[str]) -> StepLimits:
    names = [each.name for each in fields(StepLimits)]
    for change in changes:
        name, _, number = change.partition("=")
        if name not in names:
            raise ConfigError(f"--limit {change!r}: there is no such limit; there are {', '.join(names)}")
        most = _MOST_CALLS if name == "call_depth" else _MOST
        value = int(number) if number.isascii() and number.isdecimal() and len(number) < len(str(_MOST)) else 0
        if not 1 <= value <= most:
            raise ConfigError(f"--limit {change!r}: {name} must be a whole number from 1 to {most:,}, as in {name}=100")
        limits = replace(limits, **{name: value})
    return limits


def _serve(profile: SubsetProfile, limits: StepLimits) -> None:
    for line in standard_input():
        if line.strip():
            print(answer_line(line, profile, limits), flush=True)  # noqa: T201
