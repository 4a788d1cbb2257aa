"""Host functions behind the REPL's own functions: text encodings, patterns, literals. No model is told of them.

Their arguments come from hostile code: sizes are bounded, and only text encodings are accepted.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

from rlmbox.sandboxes.monty.modules._attributes import has_attribute
from rlmbox.sandboxes.monty.modules._regex import pattern_facts
from rlmbox.types import HostFunction

_MAX_CODED = 64 * 1024 * 1024
_MAX_LITERAL_CHARS = 1_000_000
_NEAR_CHARS = 100  # further from where a text is cut off, an error is not caused by that
_MAX_NUMBER_CHARS = 10_000
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\[uU]")
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
    if not found._is_text_encoding:  # noqa: SLF001 - the check that `str.encode` makes
        raise LookupError(f"'{encoding}' is not a text encoding; use codecs.encode() to handle arbitrary codecs")
    return found


def encode(text: str, encoding: str, errors: str) -> bytes:
    """Encode a string as `str.encode` does."""
    return _codec(encoding, errors, len(text)).encode(text, errors)[0]


def decode(data: bytes, encoding: str, errors: str) -> str:
    """Decode bytes as `bytes.decode` does."""
    return _without_surrogates(_codec(encoding, errors, len(data)).decode(data, errors)[0])


def _without_surrogates(text: str) -> str:
    """Return a string that Monty can hold, which has no lone surrogates."""
    if _SURROGATE.search(text):
        raise NotImplementedError(
            "a lone surrogate such as '\\ud800' is not in this REPL's Python: use text without it"
        )
    return text


def literal(text: str) -> Any:
    """Evaluate a literal as `ast.literal_eval` does, except for values that Monty lacks."""
    if len(text) > _MAX_LITERAL_CHARS:
        raise ValueError(f"a literal may have at most {_MAX_LITERAL_CHARS:,} characters here")
    try:
        found = ast.literal_eval(text)
    except IndentationError as error:  # which Monty lacks; `worded.monty` gives it its name back
        raise SyntaxError(str(error)) from None
    except RecursionError:
        raise ValueError("the literal is nested too deeply") from None
    except MemoryError:
        raise ValueError("the literal is too large") from None
    if _ESCAPE.search(text):
        _without_surrogates("".join(_texts(found)))
    return found


def _texts(value: object) -> Iterator[str]:
    """Iterate over the strings in a value that `ast.literal_eval` returned."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _texts(item)


def ascii_digits(text: str) -> str:
    """Replace the decimal digits of other scripts by ASCII digits, as `int` and `float` do."""
    if len(text) > _MAX_NUMBER_CHARS:
        return text
    return "".join(str(unicodedata.decimal(char, char)) for char in text)


def json_error(text: str, strict: bool) -> str:
    """Return the error message of `json.loads` for a text that Monty does not accept; '' if it is not known.

    Args:
        text: The text.
        strict: As for `json.loads`.

    Raises:
        NotImplementedError: CPython accepts the text.
    """
    is_long = len(text) > _MAX_LITERAL_CHARS
    try:
        json.loads(text[:_MAX_LITERAL_CHARS], strict=strict)
    except json.JSONDecodeError as error:
        may_be_of_end = error.pos > _MAX_LITERAL_CHARS - _NEAR_CHARS or error.msg.startswith("Unterminated")
        return "" if is_long and may_be_of_end else str(error)
    except (ValueError, RecursionError, MemoryError):
        return ""
    if is_long:
        return ""
    raise NotImplementedError("JSON with a lone surrogate such as '\\ud800' is not in this REPL's Python: leave it out")


def check_decimal_format(spec: str) -> None:
    """Raise what formatting a Decimal raises for a spec, if it is not one; Monty takes more."""
    if len(spec) <= _MAX_NUMBER_CHARS and not any(
        int(digits) > _MAX_NUMBER_CHARS for digits in re.findall(r"\d+", spec)
    ):
        format(Decimal(1), spec)


def strptime(text: str, form: str) -> list[Any]:
    """Parse a time as `datetime.strptime` does; return its parts, offset in seconds and zone name (or None)."""
    found = datetime.strptime(text, form)
    offset = found.utcoffset()
    parts = [found.year, found.month, found.day, found.hour, found.minute, found.second, found.microsecond]
    name = found.tzname() if found.tzinfo is not None and found.tzinfo != timezone(offset or timedelta(0)) else None
    seconds = offset.total_seconds() if offset is not None else None
    # Monty's timedelta takes integral seconds.
    return [parts, int(seconds) if seconds is not None and seconds.is_integer() else seconds, name]


def isoformat(kind: str, text: str) -> list[Any]:
    """Parse a date, datetime or time as `fromisoformat` does; return its parts, and the offset in seconds or None."""
    if kind == "date":
        day = date.fromisoformat(text)
        return [[day.year, day.month, day.day], None]
    found = time.fromisoformat(text) if kind == "time" else datetime.fromisoformat(text)
    offset = found.utcoffset()
    parts = [found.hour, found.minute, found.second, found.microsecond]
    if isinstance(found, datetime):
        parts = [found.year, found.month, found.day, *parts]
    seconds = offset.total_seconds() if offset is not None else None
    return [parts, int(seconds) if seconds is not None and seconds.is_integer() else seconds]


HOST_FUNCTIONS = (
    HostFunction("_rlm_has_attribute", has_attribute, "", pure=True),
    HostFunction("_rlm_isoformat", isoformat, "", pure=True),
    HostFunction("_rlm_strptime", strptime, "", pure=True),
    HostFunction("_rlm_ascii_digits", ascii_digits, "", pure=True),
    HostFunction("_rlm_check_decimal_format", check_decimal_format, "", pure=True),
    HostFunction("_rlm_json_error", json_error, "", pure=True),
    HostFunction("_rlm_encode", encode, "", pure=True),
    HostFunction("_rlm_decode", decode, "", pure=True),
    HostFunction("_rlm_literal", literal, "", pure=True),
    HostFunction("_rlm_pattern", pattern_facts, "", pure=True),
)
