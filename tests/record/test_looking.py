"""What is shown of a recorded run: its tree, its exports, and the evidence of one that failed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from recorded_runs import EDITED, models, recorded, recording_rlm, stored
from rlmbox import RLM, Limits, Run, RunTree, load_from_trace
from rlmbox.errors import ConfigError, MaxTurnsExceeded, RLMError
from rlmbox.events import Event
from rlmbox.record.export import markdown, redacted, sft
from rlmbox.record.journal import MemoryStore
from rlmbox.record.past import Past
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl


async def test_the_tree_has_turns_cells_sub_calls_children_and_money(tmp_path: Path) -> None:
    events, answer = await recorded(tmp_path / "runs.db")
    tree = str(Run(tuple(events)))
    assert tree.splitlines()[0].startswith(f"audit: answered, ${answer.cost_usd:.4f}, ")
    for part in (
        "question: How?",
        "turn 1  $",
        "child of sub in monty",
        "(by a person)",
        "answer: ",
        "2 sub-calls to sub",
    ):
        assert part in tree, part


async def test_a_sub_call_that_was_made_before_is_marked() -> None:
    store = MemoryStore()
    root = ScriptedModel([repl("llm_query('same')"), repl("llm_query('same')"), "FINAL(x)"], name="root")
    sub = ScriptedModel(["said"] * 2, name="sub")
    await RLM(root, sub_model=sub, store=store, sandbox="monty").aask("How?", TEXT, run_id="audit")
    assert str(Run(tuple(await store.read("audit")))).count("1 of them asked before") == 1


async def test_a_call_that_is_made_again_after_a_kill_is_one_and_the_time_between_is_not_the_runs(
    tmp_path: Path,
) -> None:
    events, _ = await recorded(tmp_path / "whole.db")
    begun = next(e.sequence for e in events if e.kind == "subcall_started" and e.item == 1)  # type: ignore[attr-defined]
    cut = [e for e in events if e.sequence <= begun]
    store = stored(tmp_path / "runs.db", [replace(event, at_s=event.at_s - 1_000) for event in cut])
    await recording_rlm(*models(), store).aresume("audit")
    tree = str(Run(tuple(store.events("audit"))))
    store.close()
    assert "2 sub-calls to sub" in tree
    assert "asked before" not in tree
    assert float(tree.splitlines()[0].split(", ")[2].removesuffix(" s")) < 900


async def test_a_hook_writes_the_tree_as_it_grows(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    seen_at_reply: list[int] = []

    def root(_messages: object) -> str:
        seen_at_reply.append(len(lines))
        return repl("print(llm_query('same'))") if len(seen_at_reply) == 1 else "FINAL(x)"

    models = ScriptedModel([root] * 2, name="root"), ScriptedModel(["said"], name="sub")
    seen: list[Event] = []
    rlm = RLM(models[0], sub_model=models[1], sandbox="monty", hooks=[RunTree(lines.append), RunTree(), seen.append])
    await rlm.aask("How?", TEXT)
    assert seen_at_reply[0] < seen_at_reply[1] < len(lines)
    assert lines == str(Run(tuple(seen))).splitlines()[1:]
    assert capsys.readouterr().out.splitlines() == lines


async def test_a_tree_does_nothing_to_a_terminal() -> None:
    store = MemoryStore()
    root = ScriptedModel([repl("print('\\x1b[2J\\u202e')"), "FINAL(\x1b[31m)"], name="root")
    await RLM(root, store=store, sandbox="monty").aask("How?\x07", TEXT, run_id="audit")
    tree = str(Run(tuple(await store.read("audit"))))
    assert not {"\x1b", "\x07", "\u202e"} & set(tree)


async def test_examples_have_the_code_that_a_person_put_in_place(tmp_path: Path) -> None:
    events, _ = await recorded(tmp_path / "runs.db")
    examples = [json.loads(line) for line in sft(Run(tuple(events)))]
    (edited,) = [each for each in examples if each["edited"]]
    assert edited["messages"][-1] == {"role": "assistant", "content": f"```repl\n{EDITED}\n```"}
    assert edited["messages"][0]["role"] == "system"
    assert [m["role"] for m in edited["messages"][1:]] == ["user", "assistant"] * 3
    assert {len(each["messages"]) for each in examples} == {2, 3, 5, 7, 9, 11}


async def test_a_report_shows_code_that_has_fences_in_it() -> None:
    store = MemoryStore()
    root = ScriptedModel([repl("x = '`' * 3\nprint(x)"), "FINAL(done)"], name="root")
    await RLM(root, store=store, sandbox="monty").aask("How?", TEXT, run_id="audit")
    report = "\n".join(markdown(Run(tuple(await store.read("audit")))))
    assert "````\n```\n````" in report


async def test_a_run_that_fails_leaves_its_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-a-secret-of-mine")
    root = ScriptedModel([repl("value = 'sk-a-secret-of-mine'\nprint(value)\nbroken")], name="root")
    from rlmbox import Limits

    rlm = RLM(root, sandbox="monty", limits=Limits(max_turns=1, last_answer=False), evidence_dir=tmp_path)
    with pytest.raises(MaxTurnsExceeded):
        await rlm.aask("How?", TEXT, run_id="audit")
    folder = tmp_path / "audit"
    run = load_from_trace(folder / "trace.json")
    assert run.error == "MaxTurnsExceeded: no final answer after 1 turn (max_turns)"
    assert len(run.turns) == 1
    assert (folder / "last_code.py").read_text().endswith("broken\n")
    assert "NameError" in (folder / "stderr.log").read_text()
    assert json.loads((folder / "variables.json").read_text()) == ["value"]
    assert not [path for path in folder.iterdir() if "sk-a-secret" in path.read_text()]
    assert redacted("key sk-a-secret-of-mine") == "key [SOME_API_KEY]"


async def test_without_a_store_there_is_nothing_to_go_on_from() -> None:
    rlm = RLM(ScriptedModel([], name="root"), sandbox="monty")
    for work in (rlm.aresume("x"), rlm.areplay("x"), rlm.afork("x", at=1)):
        with pytest.raises(ConfigError, match="no store is set; set where runs are recorded"):
            await work


async def test_a_fork_is_the_other_run_until_its_turn_and_pays_for_itself(tmp_path: Path) -> None:
    store = MemoryStore()
    script = [repl("x = 2"), repl("y = llm_query('?')"), "FINAL_VAR(y)"]
    sub = ScriptedModel(["said"] * 2, name="sub")
    await RLM(ScriptedModel(script, name="root"), sub_model=sub, store=store, sandbox="monty").aask(
        "How?", TEXT, run_id="audit"
    )
    other = ScriptedModel([repl("FINAL(x * 21)")], name="another")
    rlm = RLM(other, sub_model=sub, store=store, sandbox="monty")
    forked = await rlm.afork("audit", at=2)
    assert (forked.value, forked.model) == (42, "another")
    tree = str(Run(tuple(await store.read(forked.run_id))))
    assert tree.index("x = 2") < tree.index("its own from here on") < tree.index("FINAL(x * 21)")
    assert forked.run_id != "audit"
    assert forked.usage.requests == 1
    assert [m.role for m in other.requests[0]] == ["system", "user", "assistant", "user"]
    assert await rlm.areplay(forked.run_id) == forked
    assert (await rlm.aresume(forked.run_id)) == forked
    again = await rlm.afork(forked.run_id, at=1, code="FINAL('edited')", new_id="mine")
    assert (again.value, again.run_id, again.usage.requests) == ("edited", "mine", 0)
    with pytest.raises(RLMError, match="there is a run mine already"):
        await rlm.afork("audit", at=1, code="x", new_id="mine")
    with pytest.raises(RLMError, match="there is no run 'audt' in the store; did you mean audit"):
        await rlm.afork("audt", at=1)
    assert len(sub.requests) == 1


async def test_the_time_between_a_run_and_its_fork_is_neithers_and_a_fork_that_cannot_begin_leaves_no_run() -> None:
    store = MemoryStore()
    rlm = RLM(ScriptedModel([repl("x = 2"), "FINAL(x)"], name="root"), store=store, sandbox="monty")
    await rlm.aask("How?", TEXT, run_id="audit")
    old = MemoryStore()
    for event in await store.read("audit"):
        old.write(replace(event, at_s=event.at_s - 10_000))
    other = ScriptedModel(["FINAL(3)"] * 2, name="root")
    await RLM(other, store=old, sandbox="monty").afork("audit", at=2, new_id="mine")
    assert Past(await old.read("mine")).used_s < 9_000
    unpriced = ScriptedModel([], name="dear", price=None)
    with pytest.raises(RLMError, match="the price of dear is not known"):
        await RLM(unpriced, store=old, sandbox="monty").afork(
            "audit", at=2, limits=Limits(cost_limit_usd="1"), new_id="none"
        )
    assert not await old.read("none")
