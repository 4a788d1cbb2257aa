"""Fitting a conversation into a model's window, keeping the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rlmbox.budget.tokens import TOKENS_PER_MESSAGE
from rlmbox.types import Message

WARNING = "[SYSTEM WARNING: Input truncated due to context limits]"
"""Text that tells a model where something was cut."""

_SMALLEST_TOKENS = 16


def fit(messages: Sequence[Message], room_tokens: int, count: Callable[[str], int]) -> tuple[Message, ...]:
    """Truncate a conversation to at most `room_tokens`, as measured by `count`.

    A single prompt keeps its head. Of a longer conversation the system message, the first message after it, and as many
    of the newest as fit are kept; `WARNING` marks where messages, or the end of one, were removed.

    Args:
        messages: The conversation.
        room_tokens: Maximum number of tokens.
        count: Returns the tokens of a text.
    """
    sizes = [count(message.content) + TOKENS_PER_MESSAGE for message in messages]
    if sum(sizes) <= room_tokens:
        return tuple(messages)
    warning = count(WARNING)
    head = 2 if messages[0].role == "system" and len(messages) > 1 else 1
    if len(messages) == head:
        room = room_tokens - sum(sizes[: head - 1]) - warning - TOKENS_PER_MESSAGE
        return (*messages[: head - 1], _cut(messages[-1], room, count))
    # A quarter is for the newest message, so that a long head leaves something to answer.
    newest = _cut_if_longer(messages[-1], max(room_tokens // 4, room_tokens - sum(sizes[:head]) - warning), count)
    room = room_tokens - warning - count(newest.content) - TOKENS_PER_MESSAGE
    first = _cut_if_longer(messages[head - 1], room - sum(sizes[: head - 1]) - TOKENS_PER_MESSAGE, count)
    room -= sum(sizes[: head - 1]) + count(first.content) + TOKENS_PER_MESSAGE
    kept: list[Message] = [newest]
    for index in range(len(messages) - 2, head - 1, -1):
        room -= sizes[index]
        if room < 0:
            break
        kept.insert(0, messages[index])
    if len(kept) < len(messages) - head and WARNING not in first.content:
        first = Message(first.role, f"{first.content}\n\n{WARNING}")
    return (*messages[: head - 1], first, *kept)


def _cut_if_longer(message: Message, room_tokens: int, count: Callable[[str], int]) -> Message:
    return message if count(message.content) <= room_tokens else _cut(message, room_tokens, count)


def _cut(message: Message, room_tokens: int, count: Callable[[str], int]) -> Message:
    """Keep the head of a message, a few tokens at least."""
    text, room = message.content, max(room_tokens, _SMALLEST_TOKENS)
    while text and (tokens := count(text)) > room:
        text = text[: min(len(text) - 1, int(len(text) * room / tokens * 0.98))]
    return Message(message.role, f"{text}\n\n{WARNING}")
