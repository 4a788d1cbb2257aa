"""From names to objects: the only place where a model or a sandbox is chosen by a string."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from rlmbox.errors import ConfigError
from rlmbox.models.base import Model
from rlmbox.models.prices import FlatPrice
from rlmbox.sandboxes.base import Sandbox

OFFLINE_MODEL = "offline:extractive"
"""The model when none is configured."""

SANDBOXES = ("monty", "wasm", "docker", "auto", "jail", "subset")
"""Sandboxes that a name can choose; `local`, which isolates nothing, is only ever chosen by making it."""


def model_from(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    prices: Mapping[str, FlatPrice] | None = None,
) -> Model:
    """Gives the model of a name such as `openai:gpt-5` or `offline:extractive`.

    Args:
        name: `provider:model`.
        base_url: Address of a server that speaks the provider's protocol.
        api_key: The key; None takes it from the provider's environment variable.
        prices: Prices that take precedence over the catalogue's, by name.

    Raises:
        ConfigError: The name, the key or the address is missing or wrong.
    """
    if name == OFFLINE_MODEL:
        from rlmbox.models.offline import OfflineModel

        return OfflineModel()
    if name.partition(":")[0] == "offline":
        raise ConfigError(f"there is no offline model {name!r}; there is {OFFLINE_MODEL}")
    from rlmbox.models.providers import provider_model

    model = provider_model(name, base_url=base_url, api_key=api_key, prices=prices)
    model.warm()  # the provider's library takes a second to import, which the caller spends on opening the text
    return model


def sandbox_from(name: str) -> Callable[[], Sandbox]:
    """Gives what makes the sandboxes of a name.

    Raises:
        ConfigError: There is no such sandbox, or it is one that has to be made by hand.
    """
    if name == "monty":
        from rlmbox.sandboxes.monty import MontySandbox

        return MontySandbox
    if name == "wasm":
        from rlmbox.sandboxes.wasm import WasmSandbox

        return WasmSandbox
    if name == "docker":
        from rlmbox.sandboxes.docker import DockerSandbox

        return DockerSandbox
    if name == "jail":
        from rlmbox.sandboxes.jail import JailSandbox

        return JailSandbox
    if name == "subset":
        from rlmbox.sandboxes.subset import SubsetSandbox

        return SubsetSandbox
    if name == "auto":
        from rlmbox.sandboxes.auto import AutoSandbox

        return AutoSandbox
    if name == "local":
        raise ConfigError(
            "local runs a model's code with all that you may do yourself, so no name chooses it; "
            "in Python, pass sandbox=lambda: LocalSandbox(unsafe_no_isolation=True)"
        )
    close = get_close_matches(name, SANDBOXES, n=1)
    known = f"did you mean {close[0]}?" if close else f"there are {', '.join(SANDBOXES)}"
    raise ConfigError(f"there is no sandbox {name!r}; {known}")
