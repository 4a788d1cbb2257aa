"""Type-checks a cell before it runs; this may save a turn, and is no security boundary.

Monty's checker (ty) reads stubs of all names in the REPL. The cell is refused, and the model told why, only for what
cannot work: a name, an argument or a method that does not exist.
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
"""Names that the checker does not know: it ignores imports in stubs, and its builtins are incomplete."""
MODULE_STUB = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"
"""The stub of an offered module, which has every name."""


@dataclass(frozen=True, slots=True)
class TypeProblem:
    """An error that the checker reports.

    Attributes:
        line: The line, from 1.
        message: What is wrong.
    """

    line: int
    message: str


def stubs_of(host: Host, inputs: Iterable[str]) -> str:
    """Return stubs of the names in the REPL.

    Args:
        host: The functions that code may call.
        inputs: Names of the further variables.
    """
    return "\n".join([*_ALWAYS, *(f"{name}: Any" for name in inputs), *definitions(host), ""])


def findings(report: str, known: Collection[str], host: Host) -> Iterator[TypeProblem]:
    """Filter a checker's report for errors that are certain.

    Args:
        report: The report, one JSON object per line.
        known: Names that cells have bound; a cell that failed halfway binds some that the checker has not seen.
        host: The functions that code may call.
    """
    own = (*(f"function `{name}`" for name in host if "." not in name), "bound method `Ctx.")
    for line in report.splitlines():
        found = json.loads(line)
        rule, message = found["code"], found["message"]
        if "_rlm_" in message:
            continue  # one of our functions, which the checker does not know
        certain = (
            rule in _CERTAIN
            or (rule == "unresolved-reference" and message.split("`")[1] not in {*known, *_THERE})
            or (rule == "unresolved-attribute" and message.startswith(("Object of type", "Class")))
            or (rule == "invalid-argument-type" and any(name in message for name in own))
        )
        if certain:
            yield TypeProblem(found["location"]["row"], message)
