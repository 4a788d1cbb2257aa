"""What went wrong at a provider, as a `ModelError` of one line.

Imports httpx2, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.models.target import Target
from rlmbox.models.transport import Exchange, Refused, ReplyTooLarge

_DETAIL_CHARS = 300
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "request_too_large"})
# How those word it that send no code for it: Anthropic, Google, vLLM, Groq, llama.cpp and others.
_TOO_LONG = re.compile(
    r"maximum context length|reduce the length of the messages|prompt is too long|input is too long"
    r"|exceeds? the (?:maximum number of tokens|available context size|context window|context length)"
    r"|exceed context limit",
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
_QUOTA = re.compile(r"credit balance is too low|insufficient (?:balance|credits)|enable billing", re.IGNORECASE)
_DELAY = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")


def explain(error: Exception, target: Target, call: Exchange) -> ModelError:
    """Gives the `ModelError` for whatever a request raised.

    Args:
        error: What was raised.
        target: The model that was asked.
        call: What the transport saw.
    """
    if call.refused is not None:
        return _refused(call.refused, target)
    causes = list(_causes(error))
    if any(isinstance(cause, ReplyTooLarge) for cause in causes):
        return _model_error(
            target, "the reply is longer than 16 MB; ask for less", retryable=True, possibly_billed=True
        )
    if not any(isinstance(cause, httpx2.TransportError) for cause in causes):
        # The provider answered with status 200, and the answer makes no sense.
        return _model_error(
            target,
            f"{target.shown_url} sent a reply that cannot be read ({_one_line(error, target)}); "
            "try again, and check that the base URL is the API's",
            retryable=True,
            possibly_billed=call.sent,
        )
    if not call.sent:
        return _model_error(
            target,
            f"no connection to {target.shown_url} ({_root_cause(causes, target)}); "
            "check the address and that the server runs",
            retryable=True,
        )
    return _model_error(
        target,
        f"the connection to {target.shown_url} broke before the reply was complete ({_root_cause(causes, target)}); "
        "try again",
        retryable=True,
        possibly_billed=True,
    )


def timed_out(target: Target, call: Exchange, timeout_s: float) -> ModelError:
    """Gives the error for a request that was given up.

    Args:
        target: The model that was asked.
        call: What the transport saw.
        timeout_s: The limit, in seconds.
    """
    return _model_error(
        target,
        f"no reply from {target.shown_url} within {timeout_s:g} s; try again or allow a longer timeout",
        retryable=True,
        possibly_billed=call.sent,
    )


def _refused(error: Refused, target: Target) -> ModelError:
    status, said = error.status, _Complaint(error.body)
    detail = f', "{_one_line(said.message, target)}"' if said.message.strip() else ""
    if status in (401, 403):
        # What the server says is left out: it may repeat a part of the key.
        return _model_error(target, f"the key was refused (HTTP {status}); {_check_key(target)}", status=status)
    if said.too_long:
        return ContextLimitExceeded(
            f"{target.name}: the request is longer than the model's window (HTTP {status}{detail}); "
            "send less text, or name a model with a larger window",
            status=status,
        )
    if status == 402 or said.out_of_credit:
        return _model_error(
            target,
            f"the account's quota or credit is used up (HTTP {status}{detail}); check its billing",
            status=402,
        )
    if status == 429 or status >= 500 or status in (408, 409):
        what = "too many requests" if status == 429 else "the provider failed"
        remedy = "try again later or lower the concurrency" if status == 429 else "try again later"
        return _model_error(
            target,
            f"{what} (HTTP {status}{detail}); {remedy}",
            status=status,
            retryable=error.headers.get("x-should-retry", "").lower() != "false",
            retry_after_s=_retry_after_s(error.headers, said),
        )
    return _model_error(target, _rejected(target, status, said, detail), status=status)


def _rejected(target: Target, status: int, said: _Complaint, detail: str) -> str:
    """Says why a request was refused that will be refused again."""
    if status == 404:
        return (
            f"{target.shown_url} knows no model {target.model!r} (HTTP {status}{detail}); "
            "check the model's name and the base URL"
        )
    if "content_filter" in said.codes:
        return f"the provider's content filter refused the request (HTTP {status}{detail}); ask in other words"
    if 300 <= status < 400:
        return f"{target.shown_url} sends elsewhere (HTTP {status}); check the base URL"
    return f"the request was refused (HTTP {status}{detail}); check the model's name"


class _Complaint:
    """What a provider says in the body of an error: its words, and the codes beside them."""

    def __init__(self, body: bytes) -> None:
        error = _error(body)
        message = error.get("message") or error.get("detail")
        self.message = message if isinstance(message, str) else ""
        self.codes = {str(error[key]) for key in ("code", "type", "status") if error.get(key) is not None}
        details = error.get("details")
        self.details = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []

    @property
    def too_long(self) -> bool:
        return bool(self.codes & _TOO_LONG_CODES) or _TOO_LONG.search(self.message) is not None

    @property
    def out_of_credit(self) -> bool:
        # Google's daily quota comes back at midnight, which is nothing to wait for.
        daily = "PerDay" in json.dumps(self.details)
        return bool(self.codes & _QUOTA_CODES) or daily or _QUOTA.search(self.message) is not None


def _error(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": body[: 4 * _DETAIL_CHARS].decode("utf-8", "replace")}
    if isinstance(found, list) and found:
        found = found[0]
    if isinstance(found, dict) and "error" in found:
        found = found["error"]
    return found if isinstance(found, dict) else {"message": str(found)}


def _retry_after_s(headers: httpx2.Headers, said: _Complaint) -> float | None:
    """Reads how long to wait from the headers, in milliseconds, seconds or as a date, or from Google's details."""
    for name, factor in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = _number(headers.get(name, ""))
        if value is not None:
            return value * factor
    try:
        return max(parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time(), 0.0)
    except (KeyError, ValueError, OverflowError):
        pass
    for detail in said.details:
        delay = _DELAY.fullmatch(str(detail.get("retryDelay", "")))
        if delay:
            return float(delay[1])
    return None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _model_error(
    target: Target,
    text: str,
    *,
    status: int | None = None,
    retryable: bool = False,
    possibly_billed: bool = False,
    retry_after_s: float | None = None,
) -> ModelError:
    return ModelError(
        f"{target.name}: {text}",
        retryable=retryable,
        status=status,
        possibly_billed=possibly_billed,
        retry_after_s=retry_after_s,
    )


def _check_key(target: Target) -> str:
    if not target.key_from:
        return f"the server wants one: set {' or '.join(target.key_variables)}, or pass api_key"
    return f"check {target.key_from}"


def _root_cause(causes: Sequence[BaseException], target: Target) -> str:
    return _one_line(str(causes[-1]) or type(causes[-1]).__name__, target)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _one_line(said: object, target: Target) -> str:
    # The key goes before the cut, so that no half of it is left.
    line = " ".join(target.hide_key(str(said)).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= _DETAIL_CHARS else f"{line[:_DETAIL_CHARS]}…"
