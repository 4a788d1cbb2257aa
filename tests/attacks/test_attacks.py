"""Every attack on every backend ends as it should, but for the known gaps.

Nothing isolates in `local`: of the attacks, only those that need nothing run there. Where a container takes long to
start, some are left to the backend that has the same worker; `rlmbox doctor --attack` runs them all.
"""

import os
from collections.abc import Iterator

import pytest

from attacks.backends import BACKENDS, GROUPS, OF_THE_WORKER, SAME_WORKER
from rlmbox.errors import SandboxUnavailable
from rlmbox.testing.attacks import KNOWN_GAPS, HostWatch, Probe, attacks, run_attacks

PROVEN: dict[str, dict[str, Probe]] = {name: {} for name in BACKENDS}
CPYTHON = ("local", "jail", "docker-runc", "docker-runsc")
NO_TRACEBACK = ("INTR-10-decorator-and-except-star",)  # Python 3.11 keeps none on what `except*` gives


def _cases() -> list[object]:
    """List the attacks of a group on a backend, together: one session stands by for all of them."""
    cases: list[object] = []
    for backend in BACKENDS:
        groups: dict[str, list[str]] = {}
        for name, attack in attacks().items():
            if (backend != "local" or attack.harmless) and attack.group in GROUPS.get(backend, (attack.group,)):
                groups.setdefault(attack.group, []).append(name)
        for group in OF_THE_WORKER if backend in SAME_WORKER else ():
            groups[group] = groups[group][::3]
        # The first session in WebAssembly on a machine compiles the guest, which takes a minute and more.
        marks = [pytest.mark.timeout(900)] if backend == "wasm" else []
        cases += [pytest.param(backend, names, id=f"{backend}-{group}", marks=marks) for group, names in groups.items()]
    return cases


@pytest.fixture(scope="module")
def watch() -> Iterator[HostWatch]:
    with HostWatch() as opened:
        yield opened


@pytest.mark.skipif(os.name == "nt", reason="the host is watched through POSIX")
@pytest.mark.parametrize(("backend", "names"), _cases())
async def test_the_attacks_end_as_they_should(
    backend: str, names: list[str], watch: HostWatch, request: pytest.FixtureRequest
) -> None:
    if backend == "wasm" and attacks()[names[0]].group in OF_THE_WORKER:
        request.getfixturevalue("preloaded_wasm")
    gaps = {gap: why for gap, why in KNOWN_GAPS[backend.partition("-")[0]].items() if gap in names}
    try:
        report = await run_attacks(BACKENDS[backend], only=names, known_gaps=gaps, watch=watch, proven=PROVEN[backend])
    except SandboxUnavailable as error:
        pytest.skip(f"{backend} cannot run here: {error}")
    assert report.ok, report
    assert [result.id for result in report.results] == names
    for result in report.results:
        # In all of Python, only a module that the backend leaves out can be missing; else an attack is faulty.
        if backend in CPYTHON and result.verdict == "not expressible":
            assert "No module named" in result.detail or result.id in NO_TRACEBACK


async def test_where_there_are_no_walls_nothing_that_needs_one_is_run() -> None:
    risky = [name for name, attack in attacks().items() if not attack.harmless]
    report = await run_attacks(BACKENDS["local"], only=risky)
    assert {result.verdict for result in report.results} == {"refused"}
    assert [result.id for result in report.results] == risky
    assert not report.ok
