"""`wasm`: the guest reaches nothing, and Python is in it what it is elsewhere."""

from dataclasses import replace
from pathlib import Path

import pytest

from rlmbox.errors import ConfigError
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.sandboxes.wasm import WasmSandbox
from rlmbox.types import HostFunction
from sandboxes.wasm_here import LIMITS, may_compile, needs_extra, wasm

pytestmark = [may_compile, pytest.mark.usefixtures("preloaded_wasm")]


@needs_extra
async def test_nothing_of_the_host_is_reached(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret")
    attempts = [
        f"open({str(canary)!r}).read()",
        f"open('/usr/local/lib/../../..{canary}').read()",
        f"__import__('os').listdir({str(tmp_path)!r})",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "__import__('os').listdir('/')",
        "__import__('os').listdir('/proc')",
        "open('/usr/local/lib/new', 'w')",
        "__import__('os').listdir('/usr/local/lib/..')",
        "open('/usr/local/lib/python315.zip', 'r+b')",
        "__import__('os').unlink('/usr/local/lib/python315.zip')",
        "__import__('os').symlink('/etc/passwd', '/usr/local/lib/link')",
        "__import__('tempfile').mkdtemp()",
        "__import__('socket').socket()",
        "__import__('socket').create_connection(('127.0.0.1', 80))",
        "__import__('subprocess').run(['true'])",
        "__import__('os').system('true')",
        "__import__('os').fork()",
        "__import__('os').kill(1, 0)",
        "__import__('ctypes').CDLL(None)",
        "__import__('mmap').mmap(-1, 10)",
    ]
    async with wasm() as repl:
        for code in attempts:
            execution = await repl.run(code)
            assert execution.outcome == "error", (code, execution)
        assert await repl.value("import os, sys\n[dict(os.environ), sys.argv, os.listdir('/usr/local/lib')]") == [
            {},
            [""],
            ["python315.zip"],
        ]
    assert [entry.name for entry in tmp_path.iterdir()] == ["canary"]


@needs_extra
@pytest.mark.parametrize(
    "said",
    [
        "b''",
        "b'X'",
        "b'D{}'",
        "b'D' + b'[' * 1000",
        'b\'D{"type": "ready"}\'',
        'b\'D{"type": "done", "id": 99, "outcome": "ok"}\'',
        'b\'C{"type": "call", "id": 1, "name": "os.system", "args": ["true"], "kwargs": {}}\'',
        "b'C' + bytes(64 << 20)",
        "b'P0 1000000000'",
        "b'P-5 3'",
        "b'P' + b'9' * 300 + b' ' + b'9' * 300",
        "b'T'",
        "b'T1'",
    ],
)
async def test_what_is_not_allowed_at_the_door_ends_the_guest_and_not_the_host(said: str) -> None:
    async with wasm(HostFunction("ask", str, "asks"), limits=replace(LIMITS, memory_bytes=256 << 20)) as repl:
        execution = await repl.run(f"import sys\nsys.modules['_wasm_guest'].door({said})")
        assert (execution.outcome, execution.namespace) == ("crashed", "lost")
        assert await repl.value("ask(context)") == "text"


@needs_extra
@pytest.mark.parametrize(
    ("code", "how"), [("import os; os._exit(3)", "exit status 3"), ("import os; os.abort()", "exit status 70")]
)
async def test_a_guest_that_ends_itself_is_told_and_replaced(code: str, how: str) -> None:
    async with wasm() as repl:
        execution = await repl.run(code)
        assert (execution.outcome, execution.namespace) == ("crashed", "lost")
        assert execution.error is not None
        assert how in execution.error.message
        assert await repl.value("query") == "why?"


@needs_extra
async def test_output_past_pythons_streams_is_captured() -> None:
    async with wasm() as repl:
        execution = await repl.run("import os; os.write(1, b'one'); os.write(2, b'two'); print('three')")
        assert sorted(execution.stdout.replace("one", "one ").split()) == ["one", "three"]
        assert execution.stderr == "two"


@needs_extra
async def test_text_that_is_too_long_to_be_held_is_read_piece_by_piece() -> None:
    text = "".join(f"line {n}\n" for n in range(400_000))
    async with wasm(text=text, limits=replace(LIMITS, memory_bytes=8 << 20, inline_limit_chars=100)) as repl:
        code = (
            "[len(context), context[1000:1010], context.find('line 399999'), context.count('9\\n'), type(P).__name__]"
        )
        assert await repl.value(code) == [
            len(text),
            text[1000:1010],
            text.find("line 399999"),
            text.count("9\n"),
            "LargeText",
        ]


@needs_extra
async def test_text_of_every_kind_arrives_whole() -> None:
    text = "häßlich \N{GRINNING FACE} 漢字\r\n\0" * 300_000
    async with wasm(text=text) as repl:
        assert await repl.value("[len(context), context[-20:], hash(context) == hash(P)]") == [
            len(text),
            text[-20:],
            True,
        ]


@needs_extra
async def test_the_event_loop_runs() -> None:
    async with wasm() as repl:
        code = """
        import asyncio
        async def slow(n):
            await asyncio.sleep(0.01 * n)
            return n
        done = await asyncio.gather(slow(3), slow(1), slow(2))
        try:
            await asyncio.wait_for(slow(500), timeout=0.05)
        except TimeoutError:
            done.append("late")
        done
        """
        assert await repl.value(code) == [3, 1, 2, "late"]
        assert (await repl.run("import asyncio; await asyncio.Event().wait()")).outcome == "error"


@needs_extra
async def test_threads_are_refused_in_words_that_help() -> None:
    async with wasm() as repl:
        execution = await repl.run("import threading; threading.Thread(target=print).start()")
        assert execution.error is not None
        assert "a function that takes a list" in execution.error.message


@needs_extra
@pytest.mark.parametrize(
    "code",
    [
        "open('/tmp/x', 'w')",
        "import tempfile\ntempfile.TemporaryFile()",
        "import pathlib\npathlib.Path('out.csv').write_text('a,b')",
        "import sqlite3\nsqlite3.connect('/tmp/a.db').execute('create table t (a)')",
    ],
)
async def test_an_error_about_a_file_says_what_to_use_instead(code: str) -> None:
    async with wasm() as repl:
        execution = await repl.run(code)
        assert execution.error is not None
        assert "io.StringIO()" in execution.error.message
        assert execution.error.traceback.endswith(execution.error.message)


@needs_extra
async def test_numpy_is_there() -> None:
    async with wasm() as repl:
        assert await repl.value("import numpy; int(numpy.arange(10).reshape(2, 5).sum(axis=1)[1])") == 35


@needs_extra
async def test_the_guests_own_names_are_no_variables() -> None:
    async with wasm() as repl:
        assert await repl.sandbox.variables() == {}
        await repl.run("x = [1]")
        assert await repl.sandbox.variables() == {"x": "list, 1 items"}


def test_the_name_chooses_it() -> None:
    assert sandbox_from("wasm") is WasmSandbox


def test_it_has_packages_of_its_own_and_takes_no_other() -> None:
    assert sandbox_from("wasm", packages=["numpy", "scikit_learn", "yaml"]) is WasmSandbox
    with pytest.raises(ConfigError, match="cannot be given httpx, no-such-one; leave it out or use --sandbox jail"):
        sandbox_from("wasm", packages=["numpy", "httpx", "no-such-one"])
