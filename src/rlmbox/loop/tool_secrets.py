"""Removal of secrets that a tool leaks by mistake in a result or an error, before anyone reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

HIDDEN = "[secret]"
"""Text in the place of a secret."""

_LEAST_CHARS = 4
_KNOWN_CHARS = 6  # minimum length for which the guard finds a secret in any encoding


class SecretValues:
    """The secrets of a tool, in any form in which they may appear: plain, encoded, or in pieces.

    Args:
        values: Texts, bytes, or containers of them.
    """

    def __init__(self, values: Iterable[Any]) -> None:
        self._texts = tuple(dict.fromkeys(text for text in _texts(list(values)) if len(text) >= _LEAST_CHARS))

    def __repr__(self) -> str:
        return f"<SecretValues: {len(self._texts)}>"

    def hidden_in(self, text: str) -> str:
        """Return a text without the secrets.

        Args:
            text: The text.
        """
        if not self._texts or not text:
            return text
        at, kept = 0, []
        for finding in sorted(self._known(text), key=lambda each: each.start):
            if finding.start >= at:
                kept += [text[at : finding.start], HIDDEN]
                at = finding.end
        text = "".join([*kept, text[at:]])
        for short in self._texts:
            if len(short) < _KNOWN_CHARS:
                text = text.replace(short, HIDDEN)
        return text

    def hidden_in_value(self, value: Any) -> Any:
        """Return a JSON value without the secrets.

        Args:
            value: The value.
        """
        if not self._texts:
            return value
        if isinstance(value, str):
            return self.hidden_in(value)
        if isinstance(value, list):
            return [self.hidden_in_value(item) for item in value]
        if isinstance(value, Mapping):
            return {self.hidden_in_value(key): self.hidden_in_value(item) for key, item in value.items()}
        return value

    @cached_property
    def _known(self) -> Any:
        from rlmbox.guard.known import KnownSecrets  # late: takes 50 ms, and most tools have no secrets

        return KnownSecrets(self._texts)


def _texts(value: Any) -> Iterator[str]:
    reveal = getattr(value, "get_secret_value", None)
    value = reveal() if callable(reveal) else value
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray):
        yield bytes(value).decode("utf-8", "replace")
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
