"""`rlmbox exec`: files, standard input or a prompt, as the cells of one session in a sandbox."""

from __future__ import annotations

import ast
import codeop
import importlib.util
import math
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rlmbox.cli.cell_options import cell_limits, image_note, with_image
from rlmbox.cli.failing import report
from rlmbox.cli.printing import print_json
from rlmbox.context import Context
from rlmbox.context.load.opening import standard_input
from rlmbox.context.repl import repl_functions
from rlmbox.errors import ConfigError, RLMError
from rlmbox.events import to_json
from rlmbox.guard.visible import printable
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.sync import run_blocking, start_soon
from rlmbox.types import Cell, CellError, CellLimits, Execution

NO_CONTEXT = "(no context)"
"""The context where none is given."""

_NAMESPACE_NOTES = {
    "rebuilt": "the variables were rebuilt by running the earlier cells again",
    "lost": "the variables are lost; the next cell starts in a fresh namespace",
}


@dataclass(frozen=True, slots=True)
class ExecSettings:
    """The options of `rlmbox exec`, as they came from the command line.

    Attributes:
        sandbox: The sandbox's name.
        sandbox_image: The image of the docker sandbox; None for its own.
        unsafe_no_isolation: Whether `local` may be used, which isolates nothing.
        context: What `--context` names; empty for a short text that says that there is none.
        cell_timeout_s: Seconds that each cell may run; None for the library's default.
        memory_mb: MiB that each cell may use beyond the context; None for the library's default.
        packages: Installed packages that cells may import.
        type_check: Whether cells are checked before they run.
        keep_going: Whether the cells after one that failed still run.
    """

    sandbox: str = "auto"
    sandbox_image: str | None = None
    unsafe_no_isolation: bool = False
    context: tuple[str, ...] = ()
    cell_timeout_s: float | None = None
    memory_mb: float | None = None
    packages: tuple[str, ...] = ()
    type_check: bool = False
    keep_going: bool = False

    def limits(self) -> CellLimits:
        """Return the limits of a cell.

        Raises:
            ConfigError: An option is not a number above 0.
        """
        return cell_limits(self.cell_timeout_s, self.memory_mb)

    def sandbox_maker(self) -> Callable[[], Sandbox]:
        """Return what makes the sandbox.

        Raises:
            ConfigError: There is no such sandbox, or it cannot have the packages, or it isolates nothing and was not
                asked for in so many words.
        """
        if self.sandbox == "local":
            return self._local()
        name = with_image(self.sandbox, self.sandbox_image)
        return sandbox_from(name, packages=self.packages, type_check=self.type_check)

    def _local(self) -> Callable[[], Sandbox]:
        if not self.unsafe_no_isolation:
            raise ConfigError(
                "local runs the code with your own permissions; use --sandbox auto, "
                "or add --unsafe-no-isolation if you trust every line of it"
            )
        from rlmbox.sandboxes.local import LocalSandbox

        return partial(LocalSandbox, unsafe_no_isolation=True, package_paths=[_folder_of(p) for p in self.packages])


@dataclass(frozen=True, slots=True)
class _Source:
    """A cell to run.

    Attributes:
        name: The file it comes from; `-` for standard input and the prompt.
        code: Its source.
    """

    name: str
    code: str


def exec_and_print(files: Sequence[str], settings: ExecSettings, *, as_json: bool, debug: bool) -> int:
    """Run `rlmbox exec`; return the exit code."""
    try:
        prompting = not files and sys.stdin is not None and sys.stdin.isatty()
        _check_standard_input(files, settings.context)
        if note := image_note(settings.sandbox, settings.sandbox_image):
            _write(f"note: {note}\n", sys.stderr)
        limits, make_sandbox = settings.limits(), settings.sandbox_maker()
        # Everything is read beforehand: a file that is not there is found before anything runs.
        sources = _prompted() if prompting else iter(_read(files or ["-"]))
        return _run(sources, make_sandbox, limits, settings, as_json=as_json, prompting=prompting)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        if as_json and isinstance(error, RLMError):
            described = {"type": type(error).__name__, "message": printable(str(error))}
            print_json({"error": described, "outcome": None}, indent=None)
        return report(error, as_json=False, debug=debug)


