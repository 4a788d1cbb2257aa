"""Token counts of requests without any vocabulary: a bound that holds, and an estimate that learns.

The bound is what a budget reserves, the estimate is for a model's window and its pace. Why they are two, and why no
vocabulary is shipped, is in docs/decisions/0014.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rlmbox.types import Message

TOKENS_PER_MESSAGE = 16
"""Most tokens of a message besides its text: role and separators, in every provider's format."""

_LONG_ENOUGH = 2_000  # bytes from which on a request tells something about tokens per byte
_KEPT_PREFIXES = 256
_KEPT_TEXTS, _KEPT_CHARS = 1_024, 20_000
_OTHERS_MARGIN = 1.5
_LONG_REPLY = 64  # the same for replies
_REPLY_MARGIN, _REPLY_FRAME_TOKENS = 1.1, 8
_MOST_HIDDEN = 20_000  # tokens that a provider may add to a request; a report beyond it is charged, but not believed

# Tokens per byte of letters and spaces in words, of letters in one long run as base64 has them, of what is beyond
# ASCII, and of everything else: on the high and on the low side for OpenAI's o200k.
_HIGH = (0.30, 0.75, 0.55, 0.80)
_LOW = (0.20, 0.45, 0.10, 0.30)
_LETTERS_PER_SPACE = 20
_WORD_BYTES = bytes(byte for byte in range(128) if chr(byte).isalpha() or chr(byte) in " \n")
_WIDE_BYTES = bytes(range(128, 256))
_FAMILIES = {"openai": 1.0, "azure": 1.0, "google": 1.0, "gemini": 1.0, "anthropic": 1.25}
_UNKNOWN_FAMILY = 1.3


class _Measure(NamedTuple):
    """A text's bytes of UTF-8, and its tokens on the low and the high side."""

    size_bytes: int
    least: float
    likely: float


def _measured(text: str) -> _Measure:
    # A session sends its whole history again each turn. Long texts are sub-calls' prompts, which come once.
    return _kept_measure(text) if len(text) <= _KEPT_CHARS else _measure(text)


def _measure(text: str) -> _Measure:
    data = text.encode("utf-8", "replace")
    letters = len(data) - len(data.translate(None, delete=_WORD_BYTES))
    wide = len(data) - len(data.translate(None, delete=_WIDE_BYTES)) if not text.isascii() else 0
    other = len(data) - letters - wide
    run = data.count(b" ") * _LETTERS_PER_SPACE < letters
    return _Measure(
        len(data),
        letters * _LOW[run] + wide * _LOW[2] + other * _LOW[3],
        letters * _HIGH[run] + wide * _HIGH[2] + other * _HIGH[3],
    )


_kept_measure = lru_cache(maxsize=_KEPT_TEXTS)(_measure)


