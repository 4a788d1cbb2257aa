"""How the context comes into a container: mounted where that can be, otherwise sent or read part by part."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlmbox.sandboxes.docker import _sandbox as module
from rlmbox.types import HostFunction
from sandboxes.docker_engine import is_podman
from sandboxes.docker_here import LIMITS, containers, docker, each_runtime, needs_engine, needs_runc


@each_runtime
async def test_a_cell_can_open_the_outputs_by_name_and_cannot_enlarge_them(runtime: str) -> None:
    async with docker(runtime) as repl:
        execution = await repl.run(
            """
            import fcntl
            with open("/dev/stdout", "w") as file:
                file.write("by name")
            try:
                fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)  # which would be counted as the host's
            except OSError as error:
                enlarged = error.errno
            enlarged
            """
        )
        assert execution.stdout == "by name"
        assert execution.value == 1


@each_runtime
async def test_a_worker_that_drops_its_wire_and_goes_on_is_killed(runtime: str) -> None:
    async with docker(runtime, limits=replace(LIMITS, cell_timeout_s=1.0)) as repl:
        execution = await repl.run(
            """
            import os
            for fd in range(3, 64):
                try:
                    os.close(fd)
                except OSError:
                    pass
            while True:
                try:
                    sum(range(10**7))
                except BaseException:
                    pass
            """
        )
        assert (execution.outcome, execution.namespace) in [("crashed", "lost"), ("timeout", "lost")]
        assert await repl.value("40 + 2") == 42
    assert containers() == []


@needs_runc
async def test_a_breach_of_the_protocol_is_no_want_of_memory_even_after_one() -> None:
    async with docker("runc", limits=replace(LIMITS, memory_bytes=300_000_000)) as repl:
        children = """
        import os, signal
        pids = []
        for _ in range(6):
            pids.append(os.fork())
            if pids[-1] == 0:
                hoard = bytearray(200_000_000)
                hoard[::4096] = bytes(len(range(0, 200_000_000, 4096)))
                signal.pause()
        statuses = []
        while 9 not in statuses:
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]) * -1)
        for pid in pids:
            try:
                os.kill(pid, 9)
            except OSError:
                pass
        statuses.count(9) > 0
        """
        assert await repl.value(children) is True
        execution = await repl.run(
            """
            import os, socket, stat
            for fd in range(3, 64):
                try:
                    os.write(fd, b"\\xff" * 64)
                except OSError:
                    pass
            while True: pass
            """
        )
        assert execution.error is not None
        assert (execution.outcome, execution.error.type) == ("crashed", "SandboxCrashed")
        assert "broke the protocol" in execution.error.message


@needs_engine
@pytest.mark.skipif(is_podman(), reason="Podman makes an empty directory of what it does not find, and mounts that")
@pytest.mark.parametrize("length", [40_000, 9_000_000])
async def test_a_context_that_cannot_be_mounted_is_sent_or_read_from_the_host(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    @contextmanager
    def elsewhere(fd: int) -> Any:
        yield "/no/such/place/on/the/engines/machine"

    monkeypatch.setattr(module, "_shared", elsewhere)
    text = "é" + "x" * length
    reader = HostFunction("ctx.slice", lambda start, end: text[start:end], "reads")
    async with docker(None, reader, text=text) as repl:
        assert await repl.value("[len(context), context[:3], context[-2:]]") == [length + 1, "éxx", "xx"]
    assert containers() == []


def test_a_file_is_shared_itself_only_where_nobody_else_can_replace_it(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    file = folder / "large.txt"

    def shared(file_mode: int, folder_mode: int) -> bool:
        file.write_text("the text")
        file.chmod(file_mode)
        folder.chmod(folder_mode)
        with file.open("rb") as opened, module._shared(opened.fileno()) as path:
            assert Path(path).read_text() == "the text"
            assert Path(path).stat().st_mode & 0o004
            return path == str(file)

    assert shared(0o644, 0o755)
    assert shared(0o644, 0o1777)
    assert not shared(0o600, 0o755)
    assert not shared(0o644, 0o777)
    with file.open("rb") as opened:
        file.unlink()
        with module._shared(opened.fileno()) as path:
            assert Path(path).read_text() == "the text"
    assert not Path(path).exists()


@needs_engine
async def test_a_large_context_is_mapped_and_costs_no_memory() -> None:
    text = "abcdefghij" * 20_000_000
    async with docker(text=text, limits=replace(LIMITS, memory_bytes=64_000_000)) as repl:
        assert await repl.value("[len(context), context[199_999_995:], context.find('jab')]") == [len(text), "fghij", 9]
