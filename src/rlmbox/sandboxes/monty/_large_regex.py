"""`re` over a context that is too long to be a `str`: on the host, in linear time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from rlmbox.context import Context
from rlmbox.context.search.search import TIMEOUT_S, Deadline, regex_spans
from rlmbox.sandboxes.monty.modules._regex import described
from rlmbox.types import HostFunction

_BATCH = 2_000
_MAX_BATCH_CHARS = 4_000_000
_MAX_OPEN = 16
_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.ASCII: "a"}


def regex_function(context: Context) -> dict[str, HostFunction]:
    """Return the function that finds a pattern in a context, for the REPL's own use.

    Args:
        context: The text.
    """
    return {"_rlm_regex": HostFunction("_rlm_regex", _Finder(context).find, "", pure=True)}


class _Finder:
    """Finds matches in batches."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[int, Iterator[tuple[int, int]]] = {}
        self._count = 0

    def find(self, pattern: str, flags: int, token: int, most: int) -> list[object]:
        """Return some matches, and the token for the next ones, or -1.

        Args:
            pattern: As `re` takes it.
            flags: As `re` takes them.
            token: 0, or what the last call gave.
            most: How many are wanted at most; 0 for all.

        Returns:
            A list of the matches, each its start, end and text, and the token.
        """
        if not token:
            self._count += 1
            token = self._count
            if len(self._open) >= _MAX_OPEN:
                del self._open[next(iter(self._open))]
            self._open[token] = self._spans(pattern, flags)
        spans = self._open.get(token)
        if spans is None:
            raise ValueError("this search was given up: begin it again")
        store = self._context._store  # noqa: SLF001 - positions of bytes, which `Context` does not show
        found: list[list[object]] = []
        size = 0
        for begin, end in islice(spans, most or _BATCH):
            text = store.decode(begin, end)
            start = store.char_offset(begin)
            found.append([start, start + len(text), text])
            size += len(text)
            if size > _MAX_BATCH_CHARS:
                break
        if len(found) < (most or _BATCH) and size <= _MAX_BATCH_CHARS:
            del self._open[token]
            token = -1
        return [found, token]

    def _spans(self, pattern: str, flags: int) -> Iterator[tuple[int, int]]:
        known = described(pattern, flags)
        if known.get("empty"):
            raise ValueError(
                "a pattern that may match nothing cannot go over the whole context: take a part, context[a:b]"
            )
        if flags & re.VERBOSE:
            raise ValueError("re.VERBOSE cannot go over the whole context: write the pattern without spaces")
        letters = "".join(letter for flag, letter in _FLAGS.items() if flags & flag)
        text = f"(?{letters}){pattern}" if letters else pattern
        return regex_spans(self._context._store, text, deadline=Deadline(TIMEOUT_S))  # noqa: SLF001
