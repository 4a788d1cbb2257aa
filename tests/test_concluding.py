"""Near a limit and at it: the model is told once, and asked for its best answer within the limit."""

import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import anyio
import pytest

from rlmbox import RLM, CellLimits, Limits
from rlmbox.errors import (
    BudgetExceeded,
    LimitExceeded,
    MaxTurnsExceeded,
    ModelError,
    SubcallLimitExceeded,
    TimeLimitExceeded,
    TokenLimitExceeded,
)
from rlmbox.events import Event, LastAnswerAsked
from rlmbox.testing import ScriptedModel
from rlmbox.types import Answer, Completion, Message, Usage
from runs import PENNY, repl

TEXT = "The contract begins in May."


def asked_for_the_best(messages: Sequence[Message]) -> bool:
    return "This is the end:" in messages[-1].content


class Busy(ScriptedModel):
    """Writes the same cell, with its number for `{n}`, until it is asked for its best answer."""

    def __init__(self, cell: str = "x = 1", best: str = "FINAL(May, I think)", **options: object) -> None:
        super().__init__([], name="busy", **options)  # type: ignore[arg-type]
        self.cell, self.best = cell, best

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        cell = repl(self.cell.replace("{n}", f"{len(self._script)}"))
        self._script = [*self._script, self.best if asked_for_the_best(messages) else cell]
        return await super().complete(messages, max_output_tokens=max_output_tokens, timeout_s=timeout_s)


async def ended_by(error: type[LimitExceeded], model: ScriptedModel, **limits: object) -> Answer:
    with anyio.fail_after(60), pytest.raises(error) as raised:
        await RLM(model, sub_model=ScriptedModel(["ok"] * 500), limits=Limits(**limits)).aask("When?", TEXT)  # type: ignore[arg-type]
    assert raised.value.partial is not None
    return raised.value.partial


@pytest.mark.parametrize(
    ("error", "cell", "limits"),
    [
        (MaxTurnsExceeded, "x = 1", {"max_turns": 3}),
        (SubcallLimitExceeded, "x = llm_query('a')", {"max_subcalls": 2}),
        (TokenLimitExceeded, "print({n}, 'x' * 5_000)", {"max_tokens": 120_000}),
        (TimeLimitExceeded, "while True: pass", {"max_seconds": 2, "cell": CellLimits(cell_timeout_s=2.5)}),
    ],
)
async def test_at_a_limit_the_model_gives_the_best_answer_it_has(
    error: type[LimitExceeded], cell: str, limits: dict[str, object]
) -> None:
    model = Busy(cell)
    partial = await ended_by(error, model, **limits)
    assert (partial.text, partial.value, partial.complete) == ("May, I think", "May, I think", False)
    assert sum(asked_for_the_best(messages) for messages in model.requests) == 1


async def test_the_best_answer_is_paid_for_within_the_limit_of_money() -> None:
    model = Busy("print({n}, 'x' * 5_000)", price=PENNY)
    partial = await ended_by(BudgetExceeded, model, cost_limit_usd="1200")
    assert partial.text == "May, I think"
    assert partial.cost_usd <= 1_200
    assert sum(turn.cost_usd for turn in partial.trajectory) == partial.cost_usd


async def test_what_the_sub_calls_of_a_turn_cost_that_a_limit_ended_is_in_that_turn() -> None:
    sub = ScriptedModel(["x" * 400] * 500, name="sub", price=PENNY)
    root = ScriptedModel([repl("while True:\n    llm_query('a' * 100)")], name="root")
    with pytest.raises(SubcallLimitExceeded) as raised:
        await RLM(root, sub_model=sub, limits=Limits(cost_limit_usd="100000", max_subcalls=7)).aask("?", TEXT)
    partial = raised.value.partial
    assert partial is not None
    assert partial.trajectory[0].cost_usd == partial.cost.recursive_usd == partial.cost_usd > 0


async def test_the_last_call_is_no_turn_but_in_the_trajectory() -> None:
    partial = await ended_by(MaxTurnsExceeded, Busy(), max_turns=3)
    assert partial.turns == 3
    assert [turn.number for turn in partial.trajectory] == [1, 2, 3, 4]
    assert partial.trajectory[-1].reply == "FINAL(May, I think)"


