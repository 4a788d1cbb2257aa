"""The contents of a jail: an interpreter, the libraries it needs, and packages by name. Nothing else is inside.

Files of the host are mounted read-only at neutral paths, so that no path of the host is visible inside.
"""

from __future__ import annotations

import marshal
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from rlmbox.errors import ConfigError, SandboxUnavailable
from rlmbox.sandboxes.jail._channel import CODE_FOLDER
from rlmbox.sandboxes.jail._elf import libraries, read_elf
from rlmbox.sandboxes.worker._compiled import compiled
from rlmbox.sandboxes.worker._language import LANGUAGE

if TYPE_CHECKING:
    from importlib import metadata

PYTHON = "/usr/bin/python3"
"""The interpreter inside."""

PACKAGES = "/usr/lib/packages"
"""Where packages are inside."""

_LIBRARIES = "/usr/lib"
_LINKS = (("usr/lib", "/lib"), ("usr/lib", "/lib64"), ("lib", "/usr/lib64"))
_OWN_MODULES = (
    "jail/_channel",
    "jail/_fork_server",
    "jail/_child",
    "kernel/_calls",
    "kernel/_seccomp",
    "kernel/_landlock",
    "worker/_worker",
)
# Libraries for terminals, displays and services that do not exist in a jail would bring in a dozen others.
_LEFT_OUT = ("_tkinter", "readline", "_curses", "_dbm", "_gdbm", "nis", "ossaudiodev", "spwd", "_test", "_xx", "xx")
_LOADED_BY_NAME = ("libgcc_s.so.1",)  # loaded by libc itself when a thread ends
_LOADED_BYTES = 128 << 20
_ZONES = Path("/usr/share/zoneinfo")


@dataclass(frozen=True, slots=True)
class JailPlan:
    """The contents of a jail.

    Attributes:
        binds: Files and folders of the host, with their paths inside.
        files: Paths inside, with the contents to write there.
        masks: Paths to cover: a file with a content, or a folder with an empty one (None).
    """

    binds: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, bytes, int], ...]
    masks: tuple[tuple[str, bytes | None], ...]

    def encoded(self, spares: int) -> bytes:
        """Serialize the plan for `_launcher.py`.

        Args:
            spares: Number of jails to keep ready.
        """
        plan: dict[str, Any] = {"binds": self.binds, "files": self.files, "masks": self.masks, "links": _LINKS}
        return marshal.dumps({**plan, "interpreter": PYTHON, "spares": spares})


def plan_for(packages: Sequence[str]) -> JailPlan:
    """Plan a jail.

    Args:
        packages: Names of distributions installed in this environment; their requirements are included.

    Raises:
        ConfigError: A package is not installed here, or not as ordinary files.
        SandboxUnavailable: This interpreter cannot be made available in a jail.
    """
    python, stdlib, found = _interpreter()
    files = _package_files(packages) if packages else ()
    bound = {str(path): f"{PACKAGES}/{place}" for path, place in files}
    extensions = [path for folder in bound for path in _extensions(Path(folder))]
    # Libraries bundled with a package are found next to it.
    needed = {n: p for n, p in libraries(extensions).items() if not any(str(f) in bound for f in p.resolve().parents)}
    found = {**needed, **found}
    binds = [(str(python), PYTHON), (str(stdlib), f"{_LIBRARIES}/{stdlib.name}"), *bound.items()]
    binds += [(str(path.resolve()), f"{_LIBRARIES}/{name}") for name, path in sorted(found.items())]
    loader = _loader(python)
    if loader not in {f"{folder}/{name}" for folder in ("/lib", "/lib64", "/usr/lib") for name in found}:
        binds.append((os.path.realpath(loader), loader))
    if _ZONES.is_dir():
        binds.append((str(_ZONES), str(_ZONES)))
    return JailPlan(tuple(binds), _own_files(), tuple(_masks(stdlib)))


@cache
def code_bytes(packages: tuple[str, ...]) -> int:
    """Return the address space that compiled code of distributions may take once it is imported.

    Args:
        packages: Names of distributions; their requirements count, too.

    Raises:
        ConfigError: As for `plan_for`.
    """
    extensions = [path for folder, _ in _package_files(packages) for path in _extensions(folder)]
    extensions += [path for path, _ in _package_files(packages) if path.is_file() and ".so" in path.suffixes]
    size_bytes = sum(path.stat().st_size for path in extensions)
    # The mapping, its relocated copy, and what libraries such as BLAS allocate when loaded.
    return 2 * size_bytes + (_LOADED_BYTES if extensions else 0)


@cache
def _interpreter() -> tuple[Path, Path, dict[str, Path]]:
    """Find this interpreter, its standard library, and the shared libraries that both need."""
    python, stdlib = Path(sys.executable).resolve(), Path(os.__file__).resolve().parent
    program = read_elf(python)
    if program is None:
        raise SandboxUnavailable(f"a jail needs a 64-bit Linux interpreter, and {python} is none; use `monty`")
    wanted = [path for path in _extensions(stdlib / "lib-dynload") if not path.name.startswith(_LEFT_OUT)]
    found = libraries([python, *wanted], program.search)
    folders = {path.parent for path in found.values()}
    found |= {path.name: path for folder in folders for path in map(folder.joinpath, _LOADED_BY_NAME) if path.is_file()}
    return python, stdlib, found


