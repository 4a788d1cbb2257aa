"""`rlmbox doctor`: what each sandbox is worth on this machine, measured and tried now."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import StringIO

from rich.console import Console
from rich.text import Text

from rlmbox.cli.failing import report
from rlmbox.cli.language import language_cells
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError, SandboxError, SandboxUnavailable
from rlmbox.events import to_json
from rlmbox.guard.visible import printable
from rlmbox.sandboxes.auto import Choice, auto_sandbox
from rlmbox.sandboxes.base import Sandbox, warning_of
from rlmbox.sandboxes.registry import BACKENDS, Backend
from rlmbox.sync import run_blocking
from rlmbox.testing.attacks import KNOWN_GAPS, PROBES, AttackReport, HostWatch, Probe, probe, run_attacks
from rlmbox.types import Cell, CellLimits, HostFunction

_STARTS, _CELLS, _CALLS = 7, 40, 100
_FEW_STARTS, _STARTS_S = 2, 0.2  # so many are enough where they take longer
_LIMITS = CellLimits(cell_timeout_s=10.0)


@dataclass(frozen=True, slots=True)
class Speed:
    """Times of a sandbox, medians but for the cold start.

    Attributes:
        cold_start_ms: The first start in this process, with everything that had to be loaded for it.
        warm_start_ms: A later start.
        cell_us: Round trip of the cell `x = 1 + 2`.
        host_call_us: Round trip of a call of a host function, within a cell.
    """

    cold_start_ms: float
    warm_start_ms: float
    cell_us: float
    host_call_us: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The findings about a sandbox.

    Attributes:
        name: Its name.
        available: Whether it can be used here.
        safe: Whether it isolates.
        isolation: What keeps code in, in words.
        remedy: What would make it available.
        speed: Its times.
        warning: In what its wall is weaker here than it could be; empty where it is not.
        missing: Names of the language cells that do not run.
        language: Share of the language cells that run, from 0 to 1.
        limits: What was seen of its walls and limits; empty where there is nothing to be safe behind.
        attacks: The results of the attacks, if they were run.
    """

    name: str
    available: bool
    safe: bool
    isolation: str
    remedy: str = ""
    speed: Speed | None = None
    warning: str = ""
    missing: tuple[str, ...] = ()
    language: float | None = None
    limits: tuple[Probe, ...] = ()
    attacks: AttackReport | None = field(default=None, repr=False)


def diagnose_and_print(names: Sequence[str], *, attack: bool, fresh: bool, as_json: bool, debug: bool) -> int:
    """Run `rlmbox doctor`; return the exit code."""
    console, work = Console(), Console(stderr=True)
    try:
        with work.status("looking", spinner="dots") as status:
            found = diagnose(names, attack=attack, progress=lambda name: status.update(f"looking at {name}"))
            status.update("choosing")
            choice = None if names else _auto(fresh=fresh)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=as_json, debug=debug)
    if as_json:
        auto = {"name": choice.name, "reason": str(choice)} if choice else None
        body = {"auto": auto, "sandboxes": [diagnosis_as_object(each) for each in found]}
        print_json(body)
    else:
        _print(found, console)
        if choice:
            console.print(Text(printable(f"auto takes {choice.name}: {choice}"), style="dim"))
    return exit_code(found)


def sandbox_table(names: Sequence[str]) -> str:
    """Return what `rlmbox doctor` prints of sandboxes, or why it cannot.

    Args:
        names: Which, each of those that rlmbox has.
    """
    text = StringIO()
    try:
        _print(diagnose(names), Console(file=text, width=120))
    except RLMError as error:
        return f"{error}\n"
    return text.getvalue()


def diagnose(
    names: Sequence[str] = (),
    *,
    attack: bool = False,
    only: Collection[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Diagnosis]:
    """Look at sandboxes.

    What would have to be compiled first is only looked at where it is named, because that takes minutes.

    Args:
        names: Which; all where none is named.
        attack: Whether to run the attacks on those that isolate.
        only: Names of the attacks; None for all.
        progress: Called with the name of each before it is looked at.

    Raises:
        ConfigError: There is no such sandbox.
    """
    known = {kind.name: kind for kind in BACKENDS}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"there is no sandbox {unknown[0]!r}; there are {', '.join(known)}")
    # The canaries come first, so that every process that a sandbox starts could inherit them.
    with HostWatch() as watch:
        found = []
        for name in names or known:
            progress(name)
            if not names and known[name].is_installed and (why_not := known[name].why_not_ready()):
                kind = known[name]
                found.append(Diagnosis(name, available=False, safe=True, isolation=kind.isolation, remedy=why_not))
            else:
                found.append(run_blocking(partial(_examined, known[name], watch, attack=attack, only=only)))
        return found


