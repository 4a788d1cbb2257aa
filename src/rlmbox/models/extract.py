"""Extraction of the sentences in a text that best answer a question, without a model.

A sentence's score is the share of the question's words that it contains, each weighed by its rarity in the text; words
in the heading above, in the name of the document and in the previous sentence count half. The type of answer that the
question asks for (a person, a number, a time, a reason, a definition) decides between similar sentences. If no sentence
contains enough of the question, or a name in the question occurs nowhere, there is no answer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_MOST_SENTENCES = 5
MAX_SENTENCES = 20_000
"""Sentences of a text that are ranked; what comes after them is not read."""

_STOP_WORDS_TEXT = """
a about according all also am an and any are as at be been being but by can could did do does each every find for from
give had has have how i if in into is it its list me much many most of on or our out say says shall should show so some
tell than that the their them then there these they this those to up us was we were what when where which who whom
whose why will with would you your
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
# Words that express how something is asked, and need not occur in an answer.
_WEAK_TEXT = """
become became call called cost costs come comes exactly first get gets give given go goes happen happened happens kind
long mean means name named need needs not number old sort take takes time times type use used uses way work works
"""
_WEAK = frozenset(_WEAK_TEXT.split())
_IRREGULAR_TEXT = """
built=build wrote=write written=write bought=buy sold=sell began=begin begun=begin held=hold made=make said=say
found=find ran=run sent=send kept=keep left=leave met=meet paid=pay read=read taught=teach thought=think won=win
grew=grow grown=grow knew=know known=know drew=draw drawn=draw spoke=speak spoken=speak chose=choose chosen=choose
children=child men=man women=woman people=person lay=lie fell=fall fallen=fall rose=rise risen=rise went=go gone=go
became=become took=take taken=take broke=break broken=break did=do done=do saw=see seen=see
"""
_IRREGULAR = dict(pair.split("=") for pair in _IRREGULAR_TEXT.split())
_WORD = re.compile(r"[^\W_]+(?:[_.\-'\u2019][^\W_]+)*|_+\w+", re.UNICODE)
_NAME = re.compile(r"\d|_|\w[A-Z]|\w[.]\w")
_QUOTED = re.compile(r"[\"\u201c`']([^\"\u201d`']{2,80})[\"\u201d`']")
_LABEL = re.compile(r"^(?:\[([^\]\n]{1,300}, line \d+)\]|===== ([^\n]{1,300}) =====)\s*$", re.MULTILINE)
_END = re.compile(r"[.!?][\"'\u201d\u2019)\]*_`]*\s+(?=[\"'\u201c\u2018(\[*_`]*[A-Z0-9])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|Fig|Inc|Ltd|Co|Corp|approx|pp?|vol|ed|al|resp|incl|max|min"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)|\b[A-Z])\.\Z"
)
_HEADING = re.compile(r"#{1,6}\s+\S")
_UNDERLINE = re.compile(r"\s*([=\-*~^\"#+])\1{2,}\s*")
_ITEM = re.compile(r"\s*(?:[-*•+]|\(?\d{1,3}[.)]|\([a-z]\))\s+\S")
_CODE = re.compile(
    r"\s*(?:def|class|import|from|async|function|func|fn|const|let|var|public|private|return|if|for|>>>|\$|@)\b.*"
)
_DEFINITION = re.compile(
    r"\s*(?:export |public |private |static |abstract |async |pub ){0,3}"
    r"(class|def|function|func|fn|struct|interface|enum|trait|type)\s+[\w.]+"
)
_DEFINING = "class declares defines definition file function implements method module source"
_LEAD_CHARS = 30
_ROW = re.compile(r"\s*\|.*\|\s*|.*\S {3,}\S+ {2,}\S.*")
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|dozen|half|hundred|thousand|million|no|none)\b",
    re.IGNORECASE,
)
_YEAR_OR_TIME = re.compile(
    r"\b(?:1\d|20)\d\d|\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b"
    r"|\b(?:day|week|month|year|hour|minute|second|before|after|when|once|until|about to)\b"
)
_REASON = re.compile(
    r"\b(?:because|since|so that|reason|therefore|due to|in order|cannot|needs?)\b|\bWhy\b", re.IGNORECASE
)
_PROPER = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+|\b[A-Z][a-z]+ [A-Z][a-z]+")
_DEFINES = re.compile(r"\b(?:is|are|was|were|means?|refers?|denotes?|stands? for|called|used|defines?)\b|[:=—]")

