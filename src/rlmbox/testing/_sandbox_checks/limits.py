"""Checks of cells that exceed a limit."""

from __future__ import annotations

from dataclasses import replace

import anyio

from rlmbox.testing._sandbox_checks._opened import BRISK, LIMITS, MakeSandbox, Opened, expect, expect_equal, opened
from rlmbox.types import Execution, HostFunction

MEMORY_BYTES = 96 * 1024 * 1024
_SMALL = replace(LIMITS, memory_bytes=MEMORY_BYTES)
_SLACK_S = 5.0  # beyond the limit and the second of grace, for a busy machine


async def _timed_out(repl: Opened, code: str) -> Execution:
    with anyio.move_on_after(BRISK.cell_timeout_s + 1 + _SLACK_S) as scope:
        execution = await repl.fails(code, "timeout")
    expect(not scope.cancelled_caught, f"{code!r} is ended soon after its limit")
    expect(execution.error and execution.error.type == "ExecutionTimeout", "the error is ExecutionTimeout")
    return execution


async def check_an_endless_loop_is_ended(make_sandbox: MakeSandbox) -> None:
    """`while True: pass` is ended at the time limit, and the sandbox remains usable."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        await _timed_out(repl, "while True:\n    pass")
        await repl.still_works()


async def check_a_loop_of_quick_calls_is_ended(make_sandbox: MakeSandbox) -> None:
    """Fast calls that only read do not postpone the time limit of a cell."""
    reads = HostFunction("reads", lambda: [1], "reads", pure=True)
    waits = HostFunction("waits", _no_time, "reads", pure=True)
    for call in ("reads()", "waits()"):
        async with opened(make_sandbox, [reads, waits], limits=BRISK) as repl:
            await _timed_out(repl, f"while True:\n    {call}")
            await repl.still_works()


async def _no_time() -> int:
    return 1


async def check_a_timeout_loses_nothing_or_says_so(make_sandbox: MakeSandbox) -> None:
    """After a timeout earlier variables are available, kept or rebuilt, or the execution reports `lost`."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        await repl.ok("paid = ['an answer']")
        execution = await _timed_out(repl, "x = 1\nwhile True:\n    x += 1")
        expect(execution.namespace != "lost", "an ordinary loop does not cost the namespace")
        expect_equal(await repl.value("paid"), ["an answer"], "an earlier variable")


async def check_a_timeout_cannot_be_swallowed(make_sandbox: MakeSandbox) -> None:
    """A loop that catches every exception is ended at the time limit."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        loop = "        for i in range(1000):\n            n += i\n"
        code = f"n = 0\nwhile True:\n    try:\n{loop}    except BaseException:\n        pass"
        await _timed_out(repl, code)
        await repl.still_works()


async def check_a_finally_loop_is_ended(make_sandbox: MakeSandbox) -> None:
    """A loop that continues in `finally` is ended at the time limit."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        loop = "            for i in range(1000):\n                i += 1\n"
        code = f"def f():\n    while True:\n        try:\n{loop}        finally:\n            continue\nf()"
        await _timed_out(repl, code)
        await repl.still_works()


async def check_a_loop_inside_a_builtin_is_ended(make_sandbox: MakeSandbox) -> None:
    """A long computation inside one builtin call is ended, by force if needed."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        await _timed_out(repl, "sum(range(10**12))")
        await repl.still_works()


async def check_a_catastrophic_pattern_is_ended(make_sandbox: MakeSandbox) -> None:
    """A regular expression with catastrophic backtracking does not block the session."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        with anyio.fail_after(BRISK.cell_timeout_s + 1 + _SLACK_S):
            await repl.run("re.match(r'(a+)+$', 'a' * 64 + 'b')")
        await repl.still_works()


