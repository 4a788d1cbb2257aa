"""Checks of calls from a cell to host functions."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import anyio

from rlmbox.testing._sandbox_checks._opened import BRISK, LIMITS, MakeSandbox, expect, expect_equal, opened
from rlmbox.types import HostFunction


class _Custom(Exception):
    """An exception that the sandbox does not know."""


def _echo(value: Any = None, *, times: int = 1) -> Any:
    return [value] * times if times != 1 else value


async def _ask(prompt: str, model: str | None = None) -> str:
    await anyio.sleep(0.001)
    return f"answer to {prompt}" + (f" by {model}" if model else "")


def _fail(kind: str) -> None:
    raise {"ValueError": ValueError, "KeyError": KeyError, "Custom": _Custom}[kind]("on purpose")


async def _fail_later(kind: str) -> None:
    await anyio.sleep(0.001)
    _fail(kind)


ECHO = HostFunction("echo", _echo, "gives its argument back")
ASK = HostFunction("ask", _ask, "asks a model")
FAIL = HostFunction("fail", _fail, "fails")
FAIL_LATER = HostFunction("fail_later", _fail_later, "fails after a while")


async def check_a_call_gives_its_result(make_sandbox: MakeSandbox) -> None:
    """Positional and keyword arguments arrive, and the result is returned."""
    async with opened(make_sandbox, [ECHO]) as repl:
        expect_equal(await repl.value("[echo(1), echo(value=2), echo(3, times=2)]"), [1, 2, [3, 3]], "the results")


async def check_an_async_function_is_called_like_any_other(make_sandbox: MakeSandbox) -> None:
    """An async host function is called without `await`."""
    async with opened(make_sandbox, [ASK]) as repl:
        expect_equal(await repl.value("a = ask('why?')\na.upper()"), "ANSWER TO WHY?", "the result")
        expect_equal(await repl.value("ask('x', model='m')"), "answer to x by m", "the result with a keyword")


async def check_an_awaited_call_gives_its_result(make_sandbox: MakeSandbox) -> None:
    """`await llm_query(...)`, as models often write it, means the same."""
    async with opened(make_sandbox, [ASK]) as repl:
        expect_equal(await repl.value("a = await ask('why?')\na"), "answer to why?", "the result")


async def check_an_awaited_call_in_a_function_gives_its_result(make_sandbox: MakeSandbox) -> None:
    """`await` also works in an `async def` of the cell."""
    async with opened(make_sandbox, [ASK]) as repl:
        code = "async def both():\n    return [await ask('a'), await ask('b')]\nawait both()"
        expect_equal(await repl.value(code), ["answer to a", "answer to b"], "the results")


async def check_gathered_calls_give_their_results(make_sandbox: MakeSandbox) -> None:
    """`asyncio.gather` over calls returns the results in order."""
    async with opened(make_sandbox, [ASK]) as repl:
        code = "import asyncio\nawait asyncio.gather(*[ask(str(n)) for n in range(3)])"
        expect_equal(await repl.value(code), ["answer to 0", "answer to 1", "answer to 2"], "the results")


async def check_json_crosses_unchanged(make_sandbox: MakeSandbox) -> None:
    """Every JSON type is unchanged after a round trip; a tuple becomes a list."""
    seen: list[Any] = []

    def note(value: Any) -> Any:
        seen.append(value)
        return value

    wanted = {"a": [1, -2.5, None, True, False], "ü🎉": {"": "line\n\x00"}, "big": 2**60, "empty": [[], {}]}
    async with opened(make_sandbox, [HostFunction("note", note, "notes")]) as repl:
        expect_equal(await repl.value(f"got = note({wanted!r})\ngot == {wanted!r}"), True, "the comparison in the cell")
        await repl.ok("note((1, (2,)))")
    expect_equal(seen, [wanted, [1, [2]]], "what the host got")


async def check_large_texts_cross(make_sandbox: MakeSandbox) -> None:
    """A prompt and an answer of two million characters arrive complete."""
    async with opened(make_sandbox, [ECHO]) as repl:
        expect_equal(await repl.value("t = 'xé' * 1_000_000\necho(t) == t"), True, "the comparison in the cell")


async def check_an_argument_that_is_too_large_is_refused(make_sandbox: MakeSandbox) -> None:
    """An argument of millions of parts is an error in the cell, and no call is made."""
    calls: list[Any] = []
    function = HostFunction("note", lambda value=None: calls.append(value), "notes")
    async with opened(make_sandbox, [function]) as repl:
        await repl.error("note(list(range(2_500_000)))", "ValueError")
    expect_equal(calls, [], "what the host got")


async def check_an_iterator_is_an_argument_as_a_list(make_sandbox: MakeSandbox) -> None:
    """An iterator, also within a list or a dict, arrives as a list; an exception in it is the cell's."""
    seen: list[Any] = []
    async with opened(make_sandbox, [HostFunction("note", seen.append, "notes")]) as repl:
        await repl.ok(
            "note(2 * n for n in range(3))\nnote(map(str, [1]))\nnote(iter({'a': 1}))\nnote(zip('ab', [1, 2]))"
        )
        await repl.ok("note([filter(None, [0, 1])])\nnote({'all': (n for n in [5])})")
        await repl.error("note(1 // n for n in [1, 0])", "ZeroDivisionError")
    expect_equal(seen, [[0, 2, 4], ["1"], ["a"], [["a", 1], ["b", 2]], [[1]], {"all": [5]}], "what the host got")


