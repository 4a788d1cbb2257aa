"""`rlmbox chat` at a real pseudo-terminal: what a person does at the keyboard, and that the session outlives it."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("pty")

from cli.environment import bare
from cli.terminal import Terminal
from rlmbox.testing import ProviderFault, ProviderServer
from rlmbox.testing.provider_server import ScriptEntry

pytestmark = pytest.mark.usefixtures("interruptible")
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"
PROMPT = "> "
ASKED = "[q]uit: "


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


@pytest.fixture
def chat(tmp_path: Path) -> Callable[..., Terminal]:
    (tmp_path / "contract.txt").write_text("A penalty of 5 % applies to late delivery.\n")

    def start(server: ProviderServer, *options: str) -> Terminal:
        more = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": server.openai_url, "XDG_DATA_HOME": str(tmp_path / "data")}
        command = ["chat", "-c", "contract.txt", "-m", "openai:gpt-5", "--sandbox", "monty", *options]
        return Terminal(*command, environment=bare(**more), folder=tmp_path)

    return start


def told(server: ProviderServer) -> Sequence[str]:
    return [str(request.body) for request in server.requests]


def test_ctrl_c_ends_the_question_and_keeps_session_variables_and_spending(
    chat: Callable[..., Terminal], tmp_path: Path
) -> None:
    script: list[ScriptEntry] = [
        cell("kept = 5\nFINAL(f'kept {kept}')"),
        ProviderFault("hang"),
        cell("started = 1\nprint('running')\nwhile True: pass"),
        cell("FINAL(kept + 1)"),
    ]
    with ProviderServer(script) as server, chat(server, "--cell-timeout", "60") as terminal:
        terminal.expect(PROMPT)
        terminal.type("Which penalty?")
        terminal.expect("kept 5")
        terminal.expect(PROMPT)

        terminal.type("a question whose request hangs")
        terminal.wait_until(lambda: len(server.requests) == 2)
        terminal.press(CTRL_C)
        terminal.expect("the session goes on")
        terminal.expect(PROMPT)

        terminal.type("a question whose cell does not end")
        terminal.wait_until(lambda: len(server.requests) == 3)
        terminal.pause(1.5)
        terminal.press(CTRL_C)
        terminal.expect("the session goes on")
        terminal.expect(PROMPT)

        terminal.type("/vars")
        terminal.expect("kept: int")
        terminal.expect(PROMPT)
        terminal.type("and one more?")
        terminal.expect("6")
        terminal.expect(PROMPT)
        terminal.press_until(CTRL_C, PROMPT)  # with nothing at work: a new line, and nothing else
        terminal.type("/cost")
        tokens = re.search(r"([\d,]+) tokens, at least \$", terminal.until(PROMPT))
        assert tokens, terminal.shown
        assert int(tokens[1].replace(",", "")) > 1_000  # with what may have been charged for the request that was ended
        terminal.type("/save")
        terminal.expect("name a file")
        terminal.type("/save no-such-folder/talk.md")
        terminal.expect("cannot be written")
        terminal.type("/save talk.md")
        terminal.expect(PROMPT)
        terminal.type("/nonsense")
        terminal.expect("/vars shows")
        terminal.expect(PROMPT)  # before it the terminal is not yet read key by key
        terminal.press(CTRL_D)
        assert terminal.end() == 0, terminal.shown
        assert len(server.requests) == 4
    assert "Traceback" not in terminal.shown
    assert (tmp_path / "talk.md").read_text("utf-8") == "## Which penalty?\n\nkept 5\n\n## and one more?\n\n6\n"


def test_lines_are_edited_and_remembered_for_the_next_chat(chat: Callable[..., Terminal], tmp_path: Path) -> None:
    with ProviderServer(cell("FINAL('done')")) as server:
        with chat(server) as terminal:
            terminal.expect(PROMPT)
            terminal.type("Which penalty applies?")
            terminal.expect("done")
            terminal.expect(PROMPT)
            terminal.type("/quit")
            assert terminal.end() == 0
        with chat(server) as terminal:
            terminal.expect(PROMPT)
            terminal.press(UP)
            terminal.press(UP)  # past /quit
            terminal.expect("Which penalty applies?")
            terminal.type(" Say it again.")
            terminal.expect("done")
            terminal.expect(PROMPT)
            terminal.press(CTRL_D)
            assert terminal.end() == 0
        assert "Which penalty applies? Say it again." in told(server)[1]
    history = tmp_path / "data" / "rlmbox" / "chat-history"
    assert history.stat().st_mode & 0o77 == 0


def test_approve_first_asks_until_the_first_yes_and_q_keeps_the_session(chat: Callable[..., Terminal]) -> None:
    script = [
        cell("tried = 1"),
        cell("x = 2"),
        cell("x = x + 1"),
        cell("FINAL(x)"),
    ]
    with ProviderServer(script) as server, chat(server, "--approve", "first") as terminal:
        terminal.expect(PROMPT)
        terminal.type("one?")
        terminal.expect("tried = 1")
        terminal.expect(ASKED)
        terminal.type("q")
        terminal.expect("the session goes on")
        terminal.expect(PROMPT)
        terminal.type("two?")
        terminal.expect("x = 2")
        terminal.expect(ASKED)
        terminal.type("y")
        shown = terminal.until(PROMPT)
        assert "[y]es" not in shown, shown
        assert "3" in shown
        terminal.press(CTRL_D)
        assert terminal.end() == 0, terminal.shown


def test_approve_on_subcalls_asks_of_cells_that_would_spend(chat: Callable[..., Terminal]) -> None:
    script = [cell("x = 1"), cell("y = llm_query('hello')\nFINAL(y)"), "hello back"]
    with ProviderServer(script) as server, chat(server, "--approve", "on_subcalls") as terminal:
        terminal.expect(PROMPT)
        terminal.type("one?")
        shown = terminal.until(ASKED)
        assert "x = 1" not in shown
        assert "llm_query" in shown
        assert len(server.requests) == 2
        terminal.type("y")
        terminal.expect("hello back")
        terminal.expect(PROMPT)
        terminal.press(CTRL_D)
        assert terminal.end() == 0, terminal.shown
