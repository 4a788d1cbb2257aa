"""An evaluation keeps its ledger and its file: nothing is asked twice, nothing is lost, what cannot be done is said."""

import asyncio
import os
import signal
import subprocess
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evaluations import PRICE, aevaluate, evaluate, knowing, provider_arms, questions
from preloaded import python_command
from rlmbox import RLM, Limits
from rlmbox.errors import BudgetExceeded, ConfigError, ModelError
from rlmbox.evaluation.arms import DirectArm, OwnAnswer, OwnArm, RlmArm
from rlmbox.evaluation.journal import read_evaluation
from rlmbox.evaluation.outcomes import Arm
from rlmbox.evaluation.passages import RetrievalArm
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.report import report_of
from rlmbox.evaluation.running import check_same, estimate
from rlmbox.guard import Guard
from rlmbox.record.jsonl_store import JsonlStore
from rlmbox.testing import ProviderServer, ScriptedModel

LONG = "word " * 40_000


def test_every_arm_is_asked_every_question_so_many_times(tmp_path: Path) -> None:
    model = knowing(1.0)
    own = OwnArm(lambda question, context: OwnAnswer("0", "0.01"), name="own")
    recorded = evaluate(tmp_path, questions(4), [DirectArm(model), RetrievalArm(model), own], repeats=3)
    asked = Counter((each.arm, each.question) for each in recorded.results)
    assert set(asked.values()) == {3}
    assert len(asked) == 12
    report = report_of(recorded)
    assert report["arms"]["direct"]["right"] == report["arms"]["retrieval"]["right"] == 12
    assert report["arms"]["own"]["right"] == 3
    assert Decimal(report["arms"]["own"]["cost_usd"]) == Decimal("0.12")
    assert Decimal(report["spent_usd"]) == sum(Decimal(arm["cost_usd"]) for arm in report["arms"].values())


def test_what_is_recorded_is_not_asked_again(tmp_path: Path) -> None:
    model = knowing(0.5)
    before = report_of(evaluate(tmp_path, questions(6), [DirectArm(model)]))
    asked = len(model.requests)
    assert report_of(evaluate(tmp_path, questions(6), [DirectArm(model)])) == before
    assert len(model.requests) == asked == 6


def test_a_failure_of_the_provider_is_tried_again_and_what_it_cost_stays_spent(tmp_path: Path) -> None:
    failing = ScriptedModel([ModelError("no such model", possibly_billed=True)], price=PRICE)
    first = evaluate(tmp_path, questions(1), [DirectArm(failing)])
    assert report_of(first)["arms"]["direct"]["failures"] == {"provider": 1}
    spent = first.spent_usd
    again = evaluate(tmp_path, questions(1), [DirectArm(ScriptedModel(["0"], price=PRICE))])
    assert report_of(again)["arms"]["direct"]["right"] == 1
    assert again.spent_usd > spent > 0


def test_a_text_longer_than_the_window_is_cannot_and_not_zero(tmp_path: Path) -> None:
    asked = [Question("long", "What?", "word", text=LONG)]
    model = ScriptedModel(["word"] * 9, window_tokens=8_000)
    arms = [DirectArm(model), DirectArm(model, name="cut", cut="middle"), DirectArm(model, name="head", cut="head")]
    report = report_of(evaluate(tmp_path, asked, arms))
    assert (report["arms"]["direct"]["cannot"], report["arms"]["direct"]["accuracy"]["value"]) == (1, None)
    assert report["arms"]["cut"]["right"] == report["arms"]["head"]["right"] == 1
    assert "direct cannot answer 1 of 1 trials; its accuracy is of the others." in report["notes"]
    assert any("no question in common" in note for note in report["notes"])
    sent = [request[-1].content for request in model.requests]
    assert ["characters are left out here" in text for text in sent].count(True) == 1
    assert all(len(text) < 40_000 for text in sent)


def test_a_cut_text_says_by_which_rule(tmp_path: Path) -> None:
    model = ScriptedModel(["word"], window_tokens=8_000)
    [result] = evaluate(tmp_path, [Question("q", "What?", "word", text=LONG)], [DirectArm(model, cut="head")]).results
    assert "cut to its beginning" in result.outcome.note
    assert "of 200,000 characters were sent" in result.outcome.note


def test_the_limit_of_all_is_kept_and_what_is_answered_stays(tmp_path: Path) -> None:
    model = knowing(1.0, price=PRICE)
    with pytest.raises(BudgetExceeded, match="--resume goes on with a higher --cost-limit"):
        evaluate(tmp_path, questions(200), [DirectArm(model)], cost_limit_usd=Decimal("0.05"), concurrency=4)
    kept = read_evaluation(tmp_path, "eval-1")
    assert 0 < len(kept.results) < 200
    assert kept.spent_usd <= Decimal("0.05")
    asked = len(model.requests)
    whole = evaluate(tmp_path, questions(200), [DirectArm(model)], cost_limit_usd=Decimal(5))
    assert len(whole.results) == 200
    assert len(model.requests) - asked == 200 - len(kept.results)


