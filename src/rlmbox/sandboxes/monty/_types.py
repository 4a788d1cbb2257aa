"""Checking a cell's types before it runs: it may save a turn, and it is no wall.

Monty's checker (ty) reads stubs of everything that is in the REPL. What it finds is told to the model instead of
running the cell only where it cannot be a matter of taste: a name, an argument or a method that there is not.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.stubs import definitions

_CERTAIN = frozenset(
    {
        "call-non-callable",
        "invalid-syntax",
        "missing-argument",
        "too-many-positional-arguments",
        "unknown-argument",
        "unresolved-import",
    }
)
_ALWAYS = (
    "from typing import Any",
    "context: str",
    "P: str",
    "query: str",
    "zlib: Any",
    "def SHOW_VARS() -> dict[str, str]: ...",
    "import json, math, base64, binascii",
)
_THERE = frozenset({"json", "math", "base64", "binascii", "setattr", "UnicodeDecodeError", "UnicodeEncodeError"})
"""Names that the checker does not know: it takes no imports from stubs, and its builtins lack some."""
MODULE_STUB = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"
"""The stub of an offered module: it has everything."""


@dataclass(frozen=True, slots=True)
class TypeProblem:
    """Something that the checker says of a cell.

    Attributes:
        line: The line, from 1.
        message: What is wrong.
    """

    line: int
    message: str


def stubs_of(host: Host, inputs: Iterable[str]) -> str:
    """Write the stubs of what is in the REPL, for the checker.

    Args:
        host: The functions that code may call.
        inputs: Names of the further variables.
    """
    return "\n".join([*_ALWAYS, *(f"{name}: Any" for name in inputs), *definitions(host), ""])


def findings(report: str, known: Collection[str], host: Host) -> Iterator[TypeProblem]:
    """Pick what is certainly wrong from a checker's report.

    Args:
        report: The report, one JSON object a line.
        known: Names that cells have set; a cell that failed halfway has set some that the checker has not seen.
        host: The functions that code may call.
    """
    own = (*(f"function `{name}`" for name in host if "." not in name), "bound method `Ctx.")
    for line in report.splitlines():
        found = json.loads(line)
        rule, message = found["code"], found["message"]
        if "_rlm_" in message:
            continue  # ours, which the checker does not know
        certain = (
            rule in _CERTAIN
            or (rule == "unresolved-reference" and message.split("`")[1] not in {*known, *_THERE})
            or (rule == "unresolved-attribute" and message.startswith(("Object of type", "Class")))
            or (rule == "invalid-argument-type" and any(name in message for name in own))
        )
        if certain:
            yield TypeProblem(found["location"]["row"], message)
