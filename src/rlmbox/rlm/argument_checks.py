"""Checks of the arguments of an `RLM` and of its questions, so that one of a wrong kind is named at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from rlmbox.budget.limits import Limits
from rlmbox.errors import ConfigError
from rlmbox.guard import Guard
from rlmbox.models.keys import KeySource
from rlmbox.requests.retries import RetryPolicy


def check_arguments(given: Mapping[str, object]) -> None:
    """Check what kind of value each argument is; None passes where an argument can be None.

    Args:
        given: The arguments, by name.

    Raises:
        ConfigError: One is of another kind.
    """
    for name, value in given.items():
        fits, words = _KINDS[name]
        if (value is not None or name in _NEVER_NONE) and not fits(value):
            raise ConfigError(f"{name} is {words}, not {type(value).__name__}")


def _is(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


_NEVER_NONE = frozenset(("sandbox", "packages", "hooks", "tools", "seed", "guard", "run_id", "at"))
_KINDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "api_key": (_is(str, KeySource), "a text or a KeySource"),
    "base_url": (_is(str), "an address such as 'http://localhost:8000/v1'"),
    "windows": (lambda value: _is_number(value) or isinstance(value, Mapping), "a number of tokens, or one by model"),
    "prices": (
        lambda value: _is_path(value) or isinstance(value, Mapping) or callable(value),
        "the path of a file, a mapping from names to prices, or a function",
    ),
    "limits": (_is(Limits), "a Limits, such as Limits(max_turns=10)"),
    "retries": (_is(RetryPolicy), "a RetryPolicy"),
    "fallback_when": (callable, "a function of a reply"),
    "cache": (lambda value: isinstance(value, bool) or _is_path(value), "True, False or the path of a folder"),
    "sandbox": (lambda value: isinstance(value, str) or callable(value), "a name or a function that makes a sandbox"),
    "packages": (
        lambda value: isinstance(value, list | tuple) and all(isinstance(name, str) for name in value),
        "a list of names such as ['pandas']",
    ),
    "hooks": (_is_list, "a list of functions of an event"),
    "telemetry": (lambda value: isinstance(value, bool) or hasattr(value, "reader"), "True, False or a Telemetry"),
    "store": (lambda value: _is_path(value) or hasattr(value, "write"), "a path or a store"),
    "evidence_dir": (_is_path, "the path of a folder"),
    "seed": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "tools": (_is_list, "a list of functions"),
    "retriever": (lambda value: isinstance(value, str) or hasattr(value, "search"), "a place or a retriever"),
    "guard": (_is(str, Guard), "'redact', 'strict', 'off' or a Guard"),
    "inputs": (_is(Mapping), "a dict from names to values"),
    "run_id": (_is(str), "a text"),
    "at": (_is(int), "the number of a turn"),
}
