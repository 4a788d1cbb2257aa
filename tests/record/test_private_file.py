"""Files of records: for their owner alone, and never through a link."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rlmbox.errors import StoreError
from rlmbox.record.journal import MemoryStore
from rlmbox.record.jsonl_store import JsonlStore
from rlmbox.record.run import Run
from runs import TEXT, rlm


async def recorded() -> Run:
    store = MemoryStore()
    await rlm("FINAL(ok)", store=store).aask("?", TEXT, run_id="one")
    return Run(tuple(await store.read("one")))


WRITERS: dict[str, Callable[[Run, Path], object]] = {
    "a trace": lambda _, path: JsonlStore(path).empty(),
    "a saved run": lambda run, path: run.save(path),
}


@pytest.mark.skipif(os.name == "nt", reason="modes and links are those of POSIX")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
async def test_a_file_is_its_owners_and_a_link_is_not_followed(
    write: Callable[[Run, Path], object], tmp_path: Path
) -> None:
    run, path, other = await recorded(), tmp_path / "trace.jsonl", tmp_path / "other"
    write(run, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    other.write_text("precious")
    path.symlink_to(other)
    with pytest.raises(StoreError, match="it is a link"):
        write(run, path)
    path.unlink()
    path.symlink_to(tmp_path / "new")
    with pytest.raises(StoreError, match="it is a link"):
        write(run, path)
    assert other.read_text() == "precious"
    assert not (tmp_path / "new").exists()
