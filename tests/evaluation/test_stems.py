"""Stems are those of Porter's algorithm, as another writing of it has them: SQLite's."""

import re
import sqlite3
from pydoc_data import topics

from rlmbox.evaluation.stems import stem

ODD = {"eed", "eeds", "ies", "yyed"}  # words of English none; SQLite leaves one letter of them


def test_the_stems_of_many_words_are_sqlites() -> None:
    text = " ".join(topics.topics.values())
    words = sorted(set(re.findall(r"[a-z]{3,30}", text.lower())) - ODD)
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE words USING fts5(word, tokenize='porter ascii')")
    database.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(words, 'instance')")
    database.executemany("INSERT INTO words (rowid, word) VALUES (?, ?)", enumerate(words))
    theirs = {words[row]: term for term, row in database.execute("SELECT term, doc FROM stems")}
    database.close()
    assert len(words) > 3_000
    assert {word: stem(word) for word in words} == theirs


def test_short_and_foreign_words_stay() -> None:
    assert [stem(word) for word in ("is", "be", "naïve", "")] == ["is", "be", "naïve", ""]
