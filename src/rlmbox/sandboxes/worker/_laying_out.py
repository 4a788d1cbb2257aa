"""The delivery of texts to a worker: short ones in the start frame, all others in one file.

A worker is given one file at most. If a text is a handle over a file of the user's, it is that file, and other long
texts are sent in the frame or read through the host.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from rlmbox.context import Context
from rlmbox.sandboxes._texts import NamedText

_MOST_KEPT, _KEPT_BYTES = 4, 64 * 1024 * 1024
_INLINE_BYTES = 1 << 15  # sending so much in the first frame is quicker than making a file


class LaidOut:
    """The texts of a session, arranged for a worker.

    Args:
        texts: The texts.

    Attributes:
        fd: The file, to be closed by whoever launched the worker; None if there is none.
    """

    def __init__(self, texts: Sequence[NamedText]) -> None:
        self._texts = texts
        self._offsets: dict[str, int] = {}
        self.fd: int | None = None
        for each in texts:
            if each.is_handle and (backing := each.text.backing()) is not None:
                self._offsets[each.name] = backing.offset
                self.fd = backing.open()
                return
        filed = [each for each in texts if each.is_handle or each.text.size_bytes > _INLINE_BYTES]
        offset = 0
        for each in filed:
            self._offsets[each.name] = offset
            offset += each.text.size_bytes
        if filed:
            self.fd = _kept_files.open(filed[0].text) if len(filed) == 1 else _file_of([each.text for each in filed])

    def sources(self, place: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the entry of the start frame for each text, by variable.

        Args:
            place: Where the worker finds the file; empty if it cannot be given one and reads handles through the host.
        """
        return {each.name: self._source(each, place) for each in self._texts}

    def _source(self, each: NamedText, place: Mapping[str, Any]) -> dict[str, Any]:
        text, offset = each.text, self._offsets.get(each.name)
        where = {**place, "offset": offset} if place and offset is not None else {}
        facts: dict[str, Any] = {"kind": "large" if each.is_handle else "str", "size_bytes": text.size_bytes, **where}
        if each.is_handle:
            return {
                **facts,
                "object": each.object,
                "length": text.length,
                "is_ascii": text.size_bytes == text.length,
            }
        return facts if where else {"kind": "str", "text": text.text()}


class _KeptFiles:
    """The files of the last few texts: all sessions over one text, and their children, are shown the same file.

    Nobody can write it any more, and each session has it opened for itself, to be read from its beginning.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[int, int] = OrderedDict()  # descriptors, by the identity of the text
        self._lock = threading.Lock()

    def open(self, text: Context) -> int:
        """Return a new descriptor of a file with a text.

        Args:
            text: The text.
        """
        if not _can_be_shared() or text.size_bytes > _KEPT_BYTES:
            return _file_of([text])
        with self._lock:
            if id(text) not in self._files:
                self._keep(text)
            self._files.move_to_end(id(text))
            return os.open(f"/proc/self/fd/{self._files[id(text)]}", os.O_RDONLY | os.O_CLOEXEC)

    def _keep(self, text: Context) -> None:
        import fcntl

        fd = self._files[id(text)] = _file_of([text])
        weakref.finalize(text, self._forget, id(text))
        fcntl.fcntl(
            fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        )
        if len(self._files) > _MOST_KEPT:
            os.close(self._files.popitem(last=False)[1])

    def _forget(self, identity: int) -> None:
        """Close the file of a text that is gone; without the lock, which the thread that notices it may hold."""
        fd = self._files.pop(identity, None)
        if fd is not None:
            os.close(fd)


_kept_files = _KeptFiles()


def _can_be_shared() -> bool:
    return hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd")  # noqa: PTH112 - quicker than a `Path`


def _file_of(texts: Sequence[Context]) -> int:
    """Write texts to an unnamed file, which is deleted with its last descriptor."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("context", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        for text in texts:
            for piece in text.pieces():
                left = memoryview(piece)
                while left:
                    left = left[os.write(fd, left) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
