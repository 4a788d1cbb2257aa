"""Locating copied parts of an output in the context, with a small index.

The text is folded: case, ASCII punctuation and white space are removed. Anchors are chosen by content: they follow a
*separator*, a byte or pair of bytes whose frequency in that part of the text matches the size of the index. An anchor
is stored as a hash of the characters after it and its position, eight bytes, so two gigabytes fit into a few tens of
megabytes. The same separators determine the anchors of an output; each is looked up and then compared with the context
itself, forwards and backwards, so that a reported copy is never a guess.

Copies shorter than the distance between two anchors may be missed: a few dozen characters in texts of megabytes, one or
two thousand in gigabytes, where the budget is in millions.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, compress, count, islice, pairwise

from rlmbox.context import Context
from rlmbox.context.storage.text import TextStore
from rlmbox.guard.matching import common_prefix

MIN_COPY_CHARS = 24
"""Shorter stretches are no copy: words that any text has."""

_BLOCK_BYTES = 256 * 1024
_SMALL_TEXT_BYTES, _SMALL_BLOCK_BYTES = 4 * 1024 * 1024, 32 * 1024  # each block may be in another script
_SEGMENT_ANCHORS = 1_000_000
_MAX_ANCHORS = 2_500_000
_LARGE_BYTES = 512 * 1024 * 1024
_MIN_SPACING_BYTES = 8
_SHORT_KEY_BYTES, _LONG_KEY_BYTES = 14, 24
_DENSE_SPACING_BYTES = 16
_RAW_KEY_BYTES = 64
_CHUNK_BYTES = 512
_WINDOW_BYTES = 2048
_WINDOW_OVERLAP = 4
_SAMPLE_BYTES = 16 * 1024
_SAMPLED_ANCHORS = 40
_TOLERANCE = 2.5
_UNFIT_BLOCKS = 16
"""Where no separator fits, as in gigabytes of a few words, looking for one takes longer than all else."""
_MAX_SEPARATORS = 24
_MAX_CANDIDATES = 3
_POSITION_BITS = 36
_POSITION_MASK = (1 << _POSITION_BITS) - 1
_HASH_MASK = (1 << (64 - _POSITION_BITS)) - 1
_SHARE_BITS = 6
_COMPARED_BYTES = 96
_MAX_FILTER_BITS = 24

_DROPPED = bytes(code for code in range(128) if not chr(code).isalnum())
_CONTINUATION = bytes(range(0x80, 0xC0))


def _fold_table() -> bytes:
    """Return the table that removes case from UTF-8, byte by byte.

    Upper and lower case of Latin, Greek and Cyrillic letters differ in the bit 0x20 of their last byte, or also in the
    last bit of their first. Removing both also merges some unrelated letters, which is harmless: it does not produce
    coincidences of twenty-four characters.
    """
    table = bytearray(range(256)).lower()
    for code in range(0xA0, 0xC0):
        table[code] = code - 0x20
    for first, second in ((0xD0, 0xD1), (0xCE, 0xCF)):
        table[second] = first
    return bytes(table)


_FOLDED = _fold_table()
_KEPT = bytes(chr(code).isalnum() if code < 128 else True for code in range(256))


_CHANGED = bytes(code for code in range(256) if _FOLDED[code] != code)


def fold(data: bytes) -> bytes:
    """Remove case, ASCII punctuation and white space from UTF-8."""
    return data.translate(_FOLDED, _DROPPED)


@dataclass(frozen=True, slots=True)
class Copy:
    """A part of an output that also occurs in the context.

    Attributes:
        start: Start in the output, in bytes.
        end: End in the output.
        context_start: Start in the context.
        context_end: End in the context.
    """

    start: int
    end: int
    context_start: int
    context_end: int


class CopyIndex:
    """Finds the parts of an output that occur in a text.

    Args:
        store: The text.
    """

    def __init__(self, store: TextStore) -> None:
        self._store = store
        self._segments: list[array[int]] = []
        self._separators: list[bytes] = []
        self._last = b""
        self._unfit = (0, 0)
        self._pending: list[int] = []
        self._filter = bytearray(_filter_size(store.size_bytes))
        spacing = max(_MIN_SPACING_BYTES, store.size_bytes // _max_anchors(store.size_bytes))
        # A long key has fewer accidental matches; a short one finds short copies.
        self._key_bytes = _SHORT_KEY_BYTES if spacing <= _DENSE_SPACING_BYTES else _LONG_KEY_BYTES
        self._block_bytes = _BLOCK_BYTES if store.size_bytes > _SMALL_TEXT_BYTES else _SMALL_BLOCK_BYTES
        for at in range(0, store.size_bytes, self._block_bytes):
            # Overlapping slightly, so that no anchor is separated from the text after it.
            block = store.read(at, min(at + self._block_bytes + _RAW_KEY_BYTES, store.size_bytes))
            # Separators are bytes that folding keeps, so folding everything is only worthwhile if they are few.
            self._add(block if _is_mostly_folded(block[:_SAMPLE_BYTES]) else block.translate(_FOLDED), at, spacing)
        self._flush()

    @classmethod
    def of(cls, context: Context) -> CopyIndex:
        """Build the index of a context."""
        return cls(context._store)  # noqa: SLF001 - for byte positions, which `Context` does not expose

    @property
    def size_bytes(self) -> int:
        """Memory used by the anchors."""
        return len(self._filter) + sum(len(segment) * segment.itemsize for segment in self._segments)

    def _add(self, block: bytes, at: int, spacing: int) -> None:
        size = self._key_bytes
        starts = self._starts(block[: self._block_bytes], spacing)
        self._pending += [
            (hash(key) & _HASH_MASK) << _POSITION_BITS | at + start
            for start in starts
            if len(key := block[start : start + _RAW_KEY_BYTES].translate(_FOLDED, _DROPPED)[:size]) == size
        ]
        if len(self._pending) >= _SEGMENT_ANCHORS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            mask = len(self._filter) - 1
            shares: list[list[int]] = [[] for _ in range(1 << _SHARE_BITS)]
            for value in self._pending:
                self._filter[value >> _POSITION_BITS & mask] = 1
                shares[value >> 64 - _SHARE_BITS].append(value)
            segment = array("Q")
            for share in shares:  # one after the other, since Python's other threads wait while one sorts
                segment.fromlist(sorted(share))
            self._segments.append(segment)
            self._pending = []

    def _starts(self, block: bytes, spacing: int) -> Iterable[int]:
        """Return the positions after separators in a block, using the previous block's separator if it still fits."""
        wanted = len(block) / spacing
        times = block.count(self._last) if self._separators else 0
        if not wanted / _TOLERANCE <= times <= wanted * _TOLERANCE and not self._none_fits_still(times):
            self._last = self._separator(block[: max(_SAMPLE_BYTES, _SAMPLED_ANCHORS * spacing)], spacing)
            times = block.count(self._last)
            self._unfit = (times, _UNFIT_BLOCKS) if times > wanted * _TOLERANCE else (0, 0)
        if times > wanted * _TOLERANCE:  # too frequent, as in a text of one letter: use some of its positions
            return _spaced(block, self._last, spacing)
        return accumulate(len(part) + len(self._last) for part in block.split(self._last)[:-1])

    def _none_fits_still(self, times: int) -> bool:
        """Return whether a block resembles the last one without a fitting separator, and need not be sampled."""
        before, blocks = self._unfit
        self._unfit = before, blocks - 1
        return blocks > 0 and before / 2 <= times <= before * 2

    def _separator(self, sample: bytes, spacing: int) -> bytes:
        """Return the separator for a sample: a known one if it fits, otherwise the best one."""
        wanted = max(1.0, len(sample) / spacing)
        counts = {known: sample.count(known) for known in self._separators}
        for known, times in counts.items():
            if wanted / 2 <= times <= wanted * 2:
                return known
        if len(counts) < _MAX_SEPARATORS:
            chosen = _best_separator(sample, wanted)
            if chosen not in counts:
                self._separators.append(chosen)
            return chosen
        return min(counts, key=lambda known: abs(counts[known] - wanted))

    def copies(self, text: str) -> list[Copy]:
        """Return the parts of a text that occur in the context, in order and without overlaps.

        Positions are bytes in the text's UTF-8.
        """
        output = _Folded(text.encode(errors="replace"))
        found: list[Copy] = []
        reached = 0  # position in the folded output
        for begin in range(0, len(output.folded), _WINDOW_BYTES):
            if reached >= begin + _WINDOW_BYTES:
                continue  # inside a copy that was found
            for position, key in self._anchors(output.folded, max(0, begin - _WINDOW_OVERLAP), begin + _WINDOW_BYTES):
                if position < reached:
                    continue
                best = self._longest(output.folded, position, key, reached)
                if best is not None:
                    start, reached, context_start, context_end = best
                    found.append(Copy(output.raw_start(start), output.raw_end(reached), context_start, context_end))
        return found

    def _anchors(self, folded: bytes, begin: int, end: int) -> list[tuple[int, bytes]]:
        """Return the possible anchors in a part of an output, in order, with their keys."""
        may_be, mask = self._filter, len(self._filter) - 1
        size = self._key_bytes
        anchors: list[tuple[int, bytes]] = []
        for separator in self._separators:
            parts = folded[begin:end].split(separator)[:-1]
            starts = islice(accumulate((len(part) + len(separator) for part in parts), initial=begin), 1, None)
            anchors += [
                (at, key) for at in starts if may_be[hash(key := folded[at : at + size]) & mask] and len(key) == size
            ]
        return sorted(anchors)

    def _places(self, key: bytes) -> Iterator[int]:
        """Yield possible positions of a key in the context, at most a few for each segment."""
        low = (hash(key) & _HASH_MASK) << _POSITION_BITS
        for segment in self._segments:
            first = bisect_left(segment, low)
            for value in segment[first : first + _MAX_CANDIDATES]:
                if value >> _POSITION_BITS != low >> _POSITION_BITS:
                    break
                yield value & _POSITION_MASK

    def _longest(self, folded: bytes, position: int, key: bytes, reached: int) -> tuple[int, int, int, int] | None:
        """Return the longest match around an anchor: its folded positions and those in the context."""
        best = 0, 0, 0, 0
        for place in self._places(key):
            after, context_end = self._forwards(folded, position, place)
            before, context_start = self._backwards(folded, position, place, reached)
            if before + after > best[1] - best[0]:
                best = _whole_characters(folded, (position - before, position + after, context_start, context_end))
        return best if _chars(folded[best[0] : best[1]]) >= MIN_COPY_CHARS else None

    def _forwards(self, folded: bytes, position: int, place: int) -> tuple[int, int]:
        """Return how far the match extends after an anchor, folded, and its end in the context."""
        matched, size = 0, _COMPARED_BYTES
        while True:
            size = min(size, 2 * (len(folded) - position - matched) + _COMPARED_BYTES)
            raw = (
                self._store.read(place, min(place + size, self._store.size_bytes))
                if place < self._store.size_bytes
                else b""
            )
            theirs = fold(raw)
            ours = folded[position + matched : position + matched + len(theirs)]
            same = common_prefix(ours, theirs)
            matched += same
            if same < len(theirs) or not raw:
                return matched, place + raw_length(raw, same)
            place += len(raw)
            size = min(size * 8, _BLOCK_BYTES)

    def _backwards(self, folded: bytes, position: int, place: int, reached: int) -> tuple[int, int]:
        """Return how far the match extends before an anchor, folded, and its start in the context."""
        matched, size = 0, _COMPARED_BYTES
        while True:
            begin = max(0, place - size)
            raw = self._store.read(begin, place) if begin < place else b""
            theirs = fold(raw)
            end = position - matched
            ours = folded[max(reached, end - len(theirs)) : end]
            same = common_prefix(ours[::-1], theirs[::-1])
            matched += same
            if same < len(theirs) or not raw:
                return matched, place - raw_length(raw[::-1], same)
            place = begin
            size = min(size * 8, _BLOCK_BYTES)


