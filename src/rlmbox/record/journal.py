"""The journal: everything that happened in a run, once and in order, and the effects that must not happen twice.

A live run writes it; its readers (hooks, traces, the live tree) receive an event only after it was recorded. If the
journal already has the end of an effect, the effect does not happen again: its recorded result is returned. So a live
run and a resumed run are the same code over a journal with fewer or more entries.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, TypeVar

import anyio

from rlmbox.context.json_parts import is_long
from rlmbox.errors import StoreError, is_interrupt
from rlmbox.events import (
    AttemptFinished,
    CellDiffered,
    CellExecuted,
    CellStarted,
    EffectBegan,
    EffectEnded,
    Ended,
    Event,
    Hook,
    HostCallFinished,
    ModelRequested,
    ObservationMade,
    QuestionAsked,
    ReplyDelta,
    RunStarted,
    SessionStarted,
    SubcallStarted,
    TextGuarded,
    TurnFinished,
)
from rlmbox.models.base import current_request_key
from rlmbox.record.audit import AuditChain
from rlmbox.record.hiding import HiddenValues, without_table
from rlmbox.record.past import OF_TURNS, Past
from rlmbox.record.summary import RunSummary, summary_of

_log = logging.getLogger("rlmbox")
_Result = TypeVar("_Result")
_ANSWERS = (str, int, float, list, dict, type(None))  # types that are no awaitables, quicker than `hasattr`
SYNC_WITHIN_S = 0.05
"""Seconds within which a store has on the disk what it took, also where nobody waits for it."""

MAY_WAIT = (
    RunStarted,
    SessionStarted,
    QuestionAsked,
    EffectBegan,  # written before an `AttemptStarted` is sent; synced for a tool that must not run twice
    CellStarted,
    CellExecuted,
    HostCallFinished,  # synced before the cell receives it
    TextGuarded,
    ObservationMade,
    TurnFinished,
    AttemptFinished,  # with the reply that it paid for
)
"""Events that a store may write with the next one that is none of them: a run that goes on tells them anew."""


class Lease(Protocol):
    """A hold on a run, which ends with its process, however that ends."""

    def release(self) -> None:
        """Release the run; may be called more than once."""


class Store(Protocol):
    """A place where the events of runs are kept."""

    def write(self, event: Event) -> None:
        """Store an event, in order.

        It survives the process once this has returned, or once the next event outside `MAY_WAIT` has been stored; and a
        power failure after `SYNC_WITHIN_S`, or the next `sync`.

        Raises:
            StoreError: It cannot be stored.
        """

    async def sync(self) -> None:
        """Wait until everything stored is as durable as this store can make it.

        Raises:
            StoreError: It cannot be stored.
        """

    async def read(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run, in order; empty if the store does not have it.

        Raises:
            StoreError: The record is damaged, or a newer version of rlmbox wrote it.
        """

    def hold(self, run_id: str) -> Lease:
        """Acquire a run, so that no other process continues it at the same time.

        Raises:
            StoreError: Another process holds it.
        """

    async def runs(self) -> Sequence[RunSummary]:
        """Return a summary of each run, the latest first.

        Raises:
            StoreError: It cannot be read.
        """

    async def remove(self, run_id: str) -> None:
        """Remove a run.

        Raises:
            StoreError: The store cannot be written, or another process holds the run.
        """


