"""Who may connect to `rlmbox mcp --http`, and which files an agent may open."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preloaded import rlmbox_command
from rlmbox.errors import ConfigError, ContextError
from rlmbox.tool.mcp.roots import Roots
from rlmbox.tool.mcp.serving import Gate, is_loopback
from tool.mcp_clients import TOKEN, http_server

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with http_server("--origin", "https://app.example") as (found, _):
        yield found


def _post(address: str, **headers: str) -> httpx2.Response:
    accepted = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.post(address, content=json.dumps(HELLO), headers={**accepted, **names}, timeout=30)


def test_the_token_lets_in(address: str) -> None:
    assert _post(address, Authorization=f"Bearer {TOKEN}").status_code == 200
    assert _post(address, Authorization=f"bearer {TOKEN}").status_code == 200


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer é"]
)
def test_without_the_token_nobody_is_let_in(address: str, given: str | None) -> None:
    headers = {} if given is None else {"Authorization": given}
    accepted = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in {**accepted, **headers}.items()]
    answer = httpx2.post(address, content=json.dumps(HELLO), headers=encoded, timeout=30)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1", "null", "http://localhost.evil.example", "file://"]
)
def test_web_pages_are_not_let_in(address: str, origin: str) -> None:
    assert _post(address, Authorization=f"Bearer {TOKEN}", Origin=origin).status_code == 403


def test_pages_that_the_operator_names_are_let_in(address: str) -> None:
    own = address.removesuffix("/mcp")
    for origin in ("https://app.example", own, own.replace("127.0.0.1", "localhost")):
        assert _post(address, Authorization=f"Bearer {TOKEN}", Origin=origin).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1.evil.example:80", "localhost:1"])
def test_a_name_that_leads_here_by_rebinding_is_not_let_in(address: str, host: str) -> None:
    assert _post(address, Authorization=f"Bearer {TOKEN}", Host=host).status_code == 421


def test_sigterm_ends_it_although_a_client_is_connected() -> None:
    with http_server() as (address, process):
        assert _post(address, Authorization=f"Bearer {TOKEN}").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--http", "--host", "0.0.0.0"], "set a token"),
        (["--http", "--host", "example.org"], "set a token"),
        (["--http", "--port", "70000"], "--port"),
        (["--root", "/nowhere/at/all"], "is not a folder"),
        (["--model", "nobody:nothing"], "nobody"),
        (["--cost-limit", "x"], "--cost-limit"),
        (["--timeout", "0"], "--timeout"),
        (["--sandbox", "nope"], "no sandbox"),
        (["--sandbox", "local"], "local"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    command = [*rlmbox_command(), "mcp", "--no-record", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*rlmbox_command(), "mcp", "--no-record", "--http", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "choose another --port" in done.stderr


async def test_the_gate_takes_one_token_only() -> None:
    passed = []

    async def app(*_: object) -> None:
        passed.append(1)

    async def send(_: object) -> None: ...

    async def receive() -> dict[str, object]:
        return {}

    gate = Gate(app, token="t", origins=(), port=5, is_local=True)
    for tokens in ([b"Bearer t"], [b"Bearer x", b"Bearer t"], [b"Bearer t", b"Bearer t"], []):
        headers = [(b"host", b"localhost:5"), *((b"authorization", token) for token in tokens)]
        await gate({"type": "http", "headers": headers}, receive, send)
    assert len(passed) == 1


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_what_is_reached_from_this_machine_alone(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("place")
    for name in ("root/in", "root2", "outside"):
        (base / name).mkdir(parents=True)
    (base / "outside" / "secret.txt").write_text("secret")
    (base / "root-secret.txt").write_text("secret")
    (base / "root" / "plain.txt").write_text("plain")
    (base / "root" / "in" / "deep.txt").write_text("deep")
    links = {"file": "outside/secret.txt", "folder": "outside", "up": ".", "second": "root/link-folder/secret.txt"}
    for name, target in links.items():
        (base / "root" / f"link-{name}").symlink_to(base / target)
    (base / "root" / "link-own").symlink_to("in/deep.txt")
    (base / "root" / "in" / "link.txt").symlink_to(base / "outside" / "secret.txt")
    return base


OUTSIDE = [
    "..", "../outside/secret.txt", "../root-secret.txt", "in/../../outside/secret.txt", "link-file", "link-folder",
    "link-folder/secret.txt", "link-up/outside/secret.txt", "link-second", "/etc/passwd", "/", "~", "~/x",
    "/proc/self/environ",
    "in/link.txt", "link-*", "link-folder/*.txt", "../outside/*", "//etc/passwd", "./../root-secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_of_the_roots_can_be_opened(place: Path, path: str) -> None:
    with pytest.raises(ContextError, match="outside of the roots"):
        Roots([place / "root"]).open(path)


@pytest.mark.parametrize("path", ["plain.txt", "in", "in/deep.txt", "in/../plain.txt", "link-own", "."])
def test_what_is_inside_can_be_opened_relative_and_absolute(place: Path, path: str) -> None:
    roots = Roots([place / "root2", place / "root"])
    assert roots.open(str(place / "root" / path)).length
    if path != ".":
        assert roots.open(path).length


def test_a_folder_leaves_out_the_links_that_lead_out_of_it(place: Path) -> None:
    context = Roots([place / "root"]).open(".") if os.name == "posix" else None
    assert context is not None
    assert "secret" not in context.text()
    assert {name.rpartition("/")[2] for name in context.document_names} <= {"plain.txt", "deep.txt", "link-own"}


@given(
    st.lists(
        st.sampled_from(["..", ".", "in", "link-up", "link-folder", "root", "outside", "secret.txt", "*", ""]),
        max_size=6,
    )
)
def test_no_path_however_composed_leads_out(place: Path, parts: list[str]) -> None:
    root = place / "root"
    try:
        found = Roots([root]).real_path("/".join(parts))
    except ContextError:
        return
    assert found.is_relative_to(root.resolve())


def test_without_a_root_no_file_can_be_opened() -> None:
    with pytest.raises(ContextError, match="--root"):
        Roots([]).open("x")


def test_a_root_that_is_no_folder_is_an_error(place: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        Roots([place / "root" / "plain.txt"])
