"""Further variables in the REPL: named inputs, and the object of a structured context."""

from __future__ import annotations

import json
import keyword
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from rlmbox.context import Context
from rlmbox.context.json_parts import DEEP, Groups, is_long, json_parts
from rlmbox.context.load.structured import NotATable, instead_of, is_table
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.base import BUILTINS, INJECTED
from rlmbox.types import Table

_MOST_BYTES = 32 << 20
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_LONG_CHARS = 1 << 17
"""Longer texts go to a sandbox as the context does: by themselves, and where they must as a handle."""


NO_VARIABLE = f"no variable, because it has more than {_MOST_BYTES:,} bytes as JSON; read it from `context` and `ctx`"
"""What a model is told of the object of a structured context that is too large."""

_NOT_JSON = {
    "Out of range float": "it is or holds nan or an infinity; give None, or a text",
    "integer string conversion": "it is or holds an integer of more than 4,300 digits; give hex(…) of it",
    "Circular reference": "it contains itself; give a copy that does not",
    "recursion": "it is nested too deeply; give its parts as inputs of their own",
}
"""What `json.dumps` says, and what a user can do."""


def with_texts(inputs: Mapping[str, object], inline_limit_chars: int) -> dict[str, object]:
    """Return inputs with each long text, or file, as a `Context`.

    Args:
        inputs: The user's inputs, by name.
        inline_limit_chars: Maximum length of a string variable in the sandbox.

    Raises:
        ContextError: A file cannot be read.
    """
    found: dict[str, object] = {}
    for name, value in inputs.items():
        if isinstance(value, str) and len(value) > min(_LONG_CHARS, inline_limit_chars):
            found[name] = Context.from_text(value, name=str(name))
        else:
            found[name] = Context.of(value) if isinstance(value, os.PathLike) else value
    return found


def guarded_texts(inputs: Mapping[str, object]) -> Iterator[Context]:
    """Yield the inputs as texts for which a guard searches outgoing text; a list or a dict as its JSON.

    Args:
        inputs: Further variables, by name.
    """
    for value in inputs.values():
        if isinstance(value, Context):
            yield value
        elif isinstance(value, str | list | tuple | dict):
            with suppress(TypeError, ValueError, RecursionError):  # refused later, or nothing that could be copied
                if text := value if isinstance(value, str) else "".join(_printed_parts(value)):
                    yield Context.from_text(text)


def _printed_parts(value: object) -> Iterator[str]:
    """Yield the JSON of a value, its strings without escapes, as code prints them."""
    for part in json_parts(value, _ENCODER):
        yield part.replace("\\n", "\n").replace('\\"', '"')


def read_inputs(inputs: Mapping[str, object], context: Context, inline_limit_chars: int) -> Mapping[str, object]:
    """Return the variables for a sandbox.

    Args:
        inputs: The user's inputs, by name.
        context: The text; if made from a `dict` or `list`, that is the variable `data`, unless it is too large.
        inline_limit_chars: Maximum length of a string variable; a longer one becomes a `Context`.

    Raises:
        ConfigError: A name cannot be a variable, or a value is neither text nor JSON, or too large.
        ContextError: A file cannot be read.
    """
    found: dict[str, object] = {}
    for name, value in with_texts(inputs, inline_limit_chars).items():
        _check_name(str(name), value)
        found[str(name)] = value
    found = {name: _form(name, value) for name, value in found.items()}
    if context.data is None or "data" in found or _is_too_large(context.data):
        return found
    return {"data": context.data, **found}


def _is_too_large(data: object) -> bool:
    """Return whether the object of a structured context, which is JSON already, is too large for the sandbox.

    Its text is in the context whatever its size, so that is no error.
    """
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in json_parts(data, _ENCODER)) > _MOST_BYTES


def _form(name: str, value: object) -> object:
    """Return an input as a sandbox gets it.

    Raises:
        ConfigError: It is neither text nor JSON, or too large.
    """
    if isinstance(value, Table):
        _written(name, value.form)
    if isinstance(value, str | Context | Table):
        return value
    if (form := _quick_form(name, value)) is not None:
        return form
    _check_keys(name, value)
    # In its JSON form, so that a tuple or a subclass is the same in every sandbox and in a resumed run.
    return json.loads(_written(name, value))


def _check_name(name: str, value: object) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ConfigError(f"an input has a name that can be a variable, not {name!r}")
    if name in INJECTED and not (name == "data" and isinstance(value, Table)):
        raise ConfigError(f"{name!r} means something else in the REPL; rename the input")
    if name in BUILTINS:
        raise ConfigError(f"{name!r} means something else in Python; rename the input, so that code can use both")


def _quick_form(name: str, value: object) -> object | None:
    """Return a copy of a list or a dict that is plain JSON; None for anything else, which is checked in detail.

    This takes half the time: serializing and parsing yields an equal value only for plain JSON.

    Raises:
        ConfigError: It is too large.
    """
    if not isinstance(value, list | dict):
        return None
    copying = _PlainCopy()
    with suppress(ValueError, TypeError, RecursionError):  # reported by the detailed check
        form: object = copying.copy(value)
        if copying.size_bytes > _MOST_BYTES:
            raise _too_large(name, copying.size_bytes)
        return form
    return None