@pytest.mark.parametrize("arm", [DirectArm, RlmArm, RetrievalArm])
def test_under_a_limit_of_nothing_nothing_is_asked(arm: Any, tmp_path: Path) -> None:
    model = ScriptedModel(["1"] * 9, price=PRICE)
    none = Decimal(0)
    made = arm(RLM(model, sandbox="monty"), run_limit_usd=none) if arm is RlmArm else arm(model)
    with pytest.raises(BudgetExceeded):
        evaluate(tmp_path, questions(2), [made], cost_limit_usd=none)
    assert not model.requests


@pytest.mark.parametrize("kind", [DirectArm, RetrievalArm])
def test_secrets_neither_reach_the_model_nor_the_file_and_answers_are_graded_whole(
    tmp_path: Path, kind: type[DirectArm | RetrievalArm]
) -> None:
    key = "sk-proj-4fK9dLq2ZxV7bN1mC8tR5wYpH3sJ6gAe0uXoQiTz"
    model = ScriptedModel([lambda messages: messages[-1].content.split("key is ")[1].split(" .")[0]])
    asked = [Question("q", f"Whose key is {key} . Quote it.", key, text=f"The key is {key} .", grader="contains")]
    recorded = evaluate(tmp_path, asked, [kind(model)])
    sent = model.requests[0][-1].content
    assert key not in sent  # one placeholder stands for it in the question and in the text
    assert sent.count("key is <REDACTED") == 2
    assert recorded.results[0].kind == "right"
    lines = (tmp_path / "eval-1.jsonl").read_text().splitlines()
    assert not [line for line in lines[1:] if key in line]


def test_a_judge_is_blind_and_its_cost_stands_apart(tmp_path: Path) -> None:
    judge = ScriptedModel(["RIGHT", "WRONG", "wrong."], name="test:judge", price=PRICE)
    asked = [Question("q", "Who?", "Ada", text="It was Ada.", grader="judge")]
    arms = [DirectArm(ScriptedModel(["She: Ada"] * 3, price=PRICE), name="secret-arm-name")]
    report = report_of(evaluate(tmp_path, asked, arms, repeats=3, judge=judge, concurrency=1))
    assert report["arms"]["secret-arm-name"]["right"] == 1
    assert Decimal(report["arms"]["secret-arm-name"]["judge_usd"]) > 0
    assert not any("secret-arm-name" in message.content for request in judge.requests for message in request)
    assert "<answer>\nShe: Ada\n</answer>" in judge.requests[0][-1].content


def test_kinds_of_failure_are_told_apart(tmp_path: Path) -> None:
    def broken(question: str, context: object) -> str:
        raise ZeroDivisionError("by zero")

    rlm = RLM(ScriptedModel(["thinking"] * 9), limits=Limits(max_turns=1, last_answer=False), direct_below_chars=0)
    arms: list[Arm] = [
        OwnArm(broken, name="broken"),
        OwnArm(lambda question, context: "", name="empty"),
        OwnArm(lambda question, context: "no idea", name="wrong"),
        DirectArm(ScriptedModel([ModelError("the model refused to answer")]), name="refused"),
        RlmArm(rlm),
    ]
    report = report_of(evaluate(tmp_path, questions(1), arms))
    kinds = {name: next(iter(arm["failures"])) for name, arm in report["arms"].items()}
    expected = {"broken": "crash", "empty": "no answer", "wrong": "wrong", "refused": "refused", "rlm": "limit"}
    assert kinds == expected


def test_an_estimate_asks_nobody_and_counts_only_what_is_left() -> None:
    from rlmbox.evaluation.running import Plan

    model = knowing(1.0)
    plan = Plan(questions(4), [DirectArm(model), OwnArm(lambda q, c: "", name="own")], repeats=2)
    found = estimate(plan, {("direct", "q0", 0): None})
    assert (found["direct"].requests, found["own"].price_known) == (7, False)
    assert 0 < found["direct"].cost_usd < found["direct"].most_usd
    assert not model.requests


def test_an_evaluation_goes_on_only_with_the_arms_it_was_begun_with(tmp_path: Path) -> None:
    from rlmbox.evaluation.running import Plan

    recorded = evaluate(tmp_path, questions(1), [DirectArm(knowing(1.0))])
    other = Plan(questions(1), [DirectArm(knowing(1.0), guard=Guard("off"))])
    with pytest.raises(ConfigError, match="was started with another guard"):
        check_same(other, recorded)


