"""The audit of a run: a view of its record with a line for each cell and each security event, in a hash chain.

Each line includes the digest of the previous one. The resulting digest is stored in the event from which the line was
made (`Event.audit`), by the host and in the same write, so that changing, inserting, removing or moving a line later
breaks the chain. Lines contain digests instead of texts, and no text from the sandbox.
"""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar

from rlmbox.events import (
    ApprovalGiven,
    CellExecuted,
    Event,
    RunStarted,
    SessionFailed,
    SessionFinished,
    TextGuarded,
)
from rlmbox.types import Execution

FIRST = "0" * 64
"""Digest before the first line of a run."""

_Each = TypeVar("_Each", bound=Event)
_NETWORK = re.compile(r"socket|gaierror|URLError|ConnectionError|ConnectionRefused|ConnectError|http\.client|asyncio")
_FILE_TYPES = frozenset({"FileNotFoundError", "IsADirectoryError", "NotADirectoryError", "FileExistsError"})
_IMPORT = re.compile(r"the module \S+ is not in|import of \S+ is not")
_REFUSED_CALL = re.compile(r"\[Errno (?:1|38)\]|is not in this REPL's Python|Bad system call|SIGSYS|seccomp")
_REFUSED_FILE = re.compile(r"\[Errno (?:13|30|2)\]|^open:|there are no files here")
_SANDBOX_ERRORS = frozenset(
    {"SandboxError", "SandboxCrashed", "SandboxUnavailable", "OutputExceeded", "MemoryExceeded", "ExecutionTimeout"}
)


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line of the audit.

    Attributes:
        sequence: Number of the event in the run's journal.
        at_s: Seconds since the epoch.
        run_id: The run.
        session_id: The session.
        what: `run`, `cell`, `refused-import`, `refused-file`, `refused-network`, `refused-system-call`,
            `limit`, `sandbox-failure`, `redaction`, `copy-cut`, `approval`, `answered` or `failed`.
        facts: Further facts, without any text from the sandbox.
    """

    sequence: int
    at_s: float
    run_id: str
    session_id: str
    what: str
    facts: Mapping[str, object]

    def as_json(self) -> dict[str, object]:
        """Return the line as a JSON value."""
        own = {"sequence": self.sequence, "at_s": self.at_s, "run": self.run_id, "session": self.session_id}
        return {**own, "what": self.what, **self.facts}


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """The result of verifying a run's chain.

    Attributes:
        run_id: The run.
        lines: Number of valid lines.
        head: Digest of the last valid line; noted elsewhere, it shows later that nothing was cut off at the end.
        broken_at: Number of the first event that breaks the chain, or None.
        is_ended: True if the last line is the run's end.
    """

    run_id: str
    lines: int
    head: str
    broken_at: int | None = None
    is_ended: bool = False


class AuditChain:
    """The chain of a run that is being written.

    Args:
        head: Digest of the last line so far.
    """

    def __init__(self, head: str = FIRST) -> None:
        self._head = head

    @classmethod
    def after(cls, events: Iterable[Event]) -> AuditChain:
        """Return the chain of a run that already has events."""
        return cls(next((event.audit for event in reversed(tuple(events)) if event.audit), FIRST))

    def linked(self, event: _Each) -> _Each:
        """Return an event with its digest, if it has a line in the audit."""
        for line in audit_lines(event):
            self._head = _digest(self._head, line)
            event = replace(event, audit=self._head)
        return event


def current_user() -> str:
    """Return the name of the user who runs this process, or the user id if there is no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def audit(events: Sequence[Event]) -> Iterator[AuditLine]:
    """Yield the lines of a run's audit.

    Args:
        events: The run's events, in order, as the record has them.
    """
    user = next((str(e.settings.get("user", "")) for e in events if isinstance(e, RunStarted)), "")
    for event in events:
        for line in audit_lines(event):
            yield replace(line, facts={"user": user, **line.facts})


def verify(events: Sequence[Event], run_id: str) -> AuditVerdict:
    """Verify a run's chain, up to the first event that breaks it.

    Args:
        events: The run's events, in order, as the record has them.
        run_id: The run.
    """
    head, fitting, last, before = FIRST, 0, "", 0
    for event in events:
        lines = list(audit_lines(event))
        reached = head
        for line in lines:
            reached = _digest(reached, line)
        if event.audit != (reached if lines else "") or event.sequence != before + 1:
            return AuditVerdict(run_id, fitting, head, event.sequence)
        before = event.sequence
        if lines:
            head, fitting, last = reached, fitting + len(lines), lines[-1].what if not event.depth else last
    return AuditVerdict(run_id, fitting, head, None, last in ("answered", "failed"))


