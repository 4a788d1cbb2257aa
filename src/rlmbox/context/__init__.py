"""The text that questions are asked of: opened once, never changed, addressed in characters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlmbox.context.context import Context
    from rlmbox.context.search.hits import Hit

__all__ = ["Context", "Hit"]

_HOMES = {"Context": "rlmbox.context.context", "Hit": "rlmbox.context.search.hits"}


def __getattr__(name: str) -> Any:
    """Import a name of the package when it is first used: the process that converts a document needs none.

    Raises:
        AttributeError: There is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found
