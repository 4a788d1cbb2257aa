"""Random texts that a pattern matches."""

import random
import re
import string
from collections.abc import Iterable
from typing import Any

_MORE = 24
_PRINTABLE = [chr(code) for code in range(33, 127)]
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_SPACE": " \t",
    "CATEGORY_WORD": string.ascii_letters + string.digits + "_",
    "CATEGORY_NOT_SPACE": "".join(_PRINTABLE),
}


def sample(pattern: str, rng: random.Random) -> str:
    """Return a text that a pattern matches, with at most a few more repetitions than it asks for."""
    return _sequence(re._parser.parse(pattern.replace(r"\z", r"\Z"), re.ASCII), rng)  # type: ignore[attr-defined]


def _sequence(items: Iterable[Any], rng: random.Random) -> str:
    return "".join(_item(str(code), value, rng) for code, value in items)


def _item(code: str, value: Any, rng: random.Random) -> str:
    if code == "LITERAL":
        return chr(value)
    if code == "IN":
        return rng.choice(_members(value))
    if code in {"MAX_REPEAT", "MIN_REPEAT"}:
        low, high, items = value
        return "".join(_sequence(items, rng) for _ in range(rng.randint(low, min(int(high), low + _MORE))))
    if code == "SUBPATTERN":
        return _sequence(value[-1], rng)
    if code == "BRANCH":
        return _sequence(rng.choice(value[1]), rng)
    if code == "ANY":
        return rng.choice(_PRINTABLE)
    assert code == "AT", code
    return ""


def _members(items: list[Any]) -> list[str]:
    is_negated = str(items[0][0]) == "NEGATE"
    members: list[str] = []
    for code, value in items:
        if str(code) == "LITERAL":
            members.append(chr(value))
        elif str(code) == "RANGE":
            members += map(chr, range(value[0], value[1] + 1))
        elif str(code) == "CATEGORY":
            members += _CATEGORIES[str(value)]
    return [each for each in _PRINTABLE if each not in members] if is_negated else members
