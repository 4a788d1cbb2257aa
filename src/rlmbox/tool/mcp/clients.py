"""The MCP clients that can be configured, one row each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ClientName = Literal["claude", "codex", "cursor", "vscode"]


@dataclass(frozen=True, slots=True)
class Client:
    """An MCP client.

    Attributes:
        title: Its name for people.
        place: Path of its configuration file, relative to the project; `~` is the user's home.
        key: Key of the servers in that file.
        has_type: Whether an entry specifies the stdio transport.
        is_toml: Whether the file is TOML rather than JSON.
    """

    title: str
    place: str
    key: str
    has_type: bool = False
    is_toml: bool = False

    def path(self) -> Path:
        """Return the path of its configuration file."""
        if self.place.startswith("~/.codex/") and os.environ.get("CODEX_HOME"):
            return Path(os.environ["CODEX_HOME"]) / Path(self.place).name
        return Path(self.place).expanduser()

    def entry(self, command: Sequence[str]) -> dict[str, Any]:
        """Return the entry of a server that a command starts."""
        kind = {"type": "stdio"} if self.has_type else {}
        return {**kind, "command": command[0], "args": list(command[1:])}


CLIENTS: Mapping[ClientName, Client] = {
    "claude": Client("Claude Code, in this project", ".mcp.json", "mcpServers", has_type=True),
    "codex": Client("Codex", "~/.codex/config.toml", "mcp_servers", is_toml=True),
    "cursor": Client("Cursor, in this project", ".cursor/mcp.json", "mcpServers"),
    "vscode": Client("VS Code, in this project", ".vscode/mcp.json", "servers", has_type=True),
}
"""All known clients."""
