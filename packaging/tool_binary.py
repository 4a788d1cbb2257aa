"""Builds `rlmbox tool` with an interpreter of its own, for machines without Python: as a tree and as one file.

    python packaging/tool_binary.py build/tool-binary

The tree is the interpreter that runs this, its standard library, the shared libraries that both need beyond libc, and
rlmbox with what it requires. The interpreter in it is an ordinary one, so that every sandbox works as it does where
rlmbox is installed. It runs on Linux machines of the same architecture with a libc that is not older than this one's.

The file is a shell script with the tree behind it, as it is: to decompress it would take as long as all else together.
It unpacks once into the user's cache, and starts from there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from rlmbox.sandboxes.jail._elf import libraries, read_elf

SOURCE = Path(__file__).resolve().parents[1] / "src" / "rlmbox"
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
NAME = "rlmbox-tool"
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "tkinter", "turtledemo",
    "turtle.py", "ensurepip", "lib2to3", "config-*", "*.a", "_tkinter*.so", "_test*.so", "_xx*.so", "xx*.so",
    "pydoc_data",
)  # fmt: skip
UNUSED = frozenset(
    {
        "attrs", "genai-prices", "h11", "httpcore2", "httpx2", "jsonschema", "jsonschema-specifications",
        "markdown-it-py",
        "mdurl", "pydantic-settings", "pygments", "python-dotenv", "python-stdnum", "pyyaml", "referencing", "rich",
        "rpds-py", "shellingham", "tenacity", "truststore", "typer",
    }
)  # fmt: skip
"""What rlmbox requires for other than the tool: commands, models, the guard."""
PROGRAMS = ("monty",)
"""Programs that a package brings and looks for beside the interpreter."""
SYSTEM = re.compile(r"(ld-linux.*|lib(c|m|pthread|dl|rt|util|resolv|nsl|crypt|gcc_s|stdc\+\+))\.so")
RPATH = b"$ORIGIN/../lib"

LAUNCHER = """\
#!/bin/sh
# Starts `rlmbox tool` with the interpreter beside it; nothing of this machine's Python is used.
here=$(dirname "$(readlink -f "$0")")
exec "$here/bin/{version}" -I -B -m rlmbox.tool "$@"
"""

UNPACKER = """\
#!/bin/sh
# Unpacks itself once into the cache, and starts `rlmbox tool` from there.
name={name}-{digest}
for cache in "${{XDG_CACHE_HOME:-$HOME/.cache}}/rlmbox" "${{TMPDIR:-/tmp}}/rlmbox-$(id -u)"; do
    # Only where it is ours and nobody else can write.
    (umask 022 && mkdir -p "$cache") 2>/dev/null && [ -O "$cache" ] && [ -w "$cache" ] && [ ! -L "$cache" ] &&
        [ -z "$(find "$cache" -prune -perm /022 2>/dev/null)" ] && break
    cache=
done
[ -n "$cache" ] || {{ echo "error: there is no folder to unpack into; set XDG_CACHE_HOME" >&2; exit 1; }}
if [ ! -x "$cache/$name/{name}" ]; then
    new=$(mktemp -d "$cache/.{name}.XXXXXX") || exit 1
    tail -c +{offset} "$0" | tar -xpf - -C "$new" || {{ rm -rf "$new"; exit 1; }}
    # Whoever is first has it; another that unpacked at the same time takes that one.
    mv "$new/tree" "$cache/$name" 2>/dev/null
    rm -rf "$new"
