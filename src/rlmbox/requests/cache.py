"""An on-disk cache of replies, so that the same question to the same model is paid for once.

One SQLite file, readable by its owner only, with JSON in it. Its size is limited, least recently used replies being
dropped first, and it never fails a run: a damaged file is set aside, and one that cannot be opened counts as empty.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path

import anyio.to_thread

from rlmbox.context.storage.caching import cache_path
from rlmbox.models.base import Hosted, Model
from rlmbox.types import Completion, Message, Usage

MAX_BYTES = 256 * 1024 * 1024
"""Length of all kept replies together, in bytes, unless another bound is given."""

_FORMAT = 1  # part of every key, so that a new format ignores earlier entries
_BUSY_S = 2.0
_KEPT_AFTER_CLEARING = 0.8
_log = logging.getLogger("rlmbox")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, reply TEXT NOT NULL, size_bytes INTEGER NOT NULL, used_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS replies_by_use ON replies (used_at);
"""


def default_folder() -> Path:
    """Return the folder of the user's cache for replies; it may not exist yet."""
    return cache_path("replies")


@dataclass(frozen=True, slots=True)
class CachedQuestion:
    """A cache key: everything that determines a reply.

    Attributes:
        text: Everything that determines it, as JSON.
    """

    text: str

    @classmethod
    def of(
        cls, model: Model, messages: Sequence[Message], max_output_tokens: int, *, whole: bool = False
    ) -> CachedQuestion:
        """Return the key of a request.

        Args:
            model: The model: its name, its address and its settings count.
            messages: The conversation.
            max_output_tokens: Maximum length of the reply.
            whole: Whether a truncated reply is continued.
        """
        settings = [model.endpoint, model.settings] if isinstance(model, Hosted) else ["", ""]
        conversation = [[message.role, message.content] for message in messages]
        return cls(json.dumps([model.name, *settings, max_output_tokens, whole, conversation]))


@dataclass(frozen=True, slots=True)
class Kept:
    """A cached reply.

    Attributes:
        text: The reply.
        cost_usd: Its original cost.
    """

    text: str
    cost_usd: Decimal

    def completion(self, model: str) -> Completion:
        """Return it as a completion without usage.

        Args:
            model: The model's full name.
        """
        return Completion(self.text, Usage(), model)


class ReplyCache:
    """Cached replies by key.

    Args:
        path: The directory; None for `default_path()`. It is created if needed.
        policy: The guard policy under which a reply was made; it is only used under the same one.
        max_bytes: Maximum total size of the replies.
    """

    def __init__(self, path: str | Path | None = None, *, policy: str = "", max_bytes: int = MAX_BYTES) -> None:
        self._directory = Path(path) if path is not None else default_folder()
        self._policy = policy
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._unusable = False
        self._size_bytes = 0

    async def get(self, question: CachedQuestion) -> Kept | None:
        """Return a reply, or None if there is none."""
        return await anyio.to_thread.run_sync(self._get, self._key(question))

    async def put(self, question: CachedQuestion, completion: Completion, cost_usd: Decimal) -> None:
        """Store a reply.

        Args:
            question: The key.
            completion: The reply.
            cost_usd: Its cost in US dollars.
        """
        reply = json.dumps({"text": completion.text, "cost_usd": str(cost_usd)})
        await anyio.to_thread.run_sync(self._put, self._key(question), reply)

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _key(self, question: CachedQuestion) -> str:
        return sha256(json.dumps([_FORMAT, self._policy, question.text]).encode()).hexdigest()

    def _get(self, key: str) -> Kept | None:
        with self._lock:
            try:
                database = self._open()
                row = (
                    database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone() if database else None
                )
                if database is None or row is None:
                    return None
                with database:
                    database.execute("UPDATE replies SET used_at = ? WHERE key = ?", (time.time(), key))
            except sqlite3.OperationalError:
                return None  # another process is writing
            except sqlite3.Error as error:
                self._give_up(error)
                return None
        return _read(row[0])

    def _put(self, key: str, reply: str) -> None:
        size = len(reply.encode())
        if size > self._max_bytes // 10:
            return
        with self._lock:
            try:
                database = self._open()
                if database is None:
                    return
                with database:
                    database.execute(
                        "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?)", (key, reply, size, time.time())
                    )
                self._size_bytes += size
                if self._size_bytes > self._max_bytes:
                    self._clear(database)
            except sqlite3.OperationalError:
                return  # another process is writing, or the disk is full
            except sqlite3.Error as error:
                self._give_up(error)

    def _clear(self, database: sqlite3.Connection) -> None:
        """Drop the least recently used replies, a fifth at a time."""
        (size,) = database.execute("SELECT COALESCE(SUM(size_bytes), 0) FROM replies").fetchone()
        with database:
            for key, length in database.execute("SELECT key, size_bytes FROM replies ORDER BY used_at").fetchall():
                if size <= self._max_bytes * _KEPT_AFTER_CLEARING:
                    break
                database.execute("DELETE FROM replies WHERE key = ?", (key,))
                size -= length
        database.execute("PRAGMA incremental_vacuum")
        self._size_bytes = size

    def _open(self) -> sqlite3.Connection | None:
        """Open the file on first use; None if that fails."""
        if self._database is None and not self._unusable:
            try:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                file = self._directory / "replies.db"
                # Created here, because SQLite would use the umask's permissions.
                os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
                file.chmod(0o600)
                self._database = self._connect(file)
                weakref.finalize(self, self._database.close)
            except (OSError, sqlite3.Error) as error:
                self._give_up(error)
        return self._database

    def _connect(self, file: Path) -> sqlite3.Connection:
        try:
            return self._prepared(file)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            # Not a database, or a damaged one: its content can be requested again.
            _log.warning("%s is broken (%s) and was begun anew", file, error)
            file.replace(file.with_suffix(".broken"))
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_EXCL, 0o600))
            return self._prepared(file)

    def _prepared(self, file: Path) -> sqlite3.Connection:
        database = sqlite3.connect(file, timeout=_BUSY_S, check_same_thread=False)
        try:
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("PRAGMA synchronous = OFF")  # what a power failure loses can be requested again
            database.executescript(_SCHEMA)
            (self._size_bytes,) = database.execute("SELECT COALESCE(SUM(size_bytes), 0) FROM replies").fetchone()
        except BaseException:
            database.close()
            raise
        return database

    def _give_up(self, error: Exception) -> None:
        _log.warning("replies are not kept: %s: %s", self._directory, error)
        self._unusable = True
        if self._database is not None:
            self._database.close()
            self._database = None


def _read(reply: str) -> Kept | None:
    """Parse a row; None if it is damaged."""
    try:
        fields = json.loads(reply)
        text, cost = fields["text"], Decimal(fields["cost_usd"])
    except (ValueError, KeyError, TypeError, InvalidOperation):
        return None
    return Kept(text, cost) if isinstance(text, str) and cost.is_finite() and cost >= 0 else None
