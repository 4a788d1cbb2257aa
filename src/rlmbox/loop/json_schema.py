"""Values checked against a JSON Schema that may come from a cell, and is therefore hostile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

_REFUSED = ("patternProperties", "$dynamicRef", "unevaluatedProperties", "unevaluatedItems")
_DATA = ("enum", "const", "default", "examples")
_MOST_PARTS = 2_000
_MOST_STEPS = 50_000
_MESSAGE_CHARS = 500


class UnusableSchema(ValueError):
    """A schema that no value can be checked against, so that asking again is pointless."""


def schema_check(schema: Mapping[str, Any] | bool | None) -> Callable[[Any], Any]:
    """Return a function that returns a value which fits a JSON Schema, and raises `ValueError` for any other.

    Patterns are matched by RE2, in linear time; nothing is fetched for a `$ref`.

    Args:
        schema: The schema; None accepts every value.

    Raises:
        ValueError: The schema is invalid, or has an unsupported keyword.
    """
    if schema is None:
        return lambda value: value
    from jsonschema import exceptions, validators  # late: takes 60 ms, and few cells need it
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    unread = next((key for key in _keys(schema) if key in _REFUSED), None)
    if unread is not None:
        raise ValueError(f"the schema has {unread!r}, which is not read here")
    _check_size(schema)
    kind = validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise ValueError(f"that is not a JSON Schema: {error.message[:_MESSAGE_CHARS]}") from None
    except RecursionError:
        raise ValueError("the schema is nested too deeply") from None
    _check_references(schema)
    _check_patterns(schema)
    keywords = {**kind.VALIDATORS, "pattern": _pattern, "uniqueItems": _unique_items}

    def check(value: Any) -> Any:
        counted = _Steps(_MOST_STEPS)
        own = {keyword: counted.of(function) for keyword, function in keywords.items()}
        validator = validators.extend(kind, own)(schema, registry=Registry())
        try:
            error = exceptions.best_match(validator.iter_errors(value))
        except Unresolvable as problem:
            raise UnusableSchema(f"the schema refers to what is not in it: {problem}") from None
        except RecursionError:
            raise UnusableSchema("the schema, or the value, is nested too deeply") from None
        except OverflowError as problem:
            raise ValueError(f"it has a number that cannot be checked: {problem}") from None
        if error is not None:
            raise ValueError(f"it does not fit the schema at {error.json_path}: {error.message[:_MESSAGE_CHARS]}")
        return value

    return check


class _Steps:
    """Counts the keywords evaluated: a schema whose parts refer to each other may never end.

    Args:
        most: Maximum number.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def of(self, keyword: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function of a keyword so that it is counted."""

        def counted(*arguments: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                raise UnusableSchema(f"checking the value against the schema takes more than {_MOST_STEPS:,} steps")
            return keyword(*arguments)

        return counted


def _check_size(schema: Any) -> None:
    """Refuse a schema that would take seconds to read."""
    if isinstance(schema, Mapping) and not isinstance(schema.get("$schema", ""), str):
        raise ValueError("that is not a JSON Schema: $schema is not a text")  # noqa: TRY004 - it is a dict
    if sum(1 for _ in islice(_parts(schema), _MOST_PARTS + 1)) > _MOST_PARTS:
        raise ValueError(f"the schema has more than {_MOST_PARTS:,} parts")


def _check_references(schema: Any) -> None:
    """Check that each `$ref` refers to a part of the schema; one with identifiers is only checked with values."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    keys = set(_keys(schema))
    if "$ref" not in keys or keys & {"$id", "id"}:
        return
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for reference in _texts_of("$ref", schema):
        try:
            resolver.lookup(reference)
        except (Unresolvable, ValueError):
            raise ValueError(f"the schema refers to what is not in it: {reference[:200]}") from None


def _check_patterns(schema: Any) -> None:
    """Check that each `pattern` is valid before a model's reply is paid for."""
    import re2

    for pattern in _texts_of("pattern", schema):
        try:
            re2.compile(pattern, _re2_options())
        except re2.error:
            raise ValueError(_unreadable(pattern)) from None


def _re2_options() -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False  # RE2 would log to standard error
    return options


def _unreadable(pattern: object) -> str:
    return f"the pattern {pattern!r} of the schema cannot be read by RE2, which has no lookaround and no backreferences"


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Return all objects in a schema, except in data such as `enum`."""
    todo = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, Mapping):
            yield part
            todo += [value for key, value in part.items() if key not in _DATA]
        elif isinstance(part, list | tuple):
            todo += part


def _texts_of(keyword: str, schema: Any) -> Iterator[str]:
    """Return the values of a keyword in a schema that are text, except in data such as `enum`."""
    return (part[keyword] for part in _parts(schema) if isinstance(part.get(keyword), str))


def _pattern(_validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """Check the keyword `pattern` in linear time: Python's `re` may take exponential time."""
    import re2
    from jsonschema.exceptions import ValidationError

    if not isinstance(instance, str):
        return
    try:
        found = re2.search(pattern, instance, _re2_options())
    except (re2.error, TypeError):
        raise UnusableSchema(_unreadable(pattern)) from None
    if found is None:
        yield ValidationError(f"{instance[:200]!r} does not match {pattern!r}")


def _unique_items(_validator: Any, is_wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """Check the keyword `uniqueItems` in linear time, using hashes of the items."""
    from jsonschema.exceptions import ValidationError

    if is_wanted and isinstance(instance, list) and len(set(map(_hashable, instance))) < len(instance):
        yield ValidationError("an item is there twice")


def _hashable(value: Any) -> Any:
    """Return a key that is equal for equal JSON values: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, list):
        return list, tuple(map(_hashable, value))
    if isinstance(value, Mapping):
        return dict, frozenset((key, _hashable(item)) for key, item in value.items())
    return isinstance(value, bool), value


def _keys(schema: Any) -> Iterator[str]:
    """Return the keys of all objects in a schema; iteratively, since it may be nested to any depth."""
    todo = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, Mapping):
            yield from part
            todo += part.values()
        elif isinstance(part, list | tuple):
            todo += part
