"""What a cell may do to a session of `monty`: nothing that ends it, and nothing that is asked twice."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.sandboxes.kernel._landlock import landlock_abi
from rlmbox.sandboxes.monty import MontySandbox, _repl
from rlmbox.sandboxes.monty._code import read_cell
from rlmbox.sandboxes.monty._known import Known
from rlmbox.sandboxes.monty._syntax import CellRefused
from rlmbox.types import Cell, CellLimits, Execution, HostFunction

TEXT = Context.from_text("one two three")
SMALL = CellLimits(cell_timeout_s=0.5, memory_bytes=32 * 2**20, output_flood_bytes=1_000_000)
PATIENT = CellLimits(cell_timeout_s=600, output_flood_bytes=1_000_000)


class Asked:
    """A model that notes what it was asked, and never answers `wait`."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.scope: anyio.CancelScope | None = None
        """Cancelled once it is asked to `wait`."""

    async def llm_query(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if prompt == "wait":
            if self.scope:
                self.scope.cancel()
            await anyio.sleep_forever()
        return prompt.upper()


@pytest.fixture
def asked() -> Asked:
    return Asked()


async def opened(asked: Asked, limits: CellLimits = SMALL, text: Context = TEXT) -> MontySandbox:
    sandbox = MontySandbox()
    host = {function.name: function for function in repl_functions(text)}
    host["llm_query"] = HostFunction("llm_query", asked.llm_query, "asks")
    await sandbox.start(limits, text, host, query="what?")
    return sandbox


@pytest.fixture
async def sandbox(asked: Asked) -> AsyncIterator[MontySandbox]:
    made = await opened(asked)
    yield made
    await made.close()


async def run(sandbox: MontySandbox, code: str) -> Execution:
    return await sandbox.execute(Cell(code))


async def test_a_cell_that_costs_the_worker_is_an_outcome_and_is_not_run_again(asked: Asked) -> None:
    sandbox = await opened(asked, CellLimits(cell_timeout_s=600))  # the machine may be busy
    await run(sandbox, "kept = llm_query('a')")
    execution = await run(sandbox, "before = 1\nbig = [str(i) for i in range(3_000_000)]")
    assert (execution.outcome, execution.namespace) == ("memory", "rebuilt")
    for _ in range(2):
        execution = await run(sandbox, "[kept, before]")
        assert (execution.outcome, execution.namespace, execution.value) == ("ok", "kept", ["A", 1])
    assert asked.prompts == ["a"]
    await sandbox.close()


async def test_an_output_flood_ends_at_its_bound_and_not_at_its_timeout(asked: Asked) -> None:
    sandbox = await opened(asked, PATIENT)
    execution = await run(sandbox, "a = 1\nwhile True: print('x' * 100)")
    assert (execution.outcome, (await run(sandbox, "a")).value) == ("output", 1)
    await sandbox.close()


@pytest.mark.parametrize("swallow", ["Exception", "BaseException"])
async def test_calls_that_cost_nothing_count_as_running_time(sandbox: MontySandbox, swallow: str) -> None:
    code = f"n = 0\nwhile True:\n    try:\n        n += len(ctx.slice(0, 1))\n    except {swallow}:\n        pass"
    execution = await run(sandbox, code)
    assert execution.outcome == "timeout"
    assert (await run(sandbox, "n >= 0")).value is True


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("x = 2**20000\nx", hex(2**20000)),
        ("[10**5000, -(10**5000)]", [hex(10**5000), hex(-(10**5000))]),
        ("{'a': {1: 10**5000}}", {"a": {"1": hex(10**5000)}}),
        ("x = []\nx.append(x)\nx", ["<cycle>"]),
        ("def rlm_value_(v):\n    return 5\n2 + 2", 4),
        ("rlm_result = 7\nrlm_result", 7),
    ],
)
async def test_no_value_leaves_as_an_exception(sandbox: MontySandbox, code: str, value: object) -> None:
    assert (await run(sandbox, code)).value == value


