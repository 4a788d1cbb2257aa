"""Runs attacks on a sandbox and checks their effects on the host."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from types import MappingProxyType

import anyio.to_thread

from rlmbox.errors import SandboxError, SandboxUnavailable
from rlmbox.testing._sandbox_checks._opened import MakeSandbox
from rlmbox.testing.attacks import loop_scenarios, scenarios
from rlmbox.testing.attacks.catalogue import NEEDS, Attack, attacks
from rlmbox.testing.attacks.probes import probe
from rlmbox.testing.attacks.report import AttackReport, AttackResult, Probe, Verdict, judged
from rlmbox.testing.attacks.stage import (
    LIMITS,
    Broken,
    Escaped,
    NotExpressible,
    Room,
    Stage,
    is_missing,
    opened,
    still_works,
    told,
)
from rlmbox.testing.attacks.watch import HostWatch, Snapshot
from rlmbox.types import Execution

_Found = tuple[Verdict, str]
_MOST_SESSIONS = 6


@dataclass(slots=True)
class _Others:
    """The sessions besides the one that is attacked.

    Attributes:
        bystander: A session that is open throughout.
        fresh: A session that was opened and checked after the last attack, for use by the next one.
        before: State of the host before `fresh` was opened; None without it.
        closing: Closes `fresh`.
    """

    bystander: Room
    fresh: Room | None = None
    before: Snapshot | None = None
    closing: AsyncExitStack | None = None

    async def close_fresh(self) -> None:
        """Close the fresh session, if there is one."""
        closing, self.fresh, self.before, self.closing = self.closing, None, None, None
        if closing is not None:
            await closing.aclose()

    @asynccontextmanager
    async def room_for(self, stage: Stage) -> AsyncIterator[Room]:
        """Yield the fresh session for an attack, or open one."""
        if self.fresh is None:
            async with stage.room() as room:
                yield room
            return
        try:
            yield self.fresh
        finally:
            await self.close_fresh()


async def run_attacks(
    make_sandbox: MakeSandbox,
    *,
    only: Collection[str] | None = None,
    known_gaps: Mapping[str, str] = MappingProxyType({}),
    watch: HostWatch | None = None,
    proven: dict[str, Probe] | None = None,
) -> AttackReport:
    """Run attacks on a sandbox, each in its own session, and judge them from the host's side.

    An attack that could exhaust or damage the host runs only after the walls and limits that have to stop it were seen
    to hold in this very sandbox; otherwise it is refused. All attacks together take a minute or two.

    Args:
        make_sandbox: Creates a sandbox without starting it.
        only: Names of the attacks to run; None for all.
        known_gaps: Attacks that are known to fail, each with the reason. One that does not fail is an error too, so
            that the list stays accurate.
        watch: An open watch to use; None to open one. Processes that a backend started before it was opened do not have
            its canaries in their environment.
        proven: Results of earlier probes of the same sandbox, by name; new ones are added.

    Returns:
        The results; in a test, use `assert report.ok, report`.

    Raises:
        ValueError: `only` or `known_gaps` names an unknown attack.
        SandboxUnavailable: The sandbox cannot run here.
    """
    chosen = attacks() if only is None else {name: attack for name, attack in attacks().items() if name in only}
    unknown = ({*only} if only is not None else set()) | set(known_gaps)
    if unknown := unknown - set(attacks()):
        raise ValueError(f"no such attack: {', '.join(sorted(unknown))}")
    probes = {} if proven is None else proven
    with HostWatch() if watch is None else nullcontext(watch) as watching:
        return await _run(make_sandbox, chosen, known_gaps, watching, probes)


async def _run(
    make_sandbox: MakeSandbox,
    chosen: Mapping[str, Attack],
    known_gaps: Mapping[str, str],
    watch: HostWatch,
    probes: dict[str, Probe],
) -> AttackReport:
    name = make_sandbox().name
    if name not in watch.warmed:
        await _fill_pool(make_sandbox, watch)
        watch.warmed.add(name)
    await _prove({need for attack in chosen.values() for need in attack.needs}, make_sandbox, watch, probes)
    results = []
    async with opened(make_sandbox) as bystander:
        await bystander.run("kept = 'a bystander'")
        others = _Others(bystander)
        try:
            for attack, following in zip(chosen.values(), [*[*chosen.values()][1:], None], strict=True):
                ahead = following if following and _can_be_ready(following, probes) else None
                results.append(await _result(Stage(attack, make_sandbox, watch), probes, others, ahead))
        finally:
            await others.close_fresh()
    failed = {result.id: why for result in results if (why := judged(result, known_gaps))}
    gaps = {r.id: known_gaps[r.id] for r in results if r.id in known_gaps and r.id not in failed}
    return AttackReport(name, tuple(results), tuple(probes.values()), gaps, failed, watch.unwatched)


async def _prove(
    needed: Collection[str], make_sandbox: MakeSandbox, watch: HostWatch, probes: dict[str, Probe]
) -> None:
    """Probe what the attacks need. Without walls nothing else is probed, since it would not be safe."""
    for need in NEEDS if needed else ():
        if need != "walls" and not probes["walls"].holds:
            probes[need] = Probe(need, holds=False, detail="not tried without walls")
        elif need not in probes and need in {*needed, "walls"}:
            probes[need] = await probe(need, make_sandbox, watch, probes.get("walls"))


async def _fill_pool(make_sandbox: MakeSandbox, watch: HostWatch) -> None:
    """Open and close as many sessions as any attack needs at once, so that pools of workers are filled."""
    async with AsyncExitStack() as stack:
        for _ in range(_MOST_SESSIONS):
            await stack.enter_async_context(opened(make_sandbox))
    await anyio.to_thread.run_sync(watch.expect_pool)


def _missing(attack: Attack, probes: Mapping[str, Probe]) -> list[Probe]:
    """Return the probes of an attack's needs that do not hold."""
    # An attack that needs any limit exhausts a resource, and such attacks never run without walls.
    needs = ["walls", *sorted(attack.needs - {"walls"})] if attack.needs else []
    return [probes[need] for need in needs if not probes[need].holds]


