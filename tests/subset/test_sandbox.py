"""`SubsetSandbox`: what is its own, besides the contract that all sandboxes keep."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxError
from rlmbox.sandboxes.subset import SubsetSandbox
from rlmbox.types import Cell, CellLimits, HostFunction

LIMITS = CellLimits()


PARKED = (
    """
import math
from collections import Counter, defaultdict
root, n, nan = math.sqrt, 2**70, float('nan')
data = {'k': [1, (2, {3}), b'x', None, 1.5]}
data['me'] = data
alias = data['k']
c, dd = Counter('aab'), defaultdict(list, {1: [2]})
p = re.compile('a+')
m = p.search('xaa')
text, f, kind, flag, r = context, echo, str, re.I, range(3)
err, up, fs = ValueError('v', 1), 'abc'.upper, frozenset({1})
""",
    """
def make(k, extra=[1]):
    total = {'n': k}
    def add(by=2):
        total['n'] += by
        return total['n']
    return add, lambda: total['n'], extra
add, get, extra = make(5)
def fact(n):
    return 1 if n < 2 else n * fact(n - 1)
""",
)
CHECKED = """
add()
alias.append('z')
extra.append(2)
[
    get(), add(1), data['me'] is data, data['k'], root(16), n, nan != nan, c.most_common(1), dd[1], dd[9],
    p.findall('baa'), m.span(), text == context, f([1]), str(err), err.args, up(), fs, flag | re.M, list(r), kind(5),
    fact(5), answer, make(1)[2],
]
"""


@asynccontextmanager
async def opened(
    *, text: str = "the context", host: tuple[HostFunction, ...] = (), limits: CellLimits = LIMITS, **settings: Any
) -> AsyncIterator[SubsetSandbox]:
    sandbox = SubsetSandbox(**settings)
    functions = {each.name: each for each in host}
    inputs = {"answer": {"content": "", "ready": False}}
    await sandbox.start(limits, Context.from_text(text), functions, query="q", seed=3, inputs=inputs)
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def test_a_value_too_long_to_be_shown_leaves_whole_or_is_refused_by_its_size() -> None:
    async with opened(limits=replace(LIMITS, memory_bytes=2**30)) as sandbox:
        await sandbox.execute(Cell("text = 'ab ' * 13_000_000\nmany = [['a'] * 1000] * 1500"))
        whole = await sandbox.execute(Cell("text"))
        assert isinstance(whole.value, str)
        assert (len(whole.value), whole.value_repr) == (39_000_000, "<str, too large to be shown>")
        refused = await sandbox.execute(Cell("many"))
        assert refused.error is not None
        assert refused.error.message.startswith("the value is too large to leave the cell")
        beside = await sandbox.execute(Cell("n = len(many)\nmany"))
        assert (beside.error, beside.value) == (None, beside.value_repr)


async def test_what_the_repl_provides_cannot_be_deleted_and_says_so() -> None:
    async with opened() as sandbox:
        for code, said in (
            ("del context", "name 'context' is the REPL's own and cannot be deleted"),
            ("del len", "name 'len' is not defined"),
            ("del mine", "name 'mine' is not defined"),
        ):
            error = (await sandbox.execute(Cell(code))).error
            assert error is not None
            assert error.message == said


async def test_too_many_steps_end_the_cell_and_keep_the_variables() -> None:
    async with opened(steps=1_000) as sandbox:
        execution = await sandbox.execute(Cell("x = 1\nfor i in range(10**6):\n    x += 1"))
        assert (execution.outcome, execution.namespace) == ("timeout", "kept")
        assert execution.error is not None
        assert execution.error.type == "ExecutionTimeout"
        assert "`steps`" in execution.error.message
        assert (await sandbox.execute(Cell("x > 1"))).value is True


async def test_waiting_for_the_host_takes_no_steps() -> None:
    async def ask(prompt: str) -> str:
        await anyio.sleep(0.05)
        return prompt.upper()

    async with opened(host=(HostFunction("llm_query", ask, "asks"),), steps=20) as sandbox:
        assert (await sandbox.execute(Cell("llm_query('why')"))).value == "WHY"


async def test_a_cell_does_not_hold_the_event_loop() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.001)
            ticks += 1

    async with opened(steps=10**9) as sandbox:
        ticking = asyncio.ensure_future(tick())
        await sandbox.execute(Cell("t = 0\nfor i in range(200_000):\n    t += i"))
        ticking.cancel()
    assert ticks >= 3


async def test_the_clock_ends_a_session_that_is_stuck() -> None:
    async with opened(steps=10**12, limits=replace(LIMITS, cell_timeout_s=0.2)) as sandbox:
        await sandbox.execute(Cell("kept = 1"))
        execution = await sandbox.execute(Cell("for i in range(10**12):\n    pass"))
        assert (execution.outcome, execution.namespace) == ("timeout", "lost")
        assert (await sandbox.execute(Cell("40 + 2"))).value == 42
        assert (await sandbox.execute(Cell("kept"))).outcome == "error"


async def test_cancelling_ends_the_thread_and_a_new_cell_can_run() -> None:
    async with opened(steps=10**12) as sandbox:
        with anyio.move_on_after(0.1) as scope:
            await sandbox.execute(Cell("for i in range(10**12):\n    pass"))
        assert scope.cancelled_caught
        after = await sandbox.execute(Cell("1"))
        assert after.value == 1
        assert "its variables are lost" in after.stderr
        assert (await sandbox.execute(Cell("1"))).stderr == ""  # said once


@pytest.mark.parametrize("code", ["of_it = 2\nfor i in range(10**12):\n    pass", "of_it = 2\nwait()\nof_it = 3"])
async def test_an_interrupt_ends_the_cell_and_keeps_the_variables(code: str) -> None:
    async def wait() -> None:
        await anyio.sleep_forever()

    async with opened(steps=10**12, host=(HostFunction("wait", wait, "waits"),)) as sandbox:
        assert sandbox.interrupt()  # between two cells it does nothing
        await sandbox.execute(Cell("kept = 1"))
        running = asyncio.ensure_future(sandbox.execute(Cell(code)))
        await anyio.sleep(0.1)
        assert sandbox.interrupt()
        execution = await running
        assert (execution.outcome, execution.namespace) == ("error", "kept")
        assert execution.error is not None
        assert execution.error.type == "KeyboardInterrupt"
        assert (await sandbox.execute(Cell("[kept, of_it]"))).value == [1, 2]
    assert not sandbox.interrupt()


async def test_a_session_is_parked_and_resumed() -> None:
    echo = HostFunction("echo", lambda value: value, "echoes")
    cells = PARKED
    check = CHECKED
    text = "the context " * 20
    async with opened(text=text, host=(echo,)) as one, opened(text=text, host=(echo,)) as two:
        for code in cells:
            assert (await one.execute(Cell(code))).outcome == "ok"
        state = json.loads(json.dumps(one.snapshot()))
        assert text not in json.dumps(state)  # it is not copied
        two.restore(state)
        first, second = await one.execute(Cell(check)), await two.execute(Cell(check))
        assert first.outcome == "ok", first.error
        assert second == replace(first, duration_s=second.duration_s)
        assert await one.variables() == await two.variables()


async def test_what_cannot_be_kept_is_named() -> None:
    async with opened() as sandbox:
        await sandbox.execute(Cell("g = (x for x in 'ab')\nl = [g]\nx = 1"))
        state: dict[str, Any] = dict(sandbox.snapshot())
        assert set(state["names"]) == {"x", "answer"}
        assert set(state["lost"]) == {"g", "l"}


@pytest.mark.parametrize(
    "state",
    [
        {"version": 9},
        {"version": 1},
        {"version": 1, "names": {"x": {"t": "at", "v": 5}}, "heap": [], "sources": {}},
        {"version": 1, "names": {"x": {"t": "no", "v": 5}}, "heap": [], "sources": {}},
        {"version": 1, "names": {"x": {"t": "name", "v": "os"}}, "heap": [], "sources": {}},
        {
            "version": 1,
            "names": {"x": {"t": "at", "v": 0}},
            "heap": [{"t": "tuple", "v": [{"t": "at", "v": 0}]}],
            "sources": {},
        },
        {
            "version": 1,
            "names": {"x": {"t": "at", "v": 0}},
            "heap": [{"t": "function", "v": [0, 1, 0], "d": [], "c": None}],
            "sources": {"0": "def f():\n    return ().__class__"},
        },
    ],
)
async def test_a_damaged_state_is_an_error(state: dict[str, Any]) -> None:
    async with opened() as sandbox:
        with pytest.raises(SandboxError, match="state"):
            sandbox.restore(state)


async def test_an_error_tells_the_model_what_to_write_instead() -> None:
    async with opened() as sandbox:
        error = (await sandbox.execute(Cell("x = 1\nwhile x:\n    pass"))).error
        assert error is not None
        assert (error.type, error.line) == ("ForbiddenSyntax", 2)
        assert "for i in range(n)" in error.message


async def test_the_strict_profile_is_small() -> None:
    async with opened(profile="strict") as sandbox:
        ok = await sandbox.execute(Cell("m = re.search('CON', context, re.IGNORECASE)\nif m:\n    print(m.group(0))"))
        assert (ok.outcome, ok.stdout) == ("ok", "con\n")
        assert (await sandbox.execute(Cell("[x for x in context]"))).outcome == "error"
        assert len(sandbox.notes) == 3


async def test_final_in_code_is_an_error_that_says_where_it_belongs() -> None:
    async with opened() as sandbox:
        error = (await sandbox.execute(Cell("FINAL(1 + 1)"))).error
        assert error is not None
        assert "FINAL_VAR(name)" in error.message
        assert "reply" in error.message


async def test_what_a_long_context_lacks_says_what_to_do_and_wrong_arguments_have_the_error_of_a_str() -> None:
    sandbox = SubsetSandbox()
    await sandbox.start(CellLimits(inline_limit_chars=5), Context.from_text("a long text\nof two lines"), {})
    try:
        for cell in (
            "{context: 1}",
            "bytes(context, 'utf-8')",
            "context < 'a'",
            "json.dumps([context])",
            "f'{context:.5}'",
        ):
            error = (await sandbox.execute(Cell(cell))).error
            assert error is not None
            assert "context[a:b]" in error.message
        for mistake in (
            "context.find(1)",
            "context.splitlines(keep=1)",
            "context.count(sub='a')",
            "context.startswith((5,))",
        ):
            error = (await sandbox.execute(Cell(mistake))).error
            with pytest.raises(TypeError) as told:
                eval(mistake, {"context": "a"})
            assert error is not None
            assert error.message == str(told.value)
    finally:
        await sandbox.close()
