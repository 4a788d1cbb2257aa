"""The placeholder table of a run."""

from __future__ import annotations

import re
import threading
from collections import Counter

PLACEHOLDER_BEGIN = "<REDACTED: "
"""What every placeholder begins with."""

_PLACEHOLDER = re.compile(r"<REDACTED: ([^<>\n]{1,80}?)(?: ([0-9]{1,9}))?>")
_NUMBERS = frozenset({"card", "cnpj", "cpf", "iban", "phone"})


class Placeholders:
    """Placeholders for values: the same one for equal values, and the mapping back.

    The first value of a kind is `<REDACTED: email>`, the next `<REDACTED: email 2>`. Values that differ only in
    spelling, such as the dots of a CPF or the case of an e-mail address, are equal. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[tuple[str, str], int] = {}
        self._values: dict[tuple[str, int], str] = {}
        self._counts: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Placeholders: {len(self._values)}>"

    def number(self, kind: str, value: str) -> int:
        """Return the number of a value, from 1."""
        key = kind, _canonical(kind, value)
        with self._lock:
            if key not in self._numbers:
                self._counts[kind] += 1
                self._numbers[key] = self._counts[kind]
                self._values[kind, self._counts[kind]] = value
            return self._numbers[key]

    def restore(self, text: str) -> str:
        """Return a text with this run's placeholders replaced by their values."""
        return _PLACEHOLDER.sub(self._value, text)

    def counts(self) -> dict[str, int]:
        """Return the number of values of each kind."""
        with self._lock:
            return dict(self._counts)

    def _value(self, found: re.Match[str]) -> str:
        return self._values.get((found[1], int(found[2] or 1)), found[0])


def placeholder(kind: str, number: int) -> str:
    """Return the placeholder of a value."""
    return f"<REDACTED: {kind}>" if number == 1 else f"<REDACTED: {kind} {number}>"


def _canonical(kind: str, value: str) -> str:
    if kind in _NUMBERS:
        return "".join(filter(str.isalnum, value)).upper()
    return value.lower() if kind == "email" else value
