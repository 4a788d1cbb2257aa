"""Error messages of the Python version that runs the host, where Monty's differ.

Messages depend on the version: a cell that prints one has to print in Monty what it prints in the other sandboxes here.
A message that cannot be derived from Monty's, such as a KeyError with a key of unknown type, is refused where shown.
"""

from __future__ import annotations

import json
import math
import random
import re
import statistics
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

STATISTICS = re.compile(
    r"\w+ requires at least (one|two) data points?|no (mode|median) for empty data|must have at least \w+ data points?"
    r"|(data and weights must be the same length|sum of weights must be non-zero|Number of weights does not match).*"
    r"|(geometric mean requires|harmonic mean does not|Weighted sum must be).*|n must be at least 1"
)
"""Messages of a StatisticsError, which is a ValueError in Monty."""

_ANY = cast("Any", None)
_NO_PLACE = cast("Any", [])
_FLOAT = 0.0
_NAIVE: Any = datetime(2024, 1, 1)
_AWARE: Any = datetime(2024, 1, 1, tzinfo=UTC)


def _said(act: Callable[[], object]) -> str:
    """Return the message of the exception that a call raises."""
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
    """Return this version's messages by the exception's type and Monty's message."""
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
        ("ValueError", "must have at least one data point"): _said(lambda: statistics.quantiles([])),
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


_OPERAND = r"'[\w.]+'"
_TWO_LISTS = "'(tuple' and 'tuple|list' and 'list)'"
_BUILTIN = "str|bytes|list|tuple|dict|set|frozenset|range|int|float|bool|NoneType"
_OF_CPYTHON = re.compile(
    "|".join(
        [
            rf"unsupported operand type\(s\) for \S+( or pow\(\)|=)?: {_OPERAND} and {_OPERAND}",
            rf"unsupported operand type\(s\) for divmod\(\): {_OPERAND} and {_OPERAND}",
            # For two lists CPython compares their items, and names the types of these.
            rf"'(<|>|<=|>=)' not supported between instances of (?!{_TWO_LISTS}){_OPERAND} and {_OPERAND}",
            rf"bad operand type for (unary [-+~]|abs\(\)): {_OPERAND}",
            r'can only concatenate (str|list|tuple|deque) \(not "[\w.]+"\) to (str|list|tuple|deque)',
            r"can't (concat [\w.]+ to bytes|multiply sequence by non-int of type '[\w.]+')",
            rf"{_OPERAND} object (is not (iterable|callable|subscriptable|an iterator|reversible|a mapping))",
            rf"{_OPERAND} object (cannot be interpreted as an integer|does not support item (assignment|deletion))",
            rf"{_OPERAND} object doesn't support item deletion",
            r"cannot convert dictionary update sequence element #\d+ to a sequence",
            rf"{_OPERAND} object (does not support the( asynchronous)? context manager protocol.*)",
            # Of a tuple CPython names the item.
            rf"unhashable type: (?!'tuple'){_OPERAND}",
            rf"cannot use {_OPERAND} as a (dict key|set element) \(unhashable type: (?!'tuple'){_OPERAND}\)",
            rf"argument of type {_OPERAND} is not (iterable|a container or iterable)",
            rf"(object of type {_OPERAND} has no len\(\)|'in <string>' requires string as left operand, not [\w.]+)",
            r"(list|tuple|range|byte) indices must be integers or slices, not [\w.]+",
            r"string indices must be integers, not '[\w.]+'",
            r"slice indices must be integers (or None )?or have an __index__ method",
            r"sequence item \d+: expected (str instance|a bytes-like object), [\w.]+ found",
            r"(can only join an iterable|cannot unpack non-iterable [\w.]+ object|must be real number, not [\w.]+)",
            rf"(int\(\) argument must be a string, a bytes-like object|float\(\) argument must be a string) or a real number, not {_OPERAND}",  # noqa: E501
            r"int\(\) can't convert non-string with explicit base",
            r"ord\(\) expected (a character, but string of length \d+|string of length 1, but [\w.]+) found",
            r"(not all arguments converted during string formatting|not enough arguments for format string)",
            r"(format requires a mapping|%[diuxXo] format: (a real number|an integer) is required, not [\w.]+)",
            rf"unsupported format string passed to ({_BUILTIN}|Counter)\.__format__",
            r"sum\(\) can't sum (strings|bytes|bytearray) \[use .*\]",
            r"type [\w.]+ doesn't define __(round|trunc)__ method",
            r"(isinstance|issubclass)\(\) arg \d must be .*",
            r"(starts|ends)with first arg must be str or a tuple of str, not [\w.]+",
            r"(Object of type [\w.]+ is not JSON serializable|keys must be str, int, float, bool or None, not [\w.]+)",
            r"the JSON object must be str, bytes or bytearray, not [\w.]+",
            r"(expected string or bytes-like object, got '[\w.]+'|first argument must be string or compiled pattern)",
            r"cannot use a (string|bytes) pattern on a (bytes-like|string-like) object",
            r"(strptime|strftime)\(\) argument \d must be str, not [\w.]+",
            r"(fromisoformat: argument must be str|can't compare offset-naive and offset-aware datetimes)",
            r"(can't compare [\w.]+ to [\w.]+|can't subtract offset-naive and offset-aware datetimes)",
            r"(conversion from [\w.]+ to Decimal is not supported|Strings must be encoded before hashing)",
            r"unsupported type for timedelta \w+ component: [\w.]+",
            r"can't convert type '[\w.]+' to numerator/denominator",
            r"(the )?first argument must be callable( or None)?|an integer is required",
            r"(a bytes-like object is required, not|\w+\(\) argument after \*\*? must be an? \w+, not) .*",
            r"(\w+\.)*\w+\.__init__\(\) (missing|takes|got) .*",
            r"descriptor '\w+' (for|requires) .*",
            r"(key|attribute|keyword)s? (name )?must be (a )?strings?.*",
            r"'\w+' object is not (an async iterator|awaitable).*|object [\w.]+ can't be used in 'await' expression",
            rf"(?!dict)({_BUILTIN})\.\w+\(\) takes (no arguments|exactly one argument) \((?!1 )[1-9]\d* given\)",
            rf"(?!dict)({_BUILTIN})\.\w+\(\) takes no arguments \(1 given\)",
            rf"(?!dict)({_BUILTIN})\.\w+\(\) takes no keyword arguments",
            r"(len|abs|repr|ord|hex|oct|bin)\(\) takes exactly one argument \((?!1 )[1-9]\d* given\)",
            r"(en|de)code\(\) argument '\w+' must be str, not \w+",
            r"tuple for (starts|ends)with must only contain str, not \w+",
            r"(string argument without an encoding|optional argument must be a context|cannot convert '\w+' object to bytes)",  # noqa: E501
            r"decoding to str: need a bytes-like object, \w+ found",
            r"exceptions must derive from BaseException|catching classes that do not inherit .*",
            "",
        ]
    ),
    re.DOTALL,
)
"""TypeError messages that are the same in Monty. Those of calls with the wrong number of arguments differ."""


