"""Setting up from a lock: the lock decides alone, whatever was released since."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")

pytestmark = pytest.mark.skipif(not (ROOT / "Makefile").exists(), reason="needs the source tree")


def _pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_one_version_with_its_hashes_for_each_package_and_nothing_else(lock):
    joined = (ROOT / lock).read_text().replace("\\\n", " ")
    entries = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    shape = re.compile(r"[A-Za-z0-9_.-]+==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+ *")
    assert entries
    assert [entry for entry in entries if not shape.fullmatch(entry)] == []


def test_the_demo_installs_what_the_tests_install_and_no_provider_s_library():
    small, whole = (_pins(lock) for lock in LOCKS)
    assert {name: whole.get(name) for name in small} == small
    assert not {"openai", "anthropic", "google-genai", "pydantic-ai-slim"} & small.keys()


def test_nothing_that_is_installed_is_resolved_and_what_is_missing_from_a_lock_is_said():
    makefile = _makefile().replace("$(INSTALL)", re.findall("^INSTALL := (.*)", _makefile(), re.MULTILINE)[0])
    recipes = re.findall(r"^[^\s#:=]+:.*\n(?:\t.*\n)+", makefile, re.MULTILINE)
    installing = [recipe for recipe in recipes if " install " in recipe]
    assert len(installing) == 3
    for recipe in installing:
        commands = [line for line in recipe.splitlines() if line.startswith("\t") and " install " in line]
        assert all("--no-deps" in line for line in commands)
        assert all("--require-hashes" in line for line in commands if "--requirement" in line)
        after = recipe.rpartition(" install ")[2]
        assert re.search(r"(\$\(PIP\)|pip .*) check$", after, re.MULTILINE), recipe


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_a_newer_release_changes_nothing_of_what_a_lock_installs(tmp_path):
    # The fault this guards against: under --require-hashes alone, pip resolves `lib[extra]` anew, finds 2.0, and stops.
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    pins = [_wheel(wheels, "lib", "1.0"), _wheel(wheels, "app", "1.0", requires="lib[extra]>=1.0")]
    _wheel(wheels, "lib", "2.0")
    lock = tmp_path / "a.lock"
    lock.write_text("".join(f"{pin} --hash=sha256:{sha256}\n" for pin, sha256 in pins))
    venv = tmp_path / "venv"
    _make_venv(venv)
    command = [*_install_command(venv), str(lock), "--no-index", "--find-links", str(wheels)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    assert [path.name for path in venv.glob("lib/*/site-packages/lib-*")] == ["lib-1.0.dist-info"]
    subprocess.run([venv / "bin/python", "-m", "pip", "check"], check=True, capture_output=True)


def _makefile() -> str:
    return (ROOT / "Makefile").read_text()


def _make_venv(venv: Path) -> None:
    """Make a venv with its bundled pip, unpacked here where it can be: pip takes five seconds to install itself."""
    bundled = [*resources.files("ensurepip").joinpath("_bundled").glob("pip-*.whl")]  # type: ignore[attr-defined]
    subprocess.run([sys.executable, "-m", "venv", *(["--without-pip"] if bundled else []), venv], check=True)
    for wheel in bundled:
        [folder] = venv.glob("lib/*/site-packages")
        zipfile.ZipFile(wheel).extractall(folder)


def _install_command(venv: Path) -> list[str]:
    """Return the words by which the Makefile installs from a lock into a venv."""
    printed = subprocess.run(
        ["make", "--no-print-directory", f"VENV={venv}", "--eval=shown: ; @echo $(INSTALL)", "shown"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return printed.stdout.split()


def _wheel(directory: Path, name: str, version: str, *, requires: str | None = None) -> tuple[str, str]:
    """Write a wheel without any code; return its pin and its SHA-256."""
    info = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", "Provides-Extra: extra"]
    if requires:
        lines.append(f"Requires-Dist: {requires}")
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in files.items():
            wheel.writestr(member, text)
    return f"{name}=={version}", hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
