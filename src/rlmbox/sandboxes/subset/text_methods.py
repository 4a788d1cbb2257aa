"""Methods of `str` and `bytes`; each counts its work before doing it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rlmbox.context.search.code_ranges import SPACES
from rlmbox.sandboxes.subset.formatting import braces
from rlmbox.sandboxes.subset.long_text import LongText, needs_whole
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.values import (
    Method,
    collect,
    same_kind,
)

_ENTRY_BYTES = 104
_SPLIT_BYTES = 64
_EXACT_CHARS = 50_000
_SPACES = "".join(chr(code) for low, high in SPACES for code in range(low, high + 1))
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_WIDTHS = frozenset({"center", "ljust", "rjust", "zfill"})
_LARGER = frozenset({"capitalize", "casefold", "lower", "swapcase", "title", "upper"})
_ENCODE_GROWTH = 12


def _check_args(name: str, args: Sequence[Any]) -> None:
    """Refuse arguments of our own types where Python's functions would access their internals."""
    for arg in args:
        if arg.__class__ is LongText:
            raise needs_whole(name, arg)


def of_text(kind: type, name: str) -> Method:
    """Return a method of a text whose work is counted by the length of the value.

    Args:
        kind: `str` or `bytes`.
        name: Name of the method.
    """
    do = getattr(kind, name)
    if name in _WIDTHS:

        def widen(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
            if args and args[0].__class__ is int:
                size = max(len(value), args[0])
                meter.check_room(size)
                meter.make_text(size, _is_wide(value, *args))
            return do(value, *args, **kwargs)

        return widen

    growth = 3 if name in _LARGER else 1

    def read(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        size = len(value)
        if size >= 1_000:
            wide = _is_wide(value)
            meter.make_text(size * growth if wide else size, wide)
        _check_args(name, args)
        return do(value, *args, **kwargs)

    return read


def _is_wide(*texts: Any) -> bool:
    return any(text.__class__ is str and not text.isascii() for text in texts)


def _scanning(kind: type, name: str) -> Method:
    """Return a method that scans a text and allocates nothing."""
    do = getattr(kind, name)

    def look(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        meter.scan(len(value))
        if args and args[0].__class__ is tuple:
            meter.go_through(len(args[0]))
        _check_args(name, args)
        return do(value, *args, **kwargs)

    return look


def _splitting(kind: type, name: str) -> Method:
    do = getattr(kind, name)

    def split(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
        _check_args(name, args)
        size = len(value)
        meter.scan(size)
        if size > 100:
            sep = args[0] if args else kwargs.get("sep")
            parts = _parts_of(value, sep, lines=name == "splitlines")
            most = args[1] if len(args) > 1 else kwargs.get("maxsplit", -1)
            if most.__class__ is int and most >= 0:
                parts = min(parts, most + 1)
            meter.make_items(parts, _SPLIT_BYTES)
            meter.take(size * (2 if _is_wide(value) else 1))
        return do(value, *args, **kwargs)

    return split


def _parts_of(value: Any, sep: Any, *, lines: bool) -> int:
    """Return an upper bound of the number of parts that a text is split into."""
    if not lines and sep.__class__ is value.__class__ and sep:
        return int(value.count(sep)) + 1
    if len(value) < _EXACT_CHARS:
        return len(value) // (1 if lines else 2) + 1
    if value.__class__ is bytes:
        return sum(value.count(each.encode("latin-1")) for each in " \n\t\r\x0b\x0c") + 1
    ends = _LINE_ENDS if lines else _SPACES
    if value.isascii():
        ends = "".join(end for end in ends if end.isascii())
    return int(sum(map(value.count, ends))) + 1


def _replace(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
    size = len(value)
    meter.scan(size)
    _check_args("replace", args)
    if len(args) >= 2 and args[0].__class__ is args[1].__class__ is value.__class__:
        old, new = args[0], args[1]
        most = args[2] if len(args) > 2 else kwargs.get("count", -1)
        growth = max(0, len(new) - len(old))
        times = value.count(old) if growth and (size > 1_000 or growth > 1_000) else size // max(1, len(old)) + 1
        if most.__class__ is int and most >= 0:
            times = min(times, most)
        meter.make_text(size + growth * times, _is_wide(value, new))
    return value.replace(*args, **kwargs)


def _join(meter: Meter, value: Any, /, *args: Any) -> Any:
    if len(args) != 1:
        return value.join(*args)
    _check_args("join", args)
    parts = args[0] if args[0].__class__ is list or args[0].__class__ is tuple else collect(meter, args[0])
    meter.go_through(len(parts))
    meter.check_room(len(value) * (len(parts) - 1))
    kind = value.__class__
    if not set(map(type, parts)) <= {kind}:
        raise _no_part(kind, parts)
    size = len(value) * max(0, len(parts) - 1) + sum(map(len, parts))
    wide = _is_wide(value) or (kind is str and not all(map(str.isascii, parts)))
    meter.held.append(parts)
    meter.make_text(size, wide)
    meter.held.pop()
    return value.join(parts)


def _no_part(kind: type, parts: Sequence[Any]) -> TypeError:
    """Return the error for the first item that cannot be joined."""
    place, part = next((place, part) for place, part in enumerate(parts) if part.__class__ is not kind)
    if part.__class__ is LongText:
        return needs_whole("join", part)
    expected = "str instance" if kind is str else "a bytes-like object"
    return TypeError(f"sequence item {place}: expected {expected}, {same_kind(part)} found")


def _expandtabs(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> Any:
    size = args[0] if args else kwargs.get("tabsize", 8)
    if size.__class__ is int and size > 0:
        tabs = value.count("\t" if value.__class__ is str else b"\t")
        meter.check_room(len(value) + tabs * size)
        meter.make_text(len(value) + tabs * size, _is_wide(value))
    return value.expandtabs(*args, **kwargs)


def _encode(meter: Meter, value: str, /, encoding: Any = "utf-8", errors: Any = "strict") -> bytes:
    _known_codec(encoding, errors)
    meter.make_text(len(value) * (1 if value.isascii() else 4 if errors in _SAME_SIZE else _ENCODE_GROWTH))
    return value.encode(encoding, errors)


def _decode(meter: Meter, value: bytes, /, encoding: Any = "utf-8", errors: Any = "strict") -> str:
    _known_codec(encoding, errors)
    meter.make_text(len(value) * (1 if value.isascii() or errors in _SAME_SIZE else 4), not value.isascii())
    return value.decode(encoding, errors)


_SAME_SIZE = frozenset({"strict", "ignore", "replace"})

_ERRORS = _SAME_SIZE | {"backslashreplace", "xmlcharrefreplace", "surrogateescape", "surrogatepass"}

_CODECS = re.compile(
    r"(?:utf|u)[-_]?(?:8|16|32)(?:[-_](?:sig|le|be))?|ascii|us[-_]ascii|latin[-_]?1|iso[-_]?8859[-_]\d{1,2}"
    r"|cp\d{3,4}|windows[-_]125\d|gbk|gb2312|gb18030|big5|shift[-_]jis|euc[-_](?:jp|kr)|koi8[-_][ru]|mac[-_]roman",
    re.IGNORECASE,
)


def _known_codec(encoding: Any, errors: Any) -> None:
    for value, name in ((encoding, "encoding"), (errors, "errors")):
        if value.__class__ is not str:
            raise TypeError(f"argument '{name}' must be str, not {same_kind(value)}")
    if not _CODECS.fullmatch(encoding):
        raise LookupError(f"unknown encoding: {encoding[:40]}")
    if errors not in _ERRORS:
        raise LookupError(f"unknown error handler name '{errors[:40]}'")


def _format(meter: Meter, value: str, /, *args: Any, **kwargs: Any) -> str:
    return braces(meter, value, args, kwargs)


def _translate(meter: Meter, value: Any, /, table: Any, **kwargs: Any) -> Any:
    if value.__class__ is bytes:
        meter.make_text(len(value))
        return value.translate(table, **kwargs)
    if kwargs:
        raise TypeError("str.translate() takes no keyword arguments")
    if not value:
        return value
    if not isinstance(table, (dict, list, tuple, str, bytes, range)):
        raise TypeError(f"'{same_kind(table)}' object is not subscriptable")
    texts = list(table.values() if isinstance(table, dict) else table)
    meter.go_through(len(texts))
    longest = max((len(to) for to in texts if to.__class__ is str), default=1)
    meter.check_room(len(value) * max(1, longest))
    meter.make_text(len(value) * max(1, longest), _is_wide(value) or any(_is_wide(to) for to in texts))
    return value.translate(table)


def _maketrans(meter: Meter, value: Any, /, *args: Any) -> Any:
    for arg in args:
        if isinstance(arg, dict | str | bytes):
            meter.make_items(len(arg), _ENTRY_BYTES)
    return value.maketrans(*args)


def _hex(meter: Meter, value: bytes, /, *args: Any, **kwargs: Any) -> str:
    meter.make_text(len(value) * 3)
    return value.hex(*args, **kwargs)


def _fromhex(meter: Meter, value: bytes, /, *args: Any) -> bytes:
    meter.make_text(len(args[0]) if args and args[0].__class__ is str else 0)
    return bytes.fromhex(*args)


def text_methods() -> dict[tuple[type, str], Method]:
    """Return the methods of `str` and `bytes` that need more than `of_text`."""
    found: dict[tuple[type, str], Method] = {}
    for kind in (str, bytes):
        for name in ("count", "endswith", "find", "index", "rfind", "rindex", "startswith"):
            found[kind, name] = _scanning(kind, name)
        for name in ("split", "rsplit", "splitlines"):
            found[kind, name] = _splitting(kind, name)
        found |= {(kind, "replace"): _replace, (kind, "join"): _join, (kind, "expandtabs"): _expandtabs}
        found |= {(kind, "translate"): _translate, (kind, "maketrans"): _maketrans}
    for name in dir(str):
        if name.startswith("is"):
            found[str, name] = _scanning(str, name)
    found |= {(str, "encode"): _encode, (bytes, "decode"): _decode, (str, "format"): _format}
    found |= {(bytes, "hex"): _hex, (bytes, "fromhex"): _fromhex}
    return found
