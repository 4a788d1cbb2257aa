"""rlmbox as an MCP server: contexts by handle, code over them, questions about them, and the bare Python tool."""
