"""An answer that a model gave, before it is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """An answer that a model gave.

    Attributes:
        text: In words.
        value: As a JSON value.
        sources: What the model named as its sources, not yet checked.
    """

    text: str
    value: object
    sources: Sequence[Any] = ()
