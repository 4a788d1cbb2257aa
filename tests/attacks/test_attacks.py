"""Every attack on every backend ends as it should, but for the known gaps.

Nothing isolates in `local`: of the attacks, only those that need nothing run there.
"""

import os
from collections.abc import Iterator

import pytest

from attacks.backends import BACKENDS, GROUPS
from rlmbox.errors import SandboxUnavailable
from rlmbox.testing.attacks import KNOWN_GAPS, HostWatch, Probe, attacks, run_attacks

PROVEN: dict[str, dict[str, Probe]] = {name: {} for name in BACKENDS}
CPYTHON = ("local", "jail", "docker-runc", "docker-runsc")
NO_TRACEBACK = ("INTR-10-decorator-and-except-star",)  # Python 3.11 keeps none on what `except*` gives
CASES = [
    # The first session in WebAssembly on a machine compiles the guest, which takes a minute and more.
    pytest.param(backend, name, id=f"{backend}-{name}", marks=[pytest.mark.timeout(900)] if backend == "wasm" else [])
    for backend in BACKENDS
    for name, attack in attacks().items()
    if backend != "local" or attack.harmless
    if attack.group in GROUPS.get(backend, (attack.group,))
]


@pytest.fixture(scope="module")
def watch() -> Iterator[HostWatch]:
    with HostWatch() as opened:
        yield opened


@pytest.mark.skipif(os.name == "nt", reason="the host is watched through POSIX")
@pytest.mark.parametrize(("backend", "name"), CASES)
async def test_the_attack_ends_as_it_should(backend: str, name: str, watch: HostWatch) -> None:
    gaps = {gap: why for gap, why in KNOWN_GAPS[backend.partition("-")[0]].items() if gap == name}
    try:
        report = await run_attacks(BACKENDS[backend], only=[name], known_gaps=gaps, watch=watch, proven=PROVEN[backend])
    except SandboxUnavailable as error:
        pytest.skip(f"{backend} cannot run here: {error}")
    assert report.ok, report
    (result,) = report.results
    assert result.id == name
    # In all of Python, only a module that the backend leaves out can be missing; anything else is a faulty attack.
    if backend in CPYTHON and result.verdict == "not expressible":
        assert "No module named" in result.detail or name in NO_TRACEBACK


async def test_where_there_are_no_walls_nothing_that_needs_one_is_run() -> None:
    risky = [name for name, attack in attacks().items() if not attack.harmless]
    report = await run_attacks(BACKENDS["local"], only=risky)
    assert {result.verdict for result in report.results} == {"refused"}
    assert [result.id for result in report.results] == risky
    assert not report.ok
