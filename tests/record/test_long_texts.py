"""Long texts are looked through for secrets beside the event loop, so that other runs go on meanwhile."""

import asyncio
import re
import threading
from typing import Any

import pytest

from rlmbox import RLM, Tool
from rlmbox.errors import ModelError
from rlmbox.events import HostCallFinished, SubcallFinished, SubcallStarted
from rlmbox.guard import Finding, Guard
from rlmbox.record.bodies import body_of, event_of
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


async def test_long_prompts_are_checked_beside_the_event_loop_and_what_is_hidden_in_them_is_numbered_in_order() -> None:
    threads: list[threading.Thread] = []

    def cases(text: str) -> list[Finding]:
        if len(text) > LONG_CHARS:
            threads.append(threading.current_thread())
        return [Finding("case", *found.span(), "hidden") for found in re.finditer("case-[0-9]+", text)]

    sub = ScriptedModel(["yes"] * 4, name="sub", window_tokens=10_000_000)
    code = (
        "long = 'A long text that says nothing. ' * 4000\n"
        "llm_query_batched([long + 'case-11', 'case-22', long + 'case-33', 'case-44'])"
    )
    root = ScriptedModel([repl(code), "FINAL(done)"], name="root")
    await RLM(root, sub_model=sub, sandbox="monty", guard=Guard(detectors=[cases])).aask("How?", TEXT)
    assert threads
    assert threading.current_thread() not in threads
    sent = {request[0].content.partition("<")[2]: len(request[0].content) > LONG_CHARS for request in sub.requests}
    numbered = {
        "REDACTED: case>": True,
        "REDACTED: case 2>": False,
        "REDACTED: case 3>": True,
        "REDACTED: case 4>": False,
    }
    assert sent == numbered


def row(number: int) -> dict[str, str]:
    return {"name": f"row {number}", "note": f"nothing {number}\nof note"}


async def test_many_short_texts_of_a_run_are_looked_through_beside_the_event_loop() -> None:
    on_loop: list[str] = []

    def cases(text: str) -> list[Finding]:
        if text.endswith("of note") and threading.current_thread() is threading.main_thread():
            on_loop.append(text)
        return [Finding("case", *found.span(), "hidden") for found in re.finditer("case-[0-9]+", text)]

    store = MemoryStore()
    rows = [row(number) for number in range(9_000)] + [{"name": SECRET, "note": "of note"}]
    rlm = RLM(
        ScriptedModel([repl("FINAL(len(rows) + len(data))")]),
        store=store,
        sandbox="monty",
        guard=Guard("off", detectors=[cases]),
    )

    answer = await rlm.aask("How many?", rows, inputs={"rows": rows}, run_id="r")

    assert answer.value == 18_002
    assert not on_loop
    assert SECRET not in str(store._events["r"][0].inputs)  # type: ignore[attr-defined]
    assert (await rlm.areplay("r")).value == 18_002


async def test_an_event_with_long_texts_comes_back_from_a_store_as_it_was() -> None:
    texts = {LONG: LONG, "again": [LONG, {"$payload": LONG}], "short": "set aside", "other": "é\ud83d\x00" * LONG_CHARS}
    event = HostCallFinished(
        run_id="r", session_id="s", parent_id=None, depth=0, state="ACTION", key="k", function="f", value=texts
    )
    payloads: dict[str, str] = {}

    body = body_of(event, payloads.__setitem__)

    assert event_of(body, payloads.__getitem__) == event
    assert len(payloads) == 2