def _whole_characters(folded: bytes, found: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Trim partial characters at the ends of a match, which two texts may share by chance."""
    start, end, context_start, context_end = found
    while start < end and folded[start] in _CONTINUATION:
        start, context_start = start + 1, context_start + 1
    while start < end < len(folded) and folded[end] in _CONTINUATION:
        end, context_end = end - 1, context_end - 1
    return start, end, context_start, context_end


class _Folded:
    """A folded output, with a mapping back to its bytes."""

    __slots__ = ("_chunk_ends", "_data", "folded")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._chunk_ends: list[int] = []
        self.folded = fold(data)

    def raw_start(self, position: int) -> int:
        """Return the position of a folded byte in the output."""
        return self._raw(position) if position < len(self.folded) else len(self._data)

    def raw_end(self, position: int) -> int:
        """Return the position in the output after the byte before a folded position."""
        return self._raw(position - 1) + 1 if position else 0

    def _raw(self, position: int) -> int:
        if not self._chunk_ends:
            lengths = (len(fold(self._data[at : at + _CHUNK_BYTES])) for at in range(0, len(self._data), _CHUNK_BYTES))
            self._chunk_ends = list(accumulate(lengths))
        chunk = bisect_right(self._chunk_ends, position)
        before = self._chunk_ends[chunk - 1] if chunk else 0
        raw = self._data[chunk * _CHUNK_BYTES : (chunk + 1) * _CHUNK_BYTES]
        return chunk * _CHUNK_BYTES + raw_length(raw, position - before + 1) - 1


def _is_mostly_folded(sample: bytes) -> bool:
    """Return whether folding leaves most of what it keeps unchanged."""
    kept = len(sample.translate(None, _DROPPED))
    return 2 * len(sample.translate(None, _DROPPED + _CHANGED)) > kept


def _spaced(block: bytes, separator: bytes, spacing: int) -> Iterator[int]:
    """Yield the positions after a separator, skipping those too close to the previous one."""
    at = block.find(separator)
    while at >= 0:
        yield at + len(separator)
        at = block.find(separator, at + spacing)


def _max_anchors(size_bytes: int) -> int:
    """Return the maximum number of anchors for a text: fewer if reading the text already takes long."""
    return _MAX_ANCHORS if size_bytes < _LARGE_BYTES else _MAX_ANCHORS // 2


def _filter_size(size_bytes: int) -> int:
    """Return the size of a text's filter: a power of two with room for several times its anchors."""
    anchors = min(_max_anchors(size_bytes), size_bytes // _MIN_SPACING_BYTES)
    return 1 << min(_MAX_FILTER_BITS, max(12, (4 * anchors).bit_length()))


def _best_separator(sample: bytes, wanted: float) -> bytes:
    """Return the byte or pair of bytes whose frequency in a sample is closest to `wanted`, and most even."""
    singles = Counter(sample.translate(None, _DROPPED + _CHANGED))
    pairs = Counter(pairwise(sample))
    candidates = [(bytes([byte]), times) for byte, times in singles.items()]
    candidates += [
        (bytes(pair), times)
        for pair, times in pairs.items()
        if pair[0] != pair[1] and all(_KEPT[b] and _FOLDED[b] == b for b in pair)
    ]
    if not candidates:
        return b"e"
    near = sorted(candidates, key=lambda item: (abs(item[1] - wanted), item[0]))[:12]
    return min(near, key=lambda item: (_longest_gap(sample, item[0]), item[0]))[0]


def _longest_gap(sample: bytes, separator: bytes) -> int:
    return max(map(len, sample.split(separator)))


def _chars(folded: bytes) -> int:
    """Return the number of characters in folded UTF-8."""
    return len(folded.translate(None, _CONTINUATION))


def raw_length(raw: bytes, folded_length: int) -> int:
    """Return the length of the prefix that folds to `folded_length` bytes."""
    begin, end, wanted = 0, len(raw), folded_length
    while end - begin > _CHUNK_BYTES:
        middle = (begin + end) // 2
        kept = len(fold(raw[begin:middle]))
        if kept >= wanted:
            end = middle
        else:
            begin, wanted = middle, wanted - kept
    if not wanted:
        return begin
    return begin + next(islice(compress(count(1), raw[begin:end].translate(_KEPT)), wanted - 1, None))
