"""The report of an evaluation: its statistics as JSON, and as a table."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import permutations
from typing import Any

from rlmbox.evaluation.journal import Recorded
from rlmbox.evaluation.outcomes import FAILURES, Result
from rlmbox.evaluation.statistics import (
    Interval,
    accuracy,
    deviation_of,
    difference,
    quantile,
    questions_needed,
    spread_between_repeats,
)
from rlmbox.usage import quantity

Scores = dict[str, list[float]]
"""The scores of the repeats of each question, by its id."""


def scores_of(results: Sequence[Result], arm: str) -> Scores:
    """Return the scores of an arm, without questions that it cannot answer.

    Args:
        results: All results.
        arm: Name of the arm.
    """
    found: Scores = defaultdict(list)
    for each in sorted(results, key=lambda result: result.repeat):
        if each.arm == arm and each.score is not None:
            found[each.question].append(each.score)
    return dict(sorted(found.items()))  # sorted, so that the bootstrap does not depend on the order of the results


def report_of(recorded: Recorded) -> dict[str, Any]:
    """Compute the statistics of an evaluation.

    Args:
        recorded: The content of its file.

    Returns:
        `name`, `questions`, `repeats`, `trials` and `answered`; `arms` with the figures of each arm by name; `pairs`
        with the difference of each pair; `sizes` with the accuracy of each arm by text length; `overtakes`; `suites`;
        `spent_usd` and `uncertain_usd` of the whole ledger; and `notes`, sentences for the user.
    """
    results = recorded.results
    arms = list(recorded.head["arms"])
    count = len(recorded.head["questions"])
    pairs = [_pair(results, ours, theirs) for at, theirs in enumerate(arms) for ours in arms[at + 1 :]]
    report: dict[str, Any] = {
        "name": recorded.name,
        "questions": count,
        "repeats": recorded.head["repeats"],
        "trials": count * len(arms) * recorded.head["repeats"],
        "answered": len(results),
        "arms": {
            arm: {**_arm(results, arm), "price_known": arm not in recorded.head.get("unpriced", ())} for arm in arms
        },
        "pairs": pairs,
        "sizes": by_size(results, arms),
        "suites": _by_suite(recorded, results, arms),
        "spent_usd": str(recorded.spent_usd),
        "uncertain_usd": str(recorded.uncertain_usd),
    }
    report["overtakes"] = overtakes(report["sizes"], arms)
    report["notes"] = _notes(report)
    return report


def _as_json(interval: Interval) -> dict[str, Any]:
    figures = {"value": interval.value, "low": interval.low, "high": interval.high}
    rounded = {name: None if math.isnan(figure) else round(figure, 6) for name, figure in figures.items()}
    return {**rounded, "questions": interval.questions}


def _arm(results: Sequence[Result], arm: str) -> dict[str, Any]:
    ours = [each for each in results if each.arm == arm]
    scored = [each for each in ours if each.score is not None]
    scores = scores_of(ours, arm)
    kinds = Counter(each.kind for each in ours)
    cost_usd = sum((each.outcome.cost_usd for each in scored), Decimal(0))
    right = sum(each.score or 0.0 for each in scored)
    took_s = [each.outcome.duration_s for each in scored]
    return {
        "accuracy": _as_json(accuracy(scores)),
        "spread_between_repeats": spread_between_repeats(scores),
        "trials": len(ours),
        "cannot": kinds.pop("cannot", 0),
        "right": kinds.pop("right", 0),
        "partly": kinds.pop("partly", 0),
        "failures": {kind: kinds[kind] for kind in FAILURES if kinds[kind]},
        "cost_usd": str(cost_usd),
        "cost_per_question_usd": _per(cost_usd, len(scored)),
        "cost_per_right_usd": _per(cost_usd, right),
        "judge_usd": str(sum((each.judge_usd for each in ours), Decimal(0))),
        "latency_median_s": _figure(quantile(took_s, 0.5)),
        "latency_p90_s": _figure(quantile(took_s, 0.9)),
        "input_tokens": sum(each.outcome.input_tokens for each in ours),
        "output_tokens": sum(each.outcome.output_tokens for each in ours),
        "requests": sum(each.outcome.requests for each in ours),
    }


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _per(cost_usd: Decimal, number: float) -> str | None:
    return str(round(cost_usd / Decimal(str(number)), 6)) if number else None


def _pair(results: Sequence[Result], ours: str, theirs: str) -> dict[str, Any]:
    one, other = scores_of(results, ours), scores_of(results, theirs)
    gap = difference(one, other)
    deviation = deviation_of(one, other)
    told = gap.questions > 0 and not gap.low <= 0 <= gap.high
    found: dict[str, Any] = {"arm": ours, "than": theirs, "difference": _as_json(gap), "is_told_apart": told}
    if deviation:
        found["questions_for_10_points"] = questions_needed(0.10, deviation)
        if gap.value:
            found["questions_for_this"] = questions_needed(abs(gap.value), deviation)
    found["in_words"] = _in_words(found, ours, theirs)
    return found


def _in_words(pair: Mapping[str, Any], ours: str, theirs: str) -> str:
    gap = pair["difference"]
    if gap["value"] is None:
        return f"{ours} and {theirs} have no question in common that both can answer, so they cannot be compared."
    points = f"{abs(gap['value']) * 100:.1f} points ({gap['low'] * 100:+.1f} to {gap['high'] * 100:+.1f})"
    which = f"better than {theirs}" if gap["value"] > 0 else f"worse than {theirs}"
    if pair["is_told_apart"]:
        return f"{ours} is {which} by {points} over {quantity(gap['questions'], 'question')}."
    are = "is" if gap["questions"] == 1 else "are"
    said = f"{quantity(gap['questions'], 'question')} {are} too few to tell {ours} from {theirs}"
    if not gap["value"]:
        needed = pair.get("questions_for_10_points")
        return f"{said}: no difference was seen" + (
            f"; one of 10 points would take some {needed} questions." if needed else "; ask more questions."
        )
    needed = pair.get("questions_for_this")
    more = f"; if it is as large as that, some {needed:,} questions would show it" if needed else ""
    return f"{said}: {ours} looks {which} by {points}, which chance alone can do{more}."


def size_label(chars: int) -> str:
    """Format a length as on the command line, such as `32k` or `1M`.

    Args:
        chars: Length in characters.
    """
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if chars >= unit * 0.95:
            return f"{chars / unit:.3g}{name}"
    return str(chars)


def _bucket(chars: int) -> int:
    """Round a length on a logarithmic scale with two steps per factor of ten, to group similar lengths."""
    return round(2 * math.log10(max(chars, 1)))


def by_size(results: Sequence[Result], arms: Sequence[str]) -> list[dict[str, Any]]:
    """Return the accuracy of each arm by text length, shortest first.

    Args:
        results: All results.
        arms: Names of the arms.
    """
    buckets: dict[int, list[Result]] = defaultdict(list)
    for each in results:
        buckets[_bucket(each.size_chars)].append(each)
    rows = []
    for _, within in sorted(buckets.items()):
        chars = int(statistics.median(each.size_chars for each in within))
        each_arm = {arm: _as_json(accuracy(scores_of(within, arm))) for arm in arms}
        cannot = {arm: sum(each.arm == arm and each.score is None for each in within) for arm in arms}
        rows.append({"chars": chars, "label": size_label(chars), "arms": each_arm, "cannot": cannot})
    return rows


def overtakes(sizes: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> list[dict[str, Any]]:
    """Return the text lengths from which one arm overtakes another.

    Each length lies between two measured ones: where the difference, interpolated over the logarithm of the length,
    crosses zero; or, if the other arm can no longer answer, it is the shortest length at which it cannot.

    Args:
        sizes: What `by_size` returned.
        arms: Names of the arms.
    """
    return [
        {"arm": ours, "overtakes": theirs, **crossing}
        for ours, theirs in permutations(arms, 2)
        if (crossing := _crossing(sizes, ours, theirs)) is not None
    ]


def _crossing(sizes: Sequence[Mapping[str, Any]], ours: str, theirs: str) -> dict[str, Any] | None:
    before: tuple[int, float] | None = None
    for row in sizes:
        mine, other = (row["arms"][arm]["value"] for arm in (ours, theirs))
        if mine and other is None and row["cannot"][theirs]:
            return {"chars": row["chars"], "why": "cannot", "is_told_apart": True} if before is not None else None
        if mine is None or other is None:
            continue
        gap = mine - other
        if before is not None and before[1] <= 0 < gap:
            share = before[1] / (before[1] - gap)
            chars = round(math.exp(math.log(before[0]) * (1 - share) + math.log(row["chars"]) * share))
            apart = row["arms"][ours]["low"] > row["arms"][theirs]["high"]
            return {"chars": chars, "why": "better", "is_told_apart": apart}
        before = (max(row["chars"], 1), gap)
    return None


def _by_suite(recorded: Recorded, results: Sequence[Result], arms: Sequence[str]) -> dict[str, Any]:
    suites = {question["id"]: question["suite"] for question in recorded.head["questions"]}
    names = list(dict.fromkeys(name for name in suites.values() if name))
    return {
        name: {
            arm: _as_json(accuracy(scores_of([each for each in results if suites.get(each.question) == name], arm)))
            for arm in arms
        }
        for name in names
    }


def _notes(report: Mapping[str, Any]) -> list[str]:
    notes = [pair["in_words"] for pair in report["pairs"]]
    for each in report["overtakes"]:
        how = "which cannot answer there" if each["why"] == "cannot" else "by the accuracies at the lengths around it"
        sure = "" if each["is_told_apart"] else "; the intervals there overlap, so more questions are needed to be sure"
        notes.append(
            f"{each['arm']} overtakes {each['overtakes']} at some {size_label(each['chars'])} characters, {how}{sure}."
        )
    for name, arm in report["arms"].items():
        if arm["cannot"]:
            notes.append(
                f"{name} cannot answer {arm['cannot']} of {arm['trials']} trials; its accuracy is of the others."
            )
        if "provider" in arm["failures"]:
            notes.append(
                f"{name}: {arm['failures']['provider']} trials failed at the provider; --resume tries them again."
            )
    unpriced = [name for name, arm in report["arms"].items() if not arm["price_known"]]
    if unpriced:
        notes.append(f"The price of a model of {', '.join(unpriced)} is not known; --prices FILE names it.")
    if report["repeats"] == 1:
        notes.append("Nothing was repeated, so the spread between runs is not known; --repeat 3 shows it.")
    if report["answered"] < report["trials"]:
        left = report["trials"] - report["answered"]
        notes.append(f"{left} of {report['trials']} trials are still to do: rlmbox eval --resume {report['name']}")
    if Decimal(report["uncertain_usd"]):
        notes.append(
            f"Up to ${Decimal(report['uncertain_usd']):.4f} more for what was under way when it was stopped: nobody"
            " knows whether it was charged."
        )
    return notes


def percent(interval: Mapping[str, Any]) -> str:
    """Format an accuracy with its interval for the table.

    Args:
        interval: An interval from `report_of`.
    """
    if interval["value"] is None:
        return "-"
    return f"{interval['value'] * 100:.1f} % ({interval['low'] * 100:.0f}-{interval['high'] * 100:.0f})"


def table_of(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table, one per arm.

    Args:
        report: From `report_of`.
    """
    head = ["arm", "right (95 %)", "between runs", "failures", "cannot", "cost", "per right", "median", "p90"]
    rows = []
    for name, arm in report["arms"].items():
        spread, per = arm["spread_between_repeats"], arm["cost_per_right_usd"]
        judge, priced = Decimal(arm["judge_usd"]), arm["price_known"]
        rows.append(
            [
                name,
                percent(arm["accuracy"]),
                "-" if spread is None else f"{spread * 100:.1f}",
                ", ".join(f"{number} {kind}" for kind, number in arm["failures"].items()) or "-",
                str(arm["cannot"] or "-"),
                (f"${Decimal(arm['cost_usd']):.4f}" if priced else "not known")
                + (f" + ${judge:.4f} judge" if judge else ""),
                "-" if per is None or not priced else f"${Decimal(per):.4f}",
                _seconds(arm["latency_median_s"]),
                _seconds(arm["latency_p90_s"]),
            ]
        )
    return head, rows


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"
