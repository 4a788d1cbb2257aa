"""The guard of what leaves a sandbox: secrets and personal data hidden, copies and length bounded."""

from rlmbox.guard.bounds import MAX_MARKER_CHARS, OutputBounds, bounded
from rlmbox.guard.copying import CopyBudgets
from rlmbox.guard.findings import Detector, Finding
from rlmbox.guard.guard import Checked, Guard, GuardPath, Policy, RunGuard, Shown, each_text, shown_plainly
from rlmbox.guard.known import secrets_of_environment
from rlmbox.guard.quoting import explanation, new_nonce, nonce_of, quote

__all__ = [
    "MAX_MARKER_CHARS",
    "Checked",
    "CopyBudgets",
    "Detector",
    "Finding",
    "Guard",
    "GuardPath",
    "OutputBounds",
    "Policy",
    "RunGuard",
    "Shown",
    "bounded",
    "each_text",
    "explanation",
    "new_nonce",
    "nonce_of",
    "quote",
    "secrets_of_environment",
    "shown_plainly",
]
