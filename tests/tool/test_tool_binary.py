"""`make tool-binary`: the tool as a tree and as one file, on a machine without Python."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from preloaded import rlmbox_command

ROOT = Path(__file__).parents[2]
USED = ("sh", "dirname", "readlink", "mkdir", "find", "id", "mktemp", "tail", "tar", "mv", "rm")
REQUEST = b'{"code": "import json, sqlite3, ssl, ctypes; print(json.dumps([6 * 7]))"}\n'

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is for Linux")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("binary")
    command = [sys.executable, str(ROOT / "packaging" / "tool_binary.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def _answers(
    command: list[str], environment: Mapping[str, str] | None = None, request: bytes = REQUEST
) -> tuple[list[dict[str, object]], str]:
    done = subprocess.run(
        command, input=request, capture_output=True, timeout=120, check=False, env=dict(environment or {})
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def test_the_tree_needs_nothing_of_this_environment(built: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(built / "tree", moved)  # it may lie anywhere
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}
    answers, said = _answers([str(moved / "rlmbox-tool")], environment)
    assert (answers[0]["stdout"], said) == ("[42]\n", "")


def test_its_default_sandbox_is_the_strongest(built: Path) -> None:
    code = "import os; print(os.getpid(), sorted(os.listdir('/')))"
    program = built / "tree" / "rlmbox-tool"
    request = json.dumps({"code": code}).encode()
    inside, _ = _answers([str(program)], {"PATH": "/usr/bin:/bin"}, request)
    here, _ = _answers([*rlmbox_command(), "tool"], os.environ, request)
    assert inside[0]["stdout"] == here[0]["stdout"]


@pytest.mark.parametrize("sandbox", ["monty", "subset"])
def test_the_other_sandboxes_are_in_it_too_and_so_are_contexts(built: Path, sandbox: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("one two two")
    command = [str(built / "tree" / "rlmbox-tool"), "--sandbox", sandbox, "--context", str(tmp_path)]
    answers, said = _answers(command, {"PATH": "/usr/bin:/bin"}, b'{"code": "print(ctx.count(\'two\'))"}')
    assert (answers[0]["stdout"], said) == ("2\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sandbox", "nope"], "no sandbox 'nope'"),
        (["--sandbox", "local"], "local"),
        (["--timeout", "0"], "above 0"),
        (["-c", "-"], "standard input carries the requests"),
        (["-c", "/nowhere"], "/nowhere"),
    ],
)
def test_wrong_options_end_it_with_the_reason(built: Path, arguments: list[str], said: str) -> None:
    command = [str(built / "tree" / "rlmbox-tool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_file_unpacks_itself_once(built: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(cache)}
    for _ in range(2):
        answers, said = _answers([str(built / "rlmbox-tool")], environment)
        assert (answers[0]["stdout"], said) == ("[42]\n", "")
        assert len([each for each in (cache / "rlmbox").iterdir() if "rlmbox-tool" in each.name]) == 1


def test_a_cache_that_others_can_write_is_not_used(built: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / "rlmbox").mkdir(parents=True)
    (tmp_path / "cache" / "rlmbox").chmod(0o777)
    environment = {"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    answers, _ = _answers([str(built / "rlmbox-tool")], environment)
    assert answers[0]["stdout"] == "[42]\n"
    assert list((tmp_path / "cache" / "rlmbox").iterdir()) == []
    assert list(tmp_path.glob("rlmbox-*/rlmbox-tool-*"))


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
def test_it_runs_where_there_is_no_python(built: Path, tmp_path: Path) -> None:
    programs = [str(Path(str(shutil.which(name))).resolve()) for name in USED]
    command = ["bwrap", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--setenv", "PATH", "/bin"]
    for folder in ("/lib", "/lib64"):
        command += ["--ro-bind", os.path.realpath(folder), folder] if Path(folder).exists() else []
    for python in Path("/lib").glob("python3*"):
        command += ["--tmpfs", str(python)]
    for name, path in zip(USED, programs, strict=True):
        command += ["--ro-bind", path, f"/bin/{name}"]
    command += ["--ro-bind", str(built / "rlmbox-tool"), "/rlmbox-tool", "--setenv", "HOME", "/tmp"]
    if subprocess.run([*command, "/bin/sh", "-c", ":"], check=False, capture_output=True).returncode:
        pytest.skip("bubblewrap cannot start here")
    none = subprocess.run([*command, "/bin/sh", "-c", "python3 -V"], check=False, capture_output=True)
    assert none.returncode == 127
    answers, said = _answers([*command, "/rlmbox-tool"])
    assert answers, said
    assert answers[0]["success"] is True or "sqlite3" in str(answers[0]["exception"]), (answers, said)