def test_plans_that_cannot_be_carried_out_are_refused(tmp_path: Path) -> None:
    from rlmbox.evaluation.running import Plan

    model = knowing(1.0)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"arms": []}, "at least one arm"),
        ({"arms": [DirectArm(model), DirectArm(model)]}, "two arms are called 'direct'"),
        ({"questions": questions(1) * 2}, "two questions have the id 'q0'"),
        ({"questions": [Question("q", "What?", "x")]}, "question q has no text"),
        ({"questions": [Question("q", "What?", "x", text="x", grader="judge")]}, "--judge MODEL"),
        ({"repeats": 0}, "repeats must be a whole number"),
        ({"concurrency": 0}, "concurrency must be a whole number"),
    ]
    for changed, message in wrong:
        with pytest.raises(ConfigError, match=message):
            Plan(**{"questions": questions(1), "arms": [DirectArm(model)], **changed})  # type: ignore[arg-type]


def test_a_recorded_run_that_broke_off_goes_on_from_its_record(tmp_path: Path) -> None:
    """A process that ends in the middle of a run leaves its turns, which are not asked for again."""
    store = JsonlStore(tmp_path / "runs.jsonl")
    asked = questions(1)

    tasks: list[asyncio.Task[object]] = []

    def stop(messages: object) -> str:
        tasks[0].cancel()
        return "FINAL(0)"  # it is paid for, and comes in while the process ends

    first = ScriptedModel(["```repl\nprint(1)\n```", stop], price=PRICE, delay_s=0.01)

    def arm(model: ScriptedModel) -> RlmArm:
        return RlmArm(RLM(model, store=store, direct_below_chars=0, sandbox="monty"), store=store)

    async def broken_off() -> None:
        tasks.append(asyncio.create_task(aevaluate(tmp_path, asked, [arm(first)])))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]

    asyncio.run(broken_off())
    second = ScriptedModel([], price=PRICE)
    recorded = evaluate(tmp_path, asked, [arm(second)])
    [result] = recorded.results
    assert (result.kind, len(second.requests), result.outcome.run_id) == ("right", 0, "eval-1.rlm.q0.0")
    assert result.outcome.requests == 2
    assert recorded.uncertain_usd == 0
    store.close()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from typing import Any
from evaluations import aevaluate, provider_arms, questions

url, folder = sys.argv[1:]
print(os.getpid(), flush=True)
asyncio.run(aevaluate(Path(folder), questions(10), provider_arms(url), repeats=2, concurrency=8))
"""


def test_killed_and_resumed_the_table_is_the_same_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    def reply(request: object) -> str:
        asked = request.messages[-1].content.split("What is number ")[1].split("?")[0]  # type: ignore[attr-defined]
        return asked if int(asked) % 3 else "wrong"

    program = f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n{KILLED}"
    with ProviderServer([reply] * 500) as server:
        command = [*python_command(), "-c", program, server.openai_url, str(tmp_path / "one")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        number = int(process.stdout.readline())
        while len(server.requests) < 20 and process.poll() is None:
            time.sleep(0.005)
        os.kill(number, signal.SIGKILL)
        process.communicate()
        broken = read_evaluation(tmp_path / "one", "eval-1")
        done, before = len(broken.results), len(server.requests)
        assert 0 < done < 60
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        # What was under way is sent again with the key it had, by which a provider charges it once.
        keys = Counter(request.headers["idempotency-key"] for request in server.requests)
        assert len(keys) == 60
        assert len(server.requests) - before == 60 - len(broken.outcomes)
        evaluate(tmp_path / "two", questions(10), provider_arms(server.openai_url), repeats=2)
    resumed, whole = (read_evaluation(tmp_path / folder, "eval-1") for folder in ("one", "two"))
    tables = [
        {name: (arm["accuracy"], arm["failures"], arm["cost_usd"]) for name, arm in report_of(each)["arms"].items()}
        for each in (resumed, whole)
    ]
    assert tables[0] == tables[1]
    assert resumed.uncertain_usd >= 0 == whole.uncertain_usd


def test_a_torn_last_line_is_cut_off_and_its_trial_asked_again(tmp_path: Path) -> None:
    model = knowing(1.0)
    evaluate(tmp_path, questions(2), [DirectArm(model)], concurrency=1)
    path = tmp_path / "eval-1.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert len(read_evaluation(tmp_path, "eval-1").results) == 1
    recorded = evaluate(tmp_path, questions(2), [DirectArm(model)])
    assert len(recorded.results) == 2
    assert len(model.requests) == 2  # the answer was whole, only its grade was torn
