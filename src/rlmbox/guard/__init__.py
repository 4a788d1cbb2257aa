"""The guard on everything that leaves a sandbox: hides secrets and personal data, limits copying and length."""

from typing import TYPE_CHECKING

from rlmbox import late_names

if TYPE_CHECKING:
    from rlmbox.guard.bounds import MAX_MARKER_CHARS, OutputBounds, bounded
    from rlmbox.guard.copying import CopyBudgets
    from rlmbox.guard.findings import Detector, Finding
    from rlmbox.guard.guard import Guard, GuardPath, Policy, RunGuard, each_text
    from rlmbox.guard.known import secrets_of_environment
    from rlmbox.guard.quoting import new_nonce, nonce_of, quote
    from rlmbox.guard.results import Checked, Shown

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
    "new_nonce",
    "nonce_of",
    "quote",
    "secrets_of_environment",
]

_HOMES = {
    "MAX_MARKER_CHARS": "rlmbox.guard.bounds",
    "Checked": "rlmbox.guard.results",
    "CopyBudgets": "rlmbox.guard.copying",
    "Detector": "rlmbox.guard.findings",
    "Finding": "rlmbox.guard.findings",
    "Guard": "rlmbox.guard.guard",
    "GuardPath": "rlmbox.guard.guard",
    "OutputBounds": "rlmbox.guard.bounds",
    "Policy": "rlmbox.guard.guard",
    "RunGuard": "rlmbox.guard.guard",
    "Shown": "rlmbox.guard.results",
    "bounded": "rlmbox.guard.bounds",
    "each_text": "rlmbox.guard.guard",
    "new_nonce": "rlmbox.guard.quoting",
    "nonce_of": "rlmbox.guard.quoting",
    "quote": "rlmbox.guard.quoting",
    "secrets_of_environment": "rlmbox.guard.known",
}

__getattr__ = late_names(globals(), _HOMES)  # printing needs only `visible`
