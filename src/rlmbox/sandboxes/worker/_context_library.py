"""`io.StringIO` and `json` on a text too long to be a `str` in the sandbox: the first reads it, the second refuses it.

Runs inside the sandbox, from source that the start frame carries, as `_context_text.py` does. Functions written in C
take only a real `str`; so those that can do better are replaced here.
"""

from __future__ import annotations

import _io
import io
import json
from functools import wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rlmbox.sandboxes.worker._context_text import LargeText

BUFFER_BYTES = 1 << 18
TO_PARSE = (
    "take records one by one, such as [json.loads(line) for line in context.splitlines() if line], or parse a part: "
    "json.loads(context[a:b])"
)
REST_CHARS = 8_000_000
TO_READ = "go through the lines with `for`, or read(size)"


class TextBytes(io.RawIOBase):
    """The UTF-8 of a long text, as a raw stream.

    Args:
        text: The text.
    """

    def __init__(self, text: LargeText) -> None:
        super().__init__()
        self._text = text
        self._pieces, self._rest, self._at = self._encoded(), b"", 0

    def _encoded(self) -> Iterator[bytes]:
        return (piece.encode("utf-8", "surrogatepass") for piece in self._text.pieces(0, len(self._text)))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as fit, or fewer; return 0 at the end."""
        self._rest = self._rest or next(self._pieces, b"")
        data = self._rest[: len(buffer)]
        buffer[: len(data)] = data
        self._rest = self._rest[len(data) :]
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position; takes as long as reading up to it."""
        target = offset + (self._at if whence == 1 else 0)
        if whence == 2:
            target += self._at + len(self._rest) + sum(map(len, self._pieces))
        if whence == 2 or target < self._at:
            self._pieces, self._rest, self._at = self._encoded(), b"", 0
        while self._at < target and (self._rest or (piece := next(self._pieces, b""))):
            self._rest = self._rest or piece
            step = min(len(self._rest), target - self._at)
            self._rest, self._at = self._rest[step:], self._at + step
        return self._at

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._at


class TextFile(io.TextIOWrapper):
    """The result of `io.StringIO(context)`: a file that holds no more of the text than a buffer.

    Args:
        text: The text.
        newline: As in `io.StringIO`.
        refused: The error to raise when too much is read at once.
    """

    def __init__(self, text: LargeText, newline: str | None, refused: Exception) -> None:
        self._text, self._bytes, self._refused = text, TextBytes(text), refused
        super().__init__(io.BufferedReader(self._bytes, BUFFER_BYTES), "utf-8", "surrogatepass", newline)

    def read(self, size: int | None = -1, /) -> Any:
        """Return up to `size` characters; without a size, the rest if it is short, or the whole text as its handle."""
        if size is not None and size >= 0:
            return super().read(size)
        if self._bytes.tell() == 0:
            self.seek(0, 2)
            return self._text
        rest = super().read(REST_CHARS + 1)
        if len(rest) > REST_CHARS:
            raise self._refused
        return rest

    def getvalue(self) -> Any:
        """Return the text."""
        return self._text


def install(texts: Any) -> None:
    """Make `io.StringIO` accept the handle of a long text, and `json` refuse it with advice.

    Args:
        texts: The module `_context_text`.
    """

    class StringIO(io.StringIO):
        """`io.StringIO` that also accepts a long text."""

        def __new__(cls, initial_value: Any = "", newline: str | None = "\n") -> Any:
            if texts.is_whole(initial_value):
                text = initial_value
                return TextFile(text, newline, texts.refusal("the rest of the text", text, TO_READ))
            return super().__new__(cls)

    StringIO.__module__, StringIO.__qualname__, StringIO.__doc__ = "_io", "StringIO", io.StringIO.__doc__
    _io.StringIO = io.StringIO = StringIO  # type: ignore[misc]  # both, for pickle looks a class up by its module
    refused = {"encode": "dumps", "default": "dumps"}
    for kind, names in ((json.JSONEncoder, refused), (json.JSONDecoder, {"decode": "loads", "raw_decode": "loads"})):
        for name, function in names.items():
            setattr(kind, name, refusing(getattr(kind, name), f"json.{function}() of the whole text", texts))


def refusing(own: Any, what: str, texts: Any) -> Any:
    """Return a method that refuses a long text and otherwise calls the original."""
    hint = TO_PARSE if "loads" in what else ""

    @wraps(own)
    def method(*args: Any, **options: Any) -> Any:
        value: Any = args[1] if len(args) > 1 else None
        if own.__name__ == "default" and issubclass(type(value), texts.Parts):
            return [*value]
        if texts.is_whole(value):
            raise texts.refusal(what, value, hint)
        return own(*args, **options)

    return method
