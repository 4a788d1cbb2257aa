"""THE LOOP: a model's reply, its cells, what they gave, and again, until an answer or a limit.

Read `Session.step` first. Everything that is not the order of things lives elsewhere: what a reply says
(`parse`), what the model is told (`observation`), how it may end (`final`), what it may spend (`budget`), what
its code may ask of other models (`subcalls`), what it does near a limit and at one (`concluding`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Self

import anyio
import anyio.to_thread

from rlmbox import events
from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import RLMError
from rlmbox.events import State
from rlmbox.loop.answers import AnswerRules, FinalAnswer, checked_sources
from rlmbox.loop.arguments import ChildLimits
from rlmbox.loop.history import History
from rlmbox.loop.limits_watch import LastAnswer, Remaining
from rlmbox.loop.observation import no_code, observe
from rlmbox.loop.prompts import question_prompt, system_prompt
from rlmbox.loop.scope import Run, Scope
from rlmbox.loop.subcalls import Subcalls
from rlmbox.models.base import Model
from rlmbox.reply.parse import ParsedReply, parse_reply
from rlmbox.sandboxes.base import Chosen
from rlmbox.types import Answer, Cell, Completion, Observation, Step, Turn

_CUT = "Your reply was cut at the limit of its length; write less in one reply."


class Session:
    """A model at work on one question over one context, in a sandbox of its own.

    Use it as an async context manager, which opens and closes the sandbox; then `run()`, or `step()` by step.

    Args:
        run: What the tree of sessions shares.
        question: What is asked.
        context: The text.
        parent: The session that opened this one, or None for the root.
        share: What a child may use; None for as much as its parent.
        strict: Take only `FINAL("literal")` and `FINAL_VAR(identifier)` as final tags.
        auto_finalize_var: Name of a variable that ends the session as soon as code has set it.

    Attributes:
        answer: The answer, once there is one.
        state: Where in a turn the session is.
        place: Its name and its place in the tree of sessions.
        max_turns: Turns that it may take.
    """

    def __init__(
        self,
        run: Run,
        question: str,
        context: Context,
        *,
        parent: Session | None = None,
        share: ChildLimits | None = None,
        strict: bool = False,
        auto_finalize_var: str | None = None,
    ) -> None:
        share = share or ChildLimits()
        self.answer: Answer | None = None
        self.state: State = "INIT"
        self._run, self._question, self._context, self._strict = run, question, context, strict
        self._model: Model = run.sub_model if parent else run.model
        self.place: Scope = parent.place.child(cost_limit_usd=share.cost_limit_usd) if parent else Scope.root(run)
        run.budget.check_depth(self.place.depth)
        self.max_turns: int = share.turns_of(parent.max_turns if parent else run.budget.limits.max_turns)
        self._sandbox = run.new_sandbox()
        self._subcalls = Subcalls(self.place, context, self._open_child)
        self._remaining = Remaining(self.place, self._model, self.max_turns, lambda: len(self._turns))
        self._last_answer = LastAnswer(self.place, self._model)
        self._endings = AnswerRules(auto_finalize_var, strict=strict)
        self._history = History("", "")
        self._turns: list[Turn] = []
        self._last_failure: tuple[str, str] | None = None
        self._names: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        """Opens the sandbox and writes the first messages."""
        limits = self._run.budget.limits
        shown = (*repl_functions(self._context), *self._subcalls.functions(), self._remaining.function())
        host = {function.name: function for function in (*shown, *self._endings.functions())}
        self._names = (*host, "context", "query", "SHOW_VARS")
        await anyio.to_thread.run_sync(self._context.prepare)
        metadata = await anyio.to_thread.run_sync(self._context.metadata)
        try:
            await self._sandbox.start(limits.cell, self._context, host, query=self._question)
        except BaseException:
            await self._sandbox.close()
            raise
        notes, inline = self._sandbox.notes, self._context.length <= limits.cell.inline_limit_chars
        turns, depth = self.max_turns, self.place.depth
        system = system_prompt(shown, notes=notes, inline=inline, limits=limits, max_turns=turns, depth=depth)
        self._history = History(system, question_prompt(self._question, metadata, left=self._remaining.in_words()))
        self._last_answer.set_aside(self._history.messages)
        reason = self._sandbox.reason if isinstance(self._sandbox, Chosen) else ""
        names: dict[str, Any] = {"model": self._model.name, "sandbox": self._sandbox.name, "sandbox_reason": reason}
        self._emit(events.SessionStarted, question=self._question, context=metadata, **names)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the sandbox, also when cancelled."""
        self._last_answer.free()
        with anyio.CancelScope(shield=True):
            await self._sandbox.close()

    async def run(self) -> Answer:
        """Takes turns until there is an answer.

        Raises:
            RLMError: A limit was reached or something failed for good; its `partial` has what there was.
        """
        budget = self._run.budget
        try:
            with anyio.move_on_after(budget.deadline_s - time.monotonic()):
                while (await self.step()).status != "finished":
                    pass
            if self.answer is None:
                raise budget.time_is_up()
        except RLMError as error:
            # A child's error carries the child's partial answer; this session's is what its caller needs.
            error.partial = partial = await self._partial(error)
            kind = type(error).__name__
            self._emit(events.SessionFailed, "TERMINATED", error_type=kind, message=str(error), partial=partial)
            raise
        else:
            return self.answer

    async def step(self) -> Step:
        """Takes one turn: asks the model, runs its code, and tells it what came of it.

        Raises:
            RLMError: A limit was reached or something failed for good.
        """
        before = self._run.budget.spent_usd
        completion = await self._think(len(self._turns) + 1)
        reply = parse_reply(completion.text, strict=self._strict)
        try:
            turn = await self._act(reply)
        finally:  # also where a limit ends the turn halfway, what its sub-calls cost is its own
            self._turns[-1] = replace(self._turns[-1], cost_usd=self._run.budget.spent_usd - before)
        # A tag that was written before its code failed speaks of results that there are not.
        final = None if turn.failed else reply.final
        ending = await self._endings.of_turn(self._sandbox, turn.cells[: len(turn.executions)], final)
        if not isinstance(ending, FinalAnswer):
            turn = replace(turn, observation=await self._observe(turn, reply, completion, ending))
        self._turns[-1] = turn = replace(turn, cost_usd=self._run.budget.spent_usd - before)
        self._emit(events.TurnFinished, turn=turn, spent=self._run.budget.cost)
        if isinstance(ending, FinalAnswer):
            return Step("finished", await self._finish(ending), turn.cost_usd)
        told = turn.observation.text if turn.observation else ""
        return Step("error" if turn.failed else "continue", told, turn.cost_usd)

    async def _think(self, number: int) -> Completion:
        """Asks the model."""
        self._remaining.check_turn(number)
        messages, account = self._history.messages, self.place.account
        self._emit(events.ModelRequested, "THOUGHT", turn=number, model=self._model.name, messages=len(messages))
        notice = self.place.noticed("THOUGHT", self._model.name)
        reply = await self._run.calls.complete(self._model, messages, account=account, notice=notice, reuse=False)
        completion = reply.completion
        self._history.add_reply(completion.text)
        # Noted at once, and again with what comes of it, so that no reply that was paid for is ever lost.
        self._turns.append(Turn(number, completion.text, cost_usd=reply.cost_usd))
        self._emit(events.ModelReplied, turn=number, completion=completion, cost_usd=reply.cost_usd)
        self._run.budget.check(account)
        return completion

    async def _act(self, reply: ParsedReply) -> Turn:
        """Runs the reply's cells until one fails."""
        number = len(self._turns)
        cells = tuple(Cell(code, number, index) for index, code in enumerate(reply.cells))
        turn = self._turns[-1] = replace(self._turns[-1], cells=cells)
        for cell in cells:
            self._emit(events.CellStarted, "ACTION", cell=cell)
            with anyio.CancelScope() as self._subcalls.cell:
                execution = await self._sandbox.execute(cell)
            if self._subcalls.fatal is not None:
                raise self._subcalls.fatal
            turn = self._turns[-1] = replace(turn, executions=(*turn.executions, execution))
            self._emit(events.CellExecuted, cell=cell, execution=execution)
            if turn.failed:
                break
        return turn

    async def _observe(self, turn: Turn, reply: ParsedReply, completion: Completion, hint: str | None) -> Observation:
        """Tells the model what its code gave, or that there was none."""
        problems = [*reply.problems, *([hint] if hint else []), *([_CUT] if completion.stop_reason == "length" else [])]
        notes = [*self._subcalls.notes(), *self._remaining.remark(completion)]
        failure = (turn.cells[len(turn.executions) - 1].code, str(turn.executions[-1].error)) if turn.failed else None
        if turn.executions:
            quiet = not any(execution.stdout or execution.value_repr for execution in turn.executions)
            observation = observe(
                turn.cells,
                turn.executions,
                variables=await self._sandbox.variables() if quiet or turn.failed else None,
                names=self._names,
                problems=problems,
                notes=notes,
                max_chars=self._run.budget.limits.observation_chars,
                repeated=turn.failed and failure == self._last_failure,
            )
        else:
            observation = Observation(no_code(problems, notes))
        self._last_failure = failure
        self._history.add_observation(observation.text)
        self._emit(events.ObservationMade, "OBSERVATION", turn=turn.number, observation=observation)
        return observation

    async def _finish(self, ending: FinalAnswer) -> str:
        sources = await anyio.to_thread.run_sync(checked_sources, ending, self._context)
        self.answer = self._run.answer(
            ending.text, self._turns, model=self._model, sandbox=self._sandbox, value=ending.value, sources=sources
        )
        self._emit(events.SessionFinished, "TERMINATED", answer=self.answer)
        return ending.text

    async def _open_child(self, question: str, context: Context, share: ChildLimits) -> Answer:
        async with Session(self._run, question, context, parent=self, share=share, strict=self._strict) as child:
            return await child.run()

    async def _partial(self, error: RLMError) -> Answer:
        """What there is without an answer: the best that the model can say now, or the last thing that it said."""
        last = await self._last_answer.ask(self._history.messages, error, len(self._turns) + 1)
        said = last.reply if last else self._turns[-1].reply if self._turns else ""
        best = await self._endings.last_word(self._sandbox, said, prose=last is not None)
        text = best or (self._turns[-1].reply if self._turns else "")
        return self._run.answer(
            text, self._turns, model=self._model, sandbox=self._sandbox, value=best, complete=False, last=last
        )

    def _emit(self, kind: Any, state: State | None = None, **fields: Any) -> None:
        """Sends an event, having moved to `state` where one is given."""
        self.state = state or self.state
        self.place.emit(kind, self.state, **fields)
