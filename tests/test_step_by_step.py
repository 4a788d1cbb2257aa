"""Decisions of whoever takes a session step by step: recorded before they count, told to the model, exported."""

import json

import pytest

from rlmbox import RLM, Proposal
from rlmbox.events import ApprovalAsked, ApprovalGiven
from rlmbox.record.export import sft
from rlmbox.record.journal import MemoryStore
from rlmbox.record.run import Run
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm

REPLIES = [repl("x = 1"), repl("x = 5"), repl("y = x + 1"), "FINAL_VAR(x)"]


async def three_steps(asked: RLM, *, until: int = 3) -> str:
    """Edit the first step, reject the second, let the third run, and leave; returns the run's name."""
    async with asked.session(TEXT, question="?") as session:
        for number in range(1, until + 1):
            proposal = await session.plan_next_step()
            if number == 1:
                proposal.override_code("x = 7\nprint('mine')")
            elif number == 2:
                session.inject_rejection("not that")
            await session.execute_step(proposal)
        return session.scope.session_id


async def test_each_decision_is_an_event_with_what_was_proposed() -> None:
    store = MemoryStore()
    run_id = await three_steps(rlm(*REPLIES, store=store))
    events = await store.read(run_id)
    asked = [event.code for event in events if isinstance(event, ApprovalAsked)]
    given = [(e.decision, e.code, e.reason) for e in events if isinstance(e, ApprovalGiven)]
    assert asked == ["x = 1", "x = 5", "y = x + 1"]
    assert given == [("replace", "x = 7\nprint('mine')", ""), ("reject", "", "not that"), ("run", "", "")]


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_a_run_that_ended_early_goes_on_with_the_decisions(sandbox: str) -> None:
    store = MemoryStore()
    run_id = await three_steps(rlm(*REPLIES, store=store, sandbox=sandbox))
    asked = rlm("FINAL_VAR(x)", store=store, sandbox=sandbox)
    answer = await asked.aresume(run_id)
    assert answer.value == 7
    talk = [message.content for message in asked.model.requests[0]]  # type: ignore[attr-defined]
    assert any("A person replaced your code" in said and "mine" in said for said in talk)
    assert any("not that" in said for said in talk)
    assert (await asked.areplay(run_id)).value == 7


@pytest.mark.parametrize("cut_after", [ApprovalGiven, ApprovalAsked])
async def test_a_decision_counts_from_when_it_was_recorded(cut_after: type) -> None:
    whole, cut = MemoryStore(), MemoryStore()
    run_id = await three_steps(rlm(*REPLIES, store=whole), until=1)
    for event in await whole.read(run_id):
        cut.write(event)
        if isinstance(event, cut_after):
            break
    answer = await rlm("FINAL_VAR(x)", store=cut).aresume(run_id)
    assert answer.value == (7 if cut_after is ApprovalGiven else 1)


async def test_an_edit_is_exported_as_a_pair_and_a_rejection_is_left_out() -> None:
    store = MemoryStore()
    run_id = await three_steps(rlm(*REPLIES, store=store))
    edited, ran = (json.loads(line) for line in sft(Run(tuple(await store.read(run_id)))))
    assert (edited["edited"], ran["edited"]) == (True, False)
    assert edited["messages"][-1]["content"] == "```repl\nx = 7\nprint('mine')\n```"
    assert edited["messages"][-2]["role"] == "user"
    assert edited["rejected_reply"] == repl("x = 1")
    assert (edited["model_code"], edited["edited_code"]) == ("x = 1", "x = 7\nprint('mine')")
    assert ran["messages"][-1]["content"] == repl("y = x + 1")
    assert "rejected_reply" not in ran


async def test_the_same_turn_of_another_question_is_no_edit() -> None:
    store = MemoryStore()

    def edit_the_first(proposal: Proposal) -> bool:
        if "x = 1" in proposal.code_block:
            proposal.override_code("x = 7")
        return True

    async with rlm(*REPLIES[:1], "FINAL_VAR(x)", repl("FINAL(2)"), store=store).session(TEXT) as session:
        for question in ("?", "and?"):
            await session.begin(question)
            while not session.is_finished:
                proposal = await session.plan_next_step()
                edit_the_first(proposal)
                await session.execute_step(proposal)
    examples = [json.loads(line) for line in sft(Run(tuple(await store.read(session.scope.session_id))))]
    assert [example["edited"] for example in examples] == [True, False, False]


async def test_fallback_code_is_no_edit_of_a_person() -> None:
    store = MemoryStore()
    asked = rlm(*["hm"] * 4, "FINAL_VAR(found)", fallback_code="found = len(context)", store=store)
    answer = await asked.aask("?", TEXT)
    examples = [json.loads(line) for line in sft(Run(tuple(await store.read(answer.run_id))))]
    assert not any(example["edited"] for example in examples)


async def test_a_change_of_mind_before_the_step_is_what_counts() -> None:
    model = ScriptedModel([repl("x = 1"), "FINAL_VAR(x)"], name="root")
    async with RLM(model).session(TEXT, question="?") as session:
        proposal = await session.plan_next_step()
        session.inject_rejection("no")
        proposal.override_code("x = 3")
        await session.execute_step(proposal)
        assert (await session.run()).value == 3
