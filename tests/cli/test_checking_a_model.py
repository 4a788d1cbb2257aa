"""`rlmbox doctor --model NAME` as people run it: each step of one tiny question is named, and says what to do."""

from __future__ import annotations

import json
import subprocess

import pytest

from cli.environment import bare
from preloaded import rlmbox_command
from rlmbox.testing import ProviderFault, ProviderRequest, ProviderServer, QuirkServer, http_fault

CODE = "Sure:\n```repl\nreply = llm_query('Reply with the one word: ready')\nFINAL(reply)\n```"


def able(request: ProviderRequest) -> str:
    return CODE if "```repl" in request.messages[-1].content else "ready"


def doctor(url: str, *arguments: str, name: str = "openai:m") -> subprocess.CompletedProcess[str]:
    command = [*rlmbox_command(), "doctor", "--model", name, "--base-url", url, "--sandbox", "monty"]
    return subprocess.run([*command, *arguments], capture_output=True, env=bare(), check=False, text=True)


def found(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[bool | None, str]]:
    return {step["name"]: (step["ok"], step["found"]) for step in json.loads(done.stdout)["steps"]}


def test_a_model_that_works_is_followed_to_a_sub_call_of_its_code() -> None:
    with QuirkServer("ollama", able) as server:
        done = doctor(server.openai_url, name="ollama:qwen3")
    names = [line.split()[1] for line in done.stdout.splitlines()]
    assert names == ["key", "server", "model", "price", "window", "question", "cell", "sub-call"]
    assert 'ok sub-call it answered "ready"' in done.stdout
    assert "not known: 128,000 tokens are assumed" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_json_has_each_step() -> None:
    with ProviderServer(able) as server:
        done = doctor(server.openai_url, "--json", "--window", "8192")
    steps = found(done)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)
    assert steps["window"] == (True, "8,192 tokens")
    assert steps["price"][0] is None
    assert steps["cell"] == (True, "the model's code ran, in monty")


@pytest.mark.parametrize(
    ("url", "name", "step", "words", "code"),
    [
        ("http://127.0.0.1:9/v1", "ollama:qwen3", "server", "ollama serve", 3),
        ("https://api.openai.com/v1", "openai:gpt-5", "key", "OPENAI_API_KEY", 2),
        ("nowhere", "openai:gpt-5", "key", "base URL", 2),
        ("http://127.0.0.1:9/v1", "olama:qwen3", "key", "did you mean ollama:qwen3", 2),
    ],
)
def test_what_is_wrong_ends_the_steps_with_what_to_do(url: str, name: str, step: str, words: str, code: int) -> None:
    done = doctor(url, "--json", name=name)
    last, (ok, said) = list(found(done).items())[-1]
    assert (last, ok, done.returncode) == (step, False, code)
    assert words in said
    assert json.loads(done.stdout)["ok"] is False


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (http_fault(401), "the key was refused"),
        (http_fault(404, message="no such model"), "no such model"),
        (http_fault(429, code="insufficient_quota"), "quota or credit is used up"),
    ],
)
def test_what_the_provider_refuses_is_said_in_its_words(fault: ProviderFault, words: str) -> None:
    with ProviderServer(fault) as server:
        done = doctor(server.openai_url)
    assert words in done.stdout
    assert done.returncode == 3


def test_a_model_that_writes_no_code_is_told_apart_from_one_that_cannot_be_reached() -> None:
    with ProviderServer("I would rather talk.") as server:
        done = doctor(server.openai_url, "--json")
    assert found(done)["cell"][0] is None
    assert "too small" in found(done)["cell"][1]
    assert done.returncode == 0


def test_a_sub_call_that_fails_is_its_own_step() -> None:
    def answer(request: ProviderRequest) -> str | ProviderFault:
        text = able(request)
        alone = len(request.messages) == 1 and request.max_output_tokens != 512
        return http_fault(400, message="no sub-calls here") if text == "ready" and alone else text

    with ProviderServer(answer) as server:
        done = doctor(server.openai_url, "--json")
    steps = found(done)
    assert (steps["cell"][0], steps["sub-call"][0], done.returncode) == (True, False, 3)
    assert "no sub-calls here" in steps["sub-call"][1]


def test_an_option_that_is_wrong_is_one_line() -> None:
    done = doctor("http://127.0.0.1:9/v1", "--window", "large")
    assert done.returncode == 2
    assert "--window takes TOKENS" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
