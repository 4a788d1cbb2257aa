"""Texts of any length from a seed, written as a stream of pregenerated blocks with inserted lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

from rlmbox.errors import ConfigError

_POOL = 64
_BLOCK_CHARS = 65_536
_WORDS = tuple(
    """
    about above across after again along among another around because before behind below between beyond board
    bridge broad careful center certain change city clear cloud common corner country course cover custom daily
    detail distant early east effort evening event every field figure final follow forest garden gather general
    ground harbor height history hollow island journey kitchen ladder letter market matter meadow measure middle
    minute mirror moment morning mountain narrow nature notice number office orange order paper passage pattern
    picture place plain pocket question quiet railway reason record remark result river season second section
    shadow shelter silver simple sister slow small south spring station steady stone story street summer supper
    table thought timber travel valley village visit voice walk water weather west whole window winter wonder yellow
    """.split()  # noqa: SIM905 - a list of words is easier to read this way
)


def sentence(rng: Random) -> str:
    """Return a meaningless sentence of ordinary words.

    Args:
        rng: The random number generator.
    """
    words = rng.choices(_WORDS, k=rng.randint(6, 14))
    return f"{' '.join(words).capitalize()}."


def prose_pool(rng: Random, size_chars: int, line: Callable[[Random], str] = sentence) -> list[str]:
    """Return blocks of lines to fill a text with.

    Args:
        rng: The random number generator.
        size_chars: Length of the text; a short one gets short blocks.
        line: Generates a line, without its end.
    """
    wanted = max(400, min(_BLOCK_CHARS, size_chars // 24))
    blocks = []
    for _ in range(_POOL if size_chars > _BLOCK_CHARS * 16 else 12):
        lines, length = [], 0
        while length < wanted:
            lines.append(line(rng))
            length += len(lines[-1]) + 1
        blocks.append("\n".join(lines) + "\n")
    return blocks


def write_text(path: Path, size_chars: int, rng: Random, pool: Sequence[str], inserts: Sequence[str] = ()) -> list[int]:
    """Write a text, and return how often it contains each block of the pool.

    The inserted lines are spread over the whole text, in the given order.

    Args:
        path: The file, which is created atomically.
        size_chars: Lower bound of the length, exceeded by less than a block.
        rng: The random number generator.
        pool: The blocks.
        inserts: Lines to insert, without their ends.
    """
    places = sorted(rng.uniform(0.02, 0.98) * size_chars for _ in inserts)
    waiting, written, used = list(zip(places, inserts, strict=True)), 0, [0] * len(pool)
    waiting.reverse()
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with new.open("w", encoding="utf-8", newline="\n", buffering=1 << 20) as file:
            while written < size_chars or waiting:
                while waiting and (waiting[-1][0] <= written or written >= size_chars):
                    line = waiting.pop()[1] + "\n"
                    written += file.write(line)
                if written < size_chars:
                    number = rng.randrange(len(pool))
                    used[number] += 1
                    written += file.write(pool[number])
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    return used


def distinct(rng: Random, make: Callable[[Random], str], count: int, besides: Iterable[str] = ()) -> list[str]:
    """Return distinct values.

    Args:
        rng: The random number generator.
        make: Generates a value.
        count: Number of values.
        besides: Values to exclude.
    """
    taken, found = set(besides), list[str]()
    while len(found) < count:
        value = make(rng)
        if value not in taken:
            taken.add(value)
            found.append(value)
    return found


def digits(rng: Random) -> str:
    """Return a random number of seven digits.

    Args:
        rng: The random number generator.
    """
    return str(rng.randint(1_000_000, 9_999_999))
