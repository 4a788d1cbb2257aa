"""Making control characters and invisible characters visible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Controls except tab and newline (a carriage return only if a newline follows), soft hyphen, zero-width and directional
# marks, line separators, variation selectors that carry data, tags of plane 14, lone surrogates.
_ALWAYS = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e01ef"
)
_ANY = re.compile(f"[{_ALWAYS}\r\u200c\u200d\ufe0f]")
# A joiner belongs between letters of certain scripts, and between emoji; elsewhere it hides something.
_JOINED = "[\u0600-\u08ff\u0900-\u0dff\u1780-\u18af\u2190-\u2bff\ufe0f\U0001f000-\U0001faff]"
_JOINERS = "[\u200c\u200d]"
_JOINS = re.compile(f"(?<={_JOINED}){_JOINERS}")
_SHOWN = re.compile(
    f"[{_ALWAYS}]"
    "|\r(?!\n)"
    f"|(?<!{_JOINED}){_JOINERS}"
    # An emoji may be followed by the selector of its coloured form.
    "|(?<![#*0-9\u00a9\u00ae\u2000-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])\ufe0f"
)

_PLAIN = re.compile("[A-Za-z \n\u3040-\u9fff]{2}")
_PIECE_CHARS = 1 << 20
_UNSEEN, _MARK = ("Cc", "Cf", "Cs", "Zl", "Zp"), "\N{REPLACEMENT CHARACTER}"


def make_visible(text: str) -> str:
    """Return a text with control, bidirectional and invisible characters written as Python escapes."""
    return "".join(_SHOWN.sub(_escape, piece) if _ANY.search(piece) else piece for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """Yield a text in pieces, none of which depends on its neighbours; Python's other threads wait during one."""
    begin = 0
    while begin < len(text):
        plain = _PLAIN.search(text, begin + _PIECE_CHARS)
        end = plain.start() + 1 if plain else len(text)
        yield text[begin:end]
        begin = end


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code <= 0xFF:
        return "\\r" if found[0] == "\r" else f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def printable(text: str) -> str:
    """Return text that has no effect on a terminal except to be shown.

    Args:
        text: Any text; control characters except tab and newline become U+FFFD, and so do line separators and joiners
            that join nothing. No other character changes, nor does its place.
    """
    joins = {found.start() for found in _JOINS.finditer(text)}
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN or at in joins else _MARK
        for at, c in enumerate(text)
    )
