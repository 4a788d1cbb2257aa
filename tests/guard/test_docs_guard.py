"""docs/guard.md is true: its code prints what it says, and its numbers are the code's."""

import re
import subprocess
from pathlib import Path

import pytest

from preloaded import python_command
from rlmbox.guard import CopyBudgets, Guard, OutputBounds
from rlmbox.guard.formats import FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "guard.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$\n\n^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("code", "printed"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_prints_what_the_page_says(code: str, printed: str) -> None:
    done = subprocess.run([*python_command(), "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == (printed, "")


def test_every_example_has_its_output() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") == 4


def test_the_table_of_policies_is_what_the_policies_are() -> None:
    rows = {row[0].strip("` "): [cell.strip() for cell in row[1:]] for row in _rows()}
    for policy, budgets in (("redact", CopyBudgets()), ("strict", CopyBudgets.strict())):
        told = f"{budgets.turn_chars:,}; {budgets.run_chars:,} or {budgets.run_share:.0%}; {budgets.longest_chars:,}"
        assert rows[policy][2] == told.replace("%", " %")
    assert Guard("redact").budgets_for("redact").subcall_share is None
    assert CopyBudgets.strict().subcall_share == 0.25
    assert f"under {CopyBudgets().exempt_below_chars:,} characters are exempt" in PAGE


def test_the_numbers_in_the_text_are_the_codes() -> None:
    assert len(FORMATS) >= 290
    assert "of 290 kinds" in PAGE
    assert f"{OutputBounds().turn_chars:,} characters of output in a turn" in PAGE
    assert f"Up to {CopyBudgets().turn_chars:,} characters word for word in a turn" in PAGE


def _rows() -> list[list[str]]:
    return [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| `")]
