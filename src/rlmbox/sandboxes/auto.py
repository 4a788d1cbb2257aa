"""`auto`: the strongest sandbox whose isolation is verified on this machine. Never one without isolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError, SandboxError, SandboxUnavailable
from rlmbox.sandboxes.base import Host, Sandbox, warning_of
from rlmbox.sandboxes.proofs import forget, recall, remember
from rlmbox.sandboxes.registry import auto_order, backend
from rlmbox.types import Cell, CellLimits, Execution


@dataclass(frozen=True, slots=True)
class Choice:
    """The sandbox that was chosen, with the reason.

    Attributes:
        name: Its name.
        reason: The result of its check, in one line.
        rejected: Stronger sandboxes that were rejected, by name, with the reason.
    """

    name: str
    reason: str
    rejected: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        passed_over = "; ".join(f"not {name}: {why}" for name, why in self.rejected.items())
        return f"{self.reason}; {passed_over}" if passed_over else self.reason


async def auto_sandbox(
    names: Sequence[str] | None = None,
    *,
    makers: Mapping[str, Callable[[], Sandbox]] | None = None,
    packages: Sequence[str] = (),
    type_check: bool = False,
    fresh: bool = False,
) -> tuple[Callable[[], Sandbox], Choice]:
    """Choose the first sandbox whose isolation is verified on this machine.

    The result of a check is kept for this boot, kernel, interpreter and version; see `proofs`.

    Args:
        names: Candidates, strongest first; None for the registry's.
        makers: The factories by name; None for those of the registry, whose results are kept.
        packages: Installed packages that cells may import.
        type_check: Check each cell before it runs, if the chosen sandbox can.
        fresh: True to repeat checks that have passed before.

    Returns:
        The factory of the chosen kind, and the choice.

    Raises:
        ConfigError: A name is unknown, or is that of a sandbox without isolation.
        SandboxUnavailable: None of them passes here; the message has the reason for each.
    """
    rejected: dict[str, str] = {}
    for name in auto_order() if names is None else names:
        try:
            maker = _maker(name, makers, packages, type_check=type_check)
            if fresh and makers is None:
                forget(name)  # otherwise an earlier result would stand if the check fails now
            shown = None if makers is not None else recall(name)
            if shown is None:
                from rlmbox.sandboxes.self_check import self_check  # late: slow to import

                checked = await self_check(maker, again=fresh)
                if not checked.ok:
                    rejected[name] = str(checked)
                    continue
                shown = str(checked)
                if makers is None:
                    remember(name, shown)
        except ConfigError:
            raise
        except (RLMError, ImportError) as error:
            rejected[name] = str(error)
            continue
        return maker, Choice(name, shown, MappingProxyType(rejected))
    reasons = "; ".join(f"{name}: {why}" for name, why in rejected.items())
    raise SandboxUnavailable(f"no sandbox passed its self-check on this machine: {reasons or 'none was named'}")


def _maker(
    name: str,
    makers: Mapping[str, Callable[[], Sandbox]] | None,
    packages: Sequence[str],
    *,
    type_check: bool,
) -> Callable[[], Sandbox]:
    if name == "local":
        raise ConfigError(f"auto never chooses {name}, which isolates nothing")
    if makers is not None:
        if name not in makers:
            raise ConfigError(f"there is no sandbox {name!r} to choose")
        return makers[name]
    found = backend(name)
    if not found.is_installed:
        raise SandboxUnavailable(f"not installed: {found.remedy}")
    why_not = found.why_not_with(packages) or found.why_not_ready()
    if why_not:
        raise SandboxUnavailable(why_not)
    return found.maker(packages, type_check=type_check and found.checks_types)


class AutoSandbox:
    """The strongest sandbox that passes its check on this machine, chosen when it starts.

    Args:
        names: Candidates, strongest first; None for the registry's.
        makers: The factories by name; None for those of the registry.
        packages: Installed packages that cells may import.
        type_check: Check each cell before it runs, if the chosen sandbox can.

    Attributes:
        choice: The choice and its reason; None before the start.
    """

    def __init__(
        self,
        names: Sequence[str] | None = None,
        *,
        makers: Mapping[str, Callable[[], Sandbox]] | None = None,
        packages: Sequence[str] = (),
        type_check: bool = False,
    ) -> None:
        self._names = None if names is None else tuple(names)
        self._makers = makers
        self._packages, self._type_check = tuple(packages), type_check
        self._sandbox: Sandbox | None = None
        self._closed = False
        self.choice: Choice | None = None

    @property
    def name(self) -> str:
        """The chosen sandbox's name; `auto` before the start."""
        return self._sandbox.name if self._sandbox is not None else "auto"

    @property
    def notes(self) -> tuple[str, ...]:
        """The chosen sandbox's notes; none before the start."""
        return self._sandbox.notes if self._sandbox is not None else ()

    @property
    def outlives_cancellation(self) -> bool:
        """True if the chosen sandbox outlives a cancellation; False before the start."""
        return self._sandbox is not None and self._sandbox.outlives_cancellation

    @property
    def warning(self) -> str | None:
        """The chosen sandbox's warning; None if it has none, and before the start."""
        return warning_of(self._sandbox) if self._sandbox is not None else None

    @property
    def reason(self) -> str:
        """Why this one was chosen, and why stronger ones were not, in one line; empty before the start."""
        return str(self.choice) if self.choice is not None else ""

    async def start(
        self,
        limits: CellLimits,
        context: Context,
        host: Host,
        *,
        query: str = "",
        seed: int = 0,
        inputs: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Choose a sandbox and start it; see `Sandbox.start` and `auto_sandbox`."""
        if self._sandbox is not None or self._closed:
            raise SandboxError("a sandbox can be started only once; make a new one")
        await self._start(limits, context, host, query=query, seed=seed, inputs=inputs)

    async def _start(self, *arguments: Any, fresh: bool = False, **options: Any) -> None:
        maker, self.choice = await auto_sandbox(
            self._names, makers=self._makers, packages=self._packages, type_check=self._type_check, fresh=fresh
        )
        sandbox = self._sandbox = maker()
        try:
            await sandbox.start(*arguments, **options)
        except SandboxUnavailable:
            if fresh or self._makers is not None:  # nothing was kept of a check
                raise
            await sandbox.close()
            # What held when it was checked may not hold here and now, such as under a lower limit of open files.
            await self._start(*arguments, fresh=True, **options)

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`."""
        return await self._started().execute(cell)

    async def variables(self) -> Mapping[str, str]:
        """Return the variables that cells have set; see `Sandbox.variables`."""
        return await self._started().variables()

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the running cell, keeping its variables; return False if that is impossible."""
        interrupt: Callable[[], bool] = getattr(self._sandbox, "interrupt", bool)
        return not self._closed and interrupt()

    async def close(self) -> None:
        """Release all resources; see `Sandbox.close`."""
        self._closed = True
        if self._sandbox is not None:
            await self._sandbox.close()

    def _started(self) -> Sandbox:
        if self._sandbox is None or self._closed:
            raise SandboxError("this sandbox is closed; open a new session")
        return self._sandbox