class MemoryStore:
    """Stores events in this process's memory, for as long as the object lives."""

    def __init__(self) -> None:
        self._events: dict[str, list[Event]] = {}
        self._held: set[str] = set()

    def write(self, event: Event) -> None:
        """Store an event; see `Store.write`."""
        self._events.setdefault(event.run_id, []).append(event)

    async def sync(self) -> None:
        """Return immediately: memory is as durable as this store can be."""

    async def read(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; see `Store.read`."""
        return tuple(self._events.get(run_id, ()))

    def hold(self, run_id: str) -> Lease:
        """Acquire a run; see `Store.hold`."""
        if run_id in self._held:
            raise StoreError(f"the run {run_id} is at work elsewhere; wait until it has ended")
        self._held.add(run_id)
        return MemoryLease(self._held, run_id)

    async def runs(self) -> Sequence[RunSummary]:
        """Return a summary of each run; see `Store.runs`."""
        return sorted((summary_of(events) for events in self._events.values()), key=lambda run: -run.began_s)

    async def remove(self, run_id: str) -> None:
        """Remove a run; see `Store.remove`."""
        lease = self.hold(run_id)
        self._events.pop(run_id, None)
        lease.release()


class MemoryLease:
    """A hold on a run within this process.

    Args:
        held: The names of the runs that are held.
        run_id: The run.
    """

    def __init__(self, held: set[str], run_id: str) -> None:
        self._held = held
        self._run_id = run_id

    def release(self) -> None:
        """Release the run."""
        self._held.discard(self._run_id)


@dataclass(frozen=True, slots=True)
class Effect(Generic[_Result]):
    """Something that must not happen twice, and how it is recorded.

    Attributes:
        began: The event that announces it; its key is the effect's.
        done: Creates the event of its result.
        failed: Creates the event of its end without a result.
        load: Reads the result from a recorded end; raises the recorded error if there is no result.
        sync_before: Whether the record of its beginning must be synced to the disk before it happens: for effects that
            must not happen twice, and whose outcome cannot be found out later.
        sync_after: Whether the record of its end, a result or an error, must be synced to the disk before it is
            returned. Otherwise the end is written, and synced within a moment.
    """

    began: EffectBegan
    done: Callable[[_Result], EffectEnded]
    failed: Callable[[BaseException, Ended], EffectEnded]
    load: Callable[[EffectEnded], _Result]
    sync_before: bool = False
    sync_after: bool = False


class RecordEnded(StoreError):
    """Something must not happen now and is not recorded: in a replay, in a cell that has ended, or after a failure.

    Attributes:
        error: The error that the session ends with.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Journal:
    """The journal of one run. It belongs to one event loop.

    With a past, whatever a session reaches again is replayed from it, and neither written nor shown again; only effects
    that the past lacks happen. In a sealed journal nothing happens; it shows what is replayed.

    Args:
        store: The store for the events; None for a run that is not recorded.
        readers: Called with every event, after it was recorded. A failing reader is logged and has no effect.
        past: The events that the run already has, in order.
        is_sealed: Whether nothing may be added.
        lease: The hold on the run, if it is already held.
        hiding: Removes secrets from stored and shown events; None keeps everything.

    Attributes:
        past: The run's past.
        is_sealed: Whether nothing may be added.
        first_new: Sequence number of the first event that is not replayed.
    """

    def __init__(
        self,
        store: Store | None = None,
        readers: Iterable[Hook] = (),
        past: Sequence[Event] = (),
        *,
        is_sealed: bool = False,
        lease: Lease | None = None,
        hiding: HiddenValues | None = None,
    ) -> None:
        self._hiding = hiding
        self._audit = AuditChain.after(past)
        self._store = store
        self._lease = lease
        self._readers = tuple(readers)
        self._sequence = past[-1].sequence if past else 0
        self.first_new = self._sequence + 1
        self._shown = 0
        self._began_s = past[0].at_s if past else 0.0
        self.past = Past(past)
        self.is_sealed = is_sealed

    @property
    def is_recorded(self) -> bool:
        """True if the events are stored, or were read from a store."""
        return self._store is not None or bool(self.past.events)

    @property
    def is_told(self) -> bool:
        """True if events are stored, or there are readers."""
        return self._store is not None or bool(self._readers)

    def is_over(self, session_id: str) -> bool:
        """Return True if, by the record, a session's current question has failed, so that nothing may be added to it.

        Args:
            session_id: The session.
        """
        return self.is_sealed or self.past.failure_of(session_id) is not None

    def note(self, event: Event) -> Event:
        """Record an event that may be lost with the process; return it as the record has it.

        Args:
            event: The event.

        Raises:
            StoreError: It cannot be stored.
        """
        return self.read_back(event.session_id, type(event)) or self.add(event)

    async def look_through(self, event: Event) -> None:
        """Search an event for secrets before it is recorded, in a thread if that takes long.

        Args:
            event: The event about to be recorded.
        """
        if self._hiding is not None and self.is_told and not self.is_sealed:
            await self._hiding.look_through(event)

    async def begin(self, event: RunStarted) -> Event:
        """Record how a run begins, in a thread if it has much; nothing else is recorded meanwhile.

        Args:
            event: The beginning.

        Raises:
            StoreError: It cannot be stored.
        """
        await self.look_through(event)
        if self.is_sealed or not is_long(event.settings, event.context, event.inputs, event.texts, event.tables):
            return self.add(event)
        self._number(event)
        kept = await anyio.to_thread.run_sync(self._prepared, event)
        if self._store is not None:
            self._store.write(kept)
        self._to_readers(without_table(kept))
        return event

    def read_back(self, session_id: str, kind: object) -> Event | None:
        """Return the recorded event that stands for the next one of a session, or None if it has to be recorded.

        Args:
            session_id: The session.
            kind: The event's class.
        """
        recorded = self.past.take(session_id, kind)
        if recorded is not None:
            self._show_until(recorded.sequence)
        return recorded

    async def append(self, event: Event) -> Event:
        """Record an event, and return it, as the record has it, once it is as durable as the store can make it.

        Args:
            event: The event.

        Raises:
            StoreError: It cannot be stored.
        """
        before = self._sequence
        event = self.note(event)
        if self._sequence != before:
            await self._sync()
        return event

    async def once(self, effect: Effect[_Result], make: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return the recorded result of an effect, or perform and record it.

        Its beginning is recorded before it happens; its end is written before it is acted on. The effect
        determines which of the two is synced to the disk by then.

        Args:
            effect: The effect, with its events.
            make: Performs it.

        Raises:
            Exception: The exception that `make` raised, now or in the record.
            RecordEnded: It is not recorded, and the journal is sealed, or the question has ended in the record.
            StoreError: It cannot be stored.
        """
        past = self.past.end(effect.began.key)
        if past is not None:
            self._show_until(past.sequence)
            return effect.load(past)
        if self.is_over(effect.began.session_id):
            raise RecordEnded(self.past.end_of(effect.began.session_id))
        await self.look_through(effect.began)
        self.note(effect.began)
        token = current_request_key.set(self._request_key(effect.began))
        try:
            return await self._happened(effect, make)
        finally:
            current_request_key.reset(token)

    def at_once(
        self, key: str, effect_of: Callable[[], Effect[_Result]], make: Callable[[], _Result | Awaitable[_Result]]
    ) -> _Result | Awaitable[_Result]:
        """Perform and record an effect like `once`, without waiting unless necessary.

        Only for an effect that is not in the record, in a journal that is not sealed. If nothing is stored and there
        are no readers, the events are not even created until someone asks how the effect ended.

        Args:
            key: The effect's key.
            effect_of: Returns the effect, with its events.
            make: Performs it; returns the result, or an awaitable of it.

        Returns:
            The result, or an awaitable of it if `make` returned one or the store has to be waited for.

        Raises:
            Exception: The exception that `make` raised.
            StoreError: It cannot be stored.
        """
        effect = effect_of() if self.is_told else None
        if effect is not None:
            self.note(effect.began)
            if self._store is not None:
                return self._happened(effect, lambda: _awaited(make()))
        try:
            result = make()
        except BaseException as error:
            self.note((effect or effect_of()).failed(error, "failed"))
            raise
        if not isinstance(result, _ANSWERS) and inspect.isawaitable(result):
            awaited: Awaitable[_Result] = result
            return self._happened(effect or effect_of(), lambda: awaited)
        done: _Result = result
        if effect is None:
            self._sequence += 2
            self.past.keep_unwritten(key, partial(_end_of, effect_of, done, self._sequence))
        else:
            self.note(effect.done(done))
        return done

    async def _happened(self, effect: Effect[_Result], make: Callable[[], Awaitable[_Result]]) -> _Result:
        """Perform an effect whose beginning was recorded, and record its end."""
        try:
            if effect.sync_before:
                await self._sync()
            made = await make()
        except BaseException as error:
            cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            self.note(effect.failed(error, "cancelled" if cancelled else "failed"))
            if effect.sync_after and isinstance(error, Exception):
                await self._sync()
            raise
        done = effect.done(made)
        try:
            await self.look_through(done)
        finally:  # what was paid for is recorded, even if the task is cancelled meanwhile
            self.note(done)
        if effect.sync_after:
            await self._sync()
        return made

    async def _sync(self) -> None:
        if self._store is not None:
            await self._store.sync()

    async def open(self, run_id: str) -> None:
        """Acquire a new run in the store; a resumed run is already held.

        Args:
            run_id: The run.

        Raises:
            StoreError: Another process holds it, or a run with that name already exists.
        """
        if self._store is None or self._lease is not None:
            return
        self._lease = self._store.hold(run_id)
        if not self.past.events and await self._store.read(run_id):
            await self.close()
            raise StoreError(f"there is a run {run_id} already; go on with it (rlmbox resume), or give another name")

    async def close(self) -> None:
        """Make the record durable, let the readers finish, and release the run.

        Raises:
            StoreError: It cannot be stored.
        """
        try:
            await self._sync()
        finally:
            for reader in self._readers:
                await _close(reader)
            if self._lease is not None:
                self._lease.release()
                self._lease = None

    def was_cut(self, key: str) -> bool:
        """Return True if an effect began in the past and its outcome is unknown.

        Args:
            key: The effect's key.
        """
        return key in self.past.begun and not self.past.has_end(key)

    def _request_key(self, began: EffectBegan) -> str | None:
        """Return an idempotency key of a request that is the same in every process; None for other effects."""
        if not isinstance(began, ModelRequested | SubcallStarted):
            return None
        return f"{began.key}@{self._began_s}"  # a run's name may be reused, for another request

    def add(self, event: Event) -> Event:
        """Record an event that `read_back` had nothing in place of; otherwise as `note`.

        Args:
            event: What happened.

        Raises:
            RecordEnded: By the record, the question ended before it.
            StoreError: It cannot be kept.
        """
        if not event.KEPT:
            self._show(event)
            return event
        if isinstance(event, OF_TURNS) and self.past.failure_of(event.session_id) is not None:
            raise RecordEnded(self.past.end_of(event.session_id))  # by the record, the question ended before this
        if self.is_sealed:
            if isinstance(event, CellDiffered):
                self._show(event)
            return event
        event = self._number(event)
        if isinstance(event, QuestionAsked):
            self.past.come_to(event)
        elif isinstance(event, HostCallFinished):
            self.past.ended[event.key] = event  # cells run again when a sandbox is rebuilt, and must not repeat calls
        self._keep(event)
        return event

    def _number(self, event: Event) -> Event:
        self._sequence += 1
        self._began_s = self._began_s or event.at_s
        if event.sequence:  # from another record
            return replace(event, sequence=self._sequence)
        object.__setattr__(event, "sequence", self._sequence)  # not shared yet, and a cell makes thousands
        return event

    def _prepared(self, event: Event) -> Event:
        """Return an event as it is to be stored, with secrets hidden, and written down already where the store can."""
        if self._hiding is not None and self.is_told:
            event = self._hiding.hide(event)
        if self._store is None:
            return event
        event = self._audit.linked(event)
        prepare: Callable[[Event], object] = getattr(self._store, "prepare", bool)
        prepare(event)
        return event

    def _keep(self, event: Event) -> None:
        """Store and show an event, with secrets hidden."""
        if self._hiding is not None and (self._store is not None or self._readers):
            for piece in self._hiding.rest(event):
                self._to_readers(piece)
            event = self._hiding.hide(event)
        if self._store is not None:
            event = self._audit.linked(event)
            self._store.write(event)
        self._to_readers(without_table(event))

    def _show(self, event: Event) -> None:
        if self._hiding is None or not self._readers:
            self._to_readers(event)
        elif not isinstance(event, ReplyDelta):
            self._to_readers(self._hiding.shown(event))
        elif (piece := self._hiding.piece(event)) is not None:
            self._to_readers(piece)

    def _to_readers(self, event: Event) -> None:
        for reader in self._readers:
            try:
                reader(event)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and is_interrupt(error):
                    raise
                _log.exception("a hook failed on %s", event.kind)

    def _show_until(self, sequence: int) -> None:
        """Show a replay's readers the recorded events up to one that was replayed."""
        if not self.is_sealed:
            return
        events = self.past.events
        while self._shown < len(events) and events[self._shown].sequence <= sequence:
            self._show(events[self._shown])
            self._shown += 1


async def _awaited(result: _Result | Awaitable[_Result]) -> _Result:
    if not isinstance(result, _ANSWERS) and inspect.isawaitable(result):
        awaited: Awaitable[_Result] = result
        return await awaited
    done: _Result = result
    return done


def _end_of(effect_of: Callable[[], Effect[_Result]], result: _Result, sequence: int) -> EffectEnded:
    return replace(effect_of().done(result), sequence=sequence)


async def _close(reader: Hook) -> None:
    """Close a reader that has an `aclose`, and wait for it."""
    aclose = getattr(reader, "aclose", None)
    if aclose is None:
        return
    try:
        await aclose()
    except Exception:  # noqa: BLE001 - an error in a user's hook must not end the run
        _log.exception("a hook failed at the end of the run")
