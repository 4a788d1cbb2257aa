"""Tools of MCP servers in the REPL, through the official SDK, which is imported when a server is connected."""

from rlmbox.mcp.tools import MCPTools as MCPTools

__all__ = ["MCPTools"]
