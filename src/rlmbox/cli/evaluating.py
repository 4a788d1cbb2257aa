"""`eval`: arms over questions, with the estimate before, a live table meanwhile, and the report after."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlmbox.cli.eval_plan import EvalSettings, PlanMaker, questions_of
from rlmbox.cli.eval_reports import evaluations_folder, show_and_print
from rlmbox.cli.failing import report as report_error
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.errors import ConfigError
from rlmbox.evaluation.journal import EvaluationJournal, Recorded, new_name, read_evaluation
from rlmbox.evaluation.outcomes import Estimate, Result
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.running import Evaluation, Plan, check_same, estimate, head_of
from rlmbox.guard.visible import printable
from rlmbox.sync import run_blocking

_ASK_ABOVE_USD = Decimal(1)


def run_and_print(
    settings: EvalSettings,
    *,
    resume: str | None,
    yes: bool,
    dry_run: bool,
    html: Path | None,
    inspect: Path | None = None,
    as_json: bool,
    debug: bool,
) -> int:
    """Run an evaluation, or go on with one, and print its report; return the exit code.

    Args:
        settings: How it is made; of one that goes on only its limits and `concurrency` count.
        resume: Name of the evaluation to go on with.
        yes: Do not ask before it spends more than a dollar.
        dry_run: Print the estimate and end.
        html: File for the report as a page.
        inspect: Folder for logs that Inspect reads.
        as_json: Print one JSON object.
        debug: Print the traceback of an error.
    """
    folder = evaluations_folder()
    name = ""
    try:
        recorded = read_evaluation(folder, resume) if resume else Recorded(new_name(folder))
        name = recorded.name
        if resume:
            settings = _resumed(settings, EvalSettings.from_json(recorded.head["settings"]))
            questions = [Question.from_json(each) for each in recorded.head["questions"]]
            _make_texts(settings, folder, questions)
        else:
            questions = questions_of(settings, folder)
        code = run_blocking(lambda: _run(settings, questions, recorded, folder, yes, dry_run, as_json))
        if code is not None:
            return code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        code = report_error(error, as_json=False, debug=debug)
        if name and (folder / f"{name}.jsonl").exists():
            print(f"what there is until now: (go on with it: rlmbox eval --resume {name})", file=sys.stderr)  # noqa: T201
            show_and_print(name, html=html, inspect=inspect, as_json=as_json, debug=debug)
        return code
    return show_and_print(name, html=html, inspect=inspect, as_json=as_json, debug=debug)


def _resumed(now: EvalSettings, begun: EvalSettings) -> EvalSettings:
    run = replace(begun.run, prices=now.run.prices or begun.run.prices)
    return replace(
        begun,
        cost_limit_usd=now.cost_limit_usd or begun.cost_limit_usd,
        concurrency=now.concurrency or begun.concurrency,
        run=run,
    )


def _make_texts(settings: EvalSettings, folder: Path, questions: Sequence[Question]) -> None:
    """Make the texts of suites again where they were taken away meanwhile: a seed makes the same ones."""
    if any(question.context and not Path(question.context).exists() for question in questions):
        questions_of(settings, folder)


async def _run(
    settings: EvalSettings,
    questions: Sequence[Question],
    recorded: Recorded,
    folder: Path,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int | None:
    """Run it; return an exit code where it ends before the report."""
    async with AsyncExitStack() as stack:
        plan = PlanMaker(settings, stack).plan(questions)
        for arm in plan.arms:
            stack.push_async_callback(arm.aclose)
        done = {key for key in recorded.grades if recorded.outcomes[key].ending != "provider"}
        expected = estimate(plan, dict.fromkeys(done))
        if dry_run and as_json:
            print_json({name: _estimate_as_json(each) for name, each in expected.items()})
            return 0
        _print_estimate(expected, plan)
        if dry_run:
            return 0
        _check_agreed(expected, plan, yes=yes)
        if recorded.head:
            check_same(plan, recorded)
        journal = EvaluationJournal(folder, recorded.name)
        stack.callback(journal.close)
        if not recorded.head:
            head = head_of(plan, settings.as_json(), _unpriced(expected))
            journal.write(head)
            recorded.apply(head)
        Console(stderr=True).print(Text(f"{recorded.name}: {journal.path}", style="dim"))
        live = LiveResults(plan, recorded)
        with live:
            await Evaluation(plan, journal, recorded, live.add).run()
    return None


def _estimate_as_json(each: Estimate) -> dict[str, Any]:
    return {
        **asdict(each),
        "cost_usd": str(each.cost_usd),
        "most_usd": str(each.most_usd),
        "least_usd": str(each.least_usd),
    }


def _print_estimate(expected: Mapping[str, Estimate], plan: Plan) -> None:
    rows = []
    for name, each in expected.items():
        cost = f"${each.cost_usd:.4f}" if each.price_known else "not known"
        took_s = each.duration_s / plan.concurrency
        took = f"{took_s / 60:.0f} min" if took_s > 120 else f"{took_s:.0f} s"
        rows.append((name, f"{each.requests:,}", f"{each.input_tokens:,}", f"{each.output_tokens:,}", cost, took))
    console = Console(stderr=True)
    print_table(("estimate", "requests", "tokens in", "out", "cost", "time"), rows, console=console)
    for name, each in expected.items():
        if each.cannot:
            console.print(Text(f"note: {printable(name)} cannot answer some: {printable(each.cannot)}", style="yellow"))
    total = sum((each.cost_usd for each in expected.values()), Decimal(0))
    if plan.cost_limit_usd is not None and total > plan.cost_limit_usd:
        said = f"note: that is more than the limit of ${plan.cost_limit_usd}, where it stops; --cost-limit raises it"
        console.print(Text(said, style="yellow"))


def _unpriced(expected: Mapping[str, Estimate]) -> list[str]:
    """Return the arms that ask a model whose price is not known; of a function of the user's own nobody knows that."""
    return [name for name, each in expected.items() if each.requests and not each.price_known]


