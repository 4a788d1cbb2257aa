"""The Python tool for other agents: a function, a service on standard input and output, and an MCP server."""

from typing import TYPE_CHECKING

from rlmbox import late_names

if TYPE_CHECKING:
    from rlmbox.tool.python_tool import PythonTool
    from rlmbox.tool.result import ToolResult

__all__ = ["PythonTool", "ToolResult"]


_HOMES = {"PythonTool": "rlmbox.tool.python_tool", "ToolResult": "rlmbox.tool.result"}

__getattr__ = late_names(globals(), _HOMES)  # the service needs neither
