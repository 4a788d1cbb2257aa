"""What the command does with recorded runs, as people run it."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.environment import bare
from preloaded import rlmbox_command
from rlmbox.testing import ProviderRequest, ProviderServer

CONTRACT = "The contract begins in May.\n\nA penalty of 5 % applies to late delivery.\n\nIt ends in June.\n"
SCRIPT = [
    "```repl\nfound = context.find('penalty')\nprint(found)\n```",
    "```repl\nsaid = llm_query('Is there a penalty?', context)\nprint(said)\n```",
    "Yes, 5 %.",
    "FINAL_VAR(said)",
]


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with ProviderServer(SCRIPT + ["FINAL(another)"] * 8) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "contract.txt").write_text(CONTRACT)
    return tmp_path


def rlmbox(folder: Path, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [*rlmbox_command(), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=bare(RLM_STORE=str(folder / "runs.db"), OPENAI_API_KEY="sk-not-to-be-seen", **environment),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def asked(folder: Path, server: ProviderServer, *more: str, code: int = 0) -> tuple[str, str]:
    of_model = ("--model", "openai:llama3", "--base-url", server.openai_url, "--sandbox", "monty")
    return rlmbox(
        folder, "ask", "Is there one?", "-c", "contract.txt", "--run-id", "audit", *of_model, *more, code=code
    )


def test_a_run_can_be_listed_shown_replayed_forked_exported_and_removed(folder: Path, server: ProviderServer) -> None:
    out, _ = asked(folder, server, "--json")
    answer = json.loads(out)
    assert answer["run_id"] == "audit"
    assert "lines fit" in rlmbox(folder, "audit", "verify", "audit", "--head", answer["audit_head"])[0]
    table, _ = rlmbox(folder, "runs")
    assert "audit" in table
    assert "answered" in table
    assert json.loads(rlmbox(folder, "runs", "--json", "--status", "answered")[0])[0]["question"] == "Is there one?"
    assert json.loads(rlmbox(folder, "runs", "--json", "--status", "stopped")[0]) == []

    tree, _ = rlmbox(folder, "show", "audit")
    assert "question: Is there one?" in tree
    assert "1 sub-call to openai:llama3" in tree
    assert "answer: Yes, 5 %." in tree
    turn, _ = rlmbox(folder, "show", "audit", "--turn", "2")
    assert "said = llm_query" in turn
    assert json.loads(rlmbox(folder, "show", "audit", "--json")[0])["status"] == "answered"

    before = len(server.requests)
    again, _ = rlmbox(folder, "replay", "audit", "--json")
    assert json.loads(again) == answer
    resumed, _ = rlmbox(folder, "resume", "audit", "--json")
    assert json.loads(resumed) == answer
    assert len(server.requests) == before

    (folder / "cell.py").write_text("said = 'edited'\nFINAL(said)\n")
    forked, _ = rlmbox(folder, "fork", "audit", "--at", "2", "--edit", "cell.py", "--run-id", "other", "--json")
    assert json.loads(forked)["text"] == "edited"
    assert len(server.requests) == before
    assert "forked from audit" in rlmbox(folder, "show", "other")[0]
    of_limits: tuple[str, ...] = (
        "--max-turns",
        "7",
        "--max-depth",
        "0",
        "--max-subcalls",
        "9",
        "--max-tokens",
        "90000",
    )
    of_limits += ("--max-seconds", "60", "--no-last-answer", "--cell-timeout", "3", "--memory", "64")
    anew = ("fork", "audit", "--at", "3", "--run-id", "fresh", "--json")
    # What is set here is for new runs, and not for one that was recorded.
    fresh, _ = rlmbox(folder, *anew, *of_limits, RLM_MODEL="openai:another", RLM_MAX_TURNS="1")
    assert json.loads(fresh)["text"] == "another"
    assert len(server.requests) == before + 1
    settings = json.loads(rlmbox(folder, "export", "fresh")[0].splitlines()[0])["settings"]
    assert (settings["model"], settings["limits"].pop("cell")["memory_bytes"]) == ("openai:llama3", 64 * 2**20)
    assert (
        settings["limits"].items() >= {"max_turns": 7, "max_depth": 0, "max_subcalls": 9, "last_answer": False}.items()
    )
    assert (
        "--memory must be a number above 0" in rlmbox(folder, "fork", "audit", "--at", "3", "--memory", "-1", code=2)[1]
    )

    trace, _ = rlmbox(folder, "export", "audit")
    assert all(json.loads(line)["run_id"] == "audit" for line in trace.splitlines())
    examples = [json.loads(line) for line in rlmbox(folder, "export", "audit", "--format", "sft")[0].splitlines()]
    assert [each["messages"][-1]["content"] for each in examples] == SCRIPT
    report, _ = rlmbox(folder, "export", "audit", "--format", "md")
    assert report.startswith("# Is there one?\n")

    files, _ = rlmbox(folder, "show", "other", "--evidence", "--evidence-dir", "why")
    assert (folder / "why" / "last_code.py").read_text() == "said = 'edited'\nFINAL(said)\n\n"
    assert "why/trace.json" in files
    assert "monty" in (folder / "why" / "doctor.txt").read_text()
    assert not [p for p in (folder / "why").iterdir() if "sk-not-to-be-seen" in p.read_text()]

    rlmbox(folder, "rm", "audit")
    assert "there is no status 'done'; there are answered" in rlmbox(folder, "runs", "--status", "done", code=2)[1]
    assert "there is no run 'audit'" in rlmbox(folder, "show", "audit", code=1)[1]


def test_a_run_whose_process_is_killed_is_resumed(folder: Path, server: ProviderServer) -> None:
    of_model = ("--model", "openai:llama3", "--base-url", server.openai_url, "--sandbox", "monty")
    child = subprocess.Popen(
        [*rlmbox_command(), "ask", "Is there one?", "-c", "contract.txt", "--run-id", "audit", *of_model],
        cwd=folder,
        env=bare(RLM_STORE=str(folder / "runs.db"), OPENAI_API_KEY="sk-x"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while len(server.requests) < 2 and child.poll() is None:
        time.sleep(0.005)
    child.kill()
    child.wait()
    moved = (folder / "contract.txt").rename(folder / "moved.txt")
    _, said = rlmbox(folder, "resume", "audit", code=2)
    assert "contract.txt has changed since the run began, or is gone" in said
    (folder / "other.txt").write_text(CONTRACT.replace("June", "July"))
    _, said = rlmbox(folder, "resume", "audit", "--context", "other.txt", code=2)
    assert "other.txt is not what the run was started with" in said
    out, _ = rlmbox(folder, "resume", "audit", "--context", moved.name, "--max-turns", "9", "--json")
    assert json.loads(out)["complete"]
    assert json.loads(rlmbox(folder, "replay", "audit", "--json")[0]) == json.loads(out)


def test_a_request_that_was_under_way_is_sent_again_under_the_same_idempotency_key(folder: Path) -> None:
    hangs = threading.Event()

    def second(_request: ProviderRequest) -> str:
        hangs.set()
        time.sleep(5 if len(provider.requests) == 2 else 0)
        return SCRIPT[1]

    with ProviderServer([SCRIPT[0], second, second, *SCRIPT[2:]]) as provider:
        of_model = ("--model", "openai:llama3", "--base-url", provider.openai_url, "--sandbox", "monty")
        child = subprocess.Popen(
            [*rlmbox_command(), "ask", "Is it?", "-c", "contract.txt", "--run-id", "audit", *of_model],
            cwd=folder,
            env=bare(RLM_STORE=str(folder / "runs.db"), OPENAI_API_KEY="sk-x"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert hangs.wait(60)
        child.kill()
        child.wait()
        answer = json.loads(rlmbox(folder, "resume", "audit", "--json")[0])
        keys = [request.headers["idempotency-key"] for request in provider.requests]
    assert answer["text"] == "Yes, 5 %."
    assert keys[1] == keys[2]
    assert len(set(keys)) == len(keys) - 1
    assert "one request was under way and stays charged" in rlmbox(folder, "show", "audit")[0]


def test_a_failed_run_names_its_evidence_and_what_is_not_there_is_one_line(
    folder: Path, server: ProviderServer
) -> None:
    _, said = asked(folder, server, "--max-turns", "1", "--no-last-answer", code=5)
    wider = "go on with a wider limit: rlmbox resume audit --max-turns N"
    assert said.splitlines()[-1] == f"look at it: rlmbox show audit --evidence; {wider}"
    rlmbox(folder, "show", "audit", "--evidence")
    assert (folder / "rlm_traces" / "audit" / "trace.json").exists()
    _, said = asked(folder, server, code=1)
    assert "there is a run audit already" in said
    assert "for its files use --evidence" in rlmbox(folder, "show", "audit", "--evidence", "--freeze", code=2)[1]
    assert "has no turn 9" in rlmbox(folder, "show", "audit", "--turn", "9", code=2)[1]
    assert "there is no format 'x'" in rlmbox(folder, "export", "audit", "--format", "x", code=2)[1]
    assert "no turn 9 to fork from" in rlmbox(folder, "fork", "audit", "--at", "9", code=2)[1]


def test_where_runs_are_kept_is_said_with_the_first_and_not_with_a_mistake(folder: Path) -> None:
    wrong, first, second = (
        rlmbox(folder, "ask", "What applies to late delivery?", "-c", path, code=code)[1]
        for path, code in [("none.txt", 2), ("contract.txt", 0), ("contract.txt", 0)]
    )
    assert [f"runs are kept in {folder / 'runs.db'} (30 days" in said for said in (wrong, first, second)] == [
        False,
        True,
        False,
    ]


def test_without_a_record_there_is_none(folder: Path, server: ProviderServer) -> None:
    asked(folder, server, "--no-record")
    assert not (folder / "runs.db").exists()
    assert "there are no recorded runs in" in rlmbox(folder, "runs", code=1)[1]


def test_the_record_is_for_its_owner_only(folder: Path, server: ProviderServer) -> None:
    asked(folder, server)
    for path in folder.glob("runs.db*"):
        assert path.stat().st_mode & 0o077 == 0 or path.is_dir(), path