def _check_agreed(expected: Mapping[str, Estimate], plan: Plan, *, yes: bool) -> None:
    """Ask before more than a dollar is spent, or nobody knows how much.

    Raises:
        ConfigError: Nobody is there to say yes, or they say no.
    """
    total = sum((each.cost_usd for each in expected.values()), Decimal(0))
    if plan.cost_limit_usd is not None:
        total = min(total, plan.cost_limit_usd)
    unpriced = _unpriced(expected)
    if yes or (total <= _ASK_ABOVE_USD and not unpriced):
        return
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        if unpriced:
            named = ", ".join(unpriced)
            raise ConfigError(
                f"what {named} costs is not known; supply the price with --prices FILE, or proceed with --yes"
            )
        raise ConfigError(f"it would cost about ${total:.2f}; confirm with --yes")
    said = f"What {', '.join(unpriced)} will cost is not known." if unpriced else f"It will cost about ${total:.2f}."
    print(f"{said} Go on? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        raise ConfigError("nothing was asked")


class LiveResults:
    """A table of what has come in, on a terminal; nothing elsewhere.

    Args:
        plan: The evaluation.
        recorded: What its file has.
    """

    def __init__(self, plan: Plan, recorded: Recorded) -> None:
        self._plan = plan
        self._began_s = time.monotonic()
        self._scores: dict[str, list[float]] = defaultdict(list)
        self._kinds: dict[str, Counter[str]] = defaultdict(Counter)
        self._cost: dict[str, Decimal] = defaultdict(Decimal)
        self._new = 0
        for result in recorded.results:
            self._count(result)
        console = Console(stderr=True)
        self._live = Live(console=console, get_renderable=self._table, transient=True) if console.is_terminal else None

    def add(self, result: Result) -> None:
        """Take in a result.

        Args:
            result: The result.
        """
        self._new += 1
        self._count(result)

    def _count(self, result: Result) -> None:
        if result.score is not None:
            self._scores[result.arm].append(result.score)
        self._kinds[result.arm][result.kind] += 1
        self._cost[result.arm] += result.outcome.cost_usd

    def _table(self) -> Table:
        done = sum(kinds.total() for kinds in self._kinds.values())
        left = self._plan.num_trials - done
        took_s = time.monotonic() - self._began_s
        ends = f", some {took_s / self._new * left:.0f} s to go" if self._new else ""
        table = Table("arm", "done", "right", "cost", "", box=None, title=f"{done} of {self._plan.num_trials}{ends}")
        for arm in self._plan.arms:
            scores, kinds = self._scores[arm.name], self._kinds[arm.name]
            right = f"{100 * sum(scores) / len(scores):.0f} %" if scores else "-"
            others = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common() if kind != "right")
            table.add_row(printable(arm.name), str(kinds.total()), right, f"${self._cost[arm.name]:.4f}", others)
        return table

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
