"""Word overlap of an answer with the expected one, computed as for public question answering benchmarks."""

from __future__ import annotations

import re
import string
from collections import Counter

from rlmbox.evaluation.stems import stem

_DROPPED = str.maketrans("", "", string.punctuation)
_SMALL_WORDS = frozenset({"a", "an", "the", "and"})
# Chinese and Japanese characters, which are not separated by spaces.
_ALONE = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff])")


def words_of(text: str, *, stems: bool) -> list[str]:
    """Return the words of a text in lower case, without punctuation, articles and "and".

    Args:
        text: The text.
        stems: Whether to reduce English words to their stems.
    """
    words = _ALONE.sub(r" \1 ", text.lower().translate(_DROPPED)).split()
    kept = [word for word in words if word not in _SMALL_WORDS]
    return [stem(word) for word in kept] if stems else kept


def token_f1(answer: str, right: str, *, stems: bool) -> float:
    """Return the F1 score of two texts over their words.

    Args:
        answer: The answer.
        right: The right answer.
        stems: Whether to compare English words by their stems.
    """
    given, wanted = (Counter(words_of(each, stems=stems)) for each in (answer, right))
    common = (given & wanted).total()
    return 2 * common / (given.total() + wanted.total()) if common else 0.0


def items_f1(answer: str, right: str) -> float:
    """Return the mean, over the items of a comma-separated list, of the best F1 by stems of an item of the answer.

    Args:
        answer: The answer.
        right: The right answer.
    """
    wanted, given = right.split(","), answer.split(",")
    return sum(max(token_f1(each, item, stems=True) for each in given) for item in wanted) / len(wanted)
