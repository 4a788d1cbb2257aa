"""Delimiters that a text cannot forge, because they hold letters that were drawn after the text."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from hashlib import blake2b

_NONCE_CHARS = 8
_ALPHABET = "abcdefghijkmnpqrstuvwxyz"  # without digits, or a nonce might be taken for a number that is to be hidden


def new_nonce() -> str:
    """Return a nonce of 36 bits, to be made anew for each turn after its cells have run."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_NONCE_CHARS))


def nonce_of(run_id: str, parts: Iterable[str]) -> str:
    """Return the nonce of a turn, which is the same where the turn is taken again over its record.

    It is a digest of all that stands between the delimiters, keyed with the run's name, which no code is told. A text
    would have to hold its own digest.

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
    """Return a text between delimiters, so that nothing in it can pose as words of the system.

    A turn, an error, a hint, a notice of a limit, a fence or a final tag inside the delimiters is data. A text that
    has the nonce all the same, because it was shown one of the same turn, has it broken up.

    Args:
        text: What to quote.
        nonce: From `new_nonce`.
        label: A word for what it is.
    """
    broken = text.replace(nonce, f"{nonce[:4]}…") if nonce in text else text
    end = "" if broken.endswith("\n") or not broken else "\n"
    return f"<{label} {nonce}>\n{broken}{end}</{label} {nonce}>"
