"""`eval`: arms over questions, with the estimate before, a live table meanwhile, and the report after."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD, dollars
from rlmbox.cli.asking import Settings, windows_of
from rlmbox.cli.failing import report as report_error
from rlmbox.cli.guarding import guard_of
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.config import OFFLINE_MODEL, model_from, retriever_from
from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError
from rlmbox.evaluation.arms import Cut, DirectArm, OwnArm, RlmArm
from rlmbox.evaluation.comparing import comparison_of
from rlmbox.evaluation.inspect_log import write_inspect_logs
from rlmbox.evaluation.journal import EvaluationJournal, Recorded, new_name, read_evaluation
from rlmbox.evaluation.loaders import FORMATS, load_public
from rlmbox.evaluation.outcomes import Arm, Estimate, Result
from rlmbox.evaluation.page import page_of
from rlmbox.evaluation.passages import RetrievalArm
from rlmbox.evaluation.questions import Question, load_questions
from rlmbox.evaluation.report import report_of, size_label, table_of
from rlmbox.evaluation.running import Evaluation, Plan, check_same, estimate, head_of
from rlmbox.evaluation.suites import SUITES, generate, parse_size
from rlmbox.evaluation.suites.policies import PolicyArm
from rlmbox.evaluation.writing import settings_file
from rlmbox.guard.visible import printable
from rlmbox.models.base import Model
from rlmbox.models.prices import load_overrides
from rlmbox.record.stores import close_store, default_path
from rlmbox.sync import run_blocking
from rlmbox.usage import quantity

_ASK_ABOVE_USD = Decimal(1)
_RUN_SHARE = 10  # a run may have this part of what all may cost
_KINDS = ("direct", "retrieval", "rlm", "policy")
_RLM_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "profile": str,
    "sandbox": str,
    "model": str,
    "sub_model": str,
    "guard": str,
    "max_turns": int,
    "max_depth": int,
    "max_subcalls": int,
    "max_tokens": int,
    "max_seconds": float,
    "direct_below_chars": int,
    "max_history_tokens": int,
    "cell_timeout_s": float,
    "memory_mb": float,
}
_OPTIONS: Mapping[str, Mapping[str, Callable[[str], Any]]] = {
    "direct": {"cut": str, "model": str},
    "retrieval": {"k": int, "index": str, "model": str},
    "rlm": _RLM_OPTIONS,
    "policy": {"sandbox": str, "cell_timeout_s": float, "memory_mb": float},
}


@dataclass(frozen=True, slots=True)
class EvalSettings:
    """The options of an evaluation; all of them are kept in its file, so that it can go on.

    Attributes:
        what: Files of questions, names of suites, and files of public sets as `FORMAT:FILE`.
        contexts: Paths of the text for questions that name none.
        arms: What is measured, as `[NAME=]KIND[:OPTION=VALUE,...]` or `FILE.py:FUNCTION`.
        repeats: Times that each arm is asked each question.
        sizes: Lengths of the texts that suites make.
        count: Questions that a suite makes for each length.
        seed: Seed of the suites.
        grader: The grader for questions that name none.
        grade_with: `FILE.py:FUNCTION` that grades everything.
        judge: Name of the model that judges.
        cost_limit_usd: Most money of all; empty for the default.
        run_cost_limit_usd: Most money of one run; empty for a tenth of it all.
        concurrency: Trials under way at once.
        run: Settings of the runs.
    """

    what: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    repeats: int = 1
    sizes: tuple[str, ...] = ()
    count: int = 10
    seed: int = 0
    grader: str = ""
    grade_with: str = ""
    judge: str = ""
    cost_limit_usd: str = ""
    run_cost_limit_usd: str = ""
    concurrency: int = 8
    run: Settings = field(default_factory=Settings)

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON value; paths are absolute."""
        value = asdict(self)
        value["run"] = {
            key: str(each.absolute()) if isinstance(each, Path) else each for key, each in value["run"].items()
        }
        value["contexts"] = [path if "://" in path else str(Path(path).absolute()) for path in self.contexts]
        value["arms"] = [_absolute(arm) for arm in self.arms]
        value["grade_with"] = _absolute(self.grade_with)
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EvalSettings:
        """Return the settings that `as_json` wrote.

        Args:
            value: What it wrote.
        """
        paths = {each.name for each in fields(Settings) if "Path" in str(each.type)}
        run: dict[str, Any] = {key: Path(each) if key in paths and each else each for key, each in value["run"].items()}
        run = {key: tuple(each) if isinstance(each, list) else each for key, each in run.items()}
        rest: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in value.items()}
        del rest["run"]
        return cls(**rest, run=Settings(**run))


