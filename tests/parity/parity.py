"""Cells, what CPython gives for them, and what a sandbox gives."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from parity import families
from parity.plain import CONTEXT, QUERY, reply
from rlmbox.context import Context
from rlmbox.sandboxes.base import Sandbox
from rlmbox.types import Cell, CellLimits, Execution, HostFunction

HERE = Path(__file__).parent
SESSION_CELLS = 60
"""Cells that share a session, so that a thousand of them do not need a thousand sessions."""

ADDRESS = re.compile(" at 0x[0-9a-f]+")
REFUSAL = "NotImplementedError"
"""The type of the error by which a sandbox says that it has not all of Python."""


@dataclass(frozen=True)
class Result:
    """What a cell came to."""

    error: str | None
    stdout: str
    value: object
    calls: list[list[Any]]
    message: str = ""

    @property
    def is_refused(self) -> bool:
        return self.error == REFUSAL

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Result) and self.seen == other.seen

    def __hash__(self) -> int:
        return hash(self.error)

    @property
    def seen(self) -> str:
        seen = json.dumps([self.error, self.stdout, self.value if self.error is None else None, self.calls])
        return ADDRESS.sub("", seen)  # which differs from run to run


@cache
def groups() -> dict[str, list[str]]:
    """All cells by group."""
    found: dict[str, list[str]] = {}
    for path in sorted((HERE / "cells").glob("*.txt")):
        for name, cells in _read(path.read_text(encoding="utf-8")):
            found.setdefault(name, []).extend(cells)
    for name, made in families.all_families().items():
        found.setdefault(name, []).extend(made)
    return found


def _read(text: str) -> Iterator[tuple[str, list[str]]]:
    """Groups begin with `## name`; cells are lines, or, where the name ends with a colon, have empty lines between."""
    for part in text.split("\n## ")[1:]:
        head, _, body = part.partition("\n")
        if head.endswith(":"):
            yield head[:-1], [cell.strip("\n") for cell in body.split("\n\n") if cell.strip()]
        else:
            yield head, [line for line in body.splitlines() if line.strip() and not line.startswith("#")]


@cache
def expected() -> dict[str, list[Result]]:
    """What CPython gives for every cell of every group; hashes are fixed, so that sets have one order."""
    names = [*groups()]
    sessions = [cells for name in names for cells in _sessions(groups()[name])]
    done = subprocess.run(
        [sys.executable, "-m", "parity.plain"],
        input=json.dumps(sessions),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=HERE.parent,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"},
    )
    results = iter(json.loads(done.stdout))
    return {name: [Result(**one) for _ in _sessions(groups()[name]) for one in next(results)] for name in names}


def _sessions(cells: list[str]) -> list[list[str]]:
    return [cells[at : at + SESSION_CELLS] for at in range(0, len(cells), SESSION_CELLS)]


async def ran(make_sandbox: Any, cells: list[str], *, has_handle: bool = False) -> list[Result]:
    """What a sandbox gives for the cells of a group; with a handle beside them, every cell is rewritten."""
    done: list[Result] = []
    for session in _sessions(cells):
        calls: list[list[Any]] = []

        def llm_query(prompt: str, calls: list[list[Any]] = calls) -> str:
            calls.append(["llm_query", prompt])
            return reply(prompt)

        sandbox: Sandbox = make_sandbox()
        host = {"llm_query": HostFunction("llm_query", llm_query, "asks")}
        inputs: dict[str, object] = {"answer": {"content": "", "ready": False}}
        text = Context.from_text(CONTEXT)
        limits = CellLimits(cell_timeout_s=20)
        if has_handle:
            limits = replace(limits, inline_limit_chars=text.length)
            inputs["long_text"] = Context.from_text("x" * 1_000)
        await sandbox.start(limits, text, host, query=QUERY, inputs=inputs)
        try:
            for cell in session:
                calls.clear()
                done.append(_result(await sandbox.execute(Cell(cell)), [*calls]))
        finally:
            await sandbox.close()
    return done


def _result(execution: Execution, calls: list[list[Any]]) -> Result:
    error = execution.error
    value = execution.value if error is None else None
    return Result(error.type if error else None, execution.stdout, value, calls, error.message if error else "")
