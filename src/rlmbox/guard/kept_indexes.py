"""A cache of indexes of texts that are used again: building one takes most of a short run over megabytes."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict

from rlmbox.context import Context
from rlmbox.guard.copy_index import CopyIndex

MOST_BYTES = 64 << 20
"""Memory of all that are kept."""


class KeptIndexes:
    """The indexes of contexts that needed one twice, least recently used ones dropped first.

    Most texts are used once, and their indexes end with their runs. An index built a second time is kept as long as its
    context exists, within a limit. Thread-safe.

    Args:
        most_bytes: Limit on the total memory.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.RLock()  # reentrant: a finalizer of a context may run while it is held
        self._contexts: dict[int, weakref.ref[Context]] = {}
        self._indexes: OrderedDict[int, CopyIndex] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Total memory."""
        with self._lock:
            return sum(index.size_bytes for index in self._indexes.values())

    def of(self, context: Context) -> CopyIndex:
        """Return the index of a context, building it if it is not cached."""
        key = id(context)
        with self._lock:
            if (kept := self._indexes.get(key)) is not None:
                self._indexes.move_to_end(key)
                return kept
        index = CopyIndex.of(context)
        with self._lock:
            if key in self._contexts:
                self._indexes[key] = index
                while self._indexes and self.size_bytes > self._most_bytes:
                    self._indexes.popitem(last=False)
            else:
                self._contexts[key] = weakref.ref(context, lambda _: self._forget(key))
        return index

    def _forget(self, key: int) -> None:
        with self._lock:
            self._contexts.pop(key, None)
            self._indexes.pop(key, None)
