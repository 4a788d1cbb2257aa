"""The settings that an evaluation recommends, as a settings file with the evidence in comments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.evaluation.journal import Recorded
from rlmbox.evaluation.report import percent, size_label
from rlmbox.usage import quantity

_KEYS = ("profile", "sandbox", "sub_model", "model")


def settings_file(recorded: Recorded, report: Mapping[str, Any]) -> str:
    """Return a settings file in TOML: the best profile, and the length below which a direct call is better.

    Args:
        recorded: The evaluation.
        report: Its report.

    Raises:
        ConfigError: No arm was measured that settings could be derived from.
    """
    arms = recorded.head["arms"]
    ours = [name for name, each in arms.items() if each.get("kind") == "rlm" and report["arms"][name]["right"]]
    if not ours:
        raise ConfigError(f"{recorded.name} has no arm rlm with a right answer, so there is nothing to write")
    best = max(ours, key=lambda name: _merit(report, name))
    below, why = _threshold(arms, report, best)
    lines = [
        f"# Written by rlmbox eval --write-profile from {recorded.name}.",
        f"# {quantity(report['questions'], 'question')}, {quantity(report['repeats'], 'time')} each:",
        *(
            f"#   {_line(name)}: {percent(each['accuracy'])}, {_dollars(each)} each"
            for name, each in report["arms"].items()
        ),
        *(f"# {_line(note)}" for note in report["notes"]),
        "",
        f"# {_line(best)} is the arm of rlmbox that was right most often, and the cheapest of those.",
    ]
    lines += [f"{key} = {json.dumps(arms[best][key])}" for key in _KEYS if arms[best].get(key)]
    lines += [
        f"# {_line(why)}",
        f"direct_below_chars = {below}" if below is not None else "# direct_below_chars = 8000",
    ]
    return "\n".join(lines) + "\n"


def _merit(report: Mapping[str, Any], name: str) -> tuple[float, float]:
    arm = report["arms"][name]
    return arm["accuracy"]["value"] or 0.0, -float(arm["cost_usd"])


def _dollars(arm: Mapping[str, Any]) -> str:
    return f"${float(arm['cost_per_question_usd'] or 0):.4f}" if arm["price_known"] else "an unknown price"


def _line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _threshold(arms: Mapping[str, Any], report: Mapping[str, Any], best: str) -> tuple[int | None, str]:
    """Return the length below which a text is sent whole, and the reason; None if the evidence supports none."""
    direct = [name for name, each in arms.items() if each.get("kind") == "direct"]
    if not direct:
        return None, "No direct call was measured, so where it pays to send a text as a whole is not known."
    rival = max(direct, key=lambda name: _merit(report, name))
    last = 0
    for row in report["sizes"]:
        mine, other = row["arms"][best], row["arms"][rival]
        if other["value"] is None or (mine["value"] is not None and other["value"] < mine["value"]):
            where = size_label(row["chars"])
            shown = "cannot answer" if other["value"] is None else f"is right in {percent(other)}"
            crossing = _crossing(report, best, rival) or row["chars"]
            below = max(last, min(crossing, row["chars"])) if last else 0
            return below, f"At {where} characters {_line(rival)} {shown}, {_line(best)} in {percent(mine)}."
        last = row["chars"]
    return last + 1, f"Up to {size_label(last)} characters, the longest that was measured, {_line(rival)} is as good."


def _crossing(report: Mapping[str, Any], ours: str, theirs: str) -> int | None:
    found = (each["chars"] for each in report["overtakes"] if (each["arm"], each["overtakes"]) == (ours, theirs))
    return next(found, None)
