"""`rlmbox audit show` and `rlmbox audit verify`: what ran, what was refused and hidden, and whether the record fits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rlmbox.cli.failing import report
from rlmbox.cli.recording import opened, recorded_events
from rlmbox.errors import ConfigError
from rlmbox.events import Event
from rlmbox.guard.visible import printable
from rlmbox.record.audit import AuditLine, AuditVerdict, audit, verify
from rlmbox.record.continuing import begun
from rlmbox.sync import run_blocking
from rlmbox.usage import quantity


def show_audit(run_ids: Sequence[str], store: Path | None, *, as_json: bool, debug: bool) -> int:
    """Run `rlmbox audit show` and return the exit code.

    Args:
        run_ids: The runs; none for all.
        store: The file where they are recorded; None for the user's own.
        as_json: Print one JSON object a line.
        debug: Print the traceback of an error.
    """
    try:
        for _, events in _records(run_ids, store):
            for line in audit(events):
                print(json.dumps(line.as_json()) if as_json else _written(line))  # noqa: T201
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    return 0


def verify_audit(run_ids: Sequence[str], store: Path | None, *, head: str | None, as_json: bool, debug: bool) -> int:
    """Run `rlmbox audit verify` and return the exit code: 0 if every chain fits, 1 if one does not.

    Args:
        run_ids: The runs; none for all.
        store: The file where they are recorded; None for the user's own.
        head: The digest that the one run should come to; None where it is not known.
        as_json: Print one JSON object a line.
        debug: Print the traceback of an error.
    """
    try:
        _check_head(head, run_ids)
        verdicts = [verify(events, run_id) for run_id, events in _records(run_ids, store)]
        whys = [_why_not(verdict, head) for verdict in verdicts]
        for verdict, why in zip(verdicts, whys, strict=True):
            print(_verdict(verdict, why, as_json=as_json))  # noqa: T201
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        code = report(error, as_json=as_json, debug=debug)
        return 2 if code == 1 else code  # 1 says that a chain does not hold
    return 1 if any(whys) else 0


def _check_head(head: str | None, run_ids: Sequence[str]) -> None:
    if head is not None and len(run_ids) != 1:
        raise ConfigError("--head goes with one run: rlmbox audit verify RUN --head DIGEST")


def _records(run_ids: Sequence[str], path: Path | None) -> list[tuple[str, Sequence[Event]]]:
    with opened(path) as store:
        names = list(run_ids) or [each.run_id for each in reversed(run_blocking(store.runs))]
        records = [(name, recorded_events(store, name)) for name in names]
    for name, events in records:
        begun(events, name)
    return records


def _written(line: AuditLine) -> str:
    at = datetime.fromtimestamp(line.at_s, UTC).isoformat(timespec="milliseconds")
    facts = " ".join(f"{name}={_short(value)}" for name, value in line.facts.items() if value not in ("", None))
    return printable(f"{at} {line.session_id} {line.what} {facts}".rstrip())


def _short(value: object) -> str:
    return str(value) if isinstance(value, str | int) else json.dumps(value)


def _why_not(verdict: AuditVerdict, head: str | None) -> str:
    """Return why a chain does not hold; empty where it does."""
    if verdict.broken_at is not None:
        return f"event {verdict.broken_at} is not the one that was written, or one before it is missing"
    if not verdict.lines:
        return "it has no audit; it was recorded by an earlier version"
    if head is not None and head != verdict.head:
        return "it does not come to that digest"
    return ""


def _verdict(verdict: AuditVerdict, why: str, *, as_json: bool) -> str:
    if as_json:
        told = {"run": verdict.run_id, "holds": not why, "lines": verdict.lines, "head": verdict.head}
        return json.dumps({**told, "is_ended": verdict.is_ended, "broken_at": verdict.broken_at, "why": why})
    if why:
        return f"{verdict.run_id}: BROKEN after {quantity(verdict.lines, 'line')}: {why}"
    end = "" if verdict.is_ended else "; the run has not ended, or its end is missing"
    return f"{verdict.run_id}: {quantity(verdict.lines, 'line')} fit, head {verdict.head}{end}"
