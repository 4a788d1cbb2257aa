"""Formats that need only a few lines: Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import IO

from rlmbox.context.load.formats.events import Events, Note, Piece

_BATCH_ROWS = 5_000


def read_parquet(file: IO[bytes]) -> Events:
    """Read a Parquet table as CSV; nested values become JSON."""
    from pyarrow import parquet  # type: ignore[import-untyped, unused-ignore]

    table = parquet.ParquetFile(file, pre_buffer=False)
    rows = 0
    yield Piece(_csv([table.schema_arrow.names]))
    for batch in table.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
        rows += batch.num_rows
        yield Piece(_csv(zip(*(map(_cell, column.to_pylist()) for column in batch.columns), strict=True)))
    if not rows:
        yield Note("has no rows")


def _csv(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
