"""Ways to print a context in turns, and how much of it got through."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable

SNIPPET_CHARS = 24
SYLLABLES = ("ba", "co", "de", "fi", "gu", "la", "me", "no", "pi", "ru", "sa", "te", "vo", "an", "er", "in", "on", "ur")


def prose(chars: int, seed: int = 1) -> str:
    """Returns sentences of made-up words that hardly repeat."""
    rng = random.Random(seed)
    words = sorted({"".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(4_000)})
    sentences: list[str] = []
    size = 0
    while size < chars:
        sentences.append(
            " ".join(rng.choices(words, k=rng.randint(8, 18))).capitalize() + rng.choice([". ", ". ", ".\n"])
        )
        size += len(sentences[-1])
    return "".join(sentences)[:chars]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


DUMPS: dict[str, Callable[[str], list[str]]] = {
    "whole": lambda text: [text],
    "in pieces": lambda text: pieces(text, 3_000),
    "in pieces of 120": lambda text: ["\n---\n".join(pieces(part, 120)) for part in pieces(text, 3_000)],
    "in pieces of 60": lambda text: ["\n---\n".join(pieces(part, 60)) for part in pieces(text, 3_000)],
    "upper case": lambda text: [part.upper() for part in pieces(text, 3_900)],
    "joined": lambda text: ["".join(part.split()) for part in pieces(text, 5_000)],
    "one word a line": lambda text: ["\n".join(part.split()) for part in pieces(text, 5_000)],
    "as error messages": lambda text: [f"ValueError: {part}" for part in pieces(text, 2_500)],
    "as reprs": lambda text: [repr(part.split()) for part in pieces(text, 3_000)],
    "as names of variables": lambda text: [
        " ".join(f"{'_'.join(p.split())}=1" for p in pieces(w, 80)) for w in pieces(text, 3_000)
    ],
}


def got_through(text: str, outputs: Iterable[str]) -> int:
    """Counts the characters of a text of which a piece of 24, without case and punctuation, is in an output."""
    letters = re.sub(r"[\W_]+", "", text.lower())
    shown = bytearray(len(letters))
    places: dict[str, list[int]] = {}
    for at in range(len(letters) - SNIPPET_CHARS + 1):
        places.setdefault(letters[at : at + SNIPPET_CHARS], []).append(at)
    for output in outputs:
        seen = re.sub(r"[\W_]+", "", output.lower())
        for at in range(len(seen) - SNIPPET_CHARS + 1):
            for place in places.get(seen[at : at + SNIPPET_CHARS], ()):
                shown[place : place + SNIPPET_CHARS] = b"\1" * SNIPPET_CHARS
    return int(sum(shown) * len(text) / len(letters))
