"""The queue in which requests to one model wait for a slot: limited by the model's rate and each run's concurrency.

No library does this: the limits hold across event loops, and the runs of a process take turns.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from rlmbox.models.allowance import Allowance, Allowances
from rlmbox.models.pace import Pace

_BURST_SHARE = 0.1
_LONGEST_HELD_S = 60.0  # a longer wait is due to a daily limit, which a refusal explains better


class _Bucket:
    """A token bucket: a tenth of a minute's amount at once, the rest evenly, so that no 60 seconds exceed the rate."""

    def __init__(self, per_minute: int, now_s: float) -> None:
        self._burst = max(1.0, per_minute * _BURST_SHARE)
        self._per_second = max(per_minute - self._burst, per_minute * 0.5) / 60
        self._level, self._at_s = self._burst, now_s

    def wait_s(self, amount: float, now_s: float) -> float:
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        # A request larger than the whole bucket waits until that is full, and puts it into debt.
        return max(0.0, (min(amount, self._burst) - self._level) / self._per_second)

    def take(self, amount: float) -> None:
        self._level -= amount


class Ticket(NamedTuple):
    """The place of a request in the sequence of all admitted requests to a model.

    Attributes:
        number: Number of requests admitted so far, including this one.
        tokens: Tokens that these were expected to use.
    """

    number: int
    tokens: int


@dataclass(slots=True)
class _Left:
    """The remainder of one rate limit of the account, as reported by the provider."""

    allowance: Allowance
    at_s: float
    used: float

    def wait_s(self, wanted: float, now_s: float) -> float:
        """Return the seconds until `wanted` is available; 0 if unknown, or if a refusal would explain it better."""
        since_s = now_s - self.at_s
        needed_s = self.allowance.wait_s(self.used + wanted)
        if needed_s is None or (self.allowance.reset_s or 0.0) <= since_s:
            return 0.0
        wait_s = needed_s - since_s
        return wait_s if wait_s <= _LONGEST_HELD_S else 0.0


@dataclass(slots=True, eq=False)
class _Waiter:
    loop: asyncio.AbstractEventLoop
    woken: asyncio.Future[None]
    tokens: int
    ticket: Ticket | None = None
    granted: bool = False
    gone: bool = False

    def wake(self) -> bool:
        """Wake the waiter; return False if its event loop is closed."""
        if self.loop is _running_loop():
            _finish(self.woken)
        else:
            try:
                self.loop.call_soon_threadsafe(_finish, self.woken)
            except RuntimeError:
                return False
        self.granted = True
        return True


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@dataclass(slots=True)
class _Queue:
    at_most: int
    active: int = 0
    waiters: deque[_Waiter] = field(default_factory=deque)


