"""`rlmbox tool` and `rlmbox mcp`: Python, and all of rlmbox, for other agents."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

from rlmbox.cli.cell_options import cell_limits
from rlmbox.cli.executing import ExecSettings
from rlmbox.cli.failing import report
from rlmbox.context import Context
from rlmbox.context.load.opening import standard_input
from rlmbox.errors import ConfigError
from rlmbox.guard.visible import printable
from rlmbox.sandboxes.base import Sandbox
from rlmbox.tool.interpreter import Interpreter, tool_limits
from rlmbox.tool.sessions import ToolSessions
from rlmbox.tool.stdio import Service, unwritable


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """The options of `rlmbox tool`, as they came from the command line.

    Attributes:
        sandbox: The sandbox's name.
        unsafe_no_isolation: Whether `local` may be used, which isolates nothing.
        context: What `--context` names.
        packages: Installed packages that code may import.
        memory_mb: MiB that a session may use; None for the library's default.
        timeout_s: Seconds that a request may run which names no timeout.
        max_timeout_s: The longest timeout that a request may name.
        max_sessions: Sessions that may be open at once.
        echo: Whether the value of a last bare expression is printed.
    """

    sandbox: str = "auto"
    unsafe_no_isolation: bool = False
    context: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    memory_mb: float | None = None
    timeout_s: float = 30.0
    max_timeout_s: float = 600.0
    max_sessions: int = 256
    echo: bool = False

    def sessions(self) -> ToolSessions:
        """Make what answers.

        Raises:
            ConfigError: An option is wrong.
            ContextError: The context cannot be opened.
        """
        for name, value in (("--timeout", self.timeout_s), ("--max-timeout", self.max_timeout_s)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} must be a number above 0, not {value:g}")
        memory_bytes = None if self.memory_mb is None else cell_limits(None, self.memory_mb).memory_bytes
        limits = tool_limits(memory_bytes=memory_bytes, max_timeout_s=self.max_timeout_s)
        make_sandbox = self.sandbox_maker()
        if "-" in self.context:
            raise ConfigError("standard input carries the requests, so it cannot be the context; name a file")
        paths = self.context[0] if len(self.context) == 1 else list(self.context)
        context = Context.from_path(paths) if self.context else None
        return ToolSessions(
            lambda: Interpreter(make_sandbox, limits, context=context, echo=self.echo),
            timeout_s=self.timeout_s,
            max_timeout_s=self.max_timeout_s,
            max_sessions=self.max_sessions,
        )

    def sandbox_maker(self) -> Callable[[], Sandbox]:
        """Return what makes sandboxes; see `ExecSettings.sandbox_maker`."""
        return ExecSettings(
            sandbox=self.sandbox, unsafe_no_isolation=self.unsafe_no_isolation, packages=self.packages
        ).sandbox_maker()


def serve_tool(settings: ToolSettings, *, debug: bool) -> int:
    """Run `rlmbox tool`; return the exit code."""
    try:
        _check_streams()
        service = Service(settings.sessions(), sys.stdin.fileno(), sys.stdout.fileno(), _warn)
        return asyncio.run(service.serve())
    except OSError as error:
        return unwritable(error)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=False, debug=debug)


def _check_streams() -> None:
    standard_input()  # a closed one is named
    if sys.__stdout__ is None:
        raise ConfigError("standard output is closed, so there is no way to return the answers")


def _warn(line: str) -> None:
    print(f"warning: {printable(line)}", file=sys.stderr, flush=True)  # noqa: T201
