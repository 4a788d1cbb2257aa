"""Worker processes of Monty: each serves one session and ends with it, and one more stands ready for the next.

A process that served a session keeps its memory, and what a fault in the interpreter left in it would be there for
the next session. A new one starts in about two milliseconds, so none is used twice.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

from pydantic_monty import Monty, MontyError

from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.monty import _walls

SPARES = 1
"""Processes that are kept ready."""

_lock = threading.Lock()
_spare: list[Worker] = []
_filling: threading.Thread | None = None
_is_over = False


class Worker:
    """A process of Monty, started at once.

    Raises:
        SandboxUnavailable: No process can be started here.
    """

    def __init__(self) -> None:
        self._session: Any = None
        self._was_killed = False
        self.pid: int | None = None
        self._pool = _started(_walls.launcher())

    def open(self, **options: Any) -> Any:
        """Begin the session and return it; the options are those of `Monty.checkout`.

        Raises:
            SandboxUnavailable: The process does not run here.
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
        """End the process at once; a call that is under way in another thread then fails."""
        pid = self.pid
        # Its number cannot have been given away while the session, which would collect it, is open.
        if pid is not None and self._session is not None and not self._was_killed:
            self._was_killed = True
            with suppress(ProcessLookupError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def end(self) -> None:
        """End the process; no call may be under way."""
        session, self._session = self._session, None
        self.kill()
        with suppress(MontyError, RuntimeError):  # a killed process has nothing left to give back
            if session is not None:
                session.__exit__(None, None, None)
        with suppress(MontyError, RuntimeError):
            self._pool.__exit__(None, None, None)


def _started(program: str | None) -> Monty:
    try:
        return Monty(binary_path=program, min_processes=1, max_processes=1).__enter__()
    except (OSError, RuntimeError, MontyError) as error:
        if program is not None and _walls.give_up():
            return _started(None)
        raise SandboxUnavailable(f"monty cannot start: {error}; try `pip install pydantic-monty`") from error


def take_worker() -> Worker:
    """Return a process that nobody has used, and have another one made ready.

    Raises:
        SandboxUnavailable: No process can be started here.
    """
    with _lock:
        worker = _spare.pop() if _spare else None
    _fill()
    return worker or Worker()


def _fill() -> None:
    """Start a thread that makes the spare processes."""
    global _filling
    with _lock:
        if _is_over or (_filling is not None and _filling.is_alive()):
            return
        if _filling is None:
            _walls.launcher()
            atexit.register(_end_spares)  # after the launcher's own clean-up was registered, so that it comes first
        _filling = threading.Thread(target=_make_spares, name="rlmbox-monty-spare", daemon=True)
        _filling.start()


def _make_spares() -> None:
    with suppress(SandboxUnavailable):  # the next session is told
        while len(_spare) < SPARES and not _is_over:
            time.sleep(0.005)  # the session that took the last one comes first
            worker = Worker()
            with _lock:
                _spare.append(worker)


def _end_spares() -> None:
    """End the spare processes with this one, before what they start from is removed."""
    global _is_over
    _is_over = True
    if _filling is not None:
        _filling.join(timeout=5)
    while _spare:
        _spare.pop().end()


def _forget_spares() -> None:
    """Leave the spare processes to the parent, in a process that was forked from it."""
    global _lock, _filling
    _lock, _filling = threading.Lock(), None
    _spare.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_spares)