def _run(
    sources: Iterator[_Source],
    make_sandbox: Callable[[], Sandbox],
    limits: CellLimits,
    settings: ExecSettings,
    *,
    as_json: bool,
    prompting: bool,
) -> int:
    """Run the cells in one session and print the result of each; return the exit code."""
    context = _context(settings.context)
    host = {function.name: function for function in repl_functions(context)}
    sandbox = make_sandbox()
    failed = False
    # Each step waits here, in the main thread, so that an interrupt reaches the prompt as well as a cell.
    try:
        run_blocking(lambda: sandbox.start(limits, context, host))
        ran: list[_Source] = []
        for source in sources:
            ran.append(source)
            execute = _interruptible if prompting else _whole
            execution = _naming_files(execute(sandbox, Cell(source.code)), ran)
            _print_as_object(source, execution) if as_json else _print(execution, limits)
            failed = failed or execution.outcome != "ok"
            if failed and not (settings.keep_going or prompting):
                break
    finally:
        run_blocking(sandbox.close)
    return 1 if failed and not prompting else 0


def _whole(sandbox: Sandbox, cell: Cell) -> Execution:
    return run_blocking(partial(sandbox.execute, cell))


def _interruptible(sandbox: Sandbox, cell: Cell) -> Execution:
    """Run a cell of the prompt, which an interrupt (Ctrl-C) ends while the session goes on. A second one ends both."""
    ended = threading.Event()

    async def execute() -> Execution:
        try:
            return await sandbox.execute(cell)
        finally:
            ended.set()

    async def interrupt() -> bool:
        raises_in_it: Callable[[], bool] = getattr(sandbox, "interrupt", bool)
        return raises_in_it()

    running = start_soon(execute)
    try:
        return running.result()
    except KeyboardInterrupt:
        if ended.is_set():
            return running.result()
    try:
        if sandbox.outlives_cancellation:
            running.cancel()
            ended.wait()
            return Execution("error", error=CellError("KeyboardInterrupt", "", "KeyboardInterrupt"))
        if not run_blocking(interrupt):
            _write("(the cell ends at its time limit; Ctrl-C again leaves)\n", sys.stderr)
        return running.result()
    except KeyboardInterrupt:
        running.cancel()
        ended.wait()
        raise


def _context(paths: Sequence[str]) -> Context:
    """Open what `--context` names.

    Raises:
        ContextError: It is missing, unreadable or empty.
    """
    if not paths:
        return Context.from_text(NO_CONTEXT)
    return Context.from_path(paths[0] if len(paths) == 1 else list(paths))


def _check_standard_input(files: Sequence[str], context: Sequence[str]) -> None:
    """Check that standard input is wanted for one thing.

    Raises:
        ConfigError: It is to be both the context and a cell, or two cells.
    """
    if "-" in context and (not files or "-" in files):
        raise ConfigError("standard input cannot be both the context and the code; name a file for one of them")
    if files.count("-") > 1:
        raise ConfigError("standard input can be read only once; name - a single time")