def is_of_cpython(words: str) -> bool:
    """Return whether CPython has the same message for a TypeError that the cell did not raise itself.

    Args:
        words: The message, in this version.
    """
    return bool(_OF_CPYTHON.fullmatch(words))


@cache
def _vague() -> list[tuple[str, str]]:
    """Return the types and prefixes of Monty's messages from which CPython's cannot be derived."""
    if "x not in" in _said(lambda: deque([1]).remove(2)):
        return []
    return [("ValueError", "deque.remove(x): "), ("ValueError", "deque.index(x): ")]


@cache
def _beginnings() -> list[tuple[str, str, str]]:
    """Return types and prefixes of Monty's messages, with the message of this version that replaces the whole."""
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
    """Return types and suffixes of Monty's messages, with the suffix of this version."""
    within = _said(lambda: 1 in cast("Any", 5)).partition("'int'")[2]
    plain = _said(lambda: setattr(_ANY, "x", 1)).partition("'x'")[2]
    return [
        ("TypeError", " is not a container or iterable", within),
        ("AttributeError", " and no __dict__ for setting new attributes", plain),
    ]


@cache
def _sums() -> list[tuple[str, str]]:
    """Return prefixes of Monty's messages for an unsupported sum, with this version's message, ? for the type."""
    whole = "unsupported operand type(s) for +: '{}' and '"
    return [
        (whole.format("tuple"), _said(lambda: cast("Any", ()) + 1).replace("int", "?")),
        (whole.format("bytes"), _said(lambda: cast("Any", b"") + 1).replace("int", "?")),
    ]


_UNITS = re.compile(r"(year|month|hour|minute|second|microsecond) must be in [\d.]+, not -?\d+")


