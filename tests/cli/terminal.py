"""A program at a real pseudo-terminal: what it shows, and what a person types."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from preloaded import rlmbox_at_terminal

_CONTROL = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\x1b[=>]|[\r\x07]")


class Terminal:
    """`rlmbox` at a pseudo-terminal of its own.

    Args:
        arguments: Of the command.
        environment: Its environment.
        folder: Where it runs.
    """

    def __init__(self, *arguments: str, environment: dict[str, str], folder: Path) -> None:
        self.shown = ""
        self._from = 0
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (40, 200))
        self.process = subprocess.Popen(
            [*rlmbox_at_terminal(), *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**environment, "TERM": "xterm-256color"},
            cwd=folder,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def expect(self, text: str) -> None:
        """Wait until a text is shown, after what was expected before."""
        while (at := self.shown.find(text, self._from)) < 0:
            assert self._read(), f"{text!r} did not come:\n{self.shown}"
        self._from = at + len(text)

    def until(self, text: str) -> str:
        """Wait for a text as `expect` does; return what is shown before it."""
        begin = self._from
        self.expect(text)
        return self.shown[begin : self._from - len(text)]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, reading what is shown meanwhile."""
        for _ in range(2_000):
            if holds():
                return
            self.pause(0.01)
        raise AssertionError(f"it did not come to that:\n{self.shown}")

    def pause(self, seconds: float) -> None:
        """Read what is shown for a while."""
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            if select.select([self._master], [], [], left_s)[0]:
                self._read()

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self._master, f"{text}\n".encode())

    def press(self, key: str) -> None:
        """Press a key, such as "\x03" for Ctrl-C."""
        os.write(self._master, key.encode())

    def press_until(self, key: str, text: str) -> None:
        """Press a key until a text is shown.

        A Ctrl-C that comes after the prompt is drawn and before the interpreter waits for a line is seen with the next
        key only.
        """
        for _ in range(20):
            self.press(key)
            self.pause(0.5)
            if self.shown.find(text, self._from) >= 0:
                break
        self.expect(text)

    def end(self) -> int:
        """Wait until the program has ended; return its exit code."""
        while self._read():
            pass
        return self.process.wait(60)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 20)
        assert ready, f"nothing was shown for 20 seconds:\n{self.shown}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so at the end of a pseudo-terminal
            return False
        self.shown += _CONTROL.sub("", data.decode("utf-8", "replace"))
        return bool(data)
