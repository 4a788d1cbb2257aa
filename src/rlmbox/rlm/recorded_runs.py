"""Recorded runs: going on with one, running it again from its record, and beginning another from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from anyio import to_thread

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD, Limits
from rlmbox.context import Context
from rlmbox.context.context import Openable
from rlmbox.errors import ConfigError, RLMError, StoreError
from rlmbox.events import Event, QuestionAsked, RunResumed, RunStarted, SessionFailed, SessionFinished
from rlmbox.loop.scope import RunContext, checked_run_id, new_run_id
from rlmbox.loop.session import Session
from rlmbox.loop.toolbox import Toolbox
from rlmbox.loop.tools import Tool
from rlmbox.record.audit import AuditChain
from rlmbox.record.context_record import given_context, moved_record, paths_in, reopen_context
from rlmbox.record.continuing import begun, forked, questions, read_run, recorded_type, resumed
from rlmbox.record.hiding import HiddenValues, placeholder_table, whole
from rlmbox.record.journal import Journal, Lease, Store
from rlmbox.record.offline import RecordedModel
from rlmbox.record.past import Past
from rlmbox.retrieval.recorded import RecordedEmbedder, RecordedRetriever
from rlmbox.rlm.argument_checks import check_arguments
from rlmbox.rlm.needs import check_needs, check_new_limits
from rlmbox.rlm.setup import Setup, context_of, limits_setting
from rlmbox.types import Answer, CellLimits, Table


async def resume(
    setup: Setup,
    run_id: str,
    *,
    context: Openable | None,
    inputs: Mapping[str, object] | None,
    returns: Any,
    limits: Limits | None = None,
) -> Answer:
    """Go on with a recorded run; see `RLM.resume`."""
    check_arguments({"run_id": run_id, "inputs": inputs, "limits": limits})
    store = setup.recorded()
    lease = store.hold(run_id)
    try:
        events, hiding = await _read(setup, store, run_id)
        started = begun(events, run_id)
        past = Past(events)
        if limits is not None:
            check_new_limits(limits, limits_in_force(events), past, run_id)
        goes_on = not past.is_over or limits is not None
        if goes_on:
            tools, index = Toolbox(setup.tools), setup.made_with["retriever"]
            settings = {**started.settings, "returns": recorded_type(events)}
            check_needs(settings, setup.made_with, tools, index=index, returns=returns)
        # What a run that is over has answered is there, whatever has become of the text and the sandbox.
        answer = _answer_of(events) if not goes_on and context is None and returns is None else None
        try:
            # Opened before anything is written, since it may be another one.
            texts, moved = await to_thread.run_sync(_opened, started, context, inputs)
            if goes_on:
                changes = dict(moved)
                if limits is not None:
                    changes["settings"] = limits_setting(limits)
                added = resumed(events, changes)
                for event in added:
                    store.write(event)
                events += added
            return await _go_on(setup, events, lease, texts, returns=returns, is_sealed=not goes_on, hiding=hiding)
        except RLMError:
            if answer is None:
                raise
            return answer
    finally:
        lease.release()


async def replay(setup: Setup, run_id: str, *, context: Openable | None, inputs: Mapping[str, object] | None) -> Answer:
    """Run a recorded run again from its record; see `RLM.replay`."""
    check_arguments({"run_id": run_id, "inputs": inputs})
    events, hiding = await _read(setup, setup.recorded(), run_id)
    texts, _ = await to_thread.run_sync(_opened, begun(events, run_id), context, inputs)
    return await _go_on(setup, events, None, texts, run_id=run_id, is_sealed=True, hiding=hiding)


async def fork(
    setup: Setup,
    run_id: str,
    *,
    at: int,
    code: str | None,
    limits: Limits | None,
    new_id: str | None,
    context: Openable | None = None,
    inputs: Mapping[str, object] | None = None,
) -> Answer:
    """Begin a new run that is a recorded one up to a turn; see `RLM.fork`."""
    check_arguments({"run_id": run_id, "inputs": inputs, "limits": limits, "at": at})
    store = setup.recorded()
    origin = whole(await read_run(store, run_id))
    hiding = setup.hiding()
    started = begun(origin, run_id)
    settings: dict[str, object] = {**started.settings, **setup.made_with}
    settings |= limits_setting(limits or limits_in_force(origin))
    name = new_run_id() if new_id is None else checked_run_id(new_id)
    events = forked(origin, name, at=at, code=code, model=setup.models.root.name, settings=settings)
    setup.budget(limits_of(settings))  # what cannot begin leaves no run
    texts, moved = await to_thread.run_sync(_opened, started, context, inputs)
    events[0] = replace(begun(events, name), **moved)
    lease = store.hold(name)
    try:
        if await store.read(name):
            raise StoreError(f"there is a run {name} already; give another name")
        chain = AuditChain()
        for place, event in enumerate(events):
            kept = chain.linked(replace(event if hiding is None else hiding.hide(event), audit=""))
            events[place] = replace(event, audit=kept.audit)
            store.write(kept)
        return await _go_on(setup, events, lease, texts, hiding=hiding)
    finally:
        lease.release()


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """Return the limits that a record has.

    Args:
        settings: The settings of the run.
    """
    found = {name: value for name, value in settings["limits"].items() if name != "cell"}
    if settings.get("cost_limit_is_default"):
        found["cost_limit_usd"] = DEFAULT_COST_LIMIT_USD
    return Limits(**found, cell=CellLimits(**settings["limits"]["cell"]))


def limits_in_force(events: Sequence[Event]) -> Limits:
    """Return the limits of the last question of a run: its own where it has some, and else the run's.

    Args:
        events: The run's events.
    """
    settings: Mapping[str, Any] = begun(events, "").settings
    asked = questions(events)
    own = _own_limits(asked[-1], events) if asked else None
    return limits_of(settings) if own is None else own


def _own_limits(asked: QuestionAsked, events: Sequence[Event]) -> Limits | None:
    """Return the limits that a question has for itself; None for those of the run, which may be wider since."""
    first: Mapping[str, Any] = events[0].settings if isinstance(events[0], RunStarted) else {}
    resumed = [event for event in events if isinstance(event, RunResumed)]
    changed = [event for event in resumed if "settings" in event.changes]
    usual = [first.get("limits"), *(event.changes["settings"]["limits"] for event in changed)]
    # Of a fork, the limits of its own are those of the run.
    is_later = any(event.sequence > asked.sequence for event in resumed if event in changed or event.is_fork)
    return None if is_later or dict(asked.limits) in usual else limits_of({"limits": asked.limits})


async def _read(setup: Setup, store: Store, run_id: str) -> tuple[list[Event], HiddenValues | None]:
    """Return the events of a run with their hidden values, and what hides them again."""
    recorded = await read_run(store, run_id)
    return whole(recorded), setup.hiding(placeholder_table(recorded))


async def _go_on(
    setup: Setup,
    events: Sequence[Event],
    lease: Lease | None,
    texts: _Texts,
    *,
    run_id: str = "",
    returns: Any = None,
    is_sealed: bool = False,
    hiding: HiddenValues | None = None,
) -> Answer:
    """Run a session over a record until its last question is answered."""
    again = partial(_session_again, setup, events, lease, texts, run_id, returns, hiding, is_sealed=is_sealed)
    session, run, others = await to_thread.run_sync(again)
    answer = await _answer_again(session, others)
    left = run.journal.past.unread() if is_sealed else []
    if left:
        raise StoreError(
            f"the replay did not reach {len(left)} events of the record, the first of which is a {left[0].kind}"
        )
    return answer


def _session_again(
    setup: Setup,
    events: Sequence[Event],
    lease: Lease | None,
    texts: _Texts,
    run_id: str,
    returns: Any,
    hiding: HiddenValues | None,
    *,
    is_sealed: bool,
) -> tuple[Session, RunContext, Sequence[_Put]]:
    """Return a session over a record with its first question, its run, and the questions after that."""
    started = begun(events, run_id)
    settings: Mapping[str, Any] = started.settings
    limits = limits_of(settings)
    options, tools = setup.options, Toolbox(setup.tools)
    if is_sealed:  # nothing is asked, so that there is nothing to limit, and tools are not called
        limits = replace(limits, cost_limit_usd=None, max_tokens=None, max_seconds=None)
        options, tools = replace(options, rules=(), approval=None), Toolbox(_stand_ins(settings))
    tables = {name: Table(form) for name, form in started.tables.items()}
    text, inputs = texts.context, {**started.inputs, **tables, **texts.inputs}
    run = RunContext(
        RecordedModel(str(settings["model"])) if is_sealed else setup.models.root,
        RecordedModel(str(settings["sub_model"])) if is_sealed else setup.models.sub,
        Budget(limits) if is_sealed else setup.budget(limits),
        setup.new_sandbox,
        Journal(
            None if is_sealed else setup.store,
            setup.readers((), () if is_sealed else events, is_replay=is_sealed),
            events,
            is_sealed=is_sealed,
            lease=lease,
            hiding=hiding,
        ),
        fallback=None if is_sealed else setup.models.fallback,
        fallback_when=None if is_sealed else setup.requests.fallback_when,
        cache=setup.requests.cache,
        retries=setup.requests.retries,
        id=started.run_id,
        seed=int(settings.get("seed", 0)),
        guard=setup.run_guard(text, inputs, prepares=not is_sealed),
        tools=tools,
        retriever=_stand_in_of(settings) if is_sealed else setup.retriever,
        streams=bool(setup.requests.stream_replies),
    )
    asked = questions(events)
    put = [_Put(each.question, each.returns, _own_limits(each, events)) for each in asked]
    if not put:
        put = [_Put(str(settings.get("question") or ""), None, None)]
    put[-1] = replace(put[-1], returns=returns if returns is not None else recorded_type(events))
    if not put[0].question:
        raise StoreError(f"the run {started.run_id} has no question yet, so there is nothing to resume")
    first = put[0]
    session = Session(
        run, text, question=first.question, returns=first.returns, limits=first.limits, inputs=inputs, options=options
    )
    return session, run, put[1:]


@dataclass(frozen=True, slots=True)
class _Put:
    """A question that a session was asked.

    Attributes:
        question: The question.
        returns: The type of its answer; None for any.
        limits: Limits of its own; None for those of the run.
    """

    question: str
    returns: Any
    limits: Limits | None


async def _answer_again(session: Session, others: Sequence[_Put]) -> Answer:
    """Answer a session's first question and then the others that its record has.

    Args:
        session: The session.
        others: The others.
    """
    async with session:
        for following in others:
            try:
                await session.run()
            except RLMError as error:
                if not session.has_failed_so(error):
                    raise
            await session.begin(following.question, returns=following.returns, limits=following.limits)
        return await session.run()


@dataclass(frozen=True, slots=True)
class _Texts:
    """The texts of a run, opened again.

    Attributes:
        context: Its context.
        inputs: Its inputs that are texts, by name.
    """

    context: Context
    inputs: Mapping[str, Context]


def _answer_of(events: Sequence[Event]) -> Answer | None:
    """Return the answer to the last question of a run that is over, or None for one that failed."""
    last = next((each for each in reversed(events) if isinstance(each, SessionFinished | SessionFailed)), None)
    return last.answer if isinstance(last, SessionFinished) and last.depth == 0 else None


def _opened(
    started: RunStarted, context: Openable | None, inputs: Mapping[str, object] | None
) -> tuple[_Texts, dict[str, Any]]:
    """Return a run's texts, and what of its record is otherwise where their files have moved.

    Args:
        started: What the record has of the run.
        context: Where its context is now, or the text itself; None for where it was.
        inputs: The same of inputs that are texts, by name.
    """
    given = inputs or {}
    if unknown := given.keys() - started.texts.keys():
        has = sorted(started.texts)
        raise ConfigError(f"the run has no text {min(unknown)!r} among its inputs; inputs= takes {has}")
    moved: dict[str, Any] = {}
    text, record = _text_again(started.context, context)
    if record is not started.context:
        moved["context"] = record
    opened, records = {}, dict(started.texts)
    for name, recorded in started.texts.items():
        if name not in given and recorded.get("kind") == "none":
            raise StoreError(
                f"the input {name!r} of this run was too large to be kept and has no path; give it again: "
                f"rlm.resume(run, inputs={{{name!r}: …}})"
            )
        opened[name], records[name] = _text_again(recorded, given.get(name))
    if any(record is not started.texts[name] for name, record in records.items()):
        moved["texts"] = records
    return _Texts(text, opened), moved


def _text_again(recorded: Mapping[str, Any], given: Any) -> tuple[Context, Mapping[str, Any]]:
    """Return a text and how it is opened again, which is otherwise where its files have moved."""
    if given is None:
        return reopen_context(recorded), recorded
    paths = paths_in(given)
    if paths is not None and recorded.get("paths") is not None:
        moved = moved_record(recorded, paths)
        return reopen_context(moved), moved
    return given_context(recorded, context_of(given)), recorded


def _stand_ins(settings: Mapping[str, Any]) -> tuple[Tool, ...]:
    """Return functions in the places of a run's tools, whose answers the record has."""

    def stand_in(*arguments: object, **keywords: object) -> object:
        """Answer from the record."""
        raise StoreError(f"the record has no answer to {(arguments, keywords)}")

    names = (*settings.get("tools", ()), *settings.get("source_tools", ()))
    return tuple(Tool(stand_in, name=str(name)) for name in names)


def _stand_in_of(settings: Mapping[str, Any]) -> RecordedRetriever | None:
    recorded = settings.get("retriever")
    if not recorded:
        return None
    embedder = recorded.get("embedder")
    return RecordedRetriever(str(recorded["name"]), RecordedEmbedder(str(embedder)) if embedder else None)
