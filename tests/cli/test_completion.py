"""The shell completes commands and options, and the help lists commands by what they are for."""

import os
import re
import subprocess
import sys

import pytest

from rlmbox.cli.grouping import GROUPS

COMMAND = "import sys; sys.argv = ['rlmbox', *sys.argv[1:]]; from rlmbox.cli import main; main()"


def run(*arguments: str, **environment: str) -> str:
    line = [sys.executable, "-c", COMMAND, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    return done.stdout


def test_the_help_lists_each_command_once_below_what_it_is_for() -> None:
    text = run("--help")
    names = {name for group in GROUPS.values() for name in group}
    listed = re.findall(r"^  (\w+)  +\S", text, re.MULTILINE)
    assert sorted(listed) == sorted(names)
    assert [line.rstrip(":") for line in text.splitlines() if line.rstrip(":") in GROUPS] == list(GROUPS)
    assert "More commands" not in text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("rlmbox su", ["subset"]), ("rlmbox subset --pro", ["--profile"]), ("rlmbox mod", ["models"])],
)
def test_what_was_begun_is_completed(typed: str, expected: list[str]) -> None:
    words = typed.split()
    place = str(len(words) - 1)
    found = run(_RLMBOX_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=place)
    assert found.split() == expected


def test_the_script_for_a_shell_is_printed() -> None:
    # Which shell it is is found out of the processes above, of which a test need not have one.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_RLMBOX_COMPLETE=complete_bash" in run("--show-completion", "bash", **named)
