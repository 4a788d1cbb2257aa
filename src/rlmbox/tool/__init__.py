"""The Python tool for other agents: a function, a service on standard input and output, and an MCP server."""

from rlmbox.tool.python_tool import PythonTool as PythonTool
from rlmbox.tool.result import ToolResult as ToolResult
