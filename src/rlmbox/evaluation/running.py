"""Running an evaluation: every question to every arm, repeatedly, over one ledger and one file."""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits, check_count
from rlmbox.context import Context
from rlmbox.errors import ConfigError, ModelError, RLMError
from rlmbox.evaluation.graders import OWN, Grader, Score, grader_of, judge_prompt, judged
from rlmbox.evaluation.journal import EvaluationJournal, Recorded, TrialKey, outcome_as_json, plain_name
from rlmbox.evaluation.one_request import SHORT_CHARS
from rlmbox.evaluation.outcomes import Arm, Estimate, Outcome, Result, Trial
from rlmbox.evaluation.purse import Purse
from rlmbox.evaluation.questions import Question, checked_ids
from rlmbox.guard import Guard, secrets_of_environment
from rlmbox.models.base import Model, current_request_key
from rlmbox.requests.client import Calls
from rlmbox.types import Message, Usage

_OPEN_CONTEXTS = 16  # beyond that the least recently used text is closed
_SHORT_TEXT_CHARS = 20_000
_KEPT_TEXTS = 2_000  # short texts, kept so that arms recognize the same text
_KEPT_ANSWERS = 10_000  # short answers in which the guard found nothing to hide
_JUDGE_TOKENS = 1_024
_FRAME_BYTES = 200  # the parts of a request around the judge's prompt
_AGAIN = ("provider",)  # endings that are not the arm's fault, and are repeated when an evaluation is resumed


@dataclass(frozen=True, slots=True)
class Plan:
    """The definition of an evaluation.

    Attributes:
        questions: The questions.
        arms: The arms, with unique names.
        repeats: How often each arm is asked each question.
        context: Path of the text for questions that name none; None if all do.
        grader: The grader for questions that name none; empty to choose it by the expected answer.
        own_grader: A function of the user's that grades everything, or None.
        judge: The model that judges, or None.
        cost_limit_usd: Cost limit of all trials together; None for no limit.
        concurrency: Trials that may run at once.
        guard: Checks what leaves for the judge, and what is written to the file.
        says_form: Whether the question includes the form of the answer that its grader expects.
        open_context: Opens the text of a path; None for `Context.from_path`.
    """

    questions: Sequence[Question]
    arms: Sequence[Arm]
    repeats: int = 1
    context: Path | str | None = None
    grader: str = ""
    own_grader: Score | None = None
    judge: Model | None = None
    cost_limit_usd: Decimal | None = None
    concurrency: int = 8
    guard: Guard = field(default_factory=Guard)
    says_form: bool = True
    open_context: Callable[[str], Context] | None = None

    def __post_init__(self) -> None:
        """Check that it can run.

        Raises:
            ConfigError: It cannot; the message says what is missing.
        """
        checked_ids(self.questions)
        names = [arm.name for arm in self.arms]
        if not names:
            raise ConfigError("an evaluation has at least one arm, such as --arm rlm")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two arms are called {name!r}; name one with --arm NAME=…")
        counts: dict[str, Any] = {"repeats": self.repeats, "concurrency": self.concurrency}
        for what, number in counts.items():
            check_count(what, number, 1)
        for question in self.questions:
            if not (question.text or question.context or self.context):
                raise ConfigError(f"question {question.id} has no text; give it a context, or give one with --context")
            if self.grader_of(question).score is None and self.judge is None:
                raise ConfigError(f"question {question.id} is graded by a model; name it with --judge MODEL")

    def grader_of(self, question: Question) -> Grader:
        """Return the grader of a question.

        Args:
            question: The question.
        """
        found = grader_of(question, self.grader, self.own_grader)
        return found if self.says_form else replace(found, wanted="")

    @property
    def num_trials(self) -> int:
        """Number of trials."""
        return len(self.questions) * len(self.arms) * self.repeats


