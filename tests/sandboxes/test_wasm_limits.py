"""A cell in `wasm` is interrupted, and bounded in memory and stack."""

from dataclasses import replace

import anyio
import pytest

from rlmbox.types import HostFunction
from sandboxes.local_repl import wait_for_end
from sandboxes.wasm_here import LIMITS, may_compile, needs_extra, wasm

pytestmark = [may_compile, pytest.mark.usefixtures("preloaded_wasm")]


@needs_extra
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import asyncio; await asyncio.sleep(60)",
        "import asyncio; asyncio.run(asyncio.sleep(60))",
        "import re; re.match('(a|a)*b', 'a' * 40)",
        "for n in range(10**12): str(n)",
        "try:\n    while True: pass\nexcept Exception: pass",
    ],
)
async def test_a_cell_that_takes_too_long_is_interrupted_and_keeps_its_variables(code: str) -> None:
    async with wasm(limits=replace(LIMITS, cell_timeout_s=0.3)) as repl:
        await repl.run("kept = 41")
        execution = await repl.run(code)
        assert (execution.outcome, execution.namespace) == ("timeout", "kept")
        assert await repl.value("kept + 1") == 42


@needs_extra
async def test_a_cell_that_swallows_its_interrupts_is_ended_and_one_that_ignores_them_is_killed() -> None:
    async with wasm(limits=replace(LIMITS, cell_timeout_s=0.2)) as repl:
        execution = await repl.run("while True:\n    try:\n        while True: pass\n    except BaseException: pass")
        assert (execution.outcome, execution.namespace) == ("timeout", "kept")
        ignored = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
        execution = await repl.run(ignored)
        assert (execution.outcome, execution.namespace) == ("timeout", "lost")
        wait_for_end(repl.pid)
        assert await repl.value("context") == "text"


@needs_extra
async def test_an_interrupt_ends_the_cell_and_concerns_no_later_one() -> None:
    begun = anyio.Event()
    async with wasm(HostFunction("begun", begun.set, ""), limits=replace(LIMITS, cell_timeout_s=60)) as repl:
        await repl.run("kept = 41")
        for _ in range(20):
            assert repl.sandbox.interrupt()
            assert await repl.value("sum(n for n in range(1000)); kept + 1") == 42

        execution = await repl.run_interrupted("begun()\nwhile True: pass", begun)
        assert (execution.outcome, execution.namespace) == ("error", "kept")
        assert await repl.value("kept + 1") == 42


@needs_extra
async def test_the_alarm_stands_still_while_the_host_works() -> None:
    async def slow() -> str:
        await anyio.sleep(0.6)
        return "done"

    async with wasm(HostFunction("slow", slow, "slow"), limits=replace(LIMITS, cell_timeout_s=0.4)) as repl:
        assert await repl.value("slow()") == "done"
        assert (await repl.run("slow()\nwhile True: pass")).outcome == "timeout"


@needs_extra
@pytest.mark.parametrize("alarm", ["b'T1e-9 1e-9'", "b'Tnan nan'", "b'Tinf inf'", "b'T-1 -1'", "b'T1e308 1e308'"])
async def test_an_alarm_that_the_guest_sets_does_no_harm(alarm: str) -> None:
    async with wasm(limits=replace(LIMITS, cell_timeout_s=1.0)) as repl:
        execution = await repl.run(f"import sys\nsys.modules['_wasm_guest'].door({alarm})\nfor _ in range(1000): pass")
        assert execution.outcome in ("ok", "timeout", "error")
        assert await repl.value("1 + 1") == 2


@needs_extra
async def test_memory_that_is_full_is_told_and_can_be_freed() -> None:
    limits = replace(LIMITS, memory_bytes=32 << 20)
    async with wasm(limits=limits, text="x" * 1_000_000) as repl:
        execution = await repl.run("kept = []\nwhile True: kept.append(bytearray(1 << 20))")
        assert (execution.outcome, execution.namespace) == ("memory", "kept")
        assert 20 <= await repl.value("len(kept)") <= 45
        assert (await repl.run("bytearray(1 << 30)")).outcome == "memory"
        await repl.run("kept.clear()")
        assert await repl.value("len(bytearray(25 << 20))") == 25 << 20


@needs_extra
@pytest.mark.parametrize(
    "code",
    [
        "def f(): return f()\nf()",
        "import json; json.loads('[' * 100_000)",
        "x = []\nfor _ in range(100_000): x = [x]\nrepr(x)",
        "class A:\n    def __repr__(self): return repr(self)\nrepr(A())",
        "import sys; sys.setrecursionlimit(10**6)\ndef f(n): return sorted([1], key=lambda _: f(n + 1))\nf(0)",
    ],
)
async def test_a_stack_that_overflows_ends_the_cell_only(code: str) -> None:
    async with wasm() as repl:
        await repl.run("kept = 1")
        execution = await repl.run(code)
        assert (execution.outcome, execution.namespace) == ("stack", "kept")
        assert await repl.value("kept") == 1


@needs_extra
async def test_a_flood_past_pythons_streams_ends_the_cell_and_keeps_its_variables() -> None:
    async with wasm(limits=replace(LIMITS, output_flood_bytes=500_000, output_chars=1000)) as repl:
        execution = await repl.run("import os\nkept = 5\nwhile True:\n    os.write(1, b'x' * 65536)")
        assert (execution.outcome, execution.namespace) == ("output", "kept")
        after = await repl.run("print('mine')\nkept")
        assert (after.value, after.stdout) == (5, "mine\n")