def _can_be_ready(attack: Attack, probes: Mapping[str, Probe]) -> bool:
    """Return whether the session of an attack can be opened ahead: it runs cells, and the first has time enough."""
    of_cells = bool(attack.cells) and not attack.scenario
    return of_cells and attack.cell_timeout_s >= LIMITS.cell_timeout_s and not _missing(attack, probes)


async def _result(stage: Stage, probes: Mapping[str, Probe], others: _Others, ahead: Attack | None) -> AttackResult:
    attack, began = stage.attack, time.perf_counter()
    missing = _missing(attack, probes)
    if attack.not_here:
        found: _Found = "not applicable", attack.not_here
    elif missing:
        found = "refused", "; ".join(f"{each.name} was not seen to hold: {each.detail}" for each in missing)
    else:
        found = await _attacked(stage, others, ahead)
    verdict, detail = found
    if attack.see:
        detail = f"{detail}; see {attack.see}"
    return AttackResult(attack.id, attack.group, verdict, " ".join(detail.split()), time.perf_counter() - began)


async def _attacked(stage: Stage, others: _Others, ahead: Attack | None) -> _Found:
    """Run an attack, then check the host, another session and a fresh one."""
    before = others.before
    if before is None:
        before = await anyio.to_thread.run_sync(stage.watch.snapshot)
    verdict, detail = await _tried(stage, others)
    changes = await anyio.to_thread.run_sync(stage.watch.changes, before)
    if changes:
        return "escaped", "; ".join(changes)
    if verdict in ("contained", "not expressible"):
        try:
            await _check_others(stage, others, ahead)
        except (Broken, SandboxError) as error:
            return "failed", str(error)
    return verdict, detail


