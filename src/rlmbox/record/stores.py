"""Opening a store by path, and the default store of runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rlmbox.errors import StoreError
from rlmbox.record.journal import Store


def default_path() -> Path:
    """Return the file where this user's runs are stored: `$XDG_DATA_HOME/rlmbox/runs.db`, or the system's equivalent.

    Raises:
        StoreError: There is no home directory.
    """
    base = os.environ.get("XDG_DATA_HOME", "").strip()
    if not Path(base).is_absolute():
        try:
            home = Path.home()
        except RuntimeError:
            raise StoreError("there is no home directory to keep runs in; give a file with --store") from None
        base = str(home / ("Library/Application Support" if sys.platform == "darwin" else ".local/share"))
    return Path(base) / "rlmbox" / "runs.db"


def close_store(store: Store | None) -> None:
    """Close a store, if it can be closed, such as a file.

    Args:
        store: The store; None for none.
    """
    close = getattr(store, "close", None)
    if close is not None:
        close()


def open_store(
    store: Store | str | os.PathLike[str] | None, *, record: bool = False, to_read: bool = False
) -> Store | None:
    """Open a store.

    Args:
        store: A store, or the path of a file, in JSON Lines if it ends in `.jsonl`; None for none, or for the user's
            own if `record` is set.
        record: Whether to use the user's own file if no other is given.
        to_read: Whether a file that cannot be written is acceptable.

    Raises:
        StoreError: The file cannot be opened.
    """
    if store is None and not record:
        return None
    if store is not None and not isinstance(store, str | os.PathLike):
        return store
    path = default_path() if store is None else Path(store)
    if path.is_dir():
        raise StoreError(f"{path} is a folder; name a file in it, such as {path / 'runs.db'}")
    if path.suffix == ".jsonl":
        from rlmbox.record.jsonl_store import JsonlStore

        return JsonlStore(path)
    from rlmbox.record.sqlite_store import SqliteStore

    writable = os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)
    return SqliteStore(path, read_only=to_read and path.exists() and not writable)
