"""Threads of the library's own: that of the shared event loop, and those under way when Python ends."""

import asyncio
import subprocess
import sys
from concurrent.futures import CancelledError

import pytest

from rlmbox.sync import run_blocking

_PROGRAM = """
import threading, time
from rlmbox.guard import Guard
from rlmbox.threads import start_background
stop = threading.Event()
def work():
    while not stop.is_set():
        Guard().warm()
start_background(work, "compiles", stop.set)
time.sleep(0.08)
"""


def test_a_program_ends_well_while_a_thread_compiles_patterns() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


class Over(BaseException):
    """Something that only a caller may handle, as SystemExit is."""


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), Over()], ids=repr)
def test_what_ends_one_blocking_call_ends_no_other(error: BaseException) -> None:
    async def end() -> None:
        raise error

    async def go_on() -> int:
        return 7

    with pytest.raises(type(error)):
        run_blocking(end)
    assert run_blocking(go_on) == 7


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_was_ended_is_replaced() -> None:
    async def end_loop() -> None:
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().stop)
        await asyncio.sleep(30)

    async def go_on() -> int:
        return 7

    with pytest.raises((RuntimeError, CancelledError)):
        run_blocking(end_loop)
    assert run_blocking(go_on) == 7


def test_a_blocking_call_on_the_librarys_own_loop_is_refused_with_the_remedy() -> None:
    async def outer() -> int:
        return run_blocking(inner)

    async def inner() -> int:
        return 7

    with pytest.raises(RuntimeError, match="make the hook async"):
        run_blocking(outer)
