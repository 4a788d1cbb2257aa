"""Sets of whole numbers are gone through in `monty` in the order of CPython, which is not that of their filling."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.types import Cell, CellLimits, Execution

numbers = st.one_of(st.integers(-9, 60), st.integers(-(10**25), 10**25), st.integers(0, 70).map(lambda n: n * 64))


async def ran(code: str) -> Execution:
    sandbox = MontySandbox()
    await sandbox.start(CellLimits(), Context.from_text("a text"), {})
    try:
        return await sandbox.execute(Cell(code))
    finally:
        await sandbox.close()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(many=st.lists(st.lists(numbers, max_size=40), min_size=20, max_size=20))
async def test_a_set_made_of_whole_numbers_has_the_order_of_cpython(many: list[list[int]]) -> None:
    done = await ran(f"import json\nprint(json.dumps([list(set(one)) for one in {many!r}]))")
    assert json.loads(done.stdout) == [list(set(one)) for one in many]


OPERATIONS = (
    "s.add(x)",
    "s.discard(x)",
    "s |= o",
    "s -= o",
    "s ^= o",
    "s &= o | s",
    "s = s.copy()",
    "s.update(list(o))",
)
steps = st.tuples(st.sampled_from(OPERATIONS), numbers, st.lists(numbers, max_size=12))


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(many=st.lists(st.tuples(st.lists(numbers, max_size=30), st.lists(steps, max_size=20)), min_size=8, max_size=8))
async def test_a_set_that_is_changed_has_the_order_of_cpython(
    many: list[tuple[list[int], list[tuple[str, int, list[int]]]]],
) -> None:
    lines = ["import json", "found = []"]
    for numbers_, changes in many:
        lines.append(f"s = set({numbers_!r})")
        for change, x, other in changes:
            lines += [f"x = {x}", f"o = set({other!r})", change, "found.append(list(s))"]
        lines += ["while len(s) > 3:", "    found.append([s.pop()])"]
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    done = await ran("\n".join([*lines, "print(json.dumps(found))"]))
    assert json.loads(done.stdout) == names["found"]


@pytest.mark.parametrize(
    "code",
    [
        "print({3, 1, 2}, {10, 5, 100, 1000}, frozenset([2, 1]), {True, False}, set(), {7})",
        "for x in {5, 3, 9, 1}: print(x)",
        "n = 8\nprint({n, 1, 2 * n}, list({30, n, 10}), {x % 7 for x in [20, 3, 9, 13]}, *{9, n, 7})",
        "print(dict.fromkeys(set([3, 1])), ' '.join(str(x) for x in {2, 1}), f'{ {2, 1} }', str({2, 1}))",
        "print(sorted([[2, 1], [3]], key=lambda one: list(set(one))))",
        "set = list\nprint(set([3, 1, 2]))",
        "print(set('a'), set(b'ba'), set(range(9, 3, -1)), set({4: 1, 2: 1}), set(map(int, '312')))",
    ],
)
async def test_it_is_printed_and_looped_over_so(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(code, {})
    assert (await ran(code)).stdout == capsys.readouterr().out
