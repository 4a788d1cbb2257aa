"""The JSON service: one object a line in, one object a line out."""

import json
import subprocess
from typing import Any

import pytest

from preloaded import rlmbox_command
from rlmbox.sandboxes.subset import grammar
from rlmbox.sandboxes.subset.service import answer, answer_line


def asked(code: str, profile: grammar.SubsetProfile = "strict", **more: Any) -> dict[str, Any]:
    return answer({"context": "Alpha beta", "query": "q", "code": code, **more}, profile)


def test_a_request_has_an_answer() -> None:
    found = asked("m = re.search('BETA', context, re.IGNORECASE)\nm.group(0)")
    assert (found["ok"], found["output"], found["error"]) == (True, "'beta'\n", None)


def test_blank_code_is_said_to_be_blank() -> None:
    for code in ("", "  \n ", "\t"):
        assert asked(code)["output"] == "No code to execute"
        assert asked(code)["error"] is None


def test_an_error_has_its_place_and_a_hint() -> None:
    found = asked("x = 1\nimport os")
    assert found["ok"] is False
    assert found["error"]["code"] == "ForbiddenSyntax"
    assert (found["error"]["line"], found["error"]["column"]) == (2, 1)
    assert found["error"]["hint"]
    found = asked("x = 'a' + \\\n  nope")
    assert (found["error"]["code"], found["error"]["line"], found["error"]["column"]) == ("NameError", 2, 3)


def test_a_limit_is_named() -> None:
    error = asked("for i in range(10**9):\n    print(i)", "wide")["error"]
    assert (error["code"], error["limit"]) == ("ResourceLimitExceeded", "steps")


def test_the_state_carries_the_session() -> None:
    first = asked("x = context.find('beta')")
    assert asked("x", state=json.loads(json.dumps(first["state"])))["output"] == "6\n"
    second = asked("y = nope", state=first["state"])
    assert second["ok"] is False
    assert asked("x", state=second["state"])["output"] == "6\n"


def test_output_is_cut_with_a_note() -> None:
    found = asked("print('x' * 5000)", "wide")["output"]
    assert found.startswith("x" * 2000 + "\n... [3,001 characters dropped")
    assert len(asked("print('x' * 5000)", "wide", max_output_chars=10)["output"]) < 100


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "5",
        '{"code": 5}',
        '{"code": "1", "max_output_chars": -1}',
        '{"code": "1", "max_output_chars": true}',
        '{"code": "1", "no": 1}',
        '{"code": "1", "state": {"version": 9}}',
        '{"code": "1", "state": 7}',
        "[" * 100_000,
    ],
)
def test_a_wrong_request_has_an_answer_too(line: str) -> None:
    found = json.loads(answer_line(line))
    assert found["ok"] is False
    assert found["error"]["message"]
    assert set(found) == {"ok", "output", "error", "state"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": None}, "code must be a text, not null"),
        ({"context": ["a"]}, "context must be a text, not an array"),
        ({"query": 1.5}, "query must be a text, not a number"),
        ({"max_output_chars": "9"}, "max_output_chars must be a whole number"),
        ({"timeout": 5}, "a request has no 'timeout'; it has code, context, max_output_chars, query, state"),
    ],
)
def test_a_wrong_request_leaves_the_variables_as_they_were(change: dict[str, Any], said: str) -> None:
    state = asked("x = 5")["state"]
    found = asked(**{"code": "x", "state": state, **change})
    assert (found["ok"], found["state"]) == (False, state)
    assert said in found["error"]["message"]


def test_state_that_is_no_object_is_refused() -> None:
    wrong: list[Any] = [0, False, "", [], "x"]
    for state in wrong:
        assert "state must be what the last answer had" in asked("1", state=state)["error"]["message"]
    assert asked("1", state=None)["ok"]


def test_lines_are_utf_8_with_or_without_a_byte_order_mark() -> None:
    line = json.dumps({"context": "é", "code": "context"}, ensure_ascii=False)
    assert json.loads(answer_line(line.encode("utf-8-sig")))["output"] == "'é'\n"
    assert json.loads(answer_line(line.encode("latin-1")))["error"]["message"].startswith("the line is not UTF-8: byte")


def command(*options: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*rlmbox_command(), "subset", *options], input=lines, capture_output=True, text=True, check=False
    )


def test_the_command_answers_each_line() -> None:
    lines = [{"context": "a b", "code": "print(len(context))"}, {"code": "f'{1}'"}]
    done = command(lines="\n".join(map(json.dumps, lines)) + "\n\nnot json\n")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["ok"] for each in found] == [True, False, False]
    assert found[0]["output"] == "3\n"
    assert done.returncode == 0
    wide = command("--profile", "wide", lines=json.dumps(lines[1]))
    assert json.loads(wide.stdout)["output"] == "'1'\n"
    assert command("--profile", "no").returncode == 2


def test_the_limits_of_the_command_can_be_set() -> None:
    line = json.dumps({"context": "a " * 40_000, "code": "len(re.findall('a', context))"})
    assert json.loads(command("--limit", "steps=30000", lines=line).stdout)["error"]["limit"] == "steps"
    assert json.loads(command("--limit", "steps=5000000", lines=line).stdout)["output"] == "40000\n"
    for wrong in ("steps", "steps=", "steps=-1", "steps=1e6", "no=1", "call_depth=100000"):
        done = command("--limit", wrong)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert wrong in done.stderr


def test_the_command_prints_the_table() -> None:
    assert command("--spec").stdout == grammar.as_text(grammar.table())
    printed = json.loads(command("--spec", "--json").stdout)
    assert printed == [row.as_json() for row in grammar.table()]
