"""What every test has: asyncio as the backend of async tests, and no key of a paid model in reach."""

import os

import pytest
from hypothesis import settings

# A shared machine stalls now and then; how long an example takes is no property of the code.
settings.register_profile("rlmbox", deadline=None)
settings.load_profile("rlmbox")

_KEYS = ("API_KEY", "AUTH_TOKEN", "OPENAI", "ANTHROPIC", "GOOGLE", "GEMINI", "AZURE", "RLM_")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_key_of_a_paid_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if any(part in name.upper() for part in _KEYS):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_way_out_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses connections and look-ups that leave loopback, so that no test can reach a paid model."""
    import socket

    real_connect, real_getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def refuse(host: object) -> None:
        if isinstance(host, bytes):
            host = host.decode()
        if host not in ("127.0.0.1", "::1", "localhost", None, "", "0.0.0.0"):
            raise RuntimeError(f"a test tried to reach {host!r}")

    def connect(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple):
            refuse(address[0])
        real_connect(self, address)  # type: ignore[arg-type]

    def getaddrinfo(host: object, *args: object, **kwargs: object) -> object:
        refuse(host)
        return real_getaddrinfo(host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
