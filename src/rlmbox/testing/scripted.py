"""A model with scripted replies."""

from __future__ import annotations

import difflib
import math
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar

import anyio

from rlmbox.budget.tokens import Conversation, size_bytes
from rlmbox.errors import ModelError
from rlmbox.models.base import Price
from rlmbox.models.prices import FREE
from rlmbox.types import Completion, Message, Usage

Scripted = str | Completion | Exception | Callable[[Sequence[Message]], str | Completion]
"""A reply, an exception to raise, or a function from the messages to a reply."""

SIMILARITY = 0.95
_COMPARED_CHARS = 4_000
_SHOWN_CHARS = 2_000
_BYTES_PER_TOKEN = 4
_temperature: ContextVar[float | None] = ContextVar("temperature", default=None)


class ScriptMiss(ModelError, AssertionError):
    """The script has no reply to a request; the message shows how the request differs from the closest entry."""


class ScriptedModel:
    """A model that plays a script; it is free and needs no network.

    With a sequence, each request takes the next reply. With a mapping, the last user message is looked up: first
    exactly, then ignoring case, white space and punctuation, then by the most similar prompt with a ratio of at least
    0.95 (`difflib.SequenceMatcher`, over the first 4,000 characters, with equal length beyond them). Usage is one token
    per four bytes, at least one on each side.

    Attributes:
        requests: The messages of each request, in order.
        max_output_tokens: The output limit of each request, in order.
        temperatures: The temperature of each request, in order; None if not given.
        misses: The requests that the script had no reply to.
        max_concurrency: Largest number of simultaneous requests.

    Args:
        replies: The script.
        name: The model's full name.
        price: Its price; None for a model whose price is not known.
        delay_s: Delay of each reply, in seconds.
        window_tokens: Largest number of tokens of a request and its reply; reported, not enforced.
    """

    def __init__(
        self,
        replies: Sequence[Scripted] | Mapping[str, Scripted],
        *,
        name: str = "scripted",
        price: Price | None = FREE,
        delay_s: float = 0.0,
        window_tokens: int = 128_000,
    ) -> None:
        if isinstance(replies, str):
            raise TypeError("replies is a list of replies or a mapping of prompts to replies, not one text")
        self.requests: list[tuple[Message, ...]] = []
        self.max_output_tokens: list[int] = []
        self.temperatures: list[float | None] = []
        self.misses: list[tuple[Message, ...]] = []
        self.max_concurrency = 0
        self._name = name
        self._price = price
        self._delay_s = delay_s
        self._window_tokens = window_tokens
        self._script = replies
        self._by_key = {_normalised(p): p for p in replies} if isinstance(replies, Mapping) else {}
        self._under_way = 0
        self._next = 0
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The full name."""
        return self._name

    @property
    def window_tokens(self) -> int:
        """Largest number of tokens of a request and its reply."""
        return self._window_tokens

    @property
    def price(self) -> Price | None:
        """The price; None if it is not known."""
        return self._price

    @property
    def remaining(self) -> int:
        """Number of unused replies of a sequence; 0 for a mapping."""
        return 0 if isinstance(self._script, Mapping) else max(len(self._script) - self._next, 0)

    def with_temperature(self, temperature: float) -> _AtTemperature:
        """Return the same script at a temperature, which is recorded.

        Args:
            temperature: The sampling temperature.
        """
        return _AtTemperature(self, temperature)

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Return the script's reply.

        Args:
            messages: The conversation.
            max_output_tokens: Recorded, not enforced.
            timeout_s: Timeout in seconds.

        Raises:
            ScriptMiss: The script has no reply.
            ModelError: `delay_s` is longer than `timeout_s`.
        """
        asked = Conversation.of(messages)
        with self._lock:
            self.requests.append(asked)
            self.max_output_tokens.append(max_output_tokens)
            self.temperatures.append(_temperature.get())
            self._under_way += 1
            self.max_concurrency = max(self.max_concurrency, self._under_way)
            number, self._next = self._next, self._next + 1
        try:
            with anyio.move_on_after(timeout_s) as scope:
                await anyio.sleep(self._delay_s)
            if scope.cancelled_caught:
                raise ModelError(f"{self.name}: no reply within {timeout_s:g} s", retryable=True, possibly_billed=True)
            return self._play(self._entry(asked, number), asked)
        finally:
            with self._lock:
                self._under_way -= 1

    def _play(self, entry: Scripted, asked: tuple[Message, ...]) -> Completion:
        if isinstance(entry, Exception):
            raise entry
        reply = entry(asked) if callable(entry) else entry
        if isinstance(reply, Completion):
            return reply
        usage = Usage(input_tokens=_tokens(asked), output_tokens=_tokens([Message("assistant", reply)]), requests=1)
        return Completion(reply, usage, self.name)

    def _entry(self, asked: tuple[Message, ...], number: int) -> Scripted:
        if not isinstance(self._script, Mapping):
            if number < len(self._script):
                return self._script[number]
            raise self._miss(
                asked, f"request {number + 1} came, but the script has {len(self._script)} replies", closest=None
            )
        prompt = next((m.content for m in reversed(asked) if m.role == "user"), "")
        if prompt in self._script:
            return self._script[prompt]
        ratio, closest = _closest(_normalised(prompt), self._by_key)
        if closest is not None and ratio >= SIMILARITY:
            return self._script[closest]
        raise self._miss(asked, f"no prompt of the script is like the last user message (best {ratio:.2f})", closest)

    def _miss(self, asked: tuple[Message, ...], reason: str, closest: str | None) -> ScriptMiss:
        with self._lock:
            self.misses.append(asked)
        prompt = next((m.content for m in reversed(asked) if m.role == "user"), "")
        if closest is None:
            return ScriptMiss(f"{self.name}: {reason}; the last user message was:\n{prompt[:_SHOWN_CHARS]}")
        diff = difflib.unified_diff(
            closest[:_SHOWN_CHARS].splitlines(),
            prompt[:_SHOWN_CHARS].splitlines(),
            "the script",
            "the request",
            lineterm="",
        )
        return ScriptMiss("\n".join([f"{self.name}: {reason}", *diff]))


