"""A text lies in one file for all sessions that are shown it."""

import gc
import os
import sys
from pathlib import Path

import pytest

from rlmbox.context import Context
from rlmbox.sandboxes._texts import NamedText
from rlmbox.sandboxes.worker._laying_out import LaidOut

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files in memory that can be sealed are Linux's")


def shown(text: Context) -> int:
    fd = LaidOut((NamedText("context", text, is_handle=False),)).fd
    assert fd is not None
    return fd


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_sessions_over_one_text_are_shown_one_file_each_from_its_beginning_and_none_can_write_it() -> None:
    text = Context.from_text("words and words\n" * 10_000)
    first, second = shown(text), shown(text)
    assert os.path.sameopenfile(first, second)
    assert os.read(first, 5) == os.read(second, 5) == b"words"
    again = os.open(f"/proc/self/fd/{first}", os.O_RDWR)
    for fd in (first, again):
        with pytest.raises(OSError, match=r"not permitted|Bad file descriptor"):
            os.write(fd, b"other")
    with pytest.raises(PermissionError):
        os.ftruncate(again, 0)
    for fd in (first, second, again):
        os.close(fd)


def test_equal_texts_and_parts_of_one_have_files_of_their_own() -> None:
    text, equal = Context.from_text("a" * 100_000), Context.from_text("a" * 100_000)
    part = text.slice_view(10, 50_000)
    opened = [shown(each) for each in (text, equal, part)]
    assert len({os.fstat(fd).st_ino for fd in opened}) == 3
    assert os.fstat(opened[2]).st_size == 49_990
    for fd in opened:
        os.close(fd)


def test_the_files_of_texts_that_are_gone_or_that_many_came_after_are_closed() -> None:
    before = descriptors()
    texts = [Context.from_text(f"{number} " * 50_000) for number in range(20)]
    for text in texts * 2:
        os.close(shown(text))
    assert descriptors() <= before + 4
    del text, texts
    gc.collect()
    assert descriptors() <= before
