"""What is recorded, traced and shown to hooks has no secrets, and a run still goes on from it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox import RLM, Run
from rlmbox.events import Event, HostCallFinished, QuestionAsked, ReplyDelta, SessionFinished, from_json, to_json
from rlmbox.guard import Guard
from rlmbox.record.export import FORMATS
from rlmbox.record.hiding import HiddenValues, placeholder_table, whole, without_table
from rlmbox.record.journal import Journal, MemoryStore
from rlmbox.testing import ScriptedModel
from runs import repl

KEY = "sk-proj-" + "Ab3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dF3hJ5" + "T3BlbkFJ" + "kL7nP9rS1tU3wX5zA7cE9gI1kM3oQ5sU7w"
MAIL = "ada.lovelace@example.org"
SECRETS = (KEY, MAIL, "4111 1111 1111 1111")
TEXT = f"The key is {KEY}. Write to {MAIL}; the card is 4111 1111 1111 1111. It says <HIDDEN: email 1> too.\n"
CELLS = (
    "found = context\nprint(found)",
    "print(llm_query('who? ' + context))\nprint(note([context]))\nfound",
    "raise ValueError(found)",
    "FINAL({'mail': context.split('Write to ')[1].split(';')[0], context[:70]: 1})",
)


def note(what: list[str]) -> str:
    """Keep a note."""
    return f"kept {len(what)} for {MAIL}"


def rlm(store: object, hooks: list[object] | None = None, **options: object) -> RLM:
    root = ScriptedModel([repl(cell) for cell in CELLS], name="root")
    sub = ScriptedModel([f"it was {MAIL}"], name="sub")
    return RLM(root, sub_model=sub, store=store, hooks=hooks or (), tools=[note], **options)  # type: ignore[arg-type]


def clean(text: str) -> bool:
    return not any(secret in text or json.dumps(secret)[1:-1] in text for secret in SECRETS)


async def test_hooks_traces_and_exports_have_no_secret_and_the_answer_does() -> None:
    seen: list[Event] = []
    store = MemoryStore()
    answer = await rlm(store, [seen.append]).aask(f"Is {MAIL} in it?", TEXT, run_id="r")
    assert answer.value["mail"] == MAIL  # type: ignore[index]
    assert clean("".join(json.dumps(to_json(event), ensure_ascii=False) for event in seen))
    run = Run(tuple(await store.read("r")))
    for form, lines in FORMATS.items():
        assert clean("\n".join(lines(run))), form
    assert clean(str(run))


async def test_a_run_is_replayed_and_forked_from_a_record_that_hides() -> None:
    store = MemoryStore()
    answer = await rlm(store).aask(f"Is {MAIL} in it?", TEXT, run_id="r")
    shown: list[Event] = []
    again = await rlm(store, [shown.append]).areplay("r")
    assert (again.text, again.value) == (answer.text, answer.value)
    assert clean("".join(json.dumps(to_json(event), ensure_ascii=False) for event in shown))
    root = ScriptedModel([repl(cell) for cell in CELLS[2:]], name="root")
    fork = RLM(root, sub_model=ScriptedModel([], name="sub"), store=store, tools=[note])
    assert (await fork.afork("r", at=3, new_id="f")).value == answer.value
    recorded = await store.read("f")
    assert clean("".join(json.dumps(to_json(without_table(event)), ensure_ascii=False) for event in recorded))
    assert clean(json.dumps([m.content for m in root.requests[0][2:]]))


@pytest.mark.parametrize("part", range(1, 8))
async def test_a_run_goes_on_from_any_part_of_such_a_record(part: int) -> None:
    store, shorter = MemoryStore(), MemoryStore()
    answer = await rlm(store).aask(f"Is {MAIL} in it?", TEXT, run_id="r")
    events = await store.read("r")
    for event in events[: len(events) * part // 8]:
        shorter.write(event)
    asked = sum(event.kind == "model_replied" for event in await shorter.read("r"))
    root = ScriptedModel([repl(cell) for cell in CELLS[asked:]], name="root")
    sub = ScriptedModel([f"it was {MAIL}"], name="sub")
    again = await RLM(root, sub_model=sub, store=shorter, tools=[note]).aresume("r")
    assert again.value == answer.value
    sent = "".join(m.content for messages in (*root.requests, *sub.requests) for m in messages[2:])
    assert clean(sent)
    assert all(clean(str(to_json(without_table(event)))) for event in await shorter.read("r"))
    assert len(placeholder_table(await shorter.read("r"))) == len(
        set(placeholder_table(await shorter.read("r")).values())
    )


async def test_the_record_of_a_user_who_wants_it_whole_is_whole() -> None:
    seen: list[Event] = []
    store = MemoryStore()
    await rlm(store, [seen.append], record_secrets=True).aask("?", TEXT, run_id="r")
    assert MAIL in str([to_json(event) for event in seen])
    assert not placeholder_table(await store.read("r"))


async def test_the_values_are_in_the_file_once_and_apart(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with rlm(path) as made:
        await made.aask("?", TEXT, run_id="r")
    with closing(sqlite3.connect(path)) as database:
        lines = [str(row) for row in database.execute("select * from events")]
    assert sum(MAIL in line for line in lines) <= 1
    assert path.stat().st_mode & 0o077 == 0


async def test_who_streams_a_run_reads_its_answer() -> None:
    events = [event async for event in rlm(None).stream("?", TEXT)]
    assert isinstance(events[-1], SessionFinished)
    assert events[-1].answer.value["mail"] == MAIL  # type: ignore[index]
    assert all(clean(str(to_json(event))) for event in events[:-1])


texts = st.text() | st.sampled_from([KEY, MAIL, TEXT, "<HIDDEN: email 1>", f"<HIDDEN: {MAIL} 1>", MAIL.upper()])


@given(st.lists(st.lists(texts, max_size=4).map(" ".join), max_size=4))
def test_whatever_is_hidden_comes_back_as_it_was(given: list[str]) -> None:
    hiding = HiddenValues(Guard().for_run().secrets_in)
    events = [
        QuestionAsked(
            run_id="r",
            session_id="r",
            parent_id=None,
            depth=0,
            state="INIT",
            number=n,
            question=text,
            limits={text: text},
        )
        for n, text in enumerate(given)
    ]
    kept = [hiding.hide(event) for event in events]
    assert whole(kept) == events
    assert clean(str([to_json(without_table(event)) for event in kept]))
    for event, stored in zip(events, kept, strict=True):
        assert stored.hidden or stored is event or placeholder_table(kept)


PLACE = {"run_id": "r", "session_id": "r", "parent_id": None, "depth": 0, "state": "ACTION"}
CARD = 4111111111111111
numbers = (
    st.sampled_from([CARD, float(CARD), -CARD, 52998224725, str(CARD), True, 17, 1e300]) | st.integers() | st.floats()
)


@given(st.recursive(numbers, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)))
def test_numbers_in_values_of_code_are_hidden_and_come_back_as_numbers(value: object) -> None:
    hiding = HiddenValues(Guard().for_run().secrets_in)
    event = HostCallFinished(**PLACE, key="k", function="f", value=value)  # type: ignore[arg-type]
    kept = hiding.hide(event)
    assert str(CARD) not in json.dumps(to_json(without_table(kept)))
    read = from_json(json.loads(json.dumps(to_json(kept))))
    (found,) = whole([read])
    assert repr(found.value) == repr(json.loads(json.dumps(value)))  # type: ignore[attr-defined]


@given(
    st.lists(st.sampled_from([KEY, MAIL, "4111 1111 1111 1111", "and then\n", "password: ", "hunter2x "]), max_size=9),
    st.data(),
)
def test_a_secret_that_comes_in_pieces_is_hidden_and_nothing_is_lost(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    seen: list[Event] = []
    journal = Journal(readers=[seen.append], hiding=HiddenValues(Guard().for_run().secrets_in))
    for piece in pieces:
        journal.note(ReplyDelta(**PLACE, model="m", key="k", attempt=1, text=piece))  # type: ignore[arg-type]
    journal.note(HostCallFinished(**PLACE, key="k", function="f"))  # type: ignore[arg-type]
    shown = "".join(event.text for event in seen if isinstance(event, ReplyDelta))
    assert clean(shown)
    once = HiddenValues(Guard().for_run().secrets_in)
    assert shown == once.hide(HostCallFinished(**PLACE, key="k", function="f", value=text)).value  # type: ignore[arg-type]
