"""What went wrong at a provider, as a `ModelError` of one line.

Imports pydantic-ai, so it is itself imported late, by `providers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_ai import exceptions

from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.models.retries import Call
from rlmbox.models.target import Target
from rlmbox.models.transport import ReplyTooLarge

_DETAIL_CHARS = 300


def explain(error: Exception, target: Target, call: Call) -> ModelError:
    """Gives the `ModelError` for whatever a request raised.

    Args:
        error: What was raised.
        target: The model that was asked.
        call: What the transport saw.
    """
    if isinstance(error, exceptions.ModelHTTPError):
        return _refused(error, target, call)
    if any(isinstance(cause, ReplyTooLarge) for cause in _causes(error)):
        return _model_error(target, "the reply is longer than 64 MB; ask for less", possibly_billed=True)
    if isinstance(error, exceptions.ModelConnectionError):
        return _broken_connection(error, target, call)
    # The provider answered with status 200, and the answer makes no sense.
    return _model_error(
        target,
        f"{target.shown_url} sent a reply that cannot be read ({_one_line(error, target)}); "
        "try again, and check that the base URL is the API's",
        retryable=True,
        possibly_billed=call.sent,
    )


def timed_out(target: Target, call: Call, timeout_s: float) -> ModelError:
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


def _refused(error: exceptions.ModelHTTPError, target: Target, call: Call) -> ModelError:
    status = error.status_code
    detail = _detail(error, target)
    if isinstance(error, exceptions.ModelContextWindowExceededError):
        return ContextLimitExceeded(
            f"{target.name}: the request is longer than the model's window (HTTP {status}{detail}); "
            "send less text, or name a model with a larger window",
            status=status,
        )
    if isinstance(error, exceptions.ModelAuthenticationError):
        # What the server says is left out: it may repeat a part of the key.
        return _model_error(target, f"the key was refused (HTTP {status}); {_check_key(target)}", status=status)
    if isinstance(error, exceptions.ModelNotFoundError):
        guess = f"did you mean {error.suggested_model_id}? " if error.suggested_model_id else ""
        return _model_error(
            target,
            f"{target.shown_url} knows no model {target.model!r} (HTTP {status}{detail}); "
            f"{guess}check the model's name and the base URL",
            status=status,
        )
    if isinstance(error, exceptions.ModelQuotaExceededError):
        return _model_error(
            target,
            f"the account's quota or credit is used up (HTTP {status}{detail}); check its billing",
            status=status,
        )
    tries = f" after {call.attempts} attempts" if call.attempts > 1 else ""
    if status == 429:
        return _model_error(
            target,
            f"too many requests{tries} (HTTP 429{detail}); try again later or lower the concurrency",
            status=status,
            retryable=True,
        )
    if status >= 500 or status in (408, 409):
        return _model_error(
            target,
            f"the provider failed{tries} (HTTP {status}{detail}); try again later",
            status=status,
            retryable=True,
        )
    return _model_error(
        target, f"the request was refused (HTTP {status}{detail}); check the model's name", status=status
    )


def _broken_connection(error: exceptions.ModelConnectionError, target: Target, call: Call) -> ModelError:
    if not call.sent:
        tries = f" after {call.attempts} attempts" if call.attempts > 1 else ""
        return _model_error(
            target,
            f"no connection to {target.shown_url}{tries} ({_root_cause(error, target)}); "
            "check the address and that the server runs",
            retryable=True,
        )
    return _model_error(
        target,
        f"the connection to {target.shown_url} broke before the reply was complete ({_root_cause(error, target)}); "
        "try again",
        retryable=True,
        possibly_billed=True,
    )


def _model_error(
    target: Target,
    text: str,
    *,
    status: int | None = None,
    retryable: bool = False,
    possibly_billed: bool = False,
) -> ModelError:
    return ModelError(f"{target.name}: {text}", retryable=retryable, status=status, possibly_billed=possibly_billed)


def _check_key(target: Target) -> str:
    if not target.key_from:
        return f"the server wants one: set {' or '.join(target.key_variables)}, or pass api_key"
    return f"check {target.key_from}"


def _detail(error: exceptions.ModelHTTPError, target: Target) -> str:
    """Gives the server's own words, where it has some: `, "You exceeded …"`."""
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    message = body.get("message") if isinstance(body, dict) else body
    if not isinstance(message, str) or not message.strip():
        return ""
    return f', "{_one_line(message, target)}"'


def _root_cause(error: Exception, target: Target) -> str:
    last = list(_causes(error))[-1]
    return _one_line(str(last) or type(last).__name__, target)


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
