"""Secrets stay out of what is recorded and of what readers of events get, and come back for the run's owner.

The store gets events whose texts have placeholders, `<HIDDEN: email 3>`, in the place of what the guard would hide. The
values are in `Event.hidden` of the event that has them first, and nowhere but in the record's own file: traces, exports
and hooks are without. To go on with a run, or to run it again, its events are made whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

from rlmbox.events import Event
from rlmbox.guard import Finding

Find = Callable[[str], Iterable[Finding]]
"""Returns the places of a text that are to be hidden, in order and without overlaps."""

_PLACEHOLDER = re.compile(r"<HIDDEN: [^<>\n]{1,80} [0-9]{1,9}>")
_LITERAL = "text"
_LEAST_CHARS = 6
_KEPT_CHARS = 8_000_000
_KEPT_ENTRY_CHARS = 100  # what an entry takes besides its text
_NAMES = frozenset(
    {"run_id", "session_id", "parent_id", "opened_by", "key", "state", "model", "sandbox", "audit", "hidden"}
)
"""Members that are names of rlmbox's own and hold no text of anybody's."""

_Each = TypeVar("_Each", bound=Event)


class HiddenValues:
    """The table of a run's record: which placeholder stands for which value.

    Args:
        find: Returns what is to be hidden.
        known: The placeholders that the record has already, with their values.
    """

    def __init__(self, find: Find, known: Mapping[str, str] | None = None) -> None:
        self._find = find
        self._values = dict(known or {})
        self._placeholders = {value: placeholder for placeholder, value in self._values.items()}
        self._new: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._seen_chars = 0

    def __repr__(self) -> str:
        return f"<HiddenValues: {len(self._values)}>"

    def hide(self, event: _Each) -> _Each:
        """Return an event as the record's file has it; the same object where nothing is to be hidden."""
        found = self.shown(event)
        new, self._new = self._new, {}
        return replace(found, hidden=new) if new else found

    def shown(self, event: _Each) -> _Each:
        """Return an event that is not kept as readers get it; values that are new go with the next one that is."""
        found: _Each = _mapped(event, self._hidden_text)
        return found

    def _hidden_text(self, text: str) -> str:
        """Return a text as it is shown; a turn has again what its cells gave, and an answer what all turns have."""
        found = self._seen.get(text)
        if found is None:
            found = self._without(text)
            self._seen_chars += len(text) + _KEPT_ENTRY_CHARS
            if self._seen_chars > _KEPT_CHARS:
                self._seen, self._seen_chars = {}, len(text) + _KEPT_ENTRY_CHARS
            self._seen[text] = found
        return found

    def _without(self, text: str) -> str:
        if len(text) < _LEAST_CHARS:
            return text
        spans = [(each.start, each.end, each.kind) for each in self._find(text) if each.effect == "hidden"]
        if "<HIDDEN: " in text:  # a text that has what looks like a placeholder gets it back as it was
            spans = _with_literals(text, spans)
        pieces: list[str] = []
        at = 0
        for start, end, kind in spans:
            pieces += (text[at:start], self._placeholder(kind, text[start:end]))
            at = end
        return "".join((*pieces, text[at:])) if spans else text

    def _placeholder(self, kind: str, value: str) -> str:
        if value not in self._placeholders:
            placeholder = f"<HIDDEN: {kind} {len(self._values) + 1}>"
            self._values[placeholder] = self._new[placeholder] = value
            self._placeholders[value] = placeholder
        return self._placeholders[value]


def without_table(event: _Each) -> _Each:
    """Return an event as readers get it: without the values of its placeholders.

    Args:
        event: The event as the record's file has it.
    """
    return replace(event, hidden={}) if event.hidden else event


def table_of(events: Iterable[Event]) -> dict[str, str]:
    """Return the placeholders of a record with their values.

    Args:
        events: The events as the record's file has them.
    """
    return {placeholder: value for event in events for placeholder, value in event.hidden.items()}


def whole(events: Sequence[Event]) -> list[Event]:
    """Return the events of a record with the values in their places.

    Args:
        events: The events as the record's file has them.
    """
    table = table_of(events)
    if not table:
        return list(events)

    def restored(text: str) -> str:
        return _PLACEHOLDER.sub(lambda found: table.get(found[0], found[0]), text) if "<HIDDEN: " in text else text

    return [_mapped(without_table(event), restored) for event in events]


def _with_literals(text: str, spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    literals = [(found.start(), found.end(), _LITERAL) for found in _PLACEHOLDER.finditer(text)]
    free = [each for each in spans if not any(each[0] < end and start < each[1] for start, end, _ in literals)]
    return sorted([*free, *literals])


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with its texts changed; the same object where none is."""
    if isinstance(value, str):
        changed_text = change(value)  # an equal text of another event, where it is kept
        return value if changed_text == value else changed_text
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        mapped = {_mapped(key, change): _mapped(item, change) for key, item in value.items()}
        return value if _is_same(mapped.items(), value.items()) else mapped
    if isinstance(value, list | tuple):
        items = [_mapped(item, change) for item in value]
        return value if all(map(_is_one, items, value)) else type(value)(items)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {}
        for name in _members(type(value)):
            old = getattr(value, name)
            new = _mapped(old, change)
            if new is not old:
                changed[name] = new
        return replace(value, **changed) if changed else value
    return value


@cache
def _members(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of a dataclass's members that may hold somebody's text."""
    return tuple(each.name for each in fields(kind) if each.name not in _NAMES)


def _is_same(mapped: Iterable[tuple[Any, Any]], value: Iterable[tuple[Any, Any]]) -> bool:
    return all(key is old_key and item is old for (key, item), (old_key, old) in zip(mapped, value, strict=False))


def _is_one(first: object, second: object) -> bool:
    return first is second
