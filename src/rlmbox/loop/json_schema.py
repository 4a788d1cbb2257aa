"""Values checked against a JSON Schema that may come from a cell, and is therefore hostile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_REFUSED = ("patternProperties", "$dynamicRef", "unevaluatedProperties", "unevaluatedItems")
_DATA = ("enum", "const", "default", "examples")
_MESSAGE_CHARS = 500


class UnusableSchema(ValueError):
    """A schema that no value can be checked against, which no other value would change."""


def schema_check(schema: Mapping[str, Any] | bool | None) -> Callable[[Any], Any]:
    """Return a function that passes on a value which fits a JSON Schema, and raises `ValueError` for any other.

    Patterns are matched by RE2, in linear time; nothing is fetched for a `$ref`.

    Args:
        schema: The schema; None lets every value pass.

    Raises:
        ValueError: The schema itself is wrong, or has a keyword that is not read here.
    """
    if schema is None:
        return lambda value: value
    from jsonschema import exceptions, validators  # takes 60 ms, and few cells need it
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    unread = next((key for key in _keys(schema) if key in _REFUSED), None)
    if unread is not None:
        raise ValueError(f"the schema has {unread!r}, which is not read here")
    kind = validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise ValueError(f"that is not a JSON Schema: {error.message[:_MESSAGE_CHARS]}") from None
    _check_references(schema)
    _check_patterns(schema)
    validator = validators.extend(kind, {"pattern": _pattern})(schema, registry=Registry())

    def check(value: Any) -> Any:
        try:
            error = exceptions.best_match(validator.iter_errors(value))
        except Unresolvable as problem:
            raise UnusableSchema(f"the schema refers to what is not in it: {problem}") from None
        except RecursionError:
            raise UnusableSchema("the schema, or the value, is nested too deeply") from None
        if error is not None:
            raise ValueError(f"it does not fit the schema at {error.json_path}: {error.message[:_MESSAGE_CHARS]}")
        return value

    return check


def _check_references(schema: Any) -> None:
    """Check that each `$ref` is of something in the schema; where it has identifiers, values will tell."""
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
    """Check that each `pattern` can be read, which nobody should pay a model's reply to find out."""
    import re2

    for pattern in _texts_of("pattern", schema):
        try:
            re2.compile(pattern, _re2_options())
        except re2.error:
            raise ValueError(_unreadable(pattern)) from None


def _re2_options() -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False  # to standard error, whoever's it is
    return options


def _unreadable(pattern: object) -> str:
    return f"the pattern {pattern!r} of the schema cannot be read by RE2, which has no lookaround and no backreferences"


def _texts_of(keyword: str, schema: Any) -> Iterator[str]:
    """Return the texts of all keywords of a name in a schema, those in data such as `enum` aside."""
    todo = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, Mapping):
            if isinstance(part.get(keyword), str):
                yield part[keyword]
            todo += [value for key, value in part.items() if key not in _DATA]
        elif isinstance(part, list | tuple):
            todo += part


def _pattern(_validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    """Check the keyword `pattern` in linear time: Python's own engine can be made to hang."""
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


def _keys(schema: Any) -> Iterator[str]:
    """Return the keys of all objects in a schema; without recursion, since it may be nested without end."""
    todo = [schema]
    while todo:
        part = todo.pop()
        if isinstance(part, Mapping):
            yield from part
            todo += part.values()
        elif isinstance(part, list | tuple):
            todo += part
