"""A seccomp filter that allows the system calls which a Python program needs, and nothing else.

The filter is classic BPF (`linux/seccomp.h`, `linux/bpf_common.h`), assembled here without a library. System call
numbers are from `asm/unistd_64.h` for x86_64 and `asm-generic/unistd.h` for aarch64. A call that is not listed fails
with EPERM, so that a cell gets an ordinary PermissionError; a call by another architecture's numbers, which the filter
would misinterpret, kills the process.

No allowed call can do more than read what jails share with the host. Files of the host are mounted in every jail, so
there are no file locks (a lock is visible through any mount of the file, and takes kernel memory), nothing that reveals
the disk under them (statfs) or its cache (mincore, fadvise64, some of madvise), and nothing that passes on their pages
without a copy (sendfile, copy_file_range); Python does without. A program that locks a file of its own in /tmp, as
sqlite3 does, is told that it has the lock: it is the only process.

Monty's worker, the process around a guest of `wasm` and the converter of documents have no namespaces of their own:
they see the host's processes and paths. Landlock does not restrict who may change a file's mode and times, or anybody's
limits and priority, and signals only since Linux 6.12; so the filter for these has none of `_ONLY_IN_NAMESPACES`.

New processes and programs are not allowed: only threads can be started, so that one limit on the address space covers
all memory. Memory files cannot be created (memfd_create), and descriptors can be received (recvmsg) only from
`GATE_FD`, which is closed before the first cell runs.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # every import delays the jail's start
if TYPE_CHECKING:
    from collections.abc import Iterator

# name, number on x86_64, number on aarch64; `-` for none
_ALLOWED = """
    read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69, pwritev 296 70,
    lseek 8 62, open 2 -, openat 257 56, close 3 57, close_range 436 436, dup 32 23, dup2 33 -, dup3 292 24, stat 4 -,
    fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291, access 21 -, faccessat 269 48, faccessat2 439 439,
    readlink 89 -, readlinkat 267 78, getdents 78 -, getdents64 217 61, getcwd 79 17, chdir 80 49, fchdir 81 50,
    mkdir 83 -, mkdirat 258 34, rmdir 84 -, unlink 87 -, unlinkat 263 35, rename 82 -, renameat 264 38,
    renameat2 316 276, link 86 -, linkat 265 37, symlink 88 -, symlinkat 266 36, truncate 76 45, ftruncate 77 46,
    fallocate 285 47, chmod 90 -, fchmod 91 52, fchmodat 268 53, umask 95 166, utime 132 -, utimes 235 -,
    utimensat 280 88, futimesat 261 -, fsync 74 82, fdatasync 75 83, getxattr 191 8, lgetxattr 192 9, fgetxattr 193 10,
    listxattr 194 11, llistxattr 195 12, flistxattr 196 13, mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216,
    brk 12 214, msync 26 227, poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create 213 -,
    epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -, epoll_pwait 281 22, eventfd 284 -, eventfd2 290 19,
    pipe 22 -, pipe2 293 59, timerfd_create 283 85, timerfd_settime 286 86, timerfd_gettime 287 87, sendto 44 206,
    recvfrom 45 207, shutdown 48 210, getsockname 51 204, getpeername 52 205, getsockopt 55 209, rt_sigaction 13 134,
    rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigpending 127 136, rt_sigsuspend 130 133, rt_sigtimedwait 128 137,
    sigaltstack 131 132, kill 62 129, tkill 200 130, tgkill 234 131, pause 34 -, alarm 37 -, setitimer 38 103,
    getitimer 36 102, restart_syscall 219 128, nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113,
    clock_getres 229 114, gettimeofday 96 169, time 201 -, times 100 153, getpid 39 172, gettid 186 178,
    getppid 110 173, getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148,
    getresgid 120 150, getgroups 115 158, getpgrp 111 -, getpgid 121 155, getsid 124 156, getrusage 98 165,
    getrlimit 97 163, setrlimit 160 164, getpriority 140 141, setpriority 141 140, sched_yield 24 124,
    sched_getaffinity 204 123, sched_getparam 143 121, sched_getscheduler 145 120, getcpu 309 168, sysinfo 99 179,
    uname 63 160, getrandom 318 278, set_robust_list 273 99, get_robust_list 274 100, rseq 334 293,
    set_tid_address 218 96, membarrier 324 283, arch_prctl 158 -, exit 60 93, exit_group 231 94, wait4 61 260,
    waitid 247 95, capget 125 90
