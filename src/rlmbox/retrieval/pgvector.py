"""Vectors in pgvector's syntax."""

from __future__ import annotations

from collections.abc import Sequence

VECTOR = "embedding"
"""The column of vectors of the table that `migrate` makes, where it has one."""


def vector_literal(vector: Sequence[float]) -> str:
    """Return a vector as a pgvector literal.

    Args:
        vector: Its components.
    """
    return "[" + ",".join(repr(float(part)) for part in vector) + "]"