_HALF = 0.5
_MIN_COVERAGE = 0.4
_MIN_PREDICATE = 0.34
_NEAR = 0.7  # share of the best score that further sentences must have


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a text and its score.

    Attributes:
        text: The sentence, on one line.
        label: Its place according to the text, or an empty string.
        score: Higher is better.
    """

    text: str
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, an item of a list, or a line of code or of a table.

    Attributes:
        text: Its text, on one line.
        label: Its document.
        around: The stems in its heading, its document's name and the preceding text.
        named: The stems in its document's name.
        is_heading: Whether it is a heading.
    """

    text: str
    label: str
    around: frozenset[str]
    named: frozenset[str] = frozenset()
    is_heading: bool = False


def question_words(question: str) -> list[str]:
    """Return the distinct meaningful words of a question, in order."""
    words = [word for word in map(_without_s, _WORD.findall(question)) if word.lower() not in _STOP_WORDS]
    return list(dict.fromkeys(words)) or list(dict.fromkeys(_WORD.findall(question)))


def _without_s(word: str) -> str:
    return re.sub(r"['\u2019]s\Z", "", word)


def question_phrases(question: str) -> list[str]:
    """Return the phrases of a question: quotations, and pairs of adjacent meaningful words."""
    phrases = [phrase.strip() for phrase in _QUOTED.findall(question)]
    words = _WORD.findall(question)
    pairs = pairwise(words)
    phrases += [f"{a} {b}" for a, b in pairs if a.lower() not in _STOP_WORDS and b.lower() not in _STOP_WORDS]
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))


def is_name(word: str) -> bool:
    """Return whether a word is a name or a number, such as `OrderedDict`, `max_depth` or `2026`."""
    return _NAME.search(word) is not None


def question_names(question: str) -> list[str]:
    """Return the words of a question that must occur in an answer's text: names, numbers, quotations."""
    quoted = {word for phrase in _QUOTED.findall(question) for word in _WORD.findall(phrase)}
    first = next(iter(_WORD.findall(question)), "")
    return [
        word
        for word in question_words(question)
        if is_name(word) or word in quoted or (word[:1].isupper() and word != first)
    ]


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Return a word without its ending, so that its inflections are equal."""
    word = _without_s(word).lower()
    if is_name(word) or len(word) < 4:
        return word
    word = _IRREGULAR.get(word, word)
    for ending, rest in (("ies", "y"), ("sses", "ss"), ("ations", "at"), ("ation", "at"), ("ings", ""), ("ing", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return _bare(word[: -len(ending)] + rest)
    for ending in ("edly", "ed", "es", "s", "ly", "ions", "ion", "ers", "er", "ors", "or", "ment", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us", "is")):
            return _bare(word[: -len(ending)])
    return _bare(word)


def _bare(word: str) -> str:
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith(("e", "y", "i")) else word


def best_sentences(
    question: str, text: str, *, counts: Mapping[str, int] | None = None, chars: int | None = None
) -> list[Sentence]:
    """Extract the sentences of a text that best answer a question.

    Args:
        question: The question.
        text: The text, or passages of one. A line such as `[contract.txt, line 12]` or a document's header names the
            place of the text after it.
        counts: Frequencies of the question's words in the whole text, of which this may be a part.
        chars: Length of the whole text.

    Returns:
        The best sentences, best first, and only those of similar score; none if the text does not answer.
    """
    units = [unit for _, unit in zip(range(MAX_SENTENCES), _units(text), strict=False)]
    words = question_words(question)
    if not units or not words:
        return []
    stems = [_stems(unit.text) | _defining(unit.text) for unit in units]
    weights = _weights(words, stems, counts, chars)
    names = {stem(word) for word in question_names(question)}
    known = frozenset().union(*stems, *(unit.around for unit in units))
    if not names <= known:
        return []
    judge = _Judge(question, weights, names)
    ranked: dict[str, Sentence] = {}
    for unit, own in zip(units, stems, strict=True):
        score = judge.score(unit, own)
        if score > 0 and (unit.text not in ranked or ranked[unit.text].score < score):
            ranked[unit.text] = Sentence(unit.text, unit.label, round(score, 6))
    best = sorted(ranked.values(), key=lambda sentence: -sentence.score)[:_MOST_SENTENCES]
    return [sentence for sentence in best if sentence.score >= _NEAR * best[0].score]


def _stems(text: str) -> frozenset[str]:
    """Return the stems of a text's words, including the words within identifiers."""
    words = _WORD.findall(text)
    parts = [part for word in words if "_" in word or "." in word or "-" in word for part in re.split(r"[_.\-]+", word)]
    return frozenset(stem(word) for word in (*words, *parts) if word)


