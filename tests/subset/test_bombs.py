"""What would take far too much is refused, with the limit's name, and before it is taken."""

import resource

import pytest

from rlmbox.sandboxes.subset.errors import SubsetError
from rlmbox.sandboxes.subset.evaluate import SubsetSession
from rlmbox.sandboxes.subset.service import default_limits
from subset.bombs import ZLIB_BOMB, bombs

BOMBS = bombs()
ENDS = {
    "zlib bomb": "ValueError",
    "exponential pattern": "",
    "round": "",
    "int of a long text": "ValueError",
    "json deep": "RecursionError",
    "json default": "RecursionError",
    "large repetition": "ForbiddenSyntax",
}
ONE_OF = ("ResourceLimitExceeded", "RecursionError")
GROWTH_BYTES = 80 * 2**20


def ended(code: str) -> tuple[SubsetError | None, SubsetSession]:
    session = SubsetSession("wide", default_limits("wide"), lambda text: None, {"context": "x", "zlib_bomb": ZLIB_BOMB})
    return session.run(session.prepare(code)).error, session


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error, session = ended(BOMBS[name])
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GROWTH_BYTES
    if name in ENDS:
        assert (error.code if error else "") == ENDS[name]
    else:
        assert error is not None
        assert error.code in ONE_OF
        assert error.limit or error.code == "RecursionError"
        assert error.hint or error.code == "RecursionError" or error.limit == "pattern"
    after = session.run(session.prepare("40 + 2"))
    assert (after.error, after.value) == (None, 42)


@pytest.mark.parametrize("setting", ["steps", "memory_bytes", "code_chars"])
def test_the_error_of_a_limit_names_the_setting(setting: str) -> None:
    codes = {"steps": "sum(range(10**12))", "memory_bytes": "'a' * 10**10", "code_chars": "#" * 30_000}
    error, _ = ended(codes[setting])
    assert error is not None
    assert f"`{setting}`" in error.hint


def test_data_that_is_not_held_does_not_count() -> None:
    code = "for i in range(10):\n    s = 'x' * 2_000_000 + str(i)\nlen(s)"
    session = SubsetSession("wide", default_limits("wide"), lambda text: None, {})
    for _ in range(5):
        assert session.run(session.prepare(code)).error is None


def test_an_integer_has_4300_digits_at_most() -> None:
    assert ended("len(str(10**4299))")[0] is None
    error, _ = ended("10**4301")
    assert error is not None
    assert error.limit == "int digits"


def test_the_limits_hold_whatever_is_alive() -> None:
    code = "l = []\nfor i in range(10**6):\n    l.append('x' * 100_000 + str(i))"
    error, session = ended(code)
    assert error is not None
    assert sum(map(len, session.variables["l"])) <= 64 * 2**20
