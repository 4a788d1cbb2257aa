"""`rlmbox guard FILE`: what the guard would hide in a text, and why, without the values."""

from __future__ import annotations

import json
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from rlmbox.cli.failing import report
from rlmbox.context.load.opening import standard_input
from rlmbox.errors import ConfigError
from rlmbox.guard import Checked, Guard, Policy
from rlmbox.guard.visible import printable

_VERBS = {"hidden": "hide", "warned": "warn", "named": "name"}


def guard_of(
    policy: str, per_model: Sequence[str] = (), per_path: Sequence[str] = (), allow: Sequence[str] = ()
) -> Guard:
    """Return the guard that the options of a command ask for.

    Args:
        policy: `redact`, `strict` or `off`.
        per_model: Policies by pattern of the model's name, such as `ollama:*=off`.
        per_path: Policies by path, such as `tool=off`.
        allow: Values that stay visible.

    Raises:
        ConfigError: A policy or a path is none, or a pair has no `=`.
    """
    models, paths = _pairs("--guard-model", per_model, "ollama:*=off"), _pairs("--guard-path", per_path, "tool=off")
    return Guard(cast("Policy", policy), per_model=cast("Any", models), per_path=cast("Any", paths), allow=allow)


def _pairs(option: str, given: Sequence[str], example: str) -> dict[str, str]:
    pairs = {}
    for each in given:
        name, found, policy = each.rpartition("=")
        if not found or not name:
            raise ConfigError(f"{option} takes NAME=POLICY, such as {option} '{example}', not {each!r}")
        pairs[name] = policy
    return pairs


def guard_and_print(files: Sequence[str], *, policy: str, as_json: bool, shows_text: bool, debug: bool) -> int:
    """Run `rlmbox guard` and return the exit code: 0 if nothing would be hidden, 1 if something would.

    Args:
        files: Paths of texts; `-` for standard input.
        policy: `redact`, `strict` or `off`.
        as_json: Print one object for each file.
        shows_text: Print the text as a model would get it instead of the list of findings.
        debug: Print the traceback of an error.
    """
    try:
        guard = Guard(cast("Policy", policy))
        run = guard.for_run()
        texts = [(name, _read(name)) for name in files or ["-"]]
        checks = [(name, text, run.check(text, path="subcall")) for name, text in texts]
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    for name, text, checked in checks:
        if as_json:
            _write(json.dumps({"file": name, **_located(text, checked)}) + "\n")
        elif shows_text:
            _write(checked.text)
        else:
            _print_findings(name, text, checked)
    return 1 if any(checked.is_changed for _, _, checked in checks) else 0


def _read(name: str) -> str:
    """Read a text.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        data = standard_input().read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{name} cannot be read: {why}") from error
    return data.decode(errors="surrogateescape")


def _located(text: str, checked: Checked) -> dict[str, object]:
    """Return what was found as a JSON value, with lines and columns."""
    places = _LinePlaces(text)
    found = [
        {
            "kind": each.kind,
            "effect": each.effect,
            "why": each.why,
            "start": each.start,
            "end": each.end,
            "line": places.line(each.start),
            "column": places.column(each.start),
            "placeholder_number": each.number,
        }
        for each in checked.findings
    ]
    return {"findings": found, "is_changed": checked.is_changed}


def _print_findings(name: str, text: str, checked: Checked) -> None:
    places = _LinePlaces(text)
    for each in checked.findings:
        place = f"{name}:{places.line(each.start)}:{places.column(each.start)}"
        _write(f"{place}: {_VERBS[each.effect]} {each.kind} ({each.end - each.start:,} characters): {each.why}\n")
    counts = Counter(each.effect for each in checked.findings)
    told = ", ".join(f"{number:,} {effect}" for effect, number in sorted(counts.items())) or "nothing found"
    _write(f"{name}: {told}\n")


class _LinePlaces:
    """Lines and columns of a text, both from 1."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(at + 1 for at, character in enumerate(text) if character == "\n")]

    def line(self, position: int) -> int:
        return bisect_right(self._starts, position)

    def column(self, position: int) -> int:
        return position - self._starts[self.line(position) - 1] + 1


def _write(text: str) -> None:
    """Write text as it is, but to a terminal only what does nothing there but show itself."""
    shown = printable(text) if sys.stdout.isatty() else text
    print(shown, end="", flush=True)  # noqa: T201
