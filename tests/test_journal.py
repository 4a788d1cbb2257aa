"""The journal: a run is recorded as it happens, and what it has recorded does not happen again."""

import json
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox import RLM, Limits
from rlmbox.budget.budget import Budget
from rlmbox.context import Context
from rlmbox.errors import ConfigError, ModelError, StoreError
from rlmbox.events import (
    AttemptFinished,
    CellExecuted,
    EffectBegan,
    EffectEnded,
    Event,
    HostCallStarted,
    ModelRequested,
    SessionStarted,
    SubcallStarted,
    from_json,
    to_json,
)
from rlmbox.loop.bridge import Bridge
from rlmbox.loop.scope import RunContext, Scope
from rlmbox.loop.session import Session
from rlmbox.record.journal import Journal, MemoryStore
from rlmbox.requests.retries import RetryPolicy
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel
from rlmbox.testing.scripted import Scripted
from rlmbox.types import HostFunction
from runs import PENNY, TEXT, repl, rlm

LIMITS = Limits(cost_limit_usd="1000000")
QUICK = RetryPolicy(base_delay_s=0.001, max_delay_s=0.002)


def scripted(answered: int = 0) -> tuple[ScriptedModel, ScriptedModel]:
    """A root with a batch, a child with a call of its own and a cell of the engine, from some reply on."""
    code = "a = llm_query_batched(['one', 'two', 'one'])\nb = rlm_query('child?')\nc = a + [b]"
    root = ScriptedModel([repl(code), "FINAL_VAR(c)"][answered:], name="root", price=PENNY)
    sub = ScriptedModel(
        [lambda m: repl("FINAL(llm_query('deep'))") if len(m) > 1 else f"<{m[-1].content}>"] * 20,
        name="sub",
        price=PENNY,
    )
    return root, sub


async def recorded() -> tuple[MemoryStore, Sequence[Event], object]:
    store, (root, sub) = MemoryStore(), scripted()
    answer = await RLM(root, sub_model=sub, store=store, limits=LIMITS).aask("How?", TEXT)
    return store, await store.read(answer.run_id), answer


async def test_every_event_is_recorded_once_and_in_order() -> None:
    seen: list[Event] = []
    store, (root, sub) = MemoryStore(), scripted()
    answer = await RLM(root, sub_model=sub, store=store, hooks=[seen.append], limits=LIMITS).aask("How?", TEXT)
    events = await store.read(answer.run_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert list(events) == seen
    assert answer.value == ["<one>", "<two>", "<one>", "<deep>"]


async def test_every_effect_has_a_key_of_its_own_and_one_end() -> None:
    _, events, _ = await recorded()
    began = [event.key for event in events if isinstance(event, EffectBegan)]
    ended = [event.key for event in events if isinstance(event, EffectEnded)]
    assert sorted(began) == sorted(ended)
    assert set(Counter(began).values()) == {1}


async def test_keys_say_where_and_not_when() -> None:
    async def keys() -> set[str]:
        return {event.key.partition("/")[2] for event in (await recorded())[1] if isinstance(event, EffectBegan)}

    assert await keys() == await keys()


async def test_prompts_are_recorded_as_they_were_sent() -> None:
    store, (root, sub) = MemoryStore(), scripted()
    answer = await RLM(root, sub_model=sub, store=store, limits=LIMITS).aask("How?", TEXT)
    events = await store.read(answer.run_id)
    mine = [event for event in events if isinstance(event, ModelRequested) and event.depth == 0]
    conversation = [message for event in mine for message in event.added]
    replies = [message for message in root.requests[-1] if message.role == "assistant"]
    assert [m for m in conversation if m.role != "assistant"] == [m for m in root.requests[-1] if m not in replies]
    assert [event.prompt[0].content for event in events if isinstance(event, SubcallStarted) and event.prompt] == [
        "one",
        "two",
        "deep",
    ]
    assert all(event.max_output_tokens for event in mine)


async def test_a_child_names_the_call_that_opened_it() -> None:
    _, events, _ = await recorded()
    child = next(event for event in events if isinstance(event, SessionStarted) and event.depth)
    call = next(event for event in events if isinstance(event, SubcallStarted) and event.function == "rlm_query")
    assert child.opened_by == child.session_id == call.key


async def test_cells_of_the_engine_are_recorded_as_its_own() -> None:
    _, events, _ = await recorded()
    mine = [event.cell.code for event in events if isinstance(event, CellExecuted) and event.cell.by == "engine"]
    assert mine == ["c"]


async def test_what_the_attempts_were_charged_is_what_the_run_cost() -> None:
    store = MemoryStore()
    failing: list[Scripted] = [ModelError("503", retryable=True, status=503, possibly_billed=True), "b"]
    sub = ScriptedModel([*failing, ModelError("400: no", status=400, possibly_billed=True)], name="sub", price=PENNY)
    code = "a = llm_query('a')\ntry:\n    llm_query('b')\nexcept RuntimeError:\n    pass\nFINAL(a)"
    root = ScriptedModel([repl(code)], name="root", price=PENNY)
    answer = await RLM(root, sub_model=sub, store=store, limits=LIMITS, retries=QUICK).aask("?", TEXT)
    events = await store.read(answer.run_id)
    attempts = [event for event in events if isinstance(event, AttemptFinished)]
    assert sum(event.cost_usd for event in attempts) == answer.cost_usd
    assert [event.outcome for event in attempts] == ["settled", "uncertain", "settled", "uncertain"]
    finished = [event for event in events if event.kind == "subcall_finished"]
    assert sum(event.cost_usd for event in finished) == answer.cost.recursive_usd  # type: ignore[attr-defined]
    assert finished[-1].ended == "failed"  # type: ignore[attr-defined]


async def test_every_event_comes_back_from_its_json() -> None:
    _, events, _ = await recorded()
    for event in events:
        assert from_json(json.loads(json.dumps(to_json(event)))) == event


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kind": "cell_started", "format": 99}, "newer"),
        ({"kind": "teapot", "format": 1}, "teapot"),
        ({"kind": "cell_started", "format": 1}, "damaged"),
        ({}, "no event"),
    ],
)
def test_what_is_no_event_is_refused(data: dict[str, object], says: str) -> None:
    with pytest.raises(StoreError, match=says):
        from_json(data)


