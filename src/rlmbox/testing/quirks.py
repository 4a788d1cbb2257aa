"""Servers with the quirks of one make, where they differ from OpenAI's documented protocol.

    with QuirkServer("ollama") as server:
        model = provider_model("ollama:any", base_url=server.openai_url)

Each quirk names the public report whose bytes it reproduces. The values are ours.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from rlmbox.testing.provider_server import ProviderAnswer, ProviderServer, RawReply
from rlmbox.testing.provider_wire import ProviderReply, ProviderRequest, reply_body

Rule = Callable[[ProviderRequest, str], ProviderAnswer | None]
"""Returns the answer of a quirk, given the request and the text of a good reply; None if it does not apply."""


@dataclass(frozen=True, slots=True)
class Quirk:
    """A way in which a server differs.

    Attributes:
        name: What it does, in a few words.
        report: The public report: a repository and the number of an issue or a pull request.
        rule: Its answer to a request.
        once: Whether it applies to the first request only.
    """

    name: str
    report: str
    rule: Rule
    once: bool = False


def _error(status: int, message: object, *, http: int | None = None, **fields: object) -> RawReply:
    return RawReply({"error": {"message": message, **fields}}, http or status)


def _longest(request: ProviderRequest) -> int:
    return request.max_output_tokens or 0


def _tokens(request: ProviderRequest) -> int:
    return sum(len(message.content) for message in request.messages) // 4


def _window(tokens: int, refuse: Callable[[int], RawReply]) -> Rule:
    """Refuse requests longer than a window."""
    return lambda request, _text: refuse(_tokens(request)) if _tokens(request) > tokens else None


def _cap(tokens: int, refuse: Callable[[int], RawReply]) -> Rule:
    """Refuse requests for longer replies than a limit."""
    return lambda request, _text: refuse(_longest(request)) if _longest(request) > tokens else None


def _body(
    request: ProviderRequest, text: str, usage: Mapping[str, Any] | None = None, **message: object
) -> ProviderAnswer:
    """Return a good reply with additional message fields and its own usage."""
    sent, received = max(_tokens(request), 1), max(len(text) // 4, 1)
    body = reply_body(request, ProviderReply(text, input_tokens=sent, output_tokens=received))
    body["choices"][0]["message"] |= message
    return RawReply(body | ({"usage": dict(usage)} if usage is not None else {}))


def _ollama_cut(request: ProviderRequest, text: str) -> ProviderAnswer | None:
    if _tokens(request) <= 4_096:
        return None
    return _body(request, text, {"prompt_tokens": 193, "completion_tokens": 50, "total_tokens": 243})


def _alternate(request: ProviderRequest, _text: str) -> ProviderAnswer | None:
    roles = [message.role for message in request.messages if message.role != "system"]
    if all(first != second for first, second in pairwise(roles)):
        return None
    words = "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."
    return RawReply({"object": "error", "message": words, "type": "BadRequestError", "param": None, "code": 400}, 400)


def _no_system(request: ProviderRequest, _text: str) -> ProviderAnswer | None:
    if not any(message.role == "system" for message in request.messages):
        return None
    return RawReply({"object": "error", "message": "System role not supported", "type": "BadRequestError"}, 400)


def _mistral_extra(request: ProviderRequest, _text: str) -> ProviderAnswer | None:
    known = {"model", "messages", "max_tokens", "temperature", "stream", "top_p", "stop"}
    extra = [name for name in request.body if name not in known]
    if not extra:
        return None
    detail = {"type": "extra_forbidden", "loc": ["body", extra[0]], "msg": "Extra inputs are not permitted"}
    return RawReply(
        {"object": "error", "message": json.dumps({"detail": [detail]}), "type": "internal_error_proxy"}, 422
    )


def _thoughts(request: ProviderRequest, text: str) -> ProviderAnswer:
    content = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": text}]
    return _body(request, text, content=content)


def _xai_usage(request: ProviderRequest, text: str) -> ProviderAnswer:
    sent = max(_tokens(request), 1)
    details = {"reasoning_tokens": 386}
    usage = {"prompt_tokens": sent, "completion_tokens": 1, "total_tokens": sent + 387}
    return _body(request, text, {**usage, "completion_tokens_details": details})


def _keep_alive(request: ProviderRequest, text: str) -> ProviderAnswer:
    good = _body(request, text, {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107,
                                 "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36})  # fmt: skip
    assert isinstance(good, RawReply)  # noqa: S101 - created above
    return RawReply("\n\n\n" + json.dumps(good.body))


def _azure_output(request: ProviderRequest, _text: str) -> ProviderAnswer | None:
    if "max_completion_tokens" not in request.body:
        return None
    return _error(400, "Unrecognized request argument supplied: max_completion_tokens", type="invalid_request_error")


def _tpm(tokens: int) -> Rule:
    def rule(request: ProviderRequest, _text: str) -> ProviderAnswer | None:
        asked = _tokens(request) + _longest(request)
        words = (
            f"Request too large for model `{request.model}` in organization `org` service tier `on_demand` on tokens "
            f"per minute (TPM): Limit {tokens}, Requested {asked}, please reduce your message size and try again."
        )
        return _error(413, words, type="tokens", code="rate_limit_exceeded") if asked > tokens else None

    return rule


def _routed(request: ProviderRequest, _text: str) -> ProviderAnswer:
    del request
    raw = json.dumps({"error": {"message": "the upstream is overloaded; retry shortly", "type": "overloaded_error"}})
    return _error(429, "Provider returned error", http=200, code=429, metadata={"raw": raw, "provider_name": "Up"})


def _limit_in_the_body(_request: ProviderRequest, _text: str) -> ProviderAnswer:
    reset_ms = str(int((time.time() + 1) * 1_000))
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset_ms}
    return _error(429, "Rate limit exceeded: free-models-per-min.", code=429, metadata={"headers": headers})


QUIRKS: Mapping[str, tuple[Quirk, ...]] = MappingProxyType(
    {
        "ollama": (
            Quirk("cuts what is longer than its window without a word", "ralphgrewe/TradingAgents #168", _ollama_cut),
            Quirk(
                "knows a model only once it was pulled",
                "netease-youdao/QAnything #555",
                lambda request, _: (
                    _error(404, f'model "{request.model}" not found, try pulling it first', type="api_error", code=None)
                    if request.model.startswith("missing")
                    else None
                ),
            ),
        ),
        "vllm": (
            Quirk("wants strict turns of some models", "vllm-project/vllm #6862", _alternate),
            Quirk("has templates without a system role", "vllm-project/vllm PR2964", _no_system),
            Quirk(
                "names its window where the reply asked for is too long",
                "vllm-project/vllm #20409",
                lambda request, _: (
                    _error(
                        400,
                        "This model's maximum context length is 8192 tokens. However, you requested "
                        f"{_tokens(request) + _longest(request)} tokens. Please reduce the length of the messages.",
                    )
                    if _tokens(request) + _longest(request) > 8_192
                    else None
                ),
            ),
        ),
        "llamacpp": (
            Quirk(
                "sends its window beside its words",
                "ggml-org/llama.cpp PR15780",
                _window(
                    4_096,
                    lambda tokens: _error(
                        500,
                        "the request exceeds the available context size. try increasing the context size",
                        code=500,
                        type="exceed_context_size_error",
                        n_prompt_tokens=tokens,
                        n_ctx=4_096,
                    ),
                ),
            ),
            Quirk(
                "answers while it loads the model",
                "mostlygeek/llama-swap #146",
                lambda _request, _text: _error(503, "Loading model", code=503, type="unavailable_error"),
                once=True,
            ),
        ),
        "lmstudio": (
            Quirk(
                "says its window in a text in place of an object",
                "lmstudio-ai/lmstudio-bug-tracker #237",
                _window(
                    4_096,
                    lambda tokens: RawReply(
                        {
                            "error": f"Trying to keep the first {tokens} tokens when context the overflows. However, "
                            "the model is loaded with context length of only 4096 tokens, which is not enough."
                        },
                        400,
                    ),
                ),
            ),
            Quirk(
                "says the same in other words since 0.4",
                "anomalyco/opencode #11141",
                _window(
                    3_000,
                    lambda tokens: RawReply(
                        {"error": f"Cannot truncate prompt with n_keep ({tokens}) >= n_ctx (3000)"}, 400
                    ),
                ),
            ),
        ),
        "openrouter": (
            Quirk("sends an error with status 200", "pydantic/pydantic-ai #2323", _routed, once=True),
            Quirk(
                "tells in the body, and in no header, when a limit is reset",
                "dirge-code/dirge PR719",
                _limit_in_the_body,
                once=True,
            ),
            Quirk(
                "sends no whole number as the time of creation",
                "pydantic/pydantic-ai #2996",
                lambda request, text: RawReply({**_json(request, text), "created": 1_700_000_000.25}),
            ),
        ),
        "groq": (
            Quirk("refuses what is larger than a minute's tokens", "continuedev/continue #10218", _tpm(6_000)),
            Quirk(
                "caps the reply",
                "skapadia3214/groq-moa #8",
                _cap(
                    4_000,
                    lambda _: _error(400, "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 4000"),
                ),
            ),
        ),
        "xai": (Quirk("counts reasoning beside the reply", "UKGovernmentBEIS/inspect_ai #5528", _xai_usage),),
        "deepseek": (
            Quirk(
                "caps the reply",
                "deepseek-ai/DeepSeek-V3 #69",
                _cap(
                    8_192, lambda _: _error(400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")
                ),
            ),
            Quirk("sends empty lines before the reply", "bespokelabsai/curator PR463", _keep_alive),
        ),
        "mistral": (
            Quirk(
                "has no room for the account's tier at the moment",
                "continuedev/continue #6185",
                lambda _request, _text: RawReply(
                    {
                        "object": "error",
                        "message": "Service tier capacity exceeded for this model.",
                        "type": "invalid_request_error",
                        "param": None,
                        "code": None,
                    },
                    429,
                ),
                once=True,
            ),
            Quirk("forbids fields that it does not know", "mistralai/platform-docs-public #7", _mistral_extra),
            Quirk("sends its thoughts in the content", "langchain4j/langchain4j PR4474", _thoughts),
        ),
        "azure": (
            Quirk("knows no max_completion_tokens for some deployments", "openai/openai-python #1724", _azure_output),
            Quirk(
                "says how long to wait in words",
                "microsoft/action-python #12",
                lambda _request, _text: _error(
                    429, "Requests have exceeded call rate limit of your tier. Please retry after 1 second.", code="429"
                ),
                once=True,
            ),
        ),
    }
)
"""The quirks of each make of server, by the prefix of a model's name."""


def _json(request: ProviderRequest, text: str) -> dict[str, Any]:
    return reply_body(request, ProviderReply(text, input_tokens=max(_tokens(request), 1), output_tokens=7))


class QuirkServer(ProviderServer):
    """A server of one make.

    Args:
        preset: The make, a key of `QUIRKS`.
        answer: Returns the text of a good reply; called in the server's thread.
        quirks: The quirks to use, in order; None for all of the make.
    """

    def __init__(
        self,
        preset: str,
        answer: Callable[[ProviderRequest], str] = lambda _: "ok",
        *,
        quirks: Sequence[Quirk] | None = None,
    ) -> None:
        self._quirks = QUIRKS[preset] if quirks is None else tuple(quirks)
        self._answer_text = answer
        self._met: set[str] = set()
        self._quirk_lock = threading.Lock()
        super().__init__(self._entry)

    def _entry(self, request: ProviderRequest) -> ProviderAnswer:
        text = self._answer_text(request)
        for quirk in self._quirks:
            with self._quirk_lock:
                if quirk.once and quirk.name in self._met:
                    continue
            answer = quirk.rule(request, text)
            if answer is not None:
                with self._quirk_lock:
                    self._met.add(quirk.name)
                return answer
        return RawReply(_json(request, text))
