"""System calls for isolation that have no function in Python 3.11.

Runs in processes without rlmbox: standard library only. Numbers are those of `linux/sched.h`, `linux/mount.h`,
`linux/prctl.h` and `linux/capability.h`.
"""

from __future__ import annotations

import ctypes
import os
import struct

NEW_MOUNTS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000

READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
_RECURSIVE, _PRIVATE, _DETACH = 16384, 1 << 18, 2
# Mount flags as reported by statvfs, and the flags that keep them; a less privileged namespace may not drop them.
_KEPT = ((2, 2), (4, 4), (8, 8), (1024, 1024), (2048, 2048), (4096, 1 << 21))

_SET_PARENT_DEATH_SIGNAL, _SET_NAME, _SET_SECCOMP, _DROP_BOUNDING, _SET_SECURE_BITS = 1, 15, 22, 24, 28
_SET_NO_NEW_PRIVILEGES, _SET_SUBREAPER, _AMBIENT, _AMBIENT_CLEAR_ALL = 38, 36, 47, 4
_SET_DUMPABLE = 4
_FILTER = 2
_ALL_SECURE_BITS_LOCKED = 0xEF  # NOROOT, NO_SETUID_FIXUP, KEEP_CAPS locked off, NO_CAP_AMBIENT_RAISE
CAPABILITY_HEADER = struct.pack("=Ii", 0x20080522, 0)
"""The first argument of `capset` for the calling thread; the second is 24 bytes, of zeros for no capability."""
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1
_CLOSE_RANGE = 436
_LAST_DESCRIPTOR = 0x7FFFFFFF


_loaded: list[ctypes.CDLL] = []


def libc() -> ctypes.CDLL:
    """Return the C library."""
    if not _loaded:
        _loaded.append(ctypes.CDLL(None, use_errno=True))
    return _loaded[0]


def checked(result: int, what: str) -> int:
    """Return the result of a call.

    Raises:
        OSError: The call failed; the message names its purpose.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int, what: str) -> None:
    """Enter new namespaces."""
    checked(libc().unshare(flags), what)


def map_ids(proc_fd: int, inside_id: int, user: int, group: int) -> None:
    """Map one user and one group into this process's new user namespace: its own, under other ids.

    Args:
        proc_fd: The directory /proc.
        inside_id: The id inside.
        user: This process's user id before it entered the namespace.
        group: Its group id.
    """
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside_id} {user} 1"),
        ("gid_map", f"{inside_id} {group} 1"),
    ):
        write_own(proc_fd, name, text)


def write_own(proc_fd: int, name: str, text: str) -> None:
    """Write to a file of this process in /proc, whose directory is `proc_fd`."""
    fd = os.open(f"self/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount something."""
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    result = libc().mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    checked(result, f"mount of {kind or source or 'flags'} at {target}")


def bind_read_only(source: str, target: str) -> None:
    """Mount a file or directory in another place, read-only."""
    mount(source, target, None, BIND)
    remount_read_only(target)


def remount_read_only(target: str) -> None:
    """Make a mount read-only, without devices and setuid programs."""
    now = os.statvfs(target).f_flag
    kept = sum(flag for bit, flag in _KEPT if now & bit)
    mount(None, target, None, BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEV | kept)


def make_mounts_private() -> None:
    """Keep later mounts from propagating to the namespace that this one was copied from."""
    mount(None, "/", None, _RECURSIVE | _PRIVATE)


def change_root(directory: str) -> None:
    """Make a mount the root, and unmount everything that was mounted before."""
    os.chdir(directory)
    checked(libc().syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
    checked(libc().umount2(b".", _DETACH), "umount of the old root")
    os.chdir("/")


def set_host_name(name: str) -> None:
    """Set the host name, in a new UTS namespace."""
    checked(libc().sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def leave_keyrings() -> None:
    """Replace the session keyring by an empty one; a kernel may lack keyrings."""
    libc().syscall(_KEYCTL[os.uname().machine], _JOIN_SESSION_KEYRING, None)


def become_subreaper() -> None:
    """Make orphaned descendants children of this process."""
    _prctl("subreaper", _SET_SUBREAPER, 1)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send a signal when the parent ends."""
    _prctl("parent death signal", _SET_PARENT_DEATH_SIGNAL, signal_number)


def set_name(name: bytes) -> None:
    """Set this process's name in process lists; at most 15 bytes."""
    _prctl("name", _SET_NAME, name)


def drop_privileges() -> None:
    """Drop all capabilities, including those that could be regained, and the possibility to gain any by execve."""
    last = 63
    for capability in range(last + 1):
        if libc().prctl(_DROP_BOUNDING, capability, 0, 0, 0) < 0:
            break  # beyond the last one known to the kernel
    _prctl("ambient capabilities", _AMBIENT, _AMBIENT_CLEAR_ALL)
    _prctl("securebits", _SET_SECURE_BITS, _ALL_SECURE_BITS_LOCKED)
    drop_capabilities()
    forbid_new_privileges()


def drop_capabilities() -> None:
    """Drop all capabilities; with `forbid_new_privileges` they cannot be regained."""
    checked(libc().capset(CAPABILITY_HEADER, bytes(24)), "capset")


def forbid_dumps() -> None:
    """Prevent core dumps of this process, including those piped to a program."""
    _prctl("dumpable", _SET_DUMPABLE, 0)


def forbid_new_privileges() -> None:
    """Prevent executed programs from gaining privileges."""
    _prctl("no_new_privs", _SET_NO_NEW_PRIVILEGES, 1)


def close_from(first: int, *, but: int = -1) -> None:
    """Close all descriptors from a number on, except one."""
    ranges = ((first, but - 1), (but + 1, _LAST_DESCRIPTOR)) if but >= first else ((first, _LAST_DESCRIPTOR),)
    for start, end in ranges:
        if start <= end and libc().syscall(_CLOSE_RANGE, start, end, 0) < 0:
            os.closerange(start, min(end + 1, os.sysconf("SC_OPEN_MAX")))


def install_filter(program: bytes) -> None:
    """Install a seccomp filter; needs no_new_privs. It cannot be removed."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    buffer = ctypes.create_string_buffer(program, len(program))
    described = Program(len(program) // 8, ctypes.addressof(buffer))
    _prctl("seccomp", _SET_SECCOMP, _FILTER, ctypes.byref(described))


def _prctl(what: str, option: int, *arguments: object) -> None:
    given = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    given += [ctypes.c_ulong(0)] * (4 - len(given))
    checked(libc().prctl(option, *given), what)
