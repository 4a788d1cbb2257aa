"""docs/telemetry.md is true: its code and its command run, and the spans it lists are those there are."""

import os
import re
import subprocess
from pathlib import Path

from preloaded import python_command, rlmbox_command
from rlmbox.telemetry import names
from rlmbox.testing import ProviderServer

PAGE = (Path(__file__).parents[2] / "docs" / "telemetry.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
CODE = "```repl\nsaid = llm_query('Is there a penalty?', context)\n```"


def test_the_program_of_the_page_runs_and_makes_the_spans_of_the_page() -> None:
    with ProviderServer([CODE, "Yes, 5 %.", "FINAL_VAR(said)"]) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "sk-x"}
        done = subprocess.run(
            [*python_command(), "-c", BLOCKS["python"]], capture_output=True, text=True, check=False, env=environment
        )
    assert done.returncode == 0, done.stderr
    answer, *spans = done.stdout.splitlines()
    assert answer == "Yes, 5 %."
    listed = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    shapes = [re.compile(re.escape(each).replace(r"\{model\}", ".+").replace(r"\{function\}", ".+")) for each in listed]
    assert all(any(shape.fullmatch(span) for shape in shapes) for span in spans)
    assert all(any(shape.fullmatch(span) for span in spans) for shape in shapes)


def test_the_command_of_the_page_is_one() -> None:
    command = BLOCKS["sh"].split()
    assert command[:2] == ["rlmbox", "ask"]
    done = subprocess.run([*rlmbox_command(), "ask", "--help"], capture_output=True, text=True, check=True)
    assert command[-1] in done.stdout


def test_the_names_of_the_page_are_those_of_the_code() -> None:
    known = {value for value in vars(names).values() if isinstance(value, str)}
    named = {name.rstrip(".") for name in re.findall(r"`((?:gen_ai|rlmbox)\.[\w.]+)`", PAGE)}
    named |= {"error.type", names.CONTENT_VARIABLE}
    assert named - {"rlmbox"} <= known
