"""Embeddings by a provider that speaks OpenAI's protocol: `POST /embeddings`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal

from rlmbox.errors import ConfigError, ModelError
from rlmbox.models.base import Price
from rlmbox.models.prices import FREE, FlatPrice, price_for
from rlmbox.models.target import Target, resolve
from rlmbox.retrieval.base import Embeddings
from rlmbox.types import Usage

_MAX_REPLY_BYTES = 64 * 1024 * 1024
_DETAIL_CHARS = 300
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class OpenAIEmbedder:
    """An embedder that uses OpenAI's protocol.

    Args:
        name: The full name, such as `openai:text-embedding-3-small` or `ollama:nomic-embed-text`.
        base_url: Address of a server that speaks the protocol.
        api_key: The key; None for the provider's environment variable.
        price: Its price; None for the catalogue's.

    Raises:
        ConfigError: The name, the key or the address is missing or invalid, or the provider speaks another protocol.
    """

    batch_size = 64

    def __init__(
        self, name: str, *, base_url: str | None = None, api_key: str | None = None, price: Price | None = None
    ) -> None:
        self._target: Target = resolve(name, base_url, api_key)
        if self._target.provider != "openai":
            raise ConfigError(f"{name} has no embeddings in OpenAI's protocol; give openai:text-embedding-3-small")
        self._given_price = price

    def __repr__(self) -> str:
        return f"<OpenAIEmbedder {self.name}>"

    @property
    def name(self) -> str:
        """The full name."""
        return self._target.name

    @property
    def is_local(self) -> bool:
        """True for a server on this machine or in its network, of a kind that charges nothing."""
        return self._target.is_local

    @cached_property
    def price(self) -> Price | None:
        """The price; None if unknown."""
        if self._given_price is not None:
            return self._given_price
        known: dict[str, FlatPrice] = {}
        price = price_for(self.name, known, preset=self._target.preset, catalogue=self._target.official)
        return FREE if price is None and self.is_local else price

    async def embed(self, texts: Sequence[str], *, role: Literal["query", "passage"], timeout_s: float) -> Embeddings:
        """Compute vectors; see `Embedder`."""
        import httpx2

        target = self._target
        body = {"model": target.model, "input": list(texts), "encoding_format": "float"}
        sent = False
        try:
            async with httpx2.AsyncClient(timeout=httpx2.Timeout(timeout_s, connect=10.0)) as client:
                headers = {"authorization": f"Bearer {target.key}"}
                url = f"{target.base_url.rstrip('/')}/embeddings"
                async with client.stream("POST", url, json=body, headers=headers) as reply:
                    sent = True
                    content = await _read(reply, target)
        except httpx2.ConnectError as error:
            raise self._failed(f"no connection to {target.shown_url} ({_line(error)})", retryable=True) from None
        except httpx2.TransportError as error:
            text = f"the connection to {target.shown_url} broke ({_line(error) or type(error).__name__})"
            raise self._failed(text, retryable=True, billed=True) from None
        if reply.status_code != httpx2.codes.OK:
            raise self._refused(reply.status_code, content, reply.headers.get("retry-after"))
        return self._embeddings(content, len(texts), billed=sent)

    def _embeddings(self, content: bytes, count: int, *, billed: bool) -> Embeddings:
        try:
            found: dict[str, Any] = json.loads(content)
            rows = sorted(found["data"], key=lambda row: int(row["index"]))
            vectors = [[float(part) for part in row["embedding"]] for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._failed(f"the reply has no vectors: {content[:_DETAIL_CHARS]!r}", billed=billed) from None
        if len(vectors) != count:
            raise self._failed(f"the reply has {len(vectors)} vectors for {count} texts", billed=billed)
        usage = found.get("usage")
        tokens = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
        counted = type(tokens) is int and tokens >= 0
        return Embeddings(vectors, Usage(tokens if counted else 0, 0, 0, 0, 1), counted=counted)  # type: ignore[arg-type]

    def _refused(self, status: int, content: bytes, retry_after: str | None) -> ModelError:
        said = content.decode("utf-8", "replace")
        with suppress(ValueError, KeyError, TypeError):
            said = str(json.loads(content)["error"]["message"])
        said = " ".join(self._target.hide_key(said).split())[:_DETAIL_CHARS]
        hint = f"; set {self._target.key_variables[0]}" if status in (401, 403) and self._target.key_variables else ""
        wait_s = float(retry_after) if retry_after and retry_after.replace(".", "", 1).isdecimal() else None
        return ModelError(
            f"{self.name}: HTTP {status}: {said}{hint}",
            retryable=status in _PASSING,
            status=status,
            retry_after_s=wait_s,
        )

    def _failed(self, said: str, *, retryable: bool = False, billed: bool = False) -> ModelError:
        return ModelError(self._target.hide_key(f"{self.name}: {said}"), retryable=retryable, possibly_billed=billed)


async def _read(reply: Any, target: Target) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in reply.aiter_bytes():
        size += len(piece)
        if size > _MAX_REPLY_BYTES:
            raise ModelError(f"{target.name}: the reply is longer than 64 MB; ask for less", possibly_billed=True)
        pieces.append(piece)
    return b"".join(pieces)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_DETAIL_CHARS]