async def test_the_last_call_can_be_switched_off() -> None:
    model = Busy()
    partial = await ended_by(MaxTurnsExceeded, model, max_turns=3, last_answer=False)
    assert (partial.text, partial.value) == ("", None)
    assert not any(map(asked_for_the_best, model.requests))


@pytest.mark.parametrize(
    ("best", "text"),
    [
        ("FINAL(May)", "May"),
        ("It was May.", "It was May."),
        ("FINAL_VAR(x)", "1"),
        (f"{repl('y = 2')}\nFINAL(May)", "May"),
    ],
)
async def test_the_best_answer_may_come_in_any_words(best: str, text: str) -> None:
    assert (await ended_by(MaxTurnsExceeded, Busy(best=best), max_turns=2)).text == text


@pytest.mark.parametrize("best", [repl("print(context)"), "", "FINAL_VAR(nothing)"])
async def test_a_last_reply_without_an_answer_leaves_what_was_said_before(best: str) -> None:
    partial = await ended_by(MaxTurnsExceeded, Busy(best=best), max_turns=2)
    assert (partial.text, partial.value) == ("", None)
    assert partial.trajectory[-2].reply == repl("x = 1")


async def test_code_in_the_last_reply_does_not_run() -> None:
    seen: list[Event] = []
    model = Busy(best=f"{repl('llm_query(1)')}\nFINAL(May)")
    with pytest.raises(MaxTurnsExceeded):
        await RLM(model, limits=Limits(max_turns=2), hooks=[seen.append]).aask("?", TEXT)
    kinds = [event.kind for event in seen]
    assert kinds.count("cell_started") == 2
    assert [kind for kind in kinds if "attempt" not in kind][-4:] == [
        "last_answer_asked",
        "model_requested",
        "model_replied",
        "session_failed",
    ]
    assert [event.reason for event in seen if isinstance(event, LastAnswerAsked)] == [
        "no final answer after 2 turns (max_turns)"
    ]


async def test_a_provider_that_fails_at_the_end_leaves_the_limits_own_error() -> None:
    model = ScriptedModel([repl("x = 1"), ModelError("401: the key is gone")])
    partial = await ended_by(MaxTurnsExceeded, model, max_turns=1)
    assert partial.text == ""
    assert partial.trajectory[0].reply == repl("x = 1")


async def test_a_provider_that_hangs_at_the_end_does_not_hold_the_run_up() -> None:
    class Hanging(Busy):
        async def complete(self, messages, *, max_output_tokens, timeout_s=None):
            if asked_for_the_best(messages):
                await anyio.sleep_forever()
            return await super().complete(messages, max_output_tokens=max_output_tokens, timeout_s=timeout_s)

    with anyio.fail_after(60):
        brief = CellLimits(cell_timeout_s=1.5)  # which is how long the replay takes
        partial = await ended_by(TimeLimitExceeded, Hanging("while True: pass"), max_seconds=1, cell=brief)
    assert partial.text == ""
    assert partial.trajectory[0].reply == repl("while True: pass")


async def test_nothing_is_asked_where_the_limit_is_too_tight_to_set_anything_aside() -> None:
    model = Busy(price=PENNY)
    partial = await ended_by(BudgetExceeded, model, cost_limit_usd="120")
    assert not any(map(asked_for_the_best, model.requests))
    assert partial.cost_usd <= 120


