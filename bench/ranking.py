"""Measures ranked search over 100 MB, with both engines, in one run: `python bench/ranking.py [--mb 100]`.

The text is made here, of words as frequent as words are (Zipf), and goes away with its index.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figures import Figure
from rlmbox import Context
from rlmbox.context.rank.engine import RankIndex
from rlmbox.context.rank.ranking import Ranking
from rlmbox.context.rank.sqlite_engine import SqliteIndex
from rlmbox.context.rank.tantivy_engine import TantivyIndex

BUILD_BOUND_MS, QUERY_BOUND_MS = 10_000, 20
ENGINES: tuple[tuple[str, Callable[[], RankIndex]], ...] = (("SQLite", SqliteIndex), ("tantivy", TantivyIndex))


def vocabulary(dice: random.Random, size: int) -> list[str]:
    """Words of one to four syllables, each once."""
    words: dict[str, None] = {}
    while len(words) < size:
        syllables = (dice.choice("bcdfghlmnprstvz") + dice.choice("aeiou") for _ in range(dice.randint(1, 4)))
        words["".join(syllables) + dice.choice(["", "s", "n", "ing", "ed"])] = None
    return list(words)


def write_text(path: Path, size_bytes: int) -> list[str]:
    """Writes paragraphs, and gives the vocabulary from frequent to rare."""
    dice = random.Random(1)
    words = vocabulary(dice, 100_000)
    weights = list(itertools.accumulate(1 / (rank + 2) for rank in range(len(words))))
    written = 0
    with path.open("w", encoding="ascii") as file:
        while written < size_bytes:
            drawn = dice.choices(words, cum_weights=weights, k=14 * 400)
            lines = (" ".join(drawn[at : at + 14]).capitalize() + "." for at in range(0, len(drawn), 14))
            text = "".join(line + ("\n\n" if number % 4 == 3 else "\n") for number, line in enumerate(lines))
            written += file.write(text)
    return words


def queries(words: list[str]) -> dict[str, str]:
    """A query of each sort, by what its words are."""
    return {
        "8 words, frequent and rare": " ".join(words[rank] for rank in (0, 1, 2, 30, 300, 3_000, 30_000, 60_000)),
        "3 rare words": " ".join(words[20_000:20_003]),
        "6 frequent words": " ".join(words[4:10]),
        "1 word that most passages have": words[0],
    }


def measured_s(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def figures(size_bytes: int = 100_000_000) -> list[Figure]:
    """Builds and queries with each engine; a query is the median of 15."""
    rows: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        path = Path(folder) / "text.txt"
        words = write_text(path, size_bytes)
        context = Context.from_path(path)
        label = f"{size_bytes // 1_000_000} MB"
        for name, engine in ENGINES:
            # The first query makes the index, SHA-256 of the text included; the other context finds it.
            build = measured_s(lambda: Ranking(context, engine=engine).rank(words[500], wait_s=600))  # noqa: B023
            again = measured_s(lambda: Ranking(Context.from_path(path), engine=engine).rank(words[500]))  # noqa: B023
            rows.append(Figure(f"ranked search, {label}, {name}: build", build * 1_000, BUILD_BOUND_MS))
            rows.append(Figure(f"ranked search, {label}, {name}: open a kept index", again * 1_000, None))
            ranking = Ranking(context, engine=engine)
            for kind, query in queries(words).items():
                assert ranking.rank(query), kind
                took = statistics.median(measured_s(lambda: ranking.rank(query)) for _ in range(15))  # noqa: B023
                rows.append(Figure(f"ranked search, {label}, {name}: {kind}", took * 1_000, QUERY_BOUND_MS))
        kept = sum(file.stat().st_size for file in (Path(folder) / "rlmbox" / "indexes").rglob("*"))
        rows.append(Figure(f"both indexes of {label}", kept / 1e6, None, "MB"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=100, help="size of the text in megabytes")
    arguments = parser.parse_args()
    print("| figure | bound | measured | met |\n| --- | --- | --- | --- |")
    for figure in figures(arguments.mb * 1_000_000):
        print(figure.row)


if __name__ == "__main__":
    main()
