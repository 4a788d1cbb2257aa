"""What is ranked in tests, and by which engines."""

from collections.abc import Callable

import pytest

from rlmbox.context import Context
from rlmbox.context.rank.engine import RankIndex
from rlmbox.context.rank.sqlite_engine import SqliteIndex
from rlmbox.context.rank.tantivy_engine import TantivyIndex

ENGINES: list[Callable[[], RankIndex]] = [SqliteIndex, TantivyIndex]
each_engine = pytest.mark.parametrize("engine", ENGINES, ids=["sqlite", "tantivy"])
FILLER = "The committee met again and talked about other matters of no importance whatever.\n"


def report() -> Context:
    return Context.from_documents(
        [
            ("minutes.txt", FILLER * 60 + "Late delivery has a penalty of five percent.\n" + FILLER * 60),
            ("letter.txt", "Dear Sir, the delivery was late again.\n"),
            ("notes.txt", FILLER * 40),
        ]
    )
