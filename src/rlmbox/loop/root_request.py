"""A request to a session's own model, recorded as an effect."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rlmbox.budget.ledger import Account
from rlmbox.events import EffectEnded, Ended, ModelReplied, ModelRequested
from rlmbox.loop.bridge import ended_with, recorded_error
from rlmbox.loop.scope import Scope
from rlmbox.models.base import Model
from rlmbox.record.journal import Effect
from rlmbox.types import Completion, Message


async def ask_model(
    scope: Scope,
    model: Model,
    messages: Sequence[Message],
    *,
    key: str,
    turn: int,
    added: Sequence[Message],
    account: Account,
    max_output_tokens: int,
) -> tuple[Completion, Decimal]:
    """Ask a session's model, or take the reply that the journal has.

    Args:
        scope: The session.
        model: The model.
        messages: The conversation.
        key: The request's key.
        turn: The turn.
        added: The messages that the conversation has more than in the session's request before.
        account: Who asks.
        max_output_tokens: Longest reply.

    Returns:
        The reply, and what it cost in US dollars with every attempt that was charged for.

    Raises:
        ModelError: The provider failed.
        LimitExceeded: The limits cannot pay for it.
    """
    tale = scope.tells("THOUGHT", model.name, key)

    async def ask() -> tuple[Completion, Decimal]:
        reply = await scope.run.calls.complete(
            model,
            messages,
            account=account,
            max_output_tokens=max_output_tokens,
            tell=tale.tell,
            reuse=False,
            streams=scope.run.streams,
        )
        return reply.completion, reply.cost_usd

    def failed(error: BaseException, ended: Ended) -> EffectEnded:
        ending: EffectEnded = scope.event(
            ModelReplied, "THOUGHT", key=key, turn=turn, cost_usd=tale.cost_usd, **ended_with(error, ended)
        )
        return ending

    effect = Effect(
        began=scope.event(
            ModelRequested,
            "THOUGHT",
            key=key,
            turn=turn,
            model=model.name,
            messages=len(messages),
            added=tuple(added),
            max_output_tokens=max_output_tokens,
            temperature=getattr(model, "temperature", None),
        ),
        done=lambda reply: scope.event(
            ModelReplied, "THOUGHT", key=key, turn=turn, completion=reply[0], cost_usd=reply[1]
        ),
        failed=failed,
        load=_loaded,
    )
    return await scope.run.journal.once(effect, ask)


def _loaded(event: EffectEnded) -> tuple[Completion, Decimal]:
    if not isinstance(event, ModelReplied) or event.completion is None:
        raise recorded_error(event)
    return event.completion, event.cost_usd