def _loader(python: Path) -> str:
    elf = read_elf(python)
    return elf.interpreter if elf else ""


def _extensions(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.so*") if path.is_file()) if folder.is_dir() else []


@cache
def _own_files() -> tuple[tuple[str, bytes, int], ...]:
    """Return the jail's own modules, with their bytecode if the host has it."""
    here = Path(__file__).parent.parent
    files: list[tuple[str, bytes, int]] = []
    for name in _OWN_MODULES:
        source = here / f"{name}.py"
        files.append((f"{CODE_FOLDER}/{name}.py", source.read_bytes(), 0))
        place = Path(cache_from_source(f"{CODE_FOLDER}/{name}.py", optimization=""))
        files.append((str(place), _compiled(source, f"{CODE_FOLDER}/{name}.py"), 0))
    codes = {name: compiled(here / f"worker/{name}.py", f"{name}.py") for name in LANGUAGE}
    files.append((f"{CODE_FOLDER}/_language.code", marshal.dumps(codes), 0))
    return tuple(files)


def _compiled(source: Path, name: str) -> bytes:
    """Compile a module, or use cached bytecode, as an unchecked `.pyc` file (PEP 552).

    Args:
        source: Its file here.
        name: Its path inside.
    """
    return MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(compiled(source, name))


def _masks(stdlib: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield masks for packages installed beside the standard library, and for its build information."""
    inside = f"{_LIBRARIES}/{stdlib.name}"
    for pattern in ("site-packages", "dist-packages", "config-*"):
        yield from ((f"{inside}/{path.name}", None) for path in stdlib.glob(pattern) if path.is_dir())
    prefix = str(Path(sys.base_prefix).resolve())
    for path in stdlib.glob("_sysconfigdata*.py"):
        text = path.read_text(encoding="utf-8", errors="replace")
        yield f"{inside}/{path.name}", text.replace(prefix, "/usr").replace(sys.base_prefix, "/usr").encode()
        yield from ((f"{inside}/__pycache__/{c.name}", b"") for c in stdlib.glob(f"__pycache__/{path.stem}.*"))


def _package_files(packages: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield the files and folders of distributions, with their paths below site-packages."""
    from importlib import metadata  # late: takes 20 ms, and most jails have no packages

    seen: set[str] = set()
    todo = [(name, name) for name in packages]
    while todo:
        name, asked = todo.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = metadata.distribution(name)
        except (metadata.PackageNotFoundError, ValueError):
            if name != asked:  # required for another platform or version
                continue
            provided = _providing(name)
            if not provided:
                raise ConfigError(_not_installed(name)) from None
            todo += [(each, each) for each in {*provided}]  # a module's name, such as yaml
            continue
        yield from _tops(name, distribution)
        required = (re.match(r"[\w.-]+", line) for line in distribution.requires or () if "extra ==" not in line)
        todo += [(match[0], asked) for match in required if match]


def why_not_with(packages: Sequence[str]) -> str:
    """Return a message on packages that are not installed, or an empty string.

    Args:
        packages: Names of distributions, or of their modules.
    """
    from importlib import metadata

    for name in packages:
        try:
            metadata.distribution(name)
        except (metadata.PackageNotFoundError, ValueError):
            if not _providing(name):
                return _not_installed(name)
    return ""


def _providing(module: str) -> list[str]:
    from importlib import metadata

    return [] if module in sys.stdlib_module_names else metadata.packages_distributions().get(module, [])


def _not_installed(name: str) -> str:
    if not name.strip():
        return "a package has a name, such as pandas; one of those given is empty"
    if name in sys.stdlib_module_names:
        return f"{name!r} is in the standard library, which cells have; leave it out of the packages"
    if "," in name:
        return f"the package {name!r} is not installed in this environment; name one at a time, each with --package"
    alone = re.split(r"[^\w-]", name.strip(), maxsplit=1)[0]
    if alone not in ("", name) and not why_not_with([alone]):
        return f"the package {name!r} must be named without version, extra or module: --package {alone}"
    return f"the package {name!r} is not installed in this environment; install it first"


def _tops(name: str, distribution: metadata.Distribution) -> Iterator[tuple[Path, str]]:
    """Yield the topmost folders that belong to one distribution alone, and its other files."""
    files = [file for file in distribution.files or () if not _is_outside(file)]
    if not any(file.suffix in (".py", ".so") for file in files):
        raise ConfigError(f"the package {name!r} is not installed as files of its own here; install it in full")
    packages = {file.parent for file in files if file.name == "__init__.py"}
    tops: set[PurePath] = set()
    for file in files:
        folders = [parent for parent in reversed(file.parents) if parent.parts]
        own = (f for f in folders if f in packages or f.parts[0].endswith((".libs", ".dist-info")))
        tops.add(next(own, file))
    for top in sorted(tops):
        path = Path(str(distribution.locate_file(str(top)))).resolve()
        if path.exists():
            yield path, str(top)


def _is_outside(file: PurePath) -> bool:
    return file.is_absolute() or ".." in file.parts or "__pycache__" in file.parts[:1]
