"""Long texts are looked through for secrets beside the event loop, so that other runs go on meanwhile."""

import asyncio
import threading
from typing import Any

import pytest

from rlmbox import RLM, Tool
from rlmbox.errors import ModelError
from rlmbox.events import SubcallFinished, SubcallStarted
from rlmbox.guard import Finding, Guard
from rlmbox.record.hiding import LONG_CHARS
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl

LONG = "A long text that says nothing. " * (LONG_CHARS // 30 + 1)
SECRET = "case-4711"


class Looked:
    """A detector that knows where it was asked about long texts."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def __call__(self, text: str) -> list[Finding]:
        if len(text) > LONG_CHARS:
            self.threads.append(threading.current_thread())
        place = text.find(SECRET)
        return [] if place < 0 else [Finding("case", place, place + len(SECRET), "hidden")]


async def recorded(script: list[Any], **options: Any) -> tuple[Looked, MemoryStore]:
    """Runs it over a store; returns who looked through its texts, and the store."""
    store, looked = MemoryStore(), Looked()
    asked = {name: options.pop(name) for name in ("question", "context") if name in options}
    root = ScriptedModel(script, name="root", window_tokens=10_000_000)
    guard = Guard("off", detectors=[looked])  # which hides in records all the same
    rlm = RLM(root, store=store, sandbox="monty", guard=guard, **options)
    await rlm.aask(asked.get("question", "How?"), asked.get("context", TEXT), run_id="r")
    assert (await rlm.areplay("r")).value == "done"
    return looked, store


@pytest.mark.parametrize(
    "what",
    [{"question": f"{LONG}{SECRET}"}, {"instructions": f"{LONG}{SECRET}"}, {"context": f"{LONG}{SECRET}"}],
    ids=["question", "instructions", "context"],
)
async def test_of_what_a_run_begins_with(what: dict[str, Any]) -> None:
    looked, store = await recorded([repl("x = 1"), "FINAL(done)"], **what)
    assert looked.threads
    assert threading.current_thread() not in looked.threads
    kept = "".join(map(str, store._events["r"]))
    assert "<HIDDEN: case" in kept
    assert not any(f" {SECRET}" in str(event) for event in store._events["r"])


def much() -> str:
    """Return much."""
    return f"{LONG}{SECRET}"


async def test_of_what_tools_and_models_return() -> None:
    sub = ScriptedModel([LONG] * 2, name="sub")
    script = [repl("a = much()\nb = llm_query(a[:200000])"), "FINAL(done)"]
    looked, _ = await recorded(script, sub_model=sub, tools=[Tool(much)])
    assert len(looked.threads) >= 2  # what is equal is looked through once
    assert threading.current_thread() not in looked.threads


async def test_a_long_reply_is_recorded_also_where_the_task_is_cancelled_meanwhile() -> None:
    store, is_looked_at, may_go_on = MemoryStore(), threading.Event(), threading.Event()

    def slowly(text: str) -> list[Finding]:
        if text.startswith(LONG) and threading.current_thread() is not threading.main_thread():
            is_looked_at.set()
            may_go_on.wait(10)
        return []

    sub = ScriptedModel([LONG, ModelError("asked twice", status=400)], name="sub")

    def made(*script: str) -> RLM:
        guard = Guard("off", detectors=[slowly])
        return RLM(ScriptedModel(script, name="root"), sub_model=sub, store=store, sandbox="monty", guard=guard)

    task = asyncio.create_task(made(repl("b = llm_query('?')")).aask("How?", TEXT, run_id="r"))
    await asyncio.to_thread(is_looked_at.wait, 30)
    task.cancel()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    kinds = [type(event) for event in store._events["r"]]
    assert kinds.count(SubcallFinished) == kinds.count(SubcallStarted) == 1
    assert (await made("FINAL(done)").aresume("r")).value == "done"
    assert len(sub.requests) == 1
