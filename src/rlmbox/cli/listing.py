"""`rlmbox models`: what can be reached from here, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from rlmbox.cli.failing import report
from rlmbox.cli.keeping import key_source
from rlmbox.cli.tables import print_table
from rlmbox.config import OFFLINE_MODEL, model_from
from rlmbox.errors import ConfigError, RLMError
from rlmbox.models.base import Bounded, Model
from rlmbox.models.prices import FlatPrice, load_overrides
from rlmbox.types import Usage

_EXAMPLES = (
    "openai:gpt-5",
    "openai:gpt-5-mini",
    "anthropic:claude-sonnet-5-5",
    "anthropic:claude-haiku-4-5",
    "google:gemini-2.5-pro",
    "google:gemini-2.5-flash",
    "azure:DEPLOYMENT",
    "openrouter:openai/gpt-5-mini",
    "groq:openai/gpt-oss-120b",
    "xai:grok-4-0709",
    "deepseek:deepseek-v3.2",
    "mistral:mistral-large-2512",
    "ollama:qwen3",
    "vllm:MODEL",
    "llamacpp:MODEL",
    "lmstudio:MODEL",
    OFFLINE_MODEL,
)
_SERVED_HERE = ("ollama", "vllm", "llamacpp", "lmstudio")


def print_models(name: str | None, prices: Path | None, *, as_json: bool, debug: bool) -> int:
    """Run `rlmbox models` and return the exit code."""
    try:
        overrides = load_overrides(prices) if prices is not None else {}
        names = [name] if name else list(dict.fromkeys([*_EXAMPLES, *overrides]))
        rows = [_row(each, overrides, strict=name is not None) for each in names]
    except RLMError as error:
        return report(error, as_json=as_json, debug=debug)
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
        return 0
    headings = ("model", "$ in", "$ out", "window", "reachable")
    cells = [
        [
            *(str(value or "unknown") for value in (row["model"], row["input"], row["output"])),
            f"{row['window']:,}" if row["window"] else "unknown",
            str(row["reachable"]),
        ]
        for row in rows
    ]
    print_table(headings, cells, right=("$ in", "$ out"), folds=("reachable",))
    origins = sorted({str(row["origin"]) for row in rows if row["origin"] and row["origin"] != "free"})
    print(f"US dollars per million tokens, from {' and '.join(origins) or 'no catalogue'}; window in tokens")  # noqa: T201
    return 0


def _row(name: str, overrides: Mapping[str, FlatPrice], *, strict: bool) -> dict[str, Any]:
    """Describe a model; one that cannot be reached says what is missing, and what nobody knows is None."""
    keys = key_source(name if strict else None)
    reachable = "if it runs here" if name.partition(":")[0] in _SERVED_HERE else "yes"
    try:
        model: Model = model_from(name, prices=overrides, api_key=keys)
    except ConfigError as error:
        reachable = str(error).removeprefix(name).lstrip(": ").removesuffix(", or pass api_key")
        if strict and "needs a key" not in str(error):
            raise
        # A price needs no key; a placeholder is never sent anywhere, because nothing is asked.
        try:
            model = model_from(name, prices=overrides, api_key="placeholder")
        except ConfigError:
            return dict.fromkeys(("model", "reachable", "input", "output", "window", "origin")) | {
                "model": name,
                "reachable": reachable,
            }
    price = model.price
    return {
        "model": name,
        "reachable": reachable,
        "input": _per_million(price.cost_usd(Usage(input_tokens=1_000))) if price else None,
        "output": _per_million(price.cost_usd(Usage(output_tokens=1_000))) if price else None,
        "window": model.window_tokens if not isinstance(model, Bounded) or model.window_is_known else None,
        "origin": price.origin if price else None,
    }


def _per_million(cost_usd: Decimal) -> str:
    return f"{(cost_usd * 1_000).normalize():f}"
