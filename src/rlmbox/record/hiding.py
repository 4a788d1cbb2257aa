"""Removal of secrets from recorded events and from those that readers receive, reversible for the run's owner.

The store receives events whose texts have placeholders, `<HIDDEN: email 3>`, in place of whatever the guard would hide.
The values are in `Event.hidden` of the first event that has them, and only in the record's own file: traces, exports
and hooks do not receive them. To resume or replay a run, its events are restored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import anyio.to_thread

from rlmbox.context.json_parts import is_long
from rlmbox.events import Event, ReplyDelta, RunStarted
from rlmbox.guard import Finding

Find = Callable[[str], Iterable[Finding]]
"""Returns the places of a text that are to be hidden, in order and without overlaps."""

_OfNumber = Callable[[float], object] | None

_PLACEHOLDER = re.compile(r"<HIDDEN: [^<>\n]{1,80} [0-9]{1,9}>")
_LITERAL = "text"
_NUMBER = "number "
_LEAST_NUMBER = 10**9
_HOLD_NUMBERS = frozenset({"arguments", "keywords", "value", "inputs", "tables", "texts", "context"})
"""Members with values of code or of the user; all other numbers are rlmbox's own."""

_LEAST_CHARS = 6
_HELD_CHARS, _BEFORE_CHARS, _LONGEST_CHARS = 64, 200, 32_768
_KEPT_CHARS = 8_000_000
_KEPT_LONG_TEXTS = 8  # a reply is in the event of its turn again, and an answer in that of its session
_KEPT_CLASSES = 512
_MANY_TEXTS = 1_000
_KEPT_ENTRY_CHARS = 100  # size of a cache entry besides its text
_NAMES = frozenset(
    {"run_id", "session_id", "parent_id", "opened_by", "key", "state", "model", "sandbox", "audit", "hidden"}
)
"""Members that are names of rlmbox's own and hold no text of anybody's."""

LONG_CHARS = 100_000
"""Length of a text from which on it is looked through in a thread: other runs wait while the event loop does it."""

_Span = tuple[int, int, str]
_Each = TypeVar("_Each", bound=Event)