class _AtTemperature:
    """A scripted model at a temperature."""

    def __init__(self, model: ScriptedModel, temperature: float) -> None:
        self._model = model
        self._temperature = temperature

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def window_tokens(self) -> int:
        return self._model.window_tokens

    @property
    def price(self) -> Price | None:
        return self._model.price

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        token = _temperature.set(self._temperature)
        try:
            return await self._model.complete(messages, max_output_tokens=max_output_tokens, timeout_s=timeout_s)
        finally:
            _temperature.reset(token)


def _closest(prompt: str, known: Mapping[str, str]) -> tuple[float, str | None]:
    """Return the similarity of the most similar prompt, and the prompt; an exact match needs no comparison."""
    if prompt in known:
        return 1.0, known[prompt]
    best, closest = -1.0, None
    # The matcher caches its second text, so that is the request.
    matcher = difflib.SequenceMatcher(None, "", prompt[:_COMPARED_CHARS], autojunk=False)
    for candidate, original in known.items():
        matcher.set_seq1(candidate[:_COMPARED_CHARS])
        # Upper bounds, each cheaper than the next: the real ratio takes quadratic time.
        if matcher.real_quick_ratio() <= best or (bound := matcher.quick_ratio()) <= best:
            continue
        ratio = bound
        if bound >= SIMILARITY:
            ratio = matcher.ratio() if candidate[_COMPARED_CHARS:] == prompt[_COMPARED_CHARS:] else 0.0
        if ratio > best:
            best, closest = ratio, original
    return max(best, 0.0), closest


def _normalised(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text.casefold()).split())


def _tokens(messages: Sequence[Message]) -> int:
    return max(1, math.ceil(size_bytes(messages) / _BYTES_PER_TOKEN))