def _read(files: Sequence[str]) -> list[_Source]:
    """Read the cells.

    Raises:
        ConfigError: A file cannot be read, or decoded.
    """
    sources = []
    for name in files:
        try:
            data = standard_input().read() if name == "-" else Path(name).read_bytes()
            sources.append(_Source(name, _decoded(data)))
        except OSError as error:
            raise ConfigError(f"{name} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            where = f"byte {error.start:,} is not {error.encoding.upper()}"
            raise ConfigError(f"{name} is not Python source: {where}") from error
    return sources


def _decoded(data: bytes) -> str:
    """Decode Python source, which may declare its encoding in one of its first two lines (PEP 263)."""
    import io
    import tokenize

    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:  # not UTF-8, or an encoding that there is not
        encoding = "utf-8-sig"
    return data.decode(encoding)


def _folder_of(package: str) -> Path:
    """Find the folder that a package is imported from.

    Raises:
        ConfigError: It is not installed.
    """
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin is None:
        raise ConfigError(f"there is no package {package!r} in this environment; install it, or check its import name")
    path = Path(spec.origin).parent
    return path.parent if spec.submodule_search_locations else path


def _prompted() -> Iterator[_Source]:
    """Ask for cells at the terminal until the end of input; a statement with a body ends with an empty line."""
    import contextlib

    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its line editing
    while True:
        try:
            code = _one_cell()
        except EOFError:
            print()  # noqa: T201
            return
        except KeyboardInterrupt:
            print("\n(interrupted; the end of input, Ctrl-D, leaves)", file=sys.stderr)  # noqa: T201
            continue
        if code.strip():
            yield _Source("-", code)


def _one_cell() -> str:
    complete = codeop.CommandCompiler()
    complete.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    lines = [input(">>> ")]
    while True:
        try:
            if complete("\n".join(lines)) is not None:
                break
        except (SyntaxError, ValueError, OverflowError):
            break  # the sandbox says what is wrong with it
        lines.append(input("... "))
    return "\n".join(lines)


def _naming_files(execution: Execution, ran: Sequence[_Source]) -> Execution:
    """Have a traceback name the file of each line that it shows; the last that ran, where several have that line."""
    if execution.error is None:
        return execution

    def named(frame: re.Match[str]) -> str:
        number, line = int(frame[2]), frame[4].strip()
        for source in reversed(ran):
            lines = source.code.splitlines()
            if source.name != "-" and 0 < number <= len(lines) and lines[number - 1].strip() == line:
                return f"{frame[1]}{source.name}{frame[3]}{frame[4]}"
        return frame[0]

    traceback = _FRAME.sub(named, execution.error.traceback)
    return replace(execution, error=replace(execution.error, traceback=traceback))


_FRAME = re.compile(r"""(^  File ")<rlm_session>(?=", line (\d+))(.*\n)(    .*)""", re.MULTILINE)


def _print(execution: Execution, limits: CellLimits) -> None:
    """Print what a cell gave as Python would: output, the value of a last expression, the error."""
    _write(execution.stdout, sys.stdout)
    _write(execution.stderr, sys.stderr)
    if execution.value_repr is not None:
        _write(execution.value_repr + "\n", sys.stdout)
    if execution.error is not None:
        error = execution.error
        text = error.traceback or (f"{error.type}: {error.message}" if error.message else error.type)
        _write(text.rstrip("\n") + "\n", sys.stderr)
    if execution.outcome == "memory" and "--memory" not in (execution.error.message if execution.error else ""):
        more = max(512, 2 * math.ceil(limits.memory_bytes / 2**20))
        _write(f"note: --memory {more} gives a cell more\n", sys.stderr)
    if execution.namespace in _NAMESPACE_NOTES:
        _write(f"note: {_NAMESPACE_NOTES[execution.namespace]}\n", sys.stderr)


def _write(text: str, stream: object) -> None:
    """Write text as it is, but to a terminal only what does nothing there but show itself."""
    if text:
        shown = printable(text) if stream.isatty() else text  # type: ignore[attr-defined]
        print(shown, end="", file=stream, flush=True)  # type: ignore[call-overload]


def _print_as_object(source: _Source, execution: Execution) -> None:
    error = execution.error
    body = {
        "file": source.name,
        "outcome": execution.outcome,
        "stdout": execution.stdout,
        "stderr": execution.stderr,
        "dropped_chars": execution.dropped_chars,
        "error": to_json(error) if error else None,
        "value": to_json(execution.value),
        "value_repr": execution.value_repr,
        "duration_s": round(execution.duration_s, 6),
        "namespace": execution.namespace,
    }
    print_json(body, indent=None)
