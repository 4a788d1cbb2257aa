"""What is said of a run's spend: its division adds up, and names what is uncertain and what was cached."""

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from rlmbox import RLM, Limits
from rlmbox.errors import ModelError
from rlmbox.events import Event, to_json
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import ScriptedModel
from rlmbox.types import Answer, Completion, Cost, Report, Spend, Usage
from runs import PENNY, repl

LIMITS = Limits(cost_limit_usd="1000000")

SPENDS = st.lists(
    st.builds(
        Spend,
        depth=st.integers(0, 3),
        model=st.sampled_from(["a", "b", "c"]),
        usage=st.builds(
            Usage, st.integers(0, 10**6), st.integers(0, 100), st.integers(0, 10**6), st.integers(0, 100), st.just(1)
        ),
        cost_usd=st.decimals(0, 100, places=6),
        uncertain_usd=st.just(Decimal(0)),
        calls=st.integers(1, 1_000),
    ),
    max_size=12,
)


@given(SPENDS)
def test_every_division_adds_up_to_the_whole(spends: Sequence[Spend]) -> None:
    report = Report.of(spends)
    for parts in (report.by_account, report.by_model, report.by_depth):
        assert sum(part.cost_usd for part in parts) == report.total_usd
        assert sum(part.calls for part in parts) == report.calls
        assert sum(part.tokens for part in parts) == report.usage.total_tokens
        if report.total_usd or report.usage.total_tokens:
            assert abs(sum(part.percent for part in parts) - 100) < 0.1 * len(parts)


def test_what_cost_nothing_is_divided_by_its_tokens() -> None:
    free = [Spend(0, "a", Usage(30), Decimal(0), Decimal(0), 1), Spend(1, "b", Usage(10), Decimal(0), Decimal(0), 1)]
    assert [part.percent for part in Report.of(free).by_model] == [75.0, 25.0]


def test_models_come_with_the_dearest_first() -> None:
    spends = [Spend(0, name, Usage(1), Decimal(usd), Decimal(0), 1) for name, usd in (("a", 1), ("b", 3), ("c", 2))]
    assert [part.name for part in Report.of(spends).by_model] == ["b", "c", "a"]


def test_a_report_of_nothing_says_nothing() -> None:
    assert str(Report()) == str(Report.of([])) == ""


async def answered() -> Answer:
    """A run with a root, a sub-call, a child and the child's own sub-call."""
    cached = Completion("one", Usage(100, 40, 10, 5, 1, 20), "sub")
    sub = ScriptedModel([cached, repl("FINAL(llm_query('deep'))"), "two"], name="sub", price=PENNY)
    root = ScriptedModel([repl("a = llm_query('x')\nFINAL(a + rlm_query('y'))")], name="root", price=PENNY)
    return await RLM(root, sub_model=sub, limits=LIMITS).aask("q", "text")


async def test_an_answer_has_its_spend_by_account_by_model_and_by_depth() -> None:
    answer = await answered()
    report, cost = answer.report, answer.cost
    assert answer.text == "onetwo"
    assert report.calls == answer.usage.requests == 4
    assert [(part.name, part.calls) for part in report.by_account] == [("root", 1), ("recursive", 3)]
    assert [(part.name, part.calls) for part in report.by_depth] == [("depth 0", 1), ("depth 1", 2), ("depth 2", 1)]
    assert {part.name: part.calls for part in report.by_model} == {"root": 1, "sub": 3}
    assert report.total_usd == cost.total_usd == sum(cost.by_depth.values())
    assert cost.by_depth[0] == cost.root_usd
    assert cost.uncertain_usd == 0


async def test_every_kind_of_token_is_counted() -> None:
    usage = (await answered()).usage
    assert (usage.cached_input_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (40, 20, 5)
    assert usage.cached_share == 40 / usage.input_tokens
    assert Usage().cached_share == 0


async def test_a_report_is_readable_lines() -> None:
    lines = str((await answered()).report).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "root",
        "recursive",
        "sub",
        "root",
        "depth 0",
        "depth 1",
        "depth 2",
        "read from the provider's cache",
    ]
    assert all("%" in line for line in lines)


async def test_a_trace_ends_with_the_report() -> None:
    seen: list[Event] = []
    await RLM(ScriptedModel(["FINAL(ok)"], price=PENNY), limits=LIMITS, hooks=[seen.append]).aask("q", "text")
    report = json.loads(json.dumps(to_json(seen[-1])))["answer"]["report"]
    assert report["calls"] == 1
    assert report["by_model"][0]["percent"] == 100.0
    assert Decimal(report["total_usd"]) > 0


async def test_what_may_not_have_been_charged_is_told_apart() -> None:
    broken = ModelError("the connection broke", possibly_billed=True)
    sub = ScriptedModel([broken, "ok"], name="sub", price=PENNY)
    code = "x = llm_query_batched(['a'])\ny = llm_query('b')\nFINAL(y)"
    rlm = RLM(
        ScriptedModel([repl(code)], name="root"),
        sub_model=sub,
        limits=Limits(cost_limit_usd="1000000", max_output_tokens=100),
        retries=RetryPolicy(attempts=1, failures_to_open=0),
    )
    answer = await rlm.aask("q", "text")
    assert answer.cost.uncertain_usd == answer.report.uncertain_usd > 0
    assert answer.cost.uncertain_usd < answer.cost.total_usd
    assert "uncertain" in str(answer.cost)
    assert "uncertain" in str(answer.report)


def test_a_cost_without_doubt_is_one_amount() -> None:
    spend = Spend(0, "a", Usage(1), Decimal("1.5"), Decimal(0), 1)
    assert str(Cost((spend,))) == "$1.5000"
    assert str(Cost((spend,), unknown=True)) == "at least $1.5000"
    doubtful = replace(spend, uncertain_usd=Decimal("0.25"))
    assert str(Cost((doubtful,))) == "$1.5000, of it $0.2500 uncertain"


async def test_what_happens_on_the_way_to_a_reply_is_an_event() -> None:
    seen: list[Event] = []
    stays_away = [ModelError("503: overloaded", retryable=True, status=503) for _ in range(9)]
    sub = ScriptedModel(stays_away, name="sub")
    rlm = RLM(
        ScriptedModel([repl("FINAL(llm_query('a'))")], name="root"),
        sub_model=sub,
        fallback_model=ScriptedModel(["from elsewhere"], name="other"),
        retries=RetryPolicy(attempts=2, base_delay_s=0.001, failures_to_open=0),
        hooks=[seen.append],
    )
    answer = await rlm.aask("q", "text")
    assert answer.text == "from elsewhere"
    (retried,) = (event for event in seen if event.kind == "call_retried")
    (fell_back,) = (event for event in seen if event.kind == "model_fell_back")
    (finished,) = (event for event in seen if event.kind == "subcall_finished")
    assert (retried.number, retried.attempt, retried.model) == (1, 2, "sub")  # type: ignore[attr-defined]
    assert "503" in retried.reason  # type: ignore[attr-defined]
    assert (fell_back.from_model, fell_back.to_model) == ("sub", "other")  # type: ignore[attr-defined]
    assert finished.model == "other"  # type: ignore[attr-defined]
    assert {part.name for part in answer.report.by_model} == {"root", "other"}
