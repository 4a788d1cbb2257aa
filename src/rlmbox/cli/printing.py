"""Printing so that no character is too much for the terminal or the pipe."""

from __future__ import annotations

import json
import os
import sys

from rlmbox.guard.visible import printable


def never_fail_to_encode() -> None:
    """Let characters that standard output and standard error cannot encode be printed as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def open_closed_streams() -> None:
    """Open standard streams that were closed, so that no file that is opened later, such as a record, has their number.

    Printing to a closed standard output then fails as on a full disk. What goes to a closed standard error is lost.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number that is free
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a JSON value, with JSON's escapes for what cannot be encoded and what would have an effect on a terminal.

    Args:
        value: Of what JSON has.
        indent: Spaces for each level; None for one line.
    """
    takes_all = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(value, ensure_ascii=not takes_all, indent=indent)
    if sys.stdout.isatty():
        shown = printable(text)
        text = "".join(c if c == s else json.dumps(c)[1:-1] for c, s in zip(text, shown, strict=True))
    print(text, flush=True)  # noqa: T201


def output_failed(error: OSError) -> int:
    """Print in one line that the output cannot be written, such as to a full disk; return the exit code."""
    why = error.strerror or str(error)
    if not isinstance(error, BrokenPipeError):  # whoever reads, such as head, has enough
        print(f"error: the output cannot be written: {why}; rlmbox runs lists the runs that are kept", file=sys.stderr)  # noqa: T201
    # What is still buffered would fail once more when Python exits.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
