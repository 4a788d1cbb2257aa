"""The beginning of a session: with a sandbox and the loop's prompt, or, for a short text, by sending the text itself.

A session of the second kind enters the loop when code has to run.
"""

from __future__ import annotations

from collections.abc import Mapping

import anyio.to_thread

from rlmbox import events
from rlmbox.context import Context
from rlmbox.loop.direct import DirectText
from rlmbox.loop.history import History
from rlmbox.loop.inputs import NO_VARIABLE, described
from rlmbox.loop.namespace import SessionNamespace
from rlmbox.loop.options import SessionOptions
from rlmbox.loop.prompts import direct_prompt, question_prompt, system_prompt
from rlmbox.loop.recorder import SessionRecorder, limits_as_json
from rlmbox.loop.repl_table import ReplTable
from rlmbox.models.base import Model
from rlmbox.sandboxes.base import reason_of


class SessionOpening:
    """The beginning of a session.

    Args:
        recorder: Records the session's events.
        model: The session's model.
        context: The text.
        options: The session's options.
        table: The functions of the REPL.
        namespace: The session's variables.
        history: The conversation, whose system message is written here.
        inputs: Further variables, by name.
        retrieval_note: The prompt's text about an index; empty for none.
        max_turns: Maximum number of turns of a question.

    Attributes:
        direct: The text, while it is sent with the questions; None once code can run.
        is_news: True from when code caused a sandbox to start until the model has been informed.
    """

    def __init__(
        self,
        recorder: SessionRecorder,
        model: Model,
        context: Context,
        options: SessionOptions,
        table: ReplTable,
        namespace: SessionNamespace,
        history: History,
        *,
        inputs: Mapping[str, object],
        retrieval_note: str,
        max_turns: int,
    ) -> None:
        self._recorder = recorder
        self._scope = recorder.scope
        self._run = recorder.scope.run
        self._model = model
        self._context = context
        self._options = options
        self._table = table
        self._namespace = namespace
        self._history = history
        self._retrieval_note = retrieval_note
        self._inputs = inputs
        self._max_turns = max_turns
        self.direct: DirectText | None = None
        self.is_news = False

    async def begin(self, query: str) -> None:
        """Open the record, start whatever the first request needs, and write the system message.

        Args:
            query: The first question, or nothing.
        """
        if self._has_run_code():
            self._namespace.launch()
        await anyio.to_thread.run_sync(self._context.prepare)
        metadata = await anyio.to_thread.run_sync(self._context.metadata)
        if self._scope.parent_id is None:
            await self._run.open()
        self.direct = await anyio.to_thread.run_sync(self._direct_text)
        if self.direct is None:
            system, reason = await self._start_loop(query)
        else:
            instructions = self._options.instructions.at(self._scope.depth)
            system, reason = direct_prompt(instructions=instructions, prompts=self._options.prompts), ""
        started = await self._recorder.tell(
            events.SessionStarted,
            model=self._model.name,
            sandbox=self._namespace.sandbox.name,
            sandbox_reason=reason,
            route="loop" if self.direct is None else "direct",
            context=metadata,
            limits=limits_as_json(self._run.budget.limits),
            seed=self._scope.seed,
            system=system,
            opened_by=self._scope.opened_by,
        )
        self._history.begin_with(started.system)

    async def enter_loop(self, query: str) -> None:
        """Start the sandbox of a session without one, because code has to run.

        Args:
            query: The current question, or nothing.
        """
        if self.direct is None:
            return
        system, reason = await self._start_loop(query)
        self.direct = None
        sandbox = self._namespace.sandbox.name
        entered = await self._recorder.tell(events.LoopEntered, system=system, sandbox=sandbox, sandbox_reason=reason)
        self._history.begin_with(entered.system)
        self.is_news = True

    async def facts(self) -> Mapping[str, object]:
        """Return the facts about the text that the guard allows the model to see at the start.

        The guard indexes a long text for this, in a thread so that other sessions need not wait.
        """
        return await anyio.to_thread.run_sync(self._facts)

    def _facts(self) -> Mapping[str, object]:
        facts = dict(self._scope.guard.facts(self._context.metadata(), self._model.name))
        if "data" not in self._inputs and isinstance(data := facts.get("data"), dict):
            facts["data"] = {**data, "variable": NO_VARIABLE}
        if self._inputs:
            facts["other_variables"] = {name: described(value) for name, value in self._inputs.items()}
        return facts

    def put(self, question: str, facts: Mapping[str, object] | None, *, left: str, wanted: str) -> str:
        """Return a question's message, with facts about the text if it is the first.

        Args:
            question: The question.
            facts: Facts about the text, as returned by `facts`; None for a further question.
            left: What is left of the limits, in words.
            wanted: The required form of the answer, in words.
        """
        put = question_prompt if self.direct is None else self.direct.question
        return put(question, facts, left=left, wanted=wanted)

    def _has_run_code(self) -> bool:
        """Return True if, by the record, the session has a sandbox, which can then begin to start at once."""
        started = self._recorder.next_recorded(events.SessionStarted)
        in_loop = isinstance(started, events.SessionStarted) and started.route == "loop"
        return in_loop or self._recorder.next_recorded(events.LoopEntered) is not None

    def _direct_text(self) -> DirectText | None:
        """Return the text if it is to be sent with the question, as recorded or as the router decides."""
        recorded = self._recorder.next_recorded(events.SessionStarted)
        below = self._options.direct_below_chars
        has_more = self._scope.depth or self._inputs or self._retrieval_note
        if isinstance(recorded, events.SessionStarted):
            below = self._context.length + 1 if recorded.route == "direct" else 0
        elif has_more or any(function.is_tool for function in self._namespace.host.values()):
            below = 0
        text = DirectText.of(self._context, self._scope.guard, self._model, below)
        # A recorded decision holds, whatever the guard or the window would allow now.
        return DirectText("") if text is None and below > self._context.length and recorded else text

    async def _start_loop(self, query: str) -> tuple[str, str]:
        """Start the sandbox; return the loop's system message, and the reason for the choice of sandbox."""
        await self._namespace.start(query)
        sandbox, limits = self._namespace.sandbox, self._run.budget.limits
        system = system_prompt(
            self._table.functions(),
            notes=(*sandbox.notes, *([self._retrieval_note] if self._retrieval_note else [])),
            inline=self._context.length <= limits.cell.inline_limit_chars,
            limits=limits,
            max_turns=self._max_turns,
            depth=self._scope.depth,
            strict=self._options.strict,
            instructions=self._options.instructions.at(self._scope.depth),
            prompts=self._options.prompts,
        )
        return system, reason_of(sandbox)
