"""Everything that has a name in a session's REPL: the functions that code may call, and the variables beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rlmbox import events
from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import ConfigError
from rlmbox.loop.answers import AnswerRules
from rlmbox.loop.bridge import Bridge
from rlmbox.loop.children import Children
from rlmbox.loop.peer_names import peer_functions
from rlmbox.loop.recorder import SessionRecorder
from rlmbox.loop.retrieving import Retrieval
from rlmbox.loop.subcalls import Subcalls
from rlmbox.sandboxes.base import INJECTED, Host
from rlmbox.sandboxes.stubs import stubs_of
from rlmbox.types import HostFunction

BUDGET = "what is left: turns, usd, tokens, subcalls, seconds (None: no limit); and the depth"


class ReplTable:
    """The table of a session's functions.

    Args:
        recorder: Records the session's events.
        context: The text.
        inputs: Further variables, by name.
        bridge: The Bridge, through which every call passes except pure reads of the context.
        subcalls: The functions that ask other models.
        children: The functions that open sessions.
        answers: The functions with which code submits an answer.
        retrieval: The functions over an index; None for none.
        budget: Returns what is left of the limits.
        tool_timeout_s: Returns the timeout of a call of a user's tool, in seconds.
    """

    def __init__(
        self,
        recorder: SessionRecorder,
        context: Context,
        inputs: Mapping[str, object],
        *,
        bridge: Bridge,
        subcalls: Subcalls,
        children: Children,
        answers: AnswerRules,
        retrieval: Retrieval | None,
        budget: Callable[[], dict[str, float | int | None]],
        tool_timeout_s: Callable[[], float],
    ) -> None:
        self._recorder = recorder
        self._scope = recorder.scope
        self._tools = recorder.scope.run.tools
        self._context = context
        self._inputs = inputs
        self._bridge = bridge
        self._subcalls = subcalls
        self._children = children
        self._answers = answers
        self._retrieval = retrieval
        self._budget = budget
        self._tool_timeout_s = tool_timeout_s

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the functions of the REPL, except those that submit an answer.

        Raises:
            ConfigError: A tool cannot be given to a model.
        """
        self._bridge.unrepeatable, self._bridge.recomputed = self._tools.unrepeatable, self._tools.recomputed
        return (
            *repl_functions(self._context),
            *(self._retrieval.functions() if self._retrieval is not None else ()),
            *self._subcalls.functions(),
            *self._children.functions(),
            HostFunction("budget", self._budget, BUDGET),
            *self._tools.functions(self._scope.depth, self._tool_timeout_s),
        )

    def stubs(self) -> str:
        """Return the text of a stub file (`.pyi`) that declares everything in the REPL.

        Raises:
            ConfigError: A tool cannot be given to a model, or has the name of something else.
        """
        table = (*self.functions(), *self._answers.functions())
        variables = self._answers.variables()
        self._bridge.table(table, variables)  # raises if two names are equal
        return stubs_of({each.name: each for each in table}, {**self._inputs, **variables})

    async def open_sources(self) -> None:
        """Connect the sources of the run's tools, which are not known before.

        Raises:
            ConfigError: A source cannot be reached, or one of its tools has a name that is already taken.
        """
        if not self._tools.has_sources:
            return
        own = (*self.functions(), *self._answers.functions())
        begun = self._recorder.next_recorded(events.RunStarted)
        settings: Mapping[str, Any] = begun.settings if isinstance(begun, events.RunStarted) else {}
        taken = {*(each.name.partition(".")[0] for each in own), *self._inputs, *self._answers.variables(), *INJECTED}
        await self._tools.open(taken, settings.get("source_tools", ()), settings.get("signatures", {}))

    def host(self) -> Host:
        """Return the table of host functions for a sandbox, including aliases from other systems.

        Raises:
            ConfigError: Two entries have the same name.
        """
        shown = self.functions()
        own = {*self._inputs, *(function.name for function in shown if function.is_tool)}
        variables = self._answers.variables()
        host = self._bridge.table((*shown, *peer_functions(shown, own), *self._answers.functions()), variables)
        taken = self._inputs.keys() & {*variables, *(name.partition(".")[0] for name in host)}
        if taken:
            raise ConfigError(f"the input {min(taken)!r} has the name of something else in the REPL; rename it")
        return host

    def names(self, host: Host) -> tuple[str, ...]:
        """Return the names that the prompt mentions.

        Args:
            host: The table.
        """
        advertised = (name for name, function in host.items() if not function.is_alias)
        return (*advertised, *self._inputs, "context", "query", "SHOW_VARS")
