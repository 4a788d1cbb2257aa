"""Fitting a request into its model's window, and shortening it further if the provider rejects it."""

from __future__ import annotations

from rlmbox.budget.budget import MIN_OUTPUT_TOKENS
from rlmbox.budget.tokens import Conversation, least_tokens
from rlmbox.errors import ContextLimitExceeded
from rlmbox.events import InputTruncated
from rlmbox.models.complaints import named_window_tokens
from rlmbox.requests.request import Request, RequestState
from rlmbox.requests.state import ModelState
from rlmbox.requests.window import fit
from rlmbox.types import Completion

_MOST_CUTS = 3  # how often a request is shortened further because the provider still finds it too long
_NOTICEABLE_TOKENS = 400  # counts of a shorter input are too imprecise
_READ_SHARE = 0.3  # of an input's minimum count: a lower count means that the server dropped something


def fit_request(request: Request, shared: ModelState, state: RequestState, *, truncate: bool) -> None:
    """Fit a request into the model's window.

    The reply is shortened first, down to a quarter of the window. The messages are truncated only if they are certainly
    too long, or as long as ones that were refused before: a refusal costs nothing, needless truncation loses text.

    Args:
        request: The request.
        shared: State of its model.
        state: Receives what is to be sent.
        truncate: Whether messages may be truncated.

    Raises:
        ContextLimitExceeded: They are certainly too long, and may not be truncated.
    """
    window = shared.window_tokens(request.model)
    wanted = min(request.max_output_tokens, shared.output_cap_tokens(request.model) or request.max_output_tokens)
    state.messages = Conversation.of(request.messages)
    state.likely_tokens = likely = shared.tokens.likely(state.messages)
    state.max_output_tokens = min(wanted, max(window - likely, window // 4, 1))
    room = window - state.max_output_tokens
    refused = shared.refused_tokens is not None and likely >= shared.refused_tokens
    if likely <= room or not (refused or least_tokens(state.messages) > room):
        return
    if not truncate:
        raise ContextLimitExceeded(
            f"{request.model.name}: the request has some {likely:,} tokens and its window {window:,}; "
            "send less text, or name a model with a larger window"
        )
    _cut(request, shared, state, room)


def cut_further(
    request: Request, shared: ModelState, state: RequestState, error: ContextLimitExceeded, *, truncate: bool
) -> bool:
    """Shorten a request that the provider found too long: to the known window, or otherwise to half.

    Args:
        request: The request.
        shared: State of its model.
        state: Its progress.
        error: The refusal.
        truncate: Whether messages may be truncated.

    Returns:
        Whether it is shorter now, so that sending it again makes sense.
    """
    state.cuts += 1
    if not truncate or state.cuts > _MOST_CUTS:
        return False
    named = error.window_tokens or named_window_tokens(str(error))
    narrower = named is not None and named < shared.window_tokens(request.model)
    if narrower:
        shared.learned_window_tokens = named
    elif named is not None and state.cuts > 1 and error.status in (413, 429):
        return False  # it is within the account's tokens per minute, and still refused
    else:
        shared.refused_tokens = min(shared.refused_tokens or state.likely_tokens, state.likely_tokens)
    before, before_output = state.likely_tokens, state.max_output_tokens
    if narrower or state.cuts == 1:
        fit_request(request, shared, state, truncate=truncate)
    shorter_reply = narrower and state.max_output_tokens < before_output
    if state.likely_tokens >= before and not shorter_reply:
        output = max(state.max_output_tokens // 2, MIN_OUTPUT_TOKENS)
        _cut(request, shared, state, before // 2)
        state.max_output_tokens = output
    return True


def unread_tokens(request: Request, state: RequestState, completion: Completion) -> int:
    """Return the number of input tokens that the server dropped, and report it.

    Some servers silently truncate what exceeds their window; their token count reveals it.

    Args:
        request: The request.
        state: What was sent.
        completion: The reply.
    """
    counted = completion.usage.input_tokens
    if was_read(state, counted) or not completion.counted or least_tokens(state.messages) < _NOTICEABLE_TOKENS:
        return 0
    request.tell(InputTruncated, before_tokens=state.likely_tokens, after_tokens=counted)
    return state.likely_tokens - counted


def was_read(state: RequestState, counted_tokens: int) -> bool:
    """Return True if a token count is plausible for the whole input.

    Args:
        state: What was sent.
        counted_tokens: The provider's count.
    """
    return counted_tokens >= _READ_SHARE * least_tokens(state.messages)


def _cut(request: Request, shared: ModelState, state: RequestState, room: int) -> None:
    """Truncate what is sent to `room` tokens, and report it."""
    before = state.likely_tokens
    state.messages = Conversation(fit(state.messages, room, shared.tokens.likely_text))
    state.likely_tokens = shared.tokens.likely(state.messages)
    request.tell(InputTruncated, before_tokens=before, after_tokens=state.likely_tokens)
