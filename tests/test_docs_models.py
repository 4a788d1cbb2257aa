"""The page about models is true: its examples run, against a local server in the paid models' place."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlmbox import events
from rlmbox.requests.window import WARNING
from rlmbox.testing import ProviderServer
from rlmbox.testing.provider_wire import ProviderRequest

PAGE = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAMES = ("anthropic:claude-sonnet-4-5", "anthropic:claude-haiku-4-5", "openai:gpt-5-mini")


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
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-x")
        yield server


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_of_the_page_runs(number: int, server: ProviderServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES[number]], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "yes, 5 %" in done.stdout


def test_the_example_of_the_cache_asks_for_the_same_sub_call_once(server: ProviderServer, tmp_path: Path) -> None:
    example = next(text for text in EXAMPLES if "cache=" in text)
    subprocess.run([sys.executable, "-c", example], check=True, capture_output=True, cwd=tmp_path)
    asked = [request.messages[0].role for request in server.requests]
    assert (asked.count("system"), asked.count("user")) == (2, 1)
    assert (tmp_path / "replies" / "replies.db").is_file()


def test_what_the_page_names_exists() -> None:
    assert WARNING in PAGE
    for name in re.findall(r"The event `(\w+)`|the event `(\w+)`", PAGE):
        assert hasattr(events, "".join(name))
