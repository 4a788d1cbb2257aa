"""What the guard's tests are about: a text of words in no order, without anything to hide."""

import random
from functools import cache

import pytest

from rlmbox.context import Context

SYLLABLES = "ba co de fi gu la me no pi ru sa te vo an er in on ur el is".split()  # noqa: SIM905 - a list of words


def _words() -> list[str]:
    rng = random.Random(0)
    return sorted({"".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(3_000)})


WORDS = _words()


@cache
def prose(chars: int, seed: int = 1) -> str:
    """Return sentences of words in an order that hardly repeats."""
    rng = random.Random(seed)
    sentences: list[str] = []
    size = 0
    while size < chars:
        sentence = " ".join(rng.choices(WORDS, k=rng.randint(8, 18))).capitalize() + ". "
        if rng.random() < 0.15:
            sentence += "\n"
        sentences.append(sentence)
        size += len(sentence)
    return "".join(sentences)[:chars]


@pytest.fixture(scope="session")
def text() -> str:
    return prose(400_000)


@pytest.fixture(scope="session")
def context(text: str) -> Context:
    return Context.from_text(text)
