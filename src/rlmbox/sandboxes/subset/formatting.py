"""Formatting by `format`, f-strings and `%`, with widths checked before anything is built."""

from __future__ import annotations

import _string  # type: ignore[import-not-found]
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rlmbox.sandboxes.subset.errors import forbidden_syntax
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.values import SCALARS, same_kind, show, text, weigh

_DIGITS = re.compile(r"\d+")
_PERCENT = re.compile(r"%(\([^)]*\))?[-#0 +]*(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?(.)?", re.DOTALL)
_MAX_NUMBER_CHARS = 12
_NUMBER_CHARS = 400  # the longest text of a float formatted without a width


def convert(meter: Meter, value: Any, conversion: str | None) -> Any:
    """Return a value converted by `!r`, `!s` or `!a`."""
    if conversion is None:
        return value
    if conversion == "s":
        return text(meter, value)
    shown = show(meter, value)
    if conversion == "a":
        meter.make_text(len(shown) * (1 if shown.isascii() else 10))
        return shown if shown.isascii() else ascii(shown)[1:-1].replace("\\\\", "\\").replace("\\'", "'")
    return shown


def formatted(meter: Meter, value: Any, spec: str) -> str:
    """Return `format(value, spec)`."""
    if not spec:
        return text(meter, value)
    if value.__class__ not in SCALARS or value is None or value.__class__ is bytes:
        if isinstance(value, int):  # a flag
            value = int(value)
        else:
            raise TypeError(f"unsupported format string passed to {same_kind(value)}.__format__")
    size = sum(_number(digits) for digits in _DIGITS.findall(spec))
    length = len(value) if value.__class__ is str else value.bit_length() + 4 if value.__class__ is int else 0
    meter.make_text(size + length + _NUMBER_CHARS, wide=not spec.isascii() or (length > 0 and not _ascii(value)))
    return format(value, spec)


def _ascii(value: Any) -> bool:
    return value.__class__ is not str or value.isascii()


def _number(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_NUMBER_CHARS else 10**_MAX_NUMBER_CHARS


def braces(meter: Meter, template: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return `template.format(*args, **kwargs)`.

    Raises:
        Refusal: A field accesses an attribute or item, as `{0.name}` and `{0[key]}` do.
    """
    return _Braces(meter, args, kwargs).filled(template, 2)


class _Braces:
    def __init__(self, meter: Meter, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._meter, self._args, self._kwargs = meter, args, kwargs
        self._next: int | None = 0

    def filled(self, template: str, depth: int) -> str:
        if depth < 1:
            raise ValueError("Max string recursion exceeded")
        meter = self._meter
        meter.scan(len(template))
        parts: list[str] = []
        meter.held.append(parts)
        size = 0
        for literal, field, spec, conversion in _string.formatter_parser(template):
            meter.spend(1)
            found = literal
            if field is not None:
                value = convert(meter, self._value(field), conversion)
                found += formatted(meter, value, self.filled(spec, depth - 1) if spec else "")
            size += len(found)
            parts.append(found)
        meter.make_text(size, any(not part.isascii() for part in parts))
        meter.held.pop()
        return "".join(parts)

    def _value(self, field: str) -> Any:
        if "." in field or "[" in field:
            raise forbidden_syntax(f"the field {{{field[:40]}}}", "take the part first: '{}'.format(value[key])")
        if field == "" or field.isdigit():
            return self._positional(field)
        if field not in self._kwargs:
            raise KeyError(field)
        return self._kwargs[field]

    def _positional(self, field: str) -> Any:
        if field == "":
            if self._next is None:
                raise ValueError("cannot switch from manual field specification to automatic field numbering")
            index = self._next
            self._next += 1
        else:
            if self._next:
                raise ValueError("cannot switch from automatic field numbering to manual field specification")
            self._next = None
            index = _number(field)
        if index >= len(self._args):
            raise IndexError(f"Replacement index {index} out of range for positional args tuple")
        return self._args[index]


def percent(meter: Meter, template: str, value: Any) -> str:
    """Return `template % value`."""
    values = value if value.__class__ is tuple else (value,)
    size, used, wide = len(template), 0, not template.isascii()
    sizes = [_shown_size(meter, each) for each in values]
    for key, width, precision, kind in _PERCENT.findall(template):
        for number in (width, precision):
            if number == "*":
                star = values[used] if used < len(values) else 0
                size += abs(star) if star.__class__ is int else 0
                used += 1
            elif number:
                size += _number(number)
        if key and value.__class__ in (dict, Counter, defaultdict):
            size += _shown_size(meter, value.get(key[1:-1]))
        elif kind != "%":
            size += sizes[used] if used < len(sizes) else 0
            used += 1
    meter.make_text(size + _NUMBER_CHARS, wide or any(each.__class__ is str and not each.isascii() for each in values))
    return str(template % value)


def _shown_size(meter: Meter, value: Any) -> int:
    kind = value.__class__
    if kind is str:
        return len(value)
    if kind is int:
        return value.bit_length() + 4  # type: ignore[no-any-return]
    if kind is float:
        return _NUMBER_CHARS
    return weigh(meter, value, as_text=True)