class _PlainCopy:
    """Copies plain JSON values, long ones in parts.

    Attributes:
        size_bytes: Length as JSON of all that was copied.
    """

    def __init__(self) -> None:
        self.size_bytes = 0

    def copy(self, value: object, depth: int = 0) -> Any:
        """Return a copy of a value.

        Args:
            value: The value.
            depth: How deep it is in another.

        Raises:
            ValueError: It is not plain JSON.
        """
        from pydantic_core import from_json, to_json  # late: some runs do not need it

        if isinstance(value, list | dict) and depth <= DEEP and is_long(value):
            return self._long(value, depth + 1)
        written = to_json(value)
        self.size_bytes += len(written)
        form = from_json(written, allow_inf_nan=False)
        if form != value:
            raise ValueError
        return form

    def _long(self, value: list[Any] | dict[str, Any], depth: int) -> Any:
        made: Any = [] if isinstance(value, list) else {}
        add = made.extend if isinstance(value, list) else made.update
        groups = Groups(value)
        for group in groups:
            before_bytes = self.size_bytes
            if len(group) > 1 or not is_long(group):
                add(self.copy(group, depth))
                self.size_bytes -= 1  # two brackets, for a comma
            elif isinstance(group, list):
                add([self.copy(group[0], depth)])
                self.size_bytes += 1
            else:
                if not all(isinstance(key, str) for key in group):
                    raise ValueError
                add({self.copy(key): self.copy(inner, depth) for key, inner in group.items()})
                self.size_bytes += 2
            groups.chars = self.size_bytes - before_bytes
        self.size_bytes += 1
        return made


def _written(name: str, value: object) -> str:
    """Serialize an input as JSON.

    Raises:
        ConfigError: It is not JSON, or too large.
    """
    try:
        written = json.dumps(
            value,
            ensure_ascii=False,
            allow_nan=False,
            default=lambda each: _refuse(each, name if each is value else "…"),
        )
        size_bytes = len(written.encode("utf-8", "surrogatepass"))
    except (TypeError, ValueError, RecursionError) as error:
        problem = next((said for words, said in _NOT_JSON.items() if words in str(error)), str(error))
        raise ConfigError(f"the input {name!r} is not a JSON value: {problem}") from None
    if size_bytes > _MOST_BYTES:
        raise _too_large(name, size_bytes)
    return written


def _too_large(name: str, size_bytes: int) -> ConfigError:
    return ConfigError(
        f"the input {name!r} has {size_bytes:,} bytes as JSON; at most {_MOST_BYTES:,} are passed: give the path of a "
        "file, or the rows as one text, which may be of any length"
    )


def _refuse(value: object, name: str) -> object:
    """Raise TypeError for a value in an input that is not JSON."""
    kind = type(value).__name__
    if is_table(value) or isinstance(value, Context | os.PathLike):
        raise TypeError(f"a {kind} is an input of its own, by its name")
    remedy = instead_of(value, name) or "; give str(…) of it, or text, numbers, lists and dicts"
    raise TypeError(f"it is or holds an object of type {kind}{remedy}")


def with_tables(inputs: Mapping[str, object], context: Context, *, has_pandas: bool) -> dict[str, object]:
    """Return inputs with each pandas table in the form in which it is sent to a sandbox.

    Args:
        inputs: The user's inputs, by name.
        context: The text; if made from a table, that is the variable `data`.
        has_pandas: Whether code may import pandas.

    Raises:
        ConfigError: Code has no pandas, or a table has something that the form cannot represent.
    """
    found = {str(name): value for name, value in inputs.items()}
    if "data" in found and is_table(found["data"]):
        raise ConfigError("'data' means something else in the REPL; rename the input")
    if has_pandas and context.table is not None:
        found["data"] = context.table
    for name, value in found.items():
        if not is_table(value):
            continue
        if not has_pandas:
            kind, records = (
                ("Series", "to_list()") if hasattr(value, "to_frame") else ("DataFrame", "to_dict('records')")
            )
            raise ConfigError(
                f"the input {name!r} is a pandas {kind}: allow it with packages=['pandas'], or give {name}.{records}"
            )
        from rlmbox.context.load.tables import table_of  # late: most runs do not need it

        try:
            found[name] = table_of(value)
        except NotATable as error:
            raise ConfigError(f"the input {name!r} cannot go into a sandbox: {error}") from None
    return found


def _check_keys(name: str, value: object) -> None:
    """Raise ConfigError if a dict in an input has a key that JSON would change."""
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
    """Return the description of an input for a model, such as `list, 3 items`.

    Args:
        value: The input.
    """
    if isinstance(value, Table):
        return value.description
    if isinstance(value, str | Context):
        return f"str, {value.length if isinstance(value, Context) else len(value):,} characters"
    if isinstance(value, Mapping):
        keys = ", ".join(repr(str(key)[:40]) for key in list(value)[:10])
        return f"dict, {len(value):,} keys: {keys}{', …' if len(value) > 10 else ''}"
    if isinstance(value, list | tuple):
        return f"list, {len(value):,} items"
    return type(value).__name__
