"""Vectors in a mapped file: 8 bits per component, compared exactly, one for each distinct text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_BLOCK_ROWS = 512  # fits a core's cache after widening
_LARGEST = 127


def record_type(dimensions: int) -> Any:
    """Return the layout of a record: the key of a text, a scale, and the scaled components."""
    import numpy as np

    return np.dtype([("key", "<u8"), ("scale", "<f4"), ("parts", "i1", (dimensions,))])


class VectorFile:
    """The vectors of a generation being built; appended ones are durable.

    Args:
        path: The file; an incomplete record at its end, left by a killed build, is removed.
        dimensions: Dimension of the vectors.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        import numpy as np

        self._path, self._type = path, record_type(dimensions)
        size = self._type.itemsize
        whole = path.stat().st_size // size if path.exists() else 0
        with path.open("ab") as file:
            file.truncate(whole * size)
        self.keys: set[int] = set(np.fromfile(path, self._type)["key"].tolist()) if whole else set()

    def append(self, keys: Sequence[int], vectors: Sequence[Sequence[float]]) -> None:
        """Append the vectors of texts.

        Args:
            keys: Keys of the texts.
            vectors: Their vectors.
        """
        import numpy as np

        unit = _unit(np.asarray(vectors, np.float32))
        scales = np.maximum(np.abs(unit).max(axis=1), 1e-12) / _LARGEST
        records = np.empty(len(keys), self._type)
        records["key"], records["scale"] = keys, scales
        records["parts"] = np.rint(unit / scales[:, None])
        with self._path.open("ab") as file:
            file.write(records.tobytes())
            file.flush()
            os.fsync(file.fileno())
        self.keys.update(keys)

    def keep(self, keys: set[int]) -> None:
        """Drop the vectors of texts that no longer exist."""
        import numpy as np

        records = np.fromfile(self._path, self._type)
        kept = records[np.isin(records["key"], np.fromiter(keys, np.uint64, len(keys)))]
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(kept.tobytes())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self.keys &= keys


class Vectors:
    """The vectors of a complete generation.

    Args:
        path: The file.
        dimensions: Dimension of the vectors.
        count: Number of vectors in it.
    """

    def __init__(self, path: Path, dimensions: int, count: int) -> None:
        import numpy as np

        self.dimensions, self.count = dimensions, count
        self._records: Any = np.memmap(path, record_type(dimensions), "r", shape=(count,)) if count else ()

    def scores(self, embedding: Sequence[float]) -> np.ndarray[Any, Any]:
        """Return the cosine similarity of every vector to the given one, in file order.

        Args:
            embedding: The vector.

        Raises:
            ValueError: It has another dimension.
        """
        import numpy as np

        query = np.asarray(embedding, np.float32)
        if query.shape != (self.dimensions,):
            raise ValueError(f"the index has vectors of {self.dimensions} numbers, not of {query.shape}")
        query = _unit(query[None, :])[0]
        found = np.zeros(self.count, np.float32)
        if self.count:
            parts = self._records["parts"]
            wide = np.empty((min(_BLOCK_ROWS, self.count), self.dimensions), np.float32)
            for begin in range(0, self.count, _BLOCK_ROWS):
                block = wide[: min(_BLOCK_ROWS, self.count - begin)]
                np.copyto(block, parts[begin : begin + _BLOCK_ROWS])
                # In this thread only: a matrix product would wait for threads on cores that others use.
                np.vecdot(block, query, out=found[begin : begin + _BLOCK_ROWS])
            found *= self._records["scale"]
        return found

    def best(self, scores: np.ndarray[Any, Any], begin: int, end: int) -> list[tuple[int, float]]:
        """Return a range of the vectors sorted by score, as keys with scores.

        Args:
            scores: The scores of all vectors.
            begin: First rank, from 0.
            end: Rank after the last.
        """
        import numpy as np

        end = min(end, self.count)
        if begin >= end:
            return []
        top = np.argpartition(-scores, end - 1)[:end] if end < self.count else np.arange(self.count)
        top = top[np.lexsort((top, -scores[top]))][begin:]
        keys = self._records["key"][top]
        return [(int(key), float(score)) for key, score in zip(keys, scores[top], strict=True)]


def _unit(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: np.ndarray[Any, Any] = vectors / np.maximum(lengths, 1e-12)
    return found
