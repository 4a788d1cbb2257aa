"""The words of errors in the version of CPython that runs the host, where Monty has those of another.

Words go with the version: a cell that prints an error is to print in Monty what it prints in the other sandboxes here.
What Monty's words do not say, such as the kind of key of a KeyError, is refused where a cell would show it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any, cast

_ANY = cast("Any", None)
_NO_PLACE = cast("Any", [])
_FLOAT = 0.0


def _said(act: Callable[[], object]) -> str:
    """Return what an act that fails says."""
    try:
        act()
    except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
        return str(error)
    return ""


def _unpacked() -> None:
    _first, _second = cast("Any", [1, 2, 3])


def _part_set() -> None:
    cast("Any", [1, 2])[0:1] = 5


@cache
def _texts() -> dict[tuple[str, str], str]:
    """Return, by type and by Monty's words, the words of this version."""
    return {
        ("ValueError", "max() iterable argument is empty"): _said(lambda: max(_NO_PLACE)),
        ("ValueError", "min() iterable argument is empty"): _said(lambda: min(_NO_PLACE)),
        ("ZeroDivisionError", "zero to a negative power"): _said(lambda: 0**-1),
        ("ValueError", "expected a positive input"): _said(lambda: math.log(0)),
        ("TypeError", "must assign iterable to extended slice"): _said(_part_set),
        ("TypeError", "unsupported operand type(s) for +: 'bytes' and 'str'"): _said(lambda: b"" + cast("Any", "")),
        ("TypeError", "unsupported operand type(s) for +: 'tuple' and 'list'"): _said(
            lambda: cast("Any", ()) + _NO_PLACE
        ),
        ("KeyError", "'popitem(): dictionary is empty'"): "popitem(): dictionary is empty",
    }


@cache
def _beginnings() -> list[tuple[str, str, str]]:
    """Return the types and the beginnings of Monty's words for which this version says the same whatever follows."""
    day = _said(lambda: date(2024, 2, 30))
    return [
        ("ValueError", "expected a nonnegative input, got ", _said(lambda: math.sqrt(-1))),
        ("ValueError", "Out of range float values are not JSON", _said(lambda: json.dumps(math.nan, allow_nan=False))),
        *([("ValueError", "day ", day)] if "30" not in day else []),
    ]


@cache
def _endings() -> list[tuple[str, str, str]]:
    """Return the types, the endings of Monty's words, and those of this version."""
    within = _said(lambda: 1 in cast("Any", 5)).partition("'int'")[2]
    plain = _said(lambda: setattr(_ANY, "x", 1)).partition("'x'")[2]
    return [
        ("TypeError", " is not a container or iterable", within),
        ("AttributeError", " and no __dict__ for setting new attributes", plain),
    ]


_UNITS = re.compile(r"(year|month|hour|minute|second|microsecond) must be in [\d.]+, not -?\d+")


def in_this_version(kind: str, text: str) -> str:
    """Return the words of this version for an error that a cell did not catch.

    Args:
        kind: The error's type.
        text: Monty's words.
    """
    words: dict[str, Any] = {}
    exec(_source(), words)  # noqa: S102 - our own, and one set of rules for both sides
    return str(words["_rlm_said"](kind, text))


def type_name(kind: str) -> str:
    """Return the name of an error's type in this version."""
    return re.error.__name__ if kind == "PatternError" else kind


@cache
def words_source() -> str:
    """Return the source of `_rlm_worded`, which gives an error that a cell has caught the words of CPython."""
    return _source() + _WORDED


