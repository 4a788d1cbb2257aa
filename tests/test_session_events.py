"""A run as it is watched: step by step, by its events and as a stream."""

import anyio
import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import MaxTurnsExceeded
from rlmbox.events import Event
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm


async def test_step_takes_one_turn_and_says_what_came_of_it() -> None:
    asked = rlm(repl("print('seen')"), repl("1/0"), "FINAL(ok)")
    async with asked.session(TEXT, question="?") as session:
        first, second, third = await session.step(), await session.step(), await session.step()
    assert [step.status for step in (first, second, third)] == ["continue", "error", "finished"]
    assert "seen" in first.content
    assert third.content == "ok"
    assert session.answer is not None
    assert first.cost_usd == 0


async def test_events_show_the_states_in_their_order() -> None:
    seen: list[Event] = []
    asked = rlm(repl("print(llm_query('a'))"), "FINAL(ok)", sub={"a": "b"}, hooks=[seen.append])
    await asked.aask("?", TEXT)
    assert [event.kind for event in seen] == [
        "session_started",
        "question_asked",
        "model_requested",
        "attempt_started",
        "attempt_finished",
        "model_replied",
        "cell_started",
        "host_call_started",
        "subcall_started",
        "attempt_started",
        "attempt_finished",
        "subcall_finished",
        "host_call_finished",
        "cell_executed",
        "observation_made",
        "turn_finished",
        "model_requested",
        "attempt_started",
        "attempt_finished",
        "model_replied",
        "turn_finished",
        "session_finished",
    ]
    states = list(dict.fromkeys(event.state for event in seen))
    assert states == ["INIT", "THOUGHT", "ACTION", "OBSERVATION", "TERMINATED"]
    assert len({event.run_id for event in seen}) == 1


async def test_the_choice_of_auto_is_an_event_with_its_reason() -> None:
    seen: list[Event] = []
    await rlm("FINAL(ok)", sandbox="auto", hooks=[seen.append]).aask("?", TEXT)
    started = seen[0]
    assert started.sandbox in ("jail", "monty")  # type: ignore[attr-defined]
    assert f"{started.sandbox} holds" in started.sandbox_reason  # type: ignore[attr-defined]


async def test_a_hook_that_fails_costs_the_run_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("disk full")

    answer = await rlm("FINAL(ok)", hooks=[broken]).aask("?", TEXT)
    assert answer.text == "ok"
    assert "disk full" in caplog.text


async def test_a_stream_ends_with_the_answer() -> None:
    events = [event async for event in rlm(repl("1"), "FINAL(ok)").stream("?", TEXT)]
    assert events[0].kind == "session_started"
    assert events[-1].kind == "session_finished"
    assert events[-1].answer.text == "ok"  # type: ignore[attr-defined]


async def test_leaving_a_stream_early_cancels_the_run() -> None:
    model = ScriptedModel([repl("x = 1")] * 100, delay_s=0.01)
    async for event in (stream := RLM(model).stream("?", TEXT)):
        if event.kind == "turn_finished":
            break
    await stream.aclose()  # type: ignore[attr-defined]
    asked = len(model.requests)
    await anyio.sleep(0.1)
    assert len(model.requests) == asked


async def test_a_stream_raises_what_ended_the_run() -> None:
    with pytest.raises(MaxTurnsExceeded):
        async for _ in rlm("hm", limits=Limits(max_turns=1)).stream("?", TEXT):
            pass
