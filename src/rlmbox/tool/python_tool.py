"""The tool as an object: its schema for a model, and its calls."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio.to_thread

from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.sync import run_blocking, start_soon
from rlmbox.tool.interpreter import Interpreter, tool_limits
from rlmbox.tool.result import ToolResult, failure
from rlmbox.tool.schema import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, BadCall, SchemaProvider, ToolCall, read_call, schema
from rlmbox.types import CellLimits

_Result = TypeVar("_Result")
_log = logging.getLogger("rlmbox")


class PythonTool:
    """A persistent, sandboxed Python interpreter for any agent.

    Give `schema(...)` to a model as a tool, and pass the arguments that the model sends to `call` or `acall`. Any
    arguments are answered with a `ToolResult`. It may be used from several threads and event loops at once; calls run
    one after another. Use it as a context manager, or call `close()`, to end the interpreter.

    Args:
        sandbox: Name of the sandbox, or a function that creates one. `auto` is the strongest one that passes its
            self-check on this machine.
        packages: Installed packages that code may import, such as `numpy`, with their dependencies.
        context: A text of any length, available as `context`, with `ctx` to search it; None for none.
        timeout_s: Timeout of a call that specifies none, in seconds.
        max_timeout_s: Longest timeout that a call may specify.
        memory_bytes: Memory limit of the code, without the context; None for 128 MiB.
        echo: Print the value of a last bare expression, as at Python's prompt.

    Raises:
        ConfigError: The sandbox does not exist or cannot provide the packages, or a number is not above 0.
        ContextError: The context cannot be opened.
    """

    def __init__(
        self,
        sandbox: str | Callable[[], Sandbox] = "auto",
        *,
        packages: Sequence[str] = (),
        context: Context | str | bytes | Path | Sequence[object] | Mapping[str, object] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_timeout_s: float = MAX_TIMEOUT_S,
        memory_bytes: int | None = None,
        echo: bool = False,
    ) -> None:
        for name, number in (
            ("timeout_s", timeout_s),
            ("max_timeout_s", max_timeout_s),
            ("memory_bytes", memory_bytes),
        ):
            if number is not None and not number > 0:
                raise ConfigError(f"{name} must be a number above 0, not {number!r}")
        if isinstance(packages, str):
            raise ConfigError(f"packages is a list of names, such as [{packages!r}]")
        if packages and not isinstance(sandbox, str):
            raise ConfigError(
                "packages go with the name of a sandbox; a function that makes sandboxes adds them itself"
            )
        self._make_sandbox = sandbox_from(sandbox, packages=packages) if isinstance(sandbox, str) else sandbox
        self._limits: CellLimits = tool_limits(memory_bytes=memory_bytes, max_timeout_s=max_timeout_s)
        try:
            self._context = None if context is None else Context.of(context)
        except TypeError as error:
            raise ConfigError(str(error)) from error
        self._timeout_s, self._max_timeout_s, self._echo = timeout_s, max_timeout_s, echo
        self._interpreter: Interpreter | None = None
        self._closed = False

    @staticmethod
    def schema(provider: SchemaProvider | None = None) -> dict[str, Any]:
        """Return the tool definition in the format of a provider.

        Args:
            provider: `openai` for chat completions and compatible servers, `anthropic`, `google` for a function
                declaration, `mcp`; None for only `name`, `description` and `parameters`.

        Raises:
            ConfigError: There is no such provider.
        """
        return schema(provider)

    @property
    def sandbox(self) -> str:
        """Name of the sandbox; empty before the start."""
        return "" if self._interpreter is None else self._interpreter.sandbox

    def call(self, arguments: object = None, /, *, code: object = None, timeout: object = None) -> ToolResult:
        """Run a call and wait for its result.

        Args:
            arguments: What the model sent: a mapping with `code` and optionally `timeout`, or the same as JSON text.
            code: The code, instead of `arguments`.
            timeout: Timeout in seconds, with `code`; None for `timeout_s`.
        """
        read = self._read(arguments, code, timeout)
        return read if isinstance(read, ToolResult) else run_blocking(lambda: self._run(read))

    async def acall(self, arguments: object = None, /, *, code: object = None, timeout: object = None) -> ToolResult:
        """Run a call; see `call`. Cancellation interrupts the code; if it stops in time, its variables are kept."""
        read = self._read(arguments, code, timeout)
        return read if isinstance(read, ToolResult) else await _elsewhere(lambda: self._run(read))

    def start(self) -> bool:
        """Start the interpreter, which the first call does otherwise; return whether it runs.

        A failure is logged as a warning and raises no error: the agent goes on, and each call tries again and reports
        why it failed.
        """
        return run_blocking(self._start)

    async def astart(self) -> bool:
        """Start the interpreter; see `start`."""
        return await _elsewhere(self._start)

    def close(self) -> None:
        """End the interpreter; a running call ends, and later ones fail."""
        run_blocking(self._close)

    async def aclose(self) -> None:
        """End the interpreter; see `close`."""
        await _elsewhere(self._close)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self.astart()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _read(self, arguments: object, code: object, timeout: object) -> ToolCall | ToolResult:
        if arguments is None and code is not None:
            arguments = {"code": code} if timeout is None else {"code": code, "timeout": timeout}
        try:
            return read_call(arguments, default_timeout_s=self._timeout_s, max_timeout_s=self._max_timeout_s)
        except BadCall as error:
            return failure(str(error))

    # The rest runs on the one event loop of blocking calls, so that callers may be on any loop or none.

    def _opened(self) -> Interpreter:
        if self._interpreter is None:
            self._interpreter = Interpreter(self._make_sandbox, self._limits, context=self._context, echo=self._echo)
        return self._interpreter

    async def _run(self, call: ToolCall) -> ToolResult:
        return failure("the tool is closed") if self._closed else await self._opened().run(call)

    async def _start(self) -> bool:
        if self._closed:
            return False
        try:
            await self._opened().start()
        except (RLMError, OSError) as error:
            _log.warning("the Python tool cannot start: %s", error)
            return False
        return True

    async def _close(self) -> None:
        self._closed = True
        if self._interpreter is not None:
            await self._interpreter.close()


async def _elsewhere(function: Callable[[], Awaitable[_Result]]) -> _Result:
    """Await a function on the event loop of blocking calls, forwarding cancellation."""
    future: Future[_Result] = start_soon(function)
    try:
        return await anyio.to_thread.run_sync(future.result, abandon_on_cancel=True)
    except anyio.get_cancelled_exc_class():
        future.cancel()
        raise
