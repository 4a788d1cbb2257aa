"""The journal: everything that happened in a run, once and in order, and the effects that must not happen twice.

A live run writes it; what reads it (hooks, traces, the live tree) sees an event only after it was recorded. Where the
journal already has the end of an effect, the effect does not happen again: its recorded result is given. So a live
run and a run that goes on from a record are the same code over a journal with fewer or more entries.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import anyio

from rlmbox.events import EffectBegan, EffectEnded, Ended, Event, Hook, HostCallFinished

_log = logging.getLogger("rlmbox")
_Result = TypeVar("_Result")


class Store(Protocol):
    """Where the events of runs are kept."""

    def write(self, event: Event) -> None:
        """Take an event, in order; it is durable after the next `sync`.

        Raises:
            StoreError: It cannot be kept.
        """

    async def sync(self) -> None:
        """Return when everything that was written is as durable as this store makes it.

        Raises:
            StoreError: It cannot be kept.
        """

    async def read(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run, in order; none of a run that the store does not have.

        Raises:
            StoreError: The record is damaged, or a newer rlmbox wrote it.
        """


class MemoryStore:
    """Keeps events in this process's memory, for as long as the object lives."""

    def __init__(self) -> None:
        self._events: dict[str, list[Event]] = {}

    def write(self, event: Event) -> None:
        """Take an event; see `Store.write`."""
        self._events.setdefault(event.run_id, []).append(event)

    async def sync(self) -> None:
        """Return at once: memory is as durable as it gets here."""

    async def read(self, run_id: str) -> Sequence[Event]:
        """Return the events of a run; see `Store.read`."""
        return tuple(self._events.get(run_id, ()))


@dataclass(frozen=True, slots=True)
class Effect(Generic[_Result]):
    """How something that must not happen twice is recorded.

    Attributes:
        began: The event that says that it is about to happen; its key is the effect's.
        done: Makes the event of its result.
        failed: Makes the event of its end without a result.
        load: Reads the result out of a recorded end; raises the recorded error where there is none.
    """

    began: EffectBegan
    done: Callable[[_Result], EffectEnded]
    failed: Callable[[BaseException, Ended], EffectEnded]
    load: Callable[[EffectEnded], _Result]


class Journal:
    """The journal of one run. It belongs to one event loop.

    Args:
        store: Where the events are kept; None keeps none of them, for a run that is not recorded.
        readers: Called with every event, after it was recorded. One that fails is logged and changes nothing.
        past: The events that the run has already, in order.
    """

    def __init__(self, store: Store | None = None, readers: Iterable[Hook] = (), past: Sequence[Event] = ()) -> None:
        self._store = store
        self._readers = tuple(readers)
        self._sequence = past[-1].sequence if past else 0
        self._ended: dict[str, EffectEnded] = {event.key: event for event in past if isinstance(event, EffectEnded)}

    def note(self, event: Event) -> Event:
        """Record an event that may be lost with the process; return it with its sequence number.

        Args:
            event: What happened.

        Raises:
            StoreError: It cannot be kept.
        """
        self._sequence += 1
        event = replace(event, sequence=self._sequence)
        if isinstance(event, HostCallFinished):
            self._ended[event.key] = event  # cells run again when a sandbox is rebuilt, and must not call again
        if self._store is not None:
            self._store.write(event)
        for reader in self._readers:
            try:
                reader(event)
            except Exception:  # noqa: BLE001 - a reader's mistake must not cost the run
                _log.exception("a hook failed on %s", event.kind)
        return event

    async def append(self, event: Event) -> Event:
        """Record an event, and return it when it is as durable as the store makes it.

        Args:
            event: What happened.

        Raises:
            StoreError: It cannot be kept.
        """
        event = self.note(event)
        if self._store is not None:
            await self._store.sync()
        return event

    async def once(self, effect: Effect[_Result], make: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return the recorded result of an effect, or make it happen and record it.

        That it began is written before anything leaves; how it ended, before anybody acts on it.

        Args:
            effect: How it is recorded.
            make: Makes it happen.

        Raises:
            Exception: What `make` raised, or what the record says it raised.
            StoreError: It cannot be kept.
        """
        past = self._ended.get(effect.began.key)
        if past is not None:
            return effect.load(past)
        self.note(effect.began)  # needs no sync: without its end the effect counts as possibly under way
        try:
            result = await make()
        except BaseException as error:
            cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            self.note(effect.failed(error, "cancelled" if cancelled else "failed"))
            raise
        await self.append(effect.done(result))
        return result