class HiddenValues:
    """A record's table of placeholders and their values.

    Args:
        find: Returns the values to hide.
        known: The placeholders that the record already has, with their values.
        suspects: Returns those of many texts that may contain something to hide; None if each is to be searched.
    """

    def __init__(
        self,
        find: Find,
        known: Mapping[str, str] | None = None,
        suspects: Callable[[Iterable[str]], set[str]] | None = None,
    ) -> None:
        self._find = find
        self._suspects = suspects
        self._ahead: dict[int, dict[str, list[_Span]]] = {}  # results for events searched in advance, by identity
        self._now: Mapping[str, list[_Span]] = {}  # those for the current event
        self._values = dict(known or {})
        self._placeholders = {(_is_number(name), value): name for name, value in self._values.items()}
        self._found: dict[str, list[_Span]] = {}  # results for the last long texts, searched in advance
        self._streams: dict[tuple[str, int, bool], _Stream] = {}
        self._new: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._seen_chars = 0

    def __repr__(self) -> str:
        return f"<HiddenValues: {len(self._values)}>"

    def hide(self, event: _Each) -> _Each:
        """Return an event as it is stored; the same object if nothing is to be hidden."""
        found = self.shown(event)
        new, self._new = self._new, {}
        return replace(found, hidden=new) if new else found

    def shown(self, event: _Each) -> _Each:
        """Return an unstored event as readers receive it; new values are stored with the next stored event."""
        ahead = self._ahead.pop(id(event), None)
        self._now = self._searched(event) if ahead is None and isinstance(event, RunStarted) else ahead or {}
        found: _Each = mapped(event, self._hidden_text, self._hidden_number)
        self._now = {}
        return found

    async def look_through(self, event: Event) -> None:
        """Search an event in a thread if its texts are long, or many, so that hiding it then takes almost no time.

        Args:
            event: The event, before it is hidden or shown.
        """
        members = _members(type(event))  # type: ignore[arg-type]  # mypy holds that a class has no hash
        if is_long(*[getattr(event, name) for name, holds_data in members if holds_data]):
            for cancelled in list(self._ahead)[:-_KEPT_LONG_TEXTS]:
                del self._ahead[cancelled]
            self._ahead[id(event)] = await anyio.to_thread.run_sync(self._searched, event)
            found = await anyio.to_thread.run_sync(self._searched_long, event)
        elif any(text not in self._seen for text in long_texts(event)):
            found = await anyio.to_thread.run_sync(self._searched_long, event)
        else:
            return
        for old in list(self._found)[:-_KEPT_LONG_TEXTS]:
            del self._found[old]
        self._found |= found

    def _searched_long(self, event: Event) -> dict[str, list[_Span]]:
        """Return what is to be hidden in the long texts of an event."""
        return {text: self._spans(text) for text in set(long_texts(event)) if text not in self._seen}

    def _searched(self, event: Event) -> dict[str, list[_Span]]:
        """Return what is to be hidden in an event's texts and numbers; many that have nothing are searched together."""
        texts = {text for text in _collected(event) if len(text) >= _LEAST_CHARS}
        are_many = self._suspects is not None and len(texts) >= _MANY_TEXTS
        suspects = self._suspects(texts) if self._suspects is not None and are_many else texts
        return {text: self._spans(text) if text in suspects else [] for text in texts if len(text) <= LONG_CHARS}

    def _hidden_text(self, text: str) -> str:
        """Return a text with values hidden; cached, because the output of cells recurs in turns and in answers."""
        if self._now.get(text) == []:
            return text
        found = self._seen.get(text)
        if found is None:
            found = self._without(text)
            self._seen_chars += len(text) + _KEPT_ENTRY_CHARS
            if self._seen_chars > _KEPT_CHARS:
                self._seen, self._seen_chars = {}, len(text) + _KEPT_ENTRY_CHARS
            self._seen[text] = found
        return found

    def piece(self, event: ReplyDelta) -> ReplyDelta | None:
        """Return a piece of a reply as readers receive it, delayed by a few words; None if nothing can be shown yet."""
        stream = self._streams.setdefault(
            (event.key, event.attempt, event.is_reasoning), _Stream(self._find, self._placeholder)
        )
        text = stream.add(event.text)
        return replace(event, text=text) if text else None

    def rest(self, event: Event) -> list[ReplyDelta]:
        """Return the rest of a reply's pieces, before an event that ends its request."""
        key = getattr(event, "key", None)
        ended = [name for name in self._streams if name[0] == key]
        left: list[ReplyDelta] = []
        for name in ended:
            text = self._streams.pop(name).rest()
            if text and key:
                own = {each: getattr(event, each) for each in ("run_id", "session_id", "parent_id", "depth", "state")}
                model, number = getattr(event, "model", ""), getattr(event, "number", None)
                left.append(
                    ReplyDelta(
                        **own, model=model, number=number, key=key, attempt=name[1], text=text, is_reasoning=name[2]
                    )
                )
        return left

    def _without(self, text: str) -> str:
        if len(text) < _LEAST_CHARS:
            return text
        found = self._found.get(text) if len(text) > LONG_CHARS else self._now.get(text)
        spans = self._spans(text) if found is None else found
        if "<HIDDEN: " in text:  # restores a text that contains what looks like a placeholder unchanged
            spans = _with_literals(text, spans)
        pieces: list[str] = []
        at = 0
        for start, end, kind in spans:
            pieces += (text[at:start], self._placeholder(kind.removeprefix(_NUMBER), text[start:end]))
            at = end
        return "".join((*pieces, text[at:])) if spans else text

    def _spans(self, text: str) -> list[_Span]:
        return [(each.start, each.end, each.kind) for each in self._find(text) if each.effect == "hidden"]

    def _hidden_number(self, value: float) -> object:
        """Return a number, or its placeholder if its digits as a whole are to be hidden, such as a card number."""
        if not _LEAST_NUMBER <= abs(value) < 10**20 or value != int(value):
            return value
        digits = str(abs(int(value)))
        if self._now.get(digits) == []:
            return value
        kind = next((each.kind for each in self._find(digits) if each.effect == "hidden"), None)
        return value if kind is None else self._placeholder(_NUMBER + kind, repr(value))

    def _placeholder(self, kind: str, value: str) -> str:
        known = kind.startswith(_NUMBER), value
        if known not in self._placeholders:
            placeholder = f"<HIDDEN: {kind} {len(self._values) + 1}>"
            self._values[placeholder] = self._new[placeholder] = value
            self._placeholders[known] = placeholder
        return self._placeholders[known]


class _Stream:
    """A text that arrives in pieces, of which only the part is released that cannot be the beginning of a secret.

    Args:
        find: Returns the values to hide.
        hidden: Returns the placeholder of a value, by its kind.
    """

    def __init__(self, find: Find, hidden: Callable[[str, str], str]) -> None:
        self._find = find
        self._hidden = hidden
        self._text = ""
        self._told = 0

    def add(self, piece: str) -> str:
        """Add the next piece, and return what may be shown now."""
        self._text += piece
        end = max(self._told, len(self._text) - _HELD_CHARS)
        while end > self._told and not self._text[end - 1].isspace():
            end -= 1
        begun = self._text.rfind("-----BEGIN", self._told)
        if begun >= 0 and "-----END" not in self._text[begun:] and len(self._text) - begun < _LONGEST_CHARS:
            end = min(end, begun)
        if end == self._told and len(self._text) - self._told > _LONGEST_CHARS:
            end = len(self._text)  # a single word longer than any secret
        return self._until(end)

    def rest(self) -> str:
        """Return the rest at the end."""
        return self._until(len(self._text))

    def _until(self, end: int) -> str:
        if end <= self._told:
            return ""
        pieces, at = [], self._told
        for found in self._find(self._text):
            if found.effect != "hidden" or found.end <= self._told or found.start >= end:
                continue
            if found.end > end:
                end = max(at, found.start)
                break
            start = max(found.start, self._told)
            pieces += [self._text[at:start], self._hidden(found.kind, self._text[start : found.end])]
            at = found.end
        pieces.append(self._text[at:end])
        left_out = max(0, end - _BEFORE_CHARS)  # some preceding text is kept as context for what follows
        self._text, self._told = self._text[left_out:], end - left_out
        return "".join(pieces)


