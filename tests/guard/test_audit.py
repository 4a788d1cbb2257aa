"""The audit: every cell and every security event has its line, and what was changed afterwards is found."""

import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from rlmbox import RLM
from rlmbox.cli.auditing import show_audit, verify_audit
from rlmbox.events import CellExecuted, Event, TextGuarded
from rlmbox.record.audit import FIRST, audit, verify
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, CellError, Execution
from runs import repl

MAIL = "ada.lovelace@example.org"
TEXT = f"Write to {MAIL}. " + " ".join(f"Clause {n} costs {n * 37 % 1009} francs." for n in range(2_000))
CELLS = (
    "print(context[:200])",
    "import numpy_that_is_not_there",
    "open('/etc/passwd')",
    "import socket\nsocket.create_connection(('192.0.2.1', 80), 1)",
    "print(context[:9000])",
)


async def recorded(store: object, *cells: str, run_id: str = "r") -> None:
    root = ScriptedModel([*(repl(cell) for cell in cells), "FINAL(ok)"], name="root")
    await RLM(root, store=store).aask("?", TEXT, run_id=run_id)  # type: ignore[arg-type]


async def events_of(*cells: str) -> list[Event]:
    store = MemoryStore()
    await recorded(store, *cells)
    return list(await store.read("r"))


async def test_every_cell_has_a_line_with_digest_time_user_and_session() -> None:
    events = await events_of(*CELLS)
    lines = [line for line in audit(events) if line.what == "cell" and line.facts["by"] == "model"]
    assert len(lines) == len(CELLS)
    for line in lines:
        assert re.fullmatch("[0-9a-f]{64}", str(line.facts["sha256"]))
        assert line.facts["user"]
        assert line.at_s > 1_700_000_000
        assert line.session_id == "r"


async def test_what_was_refused_hidden_and_cut_has_a_line_of_its_own() -> None:
    whats = [line.what for line in audit(await events_of(*CELLS))]
    for what in ("run", "refused-import", "refused-file", "redaction", "copy-cut", "answered"):
        assert what in whats
    assert {"refused-network", "refused-system-call", "refused-import"} & set(whats[whats.index("refused-file") + 1 :])


async def test_the_audit_holds_nothing_of_the_text_or_of_what_was_hidden() -> None:
    told = json.dumps([line.as_json() for line in audit(await events_of(*CELLS))])
    for secret in (MAIL, "Clause", "passwd", "numpy_that", "francs"):
        assert secret not in told