fi
exec "$cache/$name/{name}" "$@"
"""


def main(folder: Path) -> None:
    """Build the tree and the file below a folder."""
    tree, file = folder / "tree", folder / NAME
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    build_tree(tree)
    build_file(tree, file)
    print(f"{tree}: {_size_bytes(tree) / 2**20:.0f} MiB")
    print(f"{file}: {file.stat().st_size / 2**20:.0f} MiB")


def build_tree(tree: Path) -> None:
    """Build the tree."""
    python, stdlib = Path(sys.executable).resolve(), Path(os.__file__).resolve().parent
    library = tree / "lib" / VERSION
    shutil.copytree(stdlib, library, ignore=LEFT_OUT, symlinks=False)
    (tree / "bin").mkdir()
    program = tree / "bin" / VERSION
    shutil.copyfile(python, program)
    for name, path in _shared(python, library):
        shutil.copyfile(path.resolve(), tree / "lib" / name)
    point_at_own_libraries(program)
    packages = library / "site-packages"
    packages.mkdir()
    _copy_packages(packages)
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" or ".so" in path.name else 0o644)
    (tree / NAME).write_text(LAUNCHER.format(version=VERSION))
    (tree / NAME).chmod(0o755)
    _make_programs_executable(packages)
    _strip(tree)
    # Kept forms are not compared with the sources: that would cost a look at each file, at each start.
    command = [
        str(program),
        "-I",
        "-m",
        "compileall",
        "-q",
        "-j0",
        "--invalidation-mode",
        "unchecked-hash",
        str(library),
    ]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


def point_at_own_libraries(program: Path) -> None:
    """Have the program look for libraries beside itself, also those of the modules that it loads.

    A linker's directory that the file has already is overwritten in place. A file without one needs none for itself.
    """
    data = bytearray(program.read_bytes())
    elf = read_elf(program)
    if elf is None or not elf.search:
        return
    old = ":".join(elf.search).encode() + b"\0"
    at = data.find(old)
    if at < 0 or len(old) <= len(RPATH):
        raise SystemExit(f"{program} looks for libraries in {elf.search}, which cannot be changed")
    data[at : at + len(old)] = RPATH.ljust(len(old), b"\0")
    _turn_runpath_into_rpath(data)
    program.write_bytes(data)


def _turn_runpath_into_rpath(data: bytearray) -> None:
    """A RUNPATH serves the file alone; an RPATH also the modules that it loads."""
    table, size, count = struct.unpack_from("<Q14xHH", data, 32)
    for number in range(count):
        kind, offset, length = struct.unpack_from("<I4xQ16xQ", data, table + number * size)
        for entry in range(offset, offset + length, 16) if kind == 2 else ():
            (tag,) = struct.unpack_from("<Q", data, entry)
            if tag == 29:
                struct.pack_into("<Q", data, entry, 15)


def _shared(python: Path, library: Path) -> Iterator[tuple[str, Path]]:
    """Find the libraries that the interpreter and its modules need, but for those of the system itself."""
    program = read_elf(python)
    modules = sorted((library / "lib-dynload").glob("*.so"))
    found = libraries([python, *modules], program.search if program else ())
    yield from ((name, path) for name, path in sorted(found.items()) if not SYSTEM.match(name))


def _copy_packages(place: Path) -> None:
    """Copy rlmbox and what it requires, without what only tests and other commands need."""
    shutil.copytree(SOURCE, place / "rlmbox", ignore=shutil.ignore_patterns("__pycache__", "testing", "cli", "mcp"))
    for distribution in required():
        if _key(distribution.name) in UNUSED:
            continue
        for file in distribution.files or ():
            path = Path(str(distribution.locate_file(file)))
            if file.name in PROGRAMS and file.parts[-2:-1] == ("bin",):
                shutil.copyfile(path, place.parents[2] / "bin" / file.name)
            if ".." in file.parts or "__pycache__" in file.parts or not path.is_file():
                continue
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / file)


def required() -> list[metadata.Distribution]:
    """List the distributions that rlmbox requires, directly or not, without its extras."""
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, metadata.Distribution] = {}
    todo: list[str] = list(project["dependencies"])
    while todo:
        wanted = re.match(r"([\w.-]+)\s*(?:\[([^\]]*)\])?", todo.pop())
        if wanted is None:
            continue
        key = re.sub(r"[-_.]+", "-", wanted[1]).lower()
        extras = {extra.strip() for extra in (wanted[2] or "").split(",")}
        try:
            distribution = metadata.distribution(key)
        except metadata.PackageNotFoundError:  # for another platform
            continue
        lines = distribution.requires or ()
        asked = [line for line in lines if any(re.search(rf"extra == .{re.escape(e)}.", line) for e in extras if e)]
        todo += asked if key in found else [*asked, *(line for line in lines if "extra ==" not in line)]
        if key in found and asked:
            todo = [line for line in todo if line not in asked] + [line for line in asked if _key(line) not in found]
        found[key] = distribution
    return list(found.values())


def _key(line: str) -> str:
    name = re.match(r"[\w.-]+", line)
    return re.sub(r"[-_.]+", "-", name[0]).lower() if name else ""


def _make_programs_executable(packages: Path) -> None:
    for path in packages.rglob("*"):
        if path.is_file() and not path.suffix and path.open("rb").read(4) == b"\x7fELF":
            path.chmod(0o755)


def _strip(tree: Path) -> None:
    """Leave out debugging symbols, where the program for that is here."""
    strip = shutil.which("strip")
    if strip is not None:
        files = [str(path) for path in tree.rglob("*.so*") if path.is_file()]
        subprocess.run([strip, "--strip-debug", *files], check=False, stderr=subprocess.DEVNULL)


def build_file(tree: Path, file: Path) -> None:
    """Put the tree behind the script that unpacks it."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(tree, "tree", filter=plain)
        packed.seek(0)
        digest = hashlib.file_digest(packed, "sha256").hexdigest()[:16]
        offset = 0
        while True:  # the number is part of the text whose length it is
            script = UNPACKER.format(name=NAME, digest=digest, offset=offset).encode()
            if offset == len(script) + 1:
                break
            offset = len(script) + 1
        packed.seek(0)
        with file.open("wb") as whole:
            whole.write(script)
            shutil.copyfileobj(packed, whole)
    file.chmod(0o755)


def _size_bytes(tree: Path) -> int:
    return sum(path.lstat().st_size for path in tree.rglob("*"))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sysconfig.get_platform().partition("-")[0] != "linux":
        raise SystemExit("usage, on Linux: python packaging/tool_binary.py FOLDER")
    main(Path(sys.argv[1]))
