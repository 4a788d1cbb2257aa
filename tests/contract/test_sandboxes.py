"""Every sandbox keeps the contract, but for what it says it does not."""

import importlib.util
from collections.abc import Callable

import anyio
import pytest

from contract.gaps import GAPS
from rlmbox.errors import RLMError
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing.check_sandbox import CHECKS

BACKENDS: dict[str, Callable[[], Sandbox]] = {"local": lambda: LocalSandbox(unsafe_no_isolation=True)}

if importlib.util.find_spec("rlmbox.sandboxes.monty") and importlib.util.find_spec("pydantic_monty"):
    from rlmbox.sandboxes.monty import MontySandbox

    BACKENDS["monty"] = MontySandbox


def _cases() -> list[object]:
    cases = []
    for backend in BACKENDS:
        for name in CHECKS:
            reason = GAPS.get(backend, {}).get(name)
            marks = [pytest.mark.xfail(strict=True, reason=reason, raises=(AssertionError, RLMError))] if reason else []
            cases.append(pytest.param(backend, name, id=f"{backend}-{name.removeprefix('check_')}", marks=marks))
    return cases


@pytest.mark.parametrize(("backend", "name"), _cases())
async def test_sandbox_keeps_the_contract(backend: str, name: str) -> None:
    with anyio.fail_after(50):
        await CHECKS[name](BACKENDS[backend])