REFUSED = {
    "refused-import": ("ModuleNotFoundError", "No module named 'x'"),
    "refused-file": ("PermissionError", "[Errno 13] Permission denied: '/root'"),
    "refused-network": ("URLError", "<urlopen error [Errno 1] Operation not permitted>"),
    "refused-system-call": ("PermissionError", "[Errno 1] Operation not permitted"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refusal_is_told_by_its_error(what: str) -> None:
    kind, message = REFUSED[what]
    cell = next(line for line in audit([ran(Execution(outcome="error", error=CellError(kind, message)))]))
    assert cell.what == "cell"
    assert [line.what for line in audit([ran(Execution(outcome="error", error=CellError(kind, message)))])][1:] == [
        what
    ]


@pytest.mark.parametrize("kind", ["ValueError", "KeyError", "NameError", "ZeroDivisionError", "TypeError"])
def test_an_ordinary_mistake_is_no_security_event(kind: str) -> None:
    lines = list(audit([ran(Execution(outcome="error", error=CellError(kind, "it is wrong")))]))
    assert [line.what for line in lines] == ["cell"]


@pytest.mark.parametrize(
    ("outcome", "what"), [("crashed", "sandbox-failure"), ("timeout", "limit"), ("memory", "limit"), ("stack", "limit")]
)
def test_limits_and_crashes_have_lines(outcome: str, what: str) -> None:
    error = CellError("SandboxCrashed", "gone")
    assert [line.what for line in audit([ran(Execution(outcome=outcome, error=error))])][1:] == [what]  # type: ignore[arg-type]


def ran(execution: Execution) -> CellExecuted:
    return CellExecuted(
        run_id="r", session_id="r", parent_id=None, depth=0, state="ACTION", cell=Cell("x", 1, 0), execution=execution
    )


async def test_a_record_as_it_was_written_fits() -> None:
    events = await events_of(*CELLS)
    verdict = verify(events, "r")
    assert verdict.broken_at is None
    assert verdict.is_ended
    assert verdict.lines == len(list(audit(events)))
    assert verdict.head != FIRST


async def test_whatever_is_done_to_a_record_afterwards_is_found() -> None:
    events = await events_of(*CELLS)
    places = [place for place, event in enumerate(events) if event.audit]
    assert len(places) > 8
    for place in places:
        event = events[place]
        assert verify([*events[:place], *events[place + 1 :]], "r").broken_at is not None or place == len(events) - 1
        assert verify([*events[:place], replace(event, at_s=event.at_s + 60), *events[place + 1 :]], "r").broken_at
        if isinstance(event, CellExecuted):
            other = replace(event, cell=replace(event.cell, code="print('nothing')"))
            assert verify([*events[:place], other, *events[place + 1 :]], "r").broken_at == event.sequence
            other = replace(event, execution=replace(event.execution, stdout="nothing", error=None, outcome="ok"))
            assert verify([*events[:place], other, *events[place + 1 :]], "r").broken_at == event.sequence
        if isinstance(event, TextGuarded):
            less = replace(event, found={}, cuts=0)
            assert verify([*events[:place], less, *events[place + 1 :]], "r").broken_at == event.sequence
    swapped = [*events]
    swapped[places[2]], swapped[places[3]] = swapped[places[3]], swapped[places[2]]
    assert verify(swapped, "r").broken_at is not None
    cut = verify(events[: places[-3]], "r")
    assert cut.broken_at is None
    assert not cut.is_ended
    assert cut.head != verify(events, "r").head


async def test_a_run_that_goes_on_and_one_that_is_forked_have_chains_that_fit() -> None:
    store, shorter = MemoryStore(), MemoryStore()
    await recorded(store, *CELLS)
    events = await store.read("r")
    for event in events[: len(events) // 2]:
        shorter.write(event)
    done = sum(event.kind == "model_replied" for event in await shorter.read("r"))
    root = ScriptedModel([*(repl(cell) for cell in CELLS[done:]), "FINAL(ok)"], name="root")
    await RLM(root, store=shorter).aresume("r")
    assert verify(await shorter.read("r"), "r").broken_at is None
    root = ScriptedModel(["FINAL(other)"], name="root")
    await RLM(root, store=store).afork("r", at=3, new_id="f")
    verdict = verify(await store.read("f"), "f")
    assert (verdict.broken_at, verdict.is_ended) == (None, True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "runs.db"
    root = ScriptedModel([repl(CELLS[0]), "FINAL(ok)"], name="root")
    with RLM(root, store=found) as rlm:
        rlm.ask("?", TEXT, run_id="one")
    return found


def test_the_command_shows_and_verifies(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_audit([], path, as_json=False, debug=False) == 0
    shown = capsys.readouterr().out.splitlines()
    assert re.match(r"20\d\d-\d\d-\d\dT\S+ one run user=\S+ version=\S+ ", shown[0])
    assert any(" cell user=" in line and "sha256=" in line for line in shown)
    assert any(" redaction " in line and '{"observation": {"email hidden": ' in line for line in shown)
    assert verify_audit([], path, head=None, as_json=False, debug=False) == 0
    told = capsys.readouterr().out
    head = re.fullmatch(r"one: \d+ lines fit, head ([0-9a-f]{64})\n", told)
    assert head is not None
    assert verify_audit(["one"], path, head=head[1], as_json=True, debug=False) == 0
    assert json.loads(capsys.readouterr().out)["holds"] is True
    assert verify_audit(["one"], path, head="0" * 64, as_json=False, debug=False) == 1


def test_a_changed_file_is_found_by_the_command(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = sqlite3.connect(path)
    base.execute("delete from events where number = (select max(number) - 4 from events)")
    base.commit()
    base.close()
    assert verify_audit([], path, head=None, as_json=False, debug=False) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_a_mistake_is_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_audit(["nothing"], path, as_json=False, debug=False) != 0
    assert "nothing" in capsys.readouterr().err
    assert verify_audit([], path, head="0", as_json=False, debug=False) == 2
    assert "--head goes with one run" in capsys.readouterr().err
