"""The conversation with a session's model: append-only, so that providers' prompt caches hit."""

from __future__ import annotations

from rlmbox.types import Message

MAX_REPLY_CHARS = 100_000
"""Longest reply of a model that is kept whole in its own history."""


class History:
    """Messages in the order in which they were said.

    A message that was appended is never changed or removed.

    Args:
        system: The system message.
    """

    def __init__(self, system: str) -> None:
        self._messages = [Message("system", system)]

    def add_question(self, text: str) -> None:
        """Append the message that puts a question.

        Args:
            text: The message.
        """
        if self._messages[-1].role == "user":  # the question before ended at a limit; some models take turns strictly
            self._messages.append(Message("assistant", "(no answer)"))
        self._messages.append(Message("user", text))

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages until now."""
        return tuple(self._messages)

    def add_reply(self, text: str) -> None:
        """Append a model's reply; of an enormous one the head and the tail."""
        if len(text) > MAX_REPLY_CHARS:
            half = MAX_REPLY_CHARS // 2
            hidden = len(text) - 2 * half
            text = f"{text[:half]}\n... [{hidden:,} characters of this reply left out] ...\n{text[-half:]}"
        # Providers refuse an empty message, and a model that said nothing must see that it did.
        self._messages.append(Message("assistant", text if text.strip() else "(empty reply)"))

    def add_observation(self, text: str) -> None:
        """Append what the model is told."""
        self._messages.append(Message("user", text))
