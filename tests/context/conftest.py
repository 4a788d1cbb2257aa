"""What every test of a context has: a cache of its own."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache_homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths of caches; pytest looks through all folders that it made for each further one, which is a millisecond."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def cache_home(cache_homes: Iterator[Path]) -> Iterator[Path]:
    home = next(cache_homes)
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home))
        yield home
