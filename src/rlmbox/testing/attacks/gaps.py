"""Known failures of attacks on rlmbox's own sandboxes, with the reasons.

A gap that is closed fails its test until it is removed from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

KNOWN_GAPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "local": {
            "HOST-08-traceback-host-paths": "it runs the host's own interpreter, whose paths are in every traceback",
        },
        "monty": {},
        "subset": {},
        "jail": {},
        "docker": {
            "SYSC-10-dumpable": "a process that cannot be dumped could not open its own /dev/stdout in a container",
            "SYSC-12-statvfs": "runc itself calls fstatfs once the list of system calls is in force",
        },
        "wasm": {
            "BRID-01-inherited-fds": "descriptor 3 is the guest's own read-only directory with its standard library",
            "BRID-10-close-bridge-fds": "the bridge is an imported function and no descriptor, so nothing is closed",
            "CODE-05-null-deref-ctypes": "the guest's ctypes has no library to load, so nothing is dereferenced",
            "MEMO-01-list-mul": "the guest has 32 bits: a list of that length is an OverflowError before any memory",
        },
    }
)
"""Reasons by sandbox and attack."""
