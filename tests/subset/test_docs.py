"""docs/subset.md is true: its code and its commands run, and its table is the interpreter's."""

import json
import re
import subprocess
from pathlib import Path

from preloaded import python_command, rlmbox_command
from rlmbox.sandboxes.subset import grammar
from rlmbox.sandboxes.subset._sandbox import SubsetSandbox
from rlmbox.sandboxes.subset.meter import INT_BITS, StepLimits
from rlmbox.sandboxes.subset.modules import MAX_DECOMPRESSED_BYTES
from rlmbox.sandboxes.subset.service import default_limits
from rlmbox.types import CellLimits

PAGE = (Path(__file__).parents[2] / "docs" / "subset.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]
TEXT = [body for language, body in BLOCKS if language == "text"]


def test_the_table_is_the_interpreters() -> None:
    """Print it anew with `rlmbox subset --spec`."""
    assert TEXT[1] == grammar.as_text(grammar.table())


def test_the_code_prints_what_the_page_says() -> None:
    done = subprocess.run([*python_command(), "-c", PYTHON[0]], capture_output=True, text=True, check=True)
    assert done.stdout == TEXT[0]
    subprocess.run([*python_command(), "-c", PYTHON[1]], check=True)


def test_the_commands_give_the_answers_that_the_page_shows() -> None:
    commands = next(body for language, body in BLOCKS if language == "sh").splitlines()
    answers = next(body for language, body in BLOCKS if language == "json").splitlines()
    for command, expected in zip(commands, answers, strict=True):
        given, options = re.fullmatch(r"echo '(.*)' \| rlmbox (subset.*)", command).groups()
        line = [*rlmbox_command(), *options.split()]
        done = subprocess.run(line, input=given + "\n", capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        del found["state"]
        assert found == json.loads(expected)


def test_the_limits_are_those_of_the_page() -> None:
    assert StepLimits() == StepLimits(
        steps=50_000, memory_bytes=64 * 2**20, call_depth=100, code_chars=20_000, output_chars=2_000
    )
    assert CellLimits().recursion_depth == 1_000
    assert "| `CellLimits.recursion_depth`, 1,000; 100 in `rlmbox subset`; never more than about 1,300 |" in PAGE
    assert (default_limits("strict").pattern_chars, default_limits("wide").pattern_chars) == (1_000, 10_000)
    assert len(str(2**INT_BITS)) == 4_300
    assert MAX_DECOMPRESSED_BYTES == 1_000_000
    assert SubsetSandbox()._limits == default_limits("wide")
