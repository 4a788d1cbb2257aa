"""Stemming of English words by Porter's algorithm (1980), with the two suffixes that he added later."""

from __future__ import annotations

import re
from functools import lru_cache

_SECOND = dict(
    each.split(":")
    for each in """
    ational:ate tional:tion enci:ence anci:ance izer:ize bli:ble logi:log alli:al entli:ent eli:e ousli:ous ization:ize
    ation:ate ator:ate alism:al iveness:ive fulness:ful ousness:ous aliti:al iviti:ive biliti:ble
    """.split()  # noqa: SIM905 - pairs are easier to read this way
)
_THIRD = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_FOURTH = tuple(
    "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize".split()  # noqa: SIM905 - as above
)


def _longest_first(suffixes: object) -> list[str]:
    return sorted(suffixes, key=len, reverse=True)  # type: ignore[call-overload,no-any-return]


_STEPS = ((_SECOND, _longest_first(_SECOND)), (_THIRD, _longest_first(_THIRD)))
_LAST = _longest_first(_FOURTH)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return the stem of a lowercase word; words of one or two letters are unchanged.

    Args:
        word: The word.
    """
    if len(word) <= 2 or not word.isascii():
        return word
    word = _without_ed_or_ing(_without_plural(word))
    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = f"{word[:-1]}i"
    for endings, order in _STEPS:
        ending = next((each for each in order if word.endswith(each)), None)
        if ending is not None and _measure(word[: -len(ending)]) > 0:
            word = word[: -len(ending)] + endings[ending]
    return _without_final_e(_without_last_suffix(word))


def _shape(word: str) -> str:
    """Map each letter of a word to `v` for a vowel or `c` for a consonant."""
    shape = ""
    for letter in word:
        is_vowel = letter in "aeiou" or (letter == "y" and shape.endswith("c"))
        shape += "v" if is_vowel else "c"
    return shape


def _measure(word: str) -> int:
    """Return how often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _ends_short(word: str) -> bool:
    """Return whether a word ends with consonant, vowel and consonant, the last none of w, x and y."""
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"


def _ends_double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _without_plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _without_ed_or_ing(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    bare = re.sub(r"(?:ed|ing)\Z", "", word)
    if bare == word or "v" not in _shape(bare):
        return word
    if bare.endswith(("at", "bl", "iz")):
        return f"{bare}e"
    if _ends_double(bare) and bare[-1] not in "lsz":
        return bare[:-1]
    return f"{bare}e" if _measure(bare) == 1 and _ends_short(bare) else bare


def _without_last_suffix(word: str) -> str:
    ending = next((each for each in _LAST if word.endswith(each)), None)
    if ending is None:
        return word
    bare = word[: -len(ending)]
    return bare if _measure(bare) > 1 and (ending != "ion" or bare.endswith(("s", "t"))) else word


def _without_final_e(word: str) -> str:
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _ends_short(word[:-1])):
            word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word
