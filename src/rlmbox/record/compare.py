"""Comparison of a replayed cell's result with the record."""

from __future__ import annotations

import re

from rlmbox.types import Execution

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")
_SHOWN_CHARS = 500


def printed_otherwise(recorded: Execution, now: Execution) -> bool:
    """Return True if two executions of a cell differ in their outcome or their output, except for addresses.

    Args:
        recorded: The recorded result.
        now: The result now.
    """
    return _of_note(recorded) != _of_note(now)


def shown_output(execution: Execution) -> str:
    """Return the output of an execution, to the extent that events include it.

    Args:
        execution: The execution.
    """
    outcome, *texts = _of_note(execution)
    text = "".join(texts)[:_SHOWN_CHARS]
    return text if outcome == "ok" else f"[{outcome}] {text}"


def _of_note(execution: Execution) -> tuple[str, ...]:
    error = execution.error.type if execution.error else ""
    texts = (execution.stdout, execution.stderr, execution.value_repr or "", error)
    return (execution.outcome, *(_ADDRESS.sub("0x…", text) for text in texts))
