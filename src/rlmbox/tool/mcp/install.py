"""Adding rlmbox to the configuration of an MCP client."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, get_args

from rlmbox.errors import ConfigError
from rlmbox.tool.mcp.clients import CLIENTS, Client, ClientName

NAME = "rlmbox"
"""The server's name in a client's configuration."""


@dataclass(frozen=True, slots=True)
class Change:
    """A planned change of a file.

    Attributes:
        path: The file.
        before: Its content; None if it does not exist.
        after: Its new content.
    """

    path: Path
    before: str | None
    after: str

    @property
    def is_none(self) -> bool:
        """True if nothing would change."""
        return self.before == self.after

    def diff(self) -> str:
        """Return the change as a unified diff."""
        names = (str(self.path) if self.before is not None else "/dev/null", str(self.path))
        lines = unified_diff((self.before or "").splitlines(), self.after.splitlines(), *names, lineterm="")
        return "\n".join(lines)

    def write(self) -> None:
        """Write the file atomically, keeping its mode.

        Raises:
            ConfigError: It cannot be written, or was changed in the meantime.
        """
        path = Path(os.path.realpath(self.path))  # a symbolic link is kept
        try:
            if _text_of(path) != self.before:
                raise ConfigError(f"{self.path} has changed meanwhile; try again")
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(self.after)
            Path(name).chmod(mode)
            Path(name).replace(path)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror or error}") from error


def client_of(name: str) -> Client:
    """Return a client by its name.

    Raises:
        ConfigError: There is no such client.
    """
    for known in get_args(ClientName):
        if known == name:
            return CLIENTS[known]
    raise ConfigError(f"there is no client {name!r}; there are {', '.join(CLIENTS)}")


def snippet(client: Client, command: Sequence[str]) -> str:
    """Return a configuration of the client that contains only rlmbox."""
    if client.is_toml:
        return _toml_table(client, command)
    return json.dumps({client.key: {NAME: client.entry(command)}}, indent=2) + "\n"


def planned(client: Client, command: Sequence[str], path: Path | None = None) -> Change:
    """Plan the change of a client's configuration.

    Args:
        client: The client.
        command: The command that starts the server.
        path: The configuration file; None for the usual one.

    Raises:
        ConfigError: The file cannot be read or is malformed.
    """
    path = path or client.path()
    before = _text_of(path)
    if before is None or not before.strip():
        return Change(path, before, snippet(client, command))
    after = _in_toml(client, command, path, before) if client.is_toml else _in_json(client, command, path, before)
    return Change(path, before, after)


def _text_of(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _in_json(client: Client, command: Sequence[str], path: Path, before: str) -> str:
    by_hand = "add it by hand: rlmbox mcp install --print"
    try:
        whole = json.loads(before)
    except ValueError as error:
        raise ConfigError(f"{path} is not plain JSON ({error}), so it is left as it is; {by_hand}") from error
    servers = whole.setdefault(client.key, {}) if isinstance(whole, dict) else None
    if not isinstance(servers, dict):
        raise ConfigError(f"{path} has no object {client.key!r} to write into; {by_hand}")
    entry = client.entry(command)
    if servers.get(NAME) == entry:
        return before
    servers[NAME] = entry
    return json.dumps(whole, indent=_indent_of(before), ensure_ascii=False) + "\n"


def _indent_of(text: str) -> int | str:
    found = re.search(r"\n([ \t]+)\S", text)
    if found is None:
        return 2
    return "\t" if "\t" in found[1] else len(found[1])


def _in_toml(client: Client, command: Sequence[str], path: Path, before: str) -> str:
    try:
        whole: dict[str, Any] = tomllib.loads(before)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML ({error}), so it is left as it is") from error
    table = _toml_table(client, command)
    servers = whole.get(client.key, {})
    present = servers.get(NAME) if isinstance(servers, dict) else None
    if present == client.entry(command):
        return before
    if present is None:
        return before.rstrip("\n") + "\n\n" + table
    header = re.escape(f"[{client.key}.{NAME}]")
    after, count = re.subn(rf"(?ms)^{header}[^\n]*\n.*?(?=^\[|\Z)", lambda _: table + "\n", before)
    if count != 1:
        raise ConfigError(f"{path} has {client.key}.{NAME} in a form that is left as it is; change it by hand")
    return after.rstrip("\n") + "\n"


def _toml_table(client: Client, command: Sequence[str]) -> str:
    # A JSON string in ASCII is also a TOML string.
    lines = [f"{key} = {json.dumps(value)}" for key, value in client.entry(command).items()]
    return "\n".join([f"[{client.key}.{NAME}]", *lines]) + "\n"
