"""The jail's filter, run in a small interpreter of classic BPF: what it lets through is exactly what is listed."""

import re
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlmbox.sandboxes.jail import _child
from rlmbox.sandboxes.kernel import _seccomp

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
SPECIAL = {
    "x86_64": {56, 435, 157, 16, 72, 53, 47, 202, 28, 302},
    "aarch64": {220, 435, 167, 29, 25, 199, 212, 98, 233, 261},
}
THREAD = 0x3D0F00  # what glibc starts a thread with
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}
OPENERS = """
execve execveat fork vfork socket connect bind listen accept accept4 sendmsg recvmsg unshare setns mount umount2
pivot_root chroot ptrace process_vm_readv process_vm_writev io_uring_setup io_uring_enter bpf keyctl add_key
request_key userfaultfd perf_event_open open_by_handle_at name_to_handle_at kexec_load init_module pidfd_open
pidfd_getfd memfd_create memfd_secret shmget shmat msgget semget mq_open seccomp personality mknodat setuid capset
fsopen move_mount open_tree landlock_create_ruleset inotify_init1 fanotify_init vmsplice splice sched_setaffinity mlock
flock statfs fstatfs sendfile copy_file_range mincore fadvise64 futex_waitv
"""
CHANGES_OTHERS = """
kill tkill tgkill setpriority mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink
symlinkat truncate chmod fchmod fchmodat utime utimes utimensat futimesat
"""
GENERIC_NAMES = {"newfstatat": "fstatat"}


