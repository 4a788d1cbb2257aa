"""Export of an evaluation as logs of Inspect: a `.eval` file per arm, for `inspect view` and `inspect log`.

A `.eval` file is a zip of JSON files: `header.json` with the task and the metrics, `samples/ID_epoch_N.json` for each
trial, and `summaries.json` with a short form of each. A question is a sample, and a repeat an epoch.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlmbox import __version__
from rlmbox.errors import ConfigError
from rlmbox.evaluation.journal import Recorded, plain_name
from rlmbox.evaluation.outcomes import Result

_SCHEMA_VERSION = 2  # of Inspect's logs
_SCORER = "rlmbox"
_LONG_AGO = "1970-01-01T00:00:00+00:00"  # for an evaluation that did not record when it began
_SUMMARY_CHARS = 1_000
_STOPS = {"limit": "max_tokens", "refused": "content_filter", "no answer": "unknown"}


def write_inspect_logs(recorded: Recorded, report: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write an evaluation as logs of Inspect, one per arm, and return their paths.

    Args:
        recorded: The evaluation.
        report: Its report.
        folder: The folder to write to; existing logs of the same evaluation are replaced.

    Raises:
        ConfigError: They cannot be written.
    """
    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for arm in recorded.head["arms"]:
            path = folder / f"{recorded.name}_{plain_name(arm)}.eval"
            new = path.with_suffix(".eval.new")
            with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, value in members_of(recorded, report, arm).items():
                    archive.writestr(name, json.dumps(value, ensure_ascii=True))
            new.replace(path)
            paths.append(path)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    return paths


def members_of(recorded: Recorded, report: Mapping[str, Any], arm: str) -> dict[str, Any]:
    """Return the files of an arm's log, by their name in the zip.

    Args:
        recorded: The evaluation.
        report: Its report.
        arm: The arm.
    """
    asked = {each["id"]: each for each in recorded.head["questions"]}
    results = sorted(
        (each for each in recorded.results if each.arm == arm), key=lambda each: (each.question, each.repeat)
    )
    spec, plan = _spec(recorded, arm), {"name": "plan", "steps": [], "config": {}}
    samples = [_sample(asked[each.question], each, _model(recorded, arm)) for each in results]
    header = {
        "version": _SCHEMA_VERSION,
        "status": "success" if len(results) == len(asked) * recorded.head["repeats"] else "cancelled",
        "eval": spec,
        "plan": plan,
        "results": _results(results, report["arms"][arm], len(asked) * recorded.head["repeats"]),
        "stats": _stats(recorded, results, _model(recorded, arm)),
    }
    return {
        "_journal/start.json": {"version": _SCHEMA_VERSION, "eval": spec, "plan": plan},
        **{f"samples/{each['id']}_epoch_{each['epoch']}.json": each for each in samples},
        "summaries.json": [_summary(each) for each in samples],
        "header.json": header,
    }


