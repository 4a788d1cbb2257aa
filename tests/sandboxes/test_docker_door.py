"""At the door a wire is handed to one visitor only, from whom nothing is taken, and its folder does not stay."""

import array
import os
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from rlmbox.sandboxes.docker._wire import Door, private_folder, sweep
from sandboxes.docker_door import connect
from sandboxes.local_repl import open_descriptors

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere an engine runs in a virtual machine"),
    pytest.mark.usefixtures("folders"),
]


def test_others_cannot_come_to_the_door_and_any_user_of_the_container_can(door: Door, folders: Path) -> None:
    (folder,) = folders.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert Path(door.path).parent == folder
    assert stat.S_IMODE(Path(door.path).stat().st_mode) == 0o666


def test_a_door_can_be_in_a_folder_whose_name_is_longer_than_that_of_a_socket(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = folders / ("x" * 200)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    door = Door()
    assert Path(door.path).is_socket()
    door.close()
    assert list(deep.iterdir()) == []


def test_one_visitor_is_given_three_descriptors_and_the_next_finds_nobody(door: Door, folders: Path) -> None:
    kept = Path(door.path).with_name("kept")
    kept.hardlink_to(door.path)  # as a container's mount keeps the socket that has no name any more
    with connect(door.path) as first, connect(door.path) as second:
        first.sendmsg([b"x" * 1000], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
        link = os.open(kept, os.O_PATH)
        before = open_descriptors()
        ends = door.hand_over()
        assert ends is not None
        assert open_descriptors() == before - 2 + 3  # the listener and its folder's lock went; nothing was taken
        _, fds, _, _ = socket.recv_fds(first, 10, 10)
        assert len(fds) == 3
        for visitor in (first, second):
            with pytest.raises(ConnectionResetError):
                visitor.recv(1)
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
        late.connect(f"/proc/self/fd/{link}")
    assert list(folders.iterdir()) == []
    for fd, word in zip(fds, (b"out", b"err", b"wire"), strict=True):
        os.write(fd, word)
        os.close(fd)
    os.close(link)
    assert [os.read(fd, 10) for fd in ends.outputs] == [b"out", b"err"]
    assert ends.wire.recv(10) == b"wire"
    ends.close()


def test_a_visitor_that_is_gone_again_leaves_nothing(door: Door, folders: Path) -> None:
    connect(door.path).close()
    before = open_descriptors()
    ends = door.hand_over()
    if ends is not None:
        ends.close()
    assert open_descriptors() <= before - 2
    assert list(folders.iterdir()) == []


def test_a_door_is_shut_for_a_process_that_was_forked_while_it_was_open(door: Door) -> None:
    inherited = os.dup(door.fileno())
    kept = os.open(door.path, os.O_PATH)
    door.close()
    with socket.socket(socket.AF_UNIX) as late, pytest.raises(ConnectionRefusedError):
        late.connect(f"/proc/self/fd/{kept}")
    os.close(inherited)
    os.close(kept)


def test_a_door_to_which_nobody_came_gives_nothing(door: Door) -> None:
    assert door.hand_over() is None


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
        assert open_descriptors() <= before
        assert {path.name for path in folders.iterdir()} == {"rlmbox-docker-link", new.name, other.name, held.name}
        assert (held / "context").exists()
    assert not held.exists()
