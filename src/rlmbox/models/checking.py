"""A check of access to a model, step by step: key, server, model, price, window and one tiny question.

For `rlmbox doctor --model NAME`, which continues with a cell and a sub-call. Each step reports what was found, with a
remedy if it failed; steps that depend on a failed one are skipped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlmbox.errors import ConfigError, ModelError
from rlmbox.models.keys import KeySource
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import ProviderModel, provider_model
from rlmbox.models.target import Target
from rlmbox.types import Message, Usage

StepName = Literal["key", "server", "model", "price", "window", "question", "cell", "sub-call"]

_TIMEOUT_S = 10.0
_QUESTION = (Message("user", "Reply with the one word: ready"),)
_QUESTION_OUTPUT_TOKENS = 512  # a reasoning model needs some even for a single word
_WINDOW_FIELDS = (
    "context_length",  # OpenRouter, Together
    "context_window",  # Groq
    "max_model_len",  # vLLM
    "max_context_length",  # Mistral, LM Studio
    "inputTokenLimit",  # Google
    "max_input_tokens",  # Anthropic
    "n_ctx",
    "n_ctx_train",  # llama.cpp
)


@dataclass(frozen=True, slots=True)
class ModelStep:
    """The result of one step.

    Attributes:
        name: The step.
        ok: Whether it passed; None if that is unknown.
        found: The finding or the remedy, in one line.
    """

    name: StepName
    ok: bool | None
    found: str


async def check_reachable(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | KeySource | None = None,
    prices: Mapping[str, FlatPrice] | None = None,
    window_tokens: int | None = None,
    ask: bool = True,
) -> AsyncIterator[ModelStep]:
    """Check a model step by step, and yield the result of each step as soon as it is known.

    Args:
        name: The model's full name, such as `ollama:qwen3`.
        base_url: The model's address; None as for `provider_model`.
        api_key: The key; None as for `provider_model`.
        prices: The user's own prices by full name.
        window_tokens: The window, if set by the user.
        ask: Whether to end with one tiny question, which costs a fraction of a cent.
    """
    try:
        model = provider_model(name, base_url=base_url, api_key=api_key, prices=prices, window_tokens=window_tokens)
    except ConfigError as error:
        yield ModelStep("key", False, str(error))
        return
    target = model.target
    yield ModelStep("key", True, f"from {target.key_from}" if target.key_from else "none, and none is needed")
    try:
        listed, step = await _listed(target)
        yield step
        if step.ok is False:
            return
        yield _model_step(target, listed)
        yield _price_step(model)
        yield _window_step(model, listed)
        if ask:
            yield await _question_step(model)
    finally:
        await model.aclose()


async def _listed(target: Target) -> tuple[Mapping[str, Mapping[str, Any]] | None, ModelStep]:
    """Return the models that the server lists, by name, or None without a list, and the result for the server."""
    import httpx2

    url, headers = _list_request(target)
    try:
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S) as client:
            response = await client.get(url, headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        said = target.hide_key(" ".join(str(error).split()) or type(error).__name__)
        hint = f"no connection to {target.shown_url} ({said}); check the address and that the server runs"
        return None, ModelStep("server", False, hint + target.start_hint)
    if response.status_code in (401, 403):
        source = target.key_from or f"the key: set {' or '.join(target.key_variables)}"
        return None, ModelStep("server", False, f"{target.shown_url} refused the key; check {source}")
    found = _entries(response)
    if found is None:
        return None, ModelStep("server", None, f"{target.shown_url} answers, and lists no models")
    return found, ModelStep("server", True, f"{target.shown_url} answers, with {len(found):,} models")


def _list_request(target: Target) -> tuple[str, dict[str, str]]:
    if target.provider == "anthropic":
        headers = {"x-api-key": target.key, "anthropic-version": "2023-06-01"}
        return f"{target.base_url}/v1/models?limit=1000", headers
    if target.provider == "google":
        return f"{target.base_url}/v1beta/models?pageSize=1000", {"x-goog-api-key": target.key}
    return f"{target.base_url}/models", {"Authorization": f"Bearer {target.key}", "api-key": target.key}


def _entries(response: Any) -> Mapping[str, Mapping[str, Any]] | None:
    try:
        body = response.json()
    except ValueError:
        return None
    rows = (body.get("data") or body.get("models")) if isinstance(body, dict) else body
    if not isinstance(rows, list) or not response.is_success:
        return None
    named = [row for row in rows if isinstance(row, dict) and (row.get("id") or row.get("name"))]
    return {str(row.get("id") or row["name"]).removeprefix("models/"): row for row in named}


def _model_step(target: Target, listed: Mapping[str, Mapping[str, Any]] | None) -> ModelStep:
    if listed is None:
        return ModelStep("model", None, f"{target.model}: whether it is there shows with the first question")
    if _entry(target, listed) is not None:
        return ModelStep("model", True, f"{target.model} is there")
    if target.provider == "azure":
        return ModelStep("model", None, f"{target.model} is a deployment's name, which Azure does not list")
    import difflib

    close = difflib.get_close_matches(target.model, listed, n=3, cutoff=0.5) or list(listed)[:3]
    text = f"{target.model} is not among them{target.missing_hint}; there are {', '.join(close) or 'none'}"
    return ModelStep("model", False, text)


def _entry(target: Target, listed: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the server's entry for the model; Ollama lists `qwen3` as `qwen3:latest`."""
    return listed.get(target.model) or listed.get(f"{target.model}:latest")