def audit_lines(event: Event) -> Iterator[AuditLine]:
    """Yield an event's lines in the audit; most have none.

    Args:
        event: The event.
    """
    make = _LINES.get(type(event))
    for what, facts in make(event) if make is not None else ():
        yield AuditLine(event.sequence, event.at_s, event.run_id, event.session_id, what, facts)


def _digest(head: str, line: AuditLine) -> str:
    text = json.dumps(line.as_json(), ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return sha256(f"{head}\n{text}".encode()).hexdigest()


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _of_run(event: RunStarted) -> Iterator[tuple[str, dict[str, object]]]:
    settings = event.settings
    guard = settings.get("guard")
    policy = guard.get("policy") if isinstance(guard, Mapping) else None
    made_by = {"user": settings.get("user", ""), "version": event.version}
    yield "run", {**made_by, "sandbox": settings.get("sandbox"), "guard": policy, "origin_run": event.origin_run}


def _of_cell(event: CellExecuted) -> Iterator[tuple[str, dict[str, object]]]:
    cell, ran = event.cell, event.execution
    given = "\0".join((ran.stdout, ran.stderr, ran.value_repr or "", ran.error.traceback if ran.error else ""))
    where: dict[str, object] = {"turn": cell.turn, "index": cell.index}
    yield (
        "cell",
        {**where, "by": cell.by, "sha256": _sha256(cell.code), "outcome": ran.outcome, "output_sha256": _sha256(given)},
    )
    if (refused := _refusal(ran)) is not None:
        yield refused, {**where, "error": ran.error.type if ran.error else ran.outcome}


def _refusal(ran: Execution) -> str | None:
    """Return what a cell was refused or stopped for; None for an ordinary end or error."""
    error = ran.error
    if ran.outcome == "crashed":
        return "sandbox-failure"
    if error is None or ran.outcome not in ("ok", "error"):
        return None if ran.outcome in ("ok", "error") else "limit"
    if error.type in ("ImportError", "ModuleNotFoundError") or _IMPORT.search(error.message):
        return "refused-import"
    said = f"{error.type}: {error.message}"
    if error.type in _FILE_TYPES or (error.type in ("PermissionError", "OSError") and _REFUSED_FILE.search(said)):
        return "refused-file"
    is_refusal = error.type in ("PermissionError", "OSError", "URLError", "NotImplementedError")
    if _NETWORK.search(said) or (is_refusal and _NETWORK.search(error.traceback)):
        return "refused-network"
    return "refused-system-call" if is_refusal and _REFUSED_CALL.search(said) else None


def _of_guarded(event: TextGuarded) -> Iterator[tuple[str, dict[str, object]]]:
    hidden = {path: dict(kinds) for path, kinds in event.found.items()}
    if hidden:
        yield "redaction", {"turn": event.turn, "found": hidden}
    if event.cuts:
        yield "copy-cut", {"turn": event.turn, "cuts": event.cuts, "copied_chars": event.copied_chars}


def _of_approval(event: ApprovalGiven) -> Iterator[tuple[str, dict[str, object]]]:
    yield "approval", {"turn": event.turn, "decision": event.decision, "sha256": _sha256(event.code)}


def _of_answer(event: SessionFinished) -> Iterator[tuple[str, dict[str, object]]]:
    yield "answered", {"sha256": _sha256(event.answer.text)}


def _of_failure(event: SessionFailed) -> Iterator[tuple[str, dict[str, object]]]:
    if event.error_type in _SANDBOX_ERRORS:
        yield "sandbox-failure", {"error": event.error_type}
    yield "failed", {"error": event.error_type}


_LINES: Mapping[type[Event], Callable[[Any], Iterator[tuple[str, dict[str, object]]]]] = {
    RunStarted: _of_run,
    CellExecuted: _of_cell,
    TextGuarded: _of_guarded,
    ApprovalGiven: _of_approval,
    SessionFinished: _of_answer,
    SessionFailed: _of_failure,
}
