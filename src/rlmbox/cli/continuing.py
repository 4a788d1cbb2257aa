"""`resume`, `replay` and `fork`: going on with a recorded run, as it was begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from rlmbox.budget.limits import Limits
from rlmbox.cli.approving import approval_of
from rlmbox.cli.asking import exported_where, option_text, print_run
from rlmbox.cli.cell_options import cell_limits
from rlmbox.cli.keeping import key_source
from rlmbox.cli.recording import opened, recorded_events
from rlmbox.errors import ConfigError
from rlmbox.events import CellDiffered, Event, Hook, LoopEntered, SessionStarted
from rlmbox.guard import Guard
from rlmbox.record.continuing import begun
from rlmbox.record.hiding import whole
from rlmbox.record.journal import Store
from rlmbox.rlm import RLM
from rlmbox.rlm.recorded_runs import limits_in_force, limits_of
from rlmbox.sandboxes.registry import AUTO, BACKENDS, backend
from rlmbox.types import Answer

if TYPE_CHECKING:
    from rlmbox.telemetry import Telemetry  # needs the extra [otel]


def resume_and_print(
    run_id: str,
    store: Path | None,
    *,
    limits: OwnLimits,
    moved: Sequence[str],
    retriever: str | None,
    prices: Path | None,
    approve: str | None,
    otel: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Run `rlmbox resume`; return the exit code."""

    def run(hooks: Sequence[Hook]) -> Answer:
        hooks = [_said_difference(), *hooks]
        with opened(store) as kept, exported_where(Console(stderr=True), wanted=otel) as telemetry:
            recorded = _Recorded.of(run_id, kept)
            own = limits.instead_of(limits_in_force(recorded.events))
            with recorded.rlm(hooks, retriever=retriever, prices=prices, approve=approve, telemetry=telemetry) as rlm:
                return rlm.resume(run_id, context=_paths(moved), limits=own)

    asks = approve not in (None, "never")
    return print_run(run, as_json=as_json, quiet=quiet, debug=debug, asks=asks)


def replay_and_print(
    run_id: str, store: Path | None, *, moved: Sequence[str], as_json: bool, quiet: bool, debug: bool
) -> int:
    """Run `rlmbox replay`, which asks no model and needs no key; return the exit code."""

    def run(hooks: Sequence[Hook]) -> Answer:
        with opened(store) as kept:
            recorded = _Recorded.of(run_id, kept)
            packages = recorded.settings.get("packages")
            rlm = RLM(
                sandbox=recorded.sandbox,
                packages=tuple(str(name) for name in packages) if isinstance(packages, list) else (),
                type_check=recorded.checks_types,
                store=kept,
                hooks=[_said_difference(), *hooks],
            )
            with rlm:
                return rlm.replay(run_id, context=_paths(moved))

    return print_run(run, as_json=as_json, quiet=quiet, debug=debug)


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """The limits that were given to a run that goes on; None for as it was recorded. The names are those of `Limits`.

    Attributes:
        cell_timeout_s: Seconds that a cell may run.
        memory_mb: MiB that a cell may use.
    """

    cost_limit_usd: str | None = None
    max_turns: int | None = None
    max_depth: int | None = None
    max_subcalls: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None
    last_answer: bool | None = None
    cell_timeout_s: float | None = None
    memory_mb: float | None = None

    def instead_of(self, recorded: Limits) -> Limits | None:
        """Return what the run may use, or None where nothing was given.

        Args:
            recorded: The limits of the recorded run.

        Raises:
            ConfigError: A limit is out of its range.
        """
        given: dict[str, Any] = {name: value for name, value in asdict(self).items() if value is not None}
        cell_timeout_s, memory_mb = given.pop("cell_timeout_s", None), given.pop("memory_mb", None)
        if cell_timeout_s is not None or memory_mb is not None:
            given["cell"] = cell_limits(cell_timeout_s, memory_mb, recorded.cell)
        return replace(recorded, **given) if given else None


