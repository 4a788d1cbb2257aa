"""The command as people run it: a process of its own, its output and its exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.environment import bare
from preloaded import rlmbox_command
from rlmbox.testing import ProviderFault, ProviderServer, http_fault

CONTRACT = "The contract begins in May.\n\nA penalty of 5 % applies to late delivery.\n\nIt ends in June.\n"


def rlmbox(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*rlmbox_command(), *arguments],
        input=stdin,
        capture_output=True,
        env=bare(**environment),
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def contract(tmp_path: Path) -> str:
    path = tmp_path / "contract.txt"
    path.write_text(CONTRACT)
    return str(path)


def with_model(server: ProviderServer, *more: str) -> tuple[str, ...]:
    return ("--model", "openai:llama3", "--base-url", server.openai_url, *more)


def test_ask_without_a_model_quotes_from_the_text_and_says_what_it_is(contract: str) -> None:
    done = rlmbox("ask", "What penalty applies to late delivery?", "--context", contract)
    assert done.returncode == 0
    assert "A penalty of 5 % applies to late delivery." in done.stdout
    assert "offline:extractive only quotes" in done.stderr
    assert "--model" in done.stderr
    assert "found in contract.txt, characters 29-71" in done.stderr
    assert "sub-call" in done.stderr


def test_ask_says_in_a_line_which_sandbox_auto_chose_and_why(contract: str) -> None:
    done = rlmbox("ask", "What penalty applies?", "-c", contract, "--sandbox", "auto")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("sandbox: ")]
    assert " holds: " in line
    assert "5 %" in done.stdout


def test_ask_prints_one_object_as_json(contract: str) -> None:
    done = rlmbox("ask", "What penalty applies?", "-c", contract, "--json")
    answer = json.loads(done.stdout)
    assert set(answer) >= {"text", "value", "sources", "usage", "cost_usd", "turns", "run_id", "sandbox", "model"}
    assert answer["sandbox"] in ("jail", "monty")
    assert answer["model"] == "offline:extractive"
    assert answer["cost_usd"] == "0"
    (source,) = answer["sources"]
    assert (source["document"], CONTRACT[source["position"] : source["end"]]) == ("contract.txt", source["quote"])


def test_ask_reads_standard_input() -> None:
    done = rlmbox("ask", "What penalty applies?", "-c", "-", "--quiet", stdin=CONTRACT.encode())
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 %" in done.stdout


def test_an_answer_that_the_terminal_cannot_encode_is_printed_with_escapes(tmp_path: Path) -> None:
    path = tmp_path / "contract.txt"
    path.write_text("A penalty of 5 % in Zürich applies to late delivery.\n")
    for form in ([], ["--quiet"]):
        done = rlmbox("ask", "What penalty applies?", "-c", str(path), *form, PYTHONIOENCODING="ascii")
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
        assert "in Z\\xfcrich" in done.stdout
    as_json = rlmbox("ask", "What penalty applies?", "-c", str(path), "--json", PYTHONIOENCODING="ascii")
    assert "in Zürich" in json.loads(as_json.stdout)["text"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_output_to_a_full_disk_is_one_line_of_error(contract: str) -> None:
    for form in ([], ["--quiet"], ["--json"]):
        with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
            done = subprocess.run(
                [*rlmbox_command(), "ask", "What penalty applies?", "-c", contract, *form],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=bare(),
                check=False,
            )
        refused(done, 1, "the output cannot be written")


def with_closed(stream: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a standard stream that is closed: `<&-`, `>&-` or `2>&-`."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {stream}', "sh", sys.executable, "-m", "rlmbox", *arguments],
        capture_output=True,
        text=True,
        env=bare(**environment),
        check=False,
    )


def test_closed_standard_input_is_named_wherever_it_would_be_read(contract: str) -> None:
    for arguments in (["ask", "?", "-c", "-"], ["exec"], ["guard", "-"]):
        refused(with_closed("<&-", *arguments), 2, "standard input is closed")
    done = with_closed("<&-", "chat", "-c", contract, RLM_MODEL="offline:extractive")
    refused(done, 2, "standard input is closed")


def test_a_closed_standard_output_is_one_line_of_error_and_no_record_has_its_number(contract: str) -> None:
    done = with_closed(">&-", "ask", "What penalty applies?", "-c", contract, "--record")
    assert done.returncode == 1
    assert "the output cannot be written: Bad file descriptor" in done.stderr
    assert "Traceback" not in done.stderr
    refused(with_closed(">&-", "models"), 1, "the output cannot be written")
    refused(with_closed(">&-", "tool"), 2, "standard output is closed")


def test_a_closed_standard_error_costs_the_answer_nothing(contract: str) -> None:
    done = with_closed("2>&-", "ask", "What penalty applies?", "-c", contract)
    assert (done.returncode, done.stderr) == (0, "")
    assert "penalty" in done.stdout


def test_ask_reads_a_folder_and_several_paths(tmp_path: Path, contract: str) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("The price was set to 30 francs.\n")
    for paths in (["-c", str(tmp_path / "notes")], ["-c", contract, "-c", str(tmp_path / "notes" / "a.md")]):
        done = rlmbox("ask", "Which price was set?", *paths)
        assert "30 francs" in done.stdout
        assert "a.md" in done.stderr


def test_ask_works_with_a_server_that_speaks_the_openai_protocol(contract: str) -> None:
    script = ["Let me look.\n```repl\nprint(llm_query('sum up', context))\n```", "A sum.", "FINAL(five percent)"]
    with ProviderServer(script) as server:
        done = rlmbox("ask", "Which penalty?", "-c", contract, *with_model(server))
    assert (done.returncode, done.stdout) == (0, "five percent\n")
    assert "the price of openai:llama3 is not known" in done.stderr
    assert "A sum." in server.requests[2].messages[-1].content
    assert CONTRACT not in server.requests[0].messages[1].content


def test_models_and_limits_come_from_the_environment_too(contract: str) -> None:
    with ProviderServer(["FINAL(from the environment)"]) as server:
        done = rlmbox(
            "ask", "?", "-c", contract, RLM_MODEL="openai:m", RLM_BASE_URL=server.openai_url, RLM_MAX_TURNS="1"
        )
    assert done.stdout == "from the environment\n"


def test_prices_from_a_file_make_a_cost(contract: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('["openai:llama3"]\ninput_usd_per_mtok = "1000"\noutput_usd_per_mtok = "1000"\n')
    with ProviderServer(["FINAL(ok)"]) as server:
        done = rlmbox(
            "ask", "?", "-c", contract, *with_model(server, "--prices", str(prices), "--cost-limit", "100", "--json")
        )
    assert float(json.loads(done.stdout)["cost_usd"]) > 0


def test_what_was_spent_is_divided_by_model_and_depth(contract: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('["openai:llama3"]\ninput_usd_per_mtok = "1000"\noutput_usd_per_mtok = "1000"\n')
    asked = ("ask", "?", "-c", contract)
    more = ("--prices", str(prices), "--cost-limit", "100")
    script = ["```repl\nx = llm_query('a')\n```", "b", "FINAL(ok)"]
    with ProviderServer(script * 2) as server:
        lines = rlmbox(*asked, *with_model(server, *more)).stderr.splitlines()
        report = json.loads(rlmbox(*asked, *with_model(server, *more, "--json")).stdout)["report"]
    assert [line.split(":")[0] for line in lines[-2:]] == ["  root", "  recursive"]
    assert [part["calls"] for part in report["by_depth"]] == [2, 1]
    assert sum(part["percent"] for part in report["by_account"]) == pytest.approx(100, abs=0.2)
    assert report["uncertain_usd"] == "0"


def test_a_fallback_model_answers_where_the_first_is_not_available(contract: str) -> None:
    with ProviderServer([http_fault(402), "FINAL(from the other)"]) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server, "--fallback-model", "openai:other"))
    assert done.stdout == "from the other\n"


def test_a_cached_reply_costs_no_request(contract: str, tmp_path: Path) -> None:
    asked = ("ask", "?", "-c", contract, "--cache", "--json")
    code = "```repl\nFINAL(llm_query('a'))\n```"
    with ProviderServer([code, "kept", code]) as server:
        for _ in range(2):
            done = rlmbox(*asked, *with_model(server), XDG_CACHE_HOME=str(tmp_path / "cache"))
            assert json.loads(done.stdout)["text"] == "kept"
        assert len(server.requests) == 3


def test_a_trace_has_every_event_also_when_the_run_fails(contract: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    with ProviderServer(["```repl\nx = 1\n```", http_fault(401)]) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server, "--trace", str(trace)))
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    assert done.returncode == 3
    assert [event["kind"] for event in events[:2]] == ["run_started", "session_started"]
    assert "turn_finished" in [event["kind"] for event in events]
    assert events[-1]["kind"] == "session_failed"
    assert events[-1]["partial"]["turns"] == 1


def test_no_key_is_ever_in_output_or_trace(contract: str, tmp_path: Path) -> None:
    trace, key = tmp_path / "trace.jsonl", "sk-thisisthesecretkey0123456789"
    with ProviderServer([http_fault(401, message=f"the key {key} is wrong")]) as server:
        done = rlmbox(
            "ask", "?", "-c", contract, *with_model(server, "--trace", str(trace), "--debug"), OPENAI_API_KEY=key
        )
    assert key in json.dumps(dict(server.requests[0].headers))
    assert key not in done.stdout + done.stderr + trace.read_text()


# Wrong input: one line with the remedy, its own exit code, no traceback.


def last_line(errors: str) -> str:
    """Return the last line before the one that says where a recorded run can be looked at."""
    return [line for line in errors.strip().splitlines() if not line.startswith("look at it: rlmbox show ")][-1]


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code
    line = last_line(done.stderr)
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert "Traceback" not in done.stderr


def test_a_missing_file(tmp_path: Path) -> None:
    refused(rlmbox("ask", "?", "-c", str(tmp_path / "nothing.txt")), 2, "nothing.txt")


@pytest.mark.parametrize("arguments", [("ask", "Which penalty?"), ("chat",)])
def test_a_text_or_a_word_given_as_an_argument_of_its_own(contract: str, arguments: tuple[str, ...]) -> None:
    done = rlmbox(*arguments, contract)
    assert done.returncode == 2
    assert "--context" in done.stderr
    assert "quotes" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_current_folder_that_is_gone(tmp_path: Path, contract: str) -> None:
    (tmp_path / "gone").mkdir()
    command = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", sys.executable, "-m", "rlmbox", "ask", "?"]
    command += ["-c", contract]
    done = subprocess.run(command, cwd=tmp_path / "gone", capture_output=True, text=True, env=bare(), check=False)
    refused(done, 2, "current folder", "change to another")


def test_an_empty_context(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    refused(rlmbox("ask", "?", "-c", str(tmp_path / "empty.txt")), 2, "empty.txt")
    refused(rlmbox("ask", "?", "-c", "-"), 2, "standard input")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    refused(rlmbox("ask", "?", "-c", str(tmp_path / "closed")), 2, "closed")


def test_an_unknown_provider(contract: str) -> None:
    refused(rlmbox("ask", "?", "-c", contract, "--model", "opnai:gpt-5"), 2, "opnai", "openai")


def test_a_missing_key(contract: str) -> None:
    refused(rlmbox("ask", "?", "-c", contract, "--model", "openai:gpt-5"), 2, "OPENAI_API_KEY")


def test_an_unknown_model(contract: str) -> None:
    with ProviderServer([http_fault(404)]) as server:
        refused(rlmbox("ask", "?", "-c", contract, *with_model(server)), 3, "llama3")


def test_an_unknown_price_under_a_cost_limit(contract: str) -> None:
    with ProviderServer(["FINAL(x)"]) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server, "--cost-limit", "1.00"))
    refused(done, 2, "price of openai:llama3 is not known", "--prices")
    assert not server.requests


def test_a_wrong_price_file(contract: str, tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("not toml at all [")
    refused(rlmbox("ask", "?", "-c", contract, "--prices", str(tmp_path / "prices.toml")), 2, "prices.toml")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ('{"type": "integre"}', "not a JSON Schema"),
        ('{"$ref": "#/$defs/Clause"}', "refers to what is not in it"),
        ('{"properties": {"page": {"pattern": "(?<=p)1"}}}', "cannot be read by RE2"),
    ],
)
def test_a_wrong_schema_is_named_by_its_option(contract: str, tmp_path: Path, schema: str, says: str) -> None:
    path = tmp_path / "clause.json"
    path.write_text(schema)
    refused(rlmbox("ask", "?", "-c", contract, "--schema", str(path)), 2, f"--schema {path}: ", says)


def test_files_that_begin_with_a_byte_order_mark_are_read(contract: str, tmp_path: Path) -> None:
    files = {
        "--schema": ("clause.json", '{"type": "string"}'),
        "--prices": ("prices.toml", '["openai:llama3"]\ninput_usd_per_mtok = "1"\noutput_usd_per_mtok = "2"\n'),
        "--prompts": ("prompts.toml", 'finish = "End with FINAL(answer)."'),
        "--profile": ("profile.toml", 'summary = "two looks"'),
    }
    options = []
    for option, (name, text) in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        options += [option, str(tmp_path / name)]
    with ProviderServer(["FINAL(five)"]) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server, *options))
    assert done.returncode == 0, done.stderr


def test_a_trace_that_cannot_be_written(contract: str) -> None:
    refused(rlmbox("ask", "?", "-c", contract, "--trace", "/nowhere/at/all"), 2, "/nowhere/at/all")


def test_an_unknown_sandbox(contract: str) -> None:
    refused(rlmbox("ask", "?", "-c", contract, "--sandbox", "jial"), 2, "jial")


def test_a_limit_prints_what_there_was(contract: str) -> None:
    with ProviderServer(["I think it is five percent."] * 3) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server, "--max-turns", "2"))
    assert done.returncode == 5
    assert done.stdout == "I think it is five percent.\n"
    assert "max_turns" in done.stderr
    assert "until then: " in done.stderr


def test_the_last_call_at_a_limit_can_be_switched_off(contract: str) -> None:
    with ProviderServer(["I think it is five percent."] * 3) as server:
        rlmbox("ask", "?", "-c", contract, *with_model(server, "--max-turns", "1", "--no-last-answer"))
        assert len(server.requests) == 1


def test_a_limit_as_json_has_the_error_and_what_there_was(contract: str) -> None:
    with ProviderServer(["thinking"] * 3) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server, "--max-turns", "1", "--json"))
    described = json.loads(done.stdout)
    assert described["error"]["type"] == "MaxTurnsExceeded"
    assert (described["complete"], described["turns"], described["text"]) == (False, 1, "thinking")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = rlmbox("ask", "?", "-c", str(tmp_path / "nothing.txt"), "--debug")
    assert "Traceback" in done.stderr
    assert done.returncode == 2


def test_an_answer_cannot_write_control_characters_to_the_terminal(contract: str) -> None:
    with ProviderServer(["FINAL(\x1b]0;owned\x07 fine)"]) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server))
    assert "\x1b" not in done.stdout
    assert "fine" in done.stdout


def test_the_demo_finds_where_a_class_is_defined() -> None:
    done = rlmbox("demo")
    assert done.returncode == 0
    assert "MB of text in" in done.stdout
    assert "turn 1" in done.stdout
    assert "class OrderedDict(dict):" in done.stdout
    assert "found in collections/__init__.py, characters" in done.stdout + done.stderr


def test_models_lists_what_can_be_reached() -> None:
    done = rlmbox("models", "--json", OPENAI_API_KEY="sk-x")
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert rows["openai:gpt-5"]["reachable"] == "yes"
    assert float(rows["openai:gpt-5"]["input"]) > 0
    assert "ANTHROPIC_API_KEY" in rows["anthropic:claude-sonnet-5-5"]["reachable"]
    assert rows["offline:extractive"]["input"] == "0"
    assert "OPENAI" not in rlmbox("models", "openai:gpt-5", "--json", OPENAI_API_KEY="sk-x").stdout


def test_help_shows_the_commands() -> None:
    done = rlmbox("--help")
    assert done.returncode == 0
    for command in ("ask", "demo", "models"):
        assert command in done.stdout


def test_a_provider_that_stays_broken_is_one_line_after_retries(contract: str) -> None:
    with ProviderServer([http_fault(500)] * 10) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server))
    refused(done, 3, "500")
    assert len(server.requests) > 1


def test_a_reply_cut_off_halfway_is_one_line_and_its_cost_is_kept(contract: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"openai:llama3": {"input_usd_per_mtok": "1", "output_usd_per_mtok": "1"}}')
    with ProviderServer(["```repl\nx = 1\n```", ProviderFault("truncated")]) as server:
        done = rlmbox("ask", "?", "-c", contract, *with_model(server, "--prices", str(prices), "--json"))
    described = json.loads(done.stdout)
    assert done.returncode == 3
    assert described["turns"] == 1
    # The second request may have been billed, so its worst case stays charged.
    assert float(described["cost_usd"]) > 0.016


def test_a_limit_out_of_its_range_is_refused(contract: str) -> None:
    assert "--max-turns" in rlmbox("ask", "?", "-c", contract, "--max-turns", "0").stderr
    refused(rlmbox("ask", "?", "-c", contract, "--max-seconds", "-1"), 2, "max_seconds")
    refused(rlmbox("ask", "?", "-c", contract, "--cost-limit", "two"), 2, "cost_limit_usd")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent with a POSIX signal")
def test_an_interrupt_ends_the_run_at_once(contract: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    with ProviderServer([ProviderFault("hang")]) as server:
        arguments = ["ask", "?", "-c", contract, *with_model(server, "--trace", str(trace))]
        process = subprocess.Popen([*rlmbox_command(), *arguments], stderr=subprocess.PIPE, text=True)
        while not server.requests and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert last_line(errors) == "error: interrupted"
    assert trace.read_text()
