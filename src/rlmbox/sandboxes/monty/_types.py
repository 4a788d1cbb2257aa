"""Checking a cell's types before it runs: it may save a turn, and it is no wall.

Monty's checker (ty) reads stubs of everything that is in the REPL. What it finds is told to the model instead of
running the cell only where it cannot be a matter of taste: a name, an argument or a method that there is not.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from rlmbox.sandboxes.base import Host
from rlmbox.types import HostFunction

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
_KNOWN_TYPES = frozenset({"Any", "None", "bool", "bytes", "dict", "float", "int", "list", "str", "tuple"})
_ALWAYS = (
    "from typing import Any",
    "context: str",
    "P: str",
    "query: str",
    "zlib: Any",
    "def SHOW_VARS() -> dict[str, str]: ...",
    "answer: dict[str, Any]",
    "import json, math, base64, binascii",
)
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


def stubs_of(host: Host) -> str:
    """Writes the stubs of what is in the REPL.

    Args:
        host: The functions that code may call.
    """
    lines = [*_ALWAYS]
    objects: dict[str, list[HostFunction]] = {}
    for name, function in host.items():
        owner, dot, _ = name.partition(".")
        if dot:
            objects.setdefault(owner, []).append(function)
        elif not name.startswith("_"):
            lines.append(_definition(function, ""))
    for owner, methods in objects.items():
        lines.append(f"class {owner.capitalize()}:")
        lines += [f"    {_definition(method, 'self')}" for method in methods]
        lines.append(f"{owner}: {owner.capitalize()}")
    return "\n".join([*lines, ""])


def findings(report: str, known: Collection[str], host: Host) -> Iterator[TypeProblem]:
    """Picks what is certainly wrong from a checker's report.

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
            or (rule == "unresolved-reference" and message.split("`")[1] not in known)
            or (rule == "unresolved-attribute" and message.startswith(("Object of type", "Class")))
            or (rule == "invalid-argument-type" and any(name in message for name in own))
        )
        if certain:
            yield TypeProblem(found["location"]["row"], message)


def _definition(function: HostFunction, first: str) -> str:
    """Writes one function, with `Any` for types that the checker would not know."""
    parameters = [first] if first else []
    try:
        signature = inspect.signature(function.call)
    except (TypeError, ValueError):  # some functions written in C do not say
        signature = None
        parameters.append("*args: Any, **kwargs: Any")
    named = False
    for parameter in signature.parameters.values() if signature else ():
        if parameter.kind is parameter.KEYWORD_ONLY and not named:
            named = True
            parameters.append("*")
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else star
        default = "" if parameter.default is parameter.empty or star else " = ..."
        parameters.append(f"{star}{parameter.name}: {_type(parameter.annotation)}{default}")
    returned = _type(signature.return_annotation) if signature else "Any"
    return f"def {function.name.rpartition('.')[2]}({', '.join(parameters)}) -> {returned}: ..."


def _type(annotation: object) -> str:
    """Writes an annotation, `Any` where it names anything but a built-in type."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return "Any"
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    plain = not any(isinstance(node, ast.Attribute | ast.Call) for node in ast.walk(tree))
    text = text.replace("object", "Any")
    return text if plain and names <= _KNOWN_TYPES | {"object"} else "Any"
