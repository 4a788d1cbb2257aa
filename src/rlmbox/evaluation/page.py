"""The report of an evaluation as a self-contained HTML page, without scripts or external resources."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rlmbox.evaluation.journal import Recorded
from rlmbox.evaluation.outcomes import Result
from rlmbox.evaluation.report import percent, size_label, table_of
from rlmbox.guard.visible import printable
from rlmbox.usage import quantity

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 640, 320, 56, 44, 16, 150
_SHOWN_CHARS = 2_000
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:68rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #ddd;vertical-align:top}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0;background:#f6f6f6;padding:.4rem}
svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#333}
.right{color:#00694a}.wrong{color:#a33b00}details{border-bottom:1px solid #ddd;padding:.3rem 0}summary{cursor:pointer}
@media (prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#242424}
th,td,details{border-color:#444}
svg text{fill:#ccc}.right{color:#4cc79d}.wrong{color:#f08b4f}}
"""


def page_of(recorded: Recorded, report: Mapping[str, Any]) -> str:
    """Return the page, as HTML.

    Args:
        recorded: The evaluation.
        report: Its report.
    """
    name = escape(recorded.name)
    notes = "".join(f"<li>{_text(note)}</li>" for note in report["notes"])
    models = sorted(
        {str(arm.get(key)) for arm in recorded.head["arms"].values() for key in ("model", "sub_model") if arm.get(key)}
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head><body><h1>{name}</h1>"
        f"<p>{report['answered']} of {report['trials']} trials: {quantity(report['questions'], 'question')}, "
        f"{quantity(report['repeats'], 'time')} each. Models: {_text(', '.join(models) or 'none')}. "
        f"Spent: ${float(report['spent_usd']):.4f}.</p>"
        f"{_table(*table_of(report))}<ul>{notes}</ul>"
        f"<h2>Accuracy by length of the text</h2>{by_size_plot(report)}"
        f"<h2>Accuracy by cost</h2>{cost_plot(report)}"
        f"{_settings(recorded)}<h2>Questions</h2>{_questions(recorded)}</body></html>\n"
    )


def _text(text: object) -> str:
    return escape(printable(str(text)))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _settings(recorded: Recorded) -> str:
    rows = [[name, json.dumps(arm, ensure_ascii=False)] for name, arm in recorded.head["arms"].items()]
    return f"<h2>Arms</h2>{_table(['arm', 'settings'], rows)}"


def _frame(inside: str, title: str, marks: str) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    lines = ""
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(share)
        lines += f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#8884"/>'
        lines += f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
    axis = f'<line x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}" stroke="#888"/>'
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}">'
        f"<title>{_text(title)}</title>{lines}{axis}{marks}{inside}</svg>"
    )


