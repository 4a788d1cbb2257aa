"""What attacks on rlmbox's own sandboxes are known to go wrong, and why.

A gap that closes fails its test until it is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SPOILT = "a cell that plants an audit hook spoils its own session for good: the worker reports a limit for every cell"

KNOWN_GAPS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "local": {
            "AUDI-02-audit-hook-poison": _SPOILT,
            "HOST-08-traceback-host-paths": "it runs the host's own interpreter, whose paths are in every traceback",
        },
        "monty": {},
        "jail": {
            "AUDI-02-audit-hook-poison": _SPOILT,
        },
    }
)
"""Sandbox to attack to reason."""
