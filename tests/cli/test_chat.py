"""`rlmbox chat` as people use it: questions one after another over one session."""

import subprocess
from pathlib import Path

from cli.environment import bare
from preloaded import rlmbox_command
from rlmbox.testing import ProviderServer


def talk(lines: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*rlmbox_command(), "chat", *arguments],
        input=lines,
        capture_output=True,
        env=bare(OPENAI_API_KEY="sk-x", **environment),
        check=False,
        text=True,
    )


def test_questions_share_their_variables(tmp_path: Path) -> None:
    text = tmp_path / "contract.txt"
    text.write_text("A penalty of 5 % applies to late delivery.\n")
    replies = ["```repl\nfound = 'five'\nFINAL(found)\n```", "```repl\nFINAL(found + ' again')\n```"]
    with ProviderServer(replies) as server:
        url = server.openai_url
        done = talk(
            f"How many?\n/vars\nAnd again?\n/cost\n/save {tmp_path / 'talk.md'}\n/what\n",
            *("-c", str(text), "--model", "openai:gpt-5", "--base-url", url),
        )
    assert done.returncode == 0, done.stderr
    assert "five again" in done.stdout
    assert "found: str" in done.stderr
    assert (tmp_path / "talk.md").read_text() == "## How many?\n\nfive\n\n## And again?\n\nfive again\n"
    assert "Traceback" not in done.stderr


def test_a_further_question_is_no_variable_and_a_cells_own_is_one(tmp_path: Path) -> None:
    text = tmp_path / "contract.txt"
    text.write_text("A penalty of 5 % applies to late delivery.\n")
    replies = ["FINAL(five)", "```repl\nFINAL(query)\n```", "```repl\nquery = 'mine'\nFINAL(query)\n```"]
    with ProviderServer(replies) as server:
        arguments = ("-c", str(text), "--model", "openai:gpt-5", "--base-url", server.openai_url)
        done = talk("How many?\nAnd again?\n/vars\nAnd now?\n/vars\n", *arguments)
    assert "And again?" in done.stdout
    assert done.stderr.count("query: ") == 1


def test_a_question_that_fails_leaves_the_session(tmp_path: Path) -> None:
    text = tmp_path / "contract.txt"
    text.write_text("A penalty of 5 % applies to late delivery.\n")
    replies = [*["hm"] * 4, "no", "FINAL(five)"]
    with ProviderServer(replies) as server:
        done = talk(
            "How many?\nHow many, then?\n/save\n/save /no/such/folder/x\n",
            *("-c", str(text), "--model", "openai:gpt-5", "--base-url", server.openai_url),
        )
    assert done.returncode == 0, done.stderr
    assert "error: the reply had neither code nor an answer 4 times in a row" in done.stderr
    assert "five" in done.stdout
    assert "name a file" in done.stderr
    assert "cannot be written" in done.stderr


def test_a_missing_text_is_one_line(tmp_path: Path) -> None:
    done = talk("", "-c", str(tmp_path / "nothing"))
    assert done.returncode == 2
    assert "nothing" in done.stderr
