"""Starts programs without importing the library each time: a process that has it imported forks for each start.

Most of what a program does in a test is to import. Here a test starts a small client in its place, which hands its
standard streams, arguments, environment and folder to that process, passes signals on, and ends as the program ends.
Where that could make a difference, the client becomes the program as people start it: with a standard stream that is
closed, with variables that the interpreter itself reads, and at a terminal, unless that is to be the program's own.
What a program imports late is imported for the next one once it has run; so a test of imports, or one that asks for a
process by its id, starts it for real.
"""

import os
import select
import signal
import socket
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:  # what follows is imported by the client, too, whose start should take no time
    import selectors
    import subprocess

# The pseudo-terminal has to be the one that controls the program, or Ctrl-C is only a character.
_AT_TERMINAL = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv[0] = "rlmbox"
runpy.run_module("rlmbox", run_name="__main__", alter_sys=True)
"""
_REAL = {"rlmbox": ("-m", "rlmbox"), "terminal": ("-c", _AT_TERMINAL), "python": ()}
_ANSWER_BYTES = 4
_REQUEST_BYTES = 1 << 20
_ELSEWHERE = -(2**31)
"""Sent in place of a process id: the client has to start the program itself."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if sys.platform != "win32" else ()
_HARMLESS = frozenset(
    {"PYTHONDONTWRITEBYTECODE", "PYTHONIOENCODING", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHON_KEYRING_BACKEND"}
)
_SAME_LOCALE = frozenset({"", "C", "POSIX", "C.UTF-8"})
# Numerical libraries start threads when they are imported, and no thread survives a fork.
_PRELOADED = frozenset(
    "anthropic anyio google h11 httpcore httpx httpx2 jiter jsonschema markdown_it mcp mdurl openai opentelemetry"  # noqa: SIM905
    " pathspec pydantic pydantic_ai pydantic_settings re2 rich rlmbox starlette stdnum typer uvicorn".split()
)
_started: "dict[int, tuple[subprocess.Popen[bytes], str]]" = {}
_shared: list[str] = []
"""The socket of a process that another one has started, where this is one of several that run tests."""


def rlmbox_command() -> list[str]:
    """Return what to start in place of `python -m rlmbox`; arguments follow."""
    return _command("rlmbox")


def rlmbox_at_terminal() -> list[str]:
    """Return what to start in place of `rlmbox` as the leader of a session whose terminal its standard streams are."""
    return _command("terminal")


def python_command() -> list[str]:
    """Return what to start in place of `python`; `-c`, a program and arguments follow."""
    return _command("python")


def address() -> str:
    """Return the socket of the process that forks; start that unless it runs, and do not wait for its imports."""
    if _shared:
        return _shared[0]
    running = _started.get(os.getpid())
    if running is None or running[0].poll() is not None:
        _started[os.getpid()] = _start()
    return _started[os.getpid()][1]


def share(path: str) -> None:
    """Use the process that has this `address`, which saves starting one for each process that runs tests."""
    _shared[:] = [path]


def _command(program: str) -> list[str]:
    if sys.platform != "linux":
        return [sys.executable, *_REAL[program]]
    return [sys.executable, "-I", "-S", __file__, address(), program]


def _start() -> "tuple[subprocess.Popen[bytes], str]":
    import atexit
    import subprocess
    import tempfile

    path = os.path.join(tempfile.mkdtemp(prefix="rlmbox-tests-"), "socket")  # noqa: PTH118 - the client has no pathlib
    kept = ("PATH", "PYTHONPATH", "HOME", "SYSTEMROOT")
    process = subprocess.Popen(
        [sys.executable, __file__, path],
        stdin=subprocess.PIPE,  # it ends when this is closed, however this process ends
        stdout=subprocess.PIPE,
        env={name: os.environ[name] for name in kept if name in os.environ},
    )
    assert process.stdout
    process.stdout.readline()
    atexit.register(_stop, process, os.getpid())
    return process, path


def _stop(process: "subprocess.Popen[bytes]", starter: int) -> None:
    """End the process that forks, in the one that has started it and not in one that was forked from that."""
    if os.getpid() == starter:
        process.communicate()


# ---- the client --------------------------------------------------------------------------------------------------


def _client(path: str, program: str, arguments: list[str]) -> None:
    """Have the program run, and end as it ends."""
    if _is_special(program) or (program == "python" and arguments[:1] != ["-c"]):
        _be_the_program(program, arguments)
    target: list[int] = []
    early: list[int] = []

    def pass_on(number: int, _: object) -> None:
        if target:
            with suppress(ProcessLookupError):
                os.kill(target[0], number)
        else:
            early.append(number)

    ignored = [number for number in _SIGNALS if signal.getsignal(number) == signal.SIG_IGN]
    woken, to_wake = os.pipe()
    os.set_blocking(to_wake, False)
    signal.set_wakeup_fd(to_wake)
    for number in _SIGNALS:
        if number not in ignored:
            signal.signal(number, pass_on)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST_BYTES)
        try:
            server.connect(path)
        except OSError:  # it has ended, and said why
            _be_the_program(program, arguments)
        folder = os.getcwd()  # noqa: PTH109 - as above
        request = repr((program, arguments, dict(os.environ), folder, [int(number) for number in ignored]))
        socket.send_fds(server, [request.encode("utf-8", "surrogatepass")], [0, 1, 2])
        target.append(_number(server, woken))
        if target[0] == _ELSEWHERE:
            _be_the_program(program, arguments)
        for signaled in early:
            pass_on(signaled, None)
        status = _number(server, woken)
    if status < 0:
        with suppress(OSError):  # some can be neither caught nor ignored
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _is_special(program: str) -> bool:
    try:
        at_terminal = any(os.isatty(stream) or os.fstat(stream) is None for stream in range(3))
    except OSError:
        return True  # one is closed
    of_python = any(name.startswith("PYTHON") and name not in _HARMLESS for name in os.environ)
    of_locale = any(os.environ.get(name, "") not in _SAME_LOCALE for name in ("LANG", "LC_ALL", "LC_CTYPE"))
    return at_terminal != (program == "terminal") or of_python or of_locale


