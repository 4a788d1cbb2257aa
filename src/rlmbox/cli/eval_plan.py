"""The settings of an evaluation, and what they name: arms, models, questions."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from rlmbox.budget.limits import DEFAULT_COST_LIMIT_USD, dollars
from rlmbox.cli.asking import Settings, windows_of
from rlmbox.cli.guarding import guard_of
from rlmbox.config import OFFLINE_MODEL, model_from, retriever_from
from rlmbox.context import Context
from rlmbox.errors import ConfigError
from rlmbox.evaluation.arms import Cut, DirectArm, OwnArm, RlmArm
from rlmbox.evaluation.loaders import FORMATS, load_public
from rlmbox.evaluation.outcomes import Arm
from rlmbox.evaluation.passages import RetrievalArm
from rlmbox.evaluation.questions import Question, load_questions
from rlmbox.evaluation.running import Plan
from rlmbox.evaluation.suites import SUITES, generate, parse_size
from rlmbox.evaluation.suites.policies import PolicyArm
from rlmbox.models.base import Model
from rlmbox.models.prices import load_overrides
from rlmbox.record.stores import close_store

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


class PlanMaker:
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
                f"the price of {named} is not known, so the limit of ${self.cost_limit_usd} cannot be enforced; "
                "supply it with --prices FILE"
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
            raise ConfigError("a cost limit is set but the price of a model is not known; supply it with --prices FILE")
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
