"""From names to objects: the only place where a model is chosen by a string."""

from __future__ import annotations

from collections.abc import Mapping

from rlmbox.errors import ConfigError
from rlmbox.models.base import Model, PriceSource
from rlmbox.models.prices import FlatPrice

OFFLINE_MODEL = "offline:extractive"
"""The model when none is configured."""


def model_from(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    prices: Mapping[str, FlatPrice] | PriceSource | None = None,
    window_tokens: int | None = None,
) -> Model:
    """Return the model of a name such as `openai:gpt-5` or `offline:extractive`.

    Args:
        name: `provider:model`.
        base_url: Address of a server that speaks the provider's protocol.
        api_key: The key; None takes it from the provider's environment variable.
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
