"""The shared libraries that a program needs, read from its ELF headers without running it.

Layout from the System V ABI's "Object Files" chapter; the search order of directories is that of `ld.so(8)`.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MAGIC, _CLASS_64, _LITTLE_ENDIAN = b"\x7fELF", 2, 1
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRING_TABLE, _STRINGS_BYTES, _RPATH, _RUNPATH = 1, 5, 10, 15, 29


@dataclass(frozen=True, slots=True)
class Elf:
    """The dynamic linking information of a file.

    Attributes:
        needed: Names of libraries, such as `libc.so.6`.
        search: Directories that the file itself names, with `$ORIGIN` replaced.
        interpreter: Path of the loader; empty for a library.
    """

    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    interpreter: str = ""


def read_elf(path: Path) -> Elf | None:
    """Read a file's headers; return None if it is not a 64-bit little-endian ELF file.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _ElfReader(file.read(64), file, path).read()
    except (struct.error, ValueError):
        return None


class _ElfReader:
    def __init__(self, header: bytes, file: object, path: Path) -> None:
        if header[:6] != _MAGIC + bytes((_CLASS_64, _LITTLE_ENDIAN)):
            raise ValueError("not such a file")
        self._file = file
        self._path = path
        self._table_at, _, _, _, self._entry_size, self._entries = struct.unpack_from("<QQIHHH", header, 32)

    def _bytes(self, at: int, size: int) -> bytes:
        self._file.seek(at)  # type: ignore[attr-defined]
        return self._file.read(size)  # type: ignore[attr-defined,no-any-return]

    def read(self) -> Elf:
        table = self._bytes(self._table_at, self._entry_size * self._entries)
        # type, flags, offset, address, physical address, size in the file
        segments = [struct.unpack_from("<IIQQQQ", table, n * self._entry_size) for n in range(self._entries)]
        interpreter, dynamic = "", b""
        for kind, _, offset, _, _, size in segments:
            if kind == _INTERPRETER:
                interpreter = self._bytes(offset, size).rstrip(b"\0").decode()
            elif kind == _DYNAMIC:
                dynamic = self._bytes(offset, size)
        tags = [struct.unpack_from("<QQ", dynamic, at) for at in range(0, len(dynamic) - 15, 16)]
        values = dict(tags)
        if _STRING_TABLE not in values:
            return Elf(interpreter=interpreter)
        strings_at = values[_STRING_TABLE]
        loaded = next(s for s in segments if s[0] == _LOAD and s[3] <= strings_at < s[3] + s[5])
        strings = self._bytes(loaded[2] + strings_at - loaded[3], values[_STRINGS_BYTES])

        def text(at: int) -> str:
            return strings[at : strings.index(b"\0", at)].decode()

        needed = tuple(text(value) for tag, value in tags if tag == _NEEDED)
        search = [folder for tag, value in tags if tag in (_RPATH, _RUNPATH) for folder in text(value).split(":")]
        origin = str(self._path.resolve().parent)
        named = tuple(f.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for f in search if f)
        return Elf(needed, named, interpreter)


def libraries(files: Iterable[Path], search: tuple[str, ...] = ()) -> dict[str, Path]:
    """Find the libraries that files need, directly or indirectly, by name.

    A library that is not found is left out: a program that needs it cannot run on this machine either.

    Args:
        files: The files.
        search: Directories of the program that loads them, searched after those that a file names itself.
    """
    found: dict[str, Path] = {}
    todo: list[tuple[Path, tuple[str, ...]]] = [(path, search) for path in files]
    while todo:
        path, inherited = todo.pop()
        elf = read_elf(path)
        if elf is None:
            continue
        folders = (*elf.search, *inherited)
        for name in elf.needed:
            if name not in found and (library := _located(name, folders)) is not None:
                found[name] = library
                todo.append((library, folders))
    return found


def _located(name: str, search: tuple[str, ...]) -> Path | None:
    for folder in (*search, *_default_folders()):
        candidate = Path(folder, name)
        if candidate.is_file():
            return candidate
    return None


@cache
def _default_folders() -> tuple[str, ...]:
    triplet = getattr(sys.implementation, "_multiarch", "x86_64-linux-gnu")
    known = (f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
    return tuple(folder for folder in (*known, *_configured(Path("/etc/ld.so.conf"))) if Path(folder).is_dir())


def _configured(file: Path) -> Iterator[str]:
    """Read `ld.so.conf` and the files that it includes."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        words = line.partition("#")[0].split()
        if words[:1] == ["include"] and len(words) == 2 and words[1].startswith("/"):
            for included in sorted(Path("/").glob(words[1].lstrip("/"))):
                yield from _configured(included)
        elif len(words) == 1:
            yield words[0]
