"""The texts that cells can access by name: the context, and every input that is a text.

One rule, for all of them and in every backend, determines which are a `str` in the sandbox and which are handles.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import anyio.to_thread

from rlmbox.context import Context
from rlmbox.sandboxes._large_text import OBJECT, case_bytes, is_large
from rlmbox.types import CellLimits

CONTEXT = "context"
"""The variable of the text that a run is about."""


@dataclass(frozen=True, slots=True)
class NamedText:
    """A text bound to a variable.

    Attributes:
        name: The variable.
        text: The text.
        is_handle: Whether it is too long to be a `str` in the sandbox, and is represented by a handle.
    """

    name: str
    text: Context
    is_handle: bool

    @property
    def object(self) -> str:
        """Name of the object in the sandbox whose methods are the host's functions for this text."""
        return OBJECT if self.name == CONTEXT else f"{OBJECT}_of_{self.name}"


async def placed(
    context: Context,
    inputs: Mapping[str, object],
    limits: CellLimits,
    is_long: Callable[[Context, CellLimits], Awaitable[bool]] = is_large,
) -> tuple[NamedText, ...]:
    """Return the context and the inputs that are texts, each as a `str` or as a handle.

    A text that is too long by itself is a handle. So are the longest of the inputs that would be too long together.

    Args:
        context: The context, which is first in the result.
        inputs: Further variables and their values.
        limits: The limits of a cell.
        is_long: Returns whether a text is too long to be a `str`.
    """
    texts = {CONTEXT: context, **{name: each for name, each in inputs.items() if isinstance(each, Context)}}
    long = {name: await is_long(each, limits) for name, each in texts.items()}
    short = [each for name, each in texts.items() if not long[name]]
    if len(texts) > 1 and sum(each.size_bytes for each in short) > limits.inline_limit_chars:
        lengths = {
            name: await anyio.to_thread.run_sync(lambda each=each: each.length)  # type: ignore[misc]
            for name, each in texts.items()
            if not long[name]
        }
        left = limits.inline_limit_chars - lengths.pop(CONTEXT, 0)
        for name in sorted(lengths, key=lambda name: lengths[name]):
            left -= lengths[name]
            long[name] = left < 0
    return tuple(NamedText(name, each, long[name]) for name, each in texts.items())


def inline_bytes(texts: Iterable[NamedText]) -> int:
    """Return the total size in UTF-8 of all texts that are a `str`.

    Args:
        texts: The texts.
    """
    return sum(each.text.size_bytes for each in texts if not each.is_handle)


async def most_case_bytes(texts: Iterable[NamedText], limits: CellLimits) -> int:
    """Return the memory that CPython needs to change the case of the text that needs most; see `case_bytes`.

    Args:
        texts: The texts.
        limits: The limits of a cell.
    """
    needed = 0
    for each in texts:
        if not each.is_handle:
            needed = max(needed, await case_bytes(each.text, limits))
    return needed
