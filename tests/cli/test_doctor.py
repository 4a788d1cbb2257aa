"""`rlmbox doctor` as people run it, and what it makes of sandboxes that are not as they should be."""

import ast
import io
import json
import subprocess

from rich.console import Console

from cli.environment import bare
from preloaded import rlmbox_command
from rlmbox.cli import diagnosing
from rlmbox.cli.diagnosing import Diagnosis, diagnose, diagnosis_as_object, exit_code
from rlmbox.cli.language import language_cells
from rlmbox.testing.attacks import AttackReport, AttackResult, Probe


def rlmbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*rlmbox_command(), *arguments],
        capture_output=True,
        env=bare(),
        check=False,
        text=True,
    )


def shown(*found: Diagnosis) -> str:
    console = Console(file=io.StringIO(), width=200)
    diagnosing._print(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def described(name: str = "one", *, available: bool = True, safe: bool = True, **more: object) -> Diagnosis:
    return Diagnosis(name, available=available, safe=safe, isolation="a wall", **more)  # type: ignore[arg-type]


def test_the_table_has_every_sandbox_with_what_it_is_worth_here() -> None:
    done = rlmbox("doctor", "--json")
    printed = json.loads(done.stdout)
    rows = {row["name"]: row for row in printed["sandboxes"]}
    assert printed["auto"]["name"] in ("jail", "wasm", "monty")
    assert "holds" in printed["auto"]["reason"]
    assert done.returncode == 0
    assert set(rows) == {"jail", "monty", "docker", "wasm", "subset", "local"}
    monty = rows["monty"]
    assert monty["available"]
    assert monty["safe"]
    assert all(monty[figure] > 0 for figure in ("cold_start_ms", "warm_start_ms", "cell_us", "host_call_us"))
    assert 0.5 < monty["language"] < 1
    assert "yield" in monty["language_missing"]
    assert set(monty["limits"]) == {"walls", "time", "memory", "output", "recursion", "processes", "disk"}
    assert all(limit["holds"] for limit in monty["limits"].values())
    assert monty["attacks"] is None
    for row in rows.values():
        assert row["available"] is (row["remedy"] is None)
        assert row["isolation"]


def test_nothing_is_tried_against_a_sandbox_without_walls() -> None:
    (local,) = diagnose(["local"], attack=True)
    assert local.available
    assert not local.safe
    assert local.limits == ()
    assert local.attacks is None
    assert local.language == 1.0


def test_the_table_is_printed_for_people() -> None:
    done = rlmbox("doctor", "--sandbox", "monty", "--sandbox", "docker")
    assert done.returncode == 0
    for words in ("monty", "docker", "host call", "all hold", "does not run: ", "yield"):
        assert words in done.stdout
    assert "Traceback" not in done.stderr


def test_attacks_are_counted_and_judged() -> None:
    (monty,) = diagnose(["monty"], attack=True, only=["CODE-01-pickle-reduce", "MEMO-01-list-mul", "EXFI-02-b64"])
    assert monty.attacks
    assert monty.attacks.counts == {"not expressible": 1, "contained": 1, "not applicable": 1}
    assert exit_code([monty]) == 0
    assert diagnosis_as_object(monty)["attacks"]["ok"] is True  # type: ignore[index]
    assert "attacks: " in shown(monty)


def test_an_attack_that_went_wrong_is_shown_and_is_in_the_exit_code() -> None:
    result = AttackResult("A-1", "group", "escaped", "a file was\x1b[2J told")
    bad = described(attacks=AttackReport("one", (result,), failed={"A-1": "escaped: a file was\x1b[2J told"}))
    gap = described(attacks=AttackReport("one", (result,), gaps={"A-1": "the reason"}))
    assert exit_code([bad]) == 1
    assert exit_code([gap]) == 0
    assert "A-1: escaped: a file was" in shown(bad)
    assert "\x1b" not in shown(bad)
    assert "known gap A-1: the reason" in shown(gap)
    json.dumps(diagnosis_as_object(bad))


def test_without_a_safe_sandbox_the_exit_code_is_4() -> None:
    local = described("local", safe=False)
    assert exit_code([local]) == 4
    assert exit_code([local, described(available=False, remedy="needs x")]) == 4
    assert exit_code([local, described()]) == 0
    assert rlmbox("doctor", "--sandbox", "local").returncode == 4


def test_a_limit_that_does_not_hold_is_shown() -> None:
    text = shown(described(limits=(Probe("time", True, "ok"), Probe("memory", False, "it was not stopped"))))
    assert "not: memory" in text
    assert "memory does not hold: it was not stopped" in text


def test_what_is_missing_is_shown_with_its_remedy() -> None:
    assert "not here: install x" in shown(described(available=False, remedy="install x"))


def test_an_unknown_sandbox_is_one_line() -> None:
    done = rlmbox("doctor", "--sandbox", "jial")
    assert done.returncode == 2
    assert done.stderr.strip().startswith("error: there is no sandbox 'jial'")


def test_the_language_cells_are_python_of_many_kinds() -> None:
    for name, code in language_cells().items():
        compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert len(language_cells()) > 75


def test_the_commands_are_in_the_help() -> None:
    help_text = rlmbox("--help").stdout
    assert "doctor" in help_text
    assert "exec" in help_text
