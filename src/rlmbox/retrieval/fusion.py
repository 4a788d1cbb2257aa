"""Fusion of rankings: reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rlmbox.retrieval.base import SearchHit

RANK_CONSTANT = 60
"""The constant of the paper: the larger it is, the less the first places outweigh those that follow."""

DEPTH = 5
"""Each ranking is asked for this many times the hits that are wanted, so that one deep in both can rise."""

MOST_RANKED = 200


def depth_of(k: int) -> int:
    """Return the number of hits of each ranking to fuse.

    Args:
        k: Number of hits wanted.
    """
    return max(k, min(k * DEPTH, MOST_RANKED))


def fused(rankings: Sequence[Sequence[SearchHit]], k: int) -> list[SearchHit]:
    """Return the best hits of several rankings, by the sum of their reciprocal ranks.

    Args:
        rankings: The rankings, each best first.
        k: Maximum number of hits.
    """
    scores: dict[tuple[str, int], float] = {}
    found: dict[tuple[str, int], SearchHit] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            place = (hit.id, hit.start)
            scores[place] = scores.get(place, 0.0) + 1 / (RANK_CONSTANT + rank)
            found.setdefault(place, hit)
    best = sorted(scores, key=lambda place: (-scores[place], place))[:k]
    return [replace(found[place], score=round(scores[place], 6)) for place in best]
