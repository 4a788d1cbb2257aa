"""Tokens that no ordinary text has: rare by the pairs of their characters.

How much a token surprises is counted in bits per pair, against a table made from ordinary code and prose
(`bench/guard_corpus/make_pairs.py`). Shannon entropy does not tell them apart: docs/decisions/0030.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise

from rlmbox.guard.findings import Effect, Finding
from rlmbox.guard.matching import compiled

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-+/= "
SCALE = 16
"""Steps of the table per bit."""

MIN_CHARS, MAX_CHARS = 20, 400
_SCORED_CHARS = 96
_TOKENS = r"[0-9A-Za-z_+/=-]{20,}"
_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{32,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MIN_BITS = 7.0


class RareTokens:
    """Finds tokens that look random; digests in hexadecimal are only warned of, UUIDs are left alone.

    Args:
        min_bits: Surprise from which on a token is hidden, in bits per pair of characters.
        hides_hex: Hide hexadecimal of 32 digits or more instead of warning.
    """

    def __init__(self, *, min_bits: float = _MIN_BITS, hides_hex: bool = False) -> None:
        self._min_bits = min_bits
        self._hex_effect: Effect = "hidden" if hides_hex else "warned"

    def __call__(self, text: str) -> Iterator[Finding]:
        """Return the rare tokens of a text."""
        if not text.isascii():
            for found in re.finditer(_TOKENS, text):
                yield from self._judged(found[0], found.start())
            return
        for found in compiled(_TOKENS).finditer(text.encode()):
            yield from self._judged(found.group().decode(), found.start())

    def _judged(self, token: str, at: int) -> Iterator[Finding]:
        if _UUID.fullmatch(token):
            return
        if _HEX.fullmatch(token):
            yield Finding("hex-digest", at, at + len(token), self._hex_effect, why="32 hexadecimal digits or more")
        elif len(token) <= MAX_CHARS and is_rare(token, self._min_bits):
            yield Finding("rare-token", at, at + len(token), why="rare by the pairs of its characters")


def is_rare(token: str, min_bits: float = _MIN_BITS) -> bool:
    """Return whether a token looks random."""
    return _is_mixed(token) and bits_per_pair(token) >= min_bits


def bits_per_pair(token: str) -> float:
    """Return how much the pairs of characters of a token surprise, on average."""
    table, index = _table(), _index()
    codes = [index.get(character, len(ALPHABET) - 1) for character in token[:_SCORED_CHARS]]
    width = len(ALPHABET)
    total = sum(table[first * width + second] for first, second in pairwise(codes))
    return total / SCALE / max(1, len(codes) - 1)


def _is_mixed(token: str) -> bool:
    """Return whether a token has letters and digits in a mixture that words and numbers do not have."""
    digits = sum(map(str.isdigit, token))
    letters = sum(map(str.isalpha, token))
    return digits >= 2 and letters >= 6


@cache
def _table() -> bytes:
    return files("rlmbox.guard").joinpath("pairs.bin").read_bytes()


@cache
def _index() -> dict[str, int]:
    return {character: number for number, character in enumerate(ALPHABET)}
