"""The process's one pool of Monty workers."""

from __future__ import annotations

import threading
from typing import Any

from pydantic_monty import Monty, MontyError

from rlmbox.errors import SandboxUnavailable
from rlmbox.types import CellLimits

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


def new_session(limits: CellLimits, memory_bytes: int, stubs: str | None = None) -> Any:
    """Takes a worker for a session, which gives it back when its `__exit__` is called.

    Args:
        limits: What a cell may use.
        memory_bytes: Memory of the session, with the context.
        stubs: What the type checker is to know; None for no check.

    Raises:
        SandboxUnavailable: There is no pool and none can be made here.
    """
    checkout = worker_pool().checkout(
        script_name="rlm_session",
        limits={
            "max_feed_duration_secs": limits.cell_timeout_s,
            "max_memory": memory_bytes,
            "max_recursion_depth": limits.recursion_depth,
            "max_suspensions": limits.host_calls,
        },
        os_policy={"sleep": "zero"},
        type_check=stubs is not None,
        type_check_stubs=stubs,
        type_check_format="jsonlines",
        assert_message_annotations=False,
    )
    return checkout.__enter__()