def _absolute(spec: str) -> str:
    name, separator, rest = spec.partition("=") if "=" in spec.partition(":")[0] else ("", "", spec)
    path, colon, function = rest.rpartition(":")
    return f"{name}{separator}{Path(path).absolute()}:{function}" if colon and path.endswith(".py") else spec


def evaluations_folder() -> Path:
    """Return the folder that evaluations are kept in, beside the record of runs."""
    return default_path().parent / "evaluations"


class Maker:
    """Makes arms and models by their names.

    Args:
        settings: How the evaluation is made.
        opened: Closes the stores that it opens, after the arms.
    """

    def __init__(self, settings: EvalSettings, opened: AsyncExitStack) -> None:
        self._settings = settings
        self._run = settings.run
        self._opened = opened
        self._guard = guard_of(self._run.guard, self._run.guard_model, self._run.guard_path, self._run.guard_allow)

    @property
    def cost_limit_usd(self) -> Decimal:
        """The most that all may cost."""
        given = self._settings.cost_limit_usd
        return dollars(given, "--cost-limit") if given else Decimal(DEFAULT_COST_LIMIT_USD)

    def model(self, name: str | None) -> Model:
        """Return the model of a name.

        Args:
            name: The name; None for the offline one.
        """
        windows, prices, named = windows_of(self._run.windows), self._run.prices, name or OFFLINE_MODEL
        found: Model = model_from(
            named,
            base_url=self._run.base_url if name else None,
            prices=load_overrides(prices) if prices else None,
            window_tokens=windows.get(named) if isinstance(windows, dict) else windows,
        )
        if found.price is None and self._settings.cost_limit_usd:
            raise ConfigError(
                f"the price of {named} is not known, so the limit of ${self.cost_limit_usd} cannot be kept; "
                "give it with --prices FILE"
            )
        return found

    def plan(self, questions: Sequence[Question]) -> Plan:
        """Return the evaluation of these questions.

        Args:
            questions: The questions.
        """
        settings = self._settings
        contexts = [str(path) for path in settings.contexts]

        def opened(path: str) -> Context:
            several = contexts if len(contexts) > 1 and path == contexts[0] else None
            run = self._run
            return Context.from_path(several or path, include=run.include, exclude=run.exclude, encoding=run.encoding)

        return Plan(
            questions,
            [self.arm(spec) for spec in settings.arms],
            settings.repeats,
            contexts[0] if contexts else None,
            settings.grader,
            _function(settings.grade_with) if settings.grade_with else None,
            self.model(settings.judge) if settings.judge else None,
            self.cost_limit_usd,
            settings.concurrency,
            self._guard,
            # The offline model searches for the words of a question, and would search for those of its form as well.
            says_form=(self._run.model or OFFLINE_MODEL) != OFFLINE_MODEL,
            open_context=opened,
        )

    def arm(self, spec: str) -> Arm:
        """Return the arm that an option names.

        Args:
            spec: `[NAME=]KIND[:OPTION=VALUE,...]` or `[NAME=]FILE.py:FUNCTION`.

        Raises:
            ConfigError: There is no such kind or option.
        """
        name, rest = spec.split("=", 1) if "=" in spec.partition(":")[0] else (spec, spec)
        kind, _, options = rest.partition(":")
        if rest.rpartition(":")[0].endswith(".py"):
            return OwnArm(_function(rest), name=name if name != spec else rest.rpartition(":")[2])
        if kind not in _KINDS:
            raise ConfigError(f"there is no arm {kind!r}; there are {', '.join(_KINDS)}, and FILE.py:FUNCTION")
        return self._of_kind(kind, name, _parsed(kind, options))

    def _of_kind(self, kind: str, name: str, options: dict[str, Any]) -> Arm:
        if kind == "policy":
            return PolicyArm(name=name, **options)
        if kind == "rlm":
            return self._rlm(name, options)
        model = self.model(options.pop("model", self._run.model))
        if kind == "direct":
            return DirectArm(model, name=name, cut=cast("Cut", options.get("cut", "refuse")), guard=self._guard)
        place = options.get("index", "")
        retriever = retriever_from(place if ":" in place else f"index:{place}") if place else None
        return RetrievalArm(model, name=name, k=options.get("k", 10), retriever=retriever, guard=self._guard)

    def _rlm(self, name: str, options: dict[str, Any]) -> Arm:
        given = self._settings.run_cost_limit_usd
        most = dollars(given, "--run-cost-limit") if given else self.cost_limit_usd / _RUN_SHARE
        run = replace(self._run, streams=False, **options)
        store = run.opened_store()
        self._opened.callback(close_store, store)
        rlm = run.rlm([], store)
        is_priced = rlm.model.price is not None and rlm.sub_model.price is not None
        if not is_priced and self._settings.cost_limit_usd:
            rlm.close()
            raise ConfigError("a cost limit was set and a model's price is not known; give it with --prices FILE")
        kept = {key: value for key, value in options.items() if key not in ("model", "sub_model")}
        return RlmArm(
            rlm,
            name=name,
            settings={"guard": run.guard, "profile": run.profile, "sandbox": run.sandbox, **kept},
            store=store,
            run_limit_usd=most,
        )


