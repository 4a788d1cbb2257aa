"""Picking the sentences of a text that answer a question best, without any model.

Sentences are ranked with BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
2009) by SQLite's FTS5 over stemmed words, with a bonus for names and for words of the question that stand together.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

MAX_SENTENCES = 20_000
"""Sentences of a text that are ranked; what comes after them is not read."""

_BONUS = 1.5  # what a name or a phrase adds, in shares of a sentence's own score

_STOP_WORDS_TEXT = """
a about all an and any are as at be been but by can could did do does each every find for from give had has have how
i if in into is it its list me much many most name of on or our out say says shall should show so some tell than
that the their them then there these they this those to up us was we were what when where which who whom whose why
will with would you your
"""
_STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
_WORD = re.compile(r"[^\W_]+(?:[_.\-'][^\W_]+)*|_+\w+", re.UNICODE)
_NAME = re.compile(r"\d|_|\w[A-Z]|\w[.]\w")
_QUOTED = re.compile(r"[\"“`']([^\"”`']{2,80})[\"”`']")
_BREAK = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z0-9\"'(])|\n\s*\n|\n(?=[^\w\s]|\s|def |class )|(?<=[:;,{}()\]])\n")
_LABEL = re.compile(r"^(?:\[([^\]\n]{1,300}, line \d+)\]|===== ([^\n]{1,300}) =====)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a text and how well it answers.

    Attributes:
        text: The sentence, on one line.
        label: Where the text says it comes from, or an empty string.
        score: Higher is better; 0 when no word of the question is in it.
    """

    text: str
    label: str
    score: float


def question_words(question: str) -> list[str]:
    """Return the words of a question that carry meaning, in order, each once."""
    words = [word for word in _WORD.findall(question) if word.lower() not in _STOP_WORDS]
    return list(dict.fromkeys(words)) or list(dict.fromkeys(_WORD.findall(question)))


def question_phrases(question: str) -> list[str]:
    """Return the phrases of a question: what it quotes, and pairs of neighbouring words with meaning."""
    phrases = [phrase.strip() for phrase in _QUOTED.findall(question)]
    words = _WORD.findall(question)
    pairs = pairwise(words)
    phrases += [f"{a} {b}" for a, b in pairs if a.lower() not in _STOP_WORDS and b.lower() not in _STOP_WORDS]
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))


def is_name(word: str) -> bool:
    """Return whether a word is a name or a number, such as `OrderedDict`, `max_depth` or `2026`."""
    return _NAME.search(word) is not None


def best_sentences(question: str, text: str, *, most: int = 5) -> list[Sentence]:
    """Pick the sentences of a text that answer a question best.

    Args:
        question: What is asked.
        text: Where to look. A line such as `[contract.txt, line 12]` or a document's header names the place of
            what follows it.
        most: Most sentences to give.

    Returns:
        The best first, and only those at least 0.7 times as good; none where no word of the question occurs.
    """
    sentences = list(_sentences(text))[:MAX_SENTENCES]
    words = question_words(question)
    if not sentences or not words:
        return []
    scores = _bm25([sentence.text for sentence in sentences], words)
    phrases = [
        re.compile(r"\W+".join(map(re.escape, p.split())) + r"\b", re.IGNORECASE) for p in question_phrases(question)
    ]
    ranked: dict[str, Sentence] = {}
    names = [re.compile(rf"\b{re.escape(word)}\b") for word in words if is_name(word)]
    for sentence, score in zip(sentences, scores, strict=True):
        bonus = sum(_BONUS for pattern in [*phrases, *names] if pattern.search(sentence.text))
        if score > 0 and sentence.text not in ranked:
            ranked[sentence.text] = Sentence(sentence.text, sentence.label, score * (1.0 + bonus))
    best = sorted(ranked.values(), key=lambda sentence: -sentence.score)[:most]
    return [sentence for sentence in best if sentence.score >= 0.7 * best[0].score]


def _sentences(text: str) -> Iterator[Sentence]:
    """Split a text into sentences and lines of code, each with the label that stands above it."""
    pieces = _LABEL.split(text)
    labels = ["", *(place or document for place, document in zip(pieces[1::3], pieces[2::3], strict=True))]
    for label, body in zip(labels, pieces[::3], strict=True):
        for raw in _BREAK.split(body):
            line = " ".join(raw.split())
            if len(line) > 2:
                yield Sentence(line[:1_000], label, 0.0)


def _bm25(sentences: list[str], words: list[str]) -> list[float]:
    """Score each sentence; 0 for one without any of the words."""
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE VIRTUAL TABLE s USING fts5(body, tokenize = 'porter unicode61')")
        database.executemany("INSERT INTO s(rowid, body) VALUES (?, ?)", enumerate(sentences))
        query = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
        scores = [0.0] * len(sentences)
        for row, score in database.execute("SELECT rowid, bm25(s) FROM s WHERE s MATCH ?", (query,)):
            scores[row] = max(-score, 1e-9)  # FTS5 gives better matches as more negative
        return scores
    finally:
        database.close()
