"""Checks of isolation. Violations are detected on the host's side, without trusting the cell."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from pathlib import Path

from rlmbox.testing._sandbox_checks._opened import MakeSandbox, Opened, expect, opened


async def _output(repl: Opened, code: str) -> str:
    """Run a cell that may fail in any way, and return all that it reported to the host."""
    execution = await repl.run(code)
    return f"{execution.stdout}\n{execution.stderr}\n{execution.value}\n{execution.error}"


def _written(directory: str, text: str) -> str:
    """Write a file on the host and return its path."""
    path = Path(directory, "canary.txt")
    path.write_text(text)
    return str(path)


def _entries(directory: str) -> list[Path]:
    return list(Path(directory).iterdir())


async def check_the_environment_is_empty(make_sandbox: MakeSandbox) -> None:
    """No variable of the host's environment can be read."""
    canary = secrets.token_hex(16)
    os.environ["RLMBOX_CHECK_CANARY"] = canary
    try:
        async with opened(make_sandbox) as repl:
            code = "import os\nprint(dict(os.environ))\nprint(os.getenv('RLMBOX_CHECK_CANARY'))"
            own = "print(open('/proc/self/environ').read())"
            expect(
                canary not in await _output(repl, code) + await _output(repl, own),
                "the host's environment is not there",
            )
    finally:
        del os.environ["RLMBOX_CHECK_CANARY"]


async def check_host_files_cannot_be_read(make_sandbox: MakeSandbox) -> None:
    """A file of the host does not exist in the sandbox."""
    canary = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="rlmbox-check-") as directory:
        path = _written(directory, canary)
        async with opened(make_sandbox) as repl:
            told = await _output(repl, f"print(open({path!r}).read())")
            told += await _output(repl, f"import pathlib\nprint(pathlib.Path({path!r}).read_text())")
            expect(canary not in told, "the host's file cannot be read")


async def check_host_files_cannot_be_written(make_sandbox: MakeSandbox) -> None:
    """No file is created in a directory of the host."""
    with tempfile.TemporaryDirectory(prefix="rlmbox-check-") as directory:
        async with opened(make_sandbox) as repl:
            made = str(Path(directory, "made"))
            await repl.run(f"open({made!r}, 'w').write('x')")
            expect(not _entries(directory), "nothing was written on the host")


async def check_the_host_process_cannot_be_seen(make_sandbox: MakeSandbox) -> None:
    """The host process, which holds the keys, cannot be read by pid or as the parent."""
    own = os.getpid()
    async with opened(make_sandbox) as repl:
        told = await _output(repl, f"import os\nprint('se' + 'en', open('/proc/{own}/cmdline').read())")
        expect("seen" not in told, "the host's process is not in /proc")
        expect(
            f"pid {own}!" not in await _output(repl, "import os\nprint(f'pid {os.getppid()}!')"),
            "its number is not told",
        )


async def check_the_network_cannot_be_reached(make_sandbox: MakeSandbox) -> None:
    """A listener on the host's loopback interface gets no connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        async with opened(make_sandbox) as repl:
            await repl.run(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).sendall(b'x')")
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return
        raise AssertionError("nothing connects to the host")