async def test_an_argument_has_the_form_that_a_value_has() -> None:
    setup = "from dataclasses import dataclass\n@dataclass\nclass Item:\n    size: int\n"
    noted: list[object] = []
    sandbox = MontySandbox()
    await sandbox.start(PATIENT, TEXT, {"note": HostFunction("note", noted.append, "notes")})
    try:
        value = (await run(sandbox, f"{setup}parts = [Item(1), (Item(2), len)]\nnote(parts)\nparts")).value
    finally:
        await sandbox.close()
    assert value == [{"size": 1}, [{"size": 2}, "<built-in function len>"]]
    assert noted == [value]


@pytest.mark.parametrize("code", ["_rlm_own = 1", "def _rlm_value(v): pass", "import math as _rlm_x", "x._rlm_y = 1"])
async def test_names_of_our_own_are_refused_by_name(sandbox: MontySandbox, code: str) -> None:
    execution = await run(sandbox, code)
    assert execution.error is not None
    assert "names that begin with _rlm_ are the REPL's own" in execution.error.message
    assert (await run(sandbox, "1 + 1")).value == 2


async def test_a_cell_that_is_cancelled_in_a_call_leaves_what_it_had_done(sandbox: MontySandbox, asked: Asked) -> None:
    await run(sandbox, "a = llm_query('first')")
    with anyio.CancelScope() as asked.scope:
        await run(sandbox, "b = 2\nc = llm_query('wait')")
    execution = await run(sandbox, "[a, b]")
    assert (execution.outcome, execution.value) == ("ok", ["FIRST", 2])
    assert (await run(sandbox, "c")).error is not None
    assert asked.prompts == ["first", "wait"]


async def test_a_loop_that_is_cancelled_keeps_the_answers_that_were_paid(sandbox: MontySandbox, asked: Asked) -> None:
    with anyio.CancelScope() as asked.scope:
        await run(sandbox, "found = []\nfor c in ['a', 'b', 'wait', 'd']:\n    found.append(llm_query(c))")
    os.kill(sandbox.worker_pid or 0, 9)  # so that it has to be made again too
    await run(sandbox, "1")
    assert (await run(sandbox, "found")).value == ["A", "B"]
    assert asked.prompts == ["a", "b", "wait"]


@pytest.mark.parametrize("limit", ["while True: pass", "x = 'ab' * 10 ** 10", "sum(1 for _ in range(10 ** 12))"])
async def test_a_limit_after_a_call_leaves_what_the_call_gave(sandbox: MontySandbox, asked: Asked, limit: str) -> None:
    cut = await run(sandbox, f"a = llm_query('one')\nb = a + '!'\nc = 1\n{limit}")
    assert cut.outcome in ("timeout", "memory")
    assert cut.namespace == "rebuilt"
    assert (await run(sandbox, "[a, b, c]")).value == ["ONE", "ONE!", 1]
    assert asked.prompts == ["one"]


async def test_a_rebuild_that_is_cancelled_is_begun_anew_with_what_the_cell_had_done(asked: Asked) -> None:
    sandbox, runs, again = MontySandbox(), 0, anyio.Event()

    async def fetch() -> None:
        nonlocal runs
        runs += 1
        if runs == 2:  # the cell runs again
            again.set()
            await anyio.sleep_forever()

    host = {
        "llm_query": HostFunction("llm_query", asked.llm_query, "asks"),
        "fetch": HostFunction("fetch", fetch, "reads", pure=True),
    }
    await sandbox.start(SMALL, TEXT, host)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, sandbox, "paid = llm_query('once')\nfetch()\nwhile True: pass")
        await again.wait()
        tasks.cancel_scope.cancel()
    assert ((await run(sandbox, "paid")).value, asked.prompts, runs) == ("ONCE", ["once"], 3)
    await sandbox.close()


async def test_a_cell_that_takes_longer_when_it_runs_again_is_there_all_the_same(asked: Asked) -> None:
    sandbox, pause_s = MontySandbox(), 0.0
    host = {
        "llm_query": HostFunction("llm_query", asked.llm_query, "asks"),
        "beat": HostFunction("beat", lambda: time.sleep(pause_s), "takes its time", pure=True),
    }
    await sandbox.start(SMALL, TEXT, host)
    await run(sandbox, "paid = llm_query('once')\nfor _ in range(20): beat()")
    pause_s = 0.04  # now the machine is busy
    lost = await run(sandbox, "mine = llm_query('twice')\nwhile True: pass")
    pause_s = 0.0
    assert (lost.outcome, lost.namespace) == ("timeout", "rebuilt")
    assert (await run(sandbox, "[paid, mine]")).value == ["ONCE", "TWICE"]
    assert (await run(sandbox, "while True: pass")).outcome == "timeout"
    assert (await run(sandbox, "[paid, mine]")).value == ["ONCE", "TWICE"]
    await sandbox.close()


