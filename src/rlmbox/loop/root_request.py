"""A request to a session's own model, recorded as an effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from rlmbox.budget.ledger import Account
from rlmbox.events import EffectEnded, Ended, ModelReplied, ModelRequested
from rlmbox.loop.bridge import ended_with, recorded_error
from rlmbox.loop.long_texts import off_loop
from rlmbox.loop.scope import Scope
from rlmbox.models.base import Model
from rlmbox.record.journal import Effect
from rlmbox.reply.parse import ParsedReply
from rlmbox.reply.reading_form import form_of, reply_of
from rlmbox.types import Completion, Message


@dataclass(frozen=True, slots=True)
class RootReply:
    """A reply of a session's own model.

    Attributes:
        completion: The reply.
        cost_usd: Its cost, including every attempt that was charged.
        parsed: The parsed reply; empty if it was not parsed.
    """

    completion: Completion
    cost_usd: Decimal
    parsed: ParsedReply


def _unread(_: str) -> ParsedReply:
    return ParsedReply()


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
    read: Callable[[str], ParsedReply] = _unread,
) -> RootReply:
    """Ask a session's model, or take the reply from the journal.

    Args:
        scope: The session.
        model: The model.
        messages: The conversation.
        key: The request's key.
        turn: The turn.
        added: The messages added to the conversation since the session's previous request.
        account: The account that is charged.
        max_output_tokens: Maximum length of the reply.
        read: Parses the reply, if the record does not have it parsed.

    Raises:
        ModelError: The provider failed.
        LimitExceeded: The limits cannot pay for it.
    """
    tale = scope.tells("THOUGHT", model.name, key)

    async def ask() -> RootReply:
        reply = await scope.run.calls.complete(
            model,
            messages,
            account=account,
            max_output_tokens=max_output_tokens,
            tell=tale.tell,
            reuse=False,
            streams=scope.run.streams,
        )
        return RootReply(reply.completion, reply.cost_usd, await off_loop(read, reply.completion.text))

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
            ModelReplied,
            "THOUGHT",
            key=key,
            turn=turn,
            completion=reply.completion,
            cost_usd=reply.cost_usd,
            reading=form_of(reply.parsed),
        ),
        failed=failed,
        load=partial(_loaded, read),
    )
    return await scope.run.journal.once(effect, ask)


def _loaded(read: Callable[[str], ParsedReply], event: EffectEnded) -> RootReply:
    if not isinstance(event, ModelReplied) or event.completion is None:
        raise recorded_error(event)
    parsed = reply_of(event.reading) if event.reading else read(event.completion.text)
    return RootReply(event.completion, event.cost_usd, parsed)
