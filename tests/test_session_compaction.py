"""Long conversations: what leaves them is summed up, said and recorded, and the session goes on."""

import itertools
import re
from collections.abc import Sequence

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import ConfigError
from rlmbox.events import CompactionStarted, Event, HistoryCompacted, ModelRequested
from rlmbox.loop.compaction import LeftOut
from rlmbox.record.journal import MemoryStore
from rlmbox.record.run import Run
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message
from runs import PENNY, TEXT, repl

LINES = "\n".join(f"Line {number}: the counterparty accepts clause {number * 7}." for number in range(400))
WINDOW_TOKENS = 32_000


class LongTalk:
    """A model of 300 turns: a figure at turn 5, a variable at turn 20, and both used at turn 290."""

    def __init__(self, turns: int = 300) -> None:
        self.turns = turns
        self.lengths: list[int] = []

    def __call__(self, messages: Sequence[Message]) -> str:
        self.lengths.append(len(messages))
        turn = len(self.lengths)
        if turn == 5:
            return "I add up the clauses.\n" + repl("print('sum of all clauses:', 7 * sum(range(400)))")
        if turn == 20:
            return repl("kept = [line for line in context.splitlines() if line.endswith('clause 2793.')]")
        if turn == 290:
            told = "\n".join(message.content for message in messages)
            figure = re.search(r"sum of all clauses: (\d+)", told)
            assert figure, "the figure of turn 5 is nowhere in the conversation"
            assert "kept (list" in told
            return repl(f"found = ({figure[1]}, kept[0])\nprint(found)")
        if turn == self.turns:
            return "FINAL_VAR(found)"
        return f"Now part {turn}.\n" + repl(f"part = context[{turn * 40}:{turn * 40} + 700]\nprint(part)")


def long_talk(turns: int = 300, **options: object) -> tuple[RLM, ScriptedModel]:
    talk = LongTalk(turns)
    model = ScriptedModel([talk] * turns, window_tokens=WINDOW_TOKENS, name="root")
    limits = Limits(max_turns=turns + 1)
    return RLM(model, limits=limits, **{"sandbox": "monty", **options}), model  # type: ignore[arg-type]


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_a_session_of_300_turns_ends_in_a_window_of_32k(sandbox: str) -> None:
    seen: list[Event] = []
    asked, model = long_talk(sandbox=sandbox, hooks=[seen.append])
    answer = await asked.aask("What is the sum of all clauses?", LINES)
    assert answer.value == [558600, "Line 399: the counterparty accepts clause 2793."]
    assert answer.turns == 300
    lengths = [sum(len(message.content) for message in request) for request in model.requests]
    assert max(lengths) < 0.6 * WINDOW_TOKENS * 4
    assert not [event for event in seen if event.kind == "input_truncated"]
    compacted = [event for event in seen if isinstance(event, HistoryCompacted)]
    assert compacted
    assert all(event.after_tokens < 0.9 * event.before_tokens for event in compacted)


async def test_between_compactions_the_conversation_only_grows() -> None:
    seen: list[Event] = []
    asked, model = long_talk(60, max_history_tokens=6_000, hooks=[seen.append])
    with pytest.raises(Exception, match="found"):
        await asked.aask("?", LINES)
    turns = {event.turn for event in seen if isinstance(event, HistoryCompacted)}
    assert turns
    for number, (before, after) in enumerate(zip(model.requests, model.requests[1:], strict=False), 2):
        if number in turns:
            assert after[:2] == before[:2]
            assert "[HISTORY DIGEST]" in after[3].content
        else:
            assert after[: len(before)] == before
        assert all(a.role != b.role for a, b in itertools.pairwise(after))


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_what_was_compacted_is_read_back_on_resume_and_replay(sandbox: str) -> None:
    store, talk = MemoryStore(), LongTalk(40)
    options = {"limits": Limits(max_turns=50), "store": store, "max_history_tokens": 6_000, "sandbox": sandbox}
    failing = ScriptedModel([talk] * 25 + [ValueError("the line is down")], window_tokens=WINDOW_TOKENS, name="root")

    def own(_left_out: LeftOut) -> str:
        return "this version writes this"

    with pytest.raises(Exception, match="the line is down"):
        await RLM(failing, compaction=own, **options).aask("?", LINES, run_id="long")  # type: ignore[arg-type]
    before = [event for event in await store.read("long") if isinstance(event, HistoryCompacted)]
    assert before

    def last(_messages: Sequence[Message]) -> str:
        return "FINAL_VAR(part)"

    def other(_left_out: LeftOut) -> str:
        return "another version would write this"

    model = ScriptedModel([last], window_tokens=WINDOW_TOKENS, name="root")
    answer = await RLM(model, compaction=other, **options).aresume("long")  # type: ignore[arg-type]
    assert len(model.requests) == 1
    assert before[-1].digest in model.requests[0][3].content
    events = await store.read("long")
    assert Run(tuple(events)).messages_of("long") == model.requests[0]
    replayed = await RLM(ScriptedModel([], name="root"), store=store, sandbox=sandbox).areplay("long")
    assert replayed.text == answer.text
    assert [event for event in await store.read("long") if isinstance(event, CompactionStarted)]