def _parsed(kind: str, options: str) -> dict[str, Any]:
    known, found = _OPTIONS[kind], {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key not in known:
            raise ConfigError(f"the arm {kind} has no option {key!r}; it has {', '.join(known)}")
        try:
            found[key] = known[key](value)
        except ValueError:
            raise ConfigError(f"the option {key} of the arm {kind} is a number, not {value!r}") from None
    return found


def _function(spec: str) -> Callable[..., Any]:
    """Return a function of a Python file, which is run: it is the user's own, named on the command line."""
    path, _, name = spec.rpartition(":")
    if not path.endswith(".py") or not name:
        raise ConfigError(f"a function is named as FILE.py:FUNCTION, not {spec!r}")
    found = importlib.util.spec_from_file_location(f"rlmbox_own_{Path(path).stem}", path)
    if found is None or found.loader is None or not Path(path).is_file():
        raise ConfigError(f"{path} cannot be read")
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses, for one, look their module up
    sys.path.append(str(Path(path).resolve().parent))  # what lies beside it can be imported, as for a program
    try:
        found.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001 - it is the user's, who needs one line
        raise ConfigError(f"{path} failed: {type(error).__name__}: {error}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"{path} has no function {name!r}")
    return cast("Callable[..., Any]", function)


def questions_of(settings: EvalSettings, folder: Path) -> list[Question]:
    """Return the questions that a command names; the texts of suites are made where they are missing.

    Args:
        settings: How the evaluation is made.
        folder: Where texts that are made are kept.

    Raises:
        ConfigError: A name is neither a file nor a suite, or a file is wrong.
    """
    found: list[Question] = []
    sizes = [parse_size(size) for size in settings.sizes] or [32_000]
    for name in settings.what:
        form, _, path = name.partition(":")
        if name in SUITES:
            found += [
                each
                for size in sizes
                for each in generate(name, folder, size, seed=settings.seed, count=settings.count)
            ]
        elif form in FORMATS and path:
            found += load_public(form, Path(path), folder)
        elif Path(name).suffix or Path(name).exists():
            found += load_questions(Path(name))
        else:
            raise ConfigError(
                f"there is neither a file nor a suite {name!r}; the suites are {', '.join(SUITES)}, "
                f"and files of public sets are read as {', '.join(f'{form}:FILE' for form in FORMATS)}"
            )
    if not found:
        raise ConfigError("name a file of questions or a suite, such as: rlmbox eval niah-multi --arm rlm")
    return found


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
        plan = Maker(settings, stack).plan(questions)
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
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        if unpriced:
            named = ", ".join(unpriced)
            raise ConfigError(
                f"what {named} costs is not known; --prices FILE names the price, --yes asks all the same"
            )
        raise ConfigError(f"it would cost some ${total:.2f}; --yes says that it may")
    said = f"What {', '.join(unpriced)} will cost is not known." if unpriced else f"It will cost some ${total:.2f}."
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


def show_and_print(name: str, *, html: Path | None, inspect: Path | None = None, as_json: bool, debug: bool) -> int:
    """Print the report of an evaluation, and write its page and its logs where they are wanted; return the exit code.

    Args:
        name: The evaluation.
        html: File for the page.
        inspect: Folder for logs that Inspect reads.
        as_json: Print one JSON object.
        debug: Print the traceback of an error.
    """
    try:
        recorded = read_evaluation(evaluations_folder(), name)
        report = report_of(recorded)
        if html is not None:
            _write_text(html, page_of(recorded, report))
        logs = write_inspect_logs(recorded, report, inspect) if inspect is not None else []
    except RLMError as error:
        return report_error(error, as_json=as_json, debug=debug)
    if as_json:
        print_json(report)
        return 0
    _print_report(report)
    if html is not None:
        print(f"page: {html}", file=sys.stderr)  # noqa: T201
    if logs:
        print(f"{len(logs)} logs for Inspect: inspect view --log-dir {inspect}", file=sys.stderr)  # noqa: T201
    return 0


def _print_report(report: Mapping[str, Any]) -> None:
    head, rows = table_of(report)
    console = Console()
    print_table(head, rows, title=f"{report['name']}: {quantity(report['questions'], 'question')}", console=console)
    if len(report["sizes"]) > 1:
        arms = list(report["arms"])
        sizes = [(size_label(row["chars"]), *(_cell(row, arm) for arm in arms)) for row in report["sizes"]]
        print_table(("characters", *arms), sizes, console=console)
    for note in report["notes"]:
        console.print(Text(printable(note)))


def _cell(row: Mapping[str, Any], arm: str) -> str:
    value = row["arms"][arm]["value"]
    if value is None:
        return "cannot" if row["cannot"][arm] else "-"
    return f"{100 * value:.0f} %"


def compare_and_print(names: tuple[str, str], *, as_json: bool, debug: bool) -> int:
    """Print two evaluations beside each other; return the exit code.

    Args:
        names: The evaluations.
        as_json: Print one JSON object.
        debug: Print the traceback of an error.
    """
    try:
        found = comparison_of(*(read_evaluation(evaluations_folder(), name) for name in names))
    except RLMError as error:
        return report_error(error, as_json=as_json, debug=debug)
    if as_json:
        print_json(found)
        return 0
    rows = [(row["arm"], row["before"], row["after"], row["change"]) for row in found["arms"]]
    console = Console()
    print_table(("arm", *names, "difference (95 %)"), rows, console=console)
    for note in found["notes"]:
        console.print(Text(printable(note)))
    return 0


def write_profile_and_print(name: str, path: Path, *, debug: bool) -> int:
    """Write the settings that won in an evaluation into a file; return the exit code.

    Args:
        name: The evaluation.
        path: The file, which must not be there yet.
        debug: Print the traceback of an error.
    """
    try:
        if path.exists():
            raise ConfigError(f"{path} is there already; name another file, or take it away")
        recorded = read_evaluation(evaluations_folder(), name)
        _write_text(path, settings_file(recorded, report_of(recorded)))
    except RLMError as error:
        return report_error(error, as_json=False, debug=debug)
    print(f"written: {path}; it counts where it is called rlmbox.toml, see rlmbox config show")  # noqa: T201
    return 0


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


def suites_and_print(*, as_json: bool) -> int:
    """Print the suites that there are; return the exit code.

    Args:
        as_json: Print one JSON object.
    """
    rows = [{"name": each.name, "imitates": each.imitates, "differs": each.differs} for each in SUITES.values()]
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
        return 0
    headings = ("suite", "what it imitates", "how it differs")
    print_table(headings, [tuple(row.values()) for row in rows], folds=headings[1:])
    return 0
