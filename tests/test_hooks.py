"""Hooks by name: when each is called, with what, and that none of them can cost a run anything."""

import logging
from decimal import Decimal
from functools import partial
from typing import Any

import anyio
import pytest

from rlmbox import RLM, Limits, hooks
from rlmbox.errors import ConfigError, MaxTurnsExceeded, ModelError
from rlmbox.events import CellExecuted, CellStarted, Event, ModelRequested, SessionStarted, SubcallStarted, TurnFinished
from rlmbox.hooks import CostUpdate
from rlmbox.record.journal import MemoryStore
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import ScriptedModel
from rlmbox.usage import Usage
from runs import PENNY, TEXT, repl

RICH = Limits(cost_limit_usd=10_000)
NAMES = ("on_session_start", "on_llm_call", "on_code_exec", "on_observation", "on_cost_update", "on_step_end")


def collectors(seen: list[tuple[str, Any]], *, is_async: bool) -> dict[str, Any]:
    def note(name: str, given: Any) -> None:
        seen.append((name, given))

    async def anote(name: str, given: Any) -> None:
        await anyio.sleep(0.001)
        seen.append((name, given))

    return {name: partial(anote if is_async else note, name) for name in NAMES}


def _sub_reply(messages: Any) -> str:
    asked = messages[-1].content
    return repl("FINAL(2)") if "child?" in asked else asked.upper()


def with_child(**options: Any) -> RLM:
    code = "print(llm_query_batched(['a', 'b']))\nFINAL(rlm_query('child?'))"
    root = ScriptedModel([repl("x = 1\nprint(x)"), repl(code)], name="root", price=PENNY)
    sub = ScriptedModel([_sub_reply] * 3, name="sub", price=PENNY)
    return RLM(root, sub_model=sub, limits=Limits(cost_limit_usd=10_000), **options)


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_each_hook_is_called_with_its_event(is_async: bool) -> None:
    seen: list[tuple[str, Any]] = []
    answer = await with_child(**collectors(seen, is_async=is_async)).aask("?", TEXT)
    given = {name: [each for found, each in seen if found == name] for name in NAMES}
    assert {type(each) for each in given["on_session_start"]} == {SessionStarted}
    assert [each.depth for each in given["on_session_start"]] == [0, 1]
    assert [type(each) for each in given["on_llm_call"]] == [
        ModelRequested, ModelRequested, SubcallStarted, SubcallStarted, ModelRequested
    ]  # fmt: skip
    assert {type(each) for each in given["on_code_exec"]} == {CellStarted}
    assert given["on_code_exec"][0].cell.code == "x = 1\nprint(x)"
    assert {type(each) for each in given["on_observation"]} == {CellExecuted}
    assert given["on_observation"][0].execution.stdout == "1\n"
    assert len(given["on_observation"]) == len(given["on_code_exec"]) == 3
    assert {type(each) for each in given["on_step_end"]} == {TurnFinished}
    assert len(given["on_step_end"]) == 3
    assert len(given["on_cost_update"]) == 5
    assert given["on_cost_update"][-1].total_usd == answer.cost_usd


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_the_totals_of_a_cost_update_are_those_of_the_run_until_then(is_async: bool) -> None:
    seen: list[tuple[str, Any]] = []
    answer = await with_child(on_cost_update=collectors(seen, is_async=is_async)["on_cost_update"]).aask("?", TEXT)
    updates: list[CostUpdate] = [each for _, each in seen]
    usd, usage = Decimal(0), Usage()
    for update in updates:
        usd, usage = usd + update.cost_usd, usage + update.usage
        assert (update.total_usd, update.total_usage) == (usd, usage)
    assert usd == answer.cost_usd
    assert usage == answer.usage
    assert {update.depth for update in updates if update.number is None} == {0, 1}
    assert {update.number for update in updates} == {None, 1, 2}
    assert {update.run_id for update in updates} == {answer.run_id}


