"""What every test has: its markers, asyncio as the backend of async tests, and no paid model in reach."""

import gc
import logging
import os
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import settings

import preloaded
from examples import FUZZ, SUITE
from markers import MARKERS, ONE_AFTER_ANOTHER, WHOLE_FILES, beyond_fast, group_of, markers_of
from preloaded_wasm import preloaded_wasm as preloaded_wasm
from replay_plugin import replays_every_session as replays_every_session

# A shared machine stalls now and then; how long an example takes is no property of the code. The suite draws the same
# examples each time, so that a change is judged by what it changed; `make fuzz` draws new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=SUITE)
settings.register_profile("random", deadline=None, print_blob=True, max_examples=FUZZ)
settings.load_profile("repeatable")

_KEYS = ("API_KEY", "AUTH_TOKEN", "OPENAI", "ANTHROPIC", "GOOGLE", "GEMINI", "AZURE", "RLM_")
_LEFT_OUT = pytest.StashKey[Counter[str]]()
_SENT = "rlmbox_left_out"
_PRELOADED = "rlmbox_preloaded"
_TESTS = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="import no file of which every test has a marker, and replay no session"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    place = collection_path.relative_to(_TESTS).as_posix() if collection_path.is_relative_to(_TESTS) else ""
    if not config.getoption("fast") or not any(fnmatchcase(place, pattern) for pattern in WHOLE_FILES):
        return None
    config.stash[_LEFT_OUT]["files"] += 1
    return True


class _Loggers(dict[str, logging.Logger | logging.PlaceHolder]):
    """The loggers by name; they can be looked through while a thread of an earlier test imports what makes one more.

    pytest does so before each test, without the lock of `logging`, and the test that comes then would fail.
    """

    def values(self) -> list[logging.Logger | logging.PlaceHolder]:  # type: ignore[override]
        return list(super().values())


def pytest_configure(config: pytest.Config) -> None:
    logging.Logger.manager.loggerDict = _Loggers(logging.Logger.manager.loggerDict)
    config.stash[_LEFT_OUT] = Counter()
    shared = getattr(config, "workerinput", {}).get(_PRELOADED)
    if shared:
        preloaded.share(shared)
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their place, and put those last that are run one after another."""
    last: dict[int, list[pytest.Item]] = {n: [] for n in range(len(ONE_AFTER_ANOTHER))}
    others: list[pytest.Item] = []
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        place = item.nodeid.removeprefix("tests/")
        names = markers_of(place)
        for name in names:
            item.add_marker(name)
        if not names:
            cases[place.partition("[")[0]].append(item)
        group = group_of(place)
        if group is None:
            others.append(item)
        else:
            last[group].append(item)
    for of_one in cases.values():
        for n in beyond_fast(len(of_one)):
            of_one[n].add_marker("slow")
    items[:] = others + [item for group in last.values() for item in group]


def pytest_collection(session: pytest.Session) -> None:
    """Collect no garbage while tests are collected: what is made then is kept."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what is there for good out of later collections of garbage, half a million objects, and collect seldom."""
    gc.freeze()
    gc.set_threshold(7_000, 20, 20)
    gc.enable()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        left_out = item.config.stash[_LEFT_OUT]
        left_out["tests"] += 1
        left_out.update(name for name in MARKERS if item.get_closest_marker(name))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what was left out from a worker of pytest-xdist to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        left_out = session.config.stash[_LEFT_OUT]
        output[_SENT] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Hand out tests in order, where `--dist loadgroup` asks for that."""
    if config.getoption("dist") != "loadgroup" or config.getoption("loadscopereorder"):
        return None
    from scheduling import InOrder

    return InOrder(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Have all that run tests start programs from one process that has imported them, not each from its own."""
    of_a_test = "PYTEST_XDIST_WORKER" in os.environ
    if sys.platform == "linux" and not of_a_test and not node.config.getoption("fast"):  # type: ignore[attr-defined]
        node.workerinput[_PRELOADED] = preloaded.address()  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    sent = getattr(node, "workeroutput", {}).get(_SENT)
    if sent:  # each worker collected all tests, and left out the same
        node.config.stash[_LEFT_OUT] = Counter(sent)  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests were not chosen, by marker, above the closing line."""
    left_out = config.stash[_LEFT_OUT]
    if left_out:
        counts = ", ".join(f"{left_out[name]} {name}" for name in MARKERS if left_out[name]) or "none with a marker"
        files = f"all tests of {left_out['files']} files, and " if left_out["files"] else ""
        terminalreporter.write_line(f"left out: {files}{left_out['tests']} tests ({counts}; some have several markers)")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take away the keys of paid models, and put runs and settings where the person's are not.

    Once for all tests: most take a millisecond, and setting this up for each would take them another.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if any(part in name.upper() for part in _KEYS):
                patch.delenv(name)
        patch.setenv("RLM_STORE", str(tmp_path_factory.getbasetemp() / "runs.db"))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "config"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _short_texts_are_worked_on_with_code(_nothing_of_the_person: None) -> Iterator[None]:
    """Turn the router off: the texts of most tests are short, and what they test is the loop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rlmbox.loop.direct.DIRECT_BELOW_CHARS", 0)
        patch.setenv("RLM_DIRECT_BELOW_CHARS", "0")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_way_out_of_the_machine() -> Iterator[None]:
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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Has children take SIGINT: what a shell runs in the background ignores it, and so would they."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