async def _tried(stage: Stage, others: _Others) -> _Found:
    """Run an attack; return the verdict as far as its own session shows it."""
    try:
        if stage.attack.scenario:
            return "contained", await _scenario(stage)
        return await _cells(stage, others)
    except SandboxUnavailable:
        raise
    except NotExpressible as reason:
        return "not expressible", str(reason)
    except Escaped as error:
        return "escaped", str(error)
    except Exception as error:  # noqa: BLE001 - any exception of a sandbox is a finding; the other attacks go on
        return "failed", str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"


async def _scenario(stage: Stage) -> str:
    name = stage.attack.scenario
    play = scenarios.SCENARIOS.get(name) or loop_scenarios.SCENARIOS[name]
    return await play(stage)


async def _cells(stage: Stage, others: _Others) -> _Found:
    """Run the cells of an attack in order."""
    attack, done = stage.attack, list[Execution]()
    async with others.room_for(stage) as room:
        try:
            for code in attack.cells:
                execution = await room.run(stage.watch.filled(code))
                _check_told(stage, execution)
                done.append(execution)
            await room.sandbox.variables()
            after = await still_works(room)
        except SandboxError as error:
            after = f"the session ended: {error}"
        if attack.calls_at_most is not None and len(room.calls) > attack.calls_at_most:
            raise Escaped(f"the host was called {len(room.calls)} times, not {attack.calls_at_most}")
    missing = [execution for execution in done if is_missing(execution) and execution.outcome not in attack.ends]
    if done and (len(missing) == len(done) or (attack.first_decides and done[0] in missing)):
        return "not expressible", str(missing[0].error.message if missing[0].error else "")
    if attack.ends and done and done[-1].outcome not in attack.ends and done[-1] not in missing:
        raise Broken(f"its last cell ended with {_ending(done[-1])}, not with {' or '.join(sorted(attack.ends))}")
    return "contained", f"{_ending(done[-1]) if done else 'no cell ended'}; {after}"


def _check_told(stage: Stage, execution: Execution) -> None:
    """Check everything that a cell reported to the host.

    Raises:
        Escaped: It contains a secret, or says that the attack succeeded.
        Broken: It contains something that must not be revealed, or reports a missing barrier.
    """
    text = told(execution)
    printed = execution.stdout.splitlines() + execution.stderr.splitlines()
    found = stage.watch.told(text) + [line for line in printed if line.startswith("ESCAPE:")]
    if found:
        raise Escaped(found[0][:300])
    facts = stage.watch.host_facts(stage.attack.hides)
    weak = [line for line in printed if line.startswith("WEAK:")]
    weak += [f"{name} is told: {value!r}" for name, value in facts.items() if value in text]
    if weak:
        raise Broken("; ".join(weak)[:300])


def _ending(execution: Execution) -> str:
    return f"{execution.outcome} ({execution.error.type})" if execution.error else execution.outcome


async def _check_others(stage: Stage, others: _Others, ahead: Attack | None) -> None:
    """Check the bystander session and a fresh one, which is kept for the next attack.

    Args:
        stage: The stage of the last attack.
        others: Holds both sessions.
        ahead: The next attack, if its session can be opened ahead.

    Raises:
        Broken: The attack affected one of them.
    """
    if (await others.bystander.run("kept")).value != "a bystander":
        raise Broken("a session that was open all the while lost its variables")
    async with AsyncExitStack() as closing:
        before, fresh = None, opened(stage.make_sandbox)
        if ahead is not None:
            fresh = replace(stage, attack=ahead).room()
            before = await anyio.to_thread.run_sync(stage.watch.snapshot)
        room = await closing.enter_async_context(fresh)
        execution = await room.run("print('clean')\n[40 + 2, llm_query('hello')]")
        if (execution.stdout, execution.value) != ("clean\n", [42, "you said hello"]):
            raise Broken(f"the next session is not as new: {told(execution)[:200]}")
        if await room.sandbox.variables():
            raise Broken("the next session has variables that it did not set")
        room.calls.clear()
        if ahead is not None:
            others.fresh, others.before, others.closing = room, before, closing.pop_all()
