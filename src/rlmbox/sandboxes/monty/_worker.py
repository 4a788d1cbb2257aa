"""Worker processes of Monty: each serves one session and ends with it.

A process keeps the memory of the session that it served, and what a bug in the interpreter left there would reach the
next one. A new process starts in a few milliseconds, so none is reused, and none is kept in reserve: see decision 0110.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

from pydantic_monty import Monty, MontyError

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.monty import _walls


class MontyWorker:
    """A Monty process, started on construction.

    Raises:
        SandboxUnavailable: No process can be started.
    """

    def __init__(self) -> None:
        self._session: Any = None
        self._was_killed = False
        self.pid: int | None = None
        self._pool = _started(_walls.launcher())

    def open(self, **options: Any) -> Any:
        """Open the session and return it; the options are those of `Monty.checkout`.

        Raises:
            SandboxUnavailable: The process does not run.
        """
        try:
            self._session = self._pool.checkout(**options).__enter__()
        except (OSError, RuntimeError, MontyError) as error:
            if not _walls.give_up():
                raise SandboxUnavailable(f"monty's worker does not start: {error}") from error
            self._pool = _started(None)
            return self.open(**options)
        _walls.prove()
        self.pid = self._session.worker_pid
        return self._session

    def kill(self) -> None:
        """Kill the process; a call in progress in another thread then fails."""
        pid = self.pid
        # The pid cannot have been reused while the session, which would reap the process, is open.
        if pid is not None and self._session is not None and not self._was_killed:
            self._was_killed = True
            with suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def end(self) -> None:
        """End the process; no call may be in progress."""
        session, self._session = self._session, None
        self.kill()
        with suppress(MontyError, RuntimeError):  # the process may have been killed
            if session is not None:
                session.__exit__(None, None, None)
        with suppress(MontyError, RuntimeError):
            self._pool.__exit__(None, None, None)


_home: list[int] = []
"""The process in which Monty's runtime was started; a fork of it lacks the runtime's threads."""


def _check_process() -> None:
    if not _home:
        _home.append(os.getpid())
    elif _home[0] != os.getpid():
        raise SandboxUnavailable(
            "monty cannot start in a process that was forked from one that has used it; start the process with "
            "multiprocessing's 'spawn' or 'forkserver', or use another sandbox"
        )


def _started(program: str | None) -> Monty:
    _check_process()
    try:
        return Monty(binary_path=program, min_processes=1, max_processes=1).__enter__()
    except (OSError, RuntimeError, MontyError) as error:
        if program is not None and _walls.give_up():
            return _started(None)
        is_full = "Too many open files" in str(error)
        remedy = "raise the limit of open files (ulimit -n)" if is_full else "try `pip install pydantic-monty`"
        raise SandboxUnavailable(f"monty cannot start: {error}; {remedy}") from error
