"""The text that questions are asked of: opened once, never changed, addressed in characters."""

from rlmbox.context.context import Context
from rlmbox.context.search.hits import Hit

__all__ = ["Context", "Hit"]