async def check_an_endless_await_is_ended(make_sandbox: MakeSandbox) -> None:
    """A coroutine that never ends is ended."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        await _timed_out(repl, "async def f():\n    while True:\n        pass\nawait f()")
        await repl.still_works()


async def check_the_limit_is_per_cell(make_sandbox: MakeSandbox) -> None:
    """The time of cells below the limit does not add up."""
    async with opened(make_sandbox, limits=BRISK) as repl:
        for _ in range(4):
            await repl.ok("import time\nend = time.time() + 0.2\nwhile time.time() < end:\n    pass")


async def check_one_large_allocation_is_refused(make_sandbox: MakeSandbox) -> None:
    """A single allocation far above `memory_bytes` ends the cell with MemoryExceeded."""
    async with opened(make_sandbox, limits=_SMALL) as repl:
        execution = await repl.fails("x = 'x' * 1_000_000_000", "memory")
        expect(execution.error and execution.error.type == "MemoryExceeded", "the error is MemoryExceeded")
        await repl.still_works()


async def check_a_memory_bomb_is_contained(make_sandbox: MakeSandbox) -> None:
    """Stepwise growth beyond `memory_bytes` ends the cell; the steps themselves stop at ten times that."""
    async with opened(make_sandbox, limits=_SMALL) as repl:
        await repl.fails("x = 'x' * 1_000_000_000", "memory")  # the limit works, so that the rest is safe to run
        steps = 10 * MEMORY_BYTES // 1_000_000
        await repl.fails(f"parts = []\nfor i in range({steps}):\n    parts.append('x' * 1_000_000 + str(i))", "memory")
        await repl.still_works()


async def check_many_small_objects_are_contained(make_sandbox: MakeSandbox) -> None:
    """Memory of small objects is counted too."""
    async with opened(make_sandbox, limits=_SMALL) as repl:
        await repl.fails("x = 'x' * 1_000_000_000", "memory")
        await repl.fails("d = {}\nfor i in range(10_000_000):\n    d[i] = [i]", "memory")
        await repl.still_works()


async def check_memory_below_the_limit_is_free(make_sandbox: MakeSandbox) -> None:
    """A third of `memory_bytes` can be used repeatedly, and the context is not counted."""
    text = "x" * 30_000_000
    async with opened(make_sandbox, text=text, limits=_SMALL) as repl:
        for _ in range(5):
            expect_equal(await repl.value("x = 'y' * 30_000_000\nlen(x) + len(context)"), 60_000_000, "the lengths")


async def check_endless_recursion_is_ended(make_sandbox: MakeSandbox) -> None:
    """Infinite recursion ends with StackOverflow, not with a crash."""
    async with opened(make_sandbox) as repl:
        await repl.ok("kept = 1\ndef f(n):\n    return f(n + 1)")
        execution = await repl.fails("f(0)", "stack")
        expect(execution.error and execution.error.type == "StackOverflow", "the error is StackOverflow")
        expect(execution.error and len(execution.error.traceback) < 20_000, "the traceback is bounded")
        expect_equal(await repl.value("kept"), 1, "a variable afterwards")


async def check_recursion_within_the_limit_works(make_sandbox: MakeSandbox) -> None:
    """Calls can be nested `recursion_depth` deep, apart from a few for the cell itself."""
    async with opened(make_sandbox) as repl:
        await repl.ok("def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)")
        depth = LIMITS.recursion_depth - 10
        expect_equal(await repl.value(f"f({depth})"), depth, "the depth")


async def check_recursion_beyond_the_limit_is_ended(make_sandbox: MakeSandbox) -> None:
    """Calls nested a hundred deeper than `recursion_depth` are ended, for any limit."""
    for depth in (300, LIMITS.recursion_depth):
        async with opened(make_sandbox, limits=replace(LIMITS, recursion_depth=depth)) as repl:
            await repl.ok("def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)")
            expect_equal(await repl.value(f"f({depth - 10})"), depth - 10, "the depth")
            execution = await repl.fails(f"f({depth + 100})", "stack")
            expect(execution.error and execution.error.type == "StackOverflow", "the error is StackOverflow")


async def check_deeply_nested_data_does_no_harm(make_sandbox: MakeSandbox) -> None:
    """A list nested a hundred thousand levels deep does no harm."""
    async with opened(make_sandbox) as repl:
        await repl.run("x = []\nfor i in range(100_000):\n    x = [x]\nx")
        await repl.still_works()


async def check_deeply_nested_code_does_no_harm(make_sandbox: MakeSandbox) -> None:
    """Code nested too deeply for the parser is an error of the cell."""
    async with opened(make_sandbox) as repl:
        for code in ("(" * 5000 + "1" + ")" * 5000, "-" * 50_000 + "1", "x" + ".a" * 20_000):
            execution = await repl.run(code)
            expect(execution.outcome != "ok", "it is not run")
            await repl.still_works()
