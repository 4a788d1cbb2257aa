"""The models of an `RLM`: given as objects, or made by their names and closed with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from rlmbox.config import OFFLINE_MODEL, model_from
from rlmbox.errors import ConfigError
from rlmbox.models.base import Model, PriceSource
from rlmbox.models.keys import KeySource
from rlmbox.models.prices import FlatPrice, load_overrides
from rlmbox.rlm.argument_checks import check_arguments


@runtime_checkable
class _Closable(Protocol):
    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ChosenModels:
    """The models that an `RLM` asks.

    Attributes:
        root: The one of sessions.
        sub: The one of sub-calls and children.
        fallback: The one that is asked where another is not available, or None.
        own: Those that were made by their names.
        recorded: What a record has of them: `model`, `sub_model`, `fallback_model`, `base_url`, `prices`, `windows`.
    """

    root: Model
    sub: Model
    fallback: Model | None
    own: tuple[Model, ...]
    recorded: Mapping[str, object]

    def shown(self) -> dict[str, str]:
        """Return the names of the models, and of those beside the root's only what is another one."""
        others = {"sub_model": self.sub, "fallback_model": self.fallback}
        return {
            "model": self.root.name,
            **{key: each.name for key, each in others.items() if each is not None and each is not self.root},
        }

    async def aclose(self) -> None:
        """Close the connections of those that were made by their names."""
        for model in self.own:
            if isinstance(model, _Closable):
                await model.aclose()


def chosen_models(
    model: Model | str | None,
    sub_model: Model | str | None,
    fallback_model: Model | str | None,
    *,
    base_url: str | None,
    api_key: str | KeySource | None,
    prices: str | Path | Mapping[str, FlatPrice] | PriceSource | None,
    windows: int | Mapping[str, int] | None,
) -> ChosenModels:
    """Return the models that were named or given; the arguments are those of `RLM`.

    Raises:
        ConfigError: A name, a key or an address is missing or wrong.
    """
    check_arguments({"base_url": base_url, "api_key": api_key, "prices": prices, "windows": windows})
    for name, given in (("base_url", base_url), ("api_key", api_key)):
        if isinstance(given, str) and model is None:
            raise ConfigError(f"{name} needs the name of the model to ask, such as model='openai:NAME'")
    overrides = load_overrides(prices) if isinstance(prices, str | os.PathLike) else prices
    own: list[Model] = []

    def made(named: Model | str) -> Model:
        if isinstance(named, str):
            window = windows.get(named) if isinstance(windows, Mapping) else windows
            named = model_from(named, base_url=base_url, api_key=api_key, prices=overrides, window_tokens=window)
            own.append(named)
        elif not hasattr(named, "complete"):
            raise ConfigError(f"a model is a name such as 'openai:gpt-5' or a Model, not {type(named).__name__}")
        elif missing := [name for name in ("name", "window_tokens", "price") if not hasattr(named, name)]:
            raise ConfigError(f"{type(named).__name__} is no Model: it has no {' and no '.join(missing)}")
        return named

    root = made(OFFLINE_MODEL if model is None else model)
    sub = root if sub_model is None else made(sub_model)
    fallback = None if fallback_model is None else made(fallback_model)
    if isinstance(windows, Mapping):
        _check_windows(windows, [each.name for each in own])
    recorded = {
        "model": root.name,
        "sub_model": sub.name,
        "fallback_model": fallback.name if fallback else None,
        "base_url": base_url,
        "prices": os.path.abspath(prices)  # noqa: PTH100 - links stay as they are
        if isinstance(prices, str | os.PathLike)
        else None,
        "windows": dict(windows) if isinstance(windows, Mapping) else windows,
    }
    return ChosenModels(root, sub, fallback, tuple(own), recorded)


def _check_windows(windows: Mapping[str, int], names: list[str]) -> None:
    """Check that each window is that of a model which is used.

    Raises:
        ConfigError: It is not.
    """
    other = next((name for name in windows if name not in names), None)
    if other is not None:
        raise ConfigError(f"windows names {other!r}, which is none of the models given by name: {', '.join(names)}")
