"""The protocol between the host and the jail's processes: descriptor numbers, paths, start-up, and messages.

Standard library only, and without ctypes, since the host imports it before it starts the first process.
"""

from __future__ import annotations

import _socket
import struct

TYPE_CHECKING = False  # every import delays the jail's start
if TYPE_CHECKING:
    from collections.abc import Sequence

INSIDE_ID = 10001
"""The user and group inside a jail."""

PROC_FD = 9
"""Where the fork server finds the directory /proc."""

CODE_FOLDER = "/usr/lib/rlmbox"
"""Where the jail's own modules are inside, in the folders `jail`, `kernel` and `worker`."""

WIRE_FD, CONTEXT_FD = 3, 4
"""Where the worker finds the wire and the context's file."""

_MESSAGE_BYTES = 4096  # the longest message of the fork server is the reason why no jail can be built


def bootstrap(folder: str, module: str) -> str:
    """Return a program that runs the `main` of one of the jail's modules, without the rest of rlmbox.

    Args:
        folder: The folder with `jail`, `kernel` and `worker`.
        module: The module's name.
    """
    return (
        "import sys\n"
        f"s,f='rlmbox.sandboxes',{folder!r}\n"
        "for n,p in (('rlmbox','/'),(s,f),*((f'{s}.{d}',f'{f}/{d}') for d in ('jail','kernel','worker'))):\n"
        " m=sys.modules[n]=type(sys)(n);m.__path__=[p]\n"
        f"from rlmbox.sandboxes.jail.{module} import main\n"
        "main()"
    )


def send(channel: _socket.socket, message: bytes, fds: Sequence[int] = ()) -> None:
    """Send a message, with descriptors."""
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"={len(fds)}i", *fds))] if fds else []
    channel.sendmsg([message], rights, _socket.MSG_NOSIGNAL)


def receive(channel: _socket.socket, flags: int = 0) -> tuple[bytes, list[int]]:
    """Receive a message and up to eight descriptors with it; an empty message means the end."""
    message, rights, _, _ = channel.recvmsg(_MESSAGE_BYTES, _socket.CMSG_SPACE(4 * 8), _socket.MSG_CMSG_CLOEXEC | flags)
    fds: list[int] = []
    for level, kind, data in rights:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            count = len(data) // 4
            fds += struct.unpack(f"={count}i", data[: 4 * count])
    return message, fds
