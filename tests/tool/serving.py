"""A running `rlmbox tool`, as a client sees it."""

import json
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from preloaded import rlmbox_command


def tool_command() -> list[str]:
    """Return what starts the service; arguments follow."""
    return [*rlmbox_command(), "tool"]


class Tool:
    """The service, started as people start it, since tests look at its process; a context manager that ends it.

    Args:
        arguments: Further arguments of the command.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rlmbox", "tool", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send(self, **request: object) -> None:
        self.send_line(json.dumps(request).encode())

    def send_line(self, line: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, **request: object) -> dict[str, Any]:
        self.send(**request)
        return self.answer()

    def ended(self) -> int:
        """Close its input and wait for its end."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        return self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()