async def test_a_long_conversation_is_cut_to_what_was_set_aside() -> None:
    model = Busy("print({n}, 'y' * 15_000)", price=PENNY)
    await ended_by(BudgetExceeded, model, cost_limit_usd="3000")
    last = model.requests[-1]
    assert asked_for_the_best(last)
    assert len(last) < len(model.requests[-2])
    assert last[0] == model.requests[0][0]
    assert "When?" in last[1].content
    assert [message.role for message in last[1:]] == ["user", "assistant"] * (len(last) // 2 - 1) + ["user"]


async def test_a_reply_that_costs_more_than_was_reserved_ends_the_run_with_its_answer() -> None:
    greedy = ScriptedModel(
        [Completion("FINAL(May)", Usage(10, 0, 900_000, 0, 1), "greedy")], name="greedy", price=PENNY
    )
    partial = await ended_by(BudgetExceeded, greedy, cost_limit_usd="1000", last_answer=False)
    assert partial.cost_usd == Decimal("9000.1")
    assert (partial.text, partial.complete) == ("May", False)


async def test_a_sub_call_that_costs_more_than_was_reserved_ends_the_run() -> None:
    greedy = ScriptedModel([Completion("b", Usage(10, 0, 900_000, 0, 1), "greedy")] * 3, name="greedy", price=PENNY)
    root = ScriptedModel(
        [repl("while True:\n    try:\n        llm_query('a')\n    except BaseException:\n        pass")]
    )
    with anyio.fail_after(60), pytest.raises(BudgetExceeded) as raised:
        await RLM(root, sub_model=greedy, limits=Limits(cost_limit_usd="1000")).aask("?", TEXT)
    assert len(greedy.requests) == 1
    assert raised.value.partial is not None
    assert raised.value.partial.cost.recursive_usd == Decimal("9000.1")


def told(model: ScriptedModel) -> list[str]:
    """Gives what the model was told of limits, in order."""
    return [line for m in model.requests[-1] for line in re.findall(r"^\[LIMITS\].*$", m.content, re.MULTILINE)]


async def test_at_four_fifths_of_the_turns_the_model_is_told_once_to_conclude() -> None:
    model = ScriptedModel([repl("x = 1")] * 9 + ["FINAL(ok)"])
    await RLM(model, limits=Limits(max_turns=10)).aask("?", TEXT)
    assert told(model) == ["[LIMITS] Left: 2 of 10 turns. Conclude now: finish what matters most and give your answer."]
    assert "[LIMITS]" not in model.requests[7][-1].content
    assert "[LIMITS]" in model.requests[8][-1].content


async def test_before_the_last_of_a_few_turns_the_model_is_told() -> None:
    model = ScriptedModel(["Let me think.", "FINAL(ok)"])
    await RLM(model, limits=Limits(max_turns=2)).aask("?", TEXT)
    assert "Left: 1 of 2 turns" in told(model)[0]


@pytest.mark.parametrize(
    ("cell", "limits", "unit"),
    [
        ("x = llm_query('a')", {"max_subcalls": 5}, "sub-calls"),
        ("x = 1", {"max_tokens": 60_000, "last_answer": False}, "tokens"),
        ("x = 1", {"cost_limit_usd": "600", "last_answer": False}, "$"),
    ],
)
async def test_at_four_fifths_of_any_limit_the_model_is_told_what_is_left(
    cell: str, limits: dict[str, object], unit: str
) -> None:
    model = ScriptedModel([repl(cell)] * 99, price=PENNY)
    wanted = Limits(**{"cost_limit_usd": None, "max_turns": 99, **limits})  # type: ignore[arg-type]
    with pytest.raises(LimitExceeded):
        await RLM(model, sub_model=ScriptedModel(["b"] * 20), limits=wanted).aask("?", TEXT)
    lines = told(model)
    assert len(lines) == 1
    assert unit in lines[0]
    left, limit = (float(n) for n in re.findall(r"\d+(?:\.\d+)?", lines[0].replace(",", ""))[:2])
    assert 0 < left / limit <= 0.4  # what the next request takes counts as used


async def test_time_that_runs_short_is_told() -> None:
    model = Busy("x = 1", delay_s=0.15)
    await ended_by(TimeLimitExceeded, model, max_seconds=2, max_turns=1_000)
    assert len([line for line in told(model) if "seconds" in line]) == 1


async def test_every_limit_is_told_of_apart() -> None:
    model = ScriptedModel([repl("x = llm_query('a')")] * 9 + ["FINAL(ok)"])
    await RLM(model, sub_model=ScriptedModel(["b"] * 9), limits=Limits(max_turns=10, max_subcalls=10)).aask("?", TEXT)
    lines = told(model)
    assert len(lines) == 1
    assert "2 of 10 turns" in lines[0]
    assert "2 of 10 sub-calls" in lines[0]


async def test_most_of_what_is_sent_was_sent_before_word_for_word() -> None:
    model = ScriptedModel(
        [f"Looking at part {i}.\n{repl(f'print(context[{i}:] * 40)')}" for i in range(19)] + ["FINAL(ok)"]
    )
    answer = await RLM(model).aask("?", TEXT)
    assert answer.turns == 20
    requests = ["\0".join(f"{m.role}\0{m.content}" for m in messages) for messages in model.requests]
    sent = sum(map(len, requests))
    again = sum(len(before) for before, after in pairwise(requests) if after.startswith(before))
    assert again / sent >= 0.9
