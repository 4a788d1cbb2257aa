"""The words of errors in the version of CPython that runs the host, where Monty has those of another.

Words go with the version: a cell that prints an error is to print in Monty what it prints in the other sandboxes here.
What Monty's words do not say, such as the item that `list.index` did not find, stays as Monty has it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any, cast

_NO_PLACE = cast("Any", [])


def _said(act: Callable[[], object]) -> str:
    """Return what an act that fails says."""
    try:
        act()
    except (ValueError, TypeError) as error:
        return str(error)
    return ""


def _unpacked() -> None:
    _first, _second = cast("Any", [1, 2, 3])


@cache
def words_source() -> str:
    """Return the source of `_rlm_worded`, which gives an error that a cell has caught the words of CPython."""
    counts = "got 3" in _said(_unpacked)
    names_use = "dict key" in _said(lambda: {_NO_PLACE: 1})
    empty = {"max": _said(lambda: max(_NO_PLACE)), "min": _said(lambda: min(_NO_PLACE))}
    day = _said(lambda: date(2024, 2, 30))
    return _SOURCE.format(counts=counts, names_use=names_use, empty=empty, day=day if "30" not in day else "")


_SOURCE = """
def _rlm_make_worded():
    str, type, ValueError, TypeError = eval('str, type, ValueError, TypeError', {{}})
    empty = {empty!r}
    day = {day!r}

    def of_value(text):
        if text.startswith('too many values to unpack (expected ') and not {counts}:
            return text.partition(', got ')[0].rstrip(')') + ')'
        if text.endswith('() iterable argument is empty'):
            return empty.get(text[:3], text)
        if day and text.startswith('day ') and ' for month ' in text:
            return day
        return text

    def worded(error):
        kind = type(error).__name__  # the type itself is not what the name says, in Monty
        if kind == 'ValueError':
            text = str(error)
            said = of_value(text)
            return error if said == text else ValueError(said)
        if kind == 'TypeError' and not {names_use}:
            text = str(error)
            if text.startswith('cannot use ') and text.endswith(')') and ' (unhashable type: ' in text:
                return TypeError(text.partition(' (')[2][:-1])
        return error

    return worded


_rlm_worded = _rlm_make_worded()
"""
