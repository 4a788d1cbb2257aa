"""Failures of requests to a provider, each as a `ModelError` with a one-line message.

Imports httpx2, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import httpx2

from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.models import wordings
from rlmbox.models.call import Call, Refused, ReplyTooLarge
from rlmbox.models.complaints import Complaint
from rlmbox.models.http11 import Headers
from rlmbox.models.reply_fields import UnreadableReply
from rlmbox.models.target import Target
from rlmbox.models.waits import reset_in_headers_s, wait_in_headers_s

_DETAIL_CHARS = 300
_LIKE_A_KEY = re.compile(r"(?<![\w-])(?=[\w.…-]*\d)[\w.…-]{4,}|\b(?:sk|pk|key|gsk|xai)[-_][\w.…-]*", re.IGNORECASE)
_MASKED_KEY = re.compile(r"\S*\*{3,}\S*")
_FLAGGED = re.compile(r"flagged|moderation|content.?(?:policy|filter|safety)|safety|harmful|违规|敏感", re.IGNORECASE)
_NO_KEY = re.compile(r"\bapi.{0,10}key\b|unauthori[sz]ed|authenticat|login fail|鉴权|身份验证", re.IGNORECASE)
_PASSING_STATUSES = frozenset({408, 409, 424, 425, 498})  # temporary; 498: no capacity at Groq


def explain(error: Exception, target: Target, call: Call, *, timeout_s: float, has_answered: bool) -> ModelError:
    """Return the `ModelError` for an exception during a request.

    Args:
        error: The exception.
        target: The model that was asked.
        call: What the transport recorded.
        timeout_s: The allowed wait for the next bytes, in seconds.
        has_answered: Whether the address has given a good reply before.
    """
    if call.refused is not None:
        return refused(call.refused, target)
    if isinstance(error, UnreadableReply) and call.body is not None:
        return _unreadable(error, target, call.body, call.headers, has_answered=has_answered)
    causes = list(_causes(error))
    sent = call.exchange.sent
    if any(isinstance(cause, ReplyTooLarge) for cause in causes):
        text = "the reply is longer than 16 MB; ask for less"
        return _model_error(target, text, retryable=True, possibly_billed=True)
    if any(isinstance(cause, httpx2.ReadTimeout | httpx2.WriteTimeout) for cause in causes):
        return timed_out(target, call, timeout_s)
    if not any(isinstance(cause, httpx2.TransportError) for cause in causes):
        text = f"the request to {target.shown_url} could not be made ({_root_cause(causes, target)})"
        return _model_error(target, text, retryable=False, possibly_billed=sent)
    if not sent:
        text = (
            f"no connection to {target.shown_url} ({_root_cause(causes, target)}); "
            f"check the address and that the server runs{target.start_hint}"
        )
        return _model_error(target, text, retryable=True)
    return _model_error(
        target,
        f"the connection to {target.shown_url} broke before the reply was complete ({_root_cause(causes, target)}); "
        "try again",
        retryable=True,
        possibly_billed=True,
    )


def timed_out(target: Target, call: Call, timeout_s: float) -> ModelError:
    """Return the error for a request that timed out.

    Args:
        target: The model that was asked.
        call: What the transport recorded.
        timeout_s: The limit, in seconds.
    """
    call.exchange.timed_out = True
    return _model_error(
        target,
        f"no reply from {target.shown_url} within {timeout_s:g} s; try again or allow a longer timeout",
        retryable=True,
        possibly_billed=call.exchange.sent,
    )


def refused(error: Refused, target: Target) -> ModelError:
    """Return the error for a refusal.

    Args:
        error: The refusal, as received.
        target: The model that was asked.
    """
    said = Complaint(error.body)
    status = 429 if error.status == 400 and said.is_throttled else error.status  # AWS
    detail = f', "{_one_line(said.message, target)}"' if said.message.strip() else ""
    of_key = status == 400 and wordings.WRONG_KEY.search(said.message) is not None  # Google
    if status == 401 or of_key or (status == 403 and not said.message.strip()):
        # The message may repeat a part of the key, so anything that may be one is removed.
        said_of_it = _LIKE_A_KEY.sub("<key>", detail)
        return _model_error(
            target, f"the key was refused (HTTP {status}{said_of_it}); {_check_key(target)}", status=status
        )
    if status == 403 and not said.out_of_credit:
        return _model_error(target, _forbidden(target, said, detail), status=status)
    if said.exceeds_rate and status in (400, 413, 429):
        return _too_large_for_rate(target, status, said, detail)
    if said.names_length or (said.too_long and status != 429):  # "too many tokens" per minute is something else
        text = (
            f"the request is longer than the model's window (HTTP {status}{detail}); "
            "send less text, or name a model with a larger window"
        )
        return ContextLimitExceeded(f"{target.name}: {text}", status=status, window_tokens=said.window_tokens)
    if status == 402 or (said.out_of_credit and status < 500):
        text = f"the account's quota or credit is used up (HTTP {status}{detail}); check its billing"
        return _model_error(target, text, status=402)
    if status >= 500 and wordings.LASTING.search(said.message):
        return _model_error(target, f"the server cannot run the model (HTTP {status}{detail})", status=status)
    if status == 429 or status >= 500 or status in _PASSING_STATUSES:
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


def _too_large_for_rate(target: Target, status: int, said: Complaint, detail: str) -> ModelError:
    """Return the error for a request that alone exceeds the account's tokens per minute.

    Waiting does not help, but sending less does, so it is equivalent to a small window.
    """
    text = (
        f"the request is larger than the account may use in a minute (HTTP {status}{detail}); "
        "send less text, lower max_output_tokens, or raise the account's limit"
    )
    return ContextLimitExceeded(f"{target.name}: {text}", status=status, window_tokens=said.rate_tokens)


def _forbidden(target: Target, said: Complaint, detail: str) -> str:
    """Return the reason for a refusal with 403, which may concern the key, the region or the content."""
    if _FLAGGED.search(said.message):
        return f"the provider's content filter refused the request (HTTP 403{detail}); ask in other words"
    return f"the key was refused, or what it asks for (HTTP 403{detail}); {_check_key(target)} and its rights"


def _rejected(target: Target, status: int, said: Complaint, detail: str) -> str:
    """Return the reason for a refusal that a retry would not change."""
    if status == 404 and said.message.strip() and wordings.NO_POLICY.search(said.message):
        return f"the provider has nobody who answers this request (HTTP {status}{detail}); check the account's settings"
    if status == 404:
        return (
            f"{target.shown_url} knows no model {target.model!r} (HTTP {status}{detail}); "
            f"check the model's name and the base URL{target.missing_hint}"
        )
    if "content_filter" in said.codes:
        return f"the provider's content filter refused the request (HTTP {status}{detail}); ask in other words"
    if 300 <= status < 400:
        return f"{target.shown_url} sends elsewhere (HTTP {status}); check the base URL"
    if status == 413:
        return f"the request is larger than the server or a proxy takes (HTTP {status}{detail}); send less text"
    if status == 405:
        return f"{target.shown_url} takes no such request (HTTP {status}{detail}); check that the base URL is the API's"
    remedy = "" if detail else f"; {target.shown_url} does not say why"
    return f"the request was refused (HTTP {status}{detail}){remedy}"


def _unreadable(
    error: UnreadableReply, target: Target, body: bytes, headers: Headers, *, has_answered: bool
) -> ModelError:
    """Return the error for an unreadable reply with status 200."""
    said = Complaint(error.error or body)
    if error.is_error:
        return refused(Refused(_status_of(said), httpx2.Headers(list(headers)), error.error or body), target)
    words = _one_line(said.message or str(error), target)
    if error.is_page and not has_answered:
        # If an API has never answered, the address probably belongs to something else.
        passing = said.may_pass
        text = f'{target.shown_url} sent a web page and not a reply ("{words}"); check that the base URL is the API\'s'
        return _model_error(target, text, retryable=passing)
    shown = f'"{words}"' if error.is_page else str(error)
    return _model_error(
        target,
        f"{target.shown_url} sent a reply that cannot be read ({_one_line(shown, target)}); "
        "try again, and check that the base URL is the API's",
        retryable=True,
        possibly_billed=True,
    )


def _status_of(said: Complaint) -> int:
    """Return the status that an error received with status 200 should have had."""
    if said.status is not None:
        return said.status
    if said.too_long:
        return 400
    if said.speaks_of_rate:
        return 429
    if _NO_KEY.search(said.message):
        return 401
    return 503 if said.may_pass else 400


def _retry_after_s(headers: httpx2.Headers, said: Complaint) -> float | None:
    """Return the time to wait: from a header for it, from the provider's message, or until a limit is reset."""
    asked_s = wait_in_headers_s(headers)
    if asked_s is None:
        asked_s = said.wait_s
    return asked_s if asked_s is not None else reset_in_headers_s(headers)


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
    # The key is removed before truncation, so that no part of it is left; so is a key masked by the server.
    line = _MASKED_KEY.sub("<key>", " ".join(target.hide_key(str(said)).split()))
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= _DETAIL_CHARS else f"{line[:_DETAIL_CHARS]}…"
