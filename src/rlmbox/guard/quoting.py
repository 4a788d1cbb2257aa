"""Delimiters that a text cannot forge, because their nonce is chosen after the text."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import blake2b

_NONCE_CHARS = 8
_ALPHABET = "abcdefghijkmnpqrstuvwxyz"  # no digits, so that a nonce is never taken for a number to be hidden


def new_nonce() -> str:
    """Return a nonce of 36 bits; a new one is needed for each turn after its cells have run."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_NONCE_CHARS))


def nonce_of(run_id: str, parts: Iterable[str]) -> str:
    """Return the nonce of a turn, which is the same when the turn is replayed.

    It is a digest of everything between the delimiters, keyed with the run's name, which code does not know. To forge
    one, a text would have to contain its own digest.

    Args:
        run_id: The run's name.
        parts: The texts of the turn, in order.
    """
    digest = blake2b(key=run_id.encode()[:64], digest_size=_NONCE_CHARS)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest.digest())


def quote(text: str, nonce: str, *, label: str = "output") -> str:
    """Put a text between delimiters, so that nothing in it can pose as the system's words.

    A turn, an error, a hint, a notice of a limit, a fence or a final tag inside the delimiters is data. If the text
    contains the nonce, because it was shown one of the same turn, that is broken up.

    Args:
        text: The text.
        nonce: From `new_nonce`.
        label: A word that describes the text.
    """
    broken = text.replace(nonce, f"{nonce[:4]}…") if nonce in text else text
    end = "" if broken.endswith("\n") or not broken else "\n"
    return f"<{label} {nonce}>\n{broken}{end}</{label} {nonce}>"
