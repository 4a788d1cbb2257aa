"""Recorded runs: going on with one, running it again from its record, and beginning another from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from anyio import to_thread

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD, Limits
from rlmbox.context import Context
from rlmbox.context.context import Openable
from rlmbox.errors import AnswerRejected, ConfigError, LimitExceeded, StoreError
from rlmbox.events import Event, QuestionAsked
from rlmbox.loop.scope import RunContext, checked_run_id, new_run_id
from rlmbox.loop.session import Session
from rlmbox.loop.toolbox import Toolbox
from rlmbox.loop.tools import Tool
from rlmbox.record.audit import AuditChain
from rlmbox.record.context_record import reopen_context
from rlmbox.record.continuing import begun, forked, questions, read_run, resumed
from rlmbox.record.hiding import HiddenValues, placeholder_table, whole
from rlmbox.record.journal import Journal, Lease, Store
from rlmbox.record.offline import RecordedModel
from rlmbox.record.past import Past
from rlmbox.retrieval.recorded import RecordedEmbedder, RecordedRetriever
from rlmbox.rlm.needs import check_needs
from rlmbox.rlm.setup import Setup, limits_setting, text_of
from rlmbox.types import Answer, CellLimits, Table


async def resume(
    setup: Setup, run_id: str, *, context: Openable | None, inputs: Mapping[str, object] | None, returns: Any
) -> Answer:
    """Go on with a recorded run; see `RLM.resume`."""
    store = setup.recorded()
    lease = store.hold(run_id)
    try:
        events, hiding = await _read(setup, store, run_id)
        started = begun(events, run_id)
        is_over = Past(events).is_over
        if not is_over:
            tools, has_index = Toolbox(setup.tools), setup.retriever is not None
            check_needs(started.settings, setup.made_with, tools, has_index=has_index, returns=returns)
            added = resumed(events)
            for event in added:
                store.write(event)
            events += added
        return await _go_on(
            setup, events, lease, context=context, inputs=inputs, returns=returns, is_sealed=is_over, hiding=hiding
        )
    finally:
        lease.release()


async def replay(setup: Setup, run_id: str, *, context: Openable | None, inputs: Mapping[str, object] | None) -> Answer:
    """Run a recorded run again from its record; see `RLM.replay`."""
    events, hiding = await _read(setup, setup.recorded(), run_id)
    return await _go_on(
        setup, events, None, run_id=run_id, context=context, inputs=inputs, is_sealed=True, hiding=hiding
    )


async def fork(
    setup: Setup, run_id: str, *, at: int, code: str | None, limits: Limits | None, new_id: str | None
) -> Answer:
    """Begin a new run that is a recorded one up to a turn; see `RLM.fork`."""
    store = setup.recorded()
    origin = whole(await read_run(store, run_id))
    hiding = setup.hiding()
    started = begun(origin, run_id)
    settings: dict[str, object] = {**started.settings, **setup.made_with}
    if limits is not None:
        settings |= limits_setting(limits)
    name = new_run_id() if new_id is None else checked_run_id(new_id)
    events = forked(origin, name, at=at, code=code, model=setup.models.root.name, settings=settings)
    setup.budget(limits_of(settings))  # what cannot begin leaves no run
    text = await to_thread.run_sync(_opened, None, started.context)
    inputs = await to_thread.run_sync(_opened_inputs, None, started.texts)
    lease = store.hold(name)
    try:
        if await store.read(name):
            raise StoreError(f"there is a run {name} already; give another name")
        chain = AuditChain()
        for place, event in enumerate(events):
            kept = chain.linked(replace(event if hiding is None else hiding.hide(event), audit=""))
            events[place] = replace(event, audit=kept.audit)
            store.write(kept)
        return await _go_on(setup, events, lease, context=text, inputs=inputs, hiding=hiding)
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


async def _read(setup: Setup, store: Store, run_id: str) -> tuple[list[Event], HiddenValues | None]:
    """Return the events of a run with their hidden values, and what hides them again."""
    recorded = await read_run(store, run_id)
    return whole(recorded), setup.hiding(placeholder_table(recorded))


async def _go_on(
    setup: Setup,
    events: Sequence[Event],
    lease: Lease | None,
    *,
    run_id: str = "",
    context: Openable | None = None,
    inputs: Mapping[str, object] | None = None,
    returns: Any = None,
    is_sealed: bool = False,
    hiding: HiddenValues | None = None,
) -> Answer:
    """Run a session over a record until its last question is answered."""
    started = begun(events, run_id)
    settings: Mapping[str, Any] = started.settings
    limits = limits_of(settings)
    options, tools = setup.options, Toolbox(setup.tools)
    if is_sealed:  # nothing is asked, so that there is nothing to limit, and tools are not called
        limits = replace(limits, cost_limit_usd=None, max_tokens=None, max_seconds=None)
        options, tools = replace(options, rules=(), approval=None), Toolbox(_stand_ins(settings))
    text = await to_thread.run_sync(_opened, context, started.context)
    tables = {name: Table(form) for name, form in started.tables.items()}
    texts = await to_thread.run_sync(_opened_inputs, inputs, started.texts)
    inputs = {**started.inputs, **tables, **texts}
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
        guard=setup.run_guard(text, inputs),
        tools=tools,
        retriever=_stand_in_of(settings) if is_sealed else setup.retriever,
        streams=bool(setup.requests.stream_replies),
    )
    wanted = returns if returns is not None else settings.get("returns")
    asked = questions(events)
    first = asked[0].question if asked else settings.get("question")
    if not first:
        raise StoreError(f"the run {started.run_id} was asked nothing yet, so there is nothing to go on with")
    session = Session(run, text, question=first, returns=wanted, inputs=inputs, options=options)
    answer = await _answer_again(session, asked[1:], settings)
    left = run.journal.past.unread() if is_sealed else []
    if left:
        raise StoreError(
            f"the replay did not come to {len(left)} events of the record, the first of them a {left[0].kind}"
        )
    return answer


async def _answer_again(session: Session, others: Sequence[QuestionAsked], settings: Mapping[str, Any]) -> Answer:
    """Answer a session's first question and then the others that its record has."""
    async with session:
        for following in others:
            with suppress(LimitExceeded, AnswerRejected):  # it ended so, and the next one was asked all the same
                await session.run()
            own = None if dict(following.limits) == settings["limits"] else limits_of({"limits": following.limits})
            await session.begin(following.question, limits=own)
        return await session.run()


def _opened(context: Openable | None, recorded: Mapping[str, Any]) -> Context:
    return reopen_context(recorded) if context is None else text_of(context)


def _opened_inputs(given: Mapping[str, object] | None, recorded: Mapping[str, Any]) -> dict[str, Context]:
    """Return the inputs of a run that are texts: those that are given again, and the others as the record has them."""
    given = given or {}
    if unknown := given.keys() - recorded.keys():
        raise ConfigError(f"the run has no text {min(unknown)!r} among its inputs; inputs= takes {sorted(recorded)}")
    opened = {}
    for name, record in recorded.items():
        if name in given:
            opened[name] = text_of(given[name])  # type: ignore[arg-type]  # it says what it takes
        elif record.get("kind") == "none":
            raise StoreError(
                f"the input {name!r} of this run was too large to be kept and has no path; give it again: "
                f"rlm.resume(run, inputs={{{name!r}: …}})"
            )
        else:
            opened[name] = reopen_context(record)
    return opened


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
