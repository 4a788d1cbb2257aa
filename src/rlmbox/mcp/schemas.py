"""Conversion of a tool's JSON Schema to a signature for the model, and of a call's arguments to a JSON object.

The schema is untrusted: anything in it that cannot be read becomes `Any`.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from typing import Any

from rlmbox.loop.json_schema import schema_check
from rlmbox.loop.tool_shapes import Written

_KINDS = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
}
_REST = "more"
_MOST_VALUES = 12
_MOST_DEPTH = 6
_SIMPLE = (str, int, float, bool, type(None))


def identifier(name: str) -> str:
    """Convert a server's name to an identifier that code can use.

    Args:
        name: The name.
    """
    found = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "tool"
    found = f"_{found}" if found[0].isdigit() else found
    return f"{found}_" if keyword.iskeyword(found) else found


class ToolParameters:
    """The parameters of a tool.

    Args:
        schema: The JSON Schema of its arguments.
        returns: The JSON Schema of its result; None if not given.

    Attributes:
        signature: The signature for calls from code.
        is_wrapped: True if the result is the only member, `result`, of an object.
    """

    def __init__(self, schema: Mapping[str, Any], returns: Mapping[str, Any] | None) -> None:
        self._schema = schema
        members = schema.get("properties")
        self._members: Mapping[str, Any] = members if isinstance(members, Mapping) else {}
        required = schema.get("required")
        self._required = set(required) if isinstance(required, list) else set()
        self._check = _check_of(schema)
        returned = returns.get("properties") if isinstance(returns, Mapping) else None
        self.is_wrapped = isinstance(returned, Mapping) and returned.keys() == {"result"}
        self.signature = self._signature(_type(returned["result"], returns) if self.is_wrapped and returned else "Any")

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the parameters that are not identifiers and have to be passed in a dict, with `**`."""
        return tuple(name for name in self._members if not _is_parameter(name))

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the object to send.

        Args:
            given: The arguments by name. None is left out if the parameter is optional and not nullable.

        Raises:
            TypeError: It does not match the schema.
        """
        found = {key: value for key, value in given.items() if value is not None or self._takes_none(key)}
        try:
            self._check(found)
        except ValueError as error:
            raise TypeError(str(error).removeprefix("it does not fit the schema at ")) from None
        return found

    def _takes_none(self, name: str) -> bool:
        return name in self._required or "None" in _type(self._members.get(name, {}), self._schema)

    def _signature(self, returns: str) -> inspect.Signature:
        named = [name for name in self._members if _is_parameter(name)]
        named.sort(key=lambda name: name not in self._required)  # stable: required parameters come first
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [
            inspect.Parameter(name, kind, default=self._default(name), annotation=self._annotation(name))
            for name in named
        ]
        if self.others or self._schema.get("additionalProperties") not in (False, None) or not self._members:
            rest = next(name for name in (_REST, "others_", "rest_") if name not in named)
            if self._members or self._schema.get("additionalProperties") not in (False, None):
                parameters.append(inspect.Parameter(rest, inspect.Parameter.VAR_KEYWORD, annotation=Written("Any")))
        return inspect.Signature(parameters, return_annotation=Written(returns))

    def _default(self, name: str) -> Any:
        if name in self._required:
            return inspect.Parameter.empty
        member = self._members[name]
        default = member.get("default") if isinstance(member, Mapping) else None
        return default if isinstance(default, _SIMPLE) or default in ([], {}) else None

    def _annotation(self, name: str) -> Written:
        text = _type(self._members[name], self._schema)
        can_be_none = name not in self._required and self._default(name) is None
        return Written(f"{text} | None" if can_be_none and "None" not in text and text != "Any" else text)


def _check_of(schema: Mapping[str, Any]) -> Callable[[Any], Any]:
    try:
        return schema_check(schema)
    except ValueError:  # an invalid schema: the server checks the arguments itself
        return lambda value: value


def _is_parameter(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _type(schema: Any, root: Any, depth: int = 0) -> str:
    """Return the type of a member in Python's notation."""
    if not isinstance(schema, Mapping) or depth > _MOST_DEPTH:
        return "Any"
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _type(_referred(reference, root), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return _union([_type(each, root, depth + 1) for each in schema[key]])
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and 0 < len(values) <= _MOST_VALUES and all(isinstance(v, _SIMPLE) for v in values):
        return f"Literal[{', '.join(repr(value) for value in values)}]"
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([_type({**schema, "type": each}, root, depth + 1) for each in kind])
    if kind == "array":
        items = _type(schema.get("items"), root, depth + 1)
        return "list" if items == "Any" else f"list[{items}]"
    if kind == "object" and isinstance(schema.get("properties"), Mapping):
        return _shape(schema["properties"], root, depth)
    return _KINDS.get(kind, "Any") if isinstance(kind, str) else "Any"


def _shape(members: Mapping[str, Any], root: Any, depth: int) -> str:
    """Return the structure of an object, for a model rather than a type checker."""
    if depth > 2 or not members or len(members) > _MOST_VALUES:
        return "dict"
    return f"{{{', '.join(f'{name!r}: {_type(each, root, depth + 1)}' for name, each in members.items())}}}"


def _union(kinds: list[str]) -> str:
    return "Any" if "Any" in kinds else " | ".join(dict.fromkeys(kinds))


def _referred(reference: str, root: Any) -> Any:
    """Resolve a reference within the schema; None for any other."""
    if not reference.startswith("#/"):
        return None
    found = root
    for part in reference[2:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found
