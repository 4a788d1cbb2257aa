"""The result of a call, and the limit on its texts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rlmbox.tool.schema import MAX_OUTPUT_BYTES, ToolCall
from rlmbox.types import CellError, Execution

LOST = "the interpreter was restarted: variables, imports and functions of earlier calls are lost"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The outcome of a call.

    Attributes:
        stdout: Standard output of the code; beyond 512 KiB the middle is cut, with a note.
        stderr: Standard error of the code, and the traceback of the exception that ended it, if any.
        exception: Type and message of that exception, or why the call was refused or ended; None on success.
        success: Whether the code ran to its end.
        execution_time: Duration in seconds.
        timed_out: Whether it reached its timeout.
    """

    stdout: str = ""
    stderr: str = ""
    exception: str | None = None
    success: bool = True
    execution_time: float = 0.0
    timed_out: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the result as a dictionary for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the result as one line of ASCII JSON, for a model or a program."""
        return json.dumps(self.as_dict())


def failure(reason: str, *, execution_time: float = 0.0) -> ToolResult:
    """Return the result of a call that could not run.

    Args:
        reason: Why.
        execution_time: Seconds until the failure.
    """
    return ToolResult(exception=cut_to_bytes(reason), success=False, execution_time=execution_time)


def cut_to_bytes(text: str, max_bytes: int = MAX_OUTPUT_BYTES) -> str:
    """Cut the middle of a text that is too long, leaving a note.

    Args:
        text: The text; lone surrogates become U+FFFD.
        max_bytes: Limit of its length in UTF-8, the note included.
    """
    if len(text) * 4 <= max_bytes and text.isascii():
        return text
    data = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
    if len(data) <= max_bytes:
        return data.decode()
    half = max_bytes // 2 - 50  # the note has some 80 characters
    head, tail = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    dropped = len(data) - len(head.encode()) - len(tail.encode())
    return f"{head}\n... [{dropped:,} bytes of output cut: print less] ...\n{tail}"


def of_execution(
    execution: Execution,
    call: ToolCall,
    *,
    timed_out: bool = False,
    lost_before: bool = False,
    echo: bool = False,
) -> ToolResult:
    """Convert an `Execution` to the result of a call.

    Args:
        execution: The execution.
        call: The call.
        timed_out: Whether it was ended at its timeout.
        lost_before: Whether the variables were lost before it ran.
        echo: Whether the value of a last bare expression is printed.
    """
    error = execution.error
    timed_out = timed_out or execution.outcome == "timeout"
    is_lost = execution.namespace == "lost"
    stdout, stderr = execution.stdout, execution.stderr
    exception = _line(error) if error is not None else None
    if timed_out:
        state = LOST if is_lost else "variables, imports and functions are kept"
        exception = f"TimeoutError: the code ran longer than {call.timeout_s:g} s and was ended; {state}"
    elif error is not None:
        stderr = _joined(stderr, error.traceback or exception or "")
        exception = f"{exception}; {LOST}" if is_lost else exception
    if echo and execution.value_repr is not None:
        stdout = _joined(stdout, execution.value_repr)
    if lost_before:
        stderr = _joined(f"note: {LOST}", stderr)
    return ToolResult(
        cut_to_bytes(stdout),
        cut_to_bytes(stderr),
        cut_to_bytes(exception) if exception else None,
        success=exception is None,
        execution_time=round(execution.duration_s or (call.timeout_s if timed_out else 0.0), 6),
        timed_out=timed_out,
    )


def _line(error: CellError) -> str:
    return f"{error.type}: {error.message}" if error.message else error.type


def _joined(text: str, more: str) -> str:
    between = "" if not text or text.endswith("\n") or not more else "\n"
    return f"{text}{between}{more.rstrip(chr(10))}\n" if more else text
