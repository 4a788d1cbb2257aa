"""A folder of the test's own for what containers are shown, and little patience with a worker."""

import tempfile
from pathlib import Path

import pytest

from rlmbox.sandboxes.worker import _link


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders are made; those of other sessions of this machine are in the usual place."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker has beyond a deadline, before it is lost."""
    monkeypatch.setattr(_link, "GRACE_S", 0.1)


@pytest.fixture
def much_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a worker end its cell by itself, however long a loaded machine takes to let it."""
    monkeypatch.setattr(_link, "GRACE_S", 120.0)