def _price_step(model: ProviderModel) -> ModelStep:
    price = model.price
    if price is None:
        text = "not known, so a cost limit cannot be kept; give it with --prices FILE, or set no cost limit"
        return ModelStep("price", None, text)
    sent, received = (price.cost_usd(usage) for usage in (Usage(1_000_000), Usage(0, 0, 1_000_000)))
    text = f"${sent.normalize():f} in, ${received.normalize():f} out for a million tokens, from {price.origin}"
    return ModelStep("price", True, text)


def _window_step(model: ProviderModel, listed: Mapping[str, Mapping[str, Any]] | None) -> ModelStep:
    served = _served_window(_entry(model.target, listed) if listed else None)
    if model.window_is_known:
        if served is not None and served < model.window_tokens:
            text = f"{model.window_tokens:,} tokens, but the server says {served:,}; give --window {served}"
            return ModelStep("window", False, text)
        return ModelStep("window", True, f"{model.window_tokens:,} tokens")
    if served is not None:
        text = f"the server says {served:,} tokens; give --window {served}, else {model.window_tokens:,} is assumed"
        return ModelStep("window", None, text)
    text = f"not known: {model.window_tokens:,} tokens are assumed until a refusal says less; give --window"
    return ModelStep("window", None, text)


def _served_window(entry: Mapping[str, Any] | None) -> int | None:
    if entry is None:
        return None
    meta = entry.get("meta")
    for mapping in (entry, meta if isinstance(meta, dict) else {}):
        for field in _WINDOW_FIELDS:
            if isinstance(mapping.get(field), int) and mapping[field] > 0:
                return int(mapping[field])
    return None


async def _question_step(model: ProviderModel) -> ModelStep:
    try:
        completion = await model.complete(_QUESTION, max_output_tokens=_QUESTION_OUTPUT_TOKENS)
    except ModelError as error:
        return ModelStep("question", False, str(error).removeprefix(f"{model.name}: "))
    usage, price = completion.usage, model.price
    words = " ".join(completion.text.split())[:40]
    if not words:
        return ModelStep("question", False, "the reply was empty; the model may need more output tokens to reason")
    cost = f", ${price.cost_usd(usage):.6f}" if price is not None else ""
    counts = f"{usage.input_tokens} tokens in, {usage.output_tokens} out{cost}"
    counted = "" if completion.counted else ", estimated, since the server does not count them"
    return ModelStep("question", True, f'it answered "{words}" ({counts}{counted})')
