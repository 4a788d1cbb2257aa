"""Limits that a child or a tool has met are told its cell, and told so again when the run goes on."""

from collections.abc import Sequence

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import MaxTurnsExceeded, SubcallLimitExceeded
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message
from runs import TEXT, repl


def child_of_two(messages: Sequence[Message]) -> str:
    return "FINAL(a guess)" if "This is the end" in messages[-1].content else repl("y = 1")


async def test_a_childs_best_answer_is_told_also_where_the_process_ended_before_its_caller_was() -> None:
    store = MemoryStore()

    def made(kept: MemoryStore) -> RLM:
        script = [repl("a = rlm_query('?', max_turns=1)\nFINAL(a)")] if kept is store else []
        root = ScriptedModel([*script, "FINAL(it was not told)"], name="root")
        sub = ScriptedModel([child_of_two] * 5, name="sub")
        return RLM(root, sub_model=sub, store=kept, sandbox="monty")

    whole = await made(store).aask("How?", TEXT, run_id="r")
    assert "[INCOMPLETE" in str(whole.value)
    events = await store.read("r")
    told = next(e for e in events if e.kind == "subcall_finished" and not e.depth)
    shorter = MemoryStore()
    for event in events[: told.sequence]:
        shorter.write(event)
    assert (await made(shorter).aresume("r")).value == whole.value


async def test_a_limit_that_a_tool_met_in_a_run_of_its_own_is_the_cells_to_hear_of() -> None:
    called: list[str] = []

    def nested(question: str) -> str:
        """Ask another run."""
        called.append(question)
        raise MaxTurnsExceeded("no answer after 3 turns", limit=3, used=4)

    code = (
        "try:\n    a = nested('?')\nexcept Exception as error:\n    a = str(error)\nb = llm_query('?')\nFINAL([a, b])"
    )
    store = MemoryStore()

    def made(limits: Limits) -> RLM:
        root = ScriptedModel([lambda m: repl(code)] * 3, name="root")
        sub = ScriptedModel(["said"] * 3, name="sub")
        return RLM(root, sub_model=sub, store=store, sandbox="monty", tools=[nested], limits=limits)

    told = ["MaxTurnsExceeded: no answer after 3 turns", "said"]
    few = Limits(max_subcalls=0, last_answer=False)
    with pytest.raises(SubcallLimitExceeded):
        await made(few).aask("How?", TEXT, run_id="r")
    assert (await made(few).aresume("r", limits=Limits(max_subcalls=5))).value == told
    assert (await made(few).areplay("r")).value == told
    assert called == ["?"]
