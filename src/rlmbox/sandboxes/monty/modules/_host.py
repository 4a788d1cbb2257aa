"""Functions of the host behind the REPL's own: text encodings, patterns, literals. No model is told of them.

What they are given comes from hostile code: sizes are bounded, and only encodings of text are known.
"""

from __future__ import annotations

import ast
import codecs
from datetime import datetime, timedelta, timezone
from typing import Any

from rlmbox.sandboxes.monty.modules._regex import described
from rlmbox.types import HostFunction

_MAX_CODED = 64 * 1024 * 1024
_MAX_LITERAL_CHARS = 1_000_000
_ERRORS = frozenset(
    {
        "strict",
        "ignore",
        "replace",
        "backslashreplace",
        "xmlcharrefreplace",
        "namereplace",
        "surrogateescape",
        "surrogatepass",
    }
)


def _codec(encoding: str, errors: str, size: int) -> codecs.CodecInfo:
    if size > _MAX_CODED:
        raise ValueError(f"at most {_MAX_CODED:,} bytes can be encoded or decoded at once here")
    if errors not in _ERRORS:
        raise LookupError(f"unknown error handler name '{errors}'")
    found = codecs.lookup(encoding)
    if not found._is_text_encoding:  # noqa: SLF001 - as `str.encode` asks
        raise LookupError(f"'{encoding}' is not a text encoding; use codecs.encode() to handle arbitrary codecs")
    return found


def encode(text: str, encoding: str, errors: str) -> bytes:
    """Encode a text, as `str.encode` does."""
    return _codec(encoding, errors, len(text)).encode(text, errors)[0]


def decode(data: bytes, encoding: str, errors: str) -> str:
    """Decode bytes, as `bytes.decode` does."""
    return _codec(encoding, errors, len(data)).decode(data, errors)[0]


def literal(text: str) -> Any:
    """Return what `ast.literal_eval` gives, without what Monty has no value for."""
    if len(text) > _MAX_LITERAL_CHARS:
        raise ValueError(f"a literal may have at most {_MAX_LITERAL_CHARS:,} characters here")
    try:
        return ast.literal_eval(text)
    except RecursionError:
        raise ValueError("the literal is nested too deeply") from None
    except MemoryError:
        raise ValueError("the literal is too large") from None


def strptime(text: str, form: str) -> list[Any]:
    """Return the parts that `datetime.strptime` reads, with the seconds and the name of a time zone or None."""
    found = datetime.strptime(text, form)
    offset = found.utcoffset()
    parts = [found.year, found.month, found.day, found.hour, found.minute, found.second, found.microsecond]
    name = found.tzname() if found.tzinfo is not None and found.tzinfo != timezone(offset or timedelta(0)) else None
    seconds = offset.total_seconds() if offset is not None else None
    # Monty's timedelta takes whole seconds.
    return [parts, int(seconds) if seconds is not None and seconds.is_integer() else seconds, name]


HOST_FUNCTIONS = (
    HostFunction("_rlm_strptime", strptime, "", pure=True),
    HostFunction("_rlm_encode", encode, "", pure=True),
    HostFunction("_rlm_decode", decode, "", pure=True),
    HostFunction("_rlm_literal", literal, "", pure=True),
    HostFunction("_rlm_pattern", described, "", pure=True),
)
