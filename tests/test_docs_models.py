"""The page about models is true: its examples run, against a local server in the paid models' place."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from preloaded import python_command, rlmbox_command
from rlmbox import events
from rlmbox.models.providers import ASSUMED_WINDOW_TOKENS
from rlmbox.models.target import resolve
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import FIRST_TIMEOUT_S
from rlmbox.requests.window import WARNING
from rlmbox.testing import ProviderServer
from rlmbox.testing.provider_wire import ProviderRequest

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAMES = ("anthropic:claude-sonnet-5-5", "anthropic:claude-haiku-4-5", "openai:gpt-5-mini")


def answer(request: ProviderRequest) -> str:
    if request.messages[0].role != "system":
        return "yes, 5 %"
    return "```repl\nFINAL(llm_query('Is there a penalty?', context))\n```"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ProviderServer]:
    """Every provider, on loopback, and the file of prices that the page speaks of."""
    (tmp_path / "prices.toml").write_text(
        "".join(f'["{name}"]\ninput_usd_per_mtok = "3"\noutput_usd_per_mtok = "15"\n' for name in NAMES)
    )
    with ProviderServer(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("OLLAMA_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-x")
        yield server


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_of_the_page_runs(number: int, server: ProviderServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [*python_command(), "-c", EXAMPLES[number]], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    expected = "server None" if "check_reachable" in EXAMPLES[number] else "yes, 5 %"
    assert expected in done.stdout


def test_every_name_of_the_table_is_one_with_the_key_and_the_address_that_it_says() -> None:
    for row in re.findall(r"^\| (`\w+:.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE):
        for name in re.findall(r"`(\w+):", row[0]):
            if row[1] == "none":
                assert resolve(f"{name}:m", None, None).is_local
                continue
            target = resolve(f"{name}:m", "http://127.0.0.1:1", "k")
            if row[1].startswith("`") and "and so on" not in row[1]:
                assert list(target.key_variables) == re.findall(r"`(\w+)`", row[1])
            else:
                assert target.key_variables == (f"{name.upper()}_API_KEY",) or name == "openai"


def test_the_numbers_of_the_page_are_those_of_the_policy() -> None:
    usual = RetryPolicy()
    assert "four attempts" in PAGE
    assert "half of its requests" in PAGE
    assert "ten times in a row" in PAGE
    assert (usual.attempts, usual.extra_share, usual.failures_to_open) == (4, 0.5, 10)
    assert f"{FIRST_TIMEOUT_S:.0f} seconds without a byte" in PAGE
    assert f"{ASSUMED_WINDOW_TOKENS:,} tokens are assumed" in PAGE


def test_the_example_of_the_cache_asks_for_the_same_sub_call_once(server: ProviderServer, tmp_path: Path) -> None:
    example = next(text for text in EXAMPLES if "cache=" in text)
    subprocess.run([*python_command(), "-c", example], check=True, capture_output=True, cwd=tmp_path)
    asked = [request.messages[0].role for request in server.requests]
    assert (asked.count("system"), asked.count("user")) == (2, 1)
    assert (tmp_path / "replies" / "replies.db").is_file()


def test_what_the_page_names_exists() -> None:
    assert WARNING in PAGE
    for name in re.findall(r"The event `(\w+)`|the event `(\w+)`", PAGE):
        assert hasattr(events, "".join(name))


def test_the_commands_for_keys_do_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (block,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ rlmbox ").split() for line in block.splitlines() if line.startswith("$")]
    assert [command[:2] for command in commands] == [["keys", "set"], ["keys", "list"], ["keys", "rm"]]
    for command in commands:
        done = subprocess.run(
            [*rlmbox_command(), *command], input="sk-typed", capture_output=True, text=True, check=True
        )
        assert "openai" in done.stdout
        assert "sk-typed" not in done.stdout + done.stderr