@cache
def _source() -> str:
    counts = "got 3" in _said(_unpacked)
    names_use = "dict key" in _said(lambda: {_NO_PLACE: 1})
    units = ", not" not in _said(lambda: date(2024, 13, 1))
    divisions = {
        "div": (_said(lambda: 1 / 0), _said(lambda: 1 / _FLOAT)),
        "floordiv": (_said(lambda: 1 // 0), _said(lambda: 1 // _FLOAT)),
        "mod": (_said(lambda: 1 % 0), _said(lambda: 1 % _FLOAT)),
    }
    place = _said(lambda: [1].index(2)).startswith("2 ")
    return _SAID.format(
        counts=counts,
        names_use=names_use,
        units=units,
        texts=_texts(),
        beginnings=_beginnings(),
        endings=_endings(),
        divisions=divisions,
        place=place,
        pattern=re.error.__name__,
    )


_SAID = """
def _rlm_make_said():
    len = eval('len', {{}})
    texts, beginnings, endings = {texts!r}, {beginnings!r}, {endings!r}
    units = ('year', 'month', 'hour', 'minute', 'second', 'microsecond')

    def said(kind, text):
        for one, beginning, words in beginnings:
            if kind == one and text.startswith(beginning) and (beginning != 'day ' or ' for month ' in text):
                return words
        for one, ending, words in endings:
            if kind == one and text.endswith(ending):
                return text[: len(text) - len(ending)] + words
        if kind == 'ValueError':
            if text.startswith('too many values to unpack (expected ') and not {counts}:
                return text.partition(', got ')[0].rstrip(')') + ')'
            if {units} and text.partition(' ')[0] in units and ' must be in ' in text:
                return text.partition(', not ')[0]
        if kind == 'TypeError' and not {names_use}:
            if text.startswith('cannot use ') and text.endswith(')') and ' (unhashable type: ' in text:
                return text.partition(' (')[2][:-1]
        return texts.get((kind, text), text)

    return said


_rlm_said = _rlm_make_said()
_rlm_divisions = {divisions!r}
_rlm_names_place = {place!r}
_rlm_pattern_error = {pattern!r}
"""

_WORDED = """
def _rlm_make_worded():
    str, type, float, list, repr, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError = eval(
        'str, type, float, list, repr, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError', {}
    )
    said, divisions, names_place, pattern_error = _rlm_said, _rlm_divisions, _rlm_names_place, _rlm_pattern_error
    kinds = {
        'ValueError': ValueError, 'TypeError': TypeError, 'KeyError': KeyError, 'AttributeError': AttributeError,
        'ZeroDivisionError': ZeroDivisionError,
    }

    def worded(error, is_shown=False, methods=None):
        kind = type(error).__name__  # the type itself is not what the name says, in Monty
        make = kinds.get(kind)
        if make is None:
            return error
        text = error.args[0] if kind == 'KeyError' and error.args else str(error)
        if kind == 'KeyError' and is_shown and type(text) is str and is_no_text(text):
            _rlm_refuse(
                'the words of a KeyError whose key is no text, such as ' + text + ', are not in this REPL: '
                'ask with `in` before, and print the key'
            )
        words = said(kind, text)
        if methods and kind == 'TypeError':
            name, _, rest = words.partition('() ')
            if rest and name in methods:
                words = methods[name] + '.' + words
        return error if words == text else make(words)

    def is_no_text(text):
        if text in ('None', 'True', 'False'):
            return True
        if text[:1] == '(' and text[-1:] == ')':
            return True
        try:
            float(text)
        except ValueError:
            return False
        return True

    def worded_division(name, a, b):
        try:
            return a / b if name == 'div' else a // b if name == 'floordiv' else a % b
        except ZeroDivisionError:
            if type(a).__name__ not in ('int', 'float', 'bool') or type(b).__name__ not in ('int', 'float', 'bool'):
                raise
        raise ZeroDivisionError(divisions[name][type(a) is float or type(b) is float])

    def worded_index(value, item, *places):
        try:
            return value.index(item, *places)
        except ValueError:
            if type(value) is not list or not names_place:
                raise
        raise ValueError(repr(item) + ' is not in list')

    def type_name(value):
        name = type(value).__name__
        if name == 'ValueError':
            text = str(value)
            if text.startswith(('no median for empty', 'no mode for empty')) or ' requires at least ' in text:
                return 'StatisticsError'
        return pattern_error if name == 'PatternError' else name

    return worded, worded_division, worded_index, type_name


_rlm_worded, _rlm_worded_division, _rlm_worded_index, _rlm_worded_type_name = _rlm_make_worded()
"""
