"""Reading a text by position, line, piece and page."""

from __future__ import annotations

from functools import cached_property

from rlmbox.context.schema import line_count
from rlmbox.context.text import TextStore

PAGE_CHARS = 3_000
_PAGE_SLACK_CHARS = 1_000
_PREVIEW_CHARS = 200


class Reading:
    r"""A text that is read by position. Positions are characters, as in a Python `str`; lines are what `\n` ends."""

    def __init__(self, store: TextStore) -> None:
        self._store = store

    @property
    def length(self) -> int:
        """Characters."""
        return self._store.length

    @property
    def size_bytes(self) -> int:
        """Bytes of its UTF-8."""
        return self._store.size_bytes

    @cached_property
    def line_count(self) -> int:
        """Lines."""
        return line_count(self._store)

    def __len__(self) -> int:
        return self.length

    def text(self) -> str:
        """Gives the whole as a `str`."""
        return self._store.slice(None, None)

    def buffer(self) -> memoryview:
        """Gives the whole as UTF-8, without a copy."""
        return self._store.buffer

    def slice(self, start: int | None = None, end: int | None = None) -> str:
        """Gives `text()[start:end]`; negative and huge positions mean what they mean there."""
        return self._store.slice(start, end)

    def read_chunk(self, start: int, size: int = 10_000) -> str:
        """Gives up to `size` characters from a position on, which may be negative.

        Raises:
            ValueError: The size is negative.
        """
        if size < 0:
            raise ValueError(f"size must not be negative: {size}")
        first = slice(start, None).indices(self.length)[0]
        return self._store.slice(first, first + size)

    def snippet(self, offset: int, window: int = 400) -> str:
        """Gives the `window` characters around a position, fewer at the ends of the text.

        Raises:
            ValueError: The window is negative.
        """
        if window < 0:
            raise ValueError(f"window must not be negative: {window}")
        middle = slice(offset, None).indices(self.length)[0]
        return self._store.slice(max(0, middle - window // 2), middle + window - window // 2)

    def preview(self, chars: int = _PREVIEW_CHARS) -> str:
        """Gives the first characters."""
        return self._store.slice(0, max(0, chars))

    def chunk_spans(self, size: int = 100_000, overlap: int = 0) -> range:
        """Gives where the chunks of `chunk` begin; each is `size` long, the last up to the end.

        Raises:
            ValueError: The size is not positive, or the overlap is negative or not smaller.
        """
        if size <= 0:
            raise ValueError(f"size must be positive: {size}")
        if not 0 <= overlap < size:
            raise ValueError(f"overlap must be at least 0 and smaller than size: {overlap}")
        return range(0, max(1, self.length - overlap), size - overlap)

    def chunk(self, size: int = 100_000, overlap: int = 0) -> list[str]:
        """Cuts the text into pieces of `size` characters, each beginning with the last `overlap` of the one before.

        Raises:
            ValueError: The size is not positive, or the overlap is negative or not smaller.
        """
        return [self._store.slice(start, start + size) for start in self.chunk_spans(size, overlap)]

    def line_span(self, a: int | None, b: int | None) -> tuple[int, int]:
        """Gives where the lines from `a` up to `b` begin and end; see `lines`."""
        first, last, _ = slice(a, b).indices(self.line_count)
        if first >= last:
            return 0, 0
        end = self.length if last == self.line_count else self._line_start(last)
        return self._line_start(first), end

    def _line_start(self, line: int) -> int:
        return self._store.char_offset(self._store.line_start(line))

    def lines(self, a: int | None = None, b: int | None = None) -> str:
        r"""Gives the lines from `a` up to but without `b`, counted from 0 and sliced as a list would be.

        Hits count lines from 1 as editors do: line `k` of a single text is `lines(k - 1, k)`. Lines keep their `\n`.
        """
        return self._store.slice(*self.line_span(a, b))

    @property
    def num_pages(self) -> int:
        """Pages."""
        return -(-self.length // PAGE_CHARS)

    def page(self, n: int) -> str:
        """Gives a page, counted from 0: about 3,000 characters, cut after a line where one ends near.

        All pages together are the whole text.

        Args:
            n: The page, negative from the end.

        Raises:
            IndexError: There is no such page.
        """
        if not -self.num_pages <= n < self.num_pages:
            raise IndexError(f"page {n} is out of range: there are {self.num_pages} pages")
        n %= self.num_pages
        return self._store.slice(self._page_start(n), self._page_start(n + 1))

    def _page_start(self, n: int) -> int:
        # Each boundary is found by itself, so that no page depends on those before it.
        nominal = n * PAGE_CHARS
        if nominal == 0 or nominal >= self.length:
            return min(nominal, self.length)
        newline = self._store.slice(nominal - _PAGE_SLACK_CHARS, nominal).rfind("\n")
        return nominal if newline < 0 else nominal - _PAGE_SLACK_CHARS + newline + 1
