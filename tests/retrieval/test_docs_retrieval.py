"""docs/retrieval.md is true: its example runs, against a local server in a paid model's place."""

import re
import subprocess
from pathlib import Path

import pytest

from preloaded import python_command
from rlmbox.retrieval import PostgresRetriever
from rlmbox.testing import ProviderServer
from runs import repl

PAGE = (Path(__file__).parents[2] / "docs" / "retrieval.md").read_text("utf-8")


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with ProviderServer([repl("h = search('uptime')\nFINAL('99.95 %', sources=h)")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        done = subprocess.run(
            [*python_command(), "-c", block], capture_output=True, text=True, check=False, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 2\n99.95 % ['sla.txt']\n"


def test_the_example_of_a_table_is_a_retriever() -> None:
    (block,) = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    made: dict[str, object] = {}
    exec(block, made)
    assert isinstance(made["retriever"], PostgresRetriever)
