"""The JSON service: one object a line in, one object a line out."""

import json
import subprocess
import sys
from typing import Any

import pytest

from rlmbox.sandboxes.subset import grammar
from rlmbox.sandboxes.subset.service import answer, answer_line


def asked(code: str, profile: grammar.Profile = "strict", **more: Any) -> dict[str, Any]:
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


def command(*options: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rlmbox", "subset", *options], input=lines, capture_output=True, text=True, check=False
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


def test_the_command_prints_the_table() -> None:
    assert command("--spec").stdout == grammar.as_text(grammar.table())
    printed = json.loads(command("--spec", "--json").stdout)
    assert printed == [row.as_json() for row in grammar.table()]
