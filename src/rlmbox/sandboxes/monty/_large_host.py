"""Host functions for a context that is too long to be a `str`: linear-time `re`, and scans."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from rlmbox.context import Context
from rlmbox.context.search.search import Deadline, regex_spans, timeout_for
from rlmbox.sandboxes import _large_text
from rlmbox.sandboxes._large_matches import Places
from rlmbox.sandboxes._large_text import _Deadline
from rlmbox.sandboxes._texts import NamedText
from rlmbox.sandboxes.monty.modules._regex import pattern_facts
from rlmbox.types import HostFunction

_BATCH = 2_000
_MAX_BATCH_CHARS = 4_000_000
_MAX_OPEN = 16
_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.ASCII: "a"}


def text_functions(text: NamedText) -> dict[str, HostFunction]:
    """Return the functions of a long text: those of every sandbox, `regex`, and two scans that run synchronously.

    A Monty cell has a thread of its own, so synchronous scans block nobody else and make a call ten times as fast.

    Args:
        text: The text.
    """
    calls = _Scans(text.text)
    plain: dict[str, Callable[..., object]] = {
        "find": calls.find,
        "count": calls.count,
        "regex": _Finder(text.text, text.name).find,
    }
    named = {f"{text.object}.{name}": call for name, call in plain.items()}
    own = {name: HostFunction(name, call, "", pure=True) for name, call in named.items()}
    return _large_text.text_functions(text.text, text.object) | own


class _Scans:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context._store  # noqa: SLF001 - byte positions, which `Context` does not expose

    def find(self, sub: str, start: int, end: int) -> int:
        """Return the position of the first occurrence within a range, or -1."""
        part = self._part(sub, start, end)
        found = next(part.occurrences(sub.encode("utf-8", "surrogatepass"), tick=_Deadline().check), -1)
        return start + part.char_offset(found) if found >= 0 else -1

    def count(self, sub: str, start: int, end: int) -> int:
        """Count the non-overlapping occurrences within a range."""
        return int(self._part(sub, start, end).count(sub.encode("utf-8", "surrogatepass"), _Deadline().check))

    def _part(self, sub: object, start: object, end: object) -> Any:
        if not isinstance(sub, str) or not sub:
            raise TypeError("the text to find must be a str that is not empty")
        if type(start) is not int or type(end) is not int or not 0 <= start <= end <= self._context.length:
            raise ValueError("positions must lie within the text")
        return self._store.view(start, end)


class _Finder:
    """Finds matches in batches.

    Args:
        context: The text.
        name: The variable that holds it.
    """

    def __init__(self, context: Context, name: str) -> None:
        self._context, self._name = context, name
        self._open: dict[int, Iterator[tuple[int, int]]] = {}
        self._count = 0

    def find(self, pattern: str, flags: int, token: int, most: int) -> list[object]:
        """Return a batch of matches, and the token to continue with, or -1 at the end.

        Args:
            pattern: As for `re`.
            flags: As for `re`.
            token: 0, or the token of the previous call.
            most: Largest number of matches; 0 for all, -1 for all as strings.

        Returns:
            The matches, each as start, end and string or as a string, and the token.
        """
        if not token:
            self._count += 1
            token = self._count
            if len(self._open) >= _MAX_OPEN:
                del self._open[next(iter(self._open))]
            self._open[token] = self._spans(pattern, flags)
        spans = self._open.get(token)
        if spans is None:
            raise ValueError("this search has expired: start it again")
        store = self._context._store  # noqa: SLF001 - byte positions, which `Context` does not expose
        found: list[object] = []
        size = 0
        wanted = most if most > 0 else _BATCH
        places = Places(store)
        for begin, end in islice(spans, wanted):
            text = store.decode(begin, end)
            start = places.char_at(begin) if most >= 0 else 0
            found.append([start, start + len(text), text] if most >= 0 else text)
            size += len(text)
            if size > _MAX_BATCH_CHARS:
                break
        if len(found) < wanted and size <= _MAX_BATCH_CHARS:
            del self._open[token]
            token = -1
        return [found, token]

    def _spans(self, pattern: str, flags: int) -> Iterator[tuple[int, int]]:
        known = pattern_facts(pattern, flags)
        if known.get("empty"):
            raise ValueError(
                f"a pattern that may match nothing cannot go over the whole text: take a part, {self._name}[a:b]"
            )
        if flags & re.VERBOSE:
            raise ValueError("re.VERBOSE cannot go over the whole text: write the pattern without spaces")
        letters = "".join(letter for flag, letter in _FLAGS.items() if flags & flag)
        text = f"(?{letters}){pattern}" if letters else pattern
        store = self._context._store  # noqa: SLF001
        return regex_spans(store, text, deadline=Deadline(timeout_for(store.size_bytes)))
