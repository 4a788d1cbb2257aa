"""Comparison of two evaluations over the arms that both have."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.evaluation.journal import Recorded
from rlmbox.evaluation.report import percent, report_of, scores_of
from rlmbox.evaluation.statistics import difference


def comparison_of(before: Recorded, after: Recorded) -> dict[str, Any]:
    """Compare the arms of two evaluations, paired over the questions that both have.

    Args:
        before: The earlier evaluation.
        after: The later evaluation.

    Returns:
        `arms`, a list with `arm`, `before`, `after` and `change` as text, and `difference`, `cost_before_usd` and
        `cost_after_usd` as numbers; and `notes`, a list of strings.

    Raises:
        ConfigError: They have no arm, or no question, in common.
    """
    reports = report_of(before), report_of(after)
    arms = [arm for arm in before.head["arms"] if arm in after.head["arms"]]
    asked = [{each["id"]: each for each in one.head["questions"]} for one in (before, after)]
    same = {name for name in asked[0] if name in asked[1] and _text(asked[0][name]) == _text(asked[1][name])}
    if not arms or not same:
        what = "arm" if not arms else "question"
        raise ConfigError(f"{before.name} and {after.name} have no {what} in common, so they cannot be compared")
    rows = []
    for arm in arms:
        old, new = (
            {name: scores for name, scores in scores_of(one.results, arm).items() if name in same}
            for one in (before, after)
        )
        gap = difference(new, old)
        sure = "" if gap.low > 0 or gap.high < 0 else ", which chance alone can do"
        change = (
            "-"
            if not gap.questions
            else f"{gap.value * 100:+.1f} ({gap.low * 100:+.1f} to {gap.high * 100:+.1f}){sure}"
        )
        figures = [each["arms"][arm] for each in reports]
        rows.append(
            {
                "arm": arm,
                "before": percent(figures[0]["accuracy"]),
                "after": percent(figures[1]["accuracy"]),
                "change": change,
                "difference": None if not gap.questions else [gap.value, gap.low, gap.high],
                "cost_before_usd": str(Decimal(figures[0]["cost_usd"])),
                "cost_after_usd": str(Decimal(figures[1]["cost_usd"])),
            }
        )
    return {"arms": rows, "questions_in_common": len(same), "notes": _notes(before, after, arms, len(same))}


def _text(question: dict[str, Any]) -> tuple[object, ...]:
    return question["question"], str(question["expected"]), question["grader"]


def _notes(before: Recorded, after: Recorded, arms: list[str], same: int) -> list[str]:
    counts = [len(one.head["questions"]) for one in (before, after)]
    notes = [f"{same} questions are in both, of {counts[0]} and {counts[1]}."] if {same} != set(counts) else []
    for one, other in ((before, after), (after, before)):
        alone = [arm for arm in one.head["arms"] if arm not in other.head["arms"]]
        if alone:
            notes.append(
                f"Only {one.name} has {', '.join(alone)}; arms are compared by their names, as in --arm NAME=…"
            )
    for arm in arms:
        old, new = before.head["arms"][arm], after.head["arms"][arm]
        changed = [
            f"{key} {old.get(key)!r} -> {new.get(key)!r}"
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        ]
        if changed:
            notes.append(f"{arm} is not the same in both: {', '.join(changed)}.")
    return notes
