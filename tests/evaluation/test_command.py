"""`rlmbox eval` asks before it spends, stops at its limit, and says what is wrong in one line."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from preloaded import rlmbox_command
from rlmbox.testing import ProviderReply, ProviderServer

PRICES = '["openai:any"]\ninput_usd_per_mtok = "{price}"\noutput_usd_per_mtok = "10"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"id": f"q{n}", "question": f"What is {n}?", "expected": n, "text": f"It is {n}."} for n in range(12)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "prices.toml").write_text(PRICES.format(price="1"))
    return tmp_path


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    def reply(request: object) -> ProviderReply:
        said = request.messages[-1].content.split("What is ")[1].split("?")[0]  # type: ignore[attr-defined]
        return ProviderReply(said, delay_s=0.2)

    with ProviderServer([reply] * 500) as server:
        yield server


def environment(folder: Path, server: ProviderServer) -> dict[str, str]:
    own: Mapping[str, str] = {
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": server.openai_url,
        "RLM_MODEL": "openai:any",
        "RLM_PRICES": "prices.toml",
        "XDG_DATA_HOME": str(folder / "data"),
        "COLUMNS": "160",
        "NO_COLOR": "1",
    }
    return {**os.environ, **own}


def run(folder: Path, server: ProviderServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*rlmbox_command(), "eval", *arguments]
    given = environment(folder, server)
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False, input="")


def test_nobody_to_say_yes_is_a_no(folder: Path, server: ProviderServer) -> None:
    (folder / "prices.toml").write_text(PRICES.format(price="10000"))
    done = run(folder, server, "q.jsonl", "--arm", "direct", "--cost-limit", "100")
    assert (done.returncode, server.requests) == (2, [])
    assert "error: it would cost about $" in done.stderr
    assert "--yes" in done.stderr


def test_what_has_no_price_is_asked_about_and_is_not_said_to_be_free(folder: Path, server: ProviderServer) -> None:
    (folder / "prices.toml").write_text(PRICES.replace("openai:any", "openai:other").format(price="1"))
    done = run(folder, server, "q.jsonl", "--arm", "direct")
    assert (done.returncode, server.requests) == (2, [])
    assert "error: what direct costs is not known; supply the price with --prices FILE" in done.stderr
    done = run(folder, server, "q.jsonl", "--arm", "direct", "--yes")
    assert done.returncode == 0, done.stderr
    assert "not known" in done.stdout.splitlines()[2]
    assert "The price of a model of direct is not known" in " ".join(done.stdout.split())
    assert "$0.00" not in done.stdout
    done = run(folder, server, "q.jsonl", "--arm", "direct", "--arm", "half=direct:cut=head", "--yes")
    done = run(folder, server, "--compare", "eval-1", "eval-2")
    assert "Only eval-2 has half" in done.stdout, done.stderr


def test_at_its_limit_it_stops_shows_what_there_is_and_goes_on_with_more(folder: Path, server: ProviderServer) -> None:
    done = run(folder, server, "q.jsonl", "--arm", "direct", "--cost-limit", "0.0425", "--concurrency", "1")
    assert done.returncode == 5
    assert "--resume goes on with a higher --cost-limit" in done.stderr
    assert "trials are still to do: rlmbox eval --resume eval-1" in done.stdout
    asked = len(server.requests)
    assert 0 < asked < 12
    again = run(folder, server, "--resume", "eval-1", "--cost-limit", "1", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["arms"]["direct"]["right"] == 12
    assert len(server.requests) == 12


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_keeps_what_there_is(folder: Path, server: ProviderServer) -> None:
    command = [*rlmbox_command(), "eval", "q.jsonl", "--arm", "direct", "--concurrency", "1"]
    given = environment(folder, server)
    process = subprocess.Popen(
        command, cwd=folder, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while len(server.requests) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate()
    assert process.returncode == 130, said
    assert "error: interrupted" in said
    assert "go on with it: rlmbox eval --resume eval-1" in said
    assert "eval-1: 12 questions" in printed


def test_a_grader_and_an_arm_of_the_users_own(folder: Path, server: ProviderServer) -> None:
    (folder / "beside.py").write_text("HALF = 0.5\n")
    (folder / "own.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom beside import HALF\n\n"
        "@dataclass\nclass Kept:\n    share: float = HALF\n\n"
        "def answer(question, context):\n    return context.text()\n\n"
        "def grade(value, text, question):\n    return 1.0 if str(question.expected) in text else 0.0\n"
    )
    done = run(folder, server, "q.jsonl", "--arm", "mine=own.py:answer", "--grade-with", "own.py:grade", "--json")
    assert json.loads(done.stdout)["arms"]["mine"]["right"] == 12, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "there is neither a file nor a suite 'nosuch'"),
        ([], "name a file of questions or a suite"),
        (["q.jsonl", "--arm", "foo"], "there is no arm 'foo'"),
        (["q.jsonl", "--arm", "rlm:turns=1"], "has no option 'turns'"),
        (["q.jsonl", "--arm", "direct:cut=tail"], "there is no cut 'tail'"),
        (["q.jsonl", "--arm", "retrieval:k=0"], "k must be a whole number"),
        (["q.jsonl", "--arm", "own.py:f"], "own.py cannot be read"),
        (["niah-single", "--sizes", "1k"], "a size is from 8,000 characters"),
        (["q.jsonl", "--cost-limit", "much"], "must be an amount such as"),
        (["--show", "eval-9"], "there is no evaluation eval-9"),
        (["q.jsonl", "--write-profile", "won.toml"], "name it: --show eval-1"),
        (["--show", "../x"], "an evaluation's name has letters"),
        (["q.jsonl", "--show", "eval-1", "--resume", "eval-1"], "questions and --show and --resume do not go together"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], message: str, folder: Path, server: ProviderServer) -> None:
    done = run(folder, server, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not server.requests