def least_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of a conversation on the low side: what is too long by this is too long."""
    return int(sum(_measured(message.content).least for message in messages))


def size_bytes(messages: Sequence[Message]) -> int:
    """Return the length of a conversation in bytes of UTF-8."""
    return sum(_measured(message.content).size_bytes for message in messages)


class TokenScale:
    """The length of one model's tokens: an estimate per text, corrected upwards by what the provider reports.

    Args:
        name: The model's full name; the part before the colon is its family.
    """

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._factor = _FAMILIES.get(name.partition(":")[0], _UNKNOWN_FAMILY)
        self._hidden = 0
        self._per_byte = 1.0
        self._counted_share: float | None = None  # most tokens that were counted for each that was estimated
        self._reply_share: float | None = None  # the same of replies

    def likely(self, messages: Sequence[Message]) -> int:
        """Estimate the tokens of a conversation, on the high side."""
        raw = sum(_measured(message.content).likely for message in messages)
        return math.ceil(raw * self._factor) + 4 * len(messages)

    @property
    def counted_share(self) -> float | None:
        """Most tokens that the provider has counted for each that the weights say; None where it has not enough."""
        return self._counted_share

    def calibrated(
        self, messages: Sequence[Message], margin: float = 1.25, *, others_share: float | None = None
    ) -> int | None:
        """Estimate the tokens of a conversation by the most that the provider has counted of others.

        Unlike `most` it is no bound: a text of another kind may have more.

        Args:
            messages: The conversation.
            margin: By which it is on the high side.
            others_share: What another model's provider has counted, to go by where this one's has not; half as much
                again is added, since vocabularies differ.

        Returns:
            The tokens, or None where nobody has counted enough.
        """
        share = self._counted_share
        if share is None and others_share is not None:
            share = others_share * _OTHERS_MARGIN
        if share is None:
            return None
        raw = sum(_measured(message.content).likely for message in messages)
        return math.ceil(raw * share * margin) + 4 * len(messages)

    def likely_text(self, text: str) -> int:
        """Estimate the tokens of a text, on the high side."""
        return math.ceil(_measured(text).likely * self._factor)

    def reply_tokens(self, text: str, hidden_bytes: int) -> int:
        """Return the most tokens that a reply can have had that the provider did not count.

        Where it has counted others, that is by the most that those had for their text, reasoning that nobody sees
        included; else a token for each byte.

        Args:
            text: The reply.
            hidden_bytes: Bytes of the reasoning that came beside it.
        """
        share = self._reply_share
        if share is None:
            return len(text.encode("utf-8", "replace")) + hidden_bytes
        raw = _measured(text).likely + hidden_bytes * _HIGH[1]
        return math.ceil(raw * share * _REPLY_MARGIN) + _REPLY_FRAME_TOKENS

    def learn_reply(self, text: str, counted_tokens: int) -> None:
        """Learn from the provider's count of a reply.

        Args:
            text: The reply.
            counted_tokens: Output tokens, reasoning included.
        """
        measure = _measured(text)
        if measure.size_bytes >= _LONG_REPLY and measure.likely:
            self._reply_share = max(self._reply_share or 0.0, counted_tokens / measure.likely)

    def most(self, count: int, messages: int) -> int:
        """Return a number of tokens that so many bytes in so many messages cannot exceed.

        Byte-level vocabularies, which all large providers use, have no token shorter than a byte. What a provider adds
        and counts itself is learned from the first request that shows it.

        Args:
            count: Bytes of UTF-8.
            messages: Number of messages.
        """
        bound = count + TOKENS_PER_MESSAGE * messages
        return max(bound + self._hidden, math.ceil(bound * self._per_byte))

    def learn(self, messages: Sequence[Message], reported: int) -> None:
        """Correct the estimates, and the bound if it must be, by what a provider counted; only ever upwards.

        Args:
            messages: What was sent.
            reported: Input tokens that the provider counted.
        """
        count, likely = size_bytes(messages), self.likely(messages)
        bound = count + TOKENS_PER_MESSAGE * len(messages)
        if reported > bound + _MOST_HIDDEN:
            return  # one absurd report would keep this model from every later run of the process
        with self._lock:
            raw = sum(_measured(message.content).likely for message in messages)
            if count >= _LONG_ENOUGH and raw:
                self._counted_share = max(self._counted_share or 0.0, reported / raw)
            if reported > likely and count >= _LONG_ENOUGH:
                self._factor *= 1.02 * reported / likely
            if reported > bound:
                self._hidden = max(self._hidden, reported - bound)
                if count >= _LONG_ENOUGH:
                    self._per_byte = max(self._per_byte, reported / bound)


class Conversations:
    """Bound the tokens of conversations that grow: what a provider has counted once, it will count the same again.

    Messages are encoded apart from each other, so a request that begins with all the messages of an earlier one has
    as many tokens as that had, and at most one per byte of the rest.
    """

    def __init__(self) -> None:
        self._counted: OrderedDict[int, int] = OrderedDict()

    def most(self, scale: TokenScale, name: str, messages: Sequence[Message]) -> int:
        """Return a number of tokens that a request cannot exceed.

        Args:
            scale: What is known of the model's tokens.
            name: The model's full name.
            messages: The conversation.
        """
        whole = scale.most(size_bytes(messages), len(messages))
        if len(messages) < 2 or not self._counted:
            return whole
        marks = _marks(name, messages)
        for sent in range(len(messages), 0, -1):
            counted = self._counted.get(marks[sent - 1])
            if counted is not None:
                rest = messages[sent:]
                return min(whole, counted + scale.most(size_bytes(rest), len(rest)))
        return whole

    def learn(self, name: str, messages: Sequence[Message], reported: int) -> None:
        """Note what a provider counted.

        Args:
            name: The model's full name.
            messages: What was sent.
            reported: Input tokens that the provider counted.
        """
        if len(messages) < 2:  # a single prompt is no beginning of another
            return
        mark = _marks(name, messages)[-1]
        self._counted[mark] = max(reported, self._counted.get(mark, 0))
        self._counted.move_to_end(mark)
        while len(self._counted) > _KEPT_PREFIXES:
            self._counted.popitem(last=False)


def _marks(name: str, messages: Sequence[Message]) -> list[int]:
    """Return a mark of each beginning of a conversation: Python's own hash, whose key no model knows."""
    mark, marks = hash(name), []
    for message in messages:
        mark = hash((mark, message.role, message.content))
        marks.append(mark)
    return marks
