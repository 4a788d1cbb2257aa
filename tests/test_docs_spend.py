"""docs/spend.md is true: its code and its commands run, against a local server in a paid model's place."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from preloaded import python_command
from rlmbox.testing import ProviderServer

PAGE = (Path(__file__).parents[1] / "docs" / "spend.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [body for language, body in BLOCKS if language == "python"]
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines()]
SCRIPT = ["```repl\nsaid = llm_query('Is there a penalty?', context)\n```", "Yes, 5 %.", "FINAL_VAR(said)"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    """The provider on loopback, with prices from a file, in a folder with the files that the page speaks of."""
    (tmp_path / "contract.txt").write_text("A penalty of 5 % applies to late delivery.\n")
    (tmp_path / "prices.toml").write_text(
        "".join(
            f'["openai:{name}"]\ninput_usd_per_mtok = "1.25"\noutput_usd_per_mtok = "10"\n'
            for name in ("gpt-5", "gpt-5-mini")
        )
    )
    monkeypatch.chdir(tmp_path)
    with ProviderServer(SCRIPT * 4) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("NO_COLOR", "1")
        yield server


def run(*arguments: str) -> str:
    done = subprocess.run([*python_command(), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_limits_prints_answer_cost_and_report(server: ProviderServer) -> None:
    lines = run("-c", PYTHON[0]).splitlines()
    assert lines[0] == "Yes, 5 %."
    assert re.fullmatch(r"\$0\.\d{4}", lines[1])
    assert {line.split(":")[0] for line in lines[2:]} >= {"root", "recursive"}


def test_the_example_of_a_request_that_is_too_dear_says_what_fits(server: ProviderServer) -> None:
    printed = run("-c", PYTHON[1])
    assert re.match(r"False \$0\.0000 is spent .* a prompt of up to some [\d,]+ characters fits\n", printed)


def test_the_example_of_a_limit_that_is_reached_says_which(server: ProviderServer) -> None:
    printed = run("-c", PYTHON[2])
    assert re.fullmatch(r"no final answer after 1 turn \(max_turns\) - 1 turn, \$0\.\d{4}\n", printed)


def test_the_example_of_a_report_prints_its_parts(server: ProviderServer) -> None:
    rows = [line.rsplit(" ", 4) for line in run("-c", PYTHON[3]).splitlines()]
    assert [row[0] for row in rows[:2]] == ["root", "recursive"]
    assert {row[0] for row in rows} == {"root", "recursive", "openai:gpt-5", "openai:gpt-5-mini", "depth 0", "depth 1"}
    assert {(row[0], row[1]) for row in rows} >= {("root", "2"), ("recursive", "1"), ("depth 1", "1")}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_answers(command: str, server: ProviderServer) -> None:
    assert run("-m", *shlex.split(command)).strip() == "Yes, 5 %."


def test_every_limit_that_the_page_names_is_one() -> None:
    from rlmbox import Limits

    first = re.search(r"Limits\((.*?)\)", PYTHON[0])
    assert first is not None
    for name in re.findall(r"(\w+)=", first[1]):
        assert hasattr(Limits(), name)
    assert "$5.00, 30 turns for each session, 200 sub-calls, 3 levels" in PAGE
    usual = Limits()
    assert (str(usual.cost_limit_usd), usual.max_turns, usual.max_subcalls, usual.max_depth) == ("5.00", 30, 200, 3)