@pytest.mark.parametrize("then", ["llm_query('again')", "n += 1"])
async def test_a_cell_that_swallows_its_limit_is_not_waited_for_when_it_runs_again(
    sandbox: MontySandbox, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    monkeypatch.setattr(_repl, "_PATIENCE", 10_000)
    loop = f"n = 0\nwhile True:\n    try:\n        {then}\n    except BaseException:\n        pass"
    await run(sandbox, "kept = 41")
    execution = await run(sandbox, f"llm_query('once')\n{loop}")
    assert (execution.outcome, execution.namespace) == ("timeout", "rebuilt")
    assert (await run(sandbox, "kept + 1")).value == 42


async def test_a_cell_that_is_cancelled_before_it_began_holds_up_nothing(sandbox: MontySandbox) -> None:
    for code in ("a = 1", "while True: pass"):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await run(sandbox, code)
    assert (await run(sandbox, "1 + 1")).value == 2


async def test_an_answer_goes_to_the_call_it_was_given_to_and_to_no_other(sandbox: MontySandbox, asked: Asked) -> None:
    await run(sandbox, "import time\na = llm_query('fixed')\nb = llm_query(str(time.time()))\nc = llm_query('later')")
    count = len(asked.prompts)
    execution = await run(sandbox, "while True: pass")
    assert execution.namespace == "rebuilt"
    assert (await run(sandbox, "a")).value == "FIXED"
    for name in "bc":
        assert (await run(sandbox, name)).error is not None
    assert len(asked.prompts) == count


@pytest.mark.parametrize(
    "cell",
    [
        "import math as ctx",
        "from math import pi as ctx",
        "import json as ctx",
        "try:\n    1 / 0\nexcept ZeroDivisionError as ctx:\n    pass",
        "match [1, 2]:\n    case [1, ctx]:\n        pass",
        "match [1, 2]:\n    case [1, *ctx]:\n        pass",
        "match {'a': 1, 'b': 2}:\n    case {'a': 1, **ctx}:\n        pass",
        "import contextlib\nwith contextlib.nullcontext(5) as ctx:\n    pass",
        "for ctx in [1]:\n    pass",
        "[ctx := n for n in [1]]",
        "class ctx:\n    a = 1",
    ],
)
async def test_a_reserved_name_is_back_whatever_statement_took_it(sandbox: MontySandbox, cell: str) -> None:
    assert (await run(sandbox, cell)).restored == ("ctx",)
    assert (await run(sandbox, "ctx.slice(0, 3)")).value == "one"


async def test_a_function_of_the_context_is_back_after_a_cell_replaced_it(sandbox: MontySandbox) -> None:
    assert (await run(sandbox, "ctx.slice = 5\nSHOW_VARS = 1")).restored == ("SHOW_VARS", "ctx.slice")
    assert (await run(sandbox, "[ctx.slice(0, 3), list(SHOW_VARS())]")).value == ["one", []]


async def test_reserved_names_are_back_also_where_a_function_took_them(sandbox: MontySandbox) -> None:
    execution = await run(sandbox, "context = context[:3]\nllm_query = None\nmine = context")
    assert sorted(execution.restored) == ["context", "llm_query"]
    assert (await run(sandbox, "[context, llm_query('a'), mine]")).value == ["one two three", "A", "one"]
    await run(sandbox, "def take():\n    global ctx\n    ctx = 5\ntake()")
    await run(sandbox, "take()")
    assert (await run(sandbox, "ctx.slice(0, 3)")).value == "one"


async def test_the_same_seed_draws_the_same_also_after_a_rebuild() -> None:
    drawn = []
    for seed in (7, 7, 8):
        sandbox = MontySandbox()
        await sandbox.start(SMALL, TEXT, {}, seed=seed, inputs={"prices": {"a": [1, None]}})
        await run(sandbox, "import random\nx = random.random()")
        await run(sandbox, "while True: pass")
        drawn.append((await run(sandbox, "[x, random.random(), prices['a']]")).value)
        await sandbox.close()
    assert drawn[0] == drawn[1] != drawn[2]


async def test_a_cell_that_reads_a_clock_says_so(sandbox: MontySandbox) -> None:
    assert (await run(sandbox, "import time\ntime.time()")).reads_clock
    assert not (await run(sandbox, "x = 1")).reads_clock


def test_a_cell_is_read_once_for_all_sessions_and_anew_where_other_names_are_known() -> None:
    code = "x = [len(word) for word in words]\nx"
    first = read_cell(code, known=Known(frozenset({"words"})), host_names=("llm_query", "ctx"))
    assert read_cell(code, known=Known(frozenset({"words"})), host_names=["ctx", "llm_query"]) is first
    assert read_cell(code, known=Known(frozenset({"words", "len"})), host_names=("llm_query", "ctx")) is not first
    for _ in range(2):
        with pytest.raises(CellRefused):
            read_cell("yield 1")


async def test_the_worker_stands_behind_the_kernels_walls(sandbox: MontySandbox) -> None:
    if not Path("/proc/self/status").exists() or not landlock_abi():
        pytest.skip("needs Linux with Landlock")
    import resource  # which Windows has not

    status = Path(f"/proc/{sandbox.worker_pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert Path(f"/proc/{sandbox.worker_pid}/environ").read_bytes() == b""
    limits = Path(f"/proc/{sandbox.worker_pid}/limits").read_text()
    most = "1" if resource.getrlimit(resource.RLIMIT_CORE)[1] else "0"
    assert next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")) == [most, most]


async def test_a_worker_ends_with_its_session(asked: Asked) -> None:
    made = [await opened(asked) for _ in range(8)]
    pids = [sandbox.worker_pid for sandbox in made]
    assert len({*pids}) == 8
    for sandbox in made:
        await sandbox.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


NASTY = (
    "a = 1",
    "a",
    "while True: pass",
    "x = 'y' * 10**9",
    "xs = [[0] * 1000 for _ in range(100_000)]",
    "while True: print('x' * 1000)",
    "def f(n): return f(n + 1)\nf(0)",
    "10**5000",
    "llm_query(10**5000)",
    "llm_query('a')",
    "b = [llm_query(c) for c in 'abc']",
    "for c in 'ab':\n    llm_query(c)\nwhile True: pass",
    "raise KeyboardInterrupt",
    "import sys\nsys.exit(1)",
    "x = (" + "(" * 200 + ")" * 200 + ")",
    "x = " + "-" * 3_000 + "1",
    "x = []\nfor _ in range(3_000): x = [x]\nx",
    "'\\ud800'",
    "print('\\ud800')",
    "await llm_query('z')",
    "context = llm_query = ctx = None",
    "try:\n    while True: ctx.slice(0, 1)\nexcept BaseException:\n    a = 5",
    "re.search('(a+)+$', 'a' * 60 + 'b')",
    "SHOW_VARS()",
    "class A:\n    def __repr__(self): return 1\nA()",
    "class A:\n    def __eq__(self, o): raise ValueError\n{1: A()}",
    "answer = {2020: {1, 2}}",
    "\x00",
    "yield 1",
    "eval('llm_query(1)')",
    "object()",
    "llm_query(*[1] * 10**6)",
    "lambda: 0",
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(NASTY), min_size=1, max_size=7))
def test_whatever_cells_do_executing_them_returns_and_the_session_goes_on(cells: list[str]) -> None:
    async def session() -> None:
        sandbox = await opened(Asked())
        for code in cells:
            execution = await run(sandbox, code)
            assert (execution.error is None) == (execution.outcome == "ok")
        assert (await run(sandbox, "context[:3] + llm_query('b')")).value == "oneB"
        assert await sandbox.variables() is not None
        await sandbox.close()

    anyio.run(session)


@pytest.mark.parametrize("code", NASTY)
async def test_no_cell_ends_a_session(sandbox: MontySandbox, code: str) -> None:
    execution = await run(sandbox, code)
    assert (execution.error is None) == (execution.outcome == "ok")
    assert (await run(sandbox, "context[:3] + llm_query('b')")).value == "oneB"
