"""Attacks on sandboxes, and a runner for any implementation of `Sandbox`.

`attacks.json` defines the attacks; `run_attacks` runs them and judges each from the host's side, by canary files,
variables and descriptors, listeners on loopback and unix sockets, and the host's memory, processes, mounts and files
before and after.
"""

from rlmbox.testing.attacks.catalogue import Attack, attacks
from rlmbox.testing.attacks.gaps import KNOWN_GAPS
from rlmbox.testing.attacks.probes import PROBES, probe
from rlmbox.testing.attacks.report import BAD, AttackReport, AttackResult, Probe, Verdict
from rlmbox.testing.attacks.runner import run_attacks
from rlmbox.testing.attacks.watch import HostWatch

__all__ = [
    "BAD",
    "KNOWN_GAPS",
    "PROBES",
    "Attack",
    "AttackReport",
    "AttackResult",
    "HostWatch",
    "Probe",
    "Verdict",
    "attacks",
    "probe",
    "run_attacks",
]
