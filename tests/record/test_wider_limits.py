"""A run that ended at a limit goes on within a wider one, from where it ended; what it had stays as it was."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from rlmbox import RLM, Limits, Run
from rlmbox.errors import (
    AnswerRejected,
    BudgetExceeded,
    ConfigError,
    LimitExceeded,
    MaxTurnsExceeded,
    Stalled,
    SubcallLimitExceeded,
    TimeLimitExceeded,
    TokenLimitExceeded,
)
from rlmbox.events import AttemptFinished, Event, RunResumed, to_json
from rlmbox.record.fold import fold
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message
from runs import PENNY, TEXT, repl

WIDE = Limits(cost_limit_usd="1000000", max_turns=9, max_subcalls=20, max_depth=3, max_tokens=10_000_000)
CELLS = (
    "x = [n for n in range(3)]\nprint('DONE!', x)",
    "a = llm_query_batched(['one', 'two'])\nprint('DONE!')",
    "b = rlm_query('child?')\nprint('DONE!')",
    "c = llm_query('three')\nprint('DONE!')",
)
VALUE = "[[0, 1, 2], [<one>, <two>], <of a child>, <three>]"


def root(messages: Sequence[Message]) -> str:
    if "This is the end" in messages[-1].content:
        return "FINAL(a guess)"
    turn = sum("DONE!" in message.content for message in messages if message.role == "user")
    return repl(CELLS[turn]) if turn < len(CELLS) else repl("FINAL(str([x, a, b, c]).replace(chr(39), ''))")


def sub(messages: Sequence[Message]) -> str:
    if len(messages) == 1:
        return f"<{messages[-1].content}>"
    return repl("d = llm_query('of a child')") if len(messages) == 2 else "FINAL_VAR(d)"


class Made:
    """An RLM of these models, and what they were asked."""

    def __init__(self, store: MemoryStore, limits: Limits = WIDE, hooks: Sequence[Any] = (), **options: Any) -> None:
        self.root = ScriptedModel([root] * 30, name="root", price=PENNY)
        self.sub = ScriptedModel([sub] * 30, name="sub", price=PENNY)
        made: dict[str, Any] = {"sub_model": self.sub, "store": store, "limits": limits, "sandbox": "monty", **options}
        self.rlm = RLM(self.root, hooks=hooks, **made)

    @property
    def asked(self) -> int:
        return len(self.root.requests) + len(self.sub.requests)


async def ended(limits: Limits, error: type[LimitExceeded]) -> tuple[MemoryStore, int]:
    """A run that ended at a limit; returns its store and how many requests it made."""
    store = MemoryStore()
    made = Made(store, limits)
    with pytest.raises(error):
        await made.rlm.aask("How?", TEXT, run_id="r")
    return store, made.asked


async def check(store: MemoryStore, before: Sequence[Event], value: object, cost_usd: object) -> None:
    """The record has all that it had, tells the state, is said to be answered, and is replayed event by event."""
    events = list(await store.read("r"))
    assert events[: len(before)] == list(before)
    run, state = Run(tuple(events)), fold(events)
    assert run.error is None
    assert run.answer is not None
    assert run.answer.value == value
    assert run.answer.cost_usd == cost_usd == state.spent_usd
    assert state.of("r").answer == run.answer
    assert state.of("r").error is None
    assert [each.status for each in await store.runs()] == ["answered"]
    seen: list[Event] = []
    nobody = Made(store, hooks=[seen.append])
    assert await nobody.rlm.areplay("r") == run.answer
    assert [to_json(event) for event in seen] == [to_json(event) for event in events]
    assert await nobody.rlm.aresume("r") == run.answer
    assert not nobody.asked


WHOLE_REQUESTS = 11
SHARES = (3, 7, 11)  # of fourteen


@pytest.mark.parametrize("last_answer", [True, False])
@pytest.mark.parametrize("max_turns", [1, 3])
async def test_with_more_turns(max_turns: int, last_answer: bool) -> None:
    limits = replace(WIDE, max_turns=max_turns, last_answer=last_answer)
    store, asked = await ended(limits, MaxTurnsExceeded)
    before = await store.read("r")
    made = Made(store)
    answer = await made.rlm.aresume("r", limits=WIDE)
    assert answer.value == VALUE
    assert answer.turns == len(CELLS) + 1
    assert asked + made.asked == WHOLE_REQUESTS + last_answer
    charged = sum(e.cost_usd for e in await store.read("r") if isinstance(e, AttemptFinished))
    await check(store, before, VALUE, charged)


@pytest.mark.parametrize("last_answer", [True, False])
@pytest.mark.parametrize("max_subcalls", [1, 3])
async def test_with_more_sub_calls(max_subcalls: int, last_answer: bool) -> None:
    limits = replace(WIDE, max_subcalls=max_subcalls, last_answer=last_answer)
    store = MemoryStore()
    made = Made(store, limits)
    with pytest.raises(SubcallLimitExceeded):
        await made.rlm.aask("How?", TEXT, run_id="r")
    before = await store.read("r")
    again = Made(store)
    answer = await again.rlm.aresume("r", limits=WIDE)
    assert "<of a child>, <three>]" in str(answer.value)
    not_made = max_subcalls == 1  # one of the batch, which its cell was told
    assert answer.subcalls == 5 - not_made
    assert made.asked + again.asked == WHOLE_REQUESTS - not_made + last_answer
    await check(store, before, answer.value, answer.cost_usd)


@pytest.mark.parametrize("kind", ["cost_limit_usd", "max_tokens"])
async def test_wherever_money_or_tokens_ended_it(kind: str) -> None:
    whole = Made(MemoryStore())
    used = await whole.rlm.aask("How?", TEXT)
    most = used.usage.total_tokens
    for share in SHARES:
        tokens = most * share // 14
        figure: Any = tokens if kind == "max_tokens" else tokens // 100
        limits = replace(WIDE, max_output_tokens=20, **{kind: figure})
        store = MemoryStore()
        made = Made(store, limits)
        try:
            answer = await made.rlm.aask("How?", TEXT, run_id="r")
            continue
        except (BudgetExceeded, TokenLimitExceeded):
            before = await store.read("r")
        again = Made(store)
        answer = await again.rlm.aresume("r", limits=replace(WIDE, max_output_tokens=20))
        assert "<of a child>, <three>]" in str(answer.value), share
        await check(store, before, answer.value, answer.cost_usd)


async def test_it_may_end_at_the_next_limit_and_go_on_again() -> None:
    store, _ = await ended(replace(WIDE, max_turns=1), MaxTurnsExceeded)
    for max_turns in (2, 3, 4):
        with pytest.raises(MaxTurnsExceeded) as failed:
            await Made(store).rlm.aresume("r", limits=replace(WIDE, max_turns=max_turns))
        assert failed.value.partial is not None
        assert failed.value.partial.text == "a guess"
        assert failed.value.partial.turns == max_turns
        with pytest.raises(MaxTurnsExceeded):
            await Made(store).rlm.areplay("r")
    before = await store.read("r")
    answer = await Made(store).rlm.aresume("r", limits=WIDE)
    await check(store, before, VALUE, answer.cost_usd)


async def test_from_every_event_of_a_record_that_went_beyond_a_limit() -> None:
    store, _ = await ended(replace(WIDE, max_subcalls=3), SubcallLimitExceeded)
    first = len(await store.read("r"))
    await Made(store).rlm.aresume("r", limits=WIDE)
    events = list(await store.read("r"))
    assert isinstance(events[first], RunResumed)
    for cut in range(first + 1, len(events) + 1):
        shorter = MemoryStore()
        for event in events[:cut]:
            shorter.write(event)
        answer = await Made(shorter).rlm.aresume("r")
        assert "<of a child>, <three>]" in str(answer.value), cut
        charged = sum(e.cost_usd for e in await shorter.read("r") if isinstance(e, AttemptFinished))
        assert charged == answer.cost_usd, cut
        assert (await Made(shorter).rlm.areplay("r")) == answer, cut


async def test_with_more_time() -> None:
    store = MemoryStore()
    limits = replace(WIDE, max_seconds=1.0, last_answer=False)
    made = Made(store, limits)
    made.root._delay_s = 0.4
    with pytest.raises(TimeLimitExceeded):
        await made.rlm.aask("How?", TEXT, run_id="r")
    before = await store.read("r")
    with pytest.raises(ConfigError, match=r"has used [0-9.]+ of max_seconds already"):
        await Made(store).rlm.aresume("r", limits=replace(limits, max_seconds=0.5))
    answer = await Made(store).rlm.aresume("r", limits=replace(limits, max_seconds=600))
    await check(store, before, VALUE, answer.cost_usd)


async def test_a_limit_that_is_no_wider_is_refused_and_nothing_is_written() -> None:
    store, _ = await ended(replace(WIDE, max_turns=2), MaxTurnsExceeded)
    before = list(await store.read("r"))
    for limits, says in (
        (replace(WIDE, max_turns=2), "ended at max_turns=2, and 2 is no more; give more to go on"),
        (replace(WIDE, max_turns=1), "has used 2 of max_turns already, which is more than 1"),
        (replace(WIDE, cost_limit_usd="0.01"), "of cost_limit_usd already, which is more than 0.01"),
    ):
        with pytest.raises(ConfigError, match=says):
            await Made(store).rlm.aresume("r", limits=limits)
    assert list(await store.read("r")) == before


def never(_answer: object) -> str:
    return "no"


@pytest.mark.parametrize(
    ("error", "options"),
    [(Stalled, {"invalid_response_limit": 2}), (AnswerRejected, {"validate": never})],
)
async def test_what_no_limit_ended_is_not_gone_on_with(error: type[Exception], options: dict[str, Any]) -> None:
    store = MemoryStore()
    script = [repl("x = 1\nprint(x)")] * 9 if error is Stalled else ["FINAL(bad)"] * 30
    made = RLM(ScriptedModel(script, name="root"), store=store, sandbox="monty", **options)
    with pytest.raises(error):
        await made.aask("How?", TEXT, run_id="r")
    with pytest.raises(ConfigError, match=r"has come to its end, .* rlmbox fork r --at TURN"):
        await made.aresume("r", limits=Limits(max_turns=60))


async def test_a_limit_of_a_question_alone_may_be_widened() -> None:
    store = MemoryStore()
    made = RLM(ScriptedModel([repl("x = 5"), "FINAL(a guess)"], name="root"), store=store, sandbox="monty")
    async with made.session(TEXT, run_id="r") as session:
        with pytest.raises(MaxTurnsExceeded):
            await session.ask("First?", limits=Limits(max_turns=1))
    again = RLM(ScriptedModel([repl("FINAL(x)")], name="root"), store=store, sandbox="monty")
    assert (await again.aresume("r", limits=Limits(max_turns=3))).value == 5
    assert (await again.areplay("r")).value == 5


async def test_a_fork_of_a_run_that_went_beyond_a_limit() -> None:
    store, _ = await ended(replace(WIDE, max_turns=2), MaxTurnsExceeded)
    await Made(store).rlm.aresume("r", limits=WIDE)
    for at in (1, 2, 3, 5):
        made = Made(store)
        assert (await made.rlm.afork("r", at=at, new_id=f"f{at}")).value == VALUE
        assert (await made.rlm.areplay(f"f{at}")).value == VALUE


async def test_a_run_that_is_killed_when_it_asks_for_its_best_answer_ends_at_the_limit_or_goes_on() -> None:
    store, _ = await ended(replace(WIDE, max_turns=2), MaxTurnsExceeded)
    events = list(await store.read("r"))
    for cut in range(len(events) - 8, len(events)):
        shorter = MemoryStore()
        for event in events[:cut]:
            shorter.write(event)
        with pytest.raises(MaxTurnsExceeded):
            await Made(shorter).rlm.aresume("r")
        assert (await Made(shorter).rlm.aresume("r", limits=WIDE)).value == VALUE
