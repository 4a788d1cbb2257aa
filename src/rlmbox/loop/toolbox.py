"""The tools of one run: a user's functions, and those of servers that are connected while the run lasts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from rlmbox.errors import ConfigError
from rlmbox.loop.tools import TimeoutOf, Tool, as_tool, host_functions
from rlmbox.types import HostFunction

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")  # in the `repr` of a default value


@runtime_checkable
class ToolSource(Protocol):
    """Something that has tools once it is connected, such as a server."""

    @property
    def label(self) -> str:
        """A name for messages, and the prefix of its tools' names if those would clash."""

    def connection(self) -> ToolConnection:
        """Return a connection for one run, not yet open.

        Raises:
            ConfigError: A package that it needs is not installed.
        """


class ToolConnection(Protocol):
    """The tools of one source, for one run."""

    async def open(self) -> Sequence[SourceTool]:
        """Connect, and return the available tools.

        Raises:
            ConfigError: It cannot be reached.
        """

    async def aclose(self) -> None:
        """Close the connection and release its resources."""


class SourceTool(Protocol):
    """A tool of a source, before its final name is determined."""

    @property
    def name(self) -> str:
        """Its name, as an identifier."""

    @property
    def prefixed_name(self) -> str:
        """Its name, prefixed with that of its source."""

    def named(self, name: str) -> Tool:
        """Return it as a tool with the given name."""


Given = Tool | Callable[..., Any] | ToolSource
"""What a user gives as a tool."""


class Toolbox:
    """The tools of one run; all its sessions share it.

    Args:
        tools: Functions, tools, and sources of tools.
    """

    def __init__(self, tools: Iterable[Given] = ()) -> None:
        given = tuple(tools)
        self._sources = tuple(each for each in given if isinstance(each, ToolSource))
        self._own = tuple(as_tool(each) for each in given if not isinstance(each, ToolSource))
        self._of_sources: tuple[Tool, ...] = ()
        self._open: list[ToolConnection] = []

    @property
    def has_sources(self) -> bool:
        """True if some tools are only known once the run has begun."""
        return bool(self._sources)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All tools known so far."""
        return (*self._own, *self._of_sources)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the tools of sources."""
        return tuple(tool.repl_name for tool in self._of_sources)

    @property
    def signatures(self) -> dict[str, str]:
        """Return the signatures of the tools known so far, by name."""
        return {tool.repl_name: _ADDRESS.sub("0x…", tool.host_function().signature) for tool in self.tools}

    def check_signatures(self, recorded: Mapping[str, Any]) -> None:
        """Check that the signatures of tools are those recorded when the run began.

        Args:
            recorded: `signatures` at that time; tools that are not in it are not compared.

        Raises:
            ConfigError: A signature has changed.
        """
        for name, signature in self.signatures.items():
            if recorded.get(name, signature) != signature:
                raise ConfigError(
                    f"the run has the tool {recorded[name]}, which is {signature} now; give it as it was to go on, or "
                    "begin another run"
                )

    def check(self) -> None:
        """Check the user's own tools.

        Raises:
            ConfigError: One cannot be given to a model.
        """
        host_functions(self._own, depth=None)

    async def open(
        self,
        taken: Collection[str],
        recorded: Collection[str] = (),
        signatures: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Connect the sources, and determine the names of their tools.

        A name that is already taken is prefixed with its source's name; if two sources have it, both are
        prefixed.

        Args:
            taken: Names in the REPL.
            recorded: Names of the sources' tools when the run began; none for a new run.
            signatures: `signatures` at that time.

        Raises:
            ConfigError: A source cannot be reached, a name is still taken, or a recorded tool is missing or has
                changed.
        """
        found: list[SourceTool] = []
        for source in self._sources:
            connection = source.connection()
            self._open.append(connection)
            found += await connection.open()
        used = {*taken, *(tool.repl_name for tool in self._own)}
        times = Counter(tool.name for tool in found)
        names = [tool.prefixed_name if times[tool.name] > 1 or tool.name in used else tool.name for tool in found]
        clashing = sorted({name for name in names if names.count(name) > 1 or name in used})
        if clashing:
            raise ConfigError(
                f"there are two functions named {clashing[0]!r} for the REPL; give the server another name= or prefix="
            )
        lacking = sorted(set(recorded) - set(names))
        if lacking:
            raise ConfigError(f"the run has the tools {', '.join(lacking)}, which their server no longer has")
        self._of_sources = tuple(tool.named(name) for tool, name in zip(found, names, strict=True))
        self.check_signatures(signatures)

    def functions(self, depth: int, timeout_of: TimeoutOf) -> tuple[HostFunction, ...]:
        """Return the tools of a session as host functions of its sandbox.

        Args:
            depth: The session's depth, 0 for the root.
            timeout_of: Returns the default timeout of a call, in seconds.

        Raises:
            ConfigError: One cannot be given to a model.
        """
        return host_functions(self.tools, depth, timeout_of)

    @property
    def unrepeatable(self) -> frozenset[str]:
        """Names of the tools that must not be called again if the outcome of a call is unknown."""
        return frozenset(tool.repl_name for tool in self.tools if not (tool.pure or tool.idempotent))

    @property
    def recomputed(self) -> frozenset[str]:
        """Names of the tools that a resumed run calls again instead of reading their results from the record."""
        return frozenset(tool.repl_name for tool in self.tools if tool.pure)

    async def aclose(self) -> None:
        """Close the connections, the last one first."""
        while self._open:
            await self._open.pop().aclose()
