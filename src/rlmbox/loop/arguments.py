"""Validation of the arguments of sub-calls, which may have any type.

Every function raises `TypeError` or `ValueError`, which is the calling cell's own error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

from rlmbox.budget.limits import dollars
from rlmbox.context import Context
from rlmbox.context.repl import OF_KEY, SLICE_KEY
from rlmbox.errors import ConfigError, ContextError

MAX_BATCH = 10_000
"""Most sub-calls that one call may ask for."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """Limits of a child, which can only be narrower than its parent's.

    Attributes:
        max_turns: Turns of the child, and of each session below it; None for as many as the parent.
        cost_limit_usd: US dollars of the child and all below it; None for as much as the parent has.
    """

    max_turns: int | None = None
    cost_limit_usd: Decimal | None = None

    def turns_of(self, parent: int) -> int:
        """Return the child's turns, given its parent's."""
        return parent if self.max_turns is None else min(self.max_turns, parent)


def read_child_limits(max_turns: Any, cost_limit_usd: Any) -> ChildLimits:
    """Read the limits of a child."""
    if max_turns is not None:
        whole_number(max_turns, "max_turns")
    try:
        return ChildLimits(max_turns, None if cost_limit_usd is None else dollars(cost_limit_usd, "cost_limit_usd"))
    except ConfigError as error:
        raise ValueError(str(error)) from None


def whole_number(value: Any, name: str) -> int:
    """Read a whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is a whole number above 0, not {value!r}")
    return value


def read_temperature(value: Any) -> float | None:
    """Read a sampling temperature."""
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"temperature is a number from 0, such as 0.7, not {value!r}")
    return value


def read_prompt(prompt: Any, chunk: Any = "") -> str:
    """Join a prompt and its chunk, refusing anything but text."""
    if isinstance(prompt, list | tuple) and len(prompt) == 2 and not chunk:
        prompt, chunk = prompt
    if isinstance(prompt, dict) and "prompt" in prompt:
        prompt, chunk = prompt["prompt"], prompt.get("context_chunk", chunk)
    if not isinstance(prompt, str):
        raise TypeError(f"a prompt is a str, not {type(prompt).__name__}")
    chunk = "" if chunk is None else chunk
    if not isinstance(chunk, str):
        remedy = "; give a JSON Schema by its name, schema=…" if isinstance(chunk, dict) else ""
        raise TypeError(f"a context chunk is a str, not {type(chunk).__name__}{remedy}")
    text = f"{prompt}\n\n{chunk}" if chunk else prompt
    if not text.strip():
        raise ValueError("the prompt is empty")
    return text


def read_question(template: str, question: Any, text: Any) -> str:
    """Join a question and the text that it is about, both of which must have words.

    Args:
        template: The prompt, with a place for the question.
        question: The question.
        text: The text.
    """
    for value, name in ((question, "question"), (text, "text")):
        if not isinstance(value, str):
            remedy = "; give ask_chunks a list of them" if isinstance(value, list) and value is text else ""
            raise TypeError(f"a {name} is a str, not {type(value).__name__}{remedy}")
        if not value.strip():
            raise ValueError(f"the {name} is empty")
    return read_prompt(template.format(question=question), text)


def _text_of(value: Any) -> Context:
    """Convert a cell's argument to a text; a search hit is one already."""
    if not isinstance(value, Context | str | list | dict):
        raise TypeError(
            "context is a str, a list, a dict or a part of the text by ctx.slice_view(start, end), "
            f"or left out for the whole text; not {type(value).__name__}"
        )
    try:
        return Context.of(value)
    except ContextError as error:  # a class that cells do not know
        raise ValueError(str(error)) from None


def read_text(value: Any, own: Context, inputs: Mapping[str, object] = MappingProxyType({})) -> Context:
    """Read the text for a child session.

    Args:
        value: A text or documents; the result of `ctx.slice_view` for a part of the session's text; the reference
            form of a handle, which may be an input's; None for all of the session's text.
        own: The session's text.
        inputs: The session's inputs, by name.
    """
    if value is None:
        return own
    if not (isinstance(value, dict) and value.keys() in ({SLICE_KEY}, {SLICE_KEY, OF_KEY})):
        return _text_of(value)
    name = value.get(OF_KEY, "context")
    of = own if name == "context" else inputs.get(name) if isinstance(name, str) else None
    if not isinstance(of, Context):
        raise ValueError(  # noqa: TRY004 - the type of the argument is right
            "a part of a text is what ctx.slice_view(start, end) returns, or a slice of a long input"
        )
    bounds = value[SLICE_KEY]
    if not (isinstance(bounds, list) and len(bounds) == 2 and all(type(bound) is int for bound in bounds)):
        raise ValueError("a part of the context is what ctx.slice_view(start, end) returns")
    return of if bounds == [0, of.length] else of.slice_view(*bounds)


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An invalid item of a batch; the others can still be asked.

    Attributes:
        error: The reason.
    """

    error: TypeError | ValueError


def read_batch(prompts: Any, extras: Any, join: Callable[[Any, Any], _Item]) -> list[_Item | RefusedItem]:
    """Return prompts paired with their texts; an invalid item affects only its own place.

    Args:
        prompts: A list; one prompt goes with every text.
        extras: A list of as many texts, or None for none.
        join: Combines a prompt and its text to an item.

    Raises:
        TypeError: Either is not a list.
        ValueError: Their numbers differ, or there are too many.
    """
    prompts = read_list(prompts, "prompts")
    extras = [""] * len(prompts) if extras is None else read_list(extras, "texts")
    if len(prompts) == 1 and len(extras) > 1:
        prompts = prompts * len(extras)
    if len(extras) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts but {len(extras)} texts; give as many of each")
    if len(prompts) > MAX_BATCH:
        raise ValueError(f"a batch has at most {MAX_BATCH:,} prompts, not {len(prompts):,}")
    items: list[_Item | RefusedItem] = []
    for prompt, extra in zip(prompts, extras, strict=True):
        try:
            items.append(join(prompt, extra))
        except (TypeError, ValueError) as error:
            items.append(RefusedItem(error))
    return items


def read_list(value: Any, name: str) -> list[Any]:
    """Read a list."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{name} is a list, not {type(value).__name__}")
    return list(value)