"""

_ONLY_IN_NAMESPACES = frozenset(
    "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat truncate chmod fchmod "  # noqa: SIM905
    "fchmodat utime utimes utimensat futimesat getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr kill tkill "
    "tgkill getpriority setpriority sched_getparam sched_getscheduler get_robust_list".split()
)

GATE_FD = 255
"""Where a jail waits for its session: beyond the limit of open files, so nothing can be there once it is closed."""

_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_X32_BIT = 0x40000000

_CLONE_VM_FS_FILES_SIGHAND_THREAD = 0x10F00
# Flags that permit tracing or new namespaces: CLONE_PTRACE and CLONE_NEW*, including time (0x80).
_CLONE_FORBIDDEN = 0x2000 | 0x80 | 0x20000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_PRCTL = (3, 15, 16, 21, 23, 39)  # GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, CAPBSET_READ, GET_NO_NEW_PRIVS
_IOCTL = (0x5401, 0x5421, 0x541B, 0x5450, 0x5451)  # TCGETS, FIONBIO, FIONREAD, FIONCLEX, FIOCLEX
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)  # descriptors, flags, DUPFD_CLOEXEC, GETPIPE_SZ
_FCNTL_DONE = (6, 7)  # SETLK, SETLKW: reported as successful without effect
# WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET, all PRIVATE; not those with priority inheritance
# (PI). Without PRIVATE they reach waiters of other processes at the same page of a file, and all jails map the same
# files. Only WAIT and WAIT_BITSET are allowed without it: joining a thread waits so, and the kernel wakes the waiter.
_FUTEX = (*(0x80 | operation for operation in (0, 1, 3, 4, 5, 9, 10)), 0, 9)
_FUTEX_CLOCK_REALTIME = 0x100
# NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTNEED, FREE, DONTFORK, DOFORK, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP,
# GUARD_INSTALL, GUARD_REMOVE; not MERGEABLE, which reveals other memory, nor REMOVE, PAGEOUT and HWPOISON.
_MADVISE = (0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 102, 103)
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF


# Column of the table above, AUDIT_ARCH, and the numbers of the calls whose arguments are checked.
_NAMES = (
    *("column", "audit", "clone", "clone3", "prctl", "ioctl", "fcntl", "socketpair", "recvmsg", "futex", "madvise"),
    "prlimit64",
)
_ARCHES = {
    "x86_64": dict(zip(_NAMES, (1, 0xC000003E, 56, 435, 157, 16, 72, 53, 47, 202, 28, 302), strict=True)),
    "aarch64": dict(zip(_NAMES, (2, 0xC00000B7, 220, 435, 167, 29, 25, 199, 212, 98, 233, 261), strict=True)),
}

MACHINES = tuple(_ARCHES)
"""Machines, as `os.uname` names them, that there is a filter for."""

_Instruction = tuple[int, int, int, int]


def allowed(machine: str, *, in_namespaces: bool = False) -> dict[str, int]:
    """Return the system calls that are allowed with any arguments, by name.

    Args:
        machine: One of `MACHINES`.
        in_namespaces: Whether it is for a process that sees no file and no process of the host.

    Raises:
        KeyError: There is no filter for the machine.
    """
    column = _ARCHES[machine]["column"]
    entries = (entry.split() for entry in _ALLOWED.replace("\n", " ").split(","))
    numbers = {entry[0]: int(entry[column]) for entry in entries if entry[column] != "-"}
    return {name: n for name, n in numbers.items() if in_namespaces or name not in _ONLY_IN_NAMESPACES}


def program(machine: str, *, in_namespaces: bool = False) -> bytes:
    """Assemble the filter.

    Args:
        machine: One of `MACHINES`.
        in_namespaces: Whether it is for a process that sees no file and no process of the host.

    Raises:
        KeyError: There is no filter for the machine.
    """
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(machine, in_namespaces))


def _instructions(machine: str, in_namespaces: bool) -> Iterator[_Instruction]:
    arch, calls = _ARCHES[machine], allowed(machine, in_namespaces=in_namespaces)
    yield (_LOAD, 0, 0, _ARCH_AT)
    yield (_EQUAL, 1, 0, arch["audit"])
    yield (_RETURN, 0, 0, _KILL_PROCESS)
    yield (_LOAD, 0, 0, _NUMBER_AT)
    if machine == "x86_64":
        yield (_AT_LEAST, 0, 1, _X32_BIT)
        yield (_RETURN, 0, 0, _KILL_PROCESS)
    leaves = [(first, _run(first, last)) for first, last in _runs(sorted(calls.values()))]
    leaves.append((arch["clone"], _only(arch["clone"], _thread_only())))
    # The flags of clone3 are in memory, which a filter cannot read; libc falls back to clone.
    leaves.append((arch["clone3"], _only(arch["clone3"], [(_RETURN, 0, 0, _ERRNO | _ENOSYS)])))
    leaves.append((arch["prctl"], _only(arch["prctl"], _one_of(0, _PRCTL))))
    leaves.append((arch["ioctl"], _only(arch["ioctl"], _one_of(1, _IOCTL))))
    leaves.append((arch["fcntl"], _only(arch["fcntl"], _file_control())))
    leaves.append((arch["futex"], _only(arch["futex"], _one_of(1, _FUTEX, mask=0xFFFFFFFF & ~_FUTEX_CLOCK_REALTIME))))
    leaves.append((arch["madvise"], _only(arch["madvise"], _one_of(2, _MADVISE))))
    leaves.append((arch["socketpair"], _only(arch["socketpair"], _stream_pair())))
    leaves.append((arch["prlimit64"], _only(arch["prlimit64"], _one_of(0, (0,)))))  # its own limits
    leaves.append((arch["recvmsg"], _only(arch["recvmsg"], _one_of(0, (GATE_FD,)))))
    yield from _tree(sorted(leaves))


def _tree(leaves: list[tuple[int, list[_Instruction]]]) -> list[_Instruction]:
    """Join blocks for ranges of numbers, each with its first number, into a binary search.

    When a filter is installed, the kernel runs it for every system call number, to find those that it always allows:
    a linear search took 0.4 ms of a jail's start.
    """
    if len(leaves) == 1:
        return leaves[0][1]
    half = len(leaves) // 2
    lower, upper = _tree(leaves[:half]), _tree(leaves[half:])
    return [(_AT_LEAST, len(lower), 0, leaves[half][0]), *lower, *upper]


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Merge consecutive numbers into ranges."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def _run(first: int, last: int) -> list[_Instruction]:
    return [
        (_AT_LEAST, 0, 2, first),
        (_AT_LEAST, 1, 0, last + 1),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
    ]


def _only(number: int, block: list[_Instruction]) -> list[_Instruction]:
    """Run a block, every path of which ends with a return, for one system call."""
    return [(_EQUAL, 0, len(block), number), *block, (_RETURN, 0, 0, _ERRNO | _EPERM)]


def _argument(index: int) -> _Instruction:
    """Load the lower half of an argument; all checked arguments are of type `int`."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * index)


