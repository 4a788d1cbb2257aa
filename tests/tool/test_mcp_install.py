"""`rlmbox mcp install`: an entry in a client's configuration, shown before it is written."""

import json
import stat
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rlmbox.cli.app import app
from rlmbox.errors import ConfigError
from rlmbox.tool.mcp.clients import CLIENTS
from rlmbox.tool.mcp.install import client_of, planned, snippet

COMMAND = ["/usr/bin/rlmbox", "mcp", "--root", 'a "quoted" é\\path']


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["mcp", "install", *arguments])


def _entry(client: str, text: str) -> dict[str, object]:
    loads = tomllib.loads if CLIENTS[client].is_toml else json.loads  # type: ignore[index]
    entry: dict[str, object] = loads(text)[CLIENTS[client].key]["rlmbox"]  # type: ignore[index]
    return entry


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))


@pytest.mark.parametrize("client", CLIENTS)
def test_the_configuration_starts_the_server(client: str) -> None:
    entry = _entry(client, snippet(client_of(client), COMMAND))
    assert [entry["command"], *entry["args"]] == COMMAND  # type: ignore[misc]


@pytest.mark.parametrize(
    ("client", "place"),
    [
        ("claude", ".mcp.json"),
        ("codex", "codex/config.toml"),
        ("cursor", ".cursor/mcp.json"),
        ("vscode", ".vscode/mcp.json"),
    ],
)
def test_it_is_shown_and_written_where_the_client_looks(client: str, place: str, tmp_path: Path) -> None:
    done = _run(client, "--root", "docs", "--yes")
    assert done.exit_code == 0
    assert f"+++ {tmp_path / place if client == 'codex' else place}" in done.output
    entry = _entry(client, (tmp_path / place).read_text())
    assert entry["args"][-2:] == ["--root", str(tmp_path / "docs")]  # type: ignore[index]
    again = _run(client, "--root", "docs", "--yes")
    assert "has it already" in again.output


def test_print_only_prints(tmp_path: Path) -> None:
    done = _run("cursor", "--print")
    assert _entry("cursor", done.stdout)
    assert list(tmp_path.iterdir()) == []


def test_without_a_yes_nothing_is_written(tmp_path: Path) -> None:
    done = _run("claude")
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert '+    "rlmbox"' in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_client_is_one_line() -> None:
    done = _run("emacs")
    assert done.exit_code == 2
    assert "claude, codex, cursor, vscode" in done.stderr


def test_what_a_file_has_besides_stays(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    servers = '{"other": {"command": "é"}, "rlmbox": {"command": "old"}}'
    path.write_text('{\n    "z": 1,\n    "mcpServers": ' + servers + "\n}\n")
    path.chmod(0o640)
    assert _run("claude", "--yes").exit_code == 0
    after = json.loads(path.read_text())
    assert list(after) == ["z", "mcpServers"]
    assert after["mcpServers"]["other"] == {"command": "é"}
    assert after["mcpServers"]["rlmbox"]["args"]
    assert '\n    "z"' in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_table_of_toml_is_added_or_replaced_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "codex" / "config.toml"
    path.parent.mkdir()
    path.write_text('# mine\nmodel = "x"  # yes\n\n[mcp_servers.rlmbox]\ncommand = "old"\n\n[other]\na = 1\n')
    assert _run("codex", "--yes").exit_code == 0
    text = path.read_text()
    assert text.startswith('# mine\nmodel = "x"  # yes\n')
    assert tomllib.loads(text)["other"] == {"a": 1}
    assert _entry("codex", text)["command"] != "old"
    path.write_text('model = "x"')
    assert _run("codex", "--yes").exit_code == 0
    assert tomllib.loads(path.read_text())["model"] == "x"


@pytest.mark.parametrize("text", ["// a comment\n{}", "[]", '{"mcpServers": []}', "{", '"x"'])
def test_a_file_that_is_not_understood_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    path.write_text(text)
    done = _run("claude", "--yes")
    assert done.exit_code == 2
    assert "--print" in done.stderr
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["a = ", 'mcp_servers = {rlmbox = {command = "x"}}'])
def test_toml_that_is_not_understood_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(text)
    assert _run("codex", "--yes").exit_code == 2
    assert path.read_text() == text


def test_a_link_stays_one_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / ".mcp.json").symlink_to("real.json")
    assert _run("claude", "--yes").exit_code == 0
    assert (tmp_path / ".mcp.json").is_symlink()
    assert "rlmbox" in (tmp_path / "real.json").read_text()


def test_a_file_that_changes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / ".mcp.json"
    change = planned(client_of("claude"), COMMAND)
    path.write_text('{"theirs": 1}')
    with pytest.raises(ConfigError, match="meanwhile"):
        change.write()
    assert path.read_text() == '{"theirs": 1}'