def exit_code(found: Sequence[Diagnosis]) -> int:
    """Return the exit code: 0, 1 where an attack went wrong, 4 where no safe sandbox is available."""
    if not any(each.available and each.safe for each in found):
        return 4
    return 1 if any(each.attacks and not each.attacks.ok for each in found) else 0


async def _examined(kind: Backend, watch: HostWatch, *, attack: bool, only: Collection[str] | None) -> Diagnosis:
    """Try a sandbox and measure it; what goes wrong is part of the diagnosis."""
    unavailable = partial(Diagnosis, kind.name, available=False, safe=kind.is_isolated, isolation=kind.isolation)
    try:
        make = _maker(kind)
        speed, warning, missing = await _speed(make)
        limits = await _limits_of(make, watch) if kind.is_isolated else {}
        attacks = None
        if attack and kind.is_isolated:
            attacks = await run_attacks(make, only=only, known_gaps=_gaps(kind.name, only), watch=watch, proven=limits)
    except SandboxUnavailable as error:
        return unavailable(remedy=str(error))
    except (ConfigError, ImportError) as error:
        return unavailable(remedy=str(error))
    except SandboxError as error:
        return unavailable(remedy=f"it starts but does not work: {error}")
    share = 1 - len(missing) / len(language_cells())
    return Diagnosis(
        kind.name,
        available=True,
        safe=kind.is_isolated,
        isolation=kind.isolation,
        speed=speed,
        warning=warning,
        missing=missing,
        language=share,
        limits=tuple(limits.values()),
        attacks=attacks,
    )


def _gaps(name: str, only: Collection[str] | None) -> Mapping[str, str]:
    gaps = KNOWN_GAPS.get(name, {})
    return gaps if only is None else {attack: why for attack, why in gaps.items() if attack in only}


def _maker(kind: Backend) -> Callable[[], Sandbox]:
    """Return the factory of a backend's sandboxes.

    Raises:
        SandboxUnavailable: It is not installed; the message says what would help.
    """
    if not kind.is_installed:
        raise SandboxUnavailable(kind.remedy)
    if kind.name == "subset":
        # What tries its limits takes more steps than a cell has, and its memory is that of this process.
        return partial(kind.load(), steps=20_000_000, memory_bytes=24 * 2**20)
    return kind.load() if kind.is_isolated else partial(kind.load(), unsafe_no_isolation=True)


async def _limits_of(make: Callable[[], Sandbox], watch: HostWatch) -> dict[str, Probe]:
    """Probe the walls and limits; those that need to know of the walls are told."""
    found: dict[str, Probe] = {}
    for name in PROBES:
        found[name] = await probe(name, make, watch, found.get("walls"))
    return found


async def _speed(make: Callable[[], Sandbox]) -> tuple[Speed, str, tuple[str, ...]]:
    """Measure start-up, the simplest cell and a host call.

    Returns:
        The times; in what the wall is weaker than it could be; the names of the language cells that do not run.
    """

    def ping(n: int) -> int:
        """Return the number back."""
        return n

    host = {"ping": HostFunction("ping", ping, "gives the number back", pure=True)}
    context = Context.from_text("a text")
    starts: list[float] = []
    warning = ""
    missing: tuple[str, ...] = ()
    while not _are_enough(starts):
        began = time.perf_counter()
        sandbox = make()
        try:
            await sandbox.start(_LIMITS, context, host)
            starts.append(time.perf_counter() - began)
            if _are_enough(starts):
                warning = warning_of(sandbox) or ""
                cell_s = await _round_trip(sandbox, "x = 1 + 2", _CELLS)
                loop_s = await _round_trip(sandbox, f"for i in range({_CALLS}):\n    ping(i)", 3)
                missing = await _missing(sandbox)
        finally:
            await sandbox.close()
    call_s = max(loop_s - cell_s, 0.0) / _CALLS
    times = Speed(starts[0] * 1e3, statistics.median(starts[1:]) * 1e3, cell_s * 1e6, call_s * 1e6)
    return times, warning, missing


def _are_enough(starts_s: Sequence[float]) -> bool:
    return len(starts_s) >= _STARTS or (len(starts_s) >= _FEW_STARTS and sum(starts_s) > _STARTS_S)


