"""Logs of an evaluation are such as Inspect writes: checked by the schema that it prints, and by itself where it is."""

import json
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from evaluations import PRICE, evaluate, knowing, questions
from rlmbox.evaluation.arms import DirectArm, OwnArm
from rlmbox.evaluation.inspect_log import write_inspect_logs
from rlmbox.evaluation.outcomes import Arm
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.report import report_of

SCHEMA = json.loads(Path(__file__).with_name("inspect_log.schema.json").read_text())
ODD = Question("a/b ü", "Which?", ["x", "y"], text="x and y")
LONG = Question("long", "What?", "word", text="word " * 40_000)


def fits(name: str, value: object) -> None:
    """Checks a value by a definition of Inspect's schema."""
    Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}).validate(value)


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    def broken(question: str, context: object) -> str:
        raise ZeroDivisionError("by zero")

    arms: list[Arm] = [
        DirectArm(knowing(0.5, price=PRICE)),
        OwnArm(broken, name="bröken"),
        OwnArm(lambda q, c: "x\ny", name="a b"),
    ]
    arms.append(OwnArm(lambda q, c: "\ud800", name="a_b"))
    recorded = evaluate(tmp_path, [*questions(3), ODD, LONG], arms, repeats=2)
    return write_inspect_logs(recorded, report_of(recorded), tmp_path / "new" / "logs")


def read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}


def test_each_arm_is_a_log_by_the_schema_of_inspect(logs: list[Path]) -> None:
    assert len({*logs}) == 4
    for path in logs:
        files = read(path)
        header, summaries = files["header.json"], files["summaries.json"]
        for name, part in (
            ("EvalSpec", "eval"),
            ("EvalPlan", "plan"),
            ("EvalResults", "results"),
            ("EvalStats", "stats"),
        ):
            fits(name, header[part])
        assert files["_journal/start.json"]["eval"] == header["eval"]
        assert len(summaries) == 10
        for summary in summaries:
            fits("EvalSampleSummary", summary)
            sample = files[f"samples/{summary['id']}_epoch_{summary['epoch']}.json"]
            fits("EvalSample", sample)
            assert sample["scores"] == summary["scores"]


def test_scores_failures_and_what_cannot_be_answered_are_told_apart(logs: list[Path]) -> None:
    direct, broken, own, _ = (read(path) for path in logs)
    odd = own["samples/a/b ü_epoch_2.json"]
    assert (odd["scores"]["rlmbox"]["value"], odd["output"]["completion"]) == (1.0, "x\ny")
    assert "ZeroDivisionError" in broken["samples/q0_epoch_1.json"]["error"]["message"]
    figures = direct["header.json"]["results"]["scores"][0]
    values = [each["scores"]["rlmbox"]["value"] for each in direct["summaries.json"] if each["scores"]]
    assert figures["metrics"]["accuracy"]["value"] == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert figures["scored_samples"] == len(values)


def test_one_that_is_not_over_says_so(tmp_path: Path) -> None:
    recorded = evaluate(tmp_path, questions(2), [DirectArm(knowing(1.0))])
    recorded.grades.popitem()
    [path] = write_inspect_logs(recorded, report_of(recorded), tmp_path)
    assert read(path)["header.json"]["status"] == "cancelled"


@pytest.mark.skipif(find_spec("inspect_ai") is None, reason="inspect-ai needs other versions of libraries than rlmbox")
def test_inspect_reads_them(logs: list[Path]) -> None:
    from inspect_ai.log import read_eval_log

    log = read_eval_log(str(logs[2]))
    assert log.status == "success"
    assert {sample.id for sample in log.samples} == {"q0", "q1", "q2", ODD.id, LONG.id}
