"""What a judge may cost is set aside before; what was answered outlives a judge or a grader that fails."""

from decimal import Decimal
from pathlib import Path

import pytest

from evaluations import PRICE, evaluate, questions
from rlmbox.errors import BudgetExceeded, ConfigError, ModelError
from rlmbox.evaluation.arms import DirectArm, OwnArm
from rlmbox.evaluation.journal import read_evaluation
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.report import report_of
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Usage

JUDGED = [Question(f"q{n}", "Who?", "Ada", text="It was Ada.", grader="judge") for n in range(12)]
ADA = OwnArm(lambda question, context: "Ada", name="own")


def judge(*replies: object) -> ScriptedModel:
    return ScriptedModel(list(replies), name="test:judge", price=PRICE, delay_s=0.01)  # type: ignore[arg-type]


def test_judges_at_once_do_not_overshoot_the_limit_together(tmp_path: Path) -> None:
    limit = Decimal("0.03")  # some judgements, each of which may cost a cent
    with pytest.raises(BudgetExceeded):
        evaluate(tmp_path, JUDGED, [ADA], judge=judge(*["RIGHT"] * 2), cost_limit_usd=Decimal("0.0001"))
    model = judge(*["RIGHT. " + "Since it is so. " * 180] * 12)
    with pytest.raises(BudgetExceeded):
        evaluate(tmp_path, JUDGED, [ADA], judge=model, cost_limit_usd=limit, concurrency=12)
    kept = read_evaluation(tmp_path, "eval-1")
    assert len(kept.outcomes) == 12
    assert 0 < len(kept.results) < 12
    assert kept.spent_usd <= limit
    whole = evaluate(tmp_path, JUDGED, [ADA], judge=judge(*["RIGHT"] * 12), cost_limit_usd=Decimal(1))
    assert report_of(whole)["arms"]["own"]["right"] == 12
    assert whole.uncertain_usd == 0


def test_a_judge_that_fails_holds_up_nothing_and_is_asked_again(tmp_path: Path) -> None:
    failing = judge("RIGHT", ModelError("the judge refuses", possibly_billed=True), "RIGHT")
    with pytest.raises(ModelError, match="the judge refuses"):
        evaluate(tmp_path, JUDGED[:3], [ADA], judge=failing, concurrency=1)
    kept = read_evaluation(tmp_path, "eval-1")
    assert (len(kept.outcomes), len(kept.results)) == (3, 2)
    spent = kept.spent_usd
    assert spent > sum(usd for _, usd in kept.grades.values())  # what failed may have been charged for
    whole = evaluate(tmp_path, JUDGED[:3], [ADA], judge=judge("WRONG"))
    assert report_of(whole)["arms"]["own"]["right"] == 2
    assert whole.spent_usd > spent


@pytest.mark.parametrize("said", ["CORRECT", "RIGHT or WRONG, who knows", "I cannot say."])
def test_a_judge_without_a_verdict_is_no_verdict_of_wrong(said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither RIGHT nor WRONG of question q0"):
        evaluate(tmp_path, JUDGED[:1], [ADA], judge=judge(said))
    kept = read_evaluation(tmp_path, "eval-1")
    assert (len(kept.outcomes), kept.results) == (1, [])
    assert kept.spent_usd > 0
    assert kept.uncertain_usd == 0
    whole = evaluate(tmp_path, JUDGED[:1], [ADA], judge=judge("RIGHT. It is wrong to say otherwise."))
    assert report_of(whole)["arms"]["own"]["right"] == 1


@pytest.mark.parametrize("given", [ZeroDivisionError("by zero"), "much", None, 7.0, float("nan")])
def test_a_grader_of_the_users_that_fails_is_named_and_the_answer_is_kept(tmp_path: Path, given: object) -> None:
    def grade(value: object, text: str, question: Question) -> float:
        if isinstance(given, Exception):
            raise given
        return given  # type: ignore[return-value]

    model = ScriptedModel(["0"], price=PRICE)
    with pytest.raises(ConfigError, match=r"grader .* q0"):
        evaluate(tmp_path, questions(1), [DirectArm(model)], own_grader=grade)
    whole = evaluate(tmp_path, questions(1), [DirectArm(model)], own_grader=lambda *_: 1.0)
    assert report_of(whole)["arms"]["direct"]["right"] == 1
    assert len(model.requests) == 1


def test_a_warning_at_the_end_of_a_reply_is_a_note_and_no_part_of_the_answer(tmp_path: Path) -> None:
    read = Usage(input_tokens=11, cached_input_tokens=0, output_tokens=2, reasoning_tokens=0, requests=1)
    model = ScriptedModel([Completion("12", read, "test")])
    [result] = evaluate(tmp_path, [Question("q", "How many?", 12, text="word " * 8_000)], [DirectArm(model)]).results
    assert (result.kind, result.outcome.text) == ("right", "12")
    assert "read only a part of the input, some 11 of" in result.outcome.note
