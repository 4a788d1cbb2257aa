"""docs/evaluation.md is true: its commands run one after another, against a local server in a paid model's place."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from preloaded import python_command, rlmbox_command
from rlmbox.cli import eval_plan
from rlmbox.evaluation.graders import _WANTED
from rlmbox.evaluation.loaders import FORMATS
from rlmbox.testing import ProviderReply, ProviderServer

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)[^\n]*\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines()]
ANSWERS = {"penalty": "5 %", "court": "Basel", "pets": "The text does not say."}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    """The provider on loopback, in a folder with the files that the page speaks of."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "contract.txt").write_text("A penalty of 5 % applies to late delivery.\n")
    (corpus / "annex.txt").write_text("The court of Basel decides.\n")
    (tmp_path / "questions.jsonl").write_text(next(body for language, body in BLOCKS if language == "json"))
    (tmp_path / "own.py").write_text("def answer(question, context):\n    return context.text()\n")
    prices = '["openai:gpt-5"]\ninput_usd_per_mtok = "1.25"\noutput_usd_per_mtok = "10"\n'
    (tmp_path / "prices.toml").write_text(prices)
    monkeypatch.chdir(tmp_path)

    def reply(request: object) -> ProviderReply:
        text = " ".join(message.content for message in request.messages)  # type: ignore[attr-defined]
        found = min((text.find(word), answer) for word, answer in ANSWERS.items() if word in text)
        return ProviderReply(found[1] if len(request.messages) == 1 else f"FINAL({found[1]})")  # type: ignore[attr-defined]

    with ProviderServer([reply] * 500) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("RLM_PRICES", str(tmp_path / "prices.toml"))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        yield server


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_the_commands_of_the_page_run_one_after_another(server: ProviderServer, tmp_path: Path) -> None:
    printed = {}
    for command in COMMANDS:
        name, *arguments = shlex.split(command)
        assert name == "rlmbox"
        done = run(*rlmbox_command(), *arguments)
        printed[command] = done.stdout
        assert "Traceback" not in done.stderr
    first = printed[COMMANDS[0]]
    assert re.search(r"direct +\S+ %", first)
    assert "too few to tell" in first
    page = (tmp_path / "report.html").read_text("utf-8")
    HTMLParser().feed(page)
    assert page.count("<svg") == 2
    assert "rlmbox show eval-1.rlm.late.0" in page
    assert not re.search(r"<script|https?://|\bsrc=|\bhref=", page)
    assert len(list((tmp_path / "logs").glob("eval-1_*.eval"))) == 3
    won = (tmp_path / "won.toml").read_text("utf-8")
    assert 'model = "openai:gpt-5"' in won
    assert "# 3 questions, 3 times each:" in won
    asked = len(server.requests)
    run(*rlmbox_command(), "eval", "--resume", "eval-1")
    assert len(server.requests) == asked
    report = json.loads(run(*rlmbox_command(), "eval", "--show", "eval-1", "--json").stdout)
    assert (report["answered"], report["trials"]) == (27, 27)
    assert run(*rlmbox_command(), "show", "eval-1.rlm.late.0").stdout


def test_the_example_in_python_prints_what_was_right(server: ProviderServer) -> None:
    code = next(body for language, body in BLOCKS if language == "python")
    assert run(*python_command(), "-c", code).stdout == "{'direct': 1.0, 'guess': 0.0}\n"


def test_the_page_names_every_grader_option_and_format() -> None:
    for name in (*_WANTED, *eval_plan._KINDS, *(key for options in eval_plan._OPTIONS.values() for key in options)):
        assert f"`{name}" in PAGE, name
    for name in FORMATS:
        assert f"`{name}:FILE`" in PAGE