def fork_and_print(
    run_id: str,
    store: Path | None,
    *,
    at: int,
    edit: Path | None,
    new_id: str | None,
    model: str | None,
    limits: OwnLimits,
    moved: Sequence[str],
    retriever: str | None,
    prices: Path | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> int:
    """Run `rlmbox fork`; return the exit code."""

    def run(hooks: Sequence[Hook]) -> Answer:
        with opened(store) as kept:
            recorded = _Recorded.of(run_id, kept)
            code = option_text(edit) if edit is not None else None
            with recorded.rlm(hooks, retriever=retriever, prices=prices, model=model) as rlm:
                own = limits.instead_of(limits_in_force(recorded.events))
                return rlm.fork(run_id, at=at, code=code, limits=own, new_id=new_id, context=_paths(moved))

    return print_run(run, as_json=as_json, quiet=quiet, debug=debug)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A recorded run, as a command goes on with it.

    Attributes:
        run_id: Its name.
        store: Where it is kept.
        events: What was recorded, with the values that the record hides as far as they are known here.
        settings: What it was begun with.
    """

    run_id: str
    store: Store
    events: Sequence[Event]
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, run_id: str, store: Store) -> _Recorded:
        """Read a run from a store."""
        events = whole(recorded_events(store, run_id))
        return cls(run_id, store, events, begun(events, run_id).settings)

    @property
    def sandbox(self) -> str:
        """The sandbox that the run was in, also where `auto` had chosen it."""
        # A session whose text was sent with the question has its sandbox when it enters the loop.
        starts = (e for e in reversed(self.events) if isinstance(e, SessionStarted | LoopEntered) and not e.depth)
        ran_in = next((event.sandbox for event in starts), None)
        names = {each.name for each in BACKENDS if each.is_isolated}
        named = str(self.settings.get("sandbox") or AUTO)
        return ran_in if ran_in in names and ran_in != named.partition(":")[0] else named

    @property
    def checks_types(self) -> bool:
        """True if the run's cells were checked, and its sandbox can check them."""
        kind = self.sandbox.partition(":")[0]
        return bool(self.settings.get("type_check")) and (kind == AUTO or backend(kind).checks_types)

    @property
    def guard(self) -> Guard:
        """The guard that the run was started with; of one from before guards were recorded, the usual one."""
        found = self.settings.get("guard") or {"policy": "redact"}
        return Guard(found["policy"], per_model=found.get("per_model"), per_path=found.get("per_path"))

    def windows(self, models: Sequence[str | None]) -> int | Mapping[str, int] | None:
        """Return the windows that the run was started with, of the models that it goes on with."""
        windows = self.settings.get("windows")
        if isinstance(windows, Mapping):
            return {name: tokens for name, tokens in windows.items() if name in models}
        return windows

    def rlm(
        self,
        hooks: Sequence[Hook],
        *,
        retriever: str | None,
        prices: Path | None,
        approve: str | None = None,
        model: str | None = None,
        telemetry: Telemetry | bool = False,
    ) -> RLM:
        """Return an RLM as the one that the run was started with."""
        made = self.settings
        if made.get("tools"):
            names = ", ".join(made["tools"])
            raise ConfigError(
                f"the run has tools of a program ({names}); go on with it there: rlm.resume({self.run_id!r})"
            )
        had_index: Mapping[str, Any] | None = made.get("retriever")
        if had_index and retriever is None:
            raise ConfigError(f"the run searches an index ({had_index['name']}); name it with --retriever")
        root = model or made["model"]
        sub = made["sub_model"] if made["sub_model"] != made["model"] else None
        return RLM(
            root,
            sub_model=sub,
            fallback_model=made["fallback_model"],
            base_url=made["base_url"],
            api_key=key_source(root),
            sandbox=self.sandbox,
            packages=made["packages"],
            type_check=self.checks_types,
            limits=limits_of(made),
            prices=prices or made.get("prices"),
            windows=self.windows((root, sub, made["fallback_model"])),
            request_timeout_s=made.get("request_timeout_s"),
            hooks=hooks,
            store=self.store,
            retriever=retriever if had_index else None,  # one that is set here is not for a run that had none
            seed=made["seed"],
            strict=made["strict"],
            auto_finalize_var=made["auto_finalize_var"],
            instructions=made["instructions"],
            prompts=made["prompts"],
            approve=approval_of(approve, Console(stderr=True)),
            telemetry=telemetry,
            require_repl_before_final=made["require_repl_before_final"],
            require_subcall_before_final=made["require_subcall_before_final"],
            require_seen_figures=bool(made.get("require_seen_figures")),
            invalid_response_limit=made["invalid_response_limit"],
            fallback_code=made["fallback_code"],
            max_history_tokens=made.get("max_history_tokens"),
            compaction="model" if made.get("compaction") == "model" else "digest",
            guard=self.guard,
            record_secrets=bool(made.get("record_secrets")),
        )


def _paths(moved: Sequence[str]) -> Path | list[Path] | None:
    paths = [Path(path) for path in moved]
    return paths[0] if len(paths) == 1 else paths or None


def _said_difference() -> Hook:
    console = Console(stderr=True)

    def say(event: Event) -> None:
        if isinstance(event, CellDiffered):
            line = f"note: the cell of turn {event.cell.turn} printed something else than when it was recorded"
            console.print(Text(line, style="yellow"))

    return say
