"""THE LOOP: a model's reply, its cells, what they gave, and again, until an answer or a limit.

Read `Session.step` first: propose, approve, execute, conclude. Everything that is not the order of things lives
elsewhere: what a reply says (`reply`), what the model is told (`observation`), how a question may end (`answers`),
what it may spend (`budget`), what its code may call (`bridge`, `subcalls`), what happens near a limit and at one
(`limits_watch`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread

from rlmbox import events
from rlmbox.budget.limits import Limits
from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import AnswerRejected, ConfigError, RLMError, SandboxCrashed
from rlmbox.events import State, to_json
from rlmbox.loop.answers import AnswerRule, AnswerRules, checked_sources
from rlmbox.loop.approval import Approval, Decision, Replace
from rlmbox.loop.arguments import ChildLimits
from rlmbox.loop.bridge import Bridge, Middleware, ended_with, recorded_error
from rlmbox.loop.compaction import Compaction, Compactor, plain_digest
from rlmbox.loop.direct import OPENED, DirectText, in_words
from rlmbox.loop.final_answer import FinalAnswer
from rlmbox.loop.history import History
from rlmbox.loop.inputs import described, read_inputs
from rlmbox.loop.instructions import Instructions
from rlmbox.loop.limits_watch import LastAnswer, Remaining
from rlmbox.loop.observation import no_code, observe
from rlmbox.loop.peer_names import peer_functions
from rlmbox.loop.progress import REPEATED, check_progress, note_outcome
from rlmbox.loop.prompts import direct_prompt, question_prompt, system_prompt
from rlmbox.loop.retrieving import CONTEXT_OF_INDEX, Retrieval, is_of_index
from rlmbox.loop.root_request import ask_model
from rlmbox.loop.scope import RunContext, Scope
from rlmbox.loop.subcalls import Subcalls
from rlmbox.loop.task import Proposal, Task
from rlmbox.loop.typed import MOST_ANSWERS, AnswerType
from rlmbox.models.base import Model
from rlmbox.record.compare import printed_otherwise, shown_output
from rlmbox.record.journal import Effect, RecordEnded
from rlmbox.record.keys import key_of
from rlmbox.reply.parse import parse_reply
from rlmbox.reply.thoughts import split_thought
from rlmbox.sandboxes.base import INJECTED, Chosen, Host
from rlmbox.sandboxes.stubs import stubs_of
from rlmbox.sync import run_blocking
from rlmbox.types import Answer, Cell, Cost, Execution, HostFunction, Observation, Source, Step, Turn

_CUT = "Your reply was cut at the limit of its length; write less in one reply."
_REJECTED = "A person looked at your code and did not let it run: {reason}. Propose something else."
_EDITED = "A person replaced your code before it ran. What ran is:\n{code}"
_MESSAGE_CHARS = 1_000
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The parts that a session and its children are made with; every part stands behind a seam of its own.

    Attributes:
        strict: Take only `FINAL("literal")` and `FINAL_VAR(identifier)`, in the reply's text, as final answers.
        auto_finalize_var: Name of a variable that ends a question as soon as code has set it.
        approval: Decides on what the model would do, before anything of it runs; None lets it run.
        rules: What a proposed answer must pass.
        middleware: What each call of a host function passes.
        instructions: What the models are told besides, the root's and those of children.
        prompts: Texts in place of parts of the system prompt, by the part's name.
        most_corrections: Answers that are sent back before the question ends with `AnswerRejected`.
        most_repeats: Times in a row that the same code may come to the same, or a reply may have neither code nor an
            answer, before the question ends with `Stalled`.
        fallback_code: Code that runs once in place of ending with `Stalled`; None for none.
        direct_below_chars: Length from which on a text is worked on with code and not sent with the question; 0 for
            every text.
        max_history_tokens: Most tokens of a conversation; None for 60 % of the model's window.
        compaction: Writes the digest that replaces the middle of a conversation that has become longer.
    """

    strict: bool = False
    auto_finalize_var: str | None = None
    approval: Approval | None = None
    rules: tuple[AnswerRule, ...] = ()
    middleware: tuple[Middleware, ...] = ()
    instructions: Instructions = field(default_factory=Instructions)
    prompts: Mapping[str, str] = field(default_factory=dict)
    most_corrections: int = MOST_ANSWERS
    most_repeats: int = 4
    fallback_code: str | None = None
    direct_below_chars: int = 0
    max_history_tokens: int | None = None
    compaction: Compaction = plain_digest


