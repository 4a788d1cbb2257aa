"""A model's answer, before it is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """A model's answer.

    Attributes:
        text: The answer as text.
        value: The answer as a JSON value.
        sources: The sources that the model named, not yet checked.
    """

    text: str
    value: object
    sources: Sequence[Any] = ()