async def _round_trip(sandbox: Sandbox, code: str, times: int) -> float:
    """Return the median time of a cell, in seconds.

    Raises:
        SandboxError: It does not run.
    """
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        execution = await sandbox.execute(Cell(code))
        taken.append(time.perf_counter() - began)
        if execution.outcome != "ok":
            raise SandboxError(f"{code!r} ended with {execution.outcome}: {execution.error}")
    return statistics.median(taken)


async def _missing(sandbox: Sandbox) -> tuple[str, ...]:
    """Name the language cells that do not run."""
    cells = language_cells().items()
    return tuple([name for name, code in cells if (await sandbox.execute(Cell(code))).outcome != "ok"])


def diagnosis_as_object(found: Diagnosis) -> dict[str, object]:
    """Return what `--json` prints of a sandbox."""
    speed = found.speed
    body: dict[str, object] = {
        "name": found.name,
        "available": found.available,
        "safe": found.safe,
        "isolation": found.isolation,
        "remedy": found.remedy or None,
        "cold_start_ms": round(speed.cold_start_ms, 3) if speed else None,
        "warm_start_ms": round(speed.warm_start_ms, 3) if speed else None,
        "cell_us": round(speed.cell_us, 1) if speed else None,
        "host_call_us": round(speed.host_call_us, 1) if speed else None,
        "warning": found.warning or None,
        "language": None if found.language is None else round(found.language, 4),
        "language_missing": list(found.missing),
        "limits": {each.name: {"holds": each.holds, "detail": each.detail} for each in found.limits},
        "attacks": None,
    }
    if found.attacks is not None:
        attacks = found.attacks
        body["attacks"] = {
            "ok": attacks.ok,
            "counts": attacks.counts,
            "gaps": dict(attacks.gaps),
            "failed": dict(attacks.failed),
            "unwatched": list(attacks.unwatched),
            "results": to_json(attacks.results),
        }
    return body


def _auto(*, fresh: bool) -> Choice | None:
    """Return what `auto` takes on this machine; None where nothing holds."""
    try:
        return run_blocking(partial(auto_sandbox, fresh=fresh))[1]
    except SandboxUnavailable:
        return None


def _print(found: Sequence[Diagnosis], console: Console) -> None:
    headings = ("sandbox", "here", "start, ms", "again, ms", "cell, µs", "host call, µs", "language", "limits")
    rows = [
        (each.name, "yes" if each.available else "no", *_times(each), _share(each), _limits(each)) for each in found
    ]
    print_table(headings, rows, right=headings[2:6], console=console)
    for each in found:
        _print_details(each, console)


def _print_details(each: Diagnosis, console: Console) -> None:
    console.print(Text.assemble((each.name, "bold"), f": {each.isolation}"))
    if not each.available:
        console.print(Text(printable(f"  not here: {each.remedy}"), style="yellow"))
    if each.warning:
        console.print(Text(printable(f"  weaker than it could be: {each.warning}"), style="yellow"))
    if each.missing:
        console.print(Text(f"  does not run: {', '.join(each.missing)}", style="dim"))
    for limit in each.limits:
        if not limit.holds:
            console.print(Text(printable(f"  {limit.name} does not hold: {limit.detail}"), style="red"))
    if each.attacks is not None:
        _print_attacks(each.attacks, console)


def _print_attacks(attacks: AttackReport, console: Console) -> None:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in attacks.counts.items())
    console.print(Text(f"  attacks: {counts}"))
    for name, why in attacks.gaps.items():
        console.print(Text(f"  known gap {name}: {why}", style="yellow"))
    for name, why in attacks.failed.items():
        console.print(Text(printable(f"  {name}: {why}"), style="red"))
    if attacks.unwatched:
        console.print(Text(f"  not watched on this machine: {', '.join(attacks.unwatched)}", style="yellow"))


def _times(each: Diagnosis) -> tuple[str, str, str, str]:
    speed = each.speed
    if speed is None:
        return ("", "", "", "")
    return (
        f"{speed.cold_start_ms:.1f}",
        f"{speed.warm_start_ms:.2f}",
        f"{speed.cell_us:.0f}",
        f"{speed.host_call_us:.0f}",
    )


def _share(each: Diagnosis) -> str:
    return "" if each.language is None else f"{each.language:.0%}"


def _limits(each: Diagnosis) -> str:
    if not each.available:
        return ""
    if not each.limits:
        return "not tried: there is no wall"
    broken = [limit.name for limit in each.limits if not limit.holds]
    return f"not: {', '.join(broken)}" if broken else "all hold"
