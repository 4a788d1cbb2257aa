"""Whatever cells do, under all limits and cancellations: only an `RLMError` leaves, nothing is lost or paid twice.

`bench/machine.py` runs the same for as long as one likes; here a few seeds show that the machines run and would see.
"""

from collections.abc import Callable

import pytest

from cell_machine import Broken, RunMachine, SandboxMachine
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.types import Cell, Execution
from sandboxes.jail_here import why_no_jail

needs_jail = pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail())
BACKENDS = [
    pytest.param(JailSandbox, id="jail", marks=needs_jail),
    pytest.param(MontySandbox, id="monty"),
    pytest.param(lambda: LocalSandbox(unsafe_no_isolation=True), id="local"),
]
every_backend = pytest.mark.parametrize("make", BACKENDS)
SEEDS = (1, 2)


@every_backend
@pytest.mark.parametrize("seed", SEEDS)
async def test_variables_are_what_cells_made_them_and_no_prompt_is_asked_twice(
    make: Callable[[], Sandbox], seed: int
) -> None:
    machine = SandboxMachine(make, seed)
    await machine.run(12)
    assert machine.outcomes.total() >= 6


@every_backend
@pytest.mark.parametrize("seed", SEEDS)
async def test_only_an_rlm_error_leaves_and_the_ledger_is_the_models_own(
    make: Callable[[], Sandbox], seed: int
) -> None:
    machine = RunMachine(make, seed)
    await machine.run(3)
    assert machine.outcomes.total() == 3


class Forgetful(MontySandbox):
    """Says that it kept the variables, and did not."""

    async def execute(self, cell: Cell) -> Execution:
        if cell.by == "engine":
            cell = Cell(f"{cell.code} = None\n{cell.code}", by="engine")
        return await super().execute(cell)


async def test_the_machine_sees_a_sandbox_that_forgets() -> None:
    with pytest.raises(Broken, match=r"the variables are .*: None"):
        await SandboxMachine(Forgetful, 1).run(12)
