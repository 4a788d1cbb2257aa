"""The Python tool for other agents: a function, a service on standard input and output, and an MCP server."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlmbox.tool.python_tool import PythonTool
    from rlmbox.tool.result import ToolResult

__all__ = ["PythonTool", "ToolResult"]


_HOMES = {"PythonTool": "rlmbox.tool.python_tool", "ToolResult": "rlmbox.tool.result"}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: the service needs neither."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rlmbox.tool' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
