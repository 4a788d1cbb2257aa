"""Reading of a text by position, line, piece and page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from rlmbox.context.storage.source import Backing
from rlmbox.context.storage.text import TextStore

PAGE_CHARS = 3_000
_PAGE_SLACK_CHARS = 1_000
_PREVIEW_CHARS = 200


class Reading:
    r"""A text that is read by position. Positions are in characters, as in a Python `str`; lines end with `\n`."""

    @property
    def _store(self) -> TextStore:
        raise NotImplementedError

    @property
    def length(self) -> int:
        """Length in characters."""
        return self._store.length

    @property
    def size_bytes(self) -> int:
        """Length in bytes as UTF-8."""
        return self._store.size_bytes

    @cached_property
    def line_count(self) -> int:
        """Number of lines."""
        return self._store.line_count

    def __len__(self) -> int:
        return self.length

    def text(self) -> str:
        """Return the whole text as a `str`."""
        return self._store.slice(None, None)

    def buffer(self) -> memoryview:
        """Return the whole text as UTF-8, without a copy if it is in memory; one on disk is read into memory first."""
        return self._store.buffer

    def pieces(self, size_bytes: int = 1024 * 1024) -> Iterator[bytes]:
        """Yield the whole text as UTF-8, in pieces of `size_bytes`."""
        return self._store.pieces(size_bytes)

    def backing(self) -> Backing | None:
        """Return the range of a file on disk that holds the text, for mapping it; None if it is in memory."""
        return self._store.backing()

    def slice(self, start: int | None = None, end: int | None = None) -> str:
        """Return `text()[start:end]`; negative and out-of-range positions work as they do there."""
        return self._store.slice(start, end)

    def read_chunk(self, start: int, size: int = 10_000) -> str:
        """Return up to `size` characters from a position on, which may be negative.

        Raises:
            ValueError: The size is negative.
        """
        if size < 0:
            raise ValueError(f"size must not be negative: {size}")
        first = slice(start, None).indices(self.length)[0]
        return self._store.slice(first, first + size)

    def snippet(self, offset: int, window: int = 400) -> str:
        """Return the `window` characters around a position, fewer at the ends of the text.

        Raises:
            ValueError: The window is negative.
        """
        if window < 0:
            raise ValueError(f"window must not be negative: {window}")
        middle = slice(offset, None).indices(self.length)[0]
        return self._store.slice(max(0, middle - window // 2), middle + window - window // 2)

    def preview(self, chars: int = _PREVIEW_CHARS) -> str:
        """Return the first characters."""
        return self._store.slice(0, max(0, chars))

    def chunk_spans(self, size: int = 100_000, overlap: int = 0) -> range:
        """Return the starts of the chunks of `chunk`; each is `size` long, except the last.

        Raises:
            ValueError: The size is not positive, or the overlap is negative or not smaller.
        """
        if size <= 0:
            raise ValueError(f"size must be positive: {size}")
        if not 0 <= overlap < size:
            raise ValueError(f"overlap must be at least 0 and smaller than size: {overlap}")
        return range(0, max(1, self.length - overlap), size - overlap)

    def chunk(self, size: int = 100_000, overlap: int = 0) -> list[str]:
        """Cut the text into pieces of `size` characters, each beginning with the last `overlap` of the previous one.

        Raises:
            ValueError: The size is not positive, or the overlap is negative or not smaller.
        """
        return [self._store.slice(start, start + size) for start in self.chunk_spans(size, overlap)]

    def line_span(self, a: int | None, b: int | None) -> tuple[int, int]:
        """Return the span of the lines from `a` up to `b`; see `lines`."""
        first, last, _ = slice(a, b).indices(self.line_count)
        if first >= last:
            return 0, 0
        end = self.length if last == self.line_count else self._line_start(last)
        return self._line_start(first), end

    def _line_start(self, line: int) -> int:
        return self._store.char_offset(self._store.line_start(line))

    def lines(self, a: int | None = None, b: int | None = None) -> str:
        r"""Return the lines from `a` up to but not including `b`, counted from 0 and sliced like a list.

        Hits count lines from 1, as editors do: line `k` of a single text is `lines(k - 1, k)`. Lines keep their `\n`.
        """
        return self._store.slice(*self.line_span(a, b))

    @property
    def _own_page_starts(self) -> tuple[int, ...] | None:
        """The page starts of a text that was converted from a document with pages."""
        return None

    @property
    def num_pages(self) -> int:
        """Number of pages."""
        own = self._own_page_starts
        return -(-self.length // PAGE_CHARS) if own is None else len(own)

    def page_span(self, n: int) -> tuple[int, int]:
        """Return the span of a page; see `page`.

        Args:
            n: The page, negative from the end.

        Raises:
            IndexError: There is no such page.
        """
        if not -self.num_pages <= n < self.num_pages:
            raise IndexError(f"page {n} is out of range: there are {self.num_pages} pages")
        n %= self.num_pages
        return self._page_start(n), self._page_start(n + 1)

    def page(self, n: int) -> str:
        """Return a page, counted from 0: about 3,000 characters, cut at the end of a line if one is near.

        A text converted from a document with pages has those instead. All pages together are the whole text.

        Args:
            n: The page, negative from the end.

        Raises:
            IndexError: There is no such page.
        """
        return self._store.slice(*self.page_span(n))

    def _page_start(self, n: int) -> int:
        own = self._own_page_starts
        if own is not None:
            return 0 if n == 0 else own[n] if n < len(own) else self.length
        # Each boundary is computed independently, so that no page depends on those before it.
        nominal = n * PAGE_CHARS
        if nominal == 0 or nominal >= self.length:
            return min(nominal, self.length)
        newline = self._store.slice(nominal - _PAGE_SLACK_CHARS, nominal).rfind("\n")
        return nominal if newline < 0 else nominal - _PAGE_SLACK_CHARS + newline + 1