async def test_a_failed_attempt_is_a_cost_update_only_where_it_was_charged_for() -> None:
    seen: list[CostUpdate] = []
    refused = ModelError("busy", retryable=True, status=503)
    in_doubt = ModelError("broke off", retryable=True, possibly_billed=True)
    model = ScriptedModel([refused, in_doubt, "FINAL(ok)"], price=PENNY)
    quick = RetryPolicy(base_delay_s=0.001, max_delay_s=0.002)
    answer = await RLM(model, on_cost_update=seen.append, retries=quick, limits=Limits(cost_limit_usd=10_000)).aask(
        "?", TEXT
    )
    assert [update.outcome for update in seen] == ["uncertain", "settled"]
    assert seen[-1].total_usd == answer.cost_usd


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_a_hook_that_fails_is_logged_and_loses_nothing(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise LookupError("the dashboard is away")

    async def abroken(_: object) -> None:
        broken(_)

    hook = abroken if is_async else broken
    store = MemoryStore()
    others: list[Event] = []
    asked = with_child(store=store, hooks=[hook, others.append], **dict[str, Any].fromkeys(NAMES, hook))
    with caplog.at_level(logging.ERROR, "rlmbox"):
        answer = await asked.aask("?", TEXT)
    assert answer.text == "2"
    assert [event.sequence for event in await store.read(answer.run_id)] == [e.sequence for e in others]
    failed = [record for record in caplog.records if record.exc_info and "away" in str(record.exc_info[1])]
    assert len(failed) > len(NAMES)


async def test_an_async_hook_sees_the_events_in_their_order_and_is_done_when_the_answer_is_there() -> None:
    seen: list[Event] = []

    async def slow(event: Event) -> None:
        await anyio.sleep(0.002 if event.sequence % 2 else 0)
        seen.append(event)

    await with_child(hooks=[slow]).aask("?", TEXT)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].kind == "session_finished"


async def test_an_async_hook_that_hangs_is_given_up_after_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hooks, "PATIENCE_S", 0.05)

    async def hangs(_: Event) -> None:
        await anyio.sleep_forever()

    with anyio.fail_after(60):
        answer = await with_child(hooks=[hangs], on_step_end=hangs).aask("?", TEXT)
    assert answer.text == "2"
    assert sum("given up" in record.message for record in caplog.records) == 2


def test_hooks_work_from_blocking_code() -> None:
    seen: list[tuple[str, Any]] = []
    with_child(**collectors(seen, is_async=True)).ask("?", TEXT)
    assert {name for name, _ in seen} == set(NAMES)


async def test_hooks_are_called_where_a_run_fails() -> None:
    seen: list[tuple[str, Any]] = []
    model = ScriptedModel([repl("x = 1"), "FINAL(ok)"], price=PENNY)
    asked = RLM(
        model, limits=Limits(max_turns=1, last_answer=False, cost_limit_usd=10_000), **collectors(seen, is_async=True)
    )
    with pytest.raises(MaxTurnsExceeded):
        await asked.aask("?", TEXT)
    assert [name for name, _ in seen].count("on_step_end") == 1


async def test_the_totals_go_on_where_a_run_goes_on() -> None:
    store = MemoryStore()
    seen: list[CostUpdate] = []
    broken = ScriptedModel([repl("x = 1"), ModelError("gone", status=401)], name="m", price=PENNY)
    with pytest.raises(ModelError):
        await RLM(broken, store=store, limits=RICH).aask("?", TEXT, run_id="r")
    whole = ScriptedModel(["FINAL(ok)"], name="m", price=PENNY)
    answer = await RLM(whole, store=store, limits=RICH, on_cost_update=seen.append).aresume("r")
    assert len(seen) == 1
    assert seen[0].total_usd == answer.cost_usd > seen[0].cost_usd


async def test_a_replay_calls_the_hooks_with_what_the_record_has() -> None:
    store = MemoryStore()
    live: list[CostUpdate] = []
    again: list[CostUpdate] = []
    await with_child(store=store, on_cost_update=live.append).aask("?", TEXT, run_id="r")
    await with_child(store=store, on_cost_update=again.append).areplay("r")
    assert again == live


def test_what_cannot_be_called_is_no_hook() -> None:
    with pytest.raises(ConfigError, match="on_step_end is a function"):
        RLM(ScriptedModel(["FINAL(ok)"]), on_step_end="print")  # type: ignore[arg-type]