def _be_the_program(program: str, arguments: list[str]) -> None:
    os.execv(sys.executable, [sys.executable, *_REAL[program], *arguments])


def _number(server: socket.socket, woken: int) -> int:
    # A signal that comes just before a process begins to wait in `recv` would be seen to only after it.
    while server.fileno() not in select.select([server.fileno(), woken], [], [])[0]:
        os.read(woken, 1)
    answer = server.recv(_ANSWER_BYTES)
    if not answer:
        sys.exit("the process that preloads programs for tests has ended")
    return int.from_bytes(answer, "big", signed=True)


# ---- the process that forks --------------------------------------------------------------------------------------


class _Server:
    """Forks for each client, and tells it how the program ended."""

    def __init__(self, path: str) -> None:
        import selectors

        self._path = path
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(path)
        self._listening.listen(64)
        self._told, self._tell = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._waiting = selectors.DefaultSelector()
        for source in (0, self._listening, self._told):
            self._waiting.register(source, selectors.EVENT_READ)
        self._running: dict[int, tuple[int, socket.socket]] = {}  # by the descriptor of the process
        self.program, self.arguments = "", [""]

    def serve(self) -> None:
        """Wait for clients; return in the process that was forked for one, which is the program then."""
        import gc

        while True:
            gc.freeze()
            for key, _ in self._waiting.select():
                if key.fileobj == 0:
                    self._end()
                elif key.fileobj is self._told:
                    _import(self._told.recv(_REQUEST_BYTES).decode().split())
                elif key.fileobj is not self._listening:
                    self._ended(key)
                elif self._forked():
                    return

    def _forked(self) -> bool:
        import ast

        connection = self._listening.accept()[0]
        request, streams, _, _ = socket.recv_fds(connection, _REQUEST_BYTES, 3)
        given = ast.literal_eval(request.decode("utf-8", "surrogatepass"))
        self.program, self.arguments, environment, folder, ignored = given
        if environment.get("PYTHONPATH") != os.environ.get("PYTHONPATH"):
            child = _ELSEWHERE
        elif (child := os.fork()) == 0:
            self._leave(connection)
            _become(environment, folder, ignored, streams)
            if self.program == "terminal":
                _take_terminal()
            return True
        for stream in streams:
            os.close(stream)
        with suppress(BrokenPipeError):
            _send(connection, child)
        if child == _ELSEWHERE:
            connection.close()
            return False
        process = os.pidfd_open(child)
        self._running[process] = child, connection
        self._waiting.register(process, 1)
        self._waiting.register(connection, 1, child)
        return False

    def _leave(self, connection: socket.socket) -> None:
        """Close what is the server's, in the process that was forked."""
        import atexit

        self._waiting.close()
        for each in (connection, self._listening, self._told, *(client for _, client in self._running.values())):
            each.close()
        for process in self._running:
            os.close(process)
        atexit.register(_tell_imports, self._tell, frozenset(sys.modules))

    def _ended(self, key: "selectors.SelectorKey") -> None:
        """Tell a client how its program ended; end the program of a client that was killed."""
        if isinstance(key.fileobj, socket.socket):
            if key.fileobj.fileno() >= 0:  # else both have ended at once, and the program was seen to first
                self._waiting.unregister(key.fileobj)
                os.kill(key.data, signal.SIGKILL)  # it is waited for below, so the id is still its own
            return
        process = key.fd
        child, connection = self._running.pop(process)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._waiting.unregister(process)
        os.close(process)
        with suppress(KeyError):
            self._waiting.unregister(connection)
        with suppress(BrokenPipeError):
            _send(connection, status)
        connection.close()

    def _end(self) -> None:
        for child, _ in self._running.values():
            os.kill(child, signal.SIGKILL)
        with suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - as above
            os.rmdir(os.path.dirname(self._path))  # noqa: PTH106, PTH120
        os._exit(0)


