"""`rlmbox tool`: a JSON object a line in, a JSON object a line out."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tool.serving import Tool, tool_command

FIELDS = ["stdout", "stderr", "exception", "success", "execution_time", "timed_out"]


@pytest.fixture(scope="module")
def tool() -> Iterator[Tool]:
    with Tool() as running:
        yield running


def _run(lines: bytes, *arguments: str) -> tuple[list[dict[str, object]], int, str]:
    done = subprocess.run([*tool_command(), *arguments], input=lines, capture_output=True, timeout=120, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode, done.stderr.decode()


def test_an_answer_has_the_fields_of_a_result_and_nothing_else(tool: Tool) -> None:
    answer = tool.ask(code="print(1 + 1)")
    assert list(answer) == FIELDS
    assert answer["stdout"] == "2\n"
    assert answer["success"] is True


@pytest.mark.parametrize(
    "given", [7, "seven", None, 0, "", -1, 1.5, [1, {"a": None}], {"n": 1}, "é\u2028\ud800", 10**30]
)
def test_the_id_that_came_comes_back(tool: Tool, given: object) -> None:
    assert tool.ask(code="pass", id=given)["id"] == given
    assert tool.ask(code=5, id=given)["id"] == given


def test_sessions_have_variables_of_their_own(tool: Tool) -> None:
    tool.ask(code="x = 'no name'")
    tool.ask(code="x = 'a'", session="a")
    tool.ask(code="x = 'b'", session="b")
    assert [tool.ask(code="print(x)", **who)["stdout"] for who in ({}, {"session": "a"}, {"session": "b"})] == [
        "no name\n",
        "a\n",
        "b\n",
    ]


def test_sessions_run_side_by_side_and_requests_of_one_in_turn(tool: Tool) -> None:
    tool.send(code="import time; time.sleep(2); y = 1", session="slow", id=1)
    tool.send(code="print(y)", session="slow", id=2)
    tool.send(code="print('quick')", session="quick", id=3)
    assert [tool.answer()["id"] for _ in range(3)] == [3, 1, 2]


def test_a_closed_session_begins_anew(tool: Tool) -> None:
    tool.send(code="z = 1", session="c")
    tool.send(session="c", close=True)
    assert [tool.answer()["success"] for _ in range(2)] == [True, True]
    assert "NameError" in str(tool.ask(code="z", session="c")["exception"])


def test_a_session_can_be_closed_while_it_runs(tool: Tool) -> None:
    tool.ask(code="pass", session="busy")
    tool.send(code="while True: x = 1", session="busy", id="busy")
    tool.send(session="busy", close="now", id="close")
    answers = {answer["id"]: answer for answer in (tool.answer(), tool.answer())}
    assert answers["close"]["success"] is True
    assert answers["busy"]["success"] is False
    assert "closed" in str(answers["busy"]["exception"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"garbage", "not JSON"),
        (b"{", "not JSON"),
        (b'{"code": "1"} {"code": "2"}', "not JSON"),
        (b'{"code": NaN}', "NaN"),
        (b'{"code": "1", "timeout": Infinity}', "Infinity"),
        (b'{"code": "1", "id": 1e400}', "too large"),
        (b'{"code": "\xff"}', "UTF-8"),
        (b"[" * 100_000, "nested"),
        (b"[]", "JSON object"),
        (b'"code"', "JSON object"),
        (b"null", "JSON object"),
        (b"7", "JSON object"),
        (b"{}", "code is missing"),
        (b'{"code": null}', "not null"),
        (b'{"code": ["x"]}', "not an array"),
        (b'{"code": "1", "timeout": -1}', "above 0"),
        (b'{"code": "1", "timeout": "5"}', "not a string"),
        (b'{"code": "1", "timeout": 1e9}', "at most 600"),
        (b'{"code": "1", "language": "python"}', "no 'language'"),
        (b'{"code": "1", "session": 5}', "session is a name"),
        (b'{"code": "1", "session": "' + b"n" * 201 + b'"}', "session is a name"),
        (b'{"session": "nobody", "close": true}', "no session 'nobody'"),
        (b'{"session": "a", "close": 1}', "close"),
        (b'{"session": "a", "close": true, "code": "1"}', "close"),
    ],
)
def test_a_line_that_is_no_request_is_answered_with_the_reason(tool: Tool, line: bytes, said: str) -> None:
    tool.send_line(line)
    answer = tool.answer()
    assert answer["success"] is False
    assert said in answer["exception"]
    assert tool.ask(code="print('alive')")["stdout"] == "alive\n"


def test_a_huge_line_is_refused_without_being_kept(tool: Tool) -> None:
    for _ in range(16):
        tool.process.stdin.write(b"x" * 2**20)
    tool.send_line(b"")
    assert "at most" in tool.answer()["exception"]
    status = Path(f"/proc/{tool.process.pid}/status").read_text("ascii").splitlines()
    peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak_kib < 400 * 1024


def test_code_of_the_greatest_length_runs_however_it_is_escaped(tool: Tool) -> None:
    code = ("print(1)\n#" + "\x01" * 2**20)[: 2**20]
    assert tool.ask(code=code)["stdout"] == "1\n"
    assert "1,048,577 bytes" in tool.ask(code=code + "x")["exception"]


def test_an_answer_is_one_line_of_ascii(tool: Tool) -> None:
    tool.send(code=r"print('é \u2028 \x85 \ud800 \r', '\0')")
    line = tool.process.stdout.readline()
    assert line.isascii()
    assert json.loads(line)["stdout"].startswith("é \u2028 \x85 ")


def test_blank_lines_and_carriage_returns_are_nothing(tool: Tool) -> None:
    tool.send_line(b"\r\n \n")
    tool.send_line(b'{"code": "print(5)"}\r')
    assert tool.answer()["stdout"] == "5\n"


def test_the_end_of_input_comes_after_the_answers() -> None:
    answers, code, said = _run(
        b'{"code": "import time; time.sleep(1); print(1)"}\n{"code": "print(2)", "session": "b"}'
    )
    assert sorted(str(answer["stdout"]) for answer in answers) == ["1\n", "2\n"]
    assert (code, said) == (0, "")


def test_no_input_is_no_answer() -> None:
    assert _run(b"") == ([], 0, "")


def test_sessions_above_the_bound_are_refused_until_one_is_closed() -> None:
    with Tool("--max-sessions", "2") as running:
        assert running.ask(code="x = 1", session="a")["success"]
        refused = running.ask(code="x = 1", session="b")  # the session without a name is one
        assert "close" in refused["exception"]
        running.ask(session="a", close=True)
        assert running.ask(code="x = 1", session="b")["success"]


def test_a_sandbox_that_cannot_start_is_a_warning_and_the_answers_say_so() -> None:
    environment = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1"}
    done = subprocess.run(
        [*tool_command(), "--sandbox", "docker"],
        input=b'{"code": "print(1)"}\n',
        capture_output=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.startswith(b"warning: Python cannot start here")
    assert json.loads(done.stdout)["success"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sandbox", "nope"], "there is no sandbox 'nope'"),
        (["--sandbox", "local"], "--unsafe-no-isolation"),
        (["--timeout", "-1"], "--timeout must be a number above 0"),
        (["-c", "-"], "standard input carries the requests"),
        (["-c", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    answers, code, line = _run(b"", *arguments)
    assert (answers, code) == ([], 2)
    assert said in line
    assert line.count("\n") == 1


def _below(pid: int) -> set[int]:
    """List the processes that a process has started, and those that these have."""
    children: set[int] = set()
    for threads in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children |= {int(child) for child in threads.read_text().split()}
    return children.union(*map(_below, children))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_sigterm_ends_it_and_leaves_no_process() -> None:
    with Tool() as running:
        running.ask(code="pass")
        running.send(code="while True: x = 1")
        started = _below(running.process.pid)
        assert started
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == 128 + signal.SIGTERM
        until = time.monotonic() + 30
        while (left := [pid for pid in started if _runs(pid)]) and time.monotonic() < until:
            time.sleep(0.05)
        assert left == []


def test_a_client_that_goes_away_ends_it_quietly() -> None:
    with Tool() as running:
        running.ask(code="pass")
        running.process.stdout.close()
        running.send(code="print(1)")
        assert running.process.wait(60) == 1
        assert running.process.stderr.read() == b""


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*tool_command()], input=b'{"code": "1"}\n', stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"error: the answers cannot be written: No space left on device\n"


def test_64_sessions_keep_their_own_state_when_one_is_killed() -> None:
    with Tool() as running:
        for number in range(64):
            running.send(code=f"mine = {number}", session=f"s{number}", id=number)
        assert sorted(running.answer()["id"] for _ in range(64)) == list(range(64))
        killed = running.ask(code="import os; os.closerange(0, 100); os._exit(1)", session="s7")
        assert killed["success"] is False
        assert "lost" in killed["exception"]
        for number in range(64):
            running.send(code="print(mine)", session=f"s{number}", id=number)
        answers = {answer["id"]: answer for answer in (running.answer() for _ in range(64))}
        assert "NameError" in answers.pop(7)["exception"]
        assert {number: answer["stdout"] for number, answer in answers.items()} == {
            n: f"{n}\n" for n in range(64) if n != 7
        }
