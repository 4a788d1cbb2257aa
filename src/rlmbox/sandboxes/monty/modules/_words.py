"""The words of errors in the version of CPython that runs the host, where Monty has those of another.

Words go with the version: a cell that prints an error is to print in Monty what it prints in the other sandboxes here.
What Monty's words do not say, such as the kind of key of a KeyError, is refused where a cell would show it.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

_ANY = cast("Any", None)
_NO_PLACE = cast("Any", [])
_FLOAT = 0.0
_NAIVE: Any = datetime(2024, 1, 1)
_AWARE: Any = datetime(2024, 1, 1, tzinfo=UTC)


def _said(act: Callable[[], object]) -> str:
    """Return the message of the error that a call raises."""
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
    """Return the messages of this version of Python, by the exception's type and Monty's message."""
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
        ("TypeError", "unsupported operand type(s) for -: 'datetime.datetime' and 'datetime.datetime'"): _said(
            lambda: _AWARE - _NAIVE
        ),
        **{
            ("TypeError", f"'{sign}' not supported between instances of 'datetime.{a}' and 'datetime.{b}'"): words
            for sign in ("<", "<=", ">", ">=")
            for a, b, words in (
                ("datetime", "datetime", _said(lambda: _AWARE < _NAIVE)),
                ("date", "datetime", _said(lambda: _NAIVE.date() < _NAIVE)),
                ("datetime", "date", _said(lambda: _NAIVE.date() > _NAIVE)),
            )
        },
    }


@cache
def _vague() -> list[tuple[str, str, str | None]]:
    """Return the types and the words of Monty's own of which CPython's cannot be made.

    Returns:
        The type, the beginning of the words, and a part of them; or the type, the whole words, and None.
    """
    owners = ("str", "bytes", "list", "tuple", "set", "frozenset", "dict", "int", "float", "math")
    named = (
        "print",
        "int",
        "float",
        "sorted",
        "sort",
        "split",
        "rsplit",
        "splitlines",
        "encode",
        "decode",
        "expandtabs",
    )
    found: list[tuple[str, str, str | None]] = [
        ("TypeError", "expected str", None),
        ("TypeError", "a bytes-like object is required", None),
        ("TypeError", "cannot serialize type", ""),
        ("TypeError", "own_", "("),
        ("TypeError", "m_", "("),
        ("TypeError", "attribute() ", " argument"),
        ("TypeError", "replace() takes at ", ""),
        ("TypeError", "replace() missing ", ""),
        *[("TypeError", f"{one}.", " expected ") for one in owners],
        *[("TypeError", f"{one} expected at most", "") for one in ("split", "rsplit", "splitlines", "sort")],
        *[("TypeError", f"{one}() got an unexpected keyword argument", "") for one in named],
    ]
    if "x not in" not in _said(lambda: deque([1]).remove(2)):
        found += [("ValueError", "deque.remove(x): ", ""), ("ValueError", "deque.index(x): ", "")]
    return found


@cache
def _beginnings() -> list[tuple[str, str, str]]:
    """Return the types and the beginnings of Monty's words for which this version says the same whatever follows."""
    day = _said(lambda: date(2024, 2, 30))
    domain = _said(lambda: math.acos(2))
    beginnings = ("expected a number ", "expected a noninteger ", "expected argument value ")
    return [
        *[("ValueError", one, domain) for one in beginnings if not domain.startswith("expected")],
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


@cache
def _sums() -> list[tuple[str, str]]:
    """Return the beginnings of Monty's words for a sum that there is not, and this version's, with ? for the type."""
    whole = "unsupported operand type(s) for +: '{}' and '"
    return [
        (whole.format("tuple"), _said(lambda: cast("Any", ()) + 1).replace("int", "?")),
        (whole.format("bytes"), _said(lambda: cast("Any", b"") + 1).replace("int", "?")),
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
def date_words() -> str:
    """Return the source of the words for a name that a date, or a named tuple, has no field of."""

    class Point(NamedTuple):
        x: int

    try:
        cast("Any", Point(1))._replace(**{"?": 1})
    except (ValueError, TypeError) as error:
        said, is_type_error = str(error), isinstance(error, TypeError)
    of_date = _said(lambda: date(2024, 1, 1).replace(**cast("Any", {"?": 1})))
    return f"_rlm_date_words = {(of_date, said, is_type_error)!r}\n"


@cache
def words_source() -> str:
    """Return the source of `_rlm_worded`, which gives an error that a cell has caught the words of CPython."""
    return _source() + files(__package__).joinpath("worded.monty").read_text(encoding="utf-8")


@cache
def _source() -> str:
    counts = "got 3" in _said(_unpacked)
    names_use = "dict key" in _said(lambda: {_NO_PLACE: 1})
    units = ", not" not in _said(lambda: date(2024, 13, 1))
    divisions = {
        "div": (_said(lambda: 1 / 0), _said(lambda: 1 / _FLOAT)),
        "floordiv": (_said(lambda: 1 // 0), _said(lambda: 1 // _FLOAT)),
        "mod": (_said(lambda: 1 % 0), _said(lambda: 1 % _FLOAT)),
        "divmod": (_said(lambda: divmod(1, 0)), _said(lambda: divmod(1, _FLOAT))),
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
        vague=_vague(),
        sums=_sums(),
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
        found = texts.get((kind, text))
        if found is None and kind == 'TypeError':
            for beginning, words in {sums!r}:
                if text.startswith(beginning):
                    return words.replace('?', text[len(beginning) : -1])
        return text if found is None else found

    return said


_rlm_said = _rlm_make_said()
_rlm_divisions = {divisions!r}
_rlm_names_place = {place!r}
_rlm_pattern_error = {pattern!r}
_rlm_vague = {vague!r}
"""
