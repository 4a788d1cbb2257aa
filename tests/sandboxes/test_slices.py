"""`ctx.slice` gives the same whether the sandbox or the host cuts it, and a loop over it is ended like any other."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.types import Cell, CellLimits, Execution
from sandboxes.jail_here import why_no_jail

TEXT = "alpha é beta\n🎉 gamma\r\n" * 7
BACKENDS = [
    pytest.param(lambda: LocalSandbox(unsafe_no_isolation=True), id="local"),
    pytest.param(JailSandbox, id="jail", marks=pytest.mark.skipif(bool(why_no_jail()), reason=why_no_jail())),
]
every_backend = pytest.mark.parametrize("make", BACKENDS)
every_kind = pytest.mark.parametrize("inline_limit_chars", [0, 1_000], ids=["handle", "str"])
places = st.one_of(st.none(), st.integers(-200, 200), st.sampled_from([10**30, -(10**30), True, 1.5, "x"]))


async def ran(make: Callable[[], Sandbox], inline_limit_chars: int, *cells: str, timeout_s: float = 5.0) -> Execution:
    context = Context.from_text(TEXT)
    sandbox = make()
    limits = CellLimits(inline_limit_chars=inline_limit_chars, cell_timeout_s=timeout_s)
    await sandbox.start(limits, context, {function.name: function for function in repl_functions(context)})
    try:
        for cell in cells:
            last = await sandbox.execute(Cell(cell))
        return last
    finally:
        await sandbox.close()


@every_backend
@every_kind
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pairs=st.lists(st.tuples(places, places), min_size=60, max_size=60))
async def test_a_slice_is_that_of_the_str(
    make: Callable[[], Sandbox], inline_limit_chars: int, pairs: list[tuple[Any, Any]]
) -> None:
    code = f"""
found = []
for start, end in {pairs!r}:
    try:
        found.append(ctx.slice(start, end))
    except Exception as error:
        found.append(type(error).__name__)
found"""
    wrong = [any(isinstance(place, bool | float | str) for place in pair) for pair in pairs]
    wanted = ["TypeError" if bad else TEXT[slice(pair[0], pair[1])] for pair, bad in zip(pairs, wrong, strict=True)]
    assert (await ran(make, inline_limit_chars, code)).value == wanted


@every_backend
@every_kind
async def test_keywords_and_defaults_are_those_of_the_signature(
    make: Callable[[], Sandbox], inline_limit_chars: int
) -> None:
    code = "[ctx.slice(start=2, end=5), ctx.slice(end=5, start=2), ctx.slice(150), ctx.slice.__name__]"
    wanted = [TEXT[2:5], TEXT[2:5], TEXT[150:], "slice"]
    assert (await ran(make, inline_limit_chars, code)).value == wanted


@every_backend
@every_kind
@pytest.mark.usefixtures("much_grace")
async def test_an_endless_loop_of_slices_is_ended_and_loses_nothing(
    make: Callable[[], Sandbox], inline_limit_chars: int
) -> None:
    loop = "while True:\n    ctx.slice(0, 1)"
    ended = await ran(make, inline_limit_chars, "a = 7", loop, timeout_s=0.3)
    assert (ended.outcome, ended.namespace) == ("timeout", "kept")
    after = await ran(make, inline_limit_chars, "a = 7", loop, "a", timeout_s=0.3)
    assert after.value == 7
