"""Landlock, a second layer of file protection behind the mounts.

Structures and numbers are those of `linux/landlock.h`; the system calls have the same numbers on all machines.
"""

from __future__ import annotations

import ctypes
import os
import struct

from rlmbox.sandboxes.kernel._calls import checked, libc

TYPE_CHECKING = False  # every import delays the jail's start
if TYPE_CHECKING:
    from collections.abc import Mapping

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION, _PATH_BENEATH = 1, 1

_WRITE_FILE, _READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE, _MAKE_LINK = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
READ = _READ_FILE | READ_DIR
"""Files can be read and directories listed."""
SCRATCH = READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_FILE | _MAKE_LINK | _REFER | _TRUNCATE
"""Files, directories and links can be made too; nothing can be executed, and no device, pipe or socket be made."""

_ALL_SINCE = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # IOCTL_DEV since 5
_TCP_BIND_AND_CONNECT, _ABSTRACT_SOCKETS_AND_SIGNALS = 3, 3


def landlock_abi() -> int:
    """Return the kernel's version of Landlock; 0 for none."""
    return max(0, int(libc().syscall(_CREATE_RULESET, None, 0, _GET_VERSION)))


def restrict(paths: Mapping[str, int]) -> bool:
    """Deny all access to files that is not listed, and TCP; needs no_new_privs. Return whether Landlock is available.

    Args:
        paths: Directories, with the access allowed below them.

    Raises:
        OSError: The kernel has Landlock and refuses.
    """
    if not landlock_abi():
        return False
    attributes, handled = ruleset()
    made = checked(libc().syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "Landlock")
    try:
        for path, rights in paths.items():
            _allow(made, path, rights & handled)
        checked(libc().syscall(_RESTRICT_SELF, made, 0), "Landlock's restriction")
    finally:
        os.close(made)
    return True


def ruleset() -> tuple[bytes, int]:
    """Return the attributes of a ruleset that denies everything this kernel's Landlock can, and its file rights."""
    abi = landlock_abi()
    handled = max(rights for since, rights in _ALL_SINCE.items() if since <= abi)
    network = _TCP_BIND_AND_CONNECT if abi >= 4 else 0
    scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0
    return struct.pack("=QQQ", handled, network, scoped)[: 24 if abi >= 6 else 16 if abi >= 4 else 8], handled


def _allow(ruleset: int, path: str, rights: int) -> None:
    directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, directory)
        checked(libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"Landlock's rule for {path}")
    finally:
        os.close(directory)
