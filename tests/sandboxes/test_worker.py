"""What a worker does with cells that mean well, and what becomes of it with those that do not."""

import os
import signal
import sys
from dataclasses import replace

import anyio
import pytest

from rlmbox.types import HostFunction
from sandboxes.local_repl import FULL_FAR_DOWN, LIMITS, local

ENDS = {
    "os._exit": ("import os; os._exit(3)", "exit status 3"),
    "a signal": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    "abort": ("import os; os.abort()", "signal 6"),
    "a segfault": ("import ctypes; ctypes.string_at(0)", "signal 11"),
    "closed descriptors": ("import os; os.closerange(0, 256)", "ended ("),
    "a wire led elsewhere": (
        "import os\nr, w = os.pipe()\nfor fd in range(2000):\n    try: os.dup2(w, fd)\n    except OSError: pass",
        "ended (",
    ),
}


@pytest.mark.parametrize(("code", "how"), ENDS.values(), ids=ENDS.keys())
async def test_each_way_to_end_the_process_is_told(code: str, how: str) -> None:
    async with local() as repl:
        await repl.run("x = 1")
        execution = await repl.run(code)
        assert execution.outcome == "crashed"
        assert execution.namespace == "lost"
        assert execution.error is not None
        assert how in execution.error.message
        assert "variables are lost" in execution.error.message
        assert await repl.sandbox.variables() == {}
        assert await repl.value("[context, 'x' in globals()]") == ["text", False]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit", "exit() ended the cell; the session goes on"),
        ("import sys; sys.exit('bye')", "exit(bye) ended the cell; the session goes on"),
        ("exit(2)", "exit(2) ended the cell; the session goes on"),
    ],
)
async def test_an_exit_ends_the_cell_only(code: str, message: str) -> None:
    async with local() as repl:
        execution = await repl.run(f"x = 1\n{code}")
        assert execution.error is not None
        assert (execution.error.type, execution.error.message) == ("SystemExit", message)
        assert await repl.value("x") == 1


async def test_a_signal_from_outside_interrupts_the_cell() -> None:
    async with local() as repl, anyio.create_task_group() as tasks:
        pid = await repl.value("import os, time\nos.getpid()")

        async def interrupt() -> None:
            await anyio.sleep(0.2)
            os.kill(pid, signal.SIGINT)

        tasks.start_soon(interrupt)
        execution = await repl.run("x = 1\ntime.sleep(600)")
        assert execution.error is not None
        assert execution.error.type == "KeyboardInterrupt"
        assert execution.namespace == "kept"
        os.kill(pid, signal.SIGINT)  # between cells it interrupts nothing
        assert await repl.value("x") == 1


TIMEOUTS = {
    "a loop": ("while True: pass", "kept"),
    "a sleep": ("import time; time.sleep(600)", "kept"),
    "a lock": ("import threading; l = threading.Lock(); l.acquire(); l.acquire()", "kept"),
    "a child": ("import subprocess; subprocess.run(['sleep', '600'])", "kept"),
    "an await": ("import asyncio\nwhile True:\n    await asyncio.sleep(0)", "kept"),
    "one swallowed interrupt": (
        "try:\n    for i in range(10**9): pass\nexcept BaseException:\n    pass\nwhile True: pass",
        "kept",
    ),
    "every interrupt swallowed": (
        "while True:\n    try:\n        for i in range(10**9): pass\n    except BaseException: pass",
        "lost",
    ),
    "the timer turned off": ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0)\nwhile True: pass", "lost"),
    "the signal ignored": ("import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass", "lost"),
    "the clock set back": ("import time\ntime.monotonic = time.time = lambda: 0\nwhile True: pass", "kept"),
    "a stopped process": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "lost"),
}


@pytest.mark.parametrize(("code", "namespace"), TIMEOUTS.values(), ids=TIMEOUTS.keys())
async def test_every_way_to_wait_for_ever_is_ended(code: str, namespace: str) -> None:
    async with local(limits=replace(LIMITS, cell_timeout_s=0.3)) as repl:
        execution = await repl.run(code)
        assert execution.outcome == "timeout"
        assert execution.error is not None
        assert execution.error.type == "ExecutionTimeout"
        assert execution.namespace == namespace
        assert await repl.value("40 + 2") == 42


async def test_a_swallowed_timeout_is_a_timeout_all_the_same() -> None:
    async with local(limits=replace(LIMITS, cell_timeout_s=0.3)) as repl:
        execution = await repl.run(
            "try:\n    for i in range(10**9): pass\nexcept BaseException:\n    print('caught')\n'value'"
        )
        assert execution.outcome == "timeout"
        assert execution.stdout == "caught\n"
        assert execution.value is None


FORGERIES = {
    "a reply": '{"type": "done", "id": 2, "outcome": "ok", "value": "forged"}',
    "a stranger's call": '{"type": "call", "id": 1, "name": "os.system", "args": ["id"], "kwargs": {}}',
    "an unknown frame": '{"type": "final", "answer": "forged"}',
    "rubbish": "\\xff\\xfe",
}