async def test_a_model_writes_the_digest_when_asked_within_the_budget() -> None:
    def writer(messages: Sequence[Message]) -> str:
        if messages[-1].content.startswith("Below is the middle"):
            assert "part (str" in messages[-1].content
            return "NOTES: the clauses are multiples of seven."
        return repl(f"part = context[{len(messages)}:900]\nprint(part)") if len(messages) < 30 else "FINAL_VAR(part)"

    seen: list[Event] = []
    model = ScriptedModel([writer] * 60, window_tokens=WINDOW_TOKENS, name="root", price=PENNY)
    limits = Limits(max_turns=25, cost_limit_usd=None)
    asked = RLM(
        model, compaction="model", max_history_tokens=5_000, limits=limits, hooks=[seen.append], sandbox="monty"
    )
    with pytest.raises(Exception, match="max_turns"):
        await asked.aask("?", LINES)
    compacted = [event for event in seen if isinstance(event, HistoryCompacted)]
    assert compacted
    assert all("NOTES: the clauses" in event.digest for event in compacted)
    assert all(event.cost_usd > 0 for event in compacted)
    turns = {event.turn.number: event.turn for event in seen if event.kind == "turn_finished"}  # type: ignore[attr-defined]
    replies = {event.turn: event.cost_usd for event in seen if event.kind == "model_replied"}  # type: ignore[attr-defined]
    for event in compacted:
        assert turns[event.turn].cost_usd == replies[event.turn] + event.cost_usd


async def test_where_the_model_fails_at_the_digest_one_is_written_without() -> None:
    def writer(messages: Sequence[Message]) -> str:
        if messages[-1].content.startswith("Below is the middle"):
            raise ValueError("no")
        return repl(f"part = context[{len(model.requests)}:900]\nprint(part)")

    seen: list[Event] = []
    model = ScriptedModel([writer] * 60, window_tokens=WINDOW_TOKENS, name="root")
    asked = RLM(
        model,
        compaction="model",
        max_history_tokens=5_000,
        limits=Limits(max_turns=15),
        hooks=[seen.append],
        sandbox="monty",
    )
    with pytest.raises(Exception, match="max_turns"):
        await asked.aask("?", LINES)
    compacted = [event for event in seen if isinstance(event, HistoryCompacted)]
    assert compacted
    assert "What each turn did" in compacted[0].digest


async def test_a_function_of_the_user_writes_the_digest() -> None:
    seen: list[LeftOut] = []

    async def own(left_out: LeftOut) -> str:
        seen.append(left_out)
        return "my digest"

    asked, model = long_talk(30, compaction=own, max_history_tokens=5_000)
    with pytest.raises(Exception, match="found"):
        await asked.aask("?", LINES)
    assert seen
    assert seen[0].notes[0].did == "?"
    assert model.requests[-1][3].content == "my digest"


@pytest.mark.parametrize("wrong", [None, "", 3])
async def test_a_digest_that_is_none_is_an_error(wrong: object) -> None:
    asked, _ = long_talk(30, compaction=lambda _: wrong, max_history_tokens=5_000)
    with pytest.raises(ConfigError, match="compaction returns"):
        await asked.aask("?", LINES)


async def test_the_question_at_work_stays_in_the_conversation() -> None:
    talk = [repl(f"part = context[{n}:{n} + 900]\nprint(part)") for n in range(40)]
    model = ScriptedModel(["FINAL(one)", *talk, "FINAL(two)"], window_tokens=WINDOW_TOKENS, name="root")
    limits = Limits(max_turns=60)
    async with RLM(model, max_history_tokens=5_000, limits=limits, sandbox="monty").session(LINES) as session:
        assert (await session.ask("The first question?")).text == "one"
        assert (await session.ask("And the second one?")).text == "two"
    last = model.requests[-1]
    assert "The first question?" in last[1].content
    assert "[HISTORY DIGEST]" in last[3].content
    assert "And the second one?" in last[3].content.rpartition("Another question")[2]
    assert last[3].content.count("Another question about the same text") == 1
    assert "Question 1: The first question?" in last[3].content
    assert "answered: one" in last[3].content


@pytest.mark.parametrize("given", [{"max_history_tokens": 10}, {"max_history_tokens": True}, {"compaction": "magic"}])
def test_what_cannot_bound_a_conversation_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"max_history_tokens|there are digest, model"):
        RLM(ScriptedModel([]), **given)  # type: ignore[arg-type]


async def test_a_short_session_is_never_compacted() -> None:
    seen: list[Event] = []
    model = ScriptedModel([repl("print(1)"), "FINAL(ok)"], name="root")
    await RLM(model, hooks=[seen.append], sandbox="monty").aask("?", TEXT)
    assert not [event for event in seen if isinstance(event, HistoryCompacted | CompactionStarted)]
    assert [event.messages for event in seen if isinstance(event, ModelRequested)] == [2, 4]
