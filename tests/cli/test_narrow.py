"""Forty columns, pipes and full disks: nothing is cut that a person needs, and what cannot be written is one line."""

import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from cli.environment import bare
from preloaded import rlmbox_command
from rlmbox.cli.tables import print_table

COMMANDS = (["models"], ["config", "show"], ["runs"], ["profiles"], ["audit", "show"], ["keys", "list"])


def rlmbox(*arguments: str, stdout: object = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*rlmbox_command(), *arguments]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=bare(**environment)
    )


def test_names_and_figures_are_whole_on_forty_columns(tmp_path: Path) -> None:
    models = rlmbox("models", COLUMNS="40").stdout
    for said in ("anthropic:claude-haiku-4-5", "openrouter:openai/gpt-5-mini", "  $ in: 1.25", "  window: 400,000"):
        assert said in models
    profiles = rlmbox("profiles", COLUMNS="40").stdout
    for said in ("deterministic-first", "semantic-batches", "max_subcalls="):
        assert said in profiles
    doctor = rlmbox("doctor", "--sandbox", "monty", COLUMNS="40").stdout
    for said in ("monty\n", "  here: yes", "  host call, µs: ", "  language: "):
        assert said in doctor
    assert "max_history_tokens" in rlmbox("config", "show", COLUMNS="40").stdout
    (tmp_path / "a.txt").write_text("It begins in May.")
    store = str(tmp_path / "runs.db")
    rlmbox("ask", "When does it begin?", "-c", str(tmp_path / "a.txt"), "--run-id", "a-run-of-a-name", RLM_STORE=store)
    runs = rlmbox("runs", COLUMNS="40", RLM_STORE=store).stdout
    assert "a-run-of-a-name" in runs
    assert "When does it begin?" in runs
    assert "\x1b" not in models + runs


@pytest.mark.parametrize("columns", range(20, 130, 5))
def test_a_table_of_columns_that_may_not_be_broken_is_never_cut(columns: int) -> None:
    out = io.StringIO()
    rows = [["jail", "533.0", "all hold"], ["local", "1307.5", "not tried: there is no wall"]]
    headings = ["sandbox", "host call, µs, which is long", "limits of a cell"]
    print_table(headings, rows, right=headings[1:2], console=Console(file=out, width=columns))
    assert all(text in out.getvalue() for text in (*headings[1:], *rows[0], *rows[1]))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    store = str(tmp_path / "runs.db")
    if arguments[0] in ("runs", "audit"):
        (tmp_path / "a.txt").write_text("It begins in May.")
        rlmbox("ask", "When does it begin?", "-c", str(tmp_path / "a.txt"), RLM_STORE=store)
    with Path("/dev/full").open("w") as full:
        done = rlmbox(*arguments, stdout=full, RLM_STORE=store)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the output cannot be written: No space left on device")
    assert done.stderr.count("\n") == 1
