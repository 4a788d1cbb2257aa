"""Further variables in the REPL: named inputs, and the object that a structured context is."""

from __future__ import annotations

import json
import keyword
from collections.abc import Mapping

from rlmbox.context import Context
from rlmbox.context.load.structured import instead_of
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.base import INJECTED

_MOST_BYTES = 32 << 20


def read_inputs(inputs: Mapping[str, object], context: Context, inline_limit_chars: int) -> Mapping[str, object]:
    """Return the variables that a sandbox is started with.

    Args:
        inputs: What the user gave, by name.
        context: The text; where it is a `dict` or `list`, that is the variable `data`.
        inline_limit_chars: Longest string that a variable may be.

    Raises:
        ConfigError: A name cannot be a variable, or a value is not JSON or too large.
    """
    found: dict[str, object] = {}
    data = getattr(context, "data", None)
    if data is not None:
        found["data"] = data
    for name, value in inputs.items():
        name = str(name)
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ConfigError(f"an input has a name that can be a variable, not {name!r}")
        if name in INJECTED:
            raise ConfigError(f"{name!r} means something else in the REPL; rename the input")
        if isinstance(value, str) and len(value) > inline_limit_chars:
            raise ConfigError(f"the input {name!r} has {len(value):,} characters; give a text of that size as context")
        found[name] = value
    for name, value in found.items():
        if name in inputs:
            _check_keys(name, value)
        try:
            written = json.dumps(value, ensure_ascii=False, allow_nan=False)
            size_bytes = len(written.encode("utf-8", "surrogatepass"))
        except (TypeError, ValueError, RecursionError) as error:
            remedy = instead_of(value, name)
            raise ConfigError(f"the input {name!r} is not a JSON value: {error}{remedy}") from None
        if size_bytes > _MOST_BYTES:
            raise ConfigError(
                f"the input {name!r} has {size_bytes:,} bytes as JSON; at most {_MOST_BYTES:,} are passed"
            )
        # As JSON has it, so that a tuple or a subclass is the same in every sandbox, and when the run goes on.
        found[name] = value if isinstance(value, str) else json.loads(written)
    return found


def _check_keys(name: str, value: object) -> None:
    """Raise ConfigError where a dict in an input has a key that JSON would make another."""
    todo, seen = [value], set[int]()
    while todo:
        each = todo.pop()
        if not isinstance(each, dict | list | tuple) or id(each) in seen:
            continue
        seen.add(id(each))
        if not isinstance(each, dict):
            todo += each
            continue
        for key in each:
            if not isinstance(key, str):
                shown = f"{repr(key)[:40]} ({type(key).__name__})"
                raise ConfigError(
                    f"the input {name!r} has the key {shown}, and JSON has only str; give str keys, or a list of pairs"
                )
        todo += each.values()


def described(value: object) -> str:
    """Return what a model is told of an input, such as `list, 3 items`.

    Args:
        value: The input.
    """
    if isinstance(value, str):
        return f"str, {len(value):,} characters"
    if isinstance(value, Mapping):
        keys = ", ".join(repr(str(key)[:40]) for key in list(value)[:10])
        return f"dict, {len(value):,} keys: {keys}{', …' if len(value) > 10 else ''}"
    if isinstance(value, list | tuple):
        return f"list, {len(value):,} items"
    return type(value).__name__
