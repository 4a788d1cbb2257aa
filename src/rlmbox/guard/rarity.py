"""Detection of tokens that look random, by the frequency of their pairs of characters.

The score is bits per pair, against a table made from ordinary code and prose (`bench/guard_corpus/make_pairs.py`).
Shannon entropy does not distinguish them: docs/decisions/0030.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise

from rlmbox.guard.findings import Finding, FindingEffect
from rlmbox.guard.matching import Encoded, compiled

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-+/= "
SCALE = 16
"""Steps of the table per bit."""

MAX_CHARS = 400
_SCORED_CHARS = 96
_TOKENS = r"[0-9A-Za-z_+/-]{20,}={0,2}"
_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{20,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MIN_BITS = 7.0
_MIN_LETTERS = 6
_MIN_PART_CHARS = 6
_JOINTS = re.compile("[+/]")
_ALL_JOINTS = re.compile("[+/_-]")
_MAX_NAME_PART_CHARS, _MAX_VERSION_PART_CHARS = 6, 8
_ULID = re.compile("01[0-9A-HJKMNP-TV-Z]{24}")
_ADVISORY = re.compile(r"(?:.*/)?GHSA(?:-[2-9cfghjmpqrvwx]{4}){3}")
_SUBSET_FONT = re.compile(r"/?[A-Z]{6}\+[A-Za-z][0-9A-Za-z-]*")
_BLANK = re.compile(r"(.)\1{9}")
# SSH public keys, C++ symbols, package digests.
_PUBLIC = ("AAAAB3NzaC1", "AAAAC3NzaC1", "AAAAE2VjZHNh", "_Z", "sha256-", "sha384-", "sha512-")
# Object ids in the responses of model and payment providers.
_OBJECT = re.compile(
    r"(?:asst|batch|call|chatcmpl|cmpl|container|file|fc|msg|req|resp|rlg|rs|run|srvtoolu|step|thread|toolu|vs"
    r"|acct|ch|cs|cus|evt|in|pi|pm|price|prod|seti|si|sub|txn)[_-][0-9A-Za-z]{14,64}"
)
_PUBLIC_BEFORE = (b"sha256:", b"h1:", b"sha1-")
_NAMED_PUBLIC = re.compile(
    rb"(?:(?:sha-?(?:1|224|256|384|512)|md5|etag|checksum|digest|fingerprint|integrity)[\"'=: \r\n-]{1,4}|\.\.\.)$",
    re.IGNORECASE,
)
_BEFORE_BYTES = 20
# A list of options, a sample, a range of characters: eight consecutive characters are not random.
_IN_ORDER = re.compile("12345678|abcdefgh|23456789|87654321", re.IGNORECASE)
_MIN_LINE_CHARS = 56
_BASE64 = ALPHABET[:-1].encode()


class RareTokens:
    """Finds tokens that look random.

    Digests in hexadecimal and lines of base64 only cause a warning; UUIDs are ignored.

    Args:
        hides_digests: Hide hexadecimal of 20 digits or more, and lines of base64, instead of warning.
    """

    def __init__(self, *, hides_digests: bool = False) -> None:
        self._digest_effect: FindingEffect = "hidden" if hides_digests else "warned"

    def __call__(self, text: str) -> Iterator[Finding]:
        """Yield the rare tokens of a text."""
        encoded = Encoded(text)
        for found in compiled(_TOKENS).finditer(encoded.data):
            token, begin = found.group().decode(), found.start()
            if token[0] == "f" and token[1] in "BIPR" and encoded.data[begin - 1 : begin] == b"\\":
                token, begin = token[2:], begin + 2  # a font change in a manual page
            elif encoded.data[max(0, begin - 2) : begin] == b"*(":
                token, begin = token[2:], begin + 2  # a named character there, with two letters
            if (judged := self._judged(token, encoded.data, begin, found.end())) is not None:
                start = encoded.char(begin)
                yield Finding(judged[0], start, start + len(token), judged[1], why=judged[2])

    def _judged(self, token: str, data: bytes, start: int, end: int) -> tuple[str, FindingEffect, str] | None:
        before = data[max(0, start - _BEFORE_BYTES) : start]
        if token.isdigit() or _is_public(token, before):
            return None
        if _HEX.fullmatch(token):
            return "hex-digest", self._digest_effect, "20 hexadecimal digits or more"
        if _IN_ORDER.search(token) or _BLANK.search(token) or _NAMED_PUBLIC.search(before):
            return None
        if before[-1:] == b"." and before[-2:-1].isdigit() and _longest_part(token) <= _MAX_VERSION_PART_CHARS:
            return None  # a version number, such as 20.10.24+dfsg1-1+deb12u1+b6
        if len(token) <= MAX_CHARS and is_rare(token):
            if _is_line_of_many(data, start, end):
                return "encoded-lines", self._digest_effect, "lines of base64"
            return "rare-token", "hidden", "rare by the pairs of its characters"
        return None


def _is_public(token: str, before: bytes) -> bool:
    """Return whether a token is of a kind that is random but public."""
    if token.startswith(_PUBLIC) or before.lower().endswith(_PUBLIC_BEFORE):
        return True
    return any(pattern.fullmatch(token) for pattern in (_UUID, _ULID, _OBJECT, _ADVISORY, _SUBSET_FONT))


def _is_line_of_many(data: bytes, start: int, end: int) -> bool:
    """Return whether a token is one of several lines of base64: as long as a neighbour, or a shorter last one."""
    begin, stop = data.rfind(b"\n", 0, start) + 1, data.find(b"\n", end)
    stop = len(data) if stop < 0 else stop
    if data[begin:start].strip() or data[end:stop].strip():
        return False
    before = data[data.rfind(b"\n", 0, max(0, begin - 1)) + 1 : max(0, begin - 1)].strip()
    after = data[stop + 1 : stop + 1 + MAX_CHARS].partition(b"\n")[0].strip()
    size = end - start
    is_rest = len(before) >= _MIN_LINE_CHARS and size <= len(before) and _is_encoded(before)
    is_same = size >= _MIN_LINE_CHARS and any(len(line) == size and _is_encoded(line) for line in (before, after))
    return is_rest or is_same


def _is_encoded(line: bytes) -> bool:
    return not line.translate(None, _BASE64)


def is_rare(token: str) -> bool:
    """Return whether a token looks random."""
    if not _is_mixed(token) or max(map(len, _JOINTS.split(token))) < _MIN_PART_CHARS:
        return False
    if _longest_part(token) <= _MAX_NAME_PART_CHARS:
        return False
    scored = token if any(map(str.islower, token)) else token.lower()  # NAMES_OF_CONSTANTS consist of words
    return bits_per_pair(scored) >= (_MIN_BITS if any(map(str.isdigit, token)) else _MIN_BITS + 1)


def _longest_part(token: str) -> int:
    return max(map(len, _ALL_JOINTS.split(token)))


def bits_per_pair(token: str) -> float:
    """Return the average score of a token's pairs of characters, in bits."""
    table, index = _table(), _index()
    codes = [index.get(character, len(ALPHABET) - 1) for character in token[:_SCORED_CHARS]]
    width = len(ALPHABET)
    total = sum(table[first * width + second] for first, second in pairwise(codes))
    return total / SCALE / max(1, len(codes) - 1)


def _is_mixed(token: str) -> bool:
    """Return whether a token mixes kinds of characters as words and numbers do not."""
    letters = sum(map(str.isalpha, token))
    is_scrambled = token.isalnum() and token.lower() != token != token.upper()
    return letters >= _MIN_LETTERS and (is_scrambled or any(map(str.isdigit, token)))


@cache
def _table() -> bytes:
    return files("rlmbox.guard").joinpath("pairs.bin").read_bytes()


@cache
def _index() -> dict[str, int]:
    return {character: number for number, character in enumerate(ALPHABET)}
