"""Documents that are not text -> text, in a child process with limits, because their files may be hostile."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from rlmbox.context.load import converters
from rlmbox.context.storage.caching import cache_folder, trim
from rlmbox.errors import ContextError

TIMEOUT_S = 300
MEMORY_BYTES = 1024**3
OUTPUT_BYTES = 512 * 1024**2
KEPT_S = 1.0
"""What took this many seconds to convert is kept in the cache."""
CACHE_BYTES = 2 * 1024**3
REMEDY = "pip install 'rlmbox[documents]'"

_FORMAT = 1
_FOLDER = "converted"
_SETTLED_NS = 2_000_000_000
_HEAD_BYTES = 16 * 1024**2
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# The host's module path, because `-I` leaves out what a variable of the environment added to it.
_BOOT = """\
import json, sys
suffix, seconds, memory, output, sys.path[:] = json.loads(sys.argv[1])
from rlmbox.context.load.converters import main
main(suffix, seconds, memory, output)
"""


@dataclass(frozen=True, slots=True)
class Converted:
    """The text of a document.

    Attributes:
        text: Markdown for Word and HTML, a block of CSV below a heading for each sheet of a workbook, and plain
            text for PDF.
        page_starts: Where each page, or sheet, begins, in characters; empty where there are none.
    """

    text: str
    page_starts: tuple[int, ...] = ()


def convertible(path: Path, *, named: bool = True) -> bool:
    """Whether a file is a document that is read by converting it, by its ending.

    HTML is text as it is, too. It is converted where somebody named the file and the packages for it are installed;
    among the files of a folder it is read as its source, as a template of a program should be.

    Args:
        path: The file, which need not exist.
        named: Whether it was asked for by its name.
    """
    suffix = path.suffix.lower()
    if suffix in converters.HTML_SUFFIXES:
        return named and find_spec("markdownify") is not None
    return suffix in converters.SUFFIXES


def convert(path: Path, *, timeout_s: int = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES) -> Converted:
    """Reads a document.

    Args:
        path: The file; its ending says of which kind it is.
        timeout_s: Seconds, of the clock and of the processor, after which it is given up.
        memory_bytes: Memory that the child process may take, the packages included.

    Raises:
        ContextError: It cannot be read, is broken, locked or without text, or needs more than the limits; or the
            packages for it are not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in converters.SUFFIXES:
        raise ContextError(f"{path}: has no ending of a document that can be converted; convert it to text first")
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ContextError(f"{path}: cannot be read ({why}); check the path and its permissions") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ContextError(f"{path}: is not a regular file; write its content to a file and give that")
        key = _key(path, status)
        if (kept := _kept(key)) is not None:
            return kept
        began = time.monotonic()
        with tempfile.TemporaryFile() as output:
            ended = _run(path, [suffix, timeout_s, memory_bytes, OUTPUT_BYTES], descriptor, output, timeout_s)
            converted = _answer(path, ended, output, timeout_s)
        # A file that has just changed may change again without its time of change telling.
        if time.monotonic() - began >= KEPT_S and abs(time.time_ns() - status.st_mtime_ns) > _SETTLED_NS:
            _keep(key, converted)
        return converted
    finally:
        os.close(descriptor)


def _key(path: Path, status: os.stat_result) -> str:
    """Gives the name under which a file's text is kept: its place, its state, and what converts it."""
    state = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    seen = repr((os.path.abspath(path), state, _FORMAT, _versions()))  # noqa: PTH100 - links stay as they are
    return hashlib.sha256(seen.encode("utf-8", "surrogateescape")).hexdigest()


def _versions() -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("pypdf", "mammoth", "markdownify", "python-calamine"):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def _kept(key: str) -> Converted | None:
    try:
        place = cache_folder(_FOLDER) / key
        with place.open("rb") as file:
            head, data = _head(file), file.read()
        os.utime(place)
    except (OSError, ContextError):
        return None
    if head is None or head.get("sha256") != hashlib.sha256(data).hexdigest():
        return None
    text = data.decode("utf-8", "replace")
    return Converted(text, _page_starts(head.get("page_starts"), len(text)))


def _keep(key: str, converted: Converted) -> None:
    """Keeps what took long to convert; where there is no place for it, the next time takes as long again."""
    data = converted.text.encode("utf-8", "replace")
    head = {"page_starts": converted.page_starts, "sha256": hashlib.sha256(data).hexdigest()}
    with suppress(OSError, ContextError):
        folder = cache_folder(_FOLDER)
        descriptor, name = tempfile.mkstemp(prefix=".part-", dir=folder)
        part = Path(name)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(json.dumps(head).encode() + b"\n" + data)
            part.replace(folder / key)
        finally:
            part.unlink(missing_ok=True)
        trim(folder, CACHE_BYTES, keep=folder / key)


def _run(path: Path, arguments: list[object], file: int, output: IO[bytes], timeout_s: float) -> int:
    places = [place for place in sys.path if Path(place).is_absolute()]
    command = [sys.executable, "-I", "-X", "utf8", "-c", _BOOT, json.dumps([*arguments, places])]
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    child = subprocess.Popen(  # noqa: S603 - our own interpreter, and nothing of the file in its arguments
        command, stdin=file, stdout=output, stderr=subprocess.DEVNULL, env=kept
    )
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise _too_slow(path, timeout_s) from None
    finally:
        child.kill()
        child.wait()


def _too_slow(path: Path, timeout_s: float) -> ContextError:
    return ContextError(f"{path}: converting it took longer than {timeout_s:g} s; give a part of it, or its text")


def _answer(path: Path, status: int, output: IO[bytes], timeout_s: float) -> Converted:
    output.seek(0)
    head = _head(output) if status in (0, converters.FAILED) else None
    if head is None:
        if status == -getattr(signal, "SIGXCPU", 0):
            raise _too_slow(path, timeout_s)
        raise ContextError(
            f"{path}: cannot be converted: the converter ended with status {status}, most likely out of memory or"
            " with more text than it may write; give a part of it, or its text"
        )
    if "missing" in head:
        raise ContextError(f"{path}: reading {path.suffix.lower()} needs other packages: {REMEDY}")
    if status:
        reason = "".join(c if c.isprintable() else " " for c in str(head.get("error"))[:500])
        raise ContextError(f"{path}: cannot be converted: {reason}")
    text = output.read().decode("utf-8", "replace")
    return Converted(text, _page_starts(head.get("page_starts"), len(text)))


def _head(output: IO[bytes]) -> dict[str, object] | None:
    try:
        head = json.loads(output.readline(_HEAD_BYTES))
    except (ValueError, RecursionError):
        return None
    return head if isinstance(head, dict) else None


def _page_starts(value: object, length: int) -> tuple[int, ...]:
    """Takes the child's word for its pages only as far as it can be true."""
    if not isinstance(value, list) or not all(type(start) is int for start in value):
        return ()
    return tuple(value) if value == sorted(value) and (not value or 0 <= value[0] <= value[-1] <= length) else ()
