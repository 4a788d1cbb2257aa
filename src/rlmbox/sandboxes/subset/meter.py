"""Metering of a session: steps, live data, call depth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rlmbox.sandboxes.subset.errors import LimitReached, Stopped

_STEP_BYTES = 16  # upper bound for the small values that one step creates
_LEAST_SHARE = 16  # this share of the limit may always be allocated before the next recount
TEXT_PER_STEP = 1_000
ITEMS_PER_STEP = 50
_OBJECTS_PER_STEP = 5
INT_BITS = 14_284  # 4,300 decimal digits
INT_BOUND = 10**4_300


@dataclass(frozen=True, slots=True)
class StepLimits:
    """The limits of a session.

    Attributes:
        steps: Step limit of a cell: one for each syntax node that is evaluated, and one for each 1,000 characters or 50
            items of a bulk operation.
        memory_bytes: Limit of the session's live data, without its context.
        call_depth: Deepest nesting of function calls.
        code_chars: Longest cell.
        output_chars: Characters of output that are kept.
        pattern_chars: Longest regular expression.
    """

    steps: int = 50_000
    memory_bytes: int = 64 * 1024 * 1024
    call_depth: int = 100
    code_chars: int = 20_000
    output_chars: int = 2_000
    pattern_chars: int = 1_000


class Meter:
    """Counts what a session uses, and ends a cell that exceeds a limit.

    Data is counted before it is allocated. When the total might exceed the limit, the data that is still alive is
    counted again from `roots`. For cheap counting, every step is assumed to create a few small values.

    Attributes:
        steps: Steps of the current cell.
        stop_at: Number of steps at which to call `overdrawn`; the host may lower it from another thread.
        depth: Current call depth.
        held: Values that only the interpreter refers to.
        frames: Local variables of the running functions.
        ignored: Ids of values that are not counted, such as the context.
    """

    __slots__ = (
        "_dead",
        "_half",
        "_made",
        "_roots",
        "depth",
        "frames",
        "held",
        "ignored",
        "limits",
        "steps",
        "stop_at",
    )

    def __init__(self, limits: StepLimits, roots: Callable[[], Iterable[Any]]) -> None:
        self.limits = limits
        self.ignored: set[int] = set()
        self.held: list[Any] = []
        self.frames: list[Any] = []
        self.steps = self.depth = self._made = 0
        self._roots = roots
        self._half = limits.memory_bytes // 2
        self._dead = False
        self.begin()

    def begin(self) -> None:
        """Reset the counters for a new cell."""
        self.steps = self.depth = 0
        self.held.clear()
        self.frames.clear()
        self.stop_at = -1 if self._dead else min(self.limits.steps, self._half // _STEP_BYTES)

    def stop(self) -> None:
        """End the running cell, from any thread, and every later one."""
        self._dead = True
        self.stop_at = -1

    def revive(self) -> None:
        """Allow later cells to run again; the one that was stopped must have ended."""
        self._dead = False

    def spend(self, steps: int) -> None:
        """Count steps."""
        self.steps += steps
        if self.steps > self.stop_at:
            self.overdrawn()

    def scan(self, chars: int) -> None:
        """Count work on text."""
        if chars >= TEXT_PER_STEP:
            self.spend(chars // TEXT_PER_STEP)

    def go_through(self, items: int) -> None:
        """Count work on items."""
        if items >= ITEMS_PER_STEP:
            self.spend(items // ITEMS_PER_STEP)

    def take(self, size_bytes: int) -> None:
        """Count data before it is allocated."""
        self._made += size_bytes
        if self._made > self._half:
            self._recount(size_bytes)

    def make_text(self, chars: int, wide: bool = False) -> None:
        """Count a text before it is built, and the work of building it."""
        if chars >= TEXT_PER_STEP:
            self.check_room(chars * (4 if wide else 1))
            self.spend(chars // TEXT_PER_STEP)
        self.take(chars * 4 + 80 if wide else chars + 56)

    def make_items(self, items: int, item_bytes: int = 8) -> None:
        """Count a collection before it is built, and the work of building it."""
        size = 72 + items * item_bytes
        self.check_room(size)
        self.go_through(items)
        self.take(size)

    def check_room(self, size_bytes: int) -> None:
        """Refuse an allocation that exceeds the limit on its own."""
        if size_bytes > self.limits.memory_bytes:
            raise self._too_large(size_bytes)

    def overdrawn(self) -> None:
        """Find out why `stop_at` was passed: a limit, a stop, or a recount that is due."""
        if self._dead:
            raise Stopped("the session was ended", limit="wall clock")
        if self.steps > self.limits.steps:
            raise LimitReached(
                f"the cell needs more than its {self.limits.steps:,} steps",
                hint="work on a part of the text, use one call over the whole text instead of a loop, or allow more "
                "with the setting `steps`",
                limit="steps",
            )
        self._recount(0)

    def _recount(self, coming: int) -> None:
        self.check_room(coming)
        roots = [self._roots(), self.held, self.frames]
        live, objects = live_bytes(roots, self.ignored, self.limits.memory_bytes)
        if live + coming > self.limits.memory_bytes:
            raise self._too_large(live + coming)
        self._made = 0
        room = self.limits.memory_bytes - live - coming
        self._half = max(room // 2, self.limits.memory_bytes // _LEAST_SHARE)
        steps = min(self.limits.steps, self.steps + self._half // _STEP_BYTES)
        self.stop_at = steps
        if self._dead:  # it may have been stopped in the meantime
            self.stop_at = -1
        self.spend(objects // _OBJECTS_PER_STEP)

    def _too_large(self, size_bytes: int) -> LimitReached:
        limit = self.limits.memory_bytes / 2**20
        return LimitReached(
            f"the session would hold {size_bytes / 2**20:,.0f} MiB of data; {limit:,.0f} MiB are allowed",
            hint="keep parts of the text rather than copies of it, `del` what is not needed any more, or allow more "
            "with the setting `memory_bytes`",
            limit="memory",
        )

    def enter(self, frame: Any) -> None:
        """Count a function call.

        Raises:
            RecursionError: Calls are nested too deeply.
        """
        if self.depth >= self.limits.call_depth:
            raise RecursionError("maximum recursion depth exceeded")
        self.depth += 1
        self.frames.append(frame)

    def leave(self) -> None:
        """Count the return of a call."""
        self.depth -= 1
        self.frames.pop()

    def check_digits(self, bits: int) -> None:
        """Refuse an integer with too many digits."""
        if bits > INT_BITS + 1:
            raise LimitReached(
                "an integer may have at most 4,300 digits",
                hint="work with smaller numbers, or with float",
                limit="int digits",
            )

    def digits(self, value: Any) -> Any:
        """Return a computed number, refusing an integer with too many digits."""
        if value.__class__ is int and not -INT_BOUND < value < INT_BOUND:
            self.check_digits(INT_BITS + 2)
        return value


def text_bytes(text: str | bytes) -> int:
    """Return the memory that a text takes."""
    return len(text) + 56 if text.__class__ is bytes or text.isascii() else sys.getsizeof(text)


def live_bytes(roots: list[Any], ignored: set[int], enough: int) -> tuple[int, int]:
    """Return the number of bytes that are alive, and of objects that were visited.

    Args:
        roots: Containers to start from; these are not counted themselves.
        ignored: Ids of values that are not counted.
        enough: Number of bytes at which to stop.
    """
    seen = set(ignored)
    total = objects = 0
    stack: list[Any] = [item for root in roots for item in root]
    pop, push, see, references = stack.pop, stack.extend, seen.add, sys.getrefcount
    while stack and total <= enough:
        value = pop()
        kind = value.__class__
        if kind in _NUMBERS:
            if kind is int and not -6 < value < 257:
                total += 32 if -(1 << 60) < value < 1 << 60 else 28 + value.bit_length() // 7
            elif kind is float:
                total += 24
            continue
        key = id(value)
        if key in seen:
            continue
        if references(value) > _ONLY_ONE:  # an object with a single reference cannot be reached twice
            see(key)
        objects += 1
        if kind is str or kind is bytes:
            total += text_bytes(value)
        elif kind is list or kind is tuple:
            total += 72 + 8 * len(value)
            push(value)
        elif isinstance(value, dict):
            total += 72 + 104 * len(value)
            push(value)
            push(value.values())
        else:
            total += 120
            push(_parts_of(value))
    return total, objects


_ONLY_ONE = 3  # the container, our variable, and the argument of `references`
_NUMBERS = frozenset({int, float, bool, type(None)})


def _parts_of(value: Any) -> Iterable[Any]:
    parts = getattr(value, "parts", None)
    if parts is not None:
        return parts()  # type: ignore[no-any-return]
    return value.args if isinstance(value, BaseException) else ()