def _y(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _BOTTOM - _TOP)


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis."""
    low, high = math.log10(min(values)), math.log10(max(values))
    return (low - 0.3, high + 0.3) if high - low < 0.6 else (low - 0.1, high + 0.1)


def _x(value: float, ends: tuple[float, float]) -> float:
    return _LEFT + (math.log10(value) - ends[0]) / (ends[1] - ends[0]) * (_WIDTH - _RIGHT - _LEFT)


def _mark(x: float, label: str) -> str:
    return f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_text(label)}</text>'


def _legend(at: int, name: str, colour: str) -> str:
    y = _TOP + 12 + at * 18
    left = _WIDTH - _RIGHT + 14
    short = name if len(name) < 20 else f"{name[:18]}…"
    return (
        f'<rect x="{left}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
        f'<text x="{left + 16}" y="{y}">{_text(short)}</text>'
    )


def _point(x: float, interval: Mapping[str, Any], colour: str, said: str) -> str:
    low, high, value = (_y(interval[key]) for key in ("low", "high", "value"))
    return (
        f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{colour}" stroke-width="1.5"/>'
        f'<circle cx="{x:.1f}" cy="{value:.1f}" r="4" fill="{colour}"><title>{_text(said)}</title></circle>'
    )


def by_size_plot(report: Mapping[str, Any]) -> str:
    """Return a plot of the accuracy of each arm by text length, with intervals, as SVG.

    Args:
        report: The report.
    """
    sizes = [row for row in report["sizes"] if row["chars"] > 0]
    if not sizes:
        return "<p>Nothing was measured.</p>"
    ends = _scale([row["chars"] for row in sizes])
    inside = ""
    for at, arm in enumerate(report["arms"]):
        colour, line = _COLOURS[at % len(_COLOURS)], []
        for row in sizes:
            interval = row["arms"][arm]
            if interval["value"] is None:
                continue
            # Arms are slightly offset, so that their intervals can be told apart.
            x = _x(row["chars"], ends) + (at - (len(report["arms"]) - 1) / 2) * 5
            line.append(f"{x:.1f},{_y(interval['value']):.1f}")
            inside += _point(x, interval, colour, f"{arm}, {size_label(row['chars'])}: {percent(interval)}")
        inside += f'<polyline points="{" ".join(line)}" fill="none" stroke="{colour}" stroke-opacity=".6"/>'
        inside += _legend(at, arm, colour)
    marks = "".join(_mark(_x(row["chars"], ends), size_label(row["chars"])) for row in sizes)
    return _frame(inside, "Accuracy by length of the text in characters", marks)


def cost_plot(report: Mapping[str, Any]) -> str:
    """Return a plot of each arm's accuracy by cost per question, as SVG, or a paragraph if nothing has a cost.

    Args:
        report: The report.
    """
    costs = {name: float(arm["cost_per_question_usd"] or 0) for name, arm in report["arms"].items()}
    paid = {
        name: cost for name, cost in costs.items() if cost > 0 and report["arms"][name]["accuracy"]["value"] is not None
    }
    if not paid:
        return "<p>Nothing cost anything, or no price is known.</p>"
    ends = _scale(list(paid.values()))
    inside = ""
    for at, name in enumerate(report["arms"]):
        if name not in paid:
            continue
        interval, colour = report["arms"][name]["accuracy"], _COLOURS[at % len(_COLOURS)]
        inside += _point(_x(paid[name], ends), interval, colour, f"{name}: {percent(interval)}, ${paid[name]:.4f} each")
        inside += _legend(at, name, colour)
    shown = sorted({min(paid.values()), max(paid.values())})
    return _frame(
        inside, "Accuracy by cost of a question", "".join(_mark(_x(cost, ends), f"${cost:.2g}") for cost in shown)
    )


def _questions(recorded: Recorded) -> str:
    by_question: dict[str, list[Result]] = defaultdict(list)
    for result in sorted(recorded.results, key=lambda each: (each.arm, each.repeat)):
        by_question[result.question].append(result)
    return "".join(_question(each, by_question[each["id"]]) for each in recorded.head["questions"])


def _question(question: Mapping[str, Any], results: Sequence[Result]) -> str:
    right = sum(result.kind == "right" for result in results)
    expected = (
        "the text does not say"
        if question["expected"] is None
        else json.dumps(question["expected"], ensure_ascii=False)
    )
    answers = "".join(map(_answer, results))
    return (
        f"<details><summary>{_text(question['id'])}: {_text(question['question'][:300])} "
        f"({right} of {len(results)} right)</summary><p>Expected: {_text(_cut(expected))}</p>"
        f"<table><tbody>{answers}</tbody></table></details>"
    )


def _answer(result: Result) -> str:
    outcome, kind = result.outcome, "right" if result.kind == "right" else "wrong"
    note = f"<p>{_text(_cut(outcome.note))}</p>" if outcome.note else ""
    run = f"<br><code>rlmbox show {_text(outcome.run_id)}</code>" if outcome.run_id else ""
    anchor = f' id="{_text(outcome.run_id)}"' if outcome.run_id else ""
    return (
        f'<tr{anchor}><td>{_text(result.arm)} {result.repeat + 1}</td><td class="{kind}">{_text(result.kind)}'
        f"<br>${outcome.cost_usd:.4f}<br>{outcome.duration_s:.1f} s{run}</td>"
        f"<td><pre>{_text(_cut(outcome.text))}</pre>{note}</td></tr>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} … ({len(text):,} characters)"
