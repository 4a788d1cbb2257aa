"""Budgets for how much of the context may be shown verbatim, instead of a verdict on each output.

Similarity of an output to the context would flag the wrong ones (docs/decisions/0031). What counts is how many distinct
positions of the context a model has been shown.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from rlmbox.context import Context
from rlmbox.context.storage.text import TextStore
from rlmbox.errors import ConfigError
from rlmbox.guard.copy_index import Copy, CopyIndex, fold, raw_length
from rlmbox.guard.findings import Finding
from rlmbox.guard.intervals import Intervals
from rlmbox.guard.kept_indexes import KeptIndexes
from rlmbox.guard.matching import Encoded
from rlmbox.guard.normalizing import normalize
from rlmbox.threads import start_background

MESSAGE = "Error: Data exfiltration detected. Do not print raw context data. Summarize it."
_ADVICE = (
    "The output was cut at the allowance for verbatim context ({reason}). Keep the text in variables: count, filter "
    "and compute over it, print short excerpts around what you look for, or let llm_query read it and print its answer."
)
_NEAR_CHARS, _KEY_CHARS = 400, 4_000
_ORDINARY_CHARS, _LINE_CHARS = 20, 40
_LEAST_PART_CHARS, _OFF_CHARS = 4, 8
_INDEXES = KeptIndexes()
_LAST_WORD, _FIRST_WORD = re.compile(r"\S*\s?\Z"), re.compile(r"\s?\S*")


@dataclass(frozen=True, slots=True)
class CopyBudgets:
    """Limits on the characters of the context that a model may be shown verbatim.

    All are counted in distinct positions of the context: showing a position again in the same run does not count.

    Attributes:
        turn_chars: Limit per turn.
        run_chars: Limit per run, including child sessions; the larger of this and `run_share` applies.
        run_share: Limit per run, as a share of the context.
        longest_chars: Maximum length of one piece.
        exempt_below_chars: Contexts shorter than this may be shown in full.
        subcall_share: Limit for all sub-calls of a run, as a share of the context; None for no limit.
    """

    turn_chars: int = 4_000
    run_chars: int = 16_000
    run_share: float = 0.05
    longest_chars: int = 2_000
    exempt_below_chars: int = 16_000
    subcall_share: float | None = None

    def __post_init__(self) -> None:
        for name in ("turn_chars", "run_chars", "longest_chars", "exempt_below_chars"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be a number of characters, 0 or more, not {getattr(self, name)}")
        for name in ("run_share", "subcall_share"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ConfigError(f"{name} must be a number from 0 to 1, not {share:g}")

    @classmethod
    def strict(cls) -> CopyBudgets:
        """Return the budgets of the policy `strict`: a few samples, and a quarter of the text for sub-models."""
        return cls(1_000, 4_000, 0.01, 500, 0, 0.25)


@dataclass(frozen=True, slots=True)
class CopyVerdict:
    """The part of an output that may be shown.

    Attributes:
        copied_chars: Number of distinct positions of the context that it shows, up to the cut.
        cut_at: Position of the cut, in characters; None if all may be shown.
        reason: The allowance that the cut keeps to, in words; empty without a cut.
    """

    copied_chars: int = 0
    cut_at: int | None = None
    reason: str = ""

    @property
    def message(self) -> str:
        """Notice of the cut for the model; empty without a cut."""
        return f"{MESSAGE}\n{_ADVICE.format(reason=self.reason)}" if self.reason else ""


class CopyGuard:
    """Counts what a run shows of its texts, and determines where an output is to be cut.

    The texts share the budgets, as if they were one. An index is built when it is first needed, or in the background
    after `prepare`. Thread-safe.

    Args:
        context: The text of the run.
        others: Its inputs that are texts.
    """

    def __init__(self, context: Context, others: Iterable[Context] = ()) -> None:
        self._texts: list[_Guarded] = []
        offset = 0
        for each in (context, *others):
            self._texts.append(_Guarded(each, offset))
            offset += each.size_bytes  # known at once, and at least its number of characters
        self._lock = threading.Lock()
        self._last: tuple[str, list[_Located]] | None = None
        self._run = Intervals()
        self._given = Intervals()
        self._turns: dict[str, tuple[int | None, Intervals]] = {}

    @property
    def shown_chars(self) -> int:
        """Number of positions of the context shown so far."""
        return self._run.total

    @property
    def given_chars(self) -> int:
        """Number of positions of the context given to sub-calls so far, if limited."""
        return self._given.total

    def prepare(self, budgets: CopyBudgets) -> None:
        """Begin to build the index in a thread, for an expected output.

        Args:
            budgets: The budgets; for an exempt context nothing is built.
        """
        start_background(partial(self._try_build, budgets), "rlmbox-copy-index")

    def _try_build(self, budgets: CopyBudgets) -> None:
        with suppress(Exception):  # the next user of the index tries again, and gets the error
            for each in self._counted(budgets):
                each.index()

    def release(self) -> None:
        """Release the index, tens of megabytes, at the end of the run; if needed again it is rebuilt.

        The index of a text that is used again is cached, within a limit.
        """
        self._last = None
        for each in self._texts:
            each.release()

    def _counted(self, budgets: CopyBudgets) -> list[_Guarded]:
        """Return the texts that are not exempt."""
        return [each for each in self._texts if each.context.length >= budgets.exempt_below_chars]

    def shown(self, text: str, budgets: CopyBudgets, *, session: str = "", turn: int | None = None) -> CopyVerdict:
        """Count what an output shows, and return where it is to be cut.

        Args:
            text: The output.
            budgets: The budgets.
            session: Its session.
            turn: Its turn; outputs of the same turn share a budget.
        """
        texts = self._counted(budgets)
        if not texts:
            return CopyVerdict()
        length = sum(each.context.length for each in texts)
        copies = self._copies(text, texts)
        with self._lock:
            shown_in_turn = self._turn(session, turn)
            run_chars = max(budgets.run_chars, int(budgets.run_share * length))
            allowances = [
                _Allowance(shown_in_turn, budgets.turn_chars, f"{budgets.turn_chars:,} characters in a turn"),
                _Allowance(self._run, run_chars, f"{run_chars:,} characters in a run"),
            ]
            return self._judge(copies, allowances, budgets.longest_chars)

    def given(self, text: str, budgets: CopyBudgets) -> CopyVerdict:
        """Count what a sub-call is given, and return where it is to be cut.

        Args:
            text: The prompt.
            budgets: The budgets.
        """
        share, texts = budgets.subcall_share, self._counted(budgets)
        if share is None or not texts:
            return CopyVerdict()
        copies = self._copies(text, texts)
        room = int(share * sum(each.context.length for each in texts))
        with self._lock:
            allowance = _Allowance(self._given, room, f"{share:.0%} of the context for sub-calls")
            return self._judge(copies, [allowance], None)

    def cut_secrets(self, text: str, find: Callable[[str], Iterable[Finding]]) -> Iterator[Finding]:
        """Yield parts of secrets in a text: pieces of the context whose ends cut a secret there.

        Args:
            text: The text.
            find: Returns what is to be hidden in a text.
        """
        for each in self._copies(text, self._texts):
            store = each.of.store
            for place, is_end in ((each.copy.context_start, False), (each.copy.context_end, True)):
                if (span := _around(store, place)) is None:
                    continue
                first, at, last = span
                window = store.slice(first, last)
                for found in find(window):
                    if found.effect == "hidden" and found.start < at - first < found.end:
                        part = window[found.start : at - first] if is_end else window[at - first : found.end]
                        yield from _part(text, each, found, part, is_end=is_end)

    def _turn(self, session: str, turn: int | None) -> Intervals:
        number, shown = self._turns.get(session, (None, Intervals()))
        if turn is None or number != turn:
            shown = Intervals()
        self._turns[session] = turn, shown
        return shown

    def _copies(self, text: str, texts: list[_Guarded]) -> list[_Located]:
        last = self._last
        if last is None or last[0] != text:  # hiding and counting ask for the same text
            copies = [copy for each in self._texts for copy in self._copies_of(each, text)]
            self._last = last = text, sorted(copies, key=lambda copy: copy.start)
        return [each for each in last[1] if each.of in texts]

    def _copies_of(self, guarded: _Guarded, text: str) -> list[_Located]:
        if len(fold(text.encode(errors="replace"))) < 1:
            return []
        index = guarded.index()
        found = _located(guarded, text, index.copies(text))
        if text.isascii():
            return found
        normalized = normalize(text)
        if normalized.text == text:
            return found
        # Full-width letters and zero-width characters disguise copies of a text without them; but if the context itself
        # has them, only the unchanged output resembles it.
        other = _located(guarded, normalized.text, index.copies(normalized.text))
        if _total(other) <= _total(found):
            return found
        return [located.moved(normalized.original_span) for located in other]

    def _judge(self, copies: list[_Located], allowances: list[_Allowance], longest: int | None) -> CopyVerdict:
        copied = Intervals()
        for each in copies:
            start, end = each.of.place(each.copy.context_start), each.of.place(each.copy.context_end)
            allowed, reason = end, ""
            if longest is not None and end - start > longest:
                allowed, reason = start + longest, f"{longest:,} characters in one piece"
            for allowance in allowances:
                reached = allowance.shown.room_end(start, allowed, allowance.chars - allowance.shown.total)
                if reached < allowed:
                    allowed, reason = reached, allowance.reason
            for allowance in allowances:
                allowance.shown.add(start, allowed)
            copied.add(start, allowed)
            if allowed < end:
                seen = fold(each.of.store.slice(start - each.of.offset, allowed - each.of.offset).encode())
                return CopyVerdict(copied.total, each.position_after(len(seen)), reason)
        return CopyVerdict(copied.total)


class _Guarded:
    """A text whose copies are counted.

    Args:
        context: The text.
        offset: Start of its positions among all counted positions.

    Attributes:
        context: The text.
        store: The text by byte positions.
        offset: As given.
    """

    def __init__(self, context: Context, offset: int) -> None:
        self.context = context
        self.store = context._store  # noqa: SLF001 - for byte positions, which `Context` does not expose
        self.offset = offset
        self._building = threading.Lock()
        self._built: CopyIndex | None = None
        self._is_over = False

    def index(self) -> CopyIndex:
        """Return the index of the text, which is built once."""
        with self._building:
            index = self._built or _INDEXES.of(self.context)
            self._built = None if self._is_over else index
            return index

    def release(self) -> None:
        """Release the index; see `CopyGuard.release`."""
        self._is_over, self._built = True, None

    def place(self, byte: int) -> int:
        """Return the counted position of a byte."""
        return self.offset + self.store.char_offset(byte)


@dataclass(frozen=True, slots=True)
class _Allowance:
    shown: Intervals
    chars: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Located:
    """A copy, with its position in characters of the output.

    Attributes:
        of: The text.
        copy: Its positions in bytes.
        start: Its first character in the output.
        end: The character after its last.
        text: The characters.
    """

    of: _Guarded
    copy: Copy
    start: int
    end: int
    text: str

    def moved(self, original_span: Callable[[int, int], tuple[int, int]]) -> _Located:
        """Return the same copy, at its positions in the text before normalisation."""
        start, end = original_span(self.start, self.end)
        return _Located(self.of, self.copy, start, end, self.text)

    def position_after(self, folded_bytes: int) -> int:
        """Return the position in the output after that much of the folded copy, never further."""
        data = self.text.encode(errors="replace")
        inside = len(data[: raw_length(data, min(folded_bytes, len(fold(data))))].decode(errors="ignore"))
        if self.end - self.start == len(self.text):
            return self.start + inside
        return self.start + inside * (self.end - self.start) // max(1, len(self.text))


def _located(of: _Guarded, text: str, copies: list[Copy]) -> list[_Located]:
    """Return copies of a text with their positions in characters."""
    encoded = Encoded(text)
    spans = [(encoded.char(copy.start), encoded.char(copy.end)) for copy in copies]
    return [_Located(of, copy, start, end, text[start:end]) for copy, (start, end) in zip(copies, spans, strict=True)]


def _total(copies: list[_Located]) -> int:
    return sum(each.copy.context_end - each.copy.context_start for each in copies)


def _around(store: TextStore, place: int) -> tuple[int, int, int] | None:
    """Return the characters around an end of a copy in the context, where a secret may be cut, and the end.

    None if the end is at a word boundary, or within an ordinary word.
    """
    at = store.char_offset(place)
    first = max(0, at - _NEAR_CHARS)
    near = store.slice(first, min(store.length, at + _NEAR_CHARS))
    before, after = near[: at - first], near[at - first :]
    left = _LAST_WORD.search(before)
    right = _FIRST_WORD.match(after)
    if left is None or right is None:
        return None
    word = left[0] + right[0]
    if len(word) <= _ORDINARY_CHARS and word.isalpha() and not word.isupper():
        return None
    if not (left[0].strip() and right[0].strip() and left[0][-1:].strip() and right[0][:1].strip()) and not any(
        map(str.isdigit, left[0][-3:] + right[0][:3])
    ):
        return None
    around = _NEAR_CHARS if len(word) < _LINE_CHARS else _KEY_CHARS
    return max(0, at - around), at, min(store.length, at + around)


def _part(text: str, copy: _Located, found: Finding, part: str, *, is_end: bool) -> Iterator[Finding]:
    """Yield the part of a secret at an end of a copy; the end itself may be a few characters off."""
    for less in range(min(4, len(part) - _LEAST_PART_CHARS + 1)):
        piece = part[: len(part) - less] if is_end else part[less:]
        if is_end:
            start = text.rfind(piece, max(0, copy.end - len(piece) - _OFF_CHARS), copy.end + _OFF_CHARS)
        else:
            start = text.find(piece, max(0, copy.start - _OFF_CHARS), copy.start + len(piece) + _OFF_CHARS)
        if start >= 0:
            yield Finding(f"{found.kind} part", start, start + len(piece), why=f"is a part of it: {found.why}")
            return
