"""Preparation of a record for a run that continues from it: resumed at its end, or forked at a turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

from rlmbox.errors import ConfigError, StoreError
from rlmbox.events import (
    ApprovalAsked,
    ApprovalGiven,
    AttemptFinished,
    AttemptStarted,
    CellDiffered,
    EffectBegan,
    EffectEnded,
    Event,
    LastAnswerAsked,
    ModelReplied,
    ModelRequested,
    QuestionAsked,
    RunResumed,
    RunStarted,
    SessionFailed,
    SessionStarted,
)
from rlmbox.record.journal import Store
from rlmbox.record.keys import is_last_word, key_of
from rlmbox.record.past import OF_TURNS, Past, closings, is_of_engine

_PATHS = ("run_id", "session_id", "parent_id", "key", "opened_by")


async def read_run(store: Store, run_id: str) -> Sequence[Event]:
    """Return the events of a run, at least one.

    Args:
        store: The store.
        run_id: The run.

    Raises:
        StoreError: The store has no such run (the message suggests similar names), or cannot be read.
    """
    events = await store.read(run_id)
    if not events:
        close = get_close_matches(run_id, [each.run_id for each in await store.runs()], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise StoreError(f"there is no run {run_id!r} in the store; {hint}rlmbox runs lists the existing ones")
    return events


def begun(events: Sequence[Event], run_id: str) -> RunStarted:
    """Return the start of a run, with the changes made when it was resumed.

    Args:
        events: The run's events.
        run_id: The run.

    Raises:
        StoreError: The beginning of its record is missing.
    """
    if not events or not isinstance(events[0], RunStarted):
        raise StoreError(f"the record of {run_id} has no beginning, so the run cannot be resumed")
    started = events[0]
    for event in events:
        if isinstance(event, RunResumed) and event.changes:
            changed: dict[str, Any] = dict(event.changes)
            changed["settings"] = {**started.settings, **changed.get("settings", {})}
            started = replace(started, **changed)
    return started


def questions(events: Sequence[Event]) -> list[QuestionAsked]:
    """Return the questions that the root session was asked, in order.

    Args:
        events: The run's events.
    """
    return [event for event in events if isinstance(event, QuestionAsked) and event.depth == 0]


def recorded_type(events: Sequence[Event]) -> Any:
    """Return the JSON Schema that the answer to the root's last question must fit; None for any.

    Args:
        events: The run's events.
    """
    asked = questions(events)
    found = asked[-1].returns if asked else None
    if found is None and len(asked) < 2 and events and isinstance(events[0], RunStarted):
        return events[0].settings.get("returns")
    return found


def resumed(events: Sequence[Event], changes: Mapping[str, Mapping[str, object]] | None = None) -> list[Event]:
    """Return the events that are added to a record when its run is resumed.

    Requests in flight remain charged at their worst case. Requests that were paid for, and whose reply was lost with
    Requests in flight remain charged at their worst case. Requests that were paid for, and whose reply was lost with
    the process, remain charged at their cost.

    Args:
        events: The run's events; at least one.
        changes: The changes that apply from now on; see `RunResumed`.
    """
    last = events[-1].sequence
    past = Past(events)
    ends = closings(past.open_attempts)
    added: list[Event] = [*ends, _again(events[0], uncertain=len(ends) + len(past.unanswered), changes=changes)]
    return [replace(event, sequence=last + number) for number, event in enumerate(added, 1)]


def forked(
    events: Sequence[Event],
    run_id: str,
    *,
    at: int,
    code: str | None,
    model: str,
    settings: Mapping[str, object],
) -> list[Event]:
    """Return the beginning of a run that shares another run's events up to a turn, and continues independently.

    The costs of the other run are not charged to it.

    Args:
        events: The other run's events.
        run_id: Name of the new run.
        at: The turn of the root's last question at which it diverges: the model is asked again for it.
        code: Code that runs in this turn instead of the model's, which is not asked for it; None for none.
        model: Name of the new run's root model.
        settings: The settings of the new run.

    Raises:
        ConfigError: There is no such turn.
    """
    origin = begun(events, events[0].run_id if events else run_id)
    kept = _until(events, at, with_reply=code is not None)
    found: list[Event] = [replace(origin, settings=settings, origin_run=origin.run_id, origin_turn=at)]
    found += [replace(e, model=model) if isinstance(e, SessionStarted) and e.depth == 0 else e for e in kept]
    if code is not None:
        found += _edit(kept[-1], at, code)
    found.append(_again(origin, is_fork=True))  # the time between the two runs belongs to neither
    return [_renamed(event, origin.run_id, run_id, number) for number, event in enumerate(found, 1)]


def _again(
    root: Event, *, uncertain: int = 0, is_fork: bool = False, changes: Mapping[str, Mapping[str, object]] | None = None
) -> RunResumed:
    place: dict[str, Any] = {"run_id": root.run_id, "session_id": root.session_id, "parent_id": None, "depth": 0}
    return RunResumed(**place, state="INIT", uncertain=uncertain, is_fork=is_fork, changes=changes or {})


def _until(events: Sequence[Event], at: int, *, with_reply: bool) -> list[Event]:
    past = Past(events)
    asked = questions(events)
    begins = asked[-1].sequence if asked else 0
    kept: list[Event] = []
    for event in events[1:]:
        mine = event.depth == 0 and event.sequence > begins
        if mine and isinstance(event, ModelRequested) and event.turn == at and not with_reply:
            return _without_last_word(kept)
        if mine and isinstance(event, SessionFailed):
            kept = _without_last_word(kept)
        elif not _is_of_process(event, past):
            kept.append(event)
        if mine and isinstance(event, ModelReplied) and event.turn == at and _is_reply(event):
            return kept
    replies = [event for event in past.ended.values() if isinstance(event, ModelReplied) and not event.depth]
    turns = max((event.turn for event in replies if _is_reply(event)), default=0)
    raise ConfigError(f"the run has no turn {at} to fork from; it has {turns}")


def _is_reply(event: ModelReplied) -> bool:
    """Return True if it is the reply of a turn."""
    return event.ended == "done" and not is_last_word(event.key)


def _without_last_word(events: Sequence[Event]) -> list[Event]:
    """Return events without the request for the best answer of a question that ended and was then continued."""
    kinds: tuple[type[Event], ...] = (QuestionAsked, *OF_TURNS)
    since = max((e.sequence for e in events if not e.depth and isinstance(e, kinds) and not is_of_engine(e)), default=0)
    return [e for e in events if e.depth or e.sequence < since or not _is_last_word(e)]


def _is_last_word(event: Event) -> bool:
    of_request = isinstance(event, EffectBegan | EffectEnded) and is_last_word(event.key)
    return of_request or isinstance(event, LastAnswerAsked) or is_of_engine(event)


def _is_of_process(event: Event, past: Past) -> bool:
    """Return True if an event concerns a process or a payment, and not the conversation."""
    if isinstance(event, EffectEnded):
        return past.ended.get(event.key) is not event
    return isinstance(event, RunResumed | AttemptStarted | AttemptFinished | CellDiffered)


def _edit(reply: Event, at: int, code: str) -> list[Event]:
    """Return the events for a person's replacement of the last turn's code."""
    assert isinstance(reply, ModelReplied)  # noqa: S101 - the record was cut right after it
    place: dict[str, Any] = {f.name: getattr(reply, f.name) for f in fields(Event)}
    place |= {"key": key_of(reply.key.rpartition("/")[0], "approval"), "turn": at}
    return [ApprovalAsked(**place, code=""), ApprovalGiven(**place, decision="replace", code=code)]


def _renamed(event: Event, old: str, new: str, sequence: int) -> Event:
    changed: dict[str, Any] = {"sequence": sequence}
    for name in _PATHS:
        path = getattr(event, name, None)
        if isinstance(path, str) and (path == old or path.startswith(f"{old}/")):
            changed[name] = new + path[len(old) :]
    return replace(event, **changed)
