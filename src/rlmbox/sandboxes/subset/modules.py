"""The modules of a cell: those parts of Python's own that only compute."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import string
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from rlmbox.sandboxes.subset.collection_methods import counted_items, pairs_of
from rlmbox.sandboxes.subset.grammar import SubsetProfile, members
from rlmbox.sandboxes.subset.json_text import dumps, loads
from rlmbox.sandboxes.subset.meter import Meter
from rlmbox.sandboxes.subset.operators import multiply
from rlmbox.sandboxes.subset.regex import Engine
from rlmbox.sandboxes.subset.values import (
    Builtin,
    CellIterator,
    Module,
    TypeValue,
    collect,
    counted,
    same_kind,
)

MAX_DECOMPRESSED_BYTES = 1_000_000
_MAX_FACTORIAL = 1_500


def modules_for(profile: SubsetProfile, meter: Meter) -> dict[str, Module]:
    """Return the modules of a profile by name.

    Args:
        profile: The profile.
        meter: Counts the work.
    """
    found = {}
    engine = Engine(meter)
    for owner, names in members(profile, "module").items():
        found[owner] = Module(owner, _Members(owner, names, meter, engine))
    return found


class _Members(Mapping[str, Any]):
    """The members of a module, each created on first access, so that a session starts fast."""

    def __init__(self, owner: str, names: frozenset[str], meter: Meter, engine: Engine) -> None:
        self._owner, self._names, self._meter, self._engine = owner, names, meter, engine
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in self._names:
                raise KeyError(name)
            self._made[name] = _member(self._owner, name, self._meter, self._engine)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _member(owner: str, name: str, meter: Meter, engine: Engine) -> Any:
    if owner == "re" and name not in _CONSTANTS:
        if name == "finditer":
            return Builtin(name, partial(_finditer, engine))
        return Builtin(name, getattr(engine, name))
    known = _CONSTANTS.get(f"{owner}.{name}", _CONSTANTS.get(name) if owner == "re" else None)
    if known is not None:
        return known
    if owner == "collections":
        kind, do = _COLLECTIONS[name]
        return TypeValue(name, (kind,), partial(do, meter), "collections.")
    return Builtin(name, partial(_functions()[f"{owner}.{name}"], meter))


def _finditer(engine: Engine, pattern: Any, string: Any, flags: Any = 0) -> CellIterator:
    return CellIterator("callable_iterator", engine.finditer(pattern, string, flags), (string,))


def _exception(kind: type[BaseException], module: str) -> TypeValue:
    return TypeValue(kind.__name__, (kind,), kind, module)


_CONSTANTS: Mapping[str, Any] = MappingProxyType(
    {
        **{name: getattr(re, name) for name in "A ASCII I IGNORECASE M MULTILINE S DOTALL X VERBOSE".split()},  # noqa: SIM905
        "error": _exception(re.error, "re."),
        "binascii.Error": _exception(binascii.Error, "binascii."),
        "json.JSONDecodeError": _exception(json.JSONDecodeError, "json.decoder."),
        "zlib.error": _exception(zlib.error, "zlib."),
        **{f"math.{name}": getattr(math, name) for name in ("e", "inf", "nan", "pi", "tau")},
        **{f"string.{name}": getattr(string, name) for name in members("wide", "module")["string"]},
    }
)


# ---- base64, binascii, zlib -----------------------------------------------------------------------------------


def _bytes_in(meter: Meter, name: str, value: Any) -> Any:
    if value.__class__ not in (str, bytes):
        raise TypeError(f"argument should be a bytes-like object or ASCII string, not '{same_kind(value)}'")
    meter.make_text(len(value) * 2)
    return value


def _b64decode(meter: Meter, s: Any, altchars: Any = None, validate: Any = False) -> bytes:
    return base64.b64decode(_bytes_in(meter, "b64decode", s), altchars, bool(validate))


def _b64encode(meter: Meter, s: Any, altchars: Any = None) -> bytes:
    if s.__class__ is not bytes:
        raise TypeError(f"a bytes-like object is required, not '{same_kind(s)}'")
    return base64.b64encode(_bytes_in(meter, "b64encode", s), altchars)


def _urlsafe_b64decode(meter: Meter, s: Any) -> bytes:
    return base64.urlsafe_b64decode(_bytes_in(meter, "urlsafe_b64decode", s))


def _urlsafe_b64encode(meter: Meter, s: Any) -> bytes:
    if s.__class__ is not bytes:
        raise TypeError(f"a bytes-like object is required, not '{same_kind(s)}'")
    return base64.urlsafe_b64encode(_bytes_in(meter, "urlsafe_b64encode", s))


def _hexlify(meter: Meter, data: Any, *args: Any) -> bytes:
    if data.__class__ is not bytes:
        raise TypeError(f"a bytes-like object is required, not '{same_kind(data)}'")
    meter.make_text(len(data) * 3)
    return binascii.hexlify(data, *args)


def _unhexlify(meter: Meter, hexstr: Any, /) -> bytes:
    return binascii.unhexlify(_bytes_in(meter, "unhexlify", hexstr))


def _decompress(meter: Meter, data: Any, /, wbits: Any = zlib.MAX_WBITS) -> bytes:
    if data.__class__ is not bytes:
        raise TypeError(f"a bytes-like object is required, not '{same_kind(data)}'")
    meter.scan(len(data) + MAX_DECOMPRESSED_BYTES)
    meter.take(MAX_DECOMPRESSED_BYTES)
    stream = zlib.decompressobj(wbits)
    found = stream.decompress(data, MAX_DECOMPRESSED_BYTES + 1)
    if len(found) > MAX_DECOMPRESSED_BYTES:
        raise ValueError(f"the decompressed data would have more than {MAX_DECOMPRESSED_BYTES:,} bytes")
    if not stream.eof:
        raise zlib.error("Error -5 while decompressing data: incomplete or truncated stream")
    return found


# ---- math -----------------------------------------------------------------------------------------------------


def _plain(name: str) -> Callable[..., Any]:
    do = getattr(math, name)

    def run(meter: Meter, /, *args: Any, **kwargs: Any) -> Any:
        return do(*args, **kwargs)

    return run


def _over_items(name: str) -> Callable[..., Any]:
    do = getattr(math, name)

    def run(meter: Meter, items: Any, /, *args: Any) -> Any:
        return do(collect(meter, items), *(collect(meter, arg) for arg in args))

    return run


def _small(value: Any) -> bool:
    return value.__class__ in (int, bool)


def _factorial(meter: Meter, n: Any, /) -> Any:
    if _small(n) and n > _MAX_FACTORIAL:
        meter.check_digits(1 << 20)
    return meter.digits(math.factorial(n))


def _choices(name: str) -> Callable[..., Any]:
    do = getattr(math, name)

    def run(meter: Meter, n: Any, k: Any = None, /) -> Any:
        if _small(n) and (k is None or _small(k)) and n > 0:
            picked = n if k is None else min(k, n - k) if name == "comb" else k
            if picked > 0:
                meter.check_digits(min(picked * n.bit_length(), 1 << 20) if picked > _MAX_FACTORIAL else 0)
        return meter.digits(do(n) if k is None and name == "perm" else do(n, k))

    return run


def _lcm(meter: Meter, /, *args: Any) -> Any:
    if all(map(_small, args)):
        meter.check_digits(sum(arg.bit_length() for arg in args))
    return math.lcm(*args)


def _prod(meter: Meter, items: Any, /, *, start: Any = 1) -> Any:
    total = start
    for item in counted(meter, items):
        total = multiply(meter, total, item)
    return total


@cache
def _functions() -> Mapping[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {
        f"math.{name}": _plain(name) for name in members("wide", "module")["math"] if callable(getattr(math, name))
    }
    found |= {
        "math.factorial": _factorial,
        "math.comb": _choices("comb"),
        "math.perm": _choices("perm"),
        "math.lcm": _lcm,
        "math.prod": _prod,
        "math.fsum": _over_items("fsum"),
        "math.dist": _over_items("dist"),
        "base64.b64decode": _b64decode,
        "base64.b64encode": _b64encode,
        "base64.urlsafe_b64decode": _urlsafe_b64decode,
        "base64.urlsafe_b64encode": _urlsafe_b64encode,
        "binascii.hexlify": _hexlify,
        "binascii.unhexlify": _unhexlify,
        "zlib.decompress": _decompress,
        "json.dumps": dumps,
        "json.loads": loads,
    }
    return MappingProxyType(found)


# ---- collections ----------------------------------------------------------------------------------------------


def _counter(meter: Meter, /, *args: Any, **kwargs: Any) -> Any:
    return Counter(*(counted_items(meter, arg) for arg in args), **kwargs)


def _defaultdict(meter: Meter, /, *args: Any, **kwargs: Any) -> Any:
    if args and args[0] is not None and not callable(args[0]):
        raise TypeError("first argument must be callable or None")
    return defaultdict(*args[:1], *(pairs_of(meter, arg) for arg in args[1:]), **kwargs)


_COLLECTIONS: Mapping[str, tuple[type, Callable[..., Any]]] = MappingProxyType(
    {"Counter": (Counter, _counter), "defaultdict": (defaultdict, _defaultdict)}
)
__all__ = ["modules_for"]
