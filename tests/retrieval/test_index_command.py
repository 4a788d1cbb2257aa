"""`rlmbox index` and `--retriever`, as a person calls them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from preloaded import rlmbox_command
from rlmbox.testing import ProviderServer
from runs import repl


def rlmbox(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "XDG_CONFIG_HOME": str(folder), "RLM_STORE": str(folder / "runs.db"), "COLUMNS": "200"}
    return subprocess.run(
        [*rlmbox_command(), *arguments],
        capture_output=True, text=True, check=False, cwd=folder, env={**own, **environment},
    )  # fmt: skip


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "sla.txt").write_text("We promise an uptime of 99.95 % each month.")
    (tmp_path / "corpus" / "hr.txt").write_text("Holidays are thirty days a year.")
    return tmp_path


def test_an_index_is_built_shown_brought_up_to_date_and_asked(corpus: Path) -> None:
    built = rlmbox(corpus, "index", "build", "corpus", "--out", "corpus.idx")
    assert (built.returncode, built.stderr) == (0, "")
    assert built.stdout == "corpus.idx: 2 documents, 2 passages; 2 new or changed, 0 gone, 0 as they were\n"
    (corpus / "corpus" / "new.txt").write_text("A new text.")
    again = json.loads(rlmbox(corpus, "index", "build", "corpus", "--out", "corpus.idx", "--json").stdout)
    assert (again["documents"], again["added"], again["unchanged"]) == (3, 1, 2)
    assert rlmbox(corpus, "index", "show", "corpus.idx").stdout.startswith(
        "documents: 3\npassages: 3\nfields: document (text)"
    )
    nothing = rlmbox(corpus, "index", "show", "corpus.idx", "zyzzyva")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "no passage has any of these words\n")
    found = rlmbox(corpus, "index", "show", "corpus.idx", "uptime")
    assert found.stdout.startswith("sla.txt, characters 0-43")
    with ProviderServer([repl("h = search('uptime')\nFINAL(h[0]['snippet'], sources=h)")]) as server:
        asked = rlmbox(
            corpus, "ask", "What is promised?", "--retriever", "index:corpus.idx", "--model", "openai:gpt-5",
            OPENAI_BASE_URL=server.openai_url, OPENAI_API_KEY="sk-x",
        )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout == "We promise an uptime of 99.95 % each month.\n"
    assert "found in sla.txt, characters 0-43" in asked.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask", "?"], "pass --context PATH, or an index with --retriever"),
        (["ask", "?", "--retriever", "index:none.idx"], "there is no index; build one: rlmbox index build"),
        (["ask", "?", "--retriever", "none.idx"], "an index is index:PATH"),
        (["index", "show", "none.idx"], "there is no index"),
        (["index", "build", "none", "--out", "x.idx"], "none"),
        (["index", "build", "corpus", "--out", "corpus"], "has other files, such as hr.txt; give a folder of its own"),
        (["index", "build", "corpus", "--out", "corpus/sla.txt"], "is a file; an index is a folder"),
        (["index", "build", "corpus", "--out", "x.idx", "--embed", "nothing"], "nothing"),
    ],
)
def test_wrong_input_is_one_line_with_the_remedy(corpus: Path, arguments: list[str], words: str) -> None:
    done = rlmbox(corpus, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert not done.stdout


def test_a_chat_needs_no_text_where_there_is_an_index(corpus: Path) -> None:
    rlmbox(corpus, "index", "build", "corpus", "--out", "corpus.idx")
    with ProviderServer([repl("FINAL(search('uptime')[0]['snippet'])")]) as server:
        command = [*rlmbox_command(), "chat", "--retriever", "index:corpus.idx", "--model", "openai:gpt-5"]
        own = {"OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "sk-x", "RLM_STORE": str(corpus / "runs.db")}
        done = subprocess.run(
            command, input="What is promised?\n", capture_output=True, text=True, check=False, cwd=corpus,
            env={**os.environ, **own},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "We promise an uptime of 99.95 % each month." in done.stdout


def test_a_run_over_an_index_is_forked_and_resumed_with_it(corpus: Path) -> None:
    rlmbox(corpus, "index", "build", "corpus", "--out", "corpus.idx")
    index = ("--retriever", "index:corpus.idx")
    search = repl("h = search('uptime')\nprint(len(h))")
    with ProviderServer([search, repl("FINAL(h[0]['title'])"), repl("FINAL(h[0]['snippet'])")]) as server:
        keys = {"OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "sk-x"}
        asked = rlmbox(
            corpus, "ask", "What is promised?", *index, "--model", "openai:gpt-5", "--run-id", "promises", **keys
        )
        assert (asked.returncode, asked.stdout) == (0, "sla.txt\n"), asked.stderr
        without = rlmbox(corpus, "fork", "promises", "--at", "2", **keys)
        assert (without.returncode, without.stdout) == (2, "")
        assert "the run searches an index" in without.stderr
        assert "name it with --retriever" in without.stderr
        forked = rlmbox(corpus, "fork", "promises", "--at", "2", *index, "--run-id", "again", **keys)
        assert forked.returncode == 0, forked.stderr
        assert forked.stdout == "We promise an uptime of 99.95 % each month.\n"
        resumed = rlmbox(corpus, "resume", "promises", *index, **keys)
        assert (resumed.returncode, resumed.stdout) == (0, "sla.txt\n"), resumed.stderr
        assert rlmbox(corpus, "replay", "promises").stdout == "sla.txt\n"  # which needs no index
    assert len(server.requests) == 3
