"""rlmbox: ask questions of text far larger than a model's window."""

from rlmbox.budget import Limits
from rlmbox.context import Context
from rlmbox.errors import RLMError
from rlmbox.rlm import RLM
from rlmbox.session import Session
from rlmbox.types import Answer, CellLimits, Source

__all__ = ["RLM", "Answer", "CellLimits", "Context", "Limits", "RLMError", "Session", "Source"]
