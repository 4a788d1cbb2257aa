"""A run goes on as it was recorded, with its text where that is now, and with other limits where they are given."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlmbox import RLM, Limits, Run
from rlmbox.context import Context
from rlmbox.errors import ConfigError, ContextError, MaxTurnsExceeded, ModelError
from rlmbox.events import ModelReplied, RunResumed, RunStarted, SessionStarted
from rlmbox.models.prices import FREE
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import DictRetriever, ScriptedModel
from runs import PENNY, TEXT, repl

AWAY = ModelError("away", status=401)
SHOWS = repl("print(ctx.document_names, len(context))")


def rlm(store: object, script: Sequence[Any], *, price: Any = FREE, **options: Any) -> RLM:
    root = ScriptedModel(script, name="root", price=price)
    return RLM(root, store=store, sandbox="monty", **options)  # type: ignore[arg-type]


async def begun(store: object, context: object, script: Sequence[Any] = (SHOWS,), **options: Any) -> None:
    """Begins a run that its provider ends early."""
    with pytest.raises(ModelError):
        await rlm(store, [*script, AWAY], **options).aask("How?", context, run_id="r")  # type: ignore[arg-type]


async def go_on(store: object, context: object = None, **options: Any) -> object:
    """Goes on to an answer, which has to have asked for one reply only."""
    limits = options.pop("limits", None)
    script = ["FINAL_VAR(context)"]
    return (await rlm(store, script, **options).aresume("r", context=context, limits=limits)).value  # type: ignore[arg-type]


@pytest.mark.parametrize("size_bytes", [100, 6_000_000, 20_000_000])
async def test_a_file_that_was_moved_is_taken_where_it_is_said_to_be(tmp_path: Path, size_bytes: int) -> None:
    store, file, moved = MemoryStore(), tmp_path / "old.txt", tmp_path / "elsewhere" / "new.txt"
    text = "A line of it.\n" * (size_bytes // 14)
    file.write_text(text)
    own: dict[str, Any] = {"guard": "off"}  # whose index of a long text takes a while
    await begun(store, file, [repl("print(ctx.document_names)")], **own)
    moved.parent.mkdir()
    file.rename(moved)
    with pytest.raises(ContextError, match=r"old\.txt has changed .*, or is gone; .*where it is now with --context"):
        await go_on(store, **own)
    with pytest.raises(ContextError, match=r"no\.txt is not there; the run was started with .*old\.txt"):
        await go_on(store, tmp_path / "no.txt", **own)
    middle = len(text) // 2 - 7
    other = tmp_path / "other.txt"
    other.write_text(text[:middle] + "X" * 200_000 + text[middle + 200_000 :])
    with pytest.raises(ContextError, match=r"other\.txt is not what the run was started with: its content differs"):
        await go_on(store, other, **own)
    assert not any(isinstance(event, RunResumed) for event in await store.read("r"))
    os.utime(moved, (1, 1))  # a copy has another time
    hook: list[Any] = []
    answer = await rlm(store, [repl("FINAL(len(context))")], hooks=[hook.append], **own).aresume("r", context=moved)
    assert answer.value == len(text)
    assert not [event for event in hook if event.kind == "cell_differed"]  # what it is called is as it was
    assert (await RLM(store=store, sandbox="monty").areplay("r")).value == len(text)  # which knows it from the record


@pytest.mark.parametrize("given", ["context", "paths"])
async def test_several_paths_may_have_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    store = MemoryStore()
    monkeypatch.chdir(tmp_path)
    Path("notes").mkdir()
    for name in ("a.txt", "notes/b.txt", "notes/c.txt"):
        Path(name).write_text(f"The text of {name}.")
    await begun(store, [Path("a.txt"), Path("notes")])
    shutil.copytree(tmp_path, tmp_path / "there")
    shutil.rmtree("notes")
    with pytest.raises(ContextError, match=r"the run has 2 paths \(a.txt, notes\); say of each"):
        await go_on(store, [Path("there/a.txt")])
    with pytest.raises(ContextError, match="its content differs"):
        await go_on(store, [Path("there/notes/b.txt"), Path("there/notes")])
    now: Any = [tmp_path / "there" / "a.txt", tmp_path / "there" / "notes"]
    differed: list[Any] = []
    text = await go_on(store, Context.from_path(now) if given == "context" else now, hooks=[differed.append])
    assert "The text of notes/c.txt." in str(text)
    assert not [event for event in differed if event.kind == "cell_differed"]


@pytest.mark.parametrize("paths", [["a.txt", "b.txt"], ["*.txt"], ["a.txt", "[b-c].txt"]])
async def test_relative_paths_are_looked_up_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    store = MemoryStore()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt"):
        Path(name).write_text(f"The text of {name}.")
    await begun(store, Context.from_path(paths if len(paths) > 1 else paths[0]))
    monkeypatch.chdir(tmp_path / "other")
    text = str(await go_on(store))
    assert "===== a.txt =====" in text
    assert "The text of b.txt." in text


async def test_what_is_beside_the_text_in_its_folder_may_change(tmp_path: Path) -> None:
    store, folder = MemoryStore(), tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("A text.")
    await begun(store, folder)
    for name in (".state", "runs.db-locks", "evidence/trace.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("of another program, or of this one")
    assert "another program" not in str(await go_on(store))
    assert "A text." in str((await RLM(store=store, sandbox="monty").areplay("r")).value)


async def test_an_answer_is_there_whatever_has_become_of_the_text(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "a.txt"
    file.write_text(TEXT)
    await rlm(store, [SHOWS, "FINAL(one)"]).aask("How?", file, run_id="r")
    file.unlink()
    assert (await rlm(store, []).aresume("r")).value == "one"
    with pytest.raises(ContextError):
        await RLM(store=store, sandbox="monty").areplay("r")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
async def test_what_came_through_a_pipe_of_the_shell_is_in_the_record() -> None:
    store, (reads, writes) = MemoryStore(), os.pipe()
    os.write(writes, TEXT.encode())
    os.close(writes)
    await begun(store, Context.from_path(f"/dev/fd/{reads}"))
    os.close(reads)
    assert await go_on(store) == TEXT


async def test_a_file_that_was_moved_may_be_back_again(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "a.txt"
    file.write_text(TEXT)
    await begun(store, file)
    moved = file.rename(tmp_path / "b.txt")
    with pytest.raises(ModelError):
        await rlm(store, [SHOWS.replace("len", "2 * len"), AWAY]).aresume("r", context=moved)
    moved.rename(file)
    assert await go_on(store) == TEXT


@pytest.mark.parametrize("name", ["notes", "notes/*.txt"])
async def test_a_folder_or_a_pattern_with_another_text_is_another(tmp_path: Path, name: str) -> None:
    store, folder = MemoryStore(), tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("A text.")
    await begun(store, tmp_path / name)
    (folder / "a.txt").write_text("B text.")
    with pytest.raises(ContextError, match=r"notes.* has changed since the run began"):
        await go_on(store)


@pytest.mark.parametrize(
    ("then", "now"),
    [("A text.", "B text."), (["one", "two"], ["one", "three"]), ({"a": "one"}, {"a": "two"}), ([1, 2], [1, 3])],
)
async def test_a_text_that_is_given_again_has_to_be_the_same(then: Any, now: Any) -> None:
    store = MemoryStore()
    await begun(store, then)
    with pytest.raises(ContextError, match="is not the one that the run was started with"):
        await go_on(store, now)
    assert await go_on(store, then) is not None


async def test_a_run_goes_on_within_other_limits_and_the_record_says_so() -> None:
    store = MemoryStore()
    limits = Limits(max_turns=4, cost_limit_usd="1000000")
    await begun(store, TEXT, [SHOWS, SHOWS + " ", SHOWS], limits=limits, price=PENNY)
    with pytest.raises(ConfigError, match="has used 3 of max_turns already, which is more than 2; give more"):
        await go_on(store, limits=Limits(max_turns=2, cost_limit_usd="1000000"))
    with pytest.raises(ConfigError, match=r"has used [0-9.]+ of cost_limit_usd already, which is more than 0\.02"):
        await go_on(store, limits=Limits(cost_limit_usd="0.02"))
    script = [SHOWS.replace("len", "2 * len"), SHOWS, "FINAL(late)"]
    # Those of the RLM count for new runs only.
    again = rlm(store, script, limits=Limits(max_turns=1))
    assert (await again.aresume("r", limits=Limits(max_turns=9, cost_limit_usd="1000000"))).value == "late"
    events = await store.read("r")
    changed = [event.changes for event in events if isinstance(event, RunResumed)]
    assert [each["settings"]["limits"]["max_turns"] for each in changed] == [9]  # type: ignore[index]
    assert (await RLM(store=store, sandbox="monty").areplay("r")).value == "late"
    with pytest.raises(ConfigError, match=r"has come to its end, .* rlmbox fork r --at TURN"):
        await again.aresume("r", limits=Limits(max_turns=20))


async def test_without_others_the_recorded_limits_hold() -> None:
    store = MemoryStore()
    await begun(store, TEXT, [SHOWS], limits=Limits(max_turns=2, last_answer=False))
    with pytest.raises(MaxTurnsExceeded):
        await rlm(store, [SHOWS, SHOWS], limits=Limits(max_turns=30)).aresume("r")


@pytest.mark.parametrize(
    ("then", "now", "says"),
    [
        ({}, {"compaction": "model"}, "with compaction='digest', not 'model'"),
        ({"type_check": True}, {}, "with type_check=True, not False"),
        ({}, {"type_check": True}, "with type_check=False, not True"),
        ({"retriever": DictRetriever({"a": "one"}, name="kb")}, {}, r"an index \(kb\), which is missing"),
        ({}, {"retriever": DictRetriever({"a": "one"}, name="kb")}, "started without an index"),
        (
            {"retriever": DictRetriever({"a": "one"}, name="kb")},
            {"retriever": DictRetriever({"a": "one"}, name="wiki")},
            "another index: its name was kb, not wiki",
        ),
    ],
)
async def test_what_is_otherwise_than_it_was_is_named(then: dict[str, Any], now: dict[str, Any], says: str) -> None:
    store = MemoryStore()
    await begun(store, TEXT, **then)
    with pytest.raises(ConfigError, match=says):
        await go_on(store, **now)
    assert await go_on(store, **then) == TEXT


async def test_the_guard_of_a_run_that_goes_on_knows_what_it_showed() -> None:
    store, text = MemoryStore(), "ada@example.org, bob@example.org and eve@example.org"
    script = [repl("print(context.split(',')[0])"), repl("print(context.split()[1])")]
    await begun(store, text, script)
    answer = await rlm(store, [repl("print(context)"), "FINAL(done)"]).aresume("r")
    shown = [turn.observation.text for turn in answer.trajectory if turn.observation]
    assert "<REDACTED: email>, <REDACTED: email 2> and <REDACTED: email 3>" in shown[2]
    assert answer.guard["different_values"] == {"email": 3}


async def test_a_fork_takes_a_text_that_was_moved_and_keeps_where_it_is(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "old.txt"
    file.write_text(TEXT)
    await rlm(store, [SHOWS, "FINAL(one)"]).aask("How?", file, run_id="r")
    moved = file.rename(tmp_path / "new.txt")
    forked = await rlm(store, ["FINAL_VAR(context)"]).afork("r", at=2, new_id="f", context=moved)
    assert forked.value == TEXT
    assert (await RLM(store=store, sandbox="monty").areplay("f")).value == TEXT
    assert [type(event) for event in (await store.read("f"))[:2]] == [RunStarted, SessionStarted]
    assert Run(tuple(await store.read("f"))).summary.origin


@pytest.mark.parametrize("way", ["replay", "resume"])
async def test_a_reply_is_what_it_was_read_as_then(way: str) -> None:
    """As by a version that reads replies otherwise: there is no code in this reply for the one of today."""
    then, now = MemoryStore(), MemoryStore()
    await begun(then, TEXT, [repl("n = 40 + 2")])
    if way == "replay":
        await rlm(then, ["FINAL_VAR(n)"]).aresume("r")
    for event in await then.read("r"):
        if isinstance(event, ModelReplied) and event.completion is not None and event.turn == 1:
            event = replace(event, completion=replace(event.completion, text="I set n to 42."))
        now.write(event)
    again = rlm(now, ["FINAL_VAR(n)"])
    assert (await (again.areplay("r") if way == "replay" else again.aresume("r"))).value == 42
