"""Token counts of requests without any vocabulary: a bound that holds, and an estimate that learns.

The bound is what a budget reserves, the estimate is for a model's window and its pace. Why they are two, and why no
vocabulary is shipped, is in docs/decisions/0014.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from anyio import to_thread

from rlmbox.types import Message

TOKENS_PER_MESSAGE = 16
"""Most tokens of a message besides its text: role and separators, in every provider's format."""

_LONG_ENOUGH = 2_000  # bytes from which on a request tells something about tokens per byte
_KEPT_PREFIXES = 256
_KEPT_MEASURES = 8_192
_LONG_CHARS, _PIECE_CHARS = 1_000_000, 250_000  # a long text takes milliseconds to measure, a piece less than one
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
    """Bytes of UTF-8, and tokens on the low and the high side."""

    size_bytes: int
    least: float
    likely: float


_measures: dict[tuple[int, int], _Measure] = {}
"""Of texts, by hash and length: a session sends its whole history again each turn, and no text is kept alive here."""


def _measured(text: str) -> _Measure:
    key = (hash(text), len(text))
    found = _measures.get(key)
    if found is None:
        found = _measure(text)
        if len(_measures) >= _KEPT_MEASURES:
            _measures.clear()
        _measures[key] = found
    return found


def _measure(text: str) -> _Measure:
    size_bytes = letters = wide = spaces = 0
    for start in range(0, len(text), _PIECE_CHARS):  # in pieces, so that other threads have their turn
        data = text[start : start + _PIECE_CHARS].encode("utf-8", "replace")
        size_bytes += len(data)
        letters += len(data) - len(data.translate(None, delete=_WORD_BYTES))
        wide += len(data) - len(data.translate(None, delete=_WIDE_BYTES)) if not data.isascii() else 0
        spaces += data.count(b" ")
    other = size_bytes - letters - wide
    run = spaces * _LETTERS_PER_SPACE < letters
    return _Measure(
        size_bytes,
        letters * _LOW[run] + wide * _LOW[2] + other * _LOW[3],
        letters * _HIGH[run] + wide * _HIGH[2] + other * _HIGH[3],
    )


async def measure_ahead(text: str) -> None:
    """Measure a long text in a thread, so that whoever counts its tokens next does not hold the event loop.

    Args:
        text: The text, of any length.
    """
    if len(text) > _LONG_CHARS:
        await to_thread.run_sync(_measured, text)


class _Beginning(NamedTuple):
    """The first messages of a conversation. The mark is Python's own hash, whose key no model knows."""

    mark: int = 0
    size_bytes: int = 0
    least: float = 0.0
    likely: float = 0.0


class Conversation(tuple[Message, ...]):  # noqa: SLOT001 - a tuple can have none
    """The messages of a request; each is measured once, in however many turns and however often it is asked for.

    Args:
        messages: The messages.
    """

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._beginnings: list[_Beginning] = []

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Conversation:
        """Return messages as a conversation, and a conversation as it is.

        Args:
            messages: The messages.
        """
        return messages if isinstance(messages, cls) else cls(messages)

    def then(self, message: Message) -> Conversation:
        """Return the conversation with one more message, and with the sums of those before.

        Args:
            message: The message.
        """
        longer = Conversation((*self, message))
        longer._beginnings = self._beginnings.copy()
        return longer

    @property
    def beginnings(self) -> Sequence[_Beginning]:
        """The sums of its first message, of its first two, and so on to all."""
        known = self._beginnings
        if len(known) < len(self):
            mark, size_bytes, least, likely = known[-1] if known else _Beginning()
            for message in self[len(known) :]:
                one = _measured(message.content)
                mark = hash((mark, message.role, message.content))
                size_bytes, least, likely = size_bytes + one.size_bytes, least + one.least, likely + one.likely
                known.append(_Beginning(mark, size_bytes, least, likely))
        return known

    @property
    def whole(self) -> _Beginning:
        """The sums of all its messages."""
        return self.beginnings[-1] if self else _Beginning()

    async def measure_ahead(self) -> None:
        """Measure long messages in a thread; see the function `measure_ahead`."""
        for message in self[len(self._beginnings) :]:
            await measure_ahead(message.content)


def least_tokens(messages: Sequence[Message]) -> int:
    """Estimate the tokens of a conversation on the low side: what is too long by this is too long."""
    return int(Conversation.of(messages).whole.least)


def size_bytes(messages: Sequence[Message]) -> int:
    """Return the length of a conversation in bytes of UTF-8."""
    return Conversation.of(messages).whole.size_bytes


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
        raw = Conversation.of(messages).whole.likely
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
        raw = Conversation.of(messages).whole.likely
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
        messages = Conversation.of(messages)
        count, raw = messages.whole.size_bytes, messages.whole.likely
        likely = self.likely(messages)
        bound = count + TOKENS_PER_MESSAGE * len(messages)
        if reported > bound + _MOST_HIDDEN:
            return  # one absurd report would keep this model from every later run of the process
        with self._lock:
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
        self._counted: OrderedDict[tuple[str, int], int] = OrderedDict()

    def most(self, scale: TokenScale, name: str, messages: Sequence[Message]) -> int:
        """Return a number of tokens that a request cannot exceed.

        Args:
            scale: What is known of the model's tokens.
            name: The model's full name.
            messages: The conversation.
        """
        messages = Conversation.of(messages)
        whole = scale.most(messages.whole.size_bytes, len(messages))
        if len(messages) < 2 or not self._counted:
            return whole
        for sent in range(len(messages), 0, -1):
            known = messages.beginnings[sent - 1]
            counted = self._counted.get((name, known.mark))
            if counted is not None:
                rest_bytes = messages.whole.size_bytes - known.size_bytes
                return min(whole, counted + scale.most(rest_bytes, len(messages) - sent))
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
        mark = (name, Conversation.of(messages).whole.mark)
        self._counted[mark] = max(reported, self._counted.get(mark, 0))
        self._counted.move_to_end(mark)
        while len(self._counted) > _KEPT_PREFIXES:
            self._counted.popitem(last=False)
