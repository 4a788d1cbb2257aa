"""`rlmbox guard`: what would be hidden in a text, and why."""

import io
import json
from pathlib import Path

import pytest

from rlmbox.cli.guarding import guard_and_print

TOKEN = "ghp_q7Rk2mVx9Lt4Zw8Np3Yb6Hc1Jd5Fs0Gu2Aie"


def run(*files: str, policy: str = "redact", as_json: bool = False, shows_text: bool = False) -> int:
    return guard_and_print(files, policy=policy, as_json=as_json, shows_text=shows_text, debug=False)


@pytest.fixture
def notes(tmp_path: Path) -> str:
    path = tmp_path / "notes.txt"
    path.write_text(f"first line\n  key: {TOKEN}\nmail ana@empresa.com.br\n", "utf-8")
    return str(path)


def test_places_kinds_and_reasons_are_listed_and_no_value(notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(notes) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{notes}:2:8: hide github-token (40 characters): has the form of a github-token",
        f"{notes}:3:6: hide email (18 characters): has the form of an e-mail address",
        f"{notes}: 2 hidden",
    ]


def test_the_text_may_be_seen_as_a_model_would_get_it(notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(notes, shows_text=True) == 1
    assert capsys.readouterr().out == "first line\n  key: <REDACTED: github-token>\nmail <REDACTED: email>\n"


def test_json_has_lines_and_columns(notes: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(notes, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == notes
    assert told["is_changed"]
    assert [(f["kind"], f["line"], f["column"]) for f in told["findings"]] == [("github-token", 2, 8), ("email", 3, 6)]


def test_a_text_with_nothing_in_it_ends_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plain.txt"
    path.write_text("nothing to see\n")
    assert run(str(path)) == 0
    assert capsys.readouterr().out == f"{path}: nothing found\n"


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"mail bob@example.org \xff\n"), "utf-8"))
    assert run(shows_text=True) == 1
    assert capsys.readouterr().out == "mail <REDACTED: email> \\udcff\n"


@pytest.mark.parametrize(
    ("files", "policy", "message"),
    [(["nowhere.txt"], "redact", "nowhere.txt cannot be read"), ([], "stern", "'stern' is not a policy of the guard")],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    files: list[str], policy: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*files, policy=policy) == 2
    assert message in capsys.readouterr().err