class Contexts:
    """The texts of the questions, in a cache of open ones.

    Args:
        plan: The evaluation.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._open: OrderedDict[str, Context] = OrderedDict()
        self._short: OrderedDict[str, Context] = OrderedDict()

    def ready(self, question: Question) -> Context | None:
        """Return the text of a question if it is open or short, else None.

        Args:
            question: The question.
        """
        if 0 < len(question.text) <= _SHORT_TEXT_CHARS:
            return self.of(question)
        path = question.context or str(self._plan.context)
        return None if question.text else self._open.get(path)

    def of(self, question: Question) -> Context:
        """Return the text of a question, opening it if needed.

        Args:
            question: The question.

        Raises:
            ContextError: It cannot be opened.
        """
        if question.text:
            return self._of_text(question)
        path = question.context or str(self._plan.context)
        if path not in self._open:
            self._open[path] = (self._plan.open_context or Context.from_path)(path)
            while len(self._open) > _OPEN_CONTEXTS:
                self._open.popitem(last=False)
        self._open.move_to_end(path)
        return self._open[path]

    def _of_text(self, question: Question) -> Context:
        if len(question.text) > _SHORT_TEXT_CHARS:
            return Context.from_text(question.text)
        if question.id not in self._short:
            self._short[question.id] = Context.from_text(question.text)
            while len(self._short) > _KEPT_TEXTS:
                self._short.popitem(last=False)
        return self._short[question.id]


def estimate(plan: Plan, done: Mapping[TrialKey, object] | None = None) -> dict[str, Estimate]:
    """Estimate the remaining trials of each arm, without any request.

    Args:
        plan: The evaluation.
        done: Finished trials, by trial key.
    """
    contexts, found = Contexts(plan), {arm.name: Estimate() for arm in plan.arms}
    for question in plan.questions:
        trial = Trial("", question, contexts.of(question), plan.grader_of(question).wanted, 0)
        for arm in plan.arms:
            left = sum((arm.name, question.id, repeat) not in (done or {}) for repeat in range(plan.repeats))
            if left:
                found[arm.name] = _added(found[arm.name], arm.estimate(trial), left)
    return found


def _added(total: Estimate, one: Estimate, times: int) -> Estimate:
    return Estimate(
        total.requests + one.requests * times,
        total.input_tokens + one.input_tokens * times,
        total.output_tokens + one.output_tokens * times,
        total.cost_usd + one.cost_usd * times,
        total.most_usd + one.most_usd * times,
        max(total.least_usd, one.least_usd),
        total.duration_s + one.duration_s * times,
        total.price_known and one.price_known,
        total.cannot or one.cannot,
    )


@dataclass(frozen=True, slots=True)
class Grade:
    """The grade of a trial.

    Attributes:
        score: The score of the answer, from 0 to 1; None if the arm cannot answer.
        judge_usd: Cost of judging it.
        most_usd: The reservation for judging it.
    """

    score: float | None
    judge_usd: Decimal = Decimal(0)
    most_usd: Decimal = Decimal(0)

    def as_json(self) -> dict[str, Any]:
        """Convert it to JSON."""
        return {"score": self.score, "judge_usd": str(self.judge_usd), "most_usd": str(self.most_usd)}


class Evaluation:
    """A running evaluation.

    Args:
        plan: Its definition.
        journal: Its file.
        recorded: The content of the file; what is answered there is not asked again.
        on_result: Called with each result.

    Attributes:
        recorded: The current content of the file.
        purse: The ledger of all trials.
    """

    def __init__(
        self,
        plan: Plan,
        journal: EvaluationJournal,
        recorded: Recorded,
        on_result: Callable[[Result], None] | None = None,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._on_result = on_result or (lambda _: None)
        self._contexts = Contexts(plan)
        self._hides = plan.guard.for_run(known_secrets=secrets_of_environment(os.environ))
        self._harmless: dict[str, str] = {}
        self._graders = {question.id: plan.grader_of(question) for question in plan.questions}
        self._errors: list[RLMError] = []
        self._unjudged: list[ModelError] = []
        self.recorded = recorded
        self.purse = Purse(plan.cost_limit_usd, recorded.spent_usd)

    async def run(self) -> None:
        """Run the trials that are not answered yet.

        Raises:
            BudgetExceeded: The cost limit is reached; answers so far are kept.
            StoreError: The file cannot be written.
            ContextError: A text cannot be opened.
            ModelError: The judge failed; answers are kept, and judged when the evaluation is resumed.
        """
        if not self.recorded.head:
            raise ConfigError("the evaluation's file has no first line; write it with EvaluationJournal.write")
        waiting = self._trials()
        lock = anyio.Lock()

        async def work() -> None:
            while not self._errors and (found := next(waiting, None)) is not None:
                arm, question, repeat = found
                try:
                    context = self._contexts.ready(question)
                    if context is None:
                        async with lock:  # one worker opens a text while the others wait for it
                            context = await to_thread.run_sync(self._contexts.of, question)
                    await self._one(arm, question, repeat, context)
                except ModelError as error:  # of the judge: the other trials go on
                    self._unjudged.append(error)
                except RLMError as error:
                    self._errors.append(error)

        with _settled_memory():
            async with anyio.create_task_group() as group:
                for _ in range(min(self._plan.concurrency, max(1, self._plan.num_trials))):
                    group.start_soon(work)
        if failed := (*self._errors, *self._unjudged):
            raise failed[0]

    def _trials(self) -> Iterator[tuple[Arm, Question, int]]:
        """Iterate over the trials to run, ordered so that an early end affects all arms alike."""
        for repeat in range(self._plan.repeats):
            for question in self._plan.questions:
                for arm in self._plan.arms:
                    key = (arm.name, question.id, repeat)
                    outcome = self.recorded.outcomes.get(key)
                    if outcome is None or outcome.ending in _AGAIN or key not in self.recorded.grades:
                        yield arm, question, repeat

    async def _one(self, arm: Arm, question: Question, repeat: int, context: Context) -> None:
        key = (arm.name, question.id, repeat)
        place = {"arm": arm.name, "question": question.id, "repeat": repeat}
        outcome, ended = self.recorded.outcomes.get(key), list[Mapping[str, Any]]()
        if outcome is None or outcome.ending in _AGAIN:
            outcome, line = await self._answered(arm, question, repeat, context, place)
            ended.append(line)
        grade: Grade | None = None
        try:
            if outcome.ending != "answered":
                grade = Grade(None if outcome.ending == "cannot" else 0.0)
            elif self._graders[question.id].score is not None:
                grade = Grade(await self._scored(question, outcome))
            else:
                self._write(*ended)
                ended.clear()
                name = "/".join((self._journal.name, *map(str, key), "judge"))
                grade = await self._judged(question, outcome.text, name, place)
        finally:  # the answer is kept, whatever happened to its grade
            graded = [] if grade is None else [{"kind": "graded", **place, **grade.as_json()}]
            self._write(*ended, *graded)
        result = Result(*key, self.recorded.outcomes[key], grade.score, grade.judge_usd, context.length)
        self._on_result(result)

    async def _answered(
        self, arm: Arm, question: Question, repeat: int, context: Context, place: Mapping[str, Any]
    ) -> tuple[Outcome, Mapping[str, Any]]:
        """Run a trial; return its outcome, and the line about it, which is still to be written."""
        key = f"{self._journal.name}/{plain_name(arm.name)}/{plain_name(question.id)}/{repeat}"
        trial = Trial(key, question, context, self._graders[question.id].wanted, repeat)
        expected = arm.estimate(trial)
        granted = await self.purse.reserve(expected.most_usd, expected.least_usd)
        spent = granted  # assumed if the trial is interrupted
        try:
            self._write({"kind": "began", **place, "most_usd": str(granted)})
            # A free model needs no limit, and one without a known price cannot have one.
            is_limited = expected.most_usd > 0 and (self.purse.limit_usd is not None)
            outcome = await arm.answer(trial, granted if is_limited else None)
            spent = outcome.cost_usd
        finally:
            self.purse.settle(granted, spent)
        if max(len(outcome.text), len(outcome.note)) <= SHORT_CHARS:
            kept = self._hidden(outcome)
        else:
            kept = await to_thread.run_sync(self._hidden, outcome)
        line = {
            "kind": "ended",
            **place,
            "most_usd": str(granted),
            "size_chars": context.length,
            "outcome": outcome_as_json(kept),
        }
        return outcome, line

    def _exported(self, text: str) -> str:
        """Filter a text for a file by the guard. Short results are cached, since answers are often the same."""
        found = self._harmless.get(text) if text else text
        if found is None:
            found = self._hides.check(text, path="export").text
            if found == text and len(text) <= SHORT_CHARS and len(self._harmless) < _KEPT_ANSWERS:
                self._harmless[text] = text
        return found

    def _hidden(self, outcome: Outcome) -> Outcome:
        """Return the outcome as filtered for a file, without secrets and personal data."""
        text, note = map(self._exported, (outcome.text, outcome.note))
        if (text, note) == (outcome.text, outcome.note):
            return outcome
        return replace(outcome, text=text, note=note, value=outcome.value if text == outcome.text else None)

    async def _scored(self, question: Question, outcome: Outcome) -> float:
        """Apply the grader's function to an answer.

        Raises:
            ConfigError: The function is the user's, and failed or returned no score.
        """
        grader = self._graders[question.id]
        score = grader.score
        assert score is not None  # noqa: S101 - the other grader is the judge
        if grader.name != OWN and len(outcome.text) <= SHORT_CHARS:
            return float(score(outcome.value, outcome.text, question))
        try:
            given = await to_thread.run_sync(score, outcome.value, outcome.text, question)
            found = float(given)
        except RLMError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise ConfigError(f"the grader failed on question {question.id}: {said}; fix it, then --resume") from error
        if not 0 <= found <= 1:
            raise ConfigError(f"the grader scored question {question.id} with {given!r}; a score is from 0 to 1")
        return found

    async def _judged(self, question: Question, answer: str, name: str, place: Mapping[str, Any]) -> Grade:
        """Ask the judge, which is not told the arm; its cost is on the ledger, separate from the arm's.

        Raises:
            BudgetExceeded: Too little is left for judging.
            ModelError: The judge failed, or gave no verdict.
        """
        judge = self._plan.judge
        assert judge is not None  # noqa: S101 - the plan was checked
        prompt = judge_prompt(question, answer)
        hidden = await to_thread.run_sync(lambda: self._hides.check(prompt, path="subcall", model=judge.name))
        most = Usage(len(hidden.text.encode("utf-8", "replace")) + _FRAME_BYTES, 0, _JUDGE_TOKENS, 0, 1)
        most_usd = judge.price.cost_usd(most) if judge.price is not None else Decimal(0)
        granted = await self.purse.reserve(most_usd, most_usd)
        limit_usd = granted if granted and self.purse.limit_usd is not None else None
        budget = Budget(Limits(cost_limit_usd=limit_usd, max_output_tokens=_JUDGE_TOKENS, last_answer=False))
        token = current_request_key.set(name)
        score: float | None = None
        try:
            self._write({"kind": "judging", **place, "most_usd": str(granted)})
            reply = await Calls(budget).complete(
                judge, (Message("user", hidden.text),), account=budget.root, whole=True, reuse=False
            )
            score = judged(reply.completion.text)
        finally:
            current_request_key.reset(token)
            self.purse.settle(granted, budget.spent_usd)
            if score is None:
                spent = str(budget.spent_usd)
                self._write({"kind": "unjudged", **place, "most_usd": str(granted), "cost_usd": spent})
        if score is None:
            said = " ".join(reply.completion.text.split())[:80]
            raise ModelError(
                f'{judge.name}: the judge said neither RIGHT nor WRONG of question {question.id} ("{said}"); '
                "name a model that does with --judge, or --resume to ask it again"
            )
        return Grade(score, reply.cost_usd, granted)

    def _write(self, *lines: Mapping[str, Any]) -> None:
        self._journal.write(*lines)
        for line in lines:
            self.recorded.apply(line)


@contextmanager
def _settled_memory() -> Iterator[None]:
    """Exempt existing objects from garbage collection, which would scan them repeatedly for a tenth of the run time."""
    is_ours = not gc.get_freeze_count()
    if is_ours:
        gc.freeze()
    try:
        yield
    finally:
        if is_ours:
            gc.unfreeze()


def head_of(plan: Plan, settings: Mapping[str, Any], unpriced: Sequence[str] = ()) -> dict[str, Any]:
    """Return the first line of an evaluation's file.

    Args:
        plan: The evaluation.
        settings: The options of the command, for resuming.
        unpriced: Names of arms whose models have no known price.
    """
    return {
        "kind": "head",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "questions": [question.as_json() for question in plan.questions],
        "arms": {arm.name: dict(arm.settings) for arm in plan.arms},
        "repeats": plan.repeats,
        "settings": dict(settings),
        "unpriced": list(unpriced),
    }


def check_same(plan: Plan, recorded: Recorded) -> None:
    """Check that an evaluation is resumed with the arms that it was started with.

    Args:
        plan: The evaluation to resume.
        recorded: The content of its file.

    Raises:
        ConfigError: The settings of an arm have changed.
    """
    begun = recorded.head["arms"]
    for arm in plan.arms:
        now = dict(arm.settings)
        if arm.name in begun and begun[arm.name] != now:
            changed = sorted(key for key in {*now, *begun[arm.name]} if now.get(key) != begun[arm.name].get(key))
            raise ConfigError(
                f"{recorded.name}: the arm {arm.name} was started with another {changed[0]} "
                f"({begun[arm.name].get(changed[0])!r}, now {now.get(changed[0])!r}); begin a new evaluation"
            )