def _send(connection: socket.socket, number: int) -> None:
    connection.send(number.to_bytes(_ANSWER_BYTES, "big", signed=True))


def _become(environment: dict[str, str], folder: str, ignored: list[int], streams: list[int]) -> None:
    """Take over from a client what the program could see of it."""
    import codecs
    import time

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    encoding, _, errors = environment.get("PYTHONIOENCODING", "").partition(":")
    encoding = encoding and codecs.lookup(encoding).name
    # Those of the server remember whether what they stood for could be sought in.
    sys.stdin, sys.stdout, sys.stderr = (
        open(  # noqa: SIM115
            number,
            "w" if number else "r",
            -1,
            encoding or old.encoding,
            (errors or (encoding and "strict") or old.errors) if number < 2 else old.errors,
            closefd=False,
        )
        for number, old in enumerate((sys.stdin, sys.stdout, sys.stderr))
    )
    sys.stderr.reconfigure(line_buffering=True)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for number in _SIGNALS:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in ignored else usual)


def _take_terminal() -> None:
    """Have the terminal that the client was started at be the one that controls this process."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _run(program: str, arguments: list[str]) -> None:
    import types

    import rlmbox.cli

    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if program == "python":
        sys.path[0], sys.argv = "", ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), vars(main))
    else:
        file = os.path.join(os.path.dirname(rlmbox.__file__), "__main__.py")  # noqa: PTH118, PTH120
        name = "rlmbox" if program == "terminal" else file
        sys.path[0], sys.argv, main.__package__ = os.getcwd(), [name, *arguments], "rlmbox"  # noqa: PTH109
        rlmbox.cli.main()


def _prepare() -> None:
    """Make what each program makes first: the table of commands with their options, and compiled patterns."""
    import typer.main

    from rlmbox.cli.app import app
    from rlmbox.guard import Guard
    from rlmbox.reply.parse import parse_reply

    commands = typer.main.get_command(app)
    typer.main.get_command = lambda typer_instance: commands
    Guard().warm()
    parse_reply("```repl\nprint(1)\n```\n\nFINAL(1)")


def _import(names: list[str]) -> None:
    from importlib import import_module

    for name in names:
        with suppress(Exception):
            import_module(name)


def _tell_imports(tell: socket.socket, before: frozenset[str]) -> None:
    names = [name for name in sys.modules if name not in before and name.partition(".")[0] in _PRELOADED]
    if names:
        with suppress(OSError):
            tell.send(" ".join(names).encode())


def _leave_quickly(status: int) -> None:
    """End as the interpreter does, but for taking apart what it has imported."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _main() -> None:
    if sys.flags.isolated:
        _client(sys.argv[1], sys.argv[2], sys.argv[3:])
    server = _Server(sys.argv[1])  # clients wait there until all is imported
    os.write(1, b"ready\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _prepare()
    server.serve()
    try:
        _run(server.program, server.arguments)
    except SystemExit as ending:
        if not isinstance(ending.code, int):
            raise
        _leave_quickly(ending.code)
    else:
        _leave_quickly(0)


if __name__ == "__main__":
    _main()
