"""Printing so that no character is too much for the terminal or the pipe."""

from __future__ import annotations

import json
import sys


def never_fail_to_encode() -> None:
    """Let characters that standard output and standard error cannot encode be printed as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a JSON value; characters that standard output cannot encode are JSON's own escapes.

    Args:
        value: Of what JSON has.
        indent: Spaces for each level; None for one line.
    """
    takes_all = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    print(json.dumps(value, ensure_ascii=not takes_all, indent=indent), flush=True)  # noqa: T201
