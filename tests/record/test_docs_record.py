"""docs/record.md is true: its code and its commands run, against a local server in a paid model's place."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.environment import bare
from preloaded import python_command, rlmbox_command
from rlmbox.testing import ProviderServer

PAGE = (Path(__file__).parents[2] / "docs" / "record.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines()]
SCRIPT = ["```repl\nsaid = llm_query('Is there a penalty?', context)\n```", "Yes, 5 %.", "FINAL_VAR(said)"]


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with ProviderServer(SCRIPT) as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path, server: ProviderServer) -> dict[str, str]:
    (tmp_path / "contract.txt").write_text("A penalty of 5 % applies to late delivery.\n")
    (tmp_path / "cell.py").write_text("FINAL('no penalty')\n")
    return bare(
        OPENAI_BASE_URL=server.openai_url,
        OPENAI_API_KEY="sk-x",
        XDG_DATA_HOME=str(tmp_path / "data"),
        RLM_SANDBOX="monty",
    ) | {"RLM_STORE": ""}


def run(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_work_one_after_another(tmp_path: Path, environment: dict[str, str]) -> None:
    printed = []
    for line in COMMANDS:
        words, _, into = line.partition(" > ")
        printed.append(run(tmp_path, environment, *rlmbox_command(), *shlex.split(words)[1:]))
        if into:
            (tmp_path / into).write_text(printed[-1])
    assert printed[0].startswith("Yes, 5 %.")
    assert printed[1].startswith("Yes, 5 %.")
    assert "audit-7" in printed[2]
    assert "question: Is there a penalty?" in printed[3]
    assert printed[4].startswith("Yes, 5 %.")
    assert printed[5].startswith("no penalty")
    assert '"messages"' in printed[6]
    assert printed[9] == printed[3]
    assert (tmp_path / "data" / "rlmbox" / "runs.db").exists()


def test_the_examples_in_python_work(tmp_path: Path, environment: dict[str, str]) -> None:
    assert run(tmp_path, environment, *python_command(), "-c", PYTHON[0]) == "no penalty\n"
    trace = run(tmp_path, environment | {"RLM_STORE": "runs.db"}, *rlmbox_command(), "export", "audit-7")
    (tmp_path / "trace.json").write_text(trace)
    lines = run(tmp_path, environment, *python_command(), "-c", PYTHON[1]).splitlines()
    assert lines[0].startswith("audit-7: answered, $")
    assert re.fullmatch(r"[\d.]+ None 2", lines[-1])
