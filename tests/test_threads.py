"""Threads that are under way when Python ends."""

import subprocess
import sys

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
