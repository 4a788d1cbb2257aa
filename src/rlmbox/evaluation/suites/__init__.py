"""Suites of questions generated from a seed, over texts of any length from 8,000 characters to 2 GB."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from rlmbox.budget.limits import check_count
from rlmbox.errors import ConfigError
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.suites import families
from rlmbox.evaluation.suites.families import Made

SMALLEST_CHARS = 8_000
LARGEST_CHARS = 2_000_000_000
_VERSION = 1  # of the texts: a seed generates the same ones as long as this is unchanged


@dataclass(frozen=True, slots=True)
class Suite:
    """A kind of question.

    Attributes:
        name: Its name.
        make: Writes a text and returns its question.
        imitates: The public benchmark that it imitates.
        differs: How it differs from that.
        is_folder: Whether its text is a folder of files.
    """

    name: str
    make: Callable[[Path, int, Random], Made]
    imitates: str
    differs: str
    is_folder: bool = False


_ALL = (
    Suite(
        "niah-single", families.single, "RULER niah_single: one needle in prose", "prose of random words, not essays"
    ),
    Suite(
        "niah-multi", families.multi, "RULER niah_multikey: one of 16 needles", "keys are cities, values seven digits"
    ),
    Suite(
        "niah-multivalue",
        families.multi_value,
        "RULER niah_multivalue: all values of one key",
        "3 to 8 values, not always 4; needles of other keys between",
    ),
    Suite(
        "variable-tracking",
        families.variables,
        "RULER variable tracking: all variables of one value",
        "three chains of five, so that two lead astray",
    ),
    Suite(
        "common-words",
        families.common_words,
        "RULER common words extraction",
        "five of 36 made-up words; how often they occur grows with the text",
    ),
    Suite(
        "oolong-count",
        families.count_class,
        "OOLONG: count records of a class",
        "the label is written in each record, so that code can count it; OOLONG's has to be understood",
    ),
    Suite(
        "oolong-pairs",
        families.count_pairs,
        "OOLONG-Pairs: count pairs of users, which grows with the square",
        "24 users; the label is written in each record",
    ),
    Suite(
        "two-documents",
        families.two_documents,
        "HotpotQA and BrowseComp-Plus: what one document names is looked up in another",
        "two hops through exact identifiers",
        is_folder=True,
    ),
    Suite(
        "callers",
        families.callers,
        "LongBench's and LongCodeBench's questions about a repository",
        "Python that does nothing; near names and a comment lead astray",
        is_folder=True,
    ),
    Suite(
        "scripts",
        families.scripts,
        "mNeedle and RULER in other languages: needles in seven scripts",
        "the text around is English, the question too",
    ),
    Suite(
        "near-misses",
        families.near_misses,
        "NoLiMa's and Sequential-NIAH's distractors",
        "they differ by a word, a tense or a negation, never by meaning alone",
    ),
    Suite(
        "silent",
        families.silent,
        "SQuAD 2.0's unanswerable questions",
        "what is near stands there: other keys, and one that the key is a part of",
    ),
)

SUITES = {suite.name: suite for suite in _ALL}
"""The suites, by name."""


def parse_size(text: str) -> int:
    """Parse a length such as `32k`, `1M`, `100MB` or `2GB`; return it in characters.

    Args:
        text: The length.

    Raises:
        ConfigError: It is not a length from 8,000 characters to 2 GB.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?)b?", text.strip().lower())
    if match is None:
        raise ConfigError(f"a size is a length such as 32k, 1M, 100MB or 2GB, not {text!r}")
    chars = round(float(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[match[2]])
    if not SMALLEST_CHARS <= chars <= LARGEST_CHARS:
        raise ConfigError(f"a size is from {SMALLEST_CHARS:,} characters to 2 GB, not {text!r}")
    return chars


def generate(name: str, folder: Path, size_chars: int, *, seed: int = 0, count: Any = 10) -> list[Question]:
    """Generate questions of a suite, writing those of their texts that do not exist yet.

    Args:
        name: The suite.
        folder: The folder for the texts, in a subfolder `texts`.
        size_chars: Length of each text, in characters.
        seed: The seed, which determines the texts.
        count: Number of questions, each over a text of its own.

    Raises:
        ConfigError: There is no such suite, the count is invalid, or the disk is full.
    """
    if name not in SUITES:
        raise ConfigError(f"there is no suite {name!r}; there are {', '.join(SUITES)}")
    check_count("the number of questions", count, 1)
    return [_question(SUITES[name], folder / "texts", size_chars, seed, number) for number in range(count)]


def _question(suite: Suite, folder: Path, size_chars: int, seed: int, number: int) -> Question:
    stem = f"{suite.name}-{size_chars}-{seed}-{number}"
    path = folder / (stem if suite.is_folder else f"{stem}.txt")
    known = folder / f"{stem}.json"
    made = _known(known, path) or _made(suite, path, known, size_chars, seed, number)
    return Question(
        id=f"{suite.name}/{size_chars}/{seed}/{number}",
        question=made.question,
        expected=made.expected,
        context=str(path.absolute()),
        grader=made.grader,
        size_chars=size_chars,
        suite=suite.name,
        facts=made.facts,
    )


def _known(known: Path, path: Path) -> Made | None:
    """Return the question of a text that was written completely; None if its description is missing."""
    try:
        value = json.loads(known.read_text(encoding="utf-8"))
        return Made(**value["made"]) if value["version"] == _VERSION and path.exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _made(suite: Suite, path: Path, known: Path, size_chars: int, seed: int, number: int) -> Made:
    digest = hashlib.sha256(f"{_VERSION}/{suite.name}/{size_chars}/{seed}/{number}".encode()).digest()
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(known.parent).free < size_chars * 1.5 + 10**7:
            raise ConfigError(f"{known.parent} has not enough space for a text of {size_chars:,} characters")
        known.unlink(missing_ok=True)
        if suite.is_folder and path.exists():
            shutil.rmtree(path)
        rng = Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - reproducible
        made = suite.make(path, size_chars, rng)
        known.write_text(json.dumps({"version": _VERSION, "made": asdict(made)}), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{known.parent} cannot be written: {error.strerror}") from None
    return made
