"""The loop: a model's reply, its cells, their results, and again, until an answer or a limit.

Read `Session.step` first: propose, approve, execute, conclude. Everything except the order of these steps is
elsewhere: how a session begins (`opening`), parsing a reply (`reply`), functions for code (`repl_table`, `bridge`,
`subcalls`, `children`) and where code runs (`namespace`), what the model sees (`feedback`), which answers count
(`answers`, `verdicts`), what may be spent (`budget`), what happens near a limit (`limits_watch`) and at one
(`question_end`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self

import anyio

from rlmbox import events
from rlmbox.budget.limits import Limits
from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError
from rlmbox.events import State
from rlmbox.loop.arguments import ChildLimits
from rlmbox.loop.blocking import BlockingSession
from rlmbox.loop.cancellation import to_its_end
from rlmbox.loop.direct import prose_answer
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.inputs import read_inputs
from rlmbox.loop.limits_watch import Remaining
from rlmbox.loop.options import SessionOptions
from rlmbox.loop.parts import SessionParts
from rlmbox.loop.progress import check_progress
from rlmbox.loop.recorder import limits_as_json
from rlmbox.loop.scope import RunContext, Scope
from rlmbox.loop.task import Proposal, Task, check_question
from rlmbox.loop.typed import AnswerType
from rlmbox.models.base import Model
from rlmbox.record.keys import key_of
from rlmbox.sync import run_blocking
from rlmbox.types import Answer, Cell, Cost, HostFunction, Message, Step, Turn


class Session:
    """One model, one namespace and one conversation, for any number of questions about one text.

    Use it as an async context manager, which opens and closes the sandbox; then call `ask()` any number of times, or
    `step()` for each turn. It belongs to the task and the event loop that opened it.

    Args:
        run: The shared state of the tree of sessions.
        context: The text.
        question: The first question, for `step()` and `run()`; None where `ask()` will put it.
        returns: The type of the first question's answer; see `ask`.
        limits: Limits of the first question, which can only be narrower than the run's.
        inputs: Further variables in the REPL, by name.
        options: The session's options.
        parent: The session that opened this one, or None for the root.
        opened_by: Key of the host call that opened a child, which is the child's name.
        child_limits: Limits of a child; None for those of its parent.
        model: A child's model; None for the run's.

    Attributes:
        scope: Its name and its place in the tree of sessions.
        max_turns: Maximum number of turns of a question.
        task: The current question, or the last one.
    """

    def __init__(
        self,
        run: RunContext,
        context: Context,
        *,
        question: str | None = None,
        returns: Any = None,
        limits: Limits | None = None,
        inputs: Mapping[str, object] = MappingProxyType({}),
        options: SessionOptions | None = None,
        parent: Session | None = None,
        opened_by: str = "child",
        child_limits: ChildLimits | None = None,
        model: Model | None = None,
    ) -> None:
        self.task: Task | None = None
        self._run = run
        self._first = (question, returns, limits)
        self._inputs = read_inputs(inputs, context, run.budget.limits.cell.inline_limit_chars)
        self._options = options or SessionOptions()
        self._model = model or (run.sub_model if parent else run.model)
        self.scope = parent.child_scope(opened_by, child_limits) if parent else Scope.root(run)
        run.budget.check_depth(self.scope.depth)
        self.max_turns = run.budget.limits.max_turns
        if parent is not None:
            inherited = parent.task.max_turns if parent.task else parent.max_turns
            self.max_turns = (child_limits or ChildLimits()).turns_of(inherited)
        self._questions = 0
        self._process = os.getpid()
        self._spent_before = Decimal(0)
        self._parts = SessionParts.of(
            self.scope,
            self._model,
            context,
            self._inputs,
            self._options,
            max_turns=self.max_turns,
            open_child=self._open_child,
            enter_loop=self._enter_loop,
            budget=self._budget,
            tool_timeout_s=self._tool_timeout_s,
        )

    async def __aenter__(self) -> Self:
        """Open the sandbox and write the system message; on failure release everything."""
        _check_loop()
        self._process = os.getpid()
        question, returns, own = self._first
        if returns is not None:
            AnswerType(returns).in_words()  # raises for an invalid type before anything is opened
        try:
            if self.scope.parent_id is None:
                await self._parts.table.open_sources()
            self._parts.namespace.host = host = self._parts.table.host()
            self._parts.feedback.names = self._parts.table.names(host)
            await self._parts.opening.begin(question or "")
            if question is not None:
                await self.begin(question, returns=returns, limits=own)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the sandbox, also when cancelled."""
        if self._is_of_parent:
            return  # everything open belongs to the other process, which continues to use it
        self._parts.end.free()
        await to_its_end(self._close())

    async def _close(self) -> None:
        try:
            await self._parts.namespace.close()
        finally:
            if self.scope.parent_id is None:
                await self._run.close()

    def __enter__(self) -> BlockingSession:
        """Open the session for code that does not use `await`."""
        run_blocking(self.__aenter__)
        return BlockingSession(self)

    def __exit__(self, *_: object) -> None:
        """Close the session."""
        run_blocking(self.__aexit__)

    @property
    def state(self) -> State:
        """The stage of the turn that the session is in."""
        return self._parts.recorder.state

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as it would be sent to the model next."""
        return self._parts.history.messages

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the functions of the session's REPL, except those that submit an answer.

        Raises:
            ConfigError: A tool cannot be given to a model.
        """
        return self._parts.table.functions()

    def stubs(self) -> str:
        """Return the text of a stub file (`.pyi`) that declares everything in the REPL, for editors and type checkers.

        Raises:
            ConfigError: A tool cannot be given to a model, or has the name of something else.
        """
        return self._parts.table.stubs()

    @property
    def answer(self) -> Answer | None:
        """The answer to the current question, once there is one."""
        return self.task.answer if self.task is not None else None

    async def ask(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Answer:
        """Ask a question about the text and return the answer; variables of earlier questions are kept.

        Args:
            question: The question.
            returns: The type of `answer.value`: a pydantic model, a dataclass, a TypedDict, `list[int]` and the like,
                or a JSON Schema; None for any.
            limits: Limits of this question, which can only be narrower than the session's.

        Raises:
            RLMError: A limit was reached or an error is final; its `partial` is the result so far.
        """
        return await self.run(await self.begin(question, returns=returns, limits=limits))

    async def begin(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Task:
        """Put a question, to be answered by `step()` or `run()`; nothing is sent yet.

        Args:
            question: The question.
            returns: The type of `answer.value`; see `ask`.
            limits: Limits of this question, which can only be narrower than the session's.

        Raises:
            ConfigError: The question is empty, or the previous one is still open.
        """
        check_question(question)
        self._check_process()
        wanted = AnswerType(returns).in_words(in_code=self._parts.opening.direct is None) if returns is not None else ""
        if self.task is not None and not self.task.is_finished:
            raise ConfigError("the session is at work on a question; finish it with run() before you ask another")
        facts = await self._parts.end.before_question(lambda: self._ready_for(question))
        before = self.task, self._questions
        task = self._put(question, returns, limits)
        try:
            asked = await self._tell_question(task, facts, wanted)
        except BaseException:
            self.task, self._questions = before  # a question cancelled here was not asked
            raise
        task.message = asked.message
        self._parts.proposals.note_question(task)
        await self._parts.end.set_aside(task)
        return task

    async def _ready_for(self, question: str) -> Any:
        """Prepare the namespace for a question; return the facts about the text for the first one, None for others."""
        await self._rebuild_if_cut()
        if not self._questions:
            return await self._parts.opening.facts()
        if self._parts.opening.direct is None:
            await self._parts.namespace.note_query(question)
        return None

    async def _tell_question(self, task: Task, facts: Mapping[str, object] | None, wanted: str) -> events.QuestionAsked:
        """Record a question together with its message."""
        left = self._remaining.in_words()
        asked: events.QuestionAsked = await self._parts.recorder.tell(
            events.QuestionAsked,
            number=task.number,
            question=task.question,
            limits=limits_as_json(task.limits),
            message=self._parts.opening.put(task.question, facts, left=left, wanted=wanted),
            returns=dict(task.returns.schema) if task.returns is not None else None,
        )
        return asked

    def _put(self, question: str, returns: Any, limits: Limits | None) -> Task:
        """Make a question the current one."""
        self._questions += 1
        budget, account = self._run.budget, self.scope.account
        task = Task.of(question, self._questions, budget, account, max_turns=self.max_turns, limits=limits)
        path = key_of(self.scope.session_id, task.number)
        if limits is not None:
            self.scope.carry_over(task.account, path)
        task.returns = AnswerType(returns) if returns is not None else None
        task.subcalls = self._run.journal.past.subcalls_below(path)
        task.ask = self._parts.subcalls.for_rules(task)
        self.task = self._parts.subcalls.task = self._parts.namespace.task = task
        if self._parts.retrieval is not None:
            self._parts.retrieval.task = task
        self._parts.subcalls.fatal = None
        self._remaining = Remaining(self.scope, self._model, task)
        return task

    async def run(self, task: Task | None = None) -> Answer:
        """Take turns until there is an answer, and return it; an existing answer is returned again.

        Args:
            task: The question; None for the current one.

        Raises:
            RLMError: A limit was reached or an error is final; its `partial` is the result so far.
        """
        task = self._at_work(task)
        while task.answer is None:
            await self.step(task)
        return task.answer

    async def step(self, task: Task | None = None) -> Step:
        """Take one turn: ask the model, run its code, and report the result to it.

        If the question already has its answer, that is returned again without another request.

        Args:
            task: The question; None for the current one.

        Raises:
            RLMError: A limit was reached or an error is final; its `partial` is the result so far. A question that
                has failed raises the same error again.
        """
        task = self._at_work(task)
        if task.answer is not None:
            return Step("finished", task.answer.text, Decimal(0))
        return await self._parts.end.within_deadline(task, lambda: self._turn(task))

    async def plan_next_step(self, task: Task | None = None) -> Proposal:
        """Ask the model for its next step; none of its code runs before `execute_step`.

        Args:
            task: The question; None for the current one.

        Raises:
            ConfigError: The question already has its answer.
            RLMError: As for `step`.
        """
        task = self._at_work(task)
        if task.answer is not None:
            raise ConfigError("the question has its answer; ask another with ask(question)")
        return await self._parts.end.within_deadline(task, lambda: self.propose(task))

    async def execute_step(self, proposal: Proposal) -> Step:
        """Run a proposal, unchanged or as changed by `override_code` and `reject`, and report the result to the model.

        The decision is recorded before anything runs, as for `approve=`.

        Args:
            proposal: What `plan_next_step` returned last.

        Raises:
            ConfigError: It is not the last proposal, or was executed before.
            RLMError: As for `step`.
        """
        task = self._at_work()
        if proposal is not task.proposal or task.is_finished or len(task.turns) != proposal.turn or task.is_taken:
            raise ConfigError("only the last proposal can be executed, once; plan the next step with plan_next_step()")
        return await self._parts.end.within_deadline(task, lambda: self._take_as_changed(task, proposal))

    def inject_rejection(self, reason: str) -> None:
        """Reject the last proposal: `execute_step` then runs none of its code, and the model is informed of the reason.

        Args:
            reason: The reason.
        """
        proposal = self._at_work().proposal
        if proposal is None:
            raise ConfigError("there is no proposal to reject; plan one with plan_next_step()")
        proposal.reject(reason)

    def interrupt_cell(self) -> bool:
        """Raise KeyboardInterrupt in the running cell (variables are kept); return False if that is impossible."""
        return self._parts.namespace.interrupt()

    def has_failed_so(self, error: RLMError) -> bool:
        """Return True if, by the record, the current question ended with this error.

        Args:
            error: The error.
        """
        failed = self._run.journal.past.failure_of(self.scope.session_id)
        return failed is not None and failed.message == str(error)

    @property
    def is_finished(self) -> bool:
        """True if the current question has its answer or has failed."""
        return self.task is not None and self.task.is_finished

    @property
    def final_answer(self) -> Answer | None:
        """The answer to the current question, once there is one."""
        return self.answer

    @property
    def cost(self) -> Cost:
        """The cost of the whole session so far."""
        return self._run.budget.cost

    async def variables(self) -> Mapping[str, str]:
        """Return the variables that code has set, each with a short description such as `list, 3 items`.

        Raises:
            SandboxError: The sandbox does not answer.
        """
        self._check_process()
        if self.task is None or self.task.is_finished:  # otherwise a cell may be running
            await self._rebuild_if_cut()
        return await self._parts.namespace.variables()

    async def _rebuild_if_cut(self) -> None:
        """Rebuild the variables if the last cell was cut in the middle, and its sandbox with it."""
        if self._parts.namespace.is_cut:
            await self._parts.namespace.rebuild()

    async def propose(self, task: Task) -> Proposal:
        """Ask the model for a proposal; none of its code has run.

        Args:
            task: The question.

        Raises:
            LimitExceeded: The limits do not allow another turn.
            ModelError: The provider failed.
        """
        task.check_turn()
        path = key_of(self.scope.session_id, task.number, len(task.turns) + 1)
        paid_usd, _ = self._run.journal.past.charged_below(path)
        self._spent_before = self._run.budget.spent_usd - paid_usd
        self._parts.recorder.state = "THOUGHT"
        task.proposal = await self._parts.proposals.propose(task, self._remaining)
        task.is_taken = False
        return task.proposal

    async def approve(self, task: Task, proposal: Proposal) -> Proposal:
        """Return the proposal to execute: the model's, unless the approver changes it.

        Args:
            task: The question.
            proposal: The model's proposal.
        """
        return await self._parts.decisions.approve(task, proposal)

    async def execute(self, task: Task, proposal: Proposal) -> Turn:
        """Run the proposal's cells until one fails.

        Args:
            task: The question.
            proposal: What to run.

        Raises:
            LimitExceeded: A call of a cell reached a limit of this session.
            SandboxError: The sandbox cannot continue.
        """
        task.is_taken = True
        cells = () if proposal.rejected is not None else proposal.cells
        turn = task.turns[-1] = replace(task.turns[-1], cells=cells)
        if cells:
            await self._enter_loop()
        for place, proposed in enumerate(cells):
            cell = self._parts.recorder.note(events.CellStarted, "ACTION", cell=proposed).cell
            with anyio.CancelScope() as self._parts.subcalls.cell:
                execution = await self._parts.namespace.run(cell, key_of(task.number, cell.turn, cell.index))
            if self._parts.subcalls.fatal is not None:
                raise self._parts.subcalls.fatal
            executed = self._parts.recorder.note(events.CellExecuted, cell=cell, execution=execution)
            ran = (*turn.executions, executed.execution)
            turn = task.turns[-1] = replace(turn, cells=_with(turn.cells, place, cell), executions=ran)
            if turn.failed:
                break
        return turn

    async def conclude(self, task: Task, turn: Turn) -> Step:
        """Accept the turn's answer, or report to the model the result of its code or the problem with its answer.

        Args:
            task: The question.
            turn: The turn that was run.
        """
        proposal = task.proposal
        assert proposal is not None  # noqa: S101 - every turn has a proposal
        found = await self._answer_in(task, turn, proposal)
        if isinstance(found, FinalAnswer):
            found = await self._parts.verdicts.of(task, found, in_code=self._parts.opening.direct is None)
        if not isinstance(found, FinalAnswer):
            found = self._recorded_answer(turn) or found
        if isinstance(found, FinalAnswer):
            return await self._finish(task, turn, found)
        has_entered_loop, self._parts.opening.is_news = self._parts.opening.is_news, False
        observation = await self._parts.feedback.observe(
            task,
            turn,
            proposal,
            found,
            has_entered_loop=has_entered_loop,
            remarks=[*self._parts.subcalls.notes(), *self._remaining.remark(proposal.completion)],
        )
        turn = replace(turn, observation=observation)
        self._turn_is_over(task, turn)
        most, sent_back = self._options.most_repeats, found is not None
        check_progress(task, turn, proposal, sent_back=sent_back, most=most, depth=self.scope.depth)
        return Step("error" if turn.failed else "continue", observation.text, task.turns[-1].cost_usd)

    async def _answer_in(self, task: Task, turn: Turn, proposal: Proposal) -> FinalAnswer | str | None:
        """Return the answer submitted in a turn, or what is wrong with it, or None for none."""
        # A tag written before its code failed, or beside other code, refers to results that do not exist.
        counts = not (turn.failed or proposal.is_edited or proposal.rejected is not None)
        final = proposal.reply.final if counts else None
        ran = turn.cells[: len(turn.executions)]
        found = await self._parts.answers.of_turn(self._parts.namespace, ran, final, fields=_fields(task))
        if found is None and self._parts.opening.direct is not None and proposal.rejected is None:
            words = prose_answer(proposal.reply, proposal.completion)
            found = FinalAnswer(words, words) if words else None
        return found

    def _recorded_answer(self, turn: Turn) -> FinalAnswer | None:
        """Return the answer with which a turn ended by the record, which an earlier version may have read otherwise."""
        over = self._parts.recorder.next_recorded(events.TurnFinished)
        ended = self._parts.recorder.next_recorded(events.SessionFinished)
        made = self._parts.recorder.next_recorded(events.ObservationMade)
        if made is not None or not isinstance(over, events.TurnFinished) or over.turn.number != turn.number:
            return None
        if not isinstance(ended, events.SessionFinished):
            return None
        return FinalAnswer(ended.answer.text, ended.answer.value, ())

    async def _finish(self, task: Task, turn: Turn, found: FinalAnswer) -> Step:
        """Accept an answer, which ends the question."""
        sources = await self._parts.verdicts.sources(found)
        self._parts.recorder.note_guarding(turn.number, events.TurnFinished)
        self._turn_is_over(task, turn)
        recorded = self._parts.recorder.next_recorded(events.SessionFinished)
        if isinstance(recorded, events.SessionFinished):  # replayed, with the figures of that time
            task.answer = replace(recorded.answer, value=found.value)
        else:
            task.answer = self._parts.end.answer(task, found.text, value=found.value, sources=sources)
        self._parts.proposals.note_answer(found.text)
        self._parts.end.free()
        await self._parts.recorder.append(events.SessionFinished, "TERMINATED", answer=task.answer)
        return Step("finished", found.text, task.turns[-1].cost_usd)

    async def _turn(self, task: Task) -> Step:
        return await self._take(task, await self.approve(task, await self.propose(task)))

    async def _take_as_changed(self, task: Task, proposal: Proposal) -> Step:
        return await self._take(task, await self._parts.decisions.as_changed(task, proposal))

    async def _take(self, task: Task, proposal: Proposal) -> Step:
        try:
            return await self.conclude(task, await self.execute(task, proposal))
        except BaseException:  # a turn that a limit cuts short also pays for its sub-calls
            task.turns[-1] = replace(task.turns[-1], cost_usd=self._turn_cost())
            raise

    def _turn_cost(self) -> Decimal:
        return self._run.budget.spent_usd - self._spent_before

    def _turn_is_over(self, task: Task, turn: Turn) -> None:
        task.turns[-1] = replace(turn, cost_usd=self._turn_cost())
        over = self._parts.recorder.note(events.TurnFinished, turn=task.turns[-1], spent=self._run.budget.cost)
        task.turns[-1] = over.turn
        self._parts.proposals.note_turn(task, over.turn)

    async def _enter_loop(self) -> None:
        """Make sure that code can run in a session that began without a sandbox."""
        await self._parts.opening.enter_loop(self.task.question if self.task is not None else "")

    async def _open_child(
        self,
        name: str,
        question: str,
        context: Context,
        limits: ChildLimits,
        model: Model | None,
        wanted: AnswerType | None,
    ) -> Answer:
        child = Session(
            self._run,
            context,
            question=question,
            returns=wanted.returns if wanted is not None else None,
            options=self._options,
            parent=self,
            opened_by=name,
            child_limits=limits,
            model=model,
        )
        async with child:
            return await child.run()

    def child_scope(self, name: str, limits: ChildLimits | None) -> Scope:
        """Return the scope of a session that this one opens.

        Args:
            name: The key of the call that opens it.
            limits: Its limits; None for those of this session.
        """
        account = self.task.account if self.task is not None else self.scope.account
        return self.scope.child(name, account, cost_limit_usd=limits.cost_limit_usd if limits else None)

    def _tool_timeout_s(self) -> float:
        return (self.task.limits if self.task is not None else self._run.budget.limits).tool_timeout_s

    def _budget(self) -> dict[str, float | int | None]:
        return self._remaining.as_dict()

    def _at_work(self, task: Task | None = None) -> Task:
        self._check_process()
        task = task or self.task
        if task is None:
            raise ConfigError("the session has no question; put one with ask(question)")
        return task

    @property
    def _is_of_parent(self) -> bool:
        return self._process != os.getpid()

    def _check_process(self) -> None:
        """Check that this is the process that opened the session: two would use one sandbox at once."""
        if self._is_of_parent:
            raise ConfigError(
                "the session belongs to the process that this one was forked from; open another with rlm.session(...)"
            )


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError("rlmbox runs on asyncio; under trio, call RLM.ask in a thread of its own") from None


def _fields(task: Task) -> tuple[str, ...]:
    """Return the names of the fields that a question asks for."""
    return tuple(task.returns.schema.get("properties", ())) if task.returns is not None else ()


def _with(cells: tuple[Cell, ...], place: int, cell: Cell) -> tuple[Cell, ...]:
    return (*cells[:place], cell, *cells[place + 1 :])
