"""The result of a call, whatever became of it, and the bound of its texts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from rlmbox.tool.schema import MAX_OUTPUT_BYTES

LOST = "the interpreter was restarted: variables, imports and functions of earlier calls are lost"
_REPLACED = "�"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The outcome of a call.

    Attributes:
        stdout: What the code printed; cut in the middle, with a note, above 512 KiB.
        stderr: What it wrote to the error stream, and the traceback of the exception that ended it, if one did.
        exception: That exception's type and message, or why the call was refused or ended; None where it succeeded.
        success: Whether the code ran to its end.
        execution_time: Seconds it took.
        timed_out: Whether its time was over.
    """

    stdout: str = ""
    stderr: str = ""
    exception: str | None = None
    success: bool = True
    execution_time: float = 0.0
    timed_out: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return the result as JSON has it."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the result as a line of JSON that is all ASCII, for a model or a program."""
        return json.dumps(self.as_dict())


def failure(reason: str, *, execution_time: float = 0.0) -> ToolResult:
    """Return the result of a call that could not be carried out.

    Args:
        reason: Why.
        execution_time: Seconds until that was known.
    """
    return ToolResult(exception=bounded(reason), success=False, execution_time=execution_time)


def bounded(text: str, max_bytes: int = MAX_OUTPUT_BYTES) -> str:
    """Return a text of at most so many bytes of UTF-8, with a note in the place of what was left out of its middle.

    Args:
        text: The text; lone surrogates, which UTF-8 has not, become U+FFFD.
        max_bytes: What it may have, the note included.
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
