"""The conversation with a session's model: append-only between compactions, so that providers' prompt caches hit."""

from __future__ import annotations

from collections.abc import Callable

from rlmbox.budget.tokens import Conversation
from rlmbox.types import Message, cut_middle

MAX_REPLY_CHARS = 100_000
"""Longest reply of a model that is kept whole in its own history."""

_KEPT_HEAD = 2  # the system message and the first question, which are never compacted
_PLACEHOLDER = "(The turns before are summed up in the next message.)"


class History:
    """Messages in the order in which they were added.

    Messages are never changed after they were added, and only `compact` removes any.

    Args:
        system: The system message.

    Attributes:
        sent: Number of leading messages that were sent to the model before.
    """

    def __init__(self, system: str) -> None:
        self.sent = 0
        self._messages = Conversation([Message("system", system)])
        self._question, self._question_text = 0, ""  # index of the current question's message, and its text
        self._taken_out = 0  # messages removed by compactions, less those inserted

    def begin_with(self, system: str) -> None:
        """Replace the system message, when a session takes another course.

        Args:
            system: The message.
        """
        self._messages = Conversation([Message("system", system), *self._messages[1:]])
        self.sent = 0

    def add_question(self, text: str) -> None:
        """Append a question's message.

        Args:
            text: The message.
        """
        if self._messages[-1].role == "user":  # the last question ended at a limit; some models need alternating roles
            self._add(Message("assistant", "(no answer)"))
        self._question, self._question_text = len(self._messages), text
        self._add(Message("user", text))

    @property
    def messages(self) -> Conversation:
        """All messages in the conversation."""
        return self._messages

    @property
    def said(self) -> int:
        """Number of messages ever appended, including those removed since."""
        return len(self._messages) + self._taken_out

    def add_reply(self, text: str) -> None:
        """Append a model's reply; only head and tail of an enormous one."""
        text = cut_middle(text, MAX_REPLY_CHARS, dropped="\n... [{:,} characters of this reply left out] ...\n")
        # Providers reject an empty message, and a model that said nothing must see that it did.
        self._add(Message("assistant", text if text.strip() else "(empty reply)"))

    def add_observation(self, text: str) -> None:
        """Append a message to the model about a turn."""
        self._add(Message("user", text))

    def middle(self, tail_tokens: int, count: Callable[[str], int]) -> int | None:
        """Return the number of messages before the newest ones, which are kept; None if nothing can be removed.

        Args:
            tail_tokens: Maximum tokens of the newest messages; the last reply and its observation are always kept.
            count: Returns the tokens of a text.
        """
        first_kept = len(self._messages)
        left = tail_tokens
        for index in range(len(self._messages) - 1, _KEPT_HEAD, -1):
            message = self._messages[index]
            left -= count(message.content)
            if left < 0 and first_kept < len(self._messages):
                break
            if message.role == "assistant":
                first_kept = index
        # The placeholder and the digest are two messages: removing two or fewer would gain nothing.
        return first_kept if _KEPT_HEAD + 2 < first_kept < len(self._messages) else None

    def compact(self, first_kept: int, digest: str) -> int:
        """Replace the middle of the conversation by a digest; return the number of leading messages unchanged.

        The system message and the first question are kept, and so are the newest messages. If the message of the
        current question was in the middle, it is repeated below the digest.

        Args:
            first_kept: Index of the first of the newest messages, which is a reply.
            digest: The text that replaces the others.
        """
        if _KEPT_HEAD <= self._question < first_kept:
            digest = f"{digest}\n\n{self._question_text}"
            self._question = _KEPT_HEAD + 1
        elif self._question >= first_kept:
            self._question += _KEPT_HEAD + 2 - first_kept
        self._taken_out += first_kept - _KEPT_HEAD - 2
        between = (Message("assistant", _PLACEHOLDER), Message("user", digest))
        self._messages = Conversation([*self._messages[:_KEPT_HEAD], *between, *self._messages[first_kept:]])
        return _KEPT_HEAD

    def _add(self, message: Message) -> None:
        self._messages = self._messages.then(message)
