"""A recorded run goes on from wherever its process ended, and asks for nothing that was paid for again."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recorded_runs import ANSWER, LIMITS, keep, models, recorded, recording_rlm, stored
from rlmbox import RLM, Limits
from rlmbox.errors import (
    ConfigError,
    ContextError,
    MaxTurnsExceeded,
    ModelError,
    SandboxUnavailable,
    StoreError,
    ToolOutcomeUnknown,
)
from rlmbox.events import (
    AttemptFinished,
    AttemptStarted,
    CellDiffered,
    CellExecuted,
    EffectEnded,
    Event,
    HostCallFinished,
    ModelReplied,
    ModelRequested,
    RunResumed,
)
from rlmbox.record.context_record import record_context, reopen_context
from rlmbox.record.journal import MemoryStore
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message
from runs import PENNY, TEXT, repl


def keep_twice(word: str, times: int = 2) -> str:
    """Keep a word."""
    return f"kept {word}" * times


keep_twice.__name__ = "keep"


def is_short(answer: Any) -> str | None:
    return None if len(answer.value) < 100 else "too long"


def is_list(answer: Any) -> str | None:
    return None if isinstance(answer.value, list) else "no list"


async def test_a_run_is_resumed_from_every_event_of_its_record_to_the_same_answer(tmp_path: Path) -> None:
    events, whole = await recorded(tmp_path / "whole.db")
    assert whole.value == ANSWER
    sent = {(e.key, e.attempt) for e in events if isinstance(e, AttemptStarted)}
    for cut in range(1, len(events) + 1):
        kept = events[:cut]
        store = stored(tmp_path / f"{cut}.db", kept)
        root, sub = models()
        answer = await recording_rlm(root, sub, store).aresume("audit")
        assert answer.value == ANSWER, cut
        done = {e.key for e in kept if isinstance(e, EffectEnded)}
        requests = [e for e in events if isinstance(e, AttemptStarted)]
        assert len(root.requests) + len(sub.requests) == sum(e.key not in done for e in requests), cut
        after = store.events("audit")
        charged = [e for e in after if isinstance(e, AttemptFinished)]
        assert sum(e.cost_usd for e in charged) == answer.cost_usd, cut
        open_then = [e for e in kept if isinstance(e, AttemptStarted) and e.key not in done]
        ended = {e.key for e in kept if isinstance(e, AttemptFinished)}
        in_flight = [e for e in open_then if e.key not in ended]
        assert [e.outcome for e in charged].count("uncertain") == len(in_flight), cut
        under_way = sum(e.uncertain for e in after if isinstance(e, RunResumed))
        assert under_way == len({e.key for e in open_then}), cut  # a reply that was paid for may be lost, too
        assert answer.subcalls == whole.subcalls, cut
        assert [turn.cells for turn in answer.trajectory] == [turn.cells for turn in whole.trajectory], cut
        assert not [e for e in after if isinstance(e, CellDiffered)], cut
        store.close()
    assert len(sent) == whole.usage.requests


async def test_a_run_that_has_its_answer_gives_it_again_and_asks_nobody(tmp_path: Path) -> None:
    events, whole = await recorded(tmp_path / "runs.db")
    root, sub = models()
    store = stored(tmp_path / "again.db", events)
    assert await recording_rlm(root, sub, store).aresume("audit") == whole
    assert not root.requests
    assert list(store.events("audit")) == events
    store.close()


@pytest.mark.parametrize("error", [SandboxUnavailable("the engine is gone"), OSError("no more processes")])
async def test_a_run_that_has_its_answer_gives_it_again_where_no_sandbox_can_be_started(error: Exception) -> None:
    class Gone(MontySandbox):
        async def start(self, *arguments: Any, **options: Any) -> None:
            raise error

    store = MemoryStore()
    whole = await RLM(ScriptedModel([repl("FINAL(6 * 7)")]), store=store, sandbox="monty").aask("?", TEXT, run_id="r")
    elsewhere = RLM(ScriptedModel([]), store=store, sandbox=Gone)
    assert await elsewhere.aresume("r") == whole
    with pytest.raises(SandboxUnavailable):
        await elsewhere.areplay("r")


async def test_two_cannot_go_on_with_one_run(tmp_path: Path) -> None:
    events, _ = await recorded(tmp_path / "whole.db")
    store = stored(tmp_path / "runs.db", events[:20])
    lease = store.hold("audit")
    with pytest.raises(StoreError, match="another process is at work on the run audit"):
        await recording_rlm(*models(), store).aresume("audit")
    lease.release()
    assert (await recording_rlm(*models(), store).aresume("audit")).value == ANSWER
    store.close()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tools": []}, "the tools keep"),
        (
            {"tools": [keep_twice]},
            r"the tool keep\(word: str\) -> str, which is keep\(word: str, times: int = 2\) -> str",
        ),
        ({"approve": None}, "approve="),
        ({"fallback_model": ScriptedModel([], name="other")}, "fallback_model=None"),
        ({"validate": []}, "the validators is_short .* are not given"),
        ({"validate": [is_short, is_list]}, "without the validators is_list"),
        ({"instructions": "Be brief."}, "with instructions='Be long.', not 'Be brief.'"),
        ({"guard": "off"}, "with guard="),
        ({"strict": True}, "with strict=False, not True"),
        ({"returns": list[int]}, "started with another type of answer"),
    ],
)
async def test_what_a_run_needs_and_lacks_is_named(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    made: dict[str, Any] = {"validate": is_short, "instructions": "Be long."}
    kept = MemoryStore()
    await recording_rlm(*models(), kept, **made).aask("How?", TEXT, run_id="audit", returns=list[str])
    events = await kept.read("audit")
    store = stored(tmp_path / "runs.db", events[:20])
    now = {**made, **options}
    returns = now.pop("returns", None)
    with pytest.raises(ConfigError, match=says):
        await recording_rlm(*models(), store, **now).aresume("audit", returns=returns)
    assert len(store.events("audit")) == 20
    assert (await recording_rlm(*models(), store, **made).aresume("audit", returns=list[str])).value == ANSWER
    store.close()


async def test_a_run_that_there_is_not_is_one_line() -> None:
    with pytest.raises(StoreError, match="there is no run 'nothing' in the store; rlmbox runs lists"):
        await recording_rlm(*models(), MemoryStore()).aresume("nothing")


async def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    await recorded(tmp_path / "runs.db")
    with pytest.raises(StoreError, match="there is a run audit already"):
        await recorded(tmp_path / "runs.db")


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a" * 101, "-x", "a b"])
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="a run's name has letters"):
        recording_rlm(*models(), None).session(TEXT, question="?", run_id=name)


async def test_a_tool_that_was_under_way_is_not_called_again(tmp_path: Path) -> None:
    events, _ = await recorded(tmp_path / "whole.db")
    begun = next(e for e in events if e.kind == "host_call_started" and e.function == "keep")  # type: ignore[attr-defined]
    store = stored(tmp_path / "runs.db", events[: begun.sequence])
    called: list[str] = []

    def keep(word: str) -> str:
        """Keep a word."""
        called.append(word)
        return word

    root = ScriptedModel([repl("note = 'asked somebody'\nFINAL(note)")], name="root")
    answer = await recording_rlm(root, models()[1], store, tools=[keep]).aresume("audit")
    assert answer.value == "asked somebody"
    assert not called
    failed = next(e for e in store.events("audit") if isinstance(e, HostCallFinished) and e.key == begun.key)  # type: ignore[attr-defined]
    assert failed.error_type == ToolOutcomeUnknown.__name__
    store.close()


@pytest.mark.parametrize("option", ["pure", "idempotent"])
async def test_a_tool_that_was_under_way_is_called_again_where_that_does_no_harm(tmp_path: Path, option: str) -> None:
    from rlmbox import Tool

    events, _ = await recorded(tmp_path / "whole.db")
    begun = next(e for e in events if e.kind == "host_call_started" and e.function == "keep")  # type: ignore[attr-defined]
    store = stored(tmp_path / "runs.db", events[: begun.sequence])
    tool = Tool(keep, pure=option == "pure", idempotent=option == "idempotent")
    answer = await recording_rlm(*models(), store, tools=[tool]).aresume("audit")
    assert answer.value == ANSWER
    store.close()


async def test_a_request_that_failed_for_a_while_is_sent_again(tmp_path: Path) -> None:
    store = MemoryStore()
    broken = ScriptedModel([ModelError("the key is not valid", status=401)], name="root")
    with pytest.raises(ModelError, match="not valid"):
        await RLM(broken, store=store, limits=LIMITS, sandbox="monty").aask("How?", TEXT, run_id="audit")
    mended = ScriptedModel(["FINAL(yes)"], name="root")
    answer = await RLM(mended, store=store, limits=LIMITS, sandbox="monty").aresume("audit")
    assert answer.value == "yes"


async def test_a_run_that_ended_at_a_limit_ends_there_again(tmp_path: Path) -> None:
    store = MemoryStore()
    root = ScriptedModel([repl("x = 1"), "FINAL(a guess)"], name="root")
    limits = replace(LIMITS, max_turns=1)
    with pytest.raises(MaxTurnsExceeded) as first:
        await RLM(root, store=store, limits=limits, sandbox="monty").aask("How?", TEXT, run_id="audit")
    before = len(await store.read("audit"))
    nobody = ScriptedModel([], name="root")
    with pytest.raises(MaxTurnsExceeded) as second:
        await RLM(nobody, store=store, sandbox="monty").aresume("audit")
    assert str(second.value) == str(first.value)
    assert second.value.partial == first.value.partial
    assert not nobody.requests
    assert len(await store.read("audit")) == before


async def test_a_text_that_has_changed_is_an_error_that_names_it(tmp_path: Path) -> None:
    text = tmp_path / "contract.txt"
    text.write_text(TEXT)
    store = MemoryStore()
    broken = ScriptedModel([ModelError("away", status=401)], name="root")
    with pytest.raises(ModelError):
        await RLM(broken, store=store, sandbox="monty").aask("How?", text, run_id="audit")
    mended = RLM(ScriptedModel(["FINAL(yes)"], name="root"), store=store, sandbox="monty")
    text.write_text(TEXT.replace("May", "Jun"))
    with pytest.raises(ContextError, match=r"contract\.txt has changed since the run began"):
        await mended.aresume("audit")
    text.write_text(TEXT)
    assert (await mended.aresume("audit")).value == "yes"


@pytest.mark.parametrize(
    "context",
    [
        "text",
        b"bytes",
        b"\xffone",
        ["one", "two"],
        [("a", "one"), ("b", "two")],
        {"a": "one", "b": [1, 2]},
        [1, {"x": 2}],
    ],
)
async def test_a_text_without_a_path_is_in_the_record(context: object) -> None:
    store = MemoryStore()
    broken = ScriptedModel([ModelError("away", status=401)], name="root")
    with pytest.raises(ModelError):
        await RLM(broken, store=store, sandbox="monty").aask("How?", context, run_id="audit")  # type: ignore[arg-type]
    root = ScriptedModel([repl("FINAL(context)")], name="root")
    answer = await RLM(root, store=store, sandbox="monty").aresume("audit")
    from rlmbox.context import Context

    whole = Context.of(context)
    assert reopen_context(record_context(whole)).metadata() == whole.metadata()
    assert answer.value == whole.slice(0, whole.length)


async def test_a_text_that_is_too_large_to_be_stored_is_said_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rlmbox.record.context_record.STORED_BYTES", 10)
    store = MemoryStore()
    answer = await RLM(ScriptedModel(["FINAL(x)"], name="root"), store=store).aask("How?", "A long text.", run_id="r")
    assert "the text has 12 bytes and no path, and more than 10 are not stored in the record" in caplog.text
    with pytest.raises(StoreError, match="give it again"):
        await RLM(store=store).areplay("r")
    rlm = RLM(ScriptedModel([], name="root"), store=store)
    assert await rlm.aresume("r", context="A long text.") == answer


async def test_questions_of_one_session_go_on_where_they_were(tmp_path: Path) -> None:
    store = MemoryStore()
    script = [repl("x = 20"), "FINAL(one)", repl("FINAL(x + 1)")]
    rlm = RLM(ScriptedModel(script, name="root"), store=store, sandbox="monty")
    async with rlm.session(TEXT, question="First?", run_id="audit") as session:
        await session.run()
        assert (await session.ask("Second?")).value == 21
    events = await store.read("audit")
    cut = next(e.sequence for e in events if isinstance(e, ModelRequested) and e.key.startswith("audit/2/"))
    shorter = MemoryStore()
    for event in events[:cut]:
        shorter.write(event)
    root = ScriptedModel([repl("FINAL(x + 2)")], name="root")
    assert (await RLM(root, store=shorter, sandbox="monty").aresume("audit")).value == 22


async def test_a_finished_cell_that_calls_otherwise_stops_the_run_and_says_where() -> None:
    store = MemoryStore()
    root = ScriptedModel([repl("import time\nllm_query(str(time.time_ns()))"), "FINAL(x)"], name="root")
    from rlmbox.sandboxes.local import LocalSandbox

    def unsafe() -> LocalSandbox:
        return LocalSandbox(unsafe_no_isolation=True)

    sub = ScriptedModel([lambda m: "said"] * 9, name="sub")
    rlm = RLM(root, sub_model=sub, store=store, sandbox=unsafe)
    await rlm.aask("How?", TEXT, run_id="audit")
    events = await store.read("audit")
    cut = next(e.sequence for e in events if isinstance(e, CellExecuted))
    shorter = MemoryStore()
    for event in events[:cut]:
        shorter.write(event)
    again = RLM(ScriptedModel([], name="root"), sub_model=sub, store=shorter, sandbox=unsafe)
    asked = len(sub.requests)
    with pytest.raises(StoreError, match=r"a cell of turn 1 that had ended calls llm_query differently"):
        await again.aresume("audit")
    assert len(sub.requests) == asked


async def test_a_cell_that_prints_otherwise_is_an_event_and_addresses_do_not_count() -> None:
    from rlmbox.sandboxes.local import LocalSandbox

    def unsafe() -> LocalSandbox:
        return LocalSandbox(unsafe_no_isolation=True)

    store, code = MemoryStore(), "import time\nprint(object())\nprint(hex(id(object())))"
    script = [repl(code), repl("import time\nprint(time.time_ns())"), "FINAL(x)"]
    await RLM(ScriptedModel(script, name="root"), store=store, sandbox=unsafe).aask("How?", TEXT, run_id="audit")
    seen: list[Event] = []
    answer = await RLM(store=store, sandbox=unsafe, hooks=[seen.append]).areplay("audit")
    assert answer.value == "x"
    differed = [e for e in seen if isinstance(e, CellDiffered)]
    assert [e.cell.turn for e in differed] == [2]


async def test_time_that_was_used_counts(tmp_path: Path) -> None:
    from rlmbox.errors import TimeLimitExceeded

    events, _ = await recorded(tmp_path / "whole.db")
    limits: dict[str, object] = {**events[0].settings["limits"], "max_seconds": 60.0}  # type: ignore[attr-defined]
    settings = {**events[0].settings, "limits": limits}  # type: ignore[attr-defined]
    first = replace(events[0], settings=settings)  # type: ignore[call-arg]
    kept: list[Event] = [first, *(replace(e, at_s=e.at_s + 100) for e in events[1:20])]
    store = stored(tmp_path / "runs.db", kept)
    with pytest.raises(TimeLimitExceeded):
        await recording_rlm(*models(), store).aresume("audit")
    store.close()


async def test_a_clock_that_jumps_back_costs_nothing(tmp_path: Path) -> None:
    events, _ = await recorded(tmp_path / "whole.db")
    kept = [replace(e, at_s=e.at_s - (1e6 if e.sequence > 10 else 0)) for e in events[:20]]
    store = stored(tmp_path / "runs.db", kept)
    assert (await recording_rlm(*models(), store).aresume("audit")).value == ANSWER
    store.close()


async def test_a_limit_of_a_share_counts_what_the_share_had_spent() -> None:
    store = MemoryStore()
    code = repl("a = rlm_query('child?', cost_limit_usd=200000)\nFINAL(a)")

    def child(messages: Sequence[object]) -> str:
        return repl("x = 1") if len(messages) < 6 else "FINAL(done)"

    def root(messages: Sequence[object]) -> str:
        return code

    def rlm(store: MemoryStore) -> RLM:
        return RLM(
            ScriptedModel([root] * 9, name="root", price=PENNY),
            sub_model=ScriptedModel([child] * 9, name="sub", price=PENNY),
            store=store,
            limits=Limits(cost_limit_usd="1000000", max_output_tokens=20),
            sandbox="monty",
        )

    await rlm(store).aask("How?", TEXT, run_id="audit")
    events = list(await store.read("audit"))
    children = [e for e in events if isinstance(e, AttemptFinished) and e.depth == 1]
    assert children
    shorter = MemoryStore()
    first_reply = next(e for e in events if isinstance(e, ModelReplied) and e.depth == 1)
    for event in events[: first_reply.sequence]:
        shorter.write(event)
    await rlm(shorter).aresume("audit")
    after = [e for e in await shorter.read("audit") if isinstance(e, AttemptFinished) and e.depth == 1]
    assert Counter(e.outcome for e in after) == Counter(e.outcome for e in children)
    assert sum(e.cost_usd for e in after) == sum(e.cost_usd for e in children)


@pytest.mark.parametrize("where", ["root", "sub"])
async def test_a_run_that_was_interrupted_goes_on(where: str) -> None:
    store = MemoryStore()
    waits = ScriptedModel([root_of_two] * 3, name="root", delay_s=30 if where == "root" else 0)
    sub = ScriptedModel(["said"] * 3, name="sub", delay_s=30 if where == "sub" else 0)
    rlm = RLM(waits, sub_model=sub, store=store, sandbox="monty")
    asked = waits if where == "root" else sub
    task = asyncio.create_task(rlm.aask("How?", TEXT, run_id="audit"))
    while not asked.requests:  # noqa: ASYNC110 - the model of the tests has no event to wait for
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    quick = ScriptedModel([root_of_two] * 3, name="root"), ScriptedModel(["said"] * 3, name="sub")
    answer = await RLM(quick[0], sub_model=quick[1], store=store, sandbox="monty").aresume("audit")
    assert answer.value == "said"
    assert len(quick[1].requests) == 1
    events = await store.read("audit")
    assert answer.cost_usd == sum(e.cost_usd for e in events if isinstance(e, AttemptFinished))
    assert await rlm.areplay("audit") == answer


def root_of_two(messages: Sequence[Message]) -> str:
    return repl("x = llm_query('?')") if len(messages) == 2 else "FINAL_VAR(x)"


async def test_a_replay_of_a_run_that_did_not_end_says_so_and_writes_nothing(tmp_path: Path) -> None:
    events, _ = await recorded(tmp_path / "whole.db")
    store = stored(tmp_path / "runs.db", events[:40])
    with pytest.raises(StoreError, match="the record ends here, before an answer; go on with it"):
        await recording_rlm(*models(), store).areplay("audit")
    assert list(store.events("audit")) == events[:40]
    store.close()
