"""Refusals: what providers say when they refuse a request, and what that asks for.

Providers that speak the same protocol word the same refusal differently, and few send a code for it. The wordings here
are from their documentation and from public bug reports; `rlmbox.testing.quirks` names the reports.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

_DETAIL_CHARS = 2_000
_WORDS = (
    "message",
    "detail",
    "error_description",
    "msg",
    "Message",
    "error_msg",
    "errorMessage",
    "status_msg",
    "reason",
)
_LONG_WAIT_S = 300.0  # a share of the day that is back before that is waited for
_NARROWEST_TOKENS = 500  # a window below it is a misunderstanding
_N = r"\D{0,3}(?P<tokens>\d[\d,_]{1,11})"

_WINDOW = tuple(
    re.compile(wording, re.IGNORECASE)
    for wording in (
        rf"maximum (?:context|prompt|input) length(?: is| of|:){_N}",
        rf"maximum number of (?:input )?tokens allowed{_N}",
        rf"tokens > {_N} maximum",
        rf"exceed context limit: [\d,]+ \+ [\d,]+ >{_N}",
        rf"context length of only{_N}",
        rf"context (?:length|size|window)(?: is| of|:)?{_N}",
        rf"token limit(?: is| of|:){_N}",
        rf"range of input length should be \[\d+,{_N}\]",
        rf"limit for this model is{_N} tokens",
        rf"max_new_tokens`? must be <={_N}",
        rf"must have less than{_N} `?(?:input|token)",
        rf"too large for model with{_N} maximum context",
        rf"token count of [\d,]+ exceeds the limit of{_N}",
        rf"max(?:imum)? size:{_N} tokens",
        rf"maximum sequence length(?: is| of|:)?{_N}",
        rf"max_seq_len{_N}",
        rf"than the maximum model length of{_N}",
        rf"(?:input|prompt|total) tokens exceeds? (?:the )?max(?:imum)? limit{_N}",
    )
)
_TOO_LONG_CODES = frozenset(
    {
        "context_length_exceeded",
        "context_window_exceeded",
        "exceed_context_size_error",
        "request_too_large",
        "tokens_limit_reached",
    }
)
_TOO_LONG = re.compile(
    r"maximum context length|reduce the length of the (?:messages|prompt|input)"
    r"|(?:prompt|input|request|context|conversation) (?:is )?too (?:long|many tokens)|too many tokens"
    r"|exceed(?:s|ed)? (?:the )?(?:model(?:'s)? )?(?:maximum number of tokens|maximum allowed input length"
    r"|maximum context|available context size|context (?:window|length|size|limit)"
    r"|max(?:imum)? (?:prompt |input )?(?:length|tokens))"
    r"|(?:longer|larger) than the (?:model's )?(?:maximum )?context|context ?window ?exceed(?:s|ed)"
    r"|exceeded model token limit"
    r"|(?:longer|larger) than the maximum model length|tokens exceeds? (?:the )?max(?:imum)? limit"
    r"|超长|上下文.{0,8}(?:超|限制|过长)|(?:超出|超过).{0,12}(?:上下文|最大长度)|(?:输入|prompt).{0,6}过长"
    r"|context overflow|tokens to keep from the initial prompt is greater|context the overflows",
    re.IGNORECASE,
)
_RATE_TOO_SMALL = re.compile(
    r"request too large for model|requested \d[\d,]*\D{1,40}(?:limit|tokens per min)", re.IGNORECASE
)
_RATE = re.compile(rf"limit:?{_N}, ?requested:?\D{{0,3}}(?P<asked>\d[\d,]*)", re.IGNORECASE)
_OUTPUT_CAP = tuple(
    re.compile(wording, re.IGNORECASE)
    for wording in (
        rf"fewer max_tokens\b.{{1,80}}?can only afford{_N}",
        rf"supports? at most{_N} (?:completion|output) tokens",
        (
            rf"`?max_(?:completion_|output_)?tokens`?\W{{0,3}} (?:must be|should be)\D{{0,30}}"
            rf"(?:<=|less than or equal to|at most){_N}"
        ),
        rf"max_tokens: [\d,]+ >{_N}, which is the maximum allowed",
        rf"valid range of max_(?:completion_)?tokens is \[\d+,{_N}\]",
        rf"range of max_(?:completion_|output_)?tokens should be \[\d+,{_N}\]",
        (
            rf"max_(?:completion_|output_)?tokens.{{1,80}}?"
            rf"(?:at most|maximum of|not exceed|no more than|cannot exceed|up to|less than or equal to){_N}"
        ),
        rf"maximum (?:number of )?(?:output|completion) tokens\D{{0,30}}{_N}",
        rf"maximum tokens you requested exceeds the model limit of{_N}",
        rf"max_(?:completion_|output_)?tokens`? (?:must|should) be (?:between|in) \D?\d+(?: and|,| to){_N}",
    )
)
_GOOGLE_CAP = re.compile(r"maxOutputTokens.{0,80}?to (?P<tokens>\d+) \(exclusive\)", re.IGNORECASE | re.DOTALL)
_NAMED = tuple(
    re.compile(wording, re.IGNORECASE)
    for wording in (
        (
            r"(?:unsupported|unrecognized|unknown|unexpected|invalid|extra)(?: [\w-]+){0,4}:? ?"
            r"['\"`](?P<name>[a-zA-Z_]\w*)['\"`]"
        ),
        r"unrecognized request arguments? supplied: (?P<name>[a-zA-Z_]\w*)",
        r"property '(?P<name>[a-zA-Z_]\w*)' is unsupported",
        r"['\"`]?(?P<name>[a-zA-Z_]\w*)['\"`]?:? extra (?:inputs|fields)(?: are)? not permitted",
        (
            r"['\"`](?P<name>[a-zA-Z_]\w*)['\"`](?: \w+){0,3} (?:is|are) "
            r"(?:deprecated|not supported|unsupported|not permitted)"
        ),
        r"['\"`](?P<name>[a-zA-Z_]\w*)['\"`] does not support",
    )
)
_NO_SYSTEM = re.compile(
    r"system (?:role|message|prompt|instruction)s?\b.{0,40}\b(?:not|n't|un)\W?(?:supported|enabled|allowed)"
    r"|developer instruction is not enabled|does not support (?:the )?'?system"
    r"|role.{0,10}system.{0,20}(?:not supported|unsupported)|only user and assistant roles are supported",
    re.IGNORECASE,
)
_NO_STREAM = re.compile(
    r"stream(?:ing|ed)?\b.{0,60}\b(?:not|n't|un)\W?(?:supported|enabled|allowed|available|implemented)"
    r"|(?:not|n't) support (?:\w+ ){0,3}stream|verified to stream",
    re.IGNORECASE,
)
_ONLY_STREAM = re.compile(
    r"only supports? (?:the )?stream|(?:must|needs? to|has to|please) (?:be streamed|use stream|enable (?:the )?stream)"
    r"|non-stream(?:ing|ed)? (?:calls?|requests?|mode|output).{0,30}(?:not|n't|un)\W?(?:supported|allowed)"
    r"|(?:for|in) non-streaming calls|streaming is (?:strongly recommended|required)",
    re.IGNORECASE,
)
_ALTERNATE = re.compile(
    r"roles must alternate|alternate (?:between )?(?:the )?'?user|(?:consecutive|successive) (?:user|assistant)"
    r"|first message must (?:be|use|have).{0,20}user",
    re.IGNORECASE,
)
_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "spend_limit_exceeded",
        "billing_error",
        "exceeded_current_quota_error",
    }
)
_QUOTA = re.compile(
    r"credit balance is too low|insufficient (?:balance|credits|quota)|enable billing|more credits|out of credits"
    r"|per[- ]day|daily (?:limit|quota|request limit)|\((?:RPD|TPD)\)|余额不足|余额已|欠费|额度已|额度不足",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"(?:try|retry|retrying)[\w ]{0,20}? (?:again )?(?:in|after)\s+"
    r"(?P<wait>(?:\d+(?:\.\d+)?\s*(?:ms|milliseconds?|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)\s*)+)",
    re.IGNORECASE,
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli\w*|s\w*|m\w*|h\w*)", re.IGNORECASE)
_DELAY = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")
_TAG = re.compile(r"<(?:style|script)\b.*?</(?:style|script)>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class Complaint:
    """The body of a refusal.

    Args:
        body: The body as it came.

    Attributes:
        message: The provider's words.
        codes: The machine-readable codes beside them.
        param: The parameter that they name, or an empty text.
        details: Google's details.
    """

    def __init__(self, body: bytes) -> None:
        error, self.codes = _error(body)
        self.message = _words(error)[:_DETAIL_CHARS]
        self.param = str(error.get("param") or "")
        self._window_field = error.get("n_ctx")
        details = error.get("details")
        self.details = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []

    @property
    def status(self) -> int | None:
        """The HTTP status that the body names, as some put it into a reply with status 200; None without one."""
        found = [int(code) for code in self.codes if code.isdecimal() and len(code) == 3]
        return next((status for status in found if 400 <= status <= 599), None)

    @property
    def names_length(self) -> bool:
        """True if a code says that the request is too long, whatever the status is."""
        return bool(self.codes & _TOO_LONG_CODES)

    @property
    def too_long(self) -> bool:
        """True if the request is longer than the window."""
        return (
            self.names_length
            or _TOO_LONG.search(self.message) is not None
            or (self.window_tokens is not None and self.output_cap_tokens is None)
        )

    @property
    def window_tokens(self) -> int | None:
        """Return the size of the window in tokens, where the provider's message says so."""
        if isinstance(self._window_field, int) and self._window_field >= _NARROWEST_TOKENS:
            return self._window_field
        return named_window_tokens(self.message)

    @property
    def rate_tokens(self) -> int | None:
        """Tokens that the account may use in a minute, where this one request is larger than that."""
        found = _RATE.search(self.message)
        if found is None:
            return None
        limit, asked = _int(found["tokens"]), _int(found["asked"])
        return limit if asked > limit >= _NARROWEST_TOKENS else None

    @property
    def exceeds_rate(self) -> bool:
        """True if this one request is larger than what the account may use in a minute."""
        return self.rate_tokens is not None or _RATE_TOO_SMALL.search(self.message) is not None

    @property
    def output_cap_tokens(self) -> int | None:
        """Longest reply that may be asked for, where the provider refuses a longer one and says so."""
        exclusive = _GOOGLE_CAP.search(self.message)
        if exclusive is not None:
            return int(exclusive["tokens"]) - 1
        if "maximum context length" in self.message:
            return None
        return next((_int(m["tokens"]) for p in _OUTPUT_CAP if (m := p.search(self.message))), None)

    @property
    def wants_no_system(self) -> bool:
        """True if the model takes no system message."""
        return _NO_SYSTEM.search(self.message) is not None

    @property
    def wants_no_stream(self) -> bool:
        """True if the model, or the account, cannot have its replies as a stream."""
        return _NO_STREAM.search(self.message) is not None

    @property
    def wants_stream(self) -> bool:
        """True if the model gives its replies only as a stream."""
        return _ONLY_STREAM.search(self.message) is not None

    @property
    def wants_alternate_roles(self) -> bool:
        """True if the model takes only turns that alternate."""
        return _ALTERNATE.search(self.message) is not None

    @property
    def named_parameters(self) -> list[str]:
        """The parameters of the request that the provider names as not supported, most likely first."""
        named = [self.param] if self.param else []
        return named + [found["name"] for wording in _NAMED if (found := wording.search(self.message))]

    @property
    def out_of_credit(self) -> bool:
        """True if the account's credit, or its share of the day, is used up."""
        # Google's daily quota comes back at midnight, which is nothing to wait for.
        daily = "PerDay" in json.dumps(self.details)
        said = _QUOTA.search(self.message) is not None and (self.wait_s is None or self.wait_s > _LONG_WAIT_S)
        return bool(self.codes & _QUOTA_CODES) or daily or said

    @property
    def wait_s(self) -> float | None:
        """Seconds to wait, from Google's details or from the provider's words; None where they say nothing."""
        for detail in self.details:
            delay = _DELAY.fullmatch(str(detail.get("retryDelay", "")))
            if delay:
                return float(delay[1])
        found = _WAIT.search(self.message)
        return duration_s(found["wait"]) if found else None


