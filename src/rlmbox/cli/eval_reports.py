"""Reports of a recorded evaluation, printed and written to files."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rlmbox.cli.failing import report as report_error
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.errors import ConfigError, RLMError
from rlmbox.evaluation.comparing import comparison_of
from rlmbox.evaluation.inspect_log import write_inspect_logs
from rlmbox.evaluation.journal import read_evaluation
from rlmbox.evaluation.page import page_of
from rlmbox.evaluation.report import report_of, size_label, table_of
from rlmbox.evaluation.suites import SUITES
from rlmbox.evaluation.writing import settings_file
from rlmbox.guard.visible import printable
from rlmbox.record.stores import default_path
from rlmbox.usage import quantity


def evaluations_folder() -> Path:
    """Return the folder that evaluations are kept in, beside the record of runs."""
    return default_path().parent / "evaluations"


def show_and_print(name: str, *, html: Path | None, inspect: Path | None = None, as_json: bool, debug: bool) -> int:
    """Print the report of an evaluation, and write its page and its logs where they are wanted; return the exit code.

    Args:
        name: The evaluation.
        html: File for the page.
        inspect: Folder for logs that Inspect reads.
        as_json: Print one JSON object.
        debug: Print the traceback of an error.
    """
    try:
        recorded = read_evaluation(evaluations_folder(), name)
        report = report_of(recorded)
        if html is not None:
            _write_text(html, page_of(recorded, report))
        logs = write_inspect_logs(recorded, report, inspect) if inspect is not None else []
    except RLMError as error:
        return report_error(error, as_json=as_json, debug=debug)
    if as_json:
        print_json(report)
        return 0
    _print_report(report)
    if html is not None:
        print(f"page: {html}", file=sys.stderr)  # noqa: T201
    if logs:
        print(f"{len(logs)} logs for Inspect: inspect view --log-dir {inspect}", file=sys.stderr)  # noqa: T201
    return 0


def _print_report(report: Mapping[str, Any]) -> None:
    head, rows = table_of(report)
    console = Console()
    print_table(head, rows, title=f"{report['name']}: {quantity(report['questions'], 'question')}", console=console)
    if len(report["sizes"]) > 1:
        arms = list(report["arms"])
        sizes = [(size_label(row["chars"]), *(_cell(row, arm) for arm in arms)) for row in report["sizes"]]
        print_table(("characters", *arms), sizes, console=console)
    for note in report["notes"]:
        console.print(Text(printable(note)))


def _cell(row: Mapping[str, Any], arm: str) -> str:
    value = row["arms"][arm]["value"]
    if value is None:
        return "cannot" if row["cannot"][arm] else "-"
    return f"{100 * value:.0f} %"


def compare_and_print(names: tuple[str, str], *, as_json: bool, debug: bool) -> int:
    """Print two evaluations beside each other; return the exit code.

    Args:
        names: The evaluations.
        as_json: Print one JSON object.
        debug: Print the traceback of an error.
    """
    try:
        found = comparison_of(*(read_evaluation(evaluations_folder(), name) for name in names))
    except RLMError as error:
        return report_error(error, as_json=as_json, debug=debug)
    if as_json:
        print_json(found)
        return 0
    rows = [(row["arm"], row["before"], row["after"], row["change"]) for row in found["arms"]]
    console = Console()
    print_table(("arm", *names, "difference (95 %)"), rows, console=console)
    for note in found["notes"]:
        console.print(Text(printable(note)))
    return 0


def write_profile_and_print(name: str, path: Path, *, debug: bool) -> int:
    """Write the settings that won in an evaluation into a file; return the exit code.

    Args:
        name: The evaluation.
        path: The file, which must not be there yet.
        debug: Print the traceback of an error.
    """
    try:
        if path.exists():
            raise ConfigError(f"{path} already exists; remove it, or name another file")
        recorded = read_evaluation(evaluations_folder(), name)
        _write_text(path, settings_file(recorded, report_of(recorded)))
    except RLMError as error:
        return report_error(error, as_json=False, debug=debug)
    print(f"written: {path}; it counts where it is called rlmbox.toml, see rlmbox config show")  # noqa: T201
    return 0


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def suites_and_print(*, as_json: bool) -> int:
    """Print the suites that there are; return the exit code.

    Args:
        as_json: Print one JSON object.
    """
    rows = [{"name": each.name, "imitates": each.imitates, "differs": each.differs} for each in SUITES.values()]
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
        return 0
    headings = ("suite", "what it imitates", "how it differs")
    print_table(headings, [tuple(row.values()) for row in rows], folds=headings[1:])
    return 0
