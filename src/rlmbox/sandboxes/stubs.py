"""Stubs of what is in the REPL, as the text of a `.pyi` file, for type checkers, editors and people."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping

from rlmbox.context import Context
from rlmbox.sandboxes.base import MODULES, Host
from rlmbox.types import HostFunction

_KNOWN_TYPES = frozenset({"Any", "None", "bool", "bytes", "dict", "float", "int", "list", "str", "tuple"})
_KINDS: Mapping[type, str] = {str: "str", Context: "str", list: "list[Any]", dict: "dict[str, Any]"}
_HEADER = (
    "from typing import Any",
    *(f"import {name} as {name}" for name in MODULES),
    "context: str",
    "P: str",
    "query: str",
    "data: Any",
    'def SHOW_VARS() -> dict[str, str]:\n    """Your variables and what they hold."""',
)


def stubs_of(host: Host, inputs: Mapping[str, object]) -> str:
    """Write stubs for everything in the REPL, as the text of a `.pyi` file.

    Args:
        host: The functions that code may call.
        inputs: Further variables and their values.
    """
    variables = (f"{name}: {_KINDS.get(type(value), 'Any')}" for name, value in inputs.items() if name != "data")
    return "\n".join([*_HEADER, *variables, *definitions(host, documented=True), ""])


def definitions(host: Host, *, documented: bool = False) -> list[str]:
    """Write the functions that code may call, and the objects whose methods are functions of the host.

    Args:
        host: The functions.
        documented: Whether each has its docstring.
    """
    lines: list[str] = []
    objects: dict[str, list[HostFunction]] = {}
    for name, function in host.items():
        owner, dot, _ = name.partition(".")
        if dot:
            objects.setdefault(owner, []).append(function)
        elif not name.startswith("_"):
            lines.append(_definition(function, "", documented=documented))
    for owner, methods in objects.items():
        lines.append(f"class {owner.capitalize()}:")
        written = (_definition(method, "self", documented=documented) for method in methods)
        lines += [textwrap.indent(each, "    ") for each in written]
        lines.append(f"{owner}: {owner.capitalize()}")
    return lines


def _definition(function: HostFunction, first: str, *, documented: bool) -> str:
    """Write one function, with `Any` for types that a checker would not know."""
    parameters = [first] if first else []
    returned = "Any"
    try:
        signature = inspect.signature(function.call)
    except (TypeError, ValueError):  # some functions written in C have no signature
        parameters.append("*args: Any, **kwargs: Any")
    else:
        parameters += _parameters(signature)
        returned = _type(signature.return_annotation)
    name = function.name.rpartition(".")[2]
    body = f"\n    {_docstring(function.summary)}" if documented else " ..."
    return f"def {name}({', '.join(parameters)}) -> {returned}:{body}"


def _parameters(signature: inspect.Signature) -> list[str]:
    written: list[str] = []
    last: inspect.Parameter | None = None
    for parameter in signature.parameters.values():
        if last is not None and last.kind is last.POSITIONAL_ONLY and parameter.kind is not parameter.POSITIONAL_ONLY:
            written.append("/")
        if parameter.kind is parameter.KEYWORD_ONLY and (last is None or last.kind < last.VAR_POSITIONAL):
            written.append("*")
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        star = "**" if parameter.kind is parameter.VAR_KEYWORD else star
        default = "" if parameter.default is parameter.empty or star else " = ..."
        written.append(f"{star}{parameter.name}: {_type(parameter.annotation)}{default}")
        last = parameter
    if last is not None and last.kind is last.POSITIONAL_ONLY:
        written.append("/")
    return written


def _docstring(summary: str) -> str:
    text = " ".join(summary.split()).replace("\\", "\\\\").replace('"""', "\u2033")
    return f'"""{text} """' if text.endswith('"') else f'"""{text}"""'


def _type(annotation: object) -> str:
    """Write an annotation, with `Any` for anything but built-in types."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return "Any"
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    plain = not any(isinstance(node, ast.Attribute | ast.Call | ast.Dict | ast.Set) for node in ast.walk(tree))
    text = text.replace("object", "Any")
    return text if plain and names <= _KNOWN_TYPES | {"object"} else "Any"