async def gone_on(past: Sequence[Event], root: ScriptedModel, sub: ScriptedModel) -> object:
    """Runs the same session over a journal that has entries already."""
    run = RunContext(
        root,
        sub,
        Budget(LIMITS),
        MontySandbox,
        Journal(None, (), past),
        id=past[0].run_id,
    )
    async with Session(run, Context.of(TEXT), question="How?") as session:
        return (await session.run()).value


async def test_a_run_over_its_whole_journal_asks_nobody() -> None:
    _, events, answer = await recorded()
    root, sub = ScriptedModel([], name="root"), ScriptedModel([], name="sub")
    assert await gone_on(events, root, sub) == answer.value  # type: ignore[attr-defined]
    assert not root.requests
    assert not sub.requests


@settings(max_examples=examples(40), deadline=None)
@given(st.data())
async def test_a_run_over_any_part_of_its_journal_comes_to_the_same_and_asks_for_nothing_twice(
    data: st.DataObject,
) -> None:
    _, events, answer = await recorded()
    kept = events[: data.draw(st.integers(1, len(events)))]
    done = {event.key for event in kept if isinstance(event, EffectEnded)}
    whole = [event for event in events if isinstance(event, SubcallStarted) and event.prompt]
    asked_of_root = [event for event in events if isinstance(event, ModelRequested) and event.depth == 0]
    root, sub = scripted(sum(event.key in done for event in asked_of_root))
    assert await gone_on(kept, root, sub) == answer.value  # type: ignore[attr-defined]
    assert len(root.requests) == sum(event.key not in done for event in asked_of_root)
    open_calls = [event for event in whole if event.key not in done]
    assert len(sub.requests) <= len(open_calls) + 1


async def test_a_recorded_failure_fails_in_the_same_way() -> None:
    store = MemoryStore()
    code = "try:\n    llm_query('a')\nexcept RuntimeError as error:\n    FINAL(str(error))"
    sub = ScriptedModel([ModelError("400: no such thing", status=400)], name="sub")
    answer = await RLM(ScriptedModel([repl(code)], name="root"), sub_model=sub, store=store, limits=LIMITS).aask(
        "How?", TEXT
    )
    nobody = ScriptedModel([], name="sub")
    again = await gone_on(await store.read(answer.run_id), ScriptedModel([], name="root"), nobody)
    assert again == answer.value
    assert not nobody.requests


async def test_calls_at_once_have_the_answers_of_their_own_arguments() -> None:
    store = MemoryStore()
    code = "xs = [str(i % 5) for i in range(40)]\nFINAL(llm_query_batched(xs) == ['<' + x + '>' for x in xs])"
    sub = ScriptedModel([lambda m: f"<{m[-1].content}>"] * 40, name="sub", delay_s=0.001)
    answer = await RLM(ScriptedModel([repl(code)], name="root"), sub_model=sub, store=store, limits=LIMITS).aask(
        "How?", TEXT
    )
    assert answer.value is True
    assert len(sub.requests) == 5


async def test_reads_of_the_context_are_not_recorded() -> None:
    store = MemoryStore()
    answer = await rlm(repl("FINAL(ctx.slice(0, 3) + peek(2))"), store=store).aask("?", TEXT)
    assert not [event for event in await store.read(answer.run_id) if isinstance(event, HostCallStarted)]


async def test_a_store_that_cannot_write_ends_the_run_with_one_error() -> None:
    class Full(MemoryStore):
        def write(self, event: Event) -> None:
            if event.sequence > 8:
                raise StoreError("no space left on the device")
            super().write(event)

    with pytest.raises(StoreError, match="no space"):
        await rlm(repl("x = 1"), "FINAL(ok)", store=Full()).aask("?", TEXT)


# The bridge.
def bridge() -> Bridge:
    model = ScriptedModel([])
    return Bridge(Scope.root(RunContext(model, model, Budget(Limits()), MontySandbox)))


@pytest.mark.parametrize("name", ["context", "json", "answer", "twice", "ctx"])
def test_names_that_clash_are_an_error_at_the_start(name: str) -> None:
    def nothing() -> None:
        """Do nothing."""

    functions = [HostFunction(each, nothing, "") for each in ("ctx.slice", "twice", name)]
    with pytest.raises(ConfigError, match=name):
        bridge().table(functions, {"answer"})


async def test_every_function_that_takes_something_out_passes_the_middleware() -> None:
    seen: list[str] = []

    async def watch(call, then):
        seen.append(call.function.name)
        return await then(call)

    model = ScriptedModel([])
    run = RunContext(model, model, Budget(Limits()), MontySandbox)
    door = Bridge(Scope.root(run), [watch])

    def impure(x: int) -> int:
        """Double."""
        return 2 * x

    table = door.table([HostFunction("twice", impure, ""), HostFunction("pure", impure, "", pure=True)])
    assert await table["twice"].call(2) == 4  # type: ignore[misc]
    assert table["pure"].call(2) == 4
    assert seen == ["twice"]
