"""The guard of what leaves a sandbox: secrets and personal data hidden, copies and length bounded."""

from rlmbox.guard.bounds import OutputBounds
from rlmbox.guard.copying import CopyBudgets
from rlmbox.guard.findings import Detector, Finding
from rlmbox.guard.guard import Checked, Guard, GuardPath, Policy, RunGuard
from rlmbox.guard.known import secrets_of_environment
from rlmbox.guard.quoting import explanation, new_nonce, quote

__all__ = [
    "Checked",
    "CopyBudgets",
    "Detector",
    "Finding",
    "Guard",
    "GuardPath",
    "OutputBounds",
    "Policy",
    "RunGuard",
    "explanation",
    "new_nonce",
    "quote",
    "secrets_of_environment",
]
