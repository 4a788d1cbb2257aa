"""The suite itself: it finds what is wrong, and believes no declaration that is not true."""

import importlib
from collections.abc import Mapping

import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing._sandbox_checks import values
from rlmbox.types import Cell, CellLimits, Execution

suite = importlib.import_module("rlmbox.testing.check_sandbox")  # the package gives the function of that name
WORKS = "check_a_last_expression_is_the_value"
BROKEN = "check_print_is_captured"


class Parrot:
    """A sandbox that answers every cell with 21 and prints nothing."""

    name = "parrot"
    notes = ()
    outlives_cancellation = False

    async def start(self, limits: CellLimits, context: Context, host: Host, **options: object) -> None:
        pass

    async def execute(self, cell: Cell) -> Execution:
        return Execution(value=21, value_repr="21")

    async def variables(self) -> Mapping[str, str]:
        return {}

    async def close(self) -> None:
        pass


class Absent(Parrot):
    """A sandbox that cannot run here."""

    async def start(self, limits: CellLimits, context: Context, host: Host, **options: object) -> None:
        raise SandboxUnavailable("install it first")


@pytest.fixture(autouse=True)
def _two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = {WORKS: values.check_a_last_expression_is_the_value, BROKEN: values.check_print_is_captured}
    monkeypatch.setattr(suite, "CHECKS", checks)


async def test_a_sound_sandbox_passes() -> None:
    report = await suite.check_sandbox(lambda: LocalSandbox(unsafe_no_isolation=True))
    assert report == suite.CheckReport(passed=(WORKS, BROKEN))
    assert report.ok
    assert str(report) == "2 passed, 0 declared gaps, 0 failed"


async def test_a_broken_sandbox_fails_and_is_told_why() -> None:
    report = await suite.check_sandbox(Parrot)
    assert not report.ok
    assert report.passed == (WORKS,)
    assert list(report.failed) == [BROKEN]
    assert "stdout is 'a-1-[2.0]!" in str(report)


async def test_a_declared_gap_is_no_failure() -> None:
    report = await suite.check_sandbox(Parrot, known_gaps={BROKEN: "parrots do not print"})
    assert report.ok
    assert report.gaps == {BROKEN: "parrots do not print"}


async def test_a_declared_gap_that_is_none_is_a_failure() -> None:
    report = await suite.check_sandbox(Parrot, known_gaps={WORKS: "parrots have no values", BROKEN: "nor output"})
    assert not report.ok
    assert "it is met, but declared as a gap: parrots have no values" in report.failed[WORKS]


async def test_a_gap_that_is_no_check_is_refused() -> None:
    with pytest.raises(ValueError, match="no such check: check_nothing"):
        await suite.check_sandbox(Parrot, known_gaps={"check_nothing": "a typing error"})


async def test_a_backend_that_cannot_run_here_is_told_apart() -> None:
    with pytest.raises(SandboxUnavailable, match="install it first"):
        await suite.check_sandbox(Absent)


def test_there_are_enough_checks_and_each_says_what_it_is() -> None:
    checks = dict(suite._checks_of(values))
    assert len(checks) > 10
    assert all(check.__doc__ and check.__doc__.endswith(".") for check in checks.values())