async def check_a_result_that_is_not_json_is_an_error(make_sandbox: MakeSandbox) -> None:
    """A host function that returns another object is an error in the cell, not in the host."""
    async with opened(make_sandbox, [HostFunction("thing", lambda: object(), "gives an object")]) as repl:
        await repl.fails("thing()")
        await repl.still_works()


async def check_wrong_arguments_are_a_type_error(make_sandbox: MakeSandbox) -> None:
    """A call whose arguments do not match the host function is a TypeError in the cell."""
    async with opened(make_sandbox, [ASK]) as repl:
        for call in ("ask()", "ask('a', 'b', 'c')", "ask('a', no_such=1)"):
            await repl.error(call, "TypeError")


async def check_host_errors_are_raised_by_their_type(make_sandbox: MakeSandbox) -> None:
    """A builtin exception of a host function can be caught by its type."""
    async with opened(make_sandbox, [FAIL, FAIL_LATER]) as repl:
        for name in ("fail", "fail_later"):
            code = f"try:\n    {name}('ValueError')\nexcept ValueError as error:\n    got = str(error)\ngot"
            expect_equal(await repl.value(code), "on purpose", f"the message of {name}")
            await repl.value(f"try:\n    {name}('KeyError')\nexcept KeyError as error:\n    pass")


async def check_other_host_errors_are_runtime_errors(make_sandbox: MakeSandbox) -> None:
    """An exception type that only the host has becomes a RuntimeError that names it."""
    async with opened(make_sandbox, [FAIL]) as repl:
        message = await repl.value("try:\n    fail('Custom')\nexcept RuntimeError as error:\n    got = str(error)\ngot")
        expect("_Custom" in message and "on purpose" in message, f"the message names the error: {message!r}")


async def check_an_uncaught_host_error_ends_the_cell(make_sandbox: MakeSandbox) -> None:
    """An uncaught exception of a host function is an error of the cell, with its line, and variables are kept."""
    async with opened(make_sandbox, [FAIL_LATER]) as repl:
        error = (await repl.error("kept = 1\nfail_later('ValueError')", "ValueError")).error
        expect_equal(error and (error.message, error.line), ("on purpose", 2), "message and line")
        expect_equal(await repl.value("kept"), 1, "a variable afterwards")


async def check_results_can_be_used_in_further_calls(make_sandbox: MakeSandbox) -> None:
    """Calls can be nested, and used in any expression."""
    async with opened(make_sandbox, [ECHO, ASK]) as repl:
        code = (
            "def f(x):\n    return echo([x, ask('q')])\n"
            "[echo(echo(1) + echo(2)), [echo(n) for n in range(3)], f(0), f'{echo(5)}', {n: echo(n) for n in 'ab'}]"
        )
        wanted = [3, [0, 1, 2], [0, "answer to q"], "5", {"a": "a", "b": "b"}]
        expect_equal(await repl.value(code), wanted, "the results")


async def check_builtins_can_call_host_functions(make_sandbox: MakeSandbox) -> None:
    """A host function can be passed to `map`, and called in a sort key."""
    async with opened(make_sandbox, [ECHO]) as repl:
        expect_equal(await repl.value("list(map(echo, [1, 2]))"), [1, 2], "what map gives")
        expect_equal(await repl.value("sorted([2, 1], key=lambda n: echo(n))"), [1, 2], "what sorted gives")


