"""The checks that every `Sandbox` passes, usable by third-party implementations.

A check is an async function `check_…(make_sandbox)` that raises AssertionError if the contract is violated. A backend
may declare checks that it does not pass, each with the reason; passing a declared one is an error too, so that the list
stays accurate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType

import anyio

from rlmbox.errors import SandboxUnavailable
from rlmbox.testing._sandbox_checks import (
    errors,
    host_calls,
    isolation,
    lifecycle,
    limits,
    long_text,
    namespace,
    values,
)
from rlmbox.testing._sandbox_checks._opened import Check, MakeSandbox

CHECK_TIMEOUT_S = 60.0
"""Time limit of a check, in seconds."""


def _checks_of(*modules: ModuleType) -> Mapping[str, Check]:
    return MappingProxyType(
        {name: getattr(module, name) for module in modules for name in vars(module) if name.startswith("check_")}
    )


CHECKS: Mapping[str, Check] = _checks_of(namespace, values, long_text, errors, host_calls, limits, lifecycle, isolation)
"""The checks by name, in execution order."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of running the checks.

    Attributes:
        passed: Names of passed checks.
        gaps: Declared failures, by name, with the reason.
        failed: Undeclared failures, and declared ones that passed, by name, with the problem.
    """

    passed: tuple[str, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    failed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def ok(self) -> bool:
        """True if every check passed or is a declared gap."""
        return not self.failed

    def __str__(self) -> str:
        lines = [f"{len(self.passed)} passed, {len(self.gaps)} declared gaps, {len(self.failed)} failed"]
        return "\n".join([*lines, *(f"{name}: {why}" for name, why in self.failed.items())])


async def check_sandbox(
    make_sandbox: MakeSandbox, *, known_gaps: Mapping[str, str] = MappingProxyType({})
) -> CheckReport:
    """Check that a sandbox keeps the contract of `rlmbox.sandboxes.base.Sandbox`.

    Takes about half a minute. Isolation is verified on the host's side; cells that exhaust resources run only after
    their limit has been seen to hold.

    Args:
        make_sandbox: Creates a sandbox without starting it; called for each check.
        known_gaps: Names of checks that the sandbox does not pass, each with the reason.

    Returns:
        The result; in a test, use `assert report.ok, report`.

    Raises:
        ValueError: `known_gaps` names an unknown check.
        SandboxUnavailable: The backend cannot run here.
    """
    unknown = set(known_gaps) - set(CHECKS)
    if unknown:
        raise ValueError(f"no such check: {', '.join(sorted(unknown))}")
    passed: list[str] = []
    gaps: dict[str, str] = {}
    failed: dict[str, str] = {}
    for name, check in CHECKS.items():
        problem = await _problem(check, make_sandbox)
        if name not in known_gaps and problem is None:
            passed.append(name)
        elif name not in known_gaps:
            failed[name] = str(problem)
        elif problem is None:
            failed[name] = f"it is met, but declared as a gap: {known_gaps[name]}"
        else:
            gaps[name] = known_gaps[name]
    return CheckReport(tuple(passed), gaps, failed)


async def _problem(check: Check, make_sandbox: MakeSandbox) -> str | None:
    """Run a check; return the problem, or None."""
    try:
        with anyio.fail_after(CHECK_TIMEOUT_S):
            await check(make_sandbox)
    except SandboxUnavailable:
        raise
    except AssertionError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a backend may fail in any way; the other checks still run
        return f"{type(error).__name__}: {error}"
    return None
