"""The process's one pool of Monty workers."""

from __future__ import annotations

import threading

from pydantic_monty import Monty, MontyError

from rlmbox.errors import SandboxUnavailable

_MAX_WORKERS = 100_000  # a checkout that waits would be a deadlock between a session and its children

_lock = threading.Lock()
_pool: Monty | None = None


def worker_pool() -> Monty:
    """Gives the pool, made on first use; its workers end with this process.

    Raises:
        SandboxUnavailable: It cannot be made here.
    """
    global _pool
    with _lock:
        if _pool is None:
            try:
                _pool = Monty(min_processes=1, max_processes=_MAX_WORKERS).__enter__()
            except (OSError, RuntimeError, MontyError) as error:
                raise SandboxUnavailable(f"monty cannot start: {error}; try `pip install pydantic-monty`") from error
        return _pool
