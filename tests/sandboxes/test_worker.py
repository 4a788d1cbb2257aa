"""What a worker does with cells that mean well, and what becomes of it with those that do not."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.types import HostFunction
from sandboxes.local_repl import FULL_FAR_DOWN, LIMITS, local
from sandboxes.repl import Repl

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
    begun = anyio.Event()
    async with local(HostFunction("begun", begun.set, "")) as repl, anyio.create_task_group() as tasks:
        pid = await repl.value("import os, time\nos.getpid()")

        async def interrupt() -> None:
            await begun.wait()
            await anyio.sleep(0.1)
            os.kill(pid, signal.SIGINT)

        tasks.start_soon(interrupt)
        execution = await repl.run("x = 1\nbegun()\ntime.sleep(600)")
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
        "kept",
    ),
    "every interrupt swallowed at every level": (
        "def f(n):\n  while True:\n    try: n and f(n - 1) or sum(range(999))\n    except BaseException: x = 1\nf(5)",
        "kept",
    ),
    "every interrupt swallowed by a context": (
        "import contextlib\nwhile True:\n    with contextlib.suppress(BaseException):\n        sum(range(1000))",
        "kept",
    ),
    "every interrupt swallowed at the end": (
        "def f():\n  while True:\n    try: sum(range(1000))\n    finally: continue\nf()",
        "kept",
    ),
    "every interrupt swallowed in a task": (
        "import asyncio\nwhile True:\n    try: await asyncio.sleep(0)\n    except BaseException: pass",
        "kept",
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


@pytest.mark.parametrize("how", ["ignored", "blocked"])
async def test_a_signal_that_an_earlier_cell_turned_off_interrupts_the_next_one(how: str) -> None:
    off = {
        "ignored": "signal.signal(signal.SIGALRM, signal.SIG_IGN)",
        "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGINT})",
    }
    async with local(limits=replace(LIMITS, cell_timeout_s=0.3)) as repl:
        await repl.run(f"import signal\n{off[how]}")
        execution = await repl.run("while True: pass")
        assert (execution.outcome, execution.namespace) == ("timeout", "kept")


async def test_a_loop_of_refused_calls_ends_at_its_limit() -> None:
    async def refuse() -> None:
        raise RuntimeError("no more of these")

    code = "while True:\n    try:\n        refuse()\n    except BaseException:\n        pass"
    async with local(HostFunction("refuse", refuse, ""), limits=replace(LIMITS, cell_timeout_s=0.3)) as repl:
        execution = await repl.run(code)
        assert (execution.outcome, execution.namespace) == ("timeout", "kept")
        assert execution.duration_s < 5  # once 30 s more


async def test_what_a_cell_cleans_up_at_its_limit_is_not_interrupted() -> None:
    code = "done = []\ntry:\n    for i in range(10**9): pass\nfinally:\n    done.append('cleaned up')"
    async with local(limits=replace(LIMITS, cell_timeout_s=0.3)) as repl:
        assert (await repl.run(code)).outcome == "timeout"
        assert await repl.value("done") == ["cleaned up"]


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
@pytest.mark.parametrize("mebibytes", [64, 80])
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


@pytest.mark.parametrize("depth", [200, LIMITS.recursion_depth, 3000])
async def test_recursion_is_limited_where_the_limit_says(depth: int) -> None:
    async with local(limits=replace(LIMITS, recursion_depth=depth)) as repl:
        await repl.run("def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)")
        assert await repl.value(f"f({depth - 10})") == depth - 10
        execution = await repl.run(f"f({depth + 100})")
        assert execution.outcome == "stack"
        assert execution.error is not None
        assert execution.error.message == f"the cell recursed deeper than {depth:,} calls"


async def test_ordinary_imports_survive_the_default_limit_of_recursion() -> None:
    async with local() as repl:
        for module in ("asyncio", "unittest.mock", "xml.etree.ElementTree", "email.mime.text", "concurrent.futures"):
            assert (await repl.run(f"import {module}")).outcome == "ok", module
        assert await repl.value("re.compile('(' * 90 + 'a' + ')' * 90).groups") == 90


async def test_an_import_that_does_not_fit_into_memory_says_what_would_help() -> None:
    async with local() as repl:
        code = "raise ImportError('libx.so: failed to map segment from shared object')"
        execution = await repl.run(code)
        assert execution.outcome == "memory"
        assert execution.error is not None
        assert "allow more: --memory 512" in execution.error.message


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
async def test_a_thread_that_a_cell_leaves_behind_comes_last() -> None:
    async with local() as repl:
        await repl.run(
            """
            import os, threading
            stop = threading.Event()
            thread = threading.Thread(target=stop.wait)
            thread.start()
            """
        )
        code = "[os.getpriority(os.PRIO_PROCESS, n) for n in (thread.native_id, threading.get_native_id())]"
        assert await repl.value(code) == [19, os.getpriority(os.PRIO_PROCESS, 0)]
        await repl.run("stop.set()")


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


async def test_arguments_of_any_kind_are_sent_in_their_json_form() -> None:
    async with local(HostFunction("ask", lambda prompt, model=None: [prompt, model], "asks")) as repl:
        for code, form in {
            "ask({1})": [[1], None],
            "ask('x', model=[b''])": ["x", [""]],
            "ask(float('nan'))": ["nan", None],
            "ask('x', {1: 2})": ["x", {"1": 2}],
            "ask(2 ** 15000)": [hex(2**15000), None],
        }.items():
            assert await repl.value(code) == form


async def test_an_argument_that_is_too_large_is_named() -> None:
    async with local(HostFunction("ask", lambda prompt, model=None: prompt, "asks")) as repl:
        error = (await repl.run("ask('x', model=range(10**9))")).error
        assert error is not None
        assert error.type == "ValueError"
        assert error.message.startswith("ask(): argument model: the value has more than 2,000,000 parts")


async def test_an_awaited_function_of_the_cells_own_is_not_taken_for_the_hosts() -> None:
    async with local(HostFunction("ask", lambda prompt: "host", "asks")) as repl:
        code = "import asyncio\nasync def ask(prompt):\n    await asyncio.sleep(0)\n    return 'cell'\nawait ask('x')"
        assert await repl.value(code) == "cell"
        assert await repl.value("await ask('y')") == "host"  # the host's name is there again


async def test_awaiting_a_plain_value_gives_the_value() -> None:
    async with local(HostFunction("ask", lambda prompt: prompt, "asks")) as repl:
        assert await repl.value("later = ask('x')\nawait later") == "x"
        code = (
            "import asyncio\ntask = asyncio.create_task(ask('y'))\n[await task, *await asyncio.gather(ask('z'), task)]"
        )
        assert await repl.value(code) == ["y", "z", "y"]


async def test_names_of_the_host_are_there_again_after_a_cell_overwrote_them() -> None:
    functions = [HostFunction(name, lambda: 1, "one") for name in ("ask", "ctx.search", "FINAL")]
    async with local(*functions, text="abc") as repl:
        execution = await repl.run(
            "context = context[:1]\nask = None\ndel FINAL\nctx.search = 5\nquery = 'mine'\nx = 1"
        )
        assert set(execution.restored) == {"context", "ask", "FINAL", "ctx.search"}
        assert await repl.value("[context, ask(), FINAL(), ctx.search(), query, x]") == ["abc", 1, 1, 1, "mine", 1]
        assert (await repl.run("y = 2")).restored == ()


async def test_names_are_there_again_after_a_cell_that_failed() -> None:
    async with local(text="abc") as repl:
        failed = await repl.run("context = None\n1/0")
        assert failed.outcome == "error"
        assert failed.restored == ("context",)
        assert await repl.value("context") == "abc"


async def test_modules_and_inputs_are_the_cells_own() -> None:
    async with local(inputs={"answer": {}}) as repl:
        assert (await repl.run("json = {'a': 1}\nanswer = 'mine'")).restored == ()
        assert await repl.value("[json, answer]") == [{"a": 1}, "mine"]
        assert (await repl.run("del answer")).restored == ()
        error = (await repl.run("answer")).error
        assert error is not None
        assert error.type == "NameError"


ROUTES = ("{0}", "send({0})", "send(value={0})", "v = {0}\nv", "answer = [{0}]\nanswer[0]")
KINDS = {
    "(1, 2)": [1, 2],
    "{3, 1, 2}": [1, 2, 3],
    "frozenset('ba')": ["a", "b"],
    "{2020: 5}": {"2020": 5},
    "{(1, 2): 3}": {"(1, 2)": 3},
    "{1: 'a', '1': 'b'}": [[1, "a"], ["1", "b"]],
    "b'ab'": "ab",
    "b'\\xff'": "base64:/w==",
    "float('nan')": "nan",
    "float('-inf')": "-inf",
    "10**5000": hex(10**5000),
    "__import__('datetime').date(2026, 1, 2)": "2026-01-02",
    "__import__('decimal').Decimal('1.10')": "1.10",
    "__import__('collections').Counter('aab')": {"a": 2, "b": 1},
    "__import__('collections').deque([1])": [1],
    "Point(1, {2})": {"x": 1, "y": [2]},
    "Person('Ada')": {"name": "Ada"},
    "Colour.RED": "red",
    "{'a': 1}.keys()": ["a"],
    "range(3)": [0, 1, 2],
    "re.compile('x')": "re.compile('x')",
    "1 + 2j": "(1+2j)",
}
CLASSES = """
import collections, dataclasses, enum
Point = collections.namedtuple("Point", "x y")
@dataclasses.dataclass
class Person:
    name: str
