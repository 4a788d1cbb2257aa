"""Assembles a launcher that is a list of system calls, for Linux on x86_64, without a compiler.

Confining a worker takes two dozen system calls. An interpreter takes thirty times as long to start as these calls take;
this program makes them one after the other, and exits as soon as a required one fails. Its file is ELF (see `elf(5)`):
headers, a page of instructions, and the data that the calls point to. Calls follow `syscall(2)`: the number in rax,
arguments in rdi, rsi, rdx, r10 and so on, the result in rax.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from rlmbox.sandboxes.kernel._calls import CAPABILITY_HEADER
from rlmbox.sandboxes.kernel._landlock import ruleset

MACHINE = "x86_64"
"""The machine that the programs run on, as in `os.uname`."""

_OPEN, _CLOSE, _DUP2, _EXECVE, _EXIT, _SETPGID, _PRCTL, _SETRLIMIT = 2, 3, 33, 59, 60, 109, 157, 160
_CAPSET, _CLOSE_RANGE = 126, 436
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _PATH_BENEATH = 444, 445, 446, 1
_WRITE_ONLY, _PATH_ONLY, _CLOSE_AT_EXEC = 1, 0o10000000, 0o2000000
_FILE_SIZE_LIMIT, _CORE_LIMIT = 1, 4
_LAST_DESCRIPTOR = 2**32 - 1
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_FAILED = 70

_CODE_AT, _DATA_AT, _PAGE = 0x400000, 0x600000, 4096
_HEADER_BYTES, _SEGMENT_BYTES = 64, 56
_CODE_BEGIN = _HEADER_BYTES + 3 * _SEGMENT_BYTES
_READ, _READ_AND_WRITE, _READ_AND_EXECUTE = 4, 6, 5
_LOADED, _STACK_FLAGS = 1, 0x6474E551
_SYSCALL = b"\x0f\x05"
_RAX, _RDX, _RSP, _RSI, _RDI, _R8, _R9, _R10 = 0, 2, 4, 6, 7, 8, 9, 10


@dataclass(frozen=True, slots=True)
class _Saved:
    """A value in a callee-saved register, or the top of the stack."""

    register: int


_RULESET, _FILE, _ARGUMENTS, _RULE = _Saved(12), _Saved(13), _Saved(14), _Saved(_RSP)


def launcher(binary: str, paths: Mapping[str, int], program: bytes, *, core_bytes: int) -> bytes:
    """Return a program that confines itself and executes another one, with the same arguments and no environment.

    Args:
        binary: The other program.
        paths: Access rights by path of file or directory; see `_landlock.restrict`.
        program: The seccomp filter.
        core_bytes: Size limit of its core dump.
    """
    assembled = _Assembler()
    assembled.begin(binary)
    call = assembled.call
    call(_SETPGID, 0, 0)  # Ctrl-C at a terminal is for the host, which decides whether to end the cell
    call(_CLOSE_RANGE, 3, _LAST_DESCRIPTOR, 0)  # Monty's pool passes on what the host has open and inheritable
    call(_OPEN, b"/dev/null\0", _WRITE_ONLY | _CLOSE_AT_EXEC, keep=_FILE)
    call(_DUP2, _FILE, 2)
    call(
        _SETRLIMIT, _CORE_LIMIT, struct.pack("=QQ", core_bytes, core_bytes), may_fail=True
    )  # fails if the limit is lower already
    call(_SETRLIMIT, _FILE_SIZE_LIMIT, bytes(16))
    call(_PRCTL, _NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    call(_CAPSET, CAPABILITY_HEADER, bytes(24))
    attributes, handled = ruleset()
    call(_CREATE_RULESET, attributes, len(attributes), 0, keep=_RULESET)
    for path, rights in paths.items():
        call(_OPEN, os.fsencode(path) + b"\0", _PATH_ONLY | _CLOSE_AT_EXEC, keep=_FILE)
        assembled.write_rule(rights & handled)
        call(_ADD_RULE, _RULESET, _PATH_BENEATH, _RULE, 0)
        call(_CLOSE, _FILE)
    call(_RESTRICT_SELF, _RULESET, 0)
    call(_CLOSE, _RULESET)
    call(_PRCTL, _SECCOMP, _FILTER, struct.pack("=HxxxxxxQ", len(program) // 8, assembled.address(program)), 0, 0)
    call(_EXECVE, os.fsencode(binary) + b"\0", _ARGUMENTS, bytes(8))
    return assembled.file()


class _Assembler:
    """Accumulates instructions and the data they refer to."""

    def __init__(self) -> None:
        self._code, self._data = bytearray(), bytearray()

    def begin(self, name: str) -> None:
        """Save the address of the arguments, replace the first by a name, and reserve stack space."""
        self._code += b"\x4c\x8d\x74\x24\x08"  # lea r14, [rsp + 8]
        self._load(_RAX, self.address(os.fsencode(name) + b"\0"))
        self._code += b"\x49\x89\x06\x48\x83\xec\x20"  # mov [r14], rax; sub rsp, 32

    def write_rule(self, rights: int) -> None:
        """Write a Landlock rule for `_FILE` to the top of the stack: eight bytes of rights, four of the descriptor."""
        self._load(_RAX, rights)
        self._code += b"\x48\x89\x04\x24\x44\x89\x6c\x24\x08"  # mov [rsp], rax; mov [rsp + 8], r13d

    def call(
        self, number: int, *arguments: int | bytes | _Saved, keep: _Saved | None = None, may_fail: bool = False
    ) -> None:
        """Make a system call, and exit if it fails.

        Args:
            number: Number of the system call.
            arguments: Integers, data to point to, or kept values.
            keep: Where to keep the result.
            may_fail: True to continue after a failure.
        """
        for register, argument in zip((_RDI, _RSI, _RDX, _R10, _R8, _R9), arguments, strict=False):
            if isinstance(argument, _Saved):
                self._copy(register, argument.register)
            else:
                self._load(register, argument if isinstance(argument, int) else self.address(argument))
        self._load(_RAX, number)
        self._code += _SYSCALL
        if not may_fail:
            self._code += b"\x48\x85\xc0\x79\x16"  # test rax, rax; jns over the 22 bytes that end it
            self._load(_RDI, _FAILED)
            self._load(_RAX, _EXIT)
            self._code += _SYSCALL
        if keep is not None:
            self._copy(keep.register, _RAX)

    def address(self, data: bytes) -> int:
        """Append bytes to the data, and return their address."""
        self._data += bytes(-len(self._data) % 8)
        self._data += data
        return _DATA_AT + len(self._data) - len(data)

    def file(self) -> bytes:
        """Return the ELF file. No segment is both writable and executable."""
        code_end = _CODE_BEGIN + len(self._code)
        data_begin = -(-code_end // _PAGE) * _PAGE
        identity = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
        kind = (2, 62, 1, _CODE_AT + _CODE_BEGIN, _HEADER_BYTES, 0, 0, _HEADER_BYTES, _SEGMENT_BYTES, 3, 64, 0, 0)
        segments = (
            (_LOADED, _READ_AND_EXECUTE, 0, _CODE_AT, _CODE_AT, code_end, code_end, _PAGE),
            (_LOADED, _READ, data_begin, _DATA_AT, _DATA_AT, len(self._data), len(self._data), _PAGE),
            (_STACK_FLAGS, _READ_AND_WRITE, 0, 0, 0, 0, 0, 16),
        )
        head = identity + struct.pack("<HHIQQQIHHHHHH", *kind)
        head += b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in segments)
        return (head + self._code).ljust(data_begin, b"\0") + self._data

    def _load(self, register: int, value: int) -> None:
        self._code += bytes((0x48 | register >> 3, 0xB8 | register & 7)) + struct.pack("<Q", value)

    def _copy(self, to: int, source: int) -> None:
        self._code += bytes((0x48 | source >> 3 << 2 | to >> 3, 0x89, 0xC0 | (source & 7) << 3 | to & 7))