def in_this_version(kind: str, text: str) -> str:
    """Return this version's message for an exception that a cell did not catch.

    Args:
        kind: The exception's type.
        text: Monty's message.
    """
    words: dict[str, Any] = {}
    exec(_source(), words)  # noqa: S102 - our own source, so that host and REPL share one set of rules
    return str(words["_rlm_said"](kind, text))


def type_name(kind: str) -> str:
    """Return the name of an exception's type in this version."""
    return re.error.__name__ if kind == "PatternError" else kind


@cache
def date_words() -> str:
    """Return the source of the messages for a field that a date or a named tuple lacks."""

    class Point(NamedTuple):
        x: int

    try:
        cast("Any", Point(1))._replace(**{"?": 1})
    except (ValueError, TypeError) as error:
        said, is_type_error = str(error), isinstance(error, TypeError)
    of_date = _said(lambda: date(2024, 1, 1).replace(**cast("Any", {"?": 1})))
    return f"_rlm_date_words = {(of_date, said, is_type_error)!r}\n"


@cache
def pattern_words() -> str:
    """Return the source of this version's message for pattern flags of the wrong type."""
    kind = _said(lambda: re.compile("", cast("Any", ""))).rpartition(" and ")[2].strip("'")
    return f"_rlm_flag_type = {kind!r}\n"


@cache
def words_source() -> str:
    """Return the source of `_rlm_worded`, which translates the message of a caught exception to CPython's."""
    sources = [
        files(__package__).joinpath(f"{name}.monty").read_text(encoding="utf-8") for name in ("errors", "worded")
    ]
    return _source() + "".join(sources)


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
    empty = _said(lambda: random.randint(1, -1))  # noqa: S311 - for its message
    ranges = "width" if "(1, 0, -1)" in empty else "ends" if "randrange(1, 0)" in empty else ""
    return _SAID.format(
        counts=counts,
        names_use=names_use,
        units=units,
        of_year="year ? is out of range" if "year 0 is" in _said(lambda: date(0, 1, 1)) else "",
        texts=_texts(),
        beginnings=_beginnings(),
        endings=_endings(),
        divisions=divisions,
        place=place,
        ranges=ranges,
        vague=_vague(),
        sums=_sums(),
        pattern=re.error.__name__,
        sequences="to a sequence" in _said(lambda: dict(cast("Any", [1]))),
    )


_SAID = """
def _rlm_make_said():
    len, hex, ord, int, str = eval('len, hex, ord, int, str', {{}})
    texts, beginnings, endings = {texts!r}, {beginnings!r}, {endings!r}
    units = ('year', 'month', 'hour', 'minute', 'second', 'microsecond')

    def said(kind, text):
        for one, beginning, words in beginnings:
            if kind == one and text.startswith(beginning) and (beginning != 'day ' or ' for month ' in text):
                return words
        for one, ending, words in endings:
            if kind == one and text.endswith(ending):
                return text[: len(text) - len(ending)] + words
        if kind == 'AttributeError' and text.startswith("'json.JSONDecodeError' object"):
            return "'" + text[6:]
        if kind == 'ValueError' and {ranges!r} and text.startswith('empty range in rand'):
            ends = text[text.index('(') + 1 : -1].split(', ')
            if len(ends) > 2:
                return text if {ranges!r} == 'ends' else 'empty range for randrange()'
            end = int(ends[1]) + (text[19] == 'i')
            if {ranges!r} == 'ends':
                return 'empty range in randrange(' + ends[0] + ', ' + str(end) + ')'
            return 'empty range for randrange() (' + ends[0] + ', ' + str(end) + ', ' + str(end - int(ends[0])) + ')'
        if kind == 'ValueError':
            if text.startswith("Unknown format code '") and text[22:23] == "'" and not ' ' < text[21] <= '~':
                return text[:21] + '\\\\x' + hex(ord(text[21]))[2:] + text[22:]
            if text.startswith('too many values to unpack (expected ') and not {counts}:
                return text.partition(', got ')[0].rstrip(')') + ')'
            if text.startswith('year must be in 1..9999, not ') and {of_year!r}:
                return {of_year!r}.replace('?', text.rpartition(' ')[2])
            if {units} and text.partition(' ')[0] in units and ' must be in ' in text:
                return text.partition(', not ')[0]
        text = text.replace('_rlm_error_init() ', '__init__() ') if kind == 'TypeError' else text
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
_rlm_sequences = {sequences!r}
_rlm_vague = {vague!r}
"""
