"""rlmbox: ask questions of text far larger than a model's window."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlmbox.budget.limits import Limits
    from rlmbox.context import Context
    from rlmbox.errors import RLMError
    from rlmbox.loop.session import Session
    from rlmbox.rlm import RLM
    from rlmbox.types import Answer, CellLimits, Source

__all__ = ["RLM", "Answer", "CellLimits", "Context", "Limits", "RLMError", "Session", "Source"]

_HOMES = {
    "RLM": "rlmbox.rlm",
    "Answer": "rlmbox.types",
    "CellLimits": "rlmbox.types",
    "Context": "rlmbox.context",
    "Limits": "rlmbox.budget.limits",
    "RLMError": "rlmbox.errors",
    "Session": "rlmbox.loop.session",
    "Source": "rlmbox.types",
}


def __getattr__(name: str) -> object:
    """Brings a public name when it is first used, so that a command that needs one does not wait for all."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rlmbox' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