def decision(machine: str, number: int, *arguments: int, arch: int | None = None, in_namespaces: bool = False) -> int:
    """Runs the filter on a system call."""
    words = [number, ARCH[machine] if arch is None else arch, 0, 0]
    for argument in [*arguments, *[0] * (6 - len(arguments))]:
        words += [argument & 0xFFFFFFFF, argument >> 32]
    program = list(struct.iter_unpack("=HBBI", _seccomp.program(machine, in_namespaces=in_namespaces)))
    at = accumulator = 0
    while True:
        code, if_true, if_false, constant = program[at]
        at += 1
        if code == 0x20:
            accumulator = words[constant // 4]
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x06:
            return int(constant)
        else:
            holds = {0x15: accumulator == constant, 0x35: accumulator >= constant, 0x45: accumulator & constant}[code]
            at += if_true if holds else if_false


machines = pytest.mark.parametrize("machine", _seccomp.MACHINES)


@machines
@given(number=st.integers(0, 600), in_namespaces=st.booleans())
def test_a_call_passes_exactly_when_it_is_listed(machine: str, number: int, in_namespaces: bool) -> None:
    listed = number in _seccomp.allowed(machine, in_namespaces=in_namespaces).values()
    if number not in SPECIAL[machine]:
        assert decision(machine, number, in_namespaces=in_namespaces) == (ALLOW if listed else EPERM)


@machines
@given(number=st.integers(0, 2**32 - 1), arch=st.integers(0, 2**32 - 1))
@example(number=0, arch=0x40000003)  # i386, which `int 0x80` reaches
@example(number=0, arch=0)
def test_a_call_by_another_architectures_numbers_ends_the_process(machine: str, number: int, arch: int) -> None:
    if arch != ARCH[machine]:
        assert decision(machine, number, arch=arch) == KILL


@given(number=st.integers(0x40000000, 2**32 - 1))
def test_x32_ends_the_process(number: int) -> None:
    assert decision("x86_64", number) == KILL


@machines
@given(flags=st.integers(0, 2**32 - 1))
@example(flags=17)  # fork
@example(flags=0x4111)  # vfork
@example(flags=THREAD | 0x10000000)
def test_clone_makes_threads_and_nothing_else(machine: str, flags: int) -> None:
    # CLONE_THREAD, and nothing of the namespaces or of tracing.
    thread = flags & 0x10F00 == 0x10F00 and not flags & 0x7E022080
    assert decision(machine, CLONE[machine], flags) == (ALLOW if thread else EPERM)


@machines
def test_threads_as_glibc_starts_them_are_allowed(machine: str) -> None:
    assert decision(machine, CLONE[machine], THREAD) == ALLOW
    assert decision(machine, CLONE3) == ENOSYS


@machines
@pytest.mark.parametrize(
    ("call", "arguments", "passes"),
    [
        ("prctl", (15,), True),
        ("prctl", (21,), True),
        ("prctl", (22, 2), False),  # another filter
        ("prctl", (38, 1), False),
        ("ioctl", (0, 0x5421), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI
        ("ioctl", (0, 0x541C), False),  # TIOCLINUX
        ("fcntl", (0, 1), True),
        ("fcntl", (0, 1031), False),  # F_SETPIPE_SZ
        ("fcntl", (0, 5), False),  # F_GETLK
        ("fcntl", (0, 36), False),
        ("fcntl", (0, 37), False),  # F_OFD_SETLK
        ("fcntl", (0, 38), False),
        ("futex", (0, 0x80), True),
        ("futex", (0, 0x189), True),
        ("futex", (0, 0x8A), True),
        ("futex", (0, 9), True),
        ("futex", (0, 1), False),  # WAKE of whoever waits at a page of a file, in another jail too
        ("futex", (0, 10), False),
        ("futex", (0, 0x101), False),
        ("futex", (0, 6), False),  # LOCK_PI
        ("futex", (0, 0x86), False),
        ("futex", (0, 13), False),
        ("madvise", (0, 4096, 4), True),
        ("madvise", (0, 4096, 12), False),  # MERGEABLE
        ("madvise", (0, 4096, 100), False),  # HWPOISON
        ("madvise", (0, 4096, 21), False),  # PAGEOUT
        ("socketpair", (1, 1), True),
        ("socketpair", (1, 0x80801), True),
        ("socketpair", (1, 2), False),
        ("socketpair", (2, 1), False),
        ("prlimit64", (0, 7), True),
        ("prlimit64", (1, 7), False),  # another process's limits
        ("recvmsg", (255,), True),  # where a jail gets its context before the first cell, and never again
        ("recvmsg", (3,), False),
        ("recvmsg", (254,), False),
    ],
)
def test_arguments_decide(machine: str, call: str, arguments: tuple[int, ...], passes: bool) -> None:
    number = _seccomp._ARCHES[machine][call]
    assert decision(machine, number, *arguments) == (ALLOW if passes else EPERM)


@machines
def test_what_could_open_a_wall_is_not_on_the_list(machine: str) -> None:
    assert not set(OPENERS.split()) & set(_seccomp.allowed(machine, in_namespaces=True))


@machines
def test_a_process_that_sees_those_of_the_host_and_its_paths_can_change_neither(machine: str) -> None:
    assert not set(CHANGES_OTHERS.split()) & set(_seccomp.allowed(machine))


@machines
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = Path(HEADERS[machine])
    if not header.is_file():
        pytest.skip(f"{header} is not installed")
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+) (\d+)", header.read_text()))
    special = {name: number for name, number in _seccomp._ARCHES[machine].items() if name not in ("column", "audit")}
    for name, number in {**_seccomp.allowed(machine, in_namespaces=True), **special}.items():
        known = numbers.get(name) or numbers[GENERIC_NAMES.get(name, name)]
        assert number == int(known), name


def test_every_filter_fits_the_kernels_limit() -> None:
    assert all(len(_seccomp.program(machine, in_namespaces=True)) // 8 < 4096 for machine in _seccomp.MACHINES)


def test_what_a_filter_still_lets_a_jail_receive_from_is_no_descriptor_that_a_cell_can_have() -> None:
    assert _seccomp.GATE_FD >= _child.OPEN_FILES


def test_there_is_no_filter_for_an_unknown_machine() -> None:
    with pytest.raises(KeyError):
        _seccomp.program("vax")