def long_texts(value: object) -> Iterator[str]:
    """Yield the long texts of an event.

    Args:
        value: The event, or a value in it.
    """
    if isinstance(value, str):
        if len(value) > LONG_CHARS:
            yield value
    elif members := _members(type(value)):  # type: ignore[arg-type]  # mypy holds that a class has no hash
        for name, _ in members:
            yield from long_texts(getattr(value, name))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from long_texts(key)
            yield from long_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from long_texts(item)


def _is_number(placeholder: str) -> bool:
    return placeholder.startswith(f"<HIDDEN: {_NUMBER}")


def without_table(event: _Each) -> _Each:
    """Return an event as readers receive it, without the values of its placeholders.

    Args:
        event: The event as the record's file has it.
    """
    return replace(event, hidden={}) if event.hidden else event


def placeholder_table(events: Iterable[Event]) -> dict[str, str]:
    """Return the placeholders of a record, with their values.

    Args:
        events: The events as the record's file has them.
    """
    return {placeholder: value for event in events for placeholder, value in event.hidden.items()}


def whole(events: Sequence[Event]) -> list[Event]:
    """Return the events of a record with the placeholders replaced by their values.

    Args:
        events: The events as the record's file has them.
    """
    table = placeholder_table(events)
    if not table:
        return list(events)

    def restored(text: str) -> object:
        if "<HIDDEN: " not in text:
            return text
        if _is_number(text) and text in table:
            return json.loads(table[text])
        return _PLACEHOLDER.sub(lambda found: table.get(found[0], found[0]), text)

    return [mapped(without_table(event), restored) for event in events]


def _with_literals(text: str, spans: list[_Span]) -> list[_Span]:
    literals = [(found.start(), found.end(), _LITERAL) for found in _PLACEHOLDER.finditer(text)]
    free = [each for each in spans if not any(each[0] < end and start < each[1] for start, end, _ in literals)]
    return sorted([*free, *literals])


def mapped(value: Any, change: Callable[[str], object], of_number: _OfNumber = None, is_data: bool = False) -> Any:
    """Return a value with its texts changed; the same object if none are.

    Args:
        value: The value.
        change: Returns the replacement of a text.
        of_number: Returns the replacement of a number, within members that hold values of code.
        is_data: True within such a member.
    """
    if value is None:
        return value
    if isinstance(value, str):
        changed_text = change(value)  # may be an equal string of another event, from the cache
        return value if changed_text == value else changed_text
    members = _members(type(value))  # type: ignore[arg-type]  # mypy holds that a class has no hash
    if members:  # checked first, since an answer contains all turns of its question
        changed = {}
        for name, holds_data in members:
            old = getattr(value, name)
            new = old if old is None else mapped(old, change, of_number, is_data or holds_data)
            if new is not old:
                changed[name] = new
        return replace(value, **changed) if changed else value
    if isinstance(value, int | float):
        return of_number(value) if is_data and of_number is not None and not isinstance(value, bool) else value
    if isinstance(value, Mapping):
        made = {
            mapped(key, change, of_number, is_data): mapped(item, change, of_number, is_data)
            for key, item in value.items()
        }
        return value if _is_same(made.items(), value.items()) else made
    if isinstance(value, list | tuple):
        items = [mapped(item, change, of_number, is_data) for item in value]
        return value if all(map(_is_one, items, value)) else type(value)(items)
    return value


@lru_cache(_KEPT_CLASSES)
def _members(kind: type) -> tuple[tuple[str, bool], ...]:
    """Return the members of a dataclass that may change, and whether each holds values of code; empty for others."""
    if not is_dataclass(kind):
        return ()
    return tuple((each.name, each.name in _HOLD_NUMBERS) for each in fields(kind) if each.name not in _NAMES)


def _collected(event: Event) -> set[str]:
    """Return the texts of an event, including keys, and the digits of long numbers; except placeholders."""
    texts, todo = set[str](), list[Any]([event])
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            if "<HIDDEN: " not in each:
                texts.add(each)
        elif members := _members(type(each)):  # type: ignore[arg-type]  # mypy holds that a class has no hash
            todo += (getattr(each, name) for name, _ in members)
        elif isinstance(each, Mapping):
            todo += each.keys()
            todo += each.values()
        elif isinstance(each, list | tuple):
            todo += each
        elif isinstance(each, int | float) and _LEAST_NUMBER <= abs(each) < 10**20 and each == int(each):
            texts.add(str(abs(int(each))))
    return texts


def _is_same(mapped: Iterable[tuple[Any, Any]], value: Iterable[tuple[Any, Any]]) -> bool:
    return all(key is old_key and item is old for (key, item), (old_key, old) in zip(mapped, value, strict=False))


def _is_one(first: object, second: object) -> bool:
    return first is second