async def check_a_thousand_calls_keep_their_order(make_sandbox: MakeSandbox) -> None:
    """A thousand calls in one cell arrive in order, each once."""
    seen: list[int] = []

    def note(n: int) -> int:
        seen.append(n)
        return n + 1

    async with opened(make_sandbox, [HostFunction("note", note, "notes")]) as repl:
        expect_equal(await repl.value("sum(note(n) for n in range(1000))"), sum(range(1, 1001)), "the sum")
    expect_equal(seen, list(range(1000)), "what the host got")


async def check_a_method_of_an_object_is_called(make_sandbox: MakeSandbox) -> None:
    """A function named `ctx.search` is the method `search` of `ctx`."""
    host = [
        HostFunction("ctx.search", lambda word, limit=1: [word] * limit, "searches"),
        HostFunction("ctx.length", lambda: 7, "measures"),
        HostFunction("length", lambda: 8, "measures something else"),
    ]
    async with opened(make_sandbox, host) as repl:
        expect_equal(
            await repl.value("[ctx.search('a', limit=2), ctx.length(), length()]"), [["a", "a"], 7, 8], "the results"
        )
        await repl.error("ctx.no_such_function()", "AttributeError")
        await repl.error(
            "try:\n    ctx.no_such()\nexcept AttributeError as e:\n    found = e.args\nfound[2]", "IndexError"
        )


async def check_an_unknown_function_is_a_name_error(make_sandbox: MakeSandbox) -> None:
    """A function that is not in the host table does not exist."""
    async with opened(make_sandbox, [ECHO]) as repl:
        await repl.error("no_such_function(1)", "NameError")


async def check_a_call_of_a_function_kept_in_a_variable_works(make_sandbox: MakeSandbox) -> None:
    """Host functions can be passed and stored as values."""
    async with opened(make_sandbox, [ECHO]) as repl:
        expect_equal(await repl.value("f = echo\n[f(1), f(2)]"), [1, 2], "the results")
        expect_equal(await repl.value("f(3)"), 3, "the result in a later cell")


async def check_waiting_for_the_host_does_not_count(make_sandbox: MakeSandbox) -> None:
    """A call that takes longer than the cell's time limit does not end the cell."""

    async def slow() -> str:
        await anyio.sleep(BRISK.cell_timeout_s * 3)
        return "at last"

    async with opened(make_sandbox, [HostFunction("slow", slow, "takes long")], limits=BRISK) as repl:
        expect_equal(await repl.value("slow()"), "at last", "the result")


async def check_a_slow_plain_function_holds_up_nobody(make_sandbox: MakeSandbox) -> None:
    """While a sync host function runs, the host's event loop keeps running."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.01)
            ticks += 1

    def slow() -> None:
        time.sleep(0.5)

    async with (
        opened(make_sandbox, [HostFunction("slow", slow, "takes long")]) as repl,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(tick)
        await repl.ok("slow()")
        tasks.cancel_scope.cancel()
    expect(ticks >= 3, f"the loop went on meanwhile ({ticks} turns)")


async def check_calls_have_a_limit(make_sandbox: MakeSandbox) -> None:
    """After `host_calls` calls in a session further calls fail, and the host function is not called."""
    calls: list[int] = []
    limits = replace(LIMITS, host_calls=5)
    async with opened(make_sandbox, [HostFunction("note", calls.append, "notes")], limits=limits) as repl:
        await repl.ok("for n in range(5):\n    note(n)")
        await repl.run("note(5)")
        await repl.run("note(6)")
    expect_equal(calls, [0, 1, 2, 3, 4], "the calls that were made")


async def check_calls_from_threads_run_at_once(make_sandbox: MakeSandbox) -> None:
    """Calls from a thread pool in the cell overlap, and each thread gets its own answer."""
    under_way = most = 0

    async def slow(n: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.sleep(0.02)
        under_way -= 1
        return n * n

    async with opened(make_sandbox, [HostFunction("slow", slow, "squares")]) as repl:
        code = (
            "from concurrent.futures import ThreadPoolExecutor\n"
            "with ThreadPoolExecutor(40) as pool:\n    got = list(pool.map(slow, range(80)))\ngot"
        )
        expect_equal(await repl.value(code), [n * n for n in range(80)], "the results")
    expect(most > 1, "calls overlap")


async def check_a_thread_that_outlives_its_cell_does_no_harm(make_sandbox: MakeSandbox) -> None:
    """A call that a thread makes at the end of the cell is answered or refused; the next cell is not affected."""
    async with opened(make_sandbox, [ASK]) as repl:
        for _ in range(3):
            await repl.ok(
                "import threading\n"
                "thread = threading.Thread(target=lambda: [ask('x') for _ in range(20)])\nthread.start()"
            )
            await repl.still_works()