def named_window_tokens(message: str) -> int | None:
    """Read how large the window is out of a provider's refusal.

    Args:
        message: What the provider said.

    Returns:
        The tokens, or None where it does not say.
    """
    found = next((m for wording in _WINDOW if (m := wording.search(message))), None)
    tokens = _int(found["tokens"]) if found else 0
    return tokens if tokens >= _NARROWEST_TOKENS else None


def duration_s(text: str) -> float | None:
    """Read a duration such as `2s`, `6m0s`, `120ms` or `1 minute`.

    Args:
        text: The duration.

    Returns:
        Seconds, or None where it is none.
    """
    units = {"ms": 0.001, "mi": 60.0, "s": 1.0, "m": 60.0, "h": 3600.0}
    total, found = 0.0, False
    for amount, unit in _DURATION.findall(text):
        name = unit.lower()
        key = "ms" if name == "ms" or name.startswith("milli") else name[0]
        total += float(amount) * units[key]
        found = True
    return total if found else None


def _int(digits: str) -> int:
    return int(re.sub(r"\D", "", digits))


def _error(body: bytes) -> tuple[Mapping[str, Any], set[str]]:
    """Return the innermost object that says what went wrong, and the codes of all around it."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": _plain(body[: 4 * _DETAIL_CHARS].decode("utf-8", "replace"))}, set()
    codes: set[str] = set()
    for _ in range(4):  # errors are wrapped in errors by every gateway on the way
        codes |= _codes(found)
        inner = next(_inner(found), None)
        if inner is None:
            break
        found = inner
    return (found, codes | _codes(found)) if isinstance(found, dict) else ({"message": str(found)}, codes)


def _codes(found: object) -> set[str]:
    if not isinstance(found, dict):
        return set()
    return {str(found[key]) for key in ("code", "type", "status") if found.get(key) is not None}


def _inner(found: object) -> Iterator[object]:
    if isinstance(found, list) and found:
        yield found[0]
    if not isinstance(found, dict):
        return
    if found.get("error"):
        yield found["error"]
    if isinstance(found.get("errors"), list) and found["errors"]:
        yield found["errors"][0]
    if isinstance(found.get("base_resp"), dict):  # MiniMax
        yield found["base_resp"]
    cause = found.get("cause")
    if isinstance(cause, str) and cause.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            yield json.loads(cause)
    choices = found.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict) and choices[0].get("error"):
        yield choices[0]["error"]
    metadata = found.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, str) and raw.strip():  # OpenRouter: what the provider behind it said
        try:
            yield json.loads(raw)
        except (ValueError, RecursionError):
            yield {"message": raw}


def _words(error: Mapping[str, Any]) -> str:
    for key in _WORDS:
        value = error.get(key)
        if isinstance(value, str) and value.lstrip().startswith("{"):  # Mistral: JSON within the words
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, dict) and value:
            return _words(value)
        if isinstance(value, list) and value:
            return "; ".join(_located(part) for part in value[:3])
    return ""


def _located(part: object) -> str:
    """Write a validation error in the manner of FastAPI with the field that it is about."""
    if not isinstance(part, dict):
        return str(part)
    place = part.get("loc")
    field = f"`{place[-1]}`: " if isinstance(place, list) and place else ""
    return f"{field}{part.get('msg', part)}"


def _plain(text: str) -> str:
    """Return the words of a web page, or the text as it is."""
    return " ".join(_TAG.sub(" ", text).split()) if "<" in text and ">" in text else text