class RateLimiter:
    """The rate limiter of one model; may be used from several event loops at once.

    Each run limits its own requests in flight. If the model's rate allows fewer for all runs together, they take turns,
    so that a run with a thousand requests does not block one with a single request.

    Args:
        pace: The model's rate limits.
        clock: Returns seconds.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: dict[Hashable, _Queue] = {}
        self._turns: deque[Hashable] = deque()  # waiting runs, the next one first
        self._active = 0
        self._paused_until_s = 0.0
        self._granted, self._granted_tokens, self._heeded = 0, 0, 0
        self._left_requests: _Left | None = None
        self._left_tokens: _Left | None = None
        self._ticking: set[asyncio.AbstractEventLoop] = set()
        now_s = clock()
        self._requests = _Bucket(pace.requests_per_minute, now_s) if pace.requests_per_minute else None
        self._tokens = _Bucket(pace.tokens_per_minute, now_s) if pace.tokens_per_minute else None

    @property
    def active(self) -> int:
        """Number of requests in flight."""
        return self._active

    @asynccontextmanager
    async def slot(
        self, run: Hashable, *, at_most: int, tokens: int = 0, first: bool = False
    ) -> AsyncGenerator[Ticket, None]:
        """Wait for a slot, yield the request's ticket, and release the slot at the end.

        Args:
            run: The run; runs take turns.
            at_most: Maximum number of this run's requests in flight.
            tokens: Tokens that the request will probably send and receive.
            first: Whether it precedes the other requests of its run.
        """
        ticket = await self._enter(run, at_most, tokens, first=first)
        try:
            yield ticket
        finally:
            self._leave(run)

    def pause(self, wait_s: float) -> None:
        """Admit no request for a while, as requested by the provider.

        Args:
            wait_s: Seconds from now.
        """
        with self._lock:
            self._paused_until_s = max(self._paused_until_s, self._clock() + wait_s)

    def correct(self, expected_tokens: int, used_tokens: int) -> None:
        """Replace a request's expected usage by its actual usage."""
        if self._tokens is not None:
            with self._lock:
                self._tokens.take(used_tokens - expected_tokens)

    def heed(self, ticket: Ticket, allowances: Allowances) -> None:
        """Adjust to the remaining rate limits reported by the provider.

        Requests admitted after the answered one are assumed not to be included yet.

        Args:
            ticket: The ticket of the answered request.
            allowances: The remaining limits, as reported with the reply.
        """
        with self._lock:
            if ticket.number <= self._heeded:
                return  # a later request was answered before, with newer information
            self._heeded, now_s = ticket.number, self._clock()
            self._left_requests = self._left_tokens = None
            if allowances.requests is not None:
                self._left_requests = _Left(allowances.requests, now_s, self._granted - ticket.number)
            if allowances.tokens is not None:
                self._left_tokens = _Left(allowances.tokens, now_s, self._granted_tokens - ticket.tokens)

    async def _enter(self, run: Hashable, at_most: int, tokens: int, *, first: bool) -> Ticket:
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop, loop.create_future(), tokens)
        with self._lock:
            queue = self._queues.setdefault(run, _Queue(at_most))
            queue.at_most = at_most
            if not queue.waiters:
                self._turns.append(run)
            if first:
                queue.waiters.appendleft(waiter)
            else:
                queue.waiters.append(waiter)
            self._grant()
        try:
            await waiter.woken
        except BaseException:
            with self._lock:
                waiter.gone = True
                if waiter.granted:
                    self._free(run)
                self._grant()
            raise
        assert waiter.ticket is not None  # noqa: S101 - set on admission
        return waiter.ticket

    def _leave(self, run: Hashable) -> None:
        with self._lock:
            self._free(run)
            self._grant()

    def _free(self, run: Hashable) -> None:
        self._active -= 1
        queue = self._queues[run]
        queue.active -= 1
        if not queue.active and not queue.waiters:
            del self._queues[run]

    def _grant(self) -> None:
        """Admit the requests that may be sent now; called with the lock held."""
        most = self._pace.max_concurrency
        while self._turns and (most is None or self._active < most):
            queue = self._next()
            if queue is None:
                return
            wait_s = self._wait_s(queue.waiters[0].tokens)
            if wait_s > 0:
                self._come_back(wait_s)
                return
            waiter = queue.waiters.popleft()
            self._turns.rotate(-1)
            if not queue.waiters:
                self._turns.pop()
            # Once woken, another thread may use it immediately.
            waiter.ticket = Ticket(self._granted + 1, self._granted_tokens + waiter.tokens)
            if waiter.wake():
                self._active += 1
                queue.active += 1
                self._charge(waiter.tokens)

    def _next(self) -> _Queue | None:
        """Return the next run's queue that may proceed, without abandoned waiters; None if there is none."""
        for _ in range(len(self._turns)):
            run = self._turns[0]
            queue = self._queues[run]
            while queue.waiters and (queue.waiters[0].gone or queue.waiters[0].loop.is_closed()):
                queue.waiters.popleft()
            if not queue.waiters:
                self._turns.popleft()
                if not queue.active:
                    del self._queues[run]
                continue
            if queue.active < queue.at_most:
                return queue
            self._turns.rotate(-1)
        return None

    def _wait_s(self, tokens: int) -> float:
        now_s = self._clock()
        waits = [self._paused_until_s - now_s]
        if self._requests is not None:
            waits.append(self._requests.wait_s(1, now_s))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens, now_s))
        if self._left_requests is not None:
            waits.append(self._left_requests.wait_s(1, now_s))
        if self._left_tokens is not None:
            waits.append(self._left_tokens.wait_s(tokens, now_s))
        return max(waits)

    def _charge(self, tokens: int) -> None:
        self._granted += 1
        self._granted_tokens += tokens
        if self._left_requests is not None:
            self._left_requests.used += 1
        if self._left_tokens is not None:
            self._left_tokens.used += tokens
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def _come_back(self, wait_s: float) -> None:
        # Each loop with waiters sets its own timer, since any of them may end before the others.
        loops = {self._queues[run].waiters[0].loop for run in self._turns} - self._ticking
        for loop in loops:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.call_later, wait_s, self._tick, loop)
                self._ticking.add(loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._ticking.discard(loop)
            self._grant()
