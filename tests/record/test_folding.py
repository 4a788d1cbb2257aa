"""The record of any session tells its whole state, can be cut anywhere and gone on from, and can be replayed."""

from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from recorded_runs import recorded
from rlmbox import RLM, Limits, Run
from rlmbox.errors import ModelError, RLMError
from rlmbox.events import Event, ModelRequested, SessionFinished, to_json
from rlmbox.record.continuing import resumed
from rlmbox.record.fold import after, fold
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message, Turn
from runs import PENNY, TEXT, repl

LIMITS = Limits(cost_limit_usd="1000000", max_turns=4)
CELLS = [
    repl("x = 1\nprint(x)"),
    repl("print(undefined)"),
    repl("y = llm_query('one')"),
    repl("y = llm_query_batched(['one', 'two'])\nprint(y)"),
    repl("try:\n    llm_query('broken')\nexcept RuntimeError as error:\n    print(error)"),
    repl("z = rlm_query('child?')"),
    repl("a = 1") + "\n" + repl("b = a + 1\nprint(b)"),
    "I do not know yet.",
    "FINAL(done)",
    repl("FINAL(1 + 1)"),
    "FINAL_VAR(nothing)",
]


def rlm(store: MemoryStore, script: Sequence[str], hooks: Sequence[object] = ()) -> tuple[RLM, list[ScriptedModel]]:
    def root(messages: Sequence[Message]) -> str:
        return script[sum(m.role == "assistant" for m in messages) % len(script)]

    def sub(messages: Sequence[Message]) -> str:
        if messages[-1].content == "broken":
            raise ModelError("400: no", status=400)
        return "FINAL(a child)" if len(messages) > 1 else f"<{messages[-1].content}>"

    models = [
        ScriptedModel([root] * 50, name="root", price=PENNY),
        ScriptedModel([sub] * 50, name="sub", price=PENNY),
    ]
    made = RLM(models[0], sub_model=models[1], store=store, limits=LIMITS, sandbox="monty", hooks=hooks)  # type: ignore[arg-type]
    return made, models


async def ended(work: object) -> tuple[object, ...]:
    """What a run came to: its answer, or its error and what there was."""
    try:
        answer = await work  # type: ignore[misc]
    except RLMError as error:
        partial = error.partial
        return (type(error).__name__, str(error), partial and partial.value)
    return ("answer", answer.text, answer.value)


def gave(turn: Turn) -> list[tuple[str, str, str | None]]:
    return [(each.outcome, each.stdout, each.value_repr) for each in turn.executions]


@settings(max_examples=examples(80), suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(CELLS), min_size=1, max_size=5), st.integers(0, 10_000))
async def test_any_session_is_told_by_its_record_and_goes_on_from_any_part_of_it(script: list[str], place: int) -> None:
    store = MemoryStore()
    made, models = rlm(store, script)
    outcome = await ended(made.aask("How?", TEXT, run_id="audit"))
    events = list(await store.read("audit"))

    state = fold(events)
    root = state.of("audit")
    run = Run(tuple(events))
    assert run.answer is not None
    assert state.spent_usd == run.answer.cost_usd == run.cost_usd
    assert root.answer == run.answer
    assert root.turns == run.turns[: len(root.turns)]
    if isinstance(events[-1], SessionFinished):
        assert root.messages == models[0].requests[-1]
        assert root.turns == run.answer.trajectory

    seen: list[Event] = []
    replayed, nobody = rlm(store, script, [seen.append])
    assert await ended(replayed.areplay("audit")) == outcome
    assert not any(model.requests for model in nobody)
    assert [to_json(event) for event in seen] == [to_json(event) for event in events]
    assert list(await store.read("audit")) == events

    cut = 1 + place % len(events)
    shorter = MemoryStore()
    for event in events[:cut]:
        shorter.write(event)
    again, asked = rlm(shorter, script)
    assert await ended(again.aresume("audit")) == outcome
    assert sum(len(model.requests) for model in asked) <= sum(len(model.requests) for model in models)
    whole = fold(await shorter.read("audit"))
    assert whole.of("audit").messages == root.messages
    assert [gave(turn) for turn in whole.of("audit").turns] == [gave(turn) for turn in root.turns]
    assert whole.spent_usd - whole.uncertain_usd >= state.spent_usd - whole.uncertain_usd


async def test_a_fold_can_go_on_from_any_part(tmp_path: Path) -> None:
    events, _ = await recorded(tmp_path / "runs.db")
    whole = fold(events)
    for cut in range(len(events)):
        assert fold(events[cut:], fold(events[:cut])) == whole
    assert after(whole, events[0]) is whole


async def test_the_conversation_at_each_request_is_what_was_sent() -> None:
    store = MemoryStore()
    made, models = rlm(store, [*CELLS[:3], "FINAL(done)"])
    await made.aask("How?", TEXT, run_id="audit")
    events = list(await store.read("audit"))
    asked = [e for e in events if isinstance(e, ModelRequested) and e.depth == 0]
    for request, event in zip(models[0].requests, asked, strict=True):
        assert fold(events[: event.sequence]).of("audit").messages == request


async def test_what_was_under_way_is_charged_and_said(tmp_path: Path) -> None:
    events, _ = await recorded(tmp_path / "runs.db")
    cut = next(e.sequence for e in events if e.kind == "attempt_started")
    added = resumed(events[:cut])
    assert [e.kind for e in added] == ["attempt_finished", "run_resumed"]
    state = fold([*events[:cut], *added])
    assert state.uncertain_usd == state.spent_usd > 0
