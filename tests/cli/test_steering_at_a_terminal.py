"""Approval at a real pseudo-terminal, as a person uses them."""

from pathlib import Path

import pytest

pytest.importorskip("pty")

from cli.environment import bare
from cli.terminal import Terminal
from rlmbox.testing import ProviderServer

CELL = "```repl\n{}\n```"
ASKED = "[q]uit: "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contract.txt").write_text("A penalty of 5 % applies to late delivery.\n")
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\necho "found = \'edited\'" > "$1"\n')
    editor.chmod(0o755)
    return tmp_path


def at_terminal(folder: Path, server: ProviderServer, command: str, *options: str) -> Terminal:
    more = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": server.openai_url, "EDITOR": str(folder / "editor.sh")}
    question = ["Which penalty?"] if command == "ask" else []
    arguments = [command, *question, "-c", "contract.txt", "-m", "openai:gpt-5", "--sandbox", "monty", *options]
    environment = bare(XDG_DATA_HOME=str(folder / "data"), **more)
    return Terminal(*arguments, environment=environment, folder=folder)


def test_a_person_rejects_edits_and_allows_code(folder: Path) -> None:
    replies = [CELL.format(f"found = {n}") for n in range(3)] + ["FINAL_VAR(found)"]
    with ProviderServer(replies) as server, at_terminal(folder, server, "ask", "--approve", "always") as terminal:
        terminal.expect(ASKED)
        terminal.type("what")
        terminal.expect("there are y, n, e, q")
        terminal.type("n")
        terminal.expect("why (the model is told): ")
        terminal.type("not that one")
        terminal.expect("found = 1")
        terminal.expect(ASKED)
        terminal.type("e")
        terminal.expect("found = 2")
        terminal.expect(ASKED)
        terminal.type("y")
        assert terminal.end() == 0, terminal.shown
        told = [str(request.body) for request in server.requests]
    assert "not that one" in told[1]
    assert "A person replaced your code" in told[2]
    assert "edited" in told[2]


@pytest.mark.usefixtures("interruptible")
def test_q_ends_the_run_and_says_how_to_go_on(folder: Path) -> None:
    with (
        ProviderServer([CELL.format("x = 1")]) as server,
        at_terminal(folder, server, "ask", "--approve", "always") as terminal,
    ):
        terminal.expect(ASKED)
        terminal.type("q")
        assert terminal.end() == 130, terminal.shown
    assert "rlmbox resume" in terminal.shown
    assert "Traceback" not in terminal.shown


def test_edits_that_come_to_nothing_ask_again_and_keep_the_run(folder: Path) -> None:
    scripts = {
        "exit 1": "editor.sh ended with 1",
        "exit 0": "the code is as it was",
        'rm "$1"': "the editor did not work",
        r"""printf '\377' > "$1" """: "is not UTF-8",
    }
    replies = [CELL.format("found = 41"), "FINAL_VAR(found)"]
    with ProviderServer(replies) as server, at_terminal(folder, server, "ask", "--approve", "always") as terminal:
        for script, said in scripts.items():
            terminal.expect(ASKED)
            (folder / "editor.sh").write_text(f"#!/bin/sh\n{script}\n")
            terminal.type("e")
            terminal.expect(said)
        terminal.expect(ASKED)
        terminal.type("y")
        assert terminal.end() == 0, terminal.shown
        assert "A person replaced your code" not in str(server.requests[-1].body)
    assert "41" in terminal.shown
