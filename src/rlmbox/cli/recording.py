"""`runs`, `show`, `export` and `rm`: looking at recorded runs, and removing them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rlmbox.cli.failing import report
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.errors import ConfigError, StoreError
from rlmbox.events import Event, to_json
from rlmbox.guard.visible import printable
from rlmbox.record import continuing
from rlmbox.record.continuing import begun
from rlmbox.record.export import FORMATS, write_evidence
from rlmbox.record.journal import Store
from rlmbox.record.run import Run
from rlmbox.record.stores import close_store, default_path, open_store
from rlmbox.record.summary import STATUSES, RunSummary
from rlmbox.sandboxes.registry import BACKENDS
from rlmbox.sync import run_blocking

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
_MOST_SHOWN = 100
_NO_IMAGE = (
    "--freeze: an image of the container would hold nothing of the run, whose state is in memory; "
    "for its files use --evidence; to bring the state back, rlmbox replay {run}, "
    "or rlmbox fork {run} --at TURN --edit FILE with a cell that prints what you look for"
)


def runs_and_print(store: Path | None, *, status: str | None, text: str | None, as_json: bool, debug: bool) -> int:
    """Run `rlmbox runs`; return the exit code."""

    def work() -> None:
        if status is not None and status not in STATUSES:
            raise ConfigError(f"there is no status {status!r}; there are {', '.join(STATUSES)}")
        with opened(store) as kept:
            found = run_blocking(kept.runs)
        chosen = [
            each
            for each in found
            if status in (None, each.status) and (text is None or text.casefold() in each.question.casefold())
        ]
        if as_json:
            print_json([to_json(each) for each in chosen])
        else:
            _print_table(chosen)

    return _printed(work, as_json=as_json, debug=debug)


def show_and_print(
    run_id: str,
    store: Path | None,
    *,
    turn: int | None,
    evidence: bool,
    folder: Path | None,
    freeze: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Run `rlmbox show`; return the exit code."""

    def work() -> None:
        if freeze:
            raise ConfigError(_NO_IMAGE.format(run=run_id))
        run = _run_of(run_id, store)
        if evidence or folder is not None:
            written = write_evidence(run, folder or Path("rlm_traces", run_id), doctor=_doctor_of(run))
            print("\n".join(str(path) for path in written))  # noqa: T201
        elif turn is not None:
            _print_turn(run, turn, as_json=as_json)
        elif as_json:
            shown = {**asdict(run.summary), "error": run.error, "turns": run.turns, "answer": run.answer}
            print_json(to_json(shown))
        else:
            print(run)  # noqa: T201

    return _printed(work, as_json=as_json, debug=debug)


def export_and_print(run_id: str, store: Path | None, *, form: str, as_json: bool, debug: bool) -> int:
    """Run `rlmbox export`; return the exit code."""

    def work() -> None:
        if form not in FORMATS:
            raise ConfigError(f"there is no format {form!r} to export a run in; there are {', '.join(FORMATS)}")
        lines = FORMATS[form](_run_of(run_id, store))
        if as_json:
            print(json.dumps({"run_id": run_id, "format": form, "text": "\n".join(lines)}))  # noqa: T201
            return
        for line in lines:
            sys.stdout.buffer.write(line.encode("utf-8", "backslashreplace") + b"\n")
        sys.stdout.flush()

    return _printed(work, as_json=as_json, debug=debug)


def remove_and_print(run_ids: Sequence[str], store: Path | None, *, as_json: bool, debug: bool) -> int:
    """Run `rlmbox rm`; return the exit code."""

    def work() -> None:
        with opened(store) as kept:
            for run_id in run_ids:
                recorded_events(kept, run_id)
            for run_id in run_ids:
                run_blocking(lambda name=run_id: kept.remove(name))  # type: ignore[misc]
        if as_json:
            print(json.dumps({"removed": list(run_ids)}))  # noqa: T201

    return _printed(work, as_json=as_json, debug=debug)


@contextmanager
def opened(store: Path | None) -> Iterator[Store]:
    """Open the store that was named, or the user's own, which has to be there; close it afterwards.

    Args:
        store: Its path, or None.

    Raises:
        StoreError: There is none, or it cannot be opened.
    """
    path = default_path() if store is None else store
    if not path.exists():
        raise StoreError(f"there are no recorded runs in {path}; name another file with --store")
    found = open_store(path, to_read=True)
    assert found is not None  # noqa: S101 - it was named
    try:
        yield found
    finally:
        close_store(found)


def recorded_events(store: Store, run_id: str) -> Sequence[Event]:
    """Return the events of a run; the blocking form of `rlmbox.record.continuing.read_run`.

    Args:
        store: The store.
        run_id: The run.

    Raises:
        StoreError: There is no such run, the record is damaged, or a newer rlmbox wrote it.
    """
    return run_blocking(lambda: continuing.read_run(store, run_id))


def _run_of(run_id: str, store: Path | None) -> Run:
    with opened(store) as kept:
        events = recorded_events(kept, run_id)
    begun(events, run_id)
    return Run(tuple(events))


def _doctor_of(run: Run) -> str:
    """Return what `rlmbox doctor` prints here of the sandbox that a run was in."""
    from rlmbox.cli.diagnosing import sandbox_table

    name = run.summary.sandbox
    return sandbox_table([name]) if name in {each.name for each in BACKENDS} else ""


def _print_table(runs: Sequence[RunSummary]) -> None:
    headings = ("run", "status", "cost", "age", "model", "question")
    rows = [
        (each.run_id, each.status, f"${each.cost_usd:.4f}", _age(each.changed_s), each.model, each.question)
        for each in runs[:_MOST_SHOWN]
    ]
    print_table(headings, [[" ".join(cell.split()) for cell in row] for row in rows], folds=("question",))
    if len(runs) > _MOST_SHOWN:
        print(f"and {len(runs) - _MOST_SHOWN} older ones; --json shows all")  # noqa: T201


def _age(at_s: float) -> str:
    age_s = max(time.time() - at_s, 0.0)
    return next((f"{age_s // size_s:.0f} {unit}" for unit, size_s in _UNITS if age_s >= size_s), f"{age_s:.0f} s")


def _print_turn(run: Run, number: int, *, as_json: bool) -> None:
    turn = next((each for each in run.turns if each.number == number), None)
    if turn is None:
        raise ConfigError(f"the run {run.run_id} has no turn {number}; it has {len(run.turns)}")
    if as_json:
        print_json(to_json(turn))
        return
    parts = [f"turn {turn.number}, ${turn.cost_usd:.4f}", turn.reply]
    for cell, execution in zip(turn.cells, turn.executions, strict=False):
        error = execution.error.traceback if execution.error else ""
        parts += [f"--- ran, {execution.duration_s:.2f} s:", cell.code, "--- gave:", execution.stdout + error]
    if turn.observation is not None:
        parts += ["--- the model was told:", turn.observation.text]
    print("\n".join(printable(part.rstrip("\n")) for part in parts if part.strip()))  # noqa: T201


def _printed(work: Callable[[], None], *, as_json: bool, debug: bool) -> int:
    """Do what a command does, and return its exit code."""
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    return 0