def _one_of(index: int, values: tuple[int, ...], *, mask: int | None = None) -> list[_Instruction]:
    masked = [] if mask is None else [(_AND, 0, 0, mask)]
    tests = [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [_argument(index), *masked, *tests, (_RETURN, 0, 0, _ERRNO | _EPERM), (_RETURN, 0, 0, _ALLOW)]


def _file_control() -> list[_Instruction]:
    done = [(_EQUAL, len(_FCNTL_DONE) - 1 - place, 0, value) for place, value in enumerate(_FCNTL_DONE[:-1])]
    last = (_EQUAL, 0, 1, _FCNTL_DONE[-1])
    return [_argument(1), *done, last, (_RETURN, 0, 0, _ERRNO), *_one_of(1, _FCNTL)]


def _thread_only() -> list[_Instruction]:
    return [
        _argument(0),
        (_ANY_BIT, 3, 0, _CLONE_FORBIDDEN),
        (_AND, 0, 0, _CLONE_VM_FS_FILES_SIGHAND_THREAD),
        (_EQUAL, 0, 1, _CLONE_VM_FS_FILES_SIGHAND_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
    ]


def _stream_pair() -> list[_Instruction]:
    """Allow a pair of connected stream sockets, with which asyncio wakes itself; it reaches only its other end."""
    return [
        _argument(0),
        (_EQUAL, 0, 4, _AF_UNIX),
        _argument(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        (_EQUAL, 0, 1, _SOCK_STREAM),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
    ]