class Colour(enum.Enum):
    RED = "red"
"""


async def test_a_value_has_the_same_form_by_every_route() -> None:
    async with local(HostFunction("send", lambda value: value, "gives its argument back")) as repl:
        await repl.run(CLASSES)
        for code, form in KINDS.items():
            assert [await repl.value(route.format(code)) for route in ROUTES] == [form] * len(ROUTES), code


async def test_a_value_of_megabytes_arrives_whole_and_its_repr_is_bounded() -> None:
    async with local(HostFunction("send", len, "measures")) as repl:
        await repl.run(
            "text = 'line \\u00e9 \"quoted\"\\n' * 300_000\nrows = [{'n': n, 'text': 'x' * 40} for n in range(50_000)]"
        )
        execution = await repl.run("text")
        assert execution.value == 'line é "quoted"\n' * 300_000
        assert execution.value_repr is not None
        assert len(execution.value_repr) < 30_000
        assert await repl.value("rows") == [{"n": n, "text": "x" * 40} for n in range(50_000)]
        assert await repl.value("[text, {'again': text}]") == [execution.value, {"again": execution.value}]
        assert await repl.value("send(text)") == len(str(execution.value))


async def test_a_text_of_60_mb_arrives_whole_beside_a_memory_limit_of_128() -> None:
    async with local() as repl:
        await repl.run("text = 'x' * 60_000_000")
        assert await repl.value("text") == "x" * 60_000_000


async def test_a_value_beyond_64_mb_is_an_error_that_names_the_limit() -> None:
    async with local(limits=replace(LIMITS, memory_bytes=512 << 20)) as repl:
        await repl.run("text = 'x' * 70_000_000\nquotes = '\"' * 50_000_000")
        error = (await repl.run("text")).error
        assert error is not None
        assert "larger than 67,108,864 bytes" in error.message
        assert await repl.value("quotes") == '"' * 50_000_000  # which JSON would write in 100 MB
        assert (await repl.run("1\ntext")).outcome == "ok"  # of a cell that did more, the value is the repr
        assert await repl.value("len(text)") == 70_000_000


async def test_a_value_of_many_parts_arrives_whole_and_one_of_too_many_is_an_error() -> None:
    rows = [{"id": number, "ms": 1.5} for number in range(30_000)]
    long = [10**30 + number for number in range(30_000)]
    quoted = ['{"a": "b"}' * 20] * 4_000
    got: list[object] = []
    async with local(HostFunction("take", lambda value, words: got.append([value, words]), "takes")) as repl:
        assert await repl.value("rows = [{'id': n, 'ms': 1.5} for n in range(30_000)]; rows") == rows
        assert await repl.value("[10**30 + n for n in range(30_000)]") == long
        assert await repl.value("""['{"a": "b"}' * 20] * 4_000""") == quoted
        await repl.run("take(rows, ['é' * 2_000, {'k' * 2_000: 'x' * 2_000}])")
        assert got == [[rows, ["é" * 2_000, {"k" * 2_000: "x" * 2_000}]]]
        error = (await repl.run("[[]] * 600_000")).error
        assert error is not None
        assert "parts, more than can leave a cell" in error.message


async def test_a_session_twice_has_the_same_random_numbers_and_order_of_sets() -> None:
    async def session(seed: int) -> object:
        sandbox = LocalSandbox(unsafe_no_isolation=True)
        try:
            await sandbox.start(LIMITS, Context.from_text("text"), {}, seed=seed)
            repl = Repl(sandbox)
            return await repl.value("import random\n[random.random(), ' '.join({str(n) for n in range(50)})]")
        finally:
            await sandbox.close()

    first, again, other = await session(7), await session(7), await session(8)
    assert first == again
    assert isinstance(first, list)
    assert isinstance(other, list)
    assert first[0] != other[0]
    assert first[1] == other[1]  # the order of sets is the same in all sessions


async def test_inputs_are_variables_from_the_first_cell_on() -> None:
    sandbox = LocalSandbox(unsafe_no_isolation=True)
    try:
        await sandbox.start(LIMITS, Context.from_text("text"), {}, inputs={"prices": {"a": [1, 2.5]}, "data": None})
        repl = Repl(sandbox)
        assert await repl.value("[prices['a'], data]") == [[1, 2.5], None]
        assert await sandbox.variables() == {}
        await repl.run("prices = 3")
        assert await repl.value("prices") == 3
        assert set(await sandbox.variables()) == {"prices"}
    finally:
        await sandbox.close()


@pytest.mark.parametrize("name", ["context", "ask", "not a name", "class", "_own", "ctx"])
async def test_an_input_with_a_name_that_is_taken_or_none_is_refused(name: str) -> None:
    host = {f: HostFunction(f, len, "") for f in ("ask", "ctx.search")}
    sandbox = LocalSandbox(unsafe_no_isolation=True)
    with pytest.raises(ConfigError, match=name):
        await sandbox.start(LIMITS, Context.from_text("text"), host, inputs={name: 1})
    await sandbox.close()


@pytest.mark.parametrize(
    ("cells", "marks"),
    [
        (["import time\ntime.time()"], [True]),
        (["import time"], [False]),
        (["import time\ntime.strftime('%Y')", "from time import strftime as s", "s('%Y')"], [True, True, True]),
        (["import datetime\ndatetime.date(2026, 1, 1).strftime('%Y')"], [False]),
        (["import uuid\nuuid.uuid4()", "import os\nos.urandom(2)", "from secrets import token_hex as t"], [True] * 3),
        (["import random\nrandom.random()", "random.SystemRandom().random()"], [False, True]),
        (["from time import perf_counter as pc", "pc()"], [True, True]),
        (["from datetime import datetime\ndatetime.now()"], [True]),
        (["import datetime\nd = datetime.datetime(2026, 1, 1)\nd.time()"], [False]),
        (["def stamp():\n    import time\n    return time.monotonic()", "stamp()", "x = 1"], [True, True, False]),
        (["'time and now'", "text = 'today'"], [False, False]),
    ],
)
async def test_a_cell_that_reads_a_clock_is_marked(cells: list[str], marks: list[bool]) -> None:
    async with local() as repl:
        assert [(await repl.run(cell)).reads_clock for cell in cells] == marks


async def test_functions_of_one_name_are_described_in_each_session_as_they_are_there() -> None:
    def weigh(thing: str) -> int:
        return len(thing)

    def estimate(thing: str, unit: str = 'k"g') -> str:
        return f"{thing} {unit}"

    cases: list[tuple[Callable[..., object], str, str]] = [
        (weigh, "first", "weigh(thing: str) -> int\n\nfirst"),
        (estimate, 'of "ž" \\ and 🧪', """weigh(thing: str, unit: str = 'k"g') -> str\n\nof "ž" \\ and 🧪"""),
        (weigh, "", "weigh(thing: str) -> int\n\n"),
    ]
    for call, summary, said in cases:
        async with local(HostFunction("weigh", call, summary)) as repl:
            assert await repl.value("weigh.__doc__") == said
