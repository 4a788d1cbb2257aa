"""A program that tests start from the preloaded process is what one started for real would be."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.environment import bare
from preloaded import python_command, rlmbox_command

SHOWN = "import os, sys; print(sys.argv, sys.path[0], __name__, os.getcwd(), os.environ['SAID'], sys.stdin.read())"
PROGRAMS = {
    "what it is given": (SHOWN, "one", "two words"),
    "a status": ("import atexit, sys; atexit.register(print, 'late'); sys.exit(7)",),
    "a last word": ("import sys; sys.exit('bye')",),
    "a signal": ("import os; os.kill(os.getpid(), 9)",),
    "a thread that is waited for": ("import threading, time; threading.Timer(0.05, print, ['late']).start()",),
    "bytes": ("import sys; sys.stdout.buffer.write(bytes(range(256))); sys.stderr.write('é')",),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_given_and_does_the_same(name: str, tmp_path: Path) -> None:
    preloaded, real = (
        subprocess.run(
            [*command, "-c", *PROGRAMS[name]], input=b"typed \xff", capture_output=True, check=False, cwd=tmp_path,
            env=bare(SAID="é"),
        )
        for command in (python_command(), [sys.executable])
    )  # fmt: skip
    assert (preloaded.returncode, preloaded.stdout, preloaded.stderr) == (real.returncode, real.stdout, real.stderr)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:replace", ":ignore"])
def test_its_streams_have_the_same_encoding(encoding: str) -> None:
    program = "import sys; print([(s.encoding.lower(), s.errors) for s in (sys.stdin, sys.stdout, sys.stderr)])"
    preloaded, real = (
        subprocess.run([*command, "-c", program], capture_output=True, check=True, env=bare(PYTHONIOENCODING=encoding))
        for command in (python_command(), [sys.executable])
    )
    assert preloaded.stdout == real.stdout


def test_the_command_calls_itself_the_same() -> None:
    wrong = [
        subprocess.run([*command, "nothing"], capture_output=True, check=False, env=bare())
        for command in (rlmbox_command(), [sys.executable, "-m", "rlmbox"])
    ]
    assert wrong[0].returncode == 2
    assert wrong[0].stderr == wrong[1].stderr


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.usefixtures("interruptible")
def test_a_signal_reaches_it(number: str) -> None:
    code = "import time; print('here', flush=True); time.sleep(600)"
    with subprocess.Popen([*python_command(), "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"here\n"
        process.send_signal(getattr(signal, number))
        process.communicate()  # so nobody holds its streams any more
    assert process.returncode == -getattr(signal, number)