def _defining(text: str) -> frozenset[str]:
    """Return the stems that a line of code with a definition need not contain literally."""
    found = _DEFINITION.match(text)
    return frozenset(map(stem, _DEFINING.split())) - {stem("class")} | {stem(found[1])} if found else frozenset()


def _weights(
    words: Sequence[str], stems: Sequence[frozenset[str]], counts: Mapping[str, int] | None, chars: int | None
) -> dict[str, float]:
    """Return the weight of each word of a question: higher the rarer it is, highest if it does not occur."""
    total = max(len(stems), (chars or 0) // 100, 10)
    weights: dict[str, float] = {}
    for word in words:
        own = stem(word)
        found = sum(own in sentence for sentence in stems)
        if counts is not None and found:
            found = max(found, counts.get(word, 0))
        weight = math.log(1 + total / (found + 0.5))
        weights[own] = weight * (0.25 if word.lower() in _WEAK else 1.0)
    return weights


class _Judge:
    """A scorer of sentences as answers to one question."""

    def __init__(self, question: str, weights: Mapping[str, float], names: set[str]) -> None:
        self._weights = weights
        self._total = sum(weights.values())
        weak = {stem(word) for word in _WEAK}
        self._predicate = {word: weight for word, weight in weights.items() if word not in names and word not in weak}
        self._predicate_total = sum(self._predicate.values())
        self._names = {word: weights[word] for word in names if word in weights}
        counted = re.search(r"\bhow many ([^\W\d_]+)", question, re.IGNORECASE)
        self._counted = stem(counted[1]) if counted and counted[1].lower() not in _STOP_WORDS else ""
        self._kind = _kind_of(question)
        self._asked = frozenset(weights)
        words = question.lower().rstrip("?!. ").split()
        self._runs = [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]
        self._pairs = [
            (stem(a), stem(b))
            for a, b in pairwise(question_words(question))
            if stem(a) in weights and stem(b) in weights
        ]
        self._named_pairs = [
            pair.lower() for pair in question_phrases(question) if " " in pair and any(map(is_name, pair.split()))
        ]
        self._quoted = [phrase.lower() for phrase in _QUOTED.findall(question)]
        defined = re.match(r"(?:what|who)\s+(?:is|are|was|were)\s+(.+)", question.strip().rstrip("?"), re.IGNORECASE)
        self._subject = [stem(word) for word in question_words(defined[1])] if defined else []

    def score(self, unit: _Unit, own: frozenset[str]) -> float:
        """Return the score of a sentence; 0 if it contains too little of the question."""
        if not any(word in own for word in self._weights):
            return 0.0
        have = {word: 1.0 if word in own else _HALF if word in unit.around else 0.0 for word in self._weights}
        coverage = sum(self._weights[word] * share for word, share in have.items()) / self._total
        predicate = sum(weight * have[word] for word, weight in self._predicate.items())
        named = sum(weight * have[word] for word, weight in self._names.items())
        if self._counted and self._counted not in own and self._counted not in unit.around:
            return 0.0
        if self._names and named < _HALF * sum(self._names.values()):
            return 0.0
        too_little = self._predicate and predicate < _MIN_PREDICATE * self._predicate_total
        if coverage < _MIN_COVERAGE or too_little:
            return 0.0
        score = coverage + self._bonus(unit.text, own)
        if unit.named and unit.named <= self._asked:
            score += 0.3  # the document is about the subject of the question
        if unit.is_heading or "::=" in unit.text or len(unit.text) < _LEAD_CHARS / 2:
            score *= 0.55
        return score / (1 + max(0, len(unit.text) - 300) / 1_500)

    def _bonus(self, text: str, own: frozenset[str]) -> float:
        lowered = text.lower()
        bonus = sum(0.06 for a, b in self._pairs if a in own and b in own)
        bonus += sum(0.3 for pair in self._named_pairs if pair in lowered)
        bonus += sum(0.5 for phrase in self._quoted if phrase in lowered)
        bonus += sum(0.1 for run in self._runs if run in lowered)
        return bonus + self._kind_bonus(text) + self._definition_bonus(text)

    def _kind_bonus(self, text: str) -> float:
        if self._kind == "number":
            return 0.2 if _NUMBER.search(text) else -0.1
        if self._kind == "time":
            return 0.2 if _YEAR_OR_TIME.search(text) else -0.05
        if self._kind == "person":
            return 0.2 if _PROPER.search(text) else 0.0
        return 0.15 if self._kind == "reason" and _REASON.search(text) else 0.0

    def _definition_bonus(self, text: str) -> float:
        """Return a bonus for a sentence that begins with the term to be defined and then defines it."""
        if not self._subject:
            return 0.0
        head = text[:120]
        found = _DEFINES.search(head)
        if not found:
            return 0.0
        before = [stem(word) for word in _WORD.findall(head[: found.start()]) if word.lower() not in _STOP_WORDS]
        begins = before[:1] and before[0] in self._subject
        return 0.35 if begins and set(self._subject) <= set(before) and len(before) <= len(self._subject) + 2 else 0.0


def _kind_of(question: str) -> str:
    lowered = question.strip().lower()
    for start, kind in (
        ("how many", "number"),
        ("how much", "number"),
        ("how long", "number"),
        ("how old", "number"),
        ("when", "time"),
        ("since when", "time"),
        ("since which", "number"),
        ("what year", "time"),
        ("in which year", "time"),
        ("who", "person"),
        ("why", "reason"),
    ):
        if lowered.startswith(start):
            return kind
    return "number" if re.search(r"\bhow (?:many|much|long)\b", lowered) else ""


def _units(text: str) -> Iterator[_Unit]:
    """Split a text into sentences, list items, and lines of code and tables, each with its surroundings."""
    pieces = _LABEL.split(text)
    labels = ["", *(place or document for place, document in zip(pieces[1::3], pieces[2::3], strict=True))]
    for label, body in zip(labels, pieces[::3], strict=True):
        named = frozenset(map(stem, _WORD.findall(re.sub(r"[/_.\-]", " ", label))))
        heading: frozenset[str] = frozenset()
        before: frozenset[str] = frozenset()
        for block in re.split(r"\n\s*\n", body):
            lines = [line for line in block.split("\n") if line.strip()]
            if lines and (title := _title(lines)):
                heading = before = _stems(title)
                lines = lines[2:] if len(lines) > 1 and _UNDERLINE.fullmatch(lines[1]) else lines[1:]
                yield _Unit(" ".join(title.split())[:1_000], label, named, named, is_heading=True)
            for raw in _parts(lines):
                line = " ".join(raw.split())
                if len(line) > 2 and not _UNDERLINE.fullmatch(line):
                    yield _Unit(line[:1_000], label, named | heading | before, named)
                    before = _stems(line)


def _title(lines: Sequence[str]) -> str:
    underlined = len(lines) > 1 and _UNDERLINE.fullmatch(lines[1]) and not _ROW.fullmatch(lines[0])
    return lines[0].strip() if underlined or _HEADING.match(lines[0]) else ""


def _parts(lines: Sequence[str]) -> Iterator[str]:
    """Join lines that belong together, and split them into sentences."""
    held: list[str] = []
    for line in lines:
        alone = _CODE.fullmatch(line) and (
            line.rstrip().endswith((":", "{", ";", ")")) or line.lstrip().startswith(">>>")
        )
        if alone or _ROW.fullmatch(line) or _ITEM.match(line):
            yield from _sentences("\n".join(held))
            held = []
        if alone or _ROW.fullmatch(line):
            yield line
        else:
            held.append(line)
    yield from _sentences("\n".join(held))


def _sentences(text: str) -> Iterator[str]:
    """Split prose into sentences; a fragment, such as a bold word, is joined to the next one."""
    start = 0
    for found in _END.finditer(text):
        sentence = text[start : found.end()]
        if _ABBREVIATION.search(text[max(0, found.start() - 12) : found.start() + 1]):
            continue
        if len(sentence.strip()) < _LEAD_CHARS and ("*" in sentence or _ITEM.fullmatch(sentence.rstrip())):
            continue
        yield sentence
        start = found.end()
    if text[start:].strip():
        yield text[start:]