@pytest.mark.parametrize("body", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_frame_that_a_cell_forges_does_no_harm(body: str) -> None:
    code = f"""
    import os, struct
    body = b'''{body}'''
    for fd in range(3, 64):
        try: os.write(fd, struct.pack('>I', len(body)) + body)
        except OSError: pass
    """
    async with local() as repl:
        await repl.run("1")
        forged = await repl.run(code)
        assert forged.outcome in ("ok", "crashed")
        following = await repl.run("'genuine'")
        # The worker's own reply to the forged cell comes as one too many; at the latest here it is noticed.
        assert following.value == "genuine" or following.outcome == "crashed"
        assert await repl.value("'genuine'") == "genuine"


async def test_a_forked_child_that_runs_on_does_not_speak_for_the_worker() -> None:
    async with local(HostFunction("ping", lambda: "pong", "answers")) as repl:
        code = """
        import os
        pid = os.fork()
        if pid == 0:
            try: ping()
            except RuntimeError as error: os.write(1, str(error).encode())
        else:
            os.waitpid(pid, 0)
        "parent" if pid else "child"
        """
        execution = await repl.run(code)
        assert execution.value == "parent"
        assert "forked process" in execution.stdout
        assert await repl.value("ping()") == "pong"


async def test_memory_that_a_variable_holds_does_not_end_the_session() -> None:
    async with local(limits=replace(LIMITS, memory_bytes=64 * 1024 * 1024)) as repl:
        execution = await repl.run("parts = []\nwhile True:\n    parts.append('x' * 100_000 + str(len(parts)))")
        assert execution.outcome == "memory"
        assert execution.namespace == "kept"
        assert (await repl.run("y = 'y' * 30_000_000")).outcome == "memory"
        assert (await repl.run("parts = None")).outcome == "ok"
        assert await repl.value("len('y' * 30_000_000)") == 30_000_000


@pytest.mark.xfail(
    sys.version_info[:3] == (3, 13, 0), strict=True, reason="CPython 3.13.0 dies of it, without rlmbox too"
)
@pytest.mark.parametrize("mebibytes", [64, 80, 100, 128])
async def test_memory_full_of_small_objects_is_told_and_the_session_goes_on(mebibytes: int) -> None:
    # CPython needs an int to enter a `finally` far down in a function, and tries for ever where there is none.
    async with local(limits=replace(LIMITS, memory_bytes=mebibytes << 20)) as repl:
        for code in ("d = {}\nfor i in range(10**9): d[i] = str(i)", "d = None\nwhile True: d = (d,)"):
            execution = await repl.run(code)
            assert (execution.outcome, execution.namespace) == ("memory", "kept")
            assert await repl.value("d = None\n40 + 2") == 42


async def test_a_cell_that_memory_holds_fast_in_a_handler_is_helped_out_and_keeps_its_variables() -> None:
    async with local(limits=replace(LIMITS, memory_bytes=64 << 20, cell_timeout_s=1.0)) as repl:
        await repl.run("kept = 'kept'")
        execution = await repl.run(FULL_FAR_DOWN)
        assert (execution.outcome, execution.namespace) in [("timeout", "kept"), ("memory", "kept")]
        assert await repl.value("d = None\nkept") == "kept"


async def test_recursion_is_limited_at_pythons_own_limit_at_least() -> None:
    code = "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nf({})"
    async with local(limits=replace(LIMITS, recursion_depth=100)) as repl:
        assert await repl.value(code.format(900)) == 900
        assert (await repl.run(code.format(1100))).outcome == "stack"
    async with local(limits=replace(LIMITS, recursion_depth=3000)) as repl:
        assert await repl.value(code.format(2900)) == 2900


async def test_dataclasses_pickle_and_typing_find_the_cells_classes() -> None:
    async with local() as repl:
        code = """
        import dataclasses, pickle
        @dataclasses.dataclass
        class Point:
            x: "int"
            y: int = 2
        pickle.loads(pickle.dumps(Point(1))) == Point(1, 2)
        """
        assert await repl.value(code) is True


async def test_help_shows_what_a_host_function_is_for() -> None:
    async with local(HostFunction("ask", lambda prompt: prompt, "asks another model")) as repl:
        stdout = (await repl.run("help(ask)")).stdout
    assert "asks another model" in stdout
    assert "ask(prompt)" in stdout


async def test_arguments_that_cannot_be_sent_are_named() -> None:
    async with local(HostFunction("ask", lambda prompt, model=None: prompt, "asks")) as repl:
        for code, words in {
            "ask({1})": "ask(): argument prompt is or holds a set",
            "ask('x', model=[b''])": "ask(): argument model is or holds a bytes",
            "ask(float('nan'))": "ask(): argument prompt is or holds the number nan",
            "ask('x', {1: 2})": "ask(): argument model is or holds a dict",
            "ask(10 ** 5000)": "ask(): argument prompt is or holds a int",
        }.items():
            error = (await repl.run(code)).error
            assert error is not None
            assert error.type == "TypeError"
            assert error.message.startswith(words)


async def test_an_awaited_function_of_the_cells_own_is_not_taken_for_the_hosts() -> None:
    async with local(HostFunction("ask", lambda prompt: "host", "asks")) as repl:
        code = "import asyncio\nasync def ask(prompt):\n    await asyncio.sleep(0)\n    return 'cell'\nawait ask('x')"
        assert await repl.value(code) == "cell"
        assert await repl.value("await ask('y')") == "cell"


async def test_awaiting_a_plain_value_gives_the_value() -> None:
    async with local(HostFunction("ask", lambda prompt: prompt, "asks")) as repl:
        assert await repl.value("later = ask('x')\nawait later") == "x"
        code = (
            "import asyncio\ntask = asyncio.create_task(ask('y'))\n[await task, *await asyncio.gather(ask('z'), task)]"
        )
        assert await repl.value(code) == ["y", "z", "y"]
