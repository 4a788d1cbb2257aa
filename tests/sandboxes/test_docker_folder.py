"""The folders in which a container is shown files: nobody else looks into them, and none stays."""

import os
import stat
import sys
from pathlib import Path

import pytest

from rlmbox.sandboxes.docker._folder import private_folder, sweep
from sandboxes.local_repl import open_descriptors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an engine runs in a virtual machine")


def test_nobody_else_can_look_into_a_folder(folders: Path) -> None:
    with private_folder() as folder:
        assert folder.parent == folders
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folders.iterdir()) == []


def test_a_folder_that_nobody_holds_is_swept_and_no_other(folders: Path) -> None:
    (folders / "rlmbox-docker-link").symlink_to(folders)
    left = folders / "rlmbox-docker-left"
    new = folders / "rlmbox-docker-new"
    other = folders / "other"
    for folder in (left, new, other):
        folder.mkdir()
        (folder / "context").write_text("text")
    with private_folder() as held:
        (held / "context").write_text("text")
        for folder in (left, other, held):
            os.utime(folder, (0, 0))
        before = open_descriptors()
        sweep()
        assert open_descriptors() == before
        assert {path.name for path in folders.iterdir()} == {"rlmbox-docker-link", new.name, other.name, held.name}
        assert (held / "context").exists()
    assert not held.exists()
