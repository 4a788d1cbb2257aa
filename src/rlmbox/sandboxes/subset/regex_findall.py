"""`re.findall` over a text, the most frequent request of cells, with little work per match."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from typing import Any

from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.regex_direct import Direct

Span = tuple[int, int]
Search = Callable[[int, int], list[Span]]

_TOGETHER = 64
_SHORT_BYTES = 64
_ITEM_BYTES = 72


def _room(meter: Meter) -> int:
    """Return how many matches to look for at once.

    With no steps left it is one, since any match then exceeds the limit.
    """
    return max(1, min(_TOGETHER, meter.stop_at - meter.steps))


def _match_bytes(groups: int) -> int:
    return (_SHORT_BYTES + _ITEM_BYTES) * groups + _ITEM_BYTES


def literals(text: Any, literal: Any, meter: Meter) -> list[Any]:
    """Return a list with a literal as often as it occurs in a text, as `re.findall` does."""
    count = text.count(literal)
    meter.spend(count)
    meter.check_room(8 * count)
    meter.take(_ITEM_BYTES + 8 * count)
    return [literal] * count


class DirectMatches:
    """The matches of a pattern for Python's matcher, in batches.

    Args:
        direct: The pattern.
        text: The text.
        meter: Counts the work, in the same way as for `NonEmptyMatches`.
    """

    __slots__ = ("_direct", "_meter", "_text")

    def __init__(self, direct: Direct, text: Any, meter: Meter) -> None:
        self._direct, self._text, self._meter = direct, text, meter

    def batches(self, position: int) -> Iterator[list[Any]]:
        """Iterate over batches of matches from a character on; several groups are a tuple."""
        meter, groups = self._meter, self._direct.groups
        each, width = _match_bytes(max(1, groups)), 1 if self._text.isascii() else 4
        wanted = tuple(range(1, groups + 1)) or (0,)
        matches = self._matches(position)
        while True:
            room = _room(meter)
            found: list[Any] = []
            for match in islice(matches, room):
                first, last = match.span()
                if last - first > _SHORT_BYTES:
                    meter.take(width * (last - first if groups < 2 else _chars_of_groups(match, groups)))
                found.append(match.group(*wanted))
            meter.spend(len(found))
            meter.take(len(found) * each)
            yield found
            if len(found) < room:
                return

    def _matches(self, position: int) -> Iterator[re.Match[Any]]:
        matches, mark = self._direct.pattern.finditer(self._text, position), self._direct.mark
        return (match for match in matches if match.lastindex == mark) if mark else matches


def _chars_of_groups(match: re.Match[Any], groups: int) -> int:
    return sum(high - low for low, high in map(match.span, range(1, groups + 1)))


class NonEmptyMatches:
    """The matches of a pattern that has no empty match, in batches.

    Work is counted as in a loop over the matches: one step for each, and its data.

    Args:
        search: Returns the first match between two byte positions; without a match the first span is negative.
        data: The text, or its bytes if it has characters beyond ASCII.
        groups: The groups to return; 0 is the whole match.
        meter: Counts the work.
    """

    __slots__ = ("_data", "_each", "_groups", "_meter", "_search")

    def __init__(self, search: Search, data: Any, groups: tuple[int, ...], meter: Meter) -> None:
        self._search, self._data, self._groups, self._meter = search, data, groups, meter
        self._each = _match_bytes(len(groups))

    def batches(self, position: int) -> Iterator[list[Any]]:
        """Iterate over batches of matches from a byte on; several groups are a tuple."""
        take = self._take_one if len(self._groups) == 1 else self._take_several
        meter = self._meter
        while True:
            room = _room(meter)
            found: list[Any] = []
            position = take(position, room, found)
            meter.spend(len(found))
            meter.take(len(found) * self._each)
            yield found
            if position < 0:
                return

    def _take_one(self, position: int, most: int, found: list[Any]) -> int:
        search, data, size = self._search, self._data, len(self._data)
        add, group = found.append, self._groups[0]
        for _ in repeat(None, most):
            spans = search(position, size)
            first, position = spans[0]
            if first < 0:
                break
            if position - first > _SHORT_BYTES:
                self._take_long(spans)
            low, high = spans[group]
            add(data[low:high])  # a group that took no part has the span -1 to -1
        return position

    def _take_several(self, position: int, most: int, found: list[Any]) -> int:
        search, data, size = self._search, self._data, len(self._data)
        add, groups = found.append, self._groups
        for _ in repeat(None, most):
            spans = search(position, size)
            first, position = spans[0]
            if first < 0:
                break
            if position - first > _SHORT_BYTES:
                self._take_long(spans)
            add([data[low:high] for low, high in map(spans.__getitem__, groups)])
        return position

    def _take_long(self, spans: list[Span]) -> None:
        self._meter.take(sum(high - low for low, high in map(spans.__getitem__, self._groups)))


def decoded(batch: list[Any], *, several: bool) -> Iterable[Any]:
    """Decode matches that were found in bytes."""
    return ([part.decode() for part in parts] for parts in batch) if several else map(bytes.decode, batch)