class Session:
    """One model, one namespace, one conversation; asked any number of questions about one text.

    Use it as an async context manager, which opens and closes the sandbox; then `ask()` as often as you like, or
    `step()` by step. It belongs to the task and the event loop that opened it.

    Args:
        run: What the tree of sessions shares.
        context: The text.
        question: The first question, for `step()` and `run()`; None where `ask()` will put it.
        returns: The type of the first question's answer; see `ask`.
        limits: Limits of the first question, which can only be narrower than the run's.
        inputs: Further variables in the REPL, by name.
        options: What the session is made with.
        parent: The session that opened this one, or None for the root.
        opened_by: Key of the host call that opened a child, which is the child's name.
        child_limits: What a child may use; None for as much as its parent.
        model: A child's model; None for the run's.

    Attributes:
        state: Where in a turn the session is.
        scope: Its name and its place in the tree of sessions.
        max_turns: Turns that a question may take.
        task: The question at work, or the last one.
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
        self.state: State = "INIT"
        self.task: Task | None = None
        self._run, self._context = run, context
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
        self._sandbox = run.new_sandbox()
        self._host: Host = {}
        self._ran: list[tuple[Cell, str]] = []
        self._is_cut = False
        self._retrieval = self._index_functions()
        fetch = (self._retrieval.fetch,) if self._retrieval is not None else ()
        self._bridge = Bridge(self.scope, (*self._options.middleware, *fetch))
        self._subcalls = Subcalls(self.scope, context, self._open_child)
        self._answers = AnswerRules(
            self._options.auto_finalize_var, strict=self._options.strict, rules=self._options.rules
        )
        self._bridge.stop = self._subcalls.stop
        self._namespace = _Namespace(self)
        self._history = History("")
        self._sent = 0
        self._query = ""  # with which the sandbox was started
        self._direct: DirectText | None = None
        self._opened = False  # True until the model was told that the sandbox was started for its code
        self._compactor = Compactor(self.scope, self._model, self._options.compaction, self._options.max_history_tokens)
        self._questions = 0
        self._spent_before = Decimal(0)
        self._reply_at = 0
        self._names: tuple[str, ...] = ()

    async def __aenter__(self) -> Self:
        """Open the sandbox and write the system message; leave nothing open where that fails."""
        _check_loop()
        question, returns, own = self._first
        if returns is not None:
            AnswerType(returns).in_words()  # what is wrong with it is said before anything is opened
        try:
            await self._open()
            if question is not None:
                await self.begin(question, returns=returns, limits=own)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _open(self) -> None:
        limits = self._run.budget.limits
        if self.scope.parent_id is None:
            await self._open_tools()
        shown = self.functions()
        own = {*self._inputs, *(function.name for function in shown if function.is_tool)}
        peers = peer_functions(shown, own)
        self._host = self._bridge.table((*shown, *peers, *self._answers.functions()))
        taken = self._inputs.keys() & {name.partition(".")[0] for name in self._host}
        if taken:
            raise ConfigError(f"the input {min(taken)!r} has the name of a function of the REPL; rename it")
        advertised = (name for name, function in self._host.items() if not function.is_alias)
        self._names = (*advertised, *self._inputs, "context", "query", "SHOW_VARS")
        await anyio.to_thread.run_sync(self._context.prepare)
        metadata = await anyio.to_thread.run_sync(self._context.metadata)
        if self.scope.parent_id is None:
            await self._run.open()
        self._direct = await anyio.to_thread.run_sync(self._direct_text)
        if self._direct is None:
            system, reason = await self._start_loop(self._first[0] or "")
        else:
            reason = ""
            system = direct_prompt(
                instructions=self._options.instructions.at(self.scope.depth), prompts=self._options.prompts
            )
        started = self._note(
            events.SessionStarted,
            model=self._model.name,
            sandbox=self._sandbox.name,
            sandbox_reason=reason,
            route="loop" if self._direct is None else "direct",
            context=metadata,
            limits=_as_mapping(limits),
            seed=self.scope.seed,
            system=system,
            opened_by=self.scope.opened_by,
        )
        self._history = History(started.system)

    def _direct_text(self) -> DirectText | None:
        """Return the text where it is to be sent with the question, as the record has it or the router says."""
        recorded = self._run.journal.past.peek(self.scope.session_id, events.SessionStarted)
        below = self._options.direct_below_chars
        if isinstance(recorded, events.SessionStarted):
            below = self._context.length + 1 if recorded.route == "direct" else 0
        elif self.scope.depth or self._inputs or self._retrieval or any(f.is_tool for f in self._host.values()):
            below = 0
        text = DirectText.of(self._context, self.scope.guard, self._model, below)
        # What the record has was sent, whatever the guard or the window would say of it now.
        return DirectText("") if text is None and below > self._context.length and recorded else text

    async def _start_loop(self, query: str) -> tuple[str, str]:
        """Start the sandbox; return the loop's system message, and why this sandbox was chosen."""
        await self._start(query)
        limits = self._run.budget.limits
        system = system_prompt(
            self.functions(),
            notes=(*self._sandbox.notes, *([self._retrieval.note] if self._retrieval else [])),
            inline=self._context.length <= limits.cell.inline_limit_chars,
            limits=limits,
            max_turns=self.max_turns,
            depth=self.scope.depth,
            strict=self._options.strict,
            instructions=self._options.instructions.at(self.scope.depth),
            prompts=self._options.prompts,
        )
        return system, self._sandbox.reason if isinstance(self._sandbox, Chosen) else ""

    async def _enter_loop(self) -> None:
        """Start the sandbox of a session that has none yet, because something has to run."""
        if self._direct is None:
            return
        system, reason = await self._start_loop(self.task.question if self.task else "")
        self._direct = None
        sandbox = self._sandbox.name
        entered = self.scope.note(events.LoopEntered, self.state, system=system, sandbox=sandbox, sandbox_reason=reason)
        self._history.begin_with(entered.system)
        self._sent = 0
        self._opened = True

    def functions(self) -> tuple[HostFunction, ...]:
        """Return the functions of the session's REPL, those that give an answer aside.

        Raises:
            ConfigError: A tool cannot be given to a model.
        """
        tools = self._run.tools
        self._bridge.unrepeatable, self._bridge.recomputed = tools.unrepeatable, tools.recomputed
        return (
            *repl_functions(self._context),
            *(self._retrieval.functions() if self._retrieval is not None else ()),
            *self._subcalls.functions(),
            HostFunction("budget", self._budget, BUDGET),
            *tools.functions(self.scope.depth, self._tool_timeout_s),
        )

    def stubs(self) -> str:
        """Return what is in the REPL as the text of a stub file (`.pyi`), for editors and type checkers.

        Raises:
            ConfigError: A tool cannot be given to a model, or has the name of something else.
        """
        table = (*self.functions(), *self._answers.functions())
        self._bridge.table(table)  # says where two have the same name
        return stubs_of({each.name: each for each in table})

    async def _open_tools(self) -> None:
        """Connect what the run's tools come from, which only then are known."""
        if not self._run.tools.has_sources:
            return
        own = (*self.functions(), *self._answers.functions())
        begun = self._run.journal.past.peek(self.scope.session_id, events.RunStarted)
        recorded = begun.settings.get("source_tools", ()) if isinstance(begun, events.RunStarted) else ()
        taken = {*(each.name.partition(".")[0] for each in own), *self._inputs, *INJECTED}
        await self._run.tools.open(taken, [str(name) for name in recorded] if isinstance(recorded, list) else ())

    def _tool_timeout_s(self) -> float:
        return (self.task.limits if self.task is not None else self._run.budget.limits).tool_timeout_s

    async def __aexit__(self, *_: object) -> None:
        """Close the sandbox, also when cancelled."""
        if self.task is not None:
            self._last_answer.free()
        with anyio.CancelScope(shield=True):
            await self._sandbox.close()
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
    def answer(self) -> Answer | None:
        """The answer to the question at work, once there is one."""
        return self.task.answer if self.task is not None else None

    async def ask(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Answer:
        """Ask a question of the text and return the answer; variables of earlier questions are still there.

        Args:
            question: What is asked.
            returns: The type of `answer.value`: a pydantic model, a dataclass, a TypedDict, `list[int]` and the like,
                or a JSON Schema; None for any.
            limits: Limits of this question, which can only be narrower than the session's.

        Raises:
            RLMError: A limit was reached or something failed for good; its `partial` has what there was.
        """
        return await self.run(await self.begin(question, returns=returns, limits=limits))

    async def begin(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Task:
        """Put a question, to be answered by `step()` or `run()`; nothing is sent yet.

        Args:
            question: What is asked.
            returns: The type of `answer.value`; see `ask`.
            limits: Limits of this question, which can only be narrower than the session's.

        Raises:
            ConfigError: The question is empty, or the one before is still open.
        """
        check_question(question)
        wanted = AnswerType(returns).in_words(in_code=self._direct is None) if returns is not None else ""
        if self.task is not None and not self.task.is_finished:
            raise ConfigError("the session is at work on a question; finish it with run() before you ask another")
        if self._is_cut:
            await self._rebuild()
        # Nothing is awaited once there is a task: a cancellation would leave it open.
        metadata = None
        if not self._questions:
            metadata = await anyio.to_thread.run_sync(self._context.metadata)
        elif self._direct is None:
            await self._namespace.evaluate(f"query = {question!r}")
        self._questions += 1
        task = Task.of(
            question,
            self._questions,
            self._run.budget,
            self.scope.account,
            max_turns=self.max_turns,
            limits=limits,
        )
        if limits is not None:
            self.scope.carry_over(task.account, key_of(self.scope.session_id, task.number))
        task.returns = AnswerType(returns) if returns is not None else None
        task.subcalls = self._run.journal.past.subcalls_below(key_of(self.scope.session_id, task.number))
        self.task = self._subcalls.task = task
        if self._retrieval is not None:
            self._retrieval.task = task
        self._subcalls.fatal = None
        self._remaining = Remaining(self.scope, self._model, task)
        self._last_answer = LastAnswer(self.scope, self._model, task)
        if metadata is not None:
            metadata = dict(self.scope.guard.facts(metadata, self._model.name))
        if metadata is not None and self._inputs:
            metadata = {**metadata, "other_variables": {n: described(v) for n, v in self._inputs.items()}}
        put = question_prompt if self._direct is None else self._direct.question
        message = put(question, metadata, left=self._remaining.in_words(), wanted=wanted)
        asked = self._note(
            events.QuestionAsked,
            number=task.number,
            question=question,
            limits=_as_mapping(task.limits),
            message=message,
        )
        task.message = asked.message
        task.ask = self._subcalls.for_rules(task)
        self._history.add_question(asked.message)
        self._compactor.note_question(task, self._history.said - 1)
        self._last_answer.set_aside(self._history.messages)
        return task

    async def run(self, task: Task | None = None) -> Answer:
        """Take turns until there is an answer; one that there is already is returned again.

        Args:
            task: The question; None for the one at work.

        Raises:
            RLMError: A limit was reached or something failed for good; its `partial` has what there was.
        """
        task = task or self._at_work()
        while task.answer is None:
            await self.step(task)
        return task.answer

    async def step(self, task: Task | None = None) -> Step:
        """Take one turn: ask the model, run its code, and tell it what came of it.

        Of a question that has its answer, the answer is returned again and nothing is asked or paid for.

        Args:
            task: The question; None for the one at work.

        Raises:
            RLMError: A limit was reached or something failed for good; its `partial` has what there was. A question
                that has failed fails again in the same way.
        """
        task = task or self._at_work()
        if task.answer is not None:
            return Step("finished", task.answer.text, Decimal(0))
        return await self._guarded(task, lambda: self._turn(task))

    async def plan_next_step(self, task: Task | None = None) -> Proposal:
        """Ask the model what it would do next; nothing of it runs before `execute_step`.

        Args:
            task: The question; None for the one at work.

        Raises:
            ConfigError: The question has its answer.
            RLMError: As for `step`.
        """
        task = task or self._at_work()
        if task.answer is not None:
            raise ConfigError("the question has its answer; ask another with ask(question)")
        return await self._guarded(task, lambda: self.propose(task))

    async def execute_step(self, proposal: Proposal) -> Step:
        """Run a proposal, as it is or as `override_code` and `reject` have changed it, and tell the model of it.

        What was decided is recorded before anything runs, as a decision of `approve=` is.

        Args:
            proposal: What `plan_next_step` returned last.

        Raises:
            ConfigError: It is not the last proposal, or was executed before.
            RLMError: As for `step`.
        """
        task = self._at_work()
        if proposal is not task.proposal or task.is_finished or len(task.turns) != proposal.turn or task.is_taken:
            raise ConfigError("only the last proposal can be executed, once; plan the next step with plan_next_step()")
        return await self._guarded(task, lambda: self._take_as_decided(task, proposal))

    def inject_rejection(self, reason: str) -> None:
        """Reject the last proposal: `execute_step` then runs nothing of it, and the model is told why.

        Args:
            reason: Why.
        """
        proposal = self._at_work().proposal
        if proposal is None:
            raise ConfigError("there is no proposal to reject; plan one with plan_next_step()")
        proposal.reject(reason)

    def interrupt_cell(self) -> bool:
        """Raise KeyboardInterrupt in the cell that runs, which keeps its variables; return False where it cannot be."""
        interrupt: Callable[[], bool] = getattr(self._sandbox, "interrupt", bool)
        return interrupt()

    @property
    def is_finished(self) -> bool:
        """True if the question at work has its answer or has failed."""
        return self.task is not None and self.task.is_finished

    @property
    def final_answer(self) -> Answer | None:
        """The answer to the question at work, once there is one."""
        return self.answer

    @property
    def cost(self) -> Cost:
        """The cost of the whole session until now."""
        return self._run.budget.cost

    async def variables(self) -> Mapping[str, str]:
        """Return the variables that code has set, each with a short description such as `list, 3 items`.

        Raises:
            SandboxError: The sandbox does not answer.
        """
        return await self._namespace.variables() if self._direct is None else {}

    async def propose(self, task: Task) -> Proposal:
        """Ask the model what it would do; nothing of it has run.

        Args:
            task: The question.

        Raises:
            LimitExceeded: The limits do not allow another turn.
            ModelError: The provider failed.
        """
        task.check_turn()
        number = len(task.turns) + 1
        paid_usd, _ = self._run.journal.past.charged_below(key_of(self.scope.session_id, task.number, number))
        self._spent_before = self._run.budget.spent_usd - paid_usd
        self.state = "THOUGHT"
        unchanged = await self._compactor.keep_within(self._history, task, self._namespace.variables)
        self._sent = self._sent if unchanged is None else unchanged
        messages = self._history.messages
        completion, cost_usd = await ask_model(
            self.scope,
            self._model,
            messages,
            key=key_of(self.scope.session_id, task.number, number, "request"),
            turn=number,
            added=messages[self._sent :],
            account=task.account,
            max_output_tokens=task.limits.max_output_tokens,
        )
        self._sent = len(messages)
        reply = parse_reply(completion.text, strict=self._options.strict)
        # Reasoning stays out of the conversation, as the makers of reasoning models ask for.
        self._reply_at = self._history.said
        self._history.add_reply(split_thought(completion.text)[1] if reply.reasoning else completion.text)
        # Noted at once, and again with what comes of it, so that no reply that was paid for is ever lost.
        task.turns.append(Turn(number, completion.text, cost_usd=cost_usd))
        self._run.budget.check(task.account)
        cells = tuple(Cell(code, number, index) for index, code in enumerate(reply.cells))
        if task.useless + 1 >= self._options.most_repeats and not cells and reply.final is None:
            cells = self._fallback(task, number)
        task.is_taken = False
        task.proposal = Proposal(number, completion, reply, cells, left=self._remaining.as_dict())
        return task.proposal

    def _fallback(self, task: Task, turn: int) -> tuple[Cell, ...]:
        """Return the user's code for a model that has none to offer, once for a question."""
        if self._options.fallback_code is None or task.has_fallen_back:
            return ()
        task.has_fallen_back = True
        return (Cell(self._options.fallback_code, turn, 0, by="person"),)

    async def approve(self, task: Task, proposal: Proposal) -> Proposal:
        """Return what is to be done: the model's proposal, unless somebody changes it.

        Args:
            task: The question.
            proposal: What the model would do.
        """
        approval = self._options.approval
        effect = _approval_effect(self.scope, task, proposal)
        recorded = self._run.journal.past.end(effect.began.key) is not None
        if not recorded and (approval is None or not approval.concerns(proposal)):
            return proposal
        decide = (approval or Approval(lambda _: True)).decide
        return await self._decided(effect, proposal, lambda: decide(proposal))

    async def _decided(
        self, effect: Effect[Decision], proposal: Proposal, decide: Callable[[], Awaitable[Decision]]
    ) -> Proposal:
        """Return a proposal as somebody decided on it, now or when it was recorded."""
        decision = await self._run.journal.once(effect, decide)
        if isinstance(decision, Replace):
            proposal.override_code(decision.code)
        elif decision is not True:
            proposal.reject(decision or "")
        return proposal

    async def execute(self, task: Task, proposal: Proposal) -> Turn:
        """Run the proposal's cells until one fails.

        Args:
            task: The question.
            proposal: What to run.

        Raises:
            LimitExceeded: A call of a cell ran into a limit of this session.
            SandboxError: The sandbox cannot go on.
        """
        task.is_taken = True
        cells = () if proposal.rejected is not None else proposal.cells
        turn = task.turns[-1] = replace(task.turns[-1], cells=cells)
        if cells:
            await self._enter_loop()
        for place, proposed in enumerate(cells):
            cell = self._note(events.CellStarted, "ACTION", cell=proposed).cell
            with anyio.CancelScope() as self._subcalls.cell:
                execution = await self._recorded_or_run(cell, key_of(task.number, cell.turn, cell.index))
            if self._subcalls.fatal is not None:
                raise self._subcalls.fatal
            executed = self.scope.note(events.CellExecuted, self.state, cell=cell, execution=execution)
            ran = (*turn.executions, executed.execution)
            turn = task.turns[-1] = replace(turn, cells=_with(turn.cells, place, cell), executions=ran)
            if turn.failed:
                break
        return turn

    async def conclude(self, task: Task, turn: Turn) -> Step:
        """Take the turn's answer, or tell the model what its code gave or what is wrong with its answer.

        Args:
            task: The question.
            turn: What was run.
        """
        proposal = task.proposal
        assert proposal is not None  # noqa: S101 - a turn comes of a proposal
        # A tag that was written before its code failed, or beside other code, speaks of results that there are not.
        counts = not (turn.failed or proposal.is_edited or proposal.rejected is not None)
        final = proposal.reply.final if counts else None
        found = await self._answers.of_turn(self._namespace, turn.cells[: len(turn.executions)], final)
        if found is None and self._direct is not None and proposal.rejected is None:
            words = in_words(proposal.reply, proposal.completion)
            found = FinalAnswer(words, words) if words else None
        if isinstance(found, FinalAnswer):
            restored = self.scope.guard.restored
            found = replace(found, text=restored(found.text), value=restored(found.value))
            found = await self._judged(task, found)
        if isinstance(found, FinalAnswer):
            sources = await self._checked_sources(found)
            self._tell_of_guard(turn.number, events.TurnFinished)
            self._turn_is_over(task, turn)
            task.answer = self._answered(task, found.text, value=found.value, sources=sources)
            self._compactor.note_answer(found.text)
            self._last_answer.free()
            ended = await self.scope.append(events.SessionFinished, self._enter("TERMINATED"), answer=task.answer)
            if ended.sequence < self._run.journal.first_new:  # read back: its figures are those of then
                task.answer = replace(ended.answer, value=found.value)
            return Step("finished", found.text, task.turns[-1].cost_usd)
        correction = found
        observation = await self._observe(task, turn, proposal, correction)
        turn = replace(turn, observation=observation)
        self._turn_is_over(task, turn)
        check_progress(
            task,
            turn,
            proposal,
            sent_back=correction is not None,
            most=self._options.most_repeats,
            depth=self.scope.depth,
        )
        return Step("error" if turn.failed else "continue", observation.text, task.turns[-1].cost_usd)

    def _index_functions(self) -> Retrieval | None:
        if self._run.retriever is None:
            return None
        text = self._context
        is_short = text.kind == "text" and text.length == len(CONTEXT_OF_INDEX)
        has_context = not (is_short and text.slice(0, text.length) == CONTEXT_OF_INDEX)
        return Retrieval(self.scope, self._run.retriever, self._tool_timeout_s, has_context=has_context)

    async def _checked_sources(self, found: FinalAnswer) -> tuple[Source, ...]:
        """Return the sources of an answer that are there: hits in the index, positions and quotes in the text."""
        if self._retrieval is None:
            return await anyio.to_thread.run_sync(checked_sources, found, self._context)
        if self._run.journal.past.peek(self.scope.session_id, events.SessionFinished) is not None:
            return ()  # the record has the answer with its sources
        hits = [item for item in found.sources if is_of_index(item)]
        others = replace(found, sources=[item for item in found.sources if not is_of_index(item)])
        of_index = await self._retrieval.checked_sources(hits)
        if of_index and not others.sources:
            return of_index
        return (*of_index, *await anyio.to_thread.run_sync(checked_sources, others, self._context))

    def child_scope(self, name: str, limits: ChildLimits | None) -> Scope:
        """Return the scope of a session that this one opens.

        Args:
            name: The key of the call that opens it.
            limits: What it may use; None for as much as this one.
        """
        account = self.task.account if self.task is not None else self.scope.account
        return self.scope.child(name, account, cost_limit_usd=limits.cost_limit_usd if limits else None)

    async def _guarded(self, task: Task, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Do a part of a turn within the deadline; keep and record what there was where it fails."""
        if task.error is not None:
            raise task.error
        try:
            # What the record has is brought back without a limit of its time.
            is_recorded = self._run.journal.past.peek(self.scope.session_id, events.TurnFinished) is not None
            left_s = math.inf if is_recorded else task.left_s
            with anyio.move_on_after(left_s):
                if left_s > 0:
                    return await work()
            raise task.time_is_up()  # noqa: TRY301 - it ends the question like any other limit
        except RecordEnded as end:
            error = end.error if isinstance(end.error, RLMError) else end
            await self._fail(task, error)
            raise error from None
        except RLMError as error:
            await self._fail(task, error)
            raise
        except Exception as error:
            mistake = RLMError(f"a mistake in rlmbox: {type(error).__name__}: {error}; please report it")
            await self._fail(task, mistake)
            raise mistake from error
        except BaseException as error:
            self._interrupted(task, error)
            raise

    async def _turn(self, task: Task) -> Step:
        return await self._take(task, await self.approve(task, await self.propose(task)))

    async def _take_as_decided(self, task: Task, proposal: Proposal) -> Step:
        """Record what whoever takes the session step by step made of a proposal, and run that."""

        async def decided() -> Decision:
            if proposal.rejected is not None:
                return proposal.rejected
            return Replace(proposal.code_block) if proposal.is_edited else True

        effect = _approval_effect(self.scope, task, proposal)
        if proposal.has_code or proposal.is_edited or proposal.rejected is not None:
            await self._decided(effect, proposal, decided)
        return await self._take(task, proposal)

    async def _take(self, task: Task, proposal: Proposal) -> Step:
        try:
            return await self.conclude(task, await self.execute(task, proposal))
        except BaseException:  # where a limit ends the turn halfway, too, what its sub-calls cost is its own
            task.turns[-1] = replace(task.turns[-1], cost_usd=self._turn_cost())
            raise

    async def _judged(self, task: Task, found: FinalAnswer) -> FinalAnswer | str:
        """Return an answer of the type that was asked for, or what to tell the model in place of an end.

        Raises:
            AnswerRejected: Too many answers were sent back.
        """
        typed: FinalAnswer | str = found
        if task.returns is not None:
            typed = task.returns.read(found, in_code=self._direct is None)
        recorded = self._recorded_verdict(task)
        if recorded == "" and task.returns is not None and task.returns.is_schema:
            return typed if isinstance(typed, FinalAnswer) else found  # a type took it then that is stricter in JSON
        if recorded is not None:
            correction = typed if isinstance(typed, str) else recorded or None
        else:
            correction = typed if isinstance(typed, str) else await self._answers.judge(task, typed)
        if correction is None and isinstance(typed, FinalAnswer):
            return typed
        task.corrections += 1
        if task.corrections >= self._options.most_corrections:
            times = task.corrections
            raise AnswerRejected(f"{times} answers were sent back; the last one because: {correction}"[:_MESSAGE_CHARS])
        return correction or ""

    def _recorded_verdict(self, task: Task) -> str | None:
        """Return what the record says of the answer of this turn: empty where it was taken; None for no word of it.

        Raises:
            RecordEnded: There is none, and nothing may be added.
        """
        journal, session_id = self._run.journal, self.scope.session_id
        observed = journal.past.peek(session_id, events.ObservationMade)
        finished = journal.past.peek(session_id, events.SessionFinished)
        # That of a later question may be of the same turn, and comes after the end of this one.
        is_next = observed is not None and (finished is None or observed.sequence < finished.sequence)
        if is_next and isinstance(observed, events.ObservationMade) and observed.turn == len(task.turns):
            return "(as it was recorded)"
        if finished is not None:
            return ""
        if journal.is_sealed:
            raise RecordEnded(journal.past.end_of(session_id))
        return None

    def _turn_cost(self) -> Decimal:
        return self._run.budget.spent_usd - self._spent_before

    def _turn_is_over(self, task: Task, turn: Turn) -> None:
        task.turns[-1] = replace(turn, cost_usd=self._turn_cost())
        over = self._note(events.TurnFinished, turn=task.turns[-1], spent=self._run.budget.cost)
        task.turns[-1] = over.turn
        self._compactor.note_turn(task, over.turn, self._reply_at)

    async def _observe(self, task: Task, turn: Turn, proposal: Proposal, correction: str | None) -> Observation:
        """Tell the model what its code gave, or that there was none."""
        completion, reply = proposal.completion, proposal.reply
        cut = [_CUT] if completion.stop_reason == "length" else []
        problems = [*reply.problems, *([correction] if correction else []), *cut]
        if proposal.rejected is not None:
            problems = [_REJECTED.format(reason=proposal.rejected)]
        edited = [_EDITED.format(code=proposal.code_block)] if proposal.is_edited and turn.executions else []
        if self._opened:
            edited, self._opened = [OPENED, *edited], False
        notes = [*edited, *_restored(turn), *reply.notes, *self._subcalls.notes(), *self._remaining.remark(completion)]
        quiet = not any(execution.stdout or execution.value_repr for execution in turn.executions)
        looked = bool(turn.executions) and (quiet or turn.failed)
        variables = await self._namespace.variables() if looked else None
        repeated = note_outcome(task, turn, variables, sent_back=correction is not None)
        notes += [REPEATED] if repeated and not turn.failed else []
        nonce = self.scope.guard.nonce(task.number, turn)
        show = self.scope.guard.shows(self._model.name, turn.number)
        if turn.executions:
            observation = observe(
                turn.cells,
                turn.executions,
                nonce=nonce,
                show=show,
                variables=variables,
                names=self._names,
                problems=problems,
                notes=notes,
                max_chars=task.limits.observation_chars,
                repeated=repeated and turn.failed,
            )
        else:
            observation = Observation(no_code(problems, notes, nonce=nonce, show=show))
        observation = replace(observation, text=self.scope.guard.told(observation.text, self._model.name))
        self._tell_of_guard(turn.number, events.ObservationMade)
        made = self._note(events.ObservationMade, "OBSERVATION", turn=turn.number, observation=observation)
        told: Observation = made.observation
        self._history.add_observation(told.text)
        return told

    def _tell_of_guard(self, turn: int, following: type[events.Event]) -> None:
        """Record what the guard did in a turn, unless the turn is read back."""
        news = self.scope.guard.news()
        is_recorded = self._run.journal.past.peek(self.scope.session_id, following) is not None
        if news is not None and not is_recorded:
            self._note(events.TextGuarded, turn=turn, **news)

    async def _fail(self, task: Task, error: RLMError) -> None:
        """Keep what there was, and record how the question ended."""
        self._answers.forget()
        # A child's error carries the child's partial answer; this session's is what its caller needs.
        self._tell_of_guard(len(task.turns), events.SessionFailed)
        error.partial = partial = await self._partial(task, error)
        task.error = error
        self._last_answer.free()
        failed = await self.scope.append(
            events.SessionFailed,
            self._enter("TERMINATED"),
            error_type=type(error).__name__,
            message=str(error),
            partial=partial,
        )
        error.partial = failed.partial

    def _interrupted(self, task: Task, error: BaseException) -> None:
        """Record that a question was cancelled; nothing may be awaited here."""
        self._answers.forget()
        task.error = RLMError("the question was interrupted")
        task.error.partial = partial = self._answered(task, _thought_of(task), complete=False)
        self._last_answer.free()
        kind = type(error).__name__
        self._note(events.SessionFailed, "TERMINATED", error_type=kind, message=str(task.error), partial=partial)

    async def _partial(self, task: Task, error: RLMError) -> Answer:
        """Return what there is without an answer: the best that the model can say now, or its last words."""
        last = await self._last_answer.ask(self._history.messages, error)
        said = last.reply if last else task.turns[-1].reply if task.turns else ""
        best = await self._answers.last_word(self._namespace, said, prose=last is not None)
        text, value = (best.text, best.value) if best else (_thought_of(task), None)
        text, value = self.scope.guard.restored(text), self.scope.guard.restored(value)
        if last is not None:
            task.turns.append(last)
        return self._answered(task, text, value=value, complete=False)

    def _answered(self, task: Task, text: str, **fields: Any) -> Answer:
        return self._run.answer(text, task.turns, model=self._model.name, sandbox=self._sandbox.name, **fields)

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

    async def _start(self, query: str) -> None:
        """Start the sandbox, and leave nothing of it where that fails."""
        cell_limits, self._query = self._run.budget.limits.cell, query
        try:
            await self._sandbox.start(
                cell_limits,
                self._context,
                self._host,
                query=query,
                seed=self.scope.seed,
                inputs=self._inputs,
            )
        except BaseException:
            await self._sandbox.close()
            raise

    async def _rebuild(self) -> None:
        """Start a new sandbox in place of one that was cut in the middle of a cell, and run its other cells again.

        Calls of the host get the answers that the journal has of them.
        """
        with anyio.CancelScope(shield=True):
            await self._sandbox.close()
        self._sandbox = self._run.new_sandbox()
        await self._start(self._query)
        for cell, path in self._ran:
            self._bridge.enter(path)
            await self._sandbox.execute(cell)
        self._is_cut = False

    async def _recorded_or_run(self, cell: Cell, path: str) -> Execution:
        """Run a cell; of one that the record has, bring back the variables, and return what it gave then."""
        executed = self._run.journal.past.peek(self.scope.session_id, events.CellExecuted)
        if not isinstance(executed, events.CellExecuted):
            return await self._execute(cell, path)
        recorded = executed.execution
        if recorded.namespace == "lost":
            self._ran.clear()
            await self._rebuild()
        elif recorded.namespace == "kept":  # after one that ended with the variables rebuilt they are as before it
            now = await self._execute(cell, path)
            if printed_otherwise(recorded, now):
                shown = {"recorded": shown_output(recorded), "now": shown_output(now)}
                self.scope.note(events.CellDiffered, self.state, cell=cell, **shown)
        return recorded

    async def _execute(self, cell: Cell, path: str) -> Execution:
        """Run a cell, and let nothing but an `RLMError` out of the sandbox."""
        path = key_of(self.scope.session_id, path)
        self._bridge.enter(path)
        self._is_cut = True
        try:
            execution = await self._sandbox.execute(cell)
        except RLMError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise SandboxCrashed(f"the sandbox {self._sandbox.name} failed: {kind}: {error}") from error
        self._is_cut = False
        was_interrupted = execution.error is not None and execution.error.type == "KeyboardInterrupt"
        if execution.namespace != "lost" and execution.outcome in ("ok", "error") and not was_interrupted:
            self._ran.append((cell, path))
        return execution

    async def _listed(self) -> Mapping[str, str]:
        """Return the variables; what is cut here, such as by cancellation, may cost the sandbox as in a cell."""
        was_cut, self._is_cut = self._is_cut, True
        found = await self._sandbox.variables()
        self._is_cut = was_cut
        return found

    def _budget(self) -> dict[str, float | int | None]:
        return self._remaining.as_dict()

    def _at_work(self) -> Task:
        if self.task is None:
            raise ConfigError("the session has no question; put one with ask(question)")
        return self.task

    def _enter(self, state: State) -> State:
        self.state = state
        return state

    def _note(self, kind: Any, state: State | None = None, **fields: Any) -> Any:
        """Record an event, having moved to `state` where one is given, and return it as the record has it."""
        return self.scope.note(kind, self._enter(state or self.state), **fields)


class BlockingSession:
    """A session for code that does not use `await`: what `with rlm.session(...)` gives.

    Args:
        session: The session, which is open.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def task(self) -> Task | None:
        """The question at work, or the last one."""
        return self._session.task

    @property
    def answer(self) -> Answer | None:
        """The answer to the question at work, once there is one."""
        return self._session.answer

    @property
    def final_answer(self) -> Answer | None:
        """The answer to the question at work, once there is one."""
        return self._session.answer

    @property
    def is_finished(self) -> bool:
        """True if the question at work has its answer or has failed."""
        return self._session.is_finished

    def ask(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Answer:
        """Ask a question of the text and wait for the answer; see `Session.ask`."""
        return run_blocking(lambda: self._session.ask(question, returns=returns, limits=limits))

    def begin(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Task:
        """Put a question, to be answered by `step()` or `run()`; see `Session.begin`."""
        return run_blocking(lambda: self._session.begin(question, returns=returns, limits=limits))

    @property
    def cost(self) -> Cost:
        """The cost of the whole session until now."""
        return self._session.cost

    def variables(self) -> Mapping[str, str]:
        """Return the variables that code has set; see `Session.variables`."""
        return run_blocking(self._session.variables)

    def plan_next_step(self) -> Proposal:
        """Ask the model what it would do next; see `Session.plan_next_step`."""
        return run_blocking(self._session.plan_next_step)

    def execute_step(self, proposal: Proposal) -> Step:
        """Run a proposal; see `Session.execute_step`."""
        return run_blocking(lambda: self._session.execute_step(proposal))

    def inject_rejection(self, reason: str) -> None:
        """Reject the last proposal; see `Session.inject_rejection`."""
        self._session.inject_rejection(reason)

    def step(self) -> Step:
        """Take one turn; see `Session.step`."""
        return run_blocking(self._session.step)

    def run(self) -> Answer:
        """Take turns until there is an answer; see `Session.run`."""
        return run_blocking(self._session.run)


BUDGET = "what is left: turns, usd, tokens, subcalls, seconds (None: no limit); and the depth"


class _Namespace:
    """The session's REPL, for cells that the engine itself runs; they are recorded like any other."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._count = 0

    async def evaluate(self, code: str) -> Execution:
        session, task = self._session, self._session.task
        await session._enter_loop()  # noqa: SLF001 - a part of the session
        turn = len(task.turns) if task is not None else 0
        cell = Cell(code, turn, self._count, by="engine")
        self._count += 1
        path = key_of(task.number if task else 0, turn, f"engine-{cell.index}")
        cell = session.scope.note(events.CellStarted, session.state, cell=cell).cell
        execution = await session._recorded_or_run(cell, path)  # noqa: SLF001 - a part of the session
        executed = session.scope.note(events.CellExecuted, session.state, cell=cell, execution=execution)
        found: Execution = executed.execution
        return found

    async def variables(self) -> Mapping[str, str]:
        if self._session._direct is not None:  # noqa: SLF001 - a part of the session
            return {}
        try:
            return await self._session._listed()  # noqa: SLF001 - a part of the session
        except RLMError:
            raise
        except Exception as error:
            raise SandboxCrashed(f"the sandbox does not answer: {type(error).__name__}: {error}") from error


def check_question(question: object) -> None:
    """Check that a question can be asked.

    Args:
        question: What somebody wants to know.

    Raises:
        ConfigError: It is not a string, or has nothing in it.
    """
    if not isinstance(question, str):
        raise ConfigError(f"a question is a string, not {type(question).__name__}")
    if not question.strip():
        raise ConfigError("the question is empty; say what you want to know")


def _check_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigError("rlmbox runs on asyncio; under trio, call RLM.ask in a thread of its own") from None


def _with(cells: tuple[Cell, ...], place: int, cell: Cell) -> tuple[Cell, ...]:
    return (*cells[:place], cell, *cells[place + 1 :])


def _restored(turn: Turn) -> list[str]:
    names = dict.fromkeys(name for execution in turn.executions for name in execution.restored)
    if not names:
        return []
    return [f"{', '.join(names)}: assigned by your code, and what the REPL provides again from the next block on."]


def _approval_effect(scope: Scope, task: Task, proposal: Proposal) -> Effect[Decision]:
    key = key_of(scope.session_id, task.number, proposal.turn, "approval")

    def event(kind: Any, **fields: Any) -> Any:
        return scope.event(kind, "THOUGHT", key=key, turn=proposal.turn, **fields)

    def done(decision: Decision) -> Any:
        if isinstance(decision, Replace):
            return event(events.ApprovalGiven, decision="replace", code=decision.code)
        reason = decision if isinstance(decision, str) else ""
        return event(events.ApprovalGiven, decision="run" if decision is True else "reject", reason=reason)

    def load(ended: events.EffectEnded) -> Decision:
        if not isinstance(ended, events.ApprovalGiven) or ended.ended != "done":
            raise recorded_error(ended)
        if ended.decision == "replace":
            return Replace(ended.code)
        return True if ended.decision == "run" else ended.reason

    return Effect(
        began=event(events.ApprovalAsked, code=proposal.proposed_code),
        done=done,
        failed=lambda error, ended: event(events.ApprovalGiven, **ended_with(error, ended)),
        load=load,
    )


def _thought_of(task: Task) -> str:
    """Return the last words of a question without an answer: what the model said in prose, never its code."""
    replies: Sequence[str] = [turn.reply for turn in reversed(task.turns) if not turn.is_last_word]
    return next((words for words in (parse_reply(reply).thought.strip() for reply in replies) if words), "")


def _as_mapping(limits: Limits) -> Mapping[str, object]:
    found = to_json(limits)
    return found if isinstance(found, dict) else {}