def _id(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogatepass")).hexdigest()[:22]


def _model(recorded: Recorded, arm: str) -> str:
    settings = recorded.head["arms"][arm]
    return str(settings.get("model") or f"rlmbox/{settings.get('kind', arm)}")


def _created(recorded: Recorded) -> str:
    return str(recorded.head.get("created") or _LONG_AGO)


def _spec(recorded: Recorded, arm: str) -> dict[str, Any]:
    head = recorded.head
    return {
        "eval_id": _id(recorded.name, arm, "eval"),
        "run_id": _id(recorded.name, "run"),
        "created": _created(recorded),
        "task": arm,
        "task_id": _id(recorded.name, arm, "task"),
        "task_version": 0,
        "task_display_name": f"{recorded.name} {arm}",
        "task_attribs": {},
        "task_args": {},
        "task_args_passed": {},
        "dataset": {
            "name": recorded.name,
            "samples": len(head["questions"]),
            "sample_ids": [each["id"] for each in head["questions"]],
            "shuffled": False,
        },
        "model": _model(recorded, arm),
        "model_generate_config": {},
        "model_args": {},
        "config": {"epochs": head["repeats"], "epochs_reducer": ["mean"]},
        "packages": {"rlmbox": __version__},
        "metadata": {"arm": head["arms"][arm]},
        "scorers": [{"name": _SCORER, "metrics": [{"name": "accuracy"}, {"name": "stderr"}]}],
    }


def _results(results: Sequence[Result], figures: Mapping[str, Any], total: int) -> dict[str, Any]:
    interval = figures["accuracy"]
    metrics = {"accuracy": interval["value"] or 0.0}
    if interval["value"] is not None:
        metrics["stderr"] = (interval["high"] - interval["low"]) / (2 * 1.96)
    scored = sum(each.score is not None for each in results)
    return {
        "total_samples": total,
        "completed_samples": len(results),
        "scores": [
            {
                "name": _SCORER,
                "scorer": _SCORER,
                "reducer": "mean",
                "params": {},
                "scored_samples": scored,
                "unscored_samples": len(results) - scored,
                "metrics": {name: {"name": name, "value": value, "params": {}} for name, value in metrics.items()},
            }
        ],
    }


def _usage(results: Sequence[Result], model: str) -> dict[str, Any]:
    sent = sum(each.outcome.input_tokens for each in results)
    received = sum(each.outcome.output_tokens for each in results)
    if not (sent or received):
        return {}
    cost_usd = float(sum(each.outcome.cost_usd for each in results))
    figures = {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}
    return {model: {**figures, "total_cost": cost_usd}}


def _stats(recorded: Recorded, results: Sequence[Result], model: str) -> dict[str, Any]:
    created = _created(recorded)
    usage = {"model_usage": _usage(results, model), "role_usage": {}}
    return {"started_at": created, "completed_at": created, **usage, "connection_limit_history": []}


def _sample(question: Mapping[str, Any], result: Result, model: str) -> dict[str, Any]:
    outcome = result.outcome
    answered = {"role": "assistant", "content": outcome.text, "source": "generate", "model": model}
    wanted = [question["expected"], *question["accept"]]
    metadata = {
        "context": question["context"],
        "size_chars": result.size_chars,
        "suite": question["suite"],
        "ending": outcome.ending,
        "note": outcome.note,
        "run_id": outcome.run_id,
        "cost_usd": str(outcome.cost_usd),
        "judge_usd": str(result.judge_usd),
    }
    sample: dict[str, Any] = {
        "id": question["id"],
        "epoch": result.repeat + 1,
        "input": question["question"],
        "target": [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in wanted],
        "messages": [{"role": "user", "content": question["question"], "source": "input"}, answered],
        "output": {
            "model": model,
            "choices": [{"message": answered, "stop_reason": _STOPS.get(outcome.ending, "stop")}],
            "completion": outcome.text,
            "time": outcome.duration_s,
        },
        "scores": {},
        "metadata": metadata,
        "store": {},
        "events": [],
        "attachments": {},
        "model_usage": _usage([result], model),
        "role_usage": {},
        "total_time": outcome.duration_s,
        "working_time": outcome.duration_s,
        "uuid": _id(result.arm, result.question, result.repeat),
    }
    if result.score is not None:
        said = outcome.note or result.kind
        score = {"value": result.score, "answer": outcome.text, "explanation": said, "history": []}
        sample["scores"] = {_SCORER: score}
    if outcome.ending in ("crash", "provider"):
        sample["error"] = {"message": outcome.note, "traceback": outcome.note, "traceback_ansi": outcome.note}
    return sample


def _summary(sample: Mapping[str, Any]) -> dict[str, Any]:
    same = (
        "id",
        "epoch",
        "target",
        "metadata",
        "scores",
        "model_usage",
        "role_usage",
        "total_time",
        "working_time",
        "uuid",
    )
    summary = {name: sample[name] for name in same}
    summary["input"] = sample["input"][:_SUMMARY_CHARS]
    summary["metadata"] = {name: str(value)[:_SUMMARY_CHARS] for name, value in sample["metadata"].items()}
    if "error" in sample:
        summary["error"] = sample["error"]["message"]
    return {**summary, "completed": True, "message_count": len(sample["messages"])}
