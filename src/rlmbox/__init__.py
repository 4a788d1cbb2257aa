"""rlmbox: ask questions of text far larger than a model's window."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlmbox.budget.limits import Limits
    from rlmbox.context import Context
    from rlmbox.errors import RLMError
    from rlmbox.loop.approval import Approval, Replace
    from rlmbox.loop.compaction import LeftOut
    from rlmbox.loop.final_answer import FinalAnswer
    from rlmbox.loop.session import Session
    from rlmbox.loop.task import Proposal
    from rlmbox.loop.tools import Tool
    from rlmbox.mcp import MCPTools
    from rlmbox.models.pace import Pace
    from rlmbox.record.run import Run, RunTree, load_from_trace
    from rlmbox.requests.retries import RetryPolicy
    from rlmbox.rlm import RLM
    from rlmbox.tool.python_tool import PythonTool
    from rlmbox.types import Answer, CellLimits, Source

__version__ = "0.1.0"  # the wheel takes it from here

__all__ = [
    "RLM",
    "Answer",
    "Approval",
    "CellLimits",
    "Context",
    "FinalAnswer",
    "LeftOut",
    "Limits",
    "MCPTools",
    "Pace",
    "Proposal",
    "PythonTool",
    "RLMError",
    "Replace",
    "RetryPolicy",
    "Run",
    "RunTree",
    "Session",
    "Source",
    "Tool",
    "load_from_trace",
]

_HOMES = {
    "RLM": "rlmbox.rlm",
    "Answer": "rlmbox.types",
    "Approval": "rlmbox.loop.approval",
    "CellLimits": "rlmbox.types",
    "Context": "rlmbox.context",
    "FinalAnswer": "rlmbox.loop.final_answer",
    "LeftOut": "rlmbox.loop.compaction",
    "Limits": "rlmbox.budget.limits",
    "MCPTools": "rlmbox.mcp",
    "Pace": "rlmbox.models.pace",
    "Proposal": "rlmbox.loop.task",
    "PythonTool": "rlmbox.tool.python_tool",
    "RLMError": "rlmbox.errors",
    "Replace": "rlmbox.loop.approval",
    "RetryPolicy": "rlmbox.requests.retries",
    "Run": "rlmbox.record.run",
    "RunTree": "rlmbox.record.run",
    "Session": "rlmbox.loop.session",
    "Source": "rlmbox.types",
    "Tool": "rlmbox.loop.tools",
    "load_from_trace": "rlmbox.record.run",
}


def late_names(package: dict[str, Any], homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package whose names are imported when they are first used.

    Who needs one of them does not wait for all.

    Args:
        package: Its `globals()`.
        homes: The module of each name, by the name.
    """

    def found(name: str) -> Any:
        """Import a name of the package.

        Raises:
            AttributeError: There is no such name.
        """
        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        value = package[name] = getattr(import_module(homes[name]), name)
        return value

    return found


__getattr__ = late_names(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
