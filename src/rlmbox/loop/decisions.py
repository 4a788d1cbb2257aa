"""Decisions on proposals, recorded before any of their code runs, and read back when a run is resumed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rlmbox import events
from rlmbox.loop.approval import Approval, Decision, Replace
from rlmbox.loop.bridge import ended_with, recorded_error
from rlmbox.loop.scope import Scope
from rlmbox.loop.task import Proposal, Task
from rlmbox.record.journal import Effect
from rlmbox.record.keys import key_of


class Decisions:
    """The decisions of an approver on the proposals of a session's model.

    Args:
        scope: The session.
        approval: Decides on proposals; None lets everything run.
    """

    def __init__(self, scope: Scope, approval: Approval | None) -> None:
        self._scope = scope
        self._approval = approval

    async def approve(self, task: Task, proposal: Proposal) -> Proposal:
        """Return a proposal as `approve=` decided on it, now or in the record.

        Args:
            task: The question.
            proposal: What the model would do.
        """
        past = self._scope.run.journal.past
        recorded = past.end(_approval_key(self._scope, task, proposal)) is not None
        # Earlier versions asked about cells only, and not about code in a final tag.
        is_over = past.peek(self._scope.session_id, events.TurnFinished) is not None
        if not recorded and (is_over or self._approval is None or not self._approval.concerns(proposal)):
            return proposal
        effect = _approval_effect(self._scope, task, proposal)
        decide = (self._approval or Approval(lambda _: True)).decide
        return await self._decided(effect, proposal, lambda: decide(proposal))

    async def as_changed(self, task: Task, proposal: Proposal) -> Proposal:
        """Return a proposal as changed by the caller who steps through the session, and record that.

        Args:
            task: The question.
            proposal: The model's proposal, with the caller's changes.
        """

        async def decided() -> Decision:
            if proposal.rejected is not None:
                return proposal.rejected
            return Replace(proposal.code_block) if proposal.is_edited else True

        if proposal.cells or proposal.is_edited or proposal.rejected is not None:
            await self._decided(_approval_effect(self._scope, task, proposal), proposal, decided)
        return proposal

    async def _decided(
        self, effect: Effect[Decision], proposal: Proposal, decide: Callable[[], Awaitable[Decision]]
    ) -> Proposal:
        decision = await self._scope.run.journal.once(effect, decide)
        if isinstance(decision, Replace):
            proposal.override_code(decision.code)
        elif decision is not True:
            proposal.reject(decision or "")
        return proposal


def _approval_key(scope: Scope, task: Task, proposal: Proposal) -> str:
    return key_of(scope.session_id, task.number, proposal.turn, "approval")


def _approval_effect(scope: Scope, task: Task, proposal: Proposal) -> Effect[Decision]:
    key = _approval_key(scope, task, proposal)

    def event(kind: Any, **fields: Any) -> Any:
        return scope.event(kind, "THOUGHT", key=key, turn=proposal.turn, **fields)

    def done(decision: Decision) -> Any:
        if isinstance(decision, Replace):
            return event(events.ApprovalGiven, decision="replace", code=decision.code)
        reason = decision if isinstance(decision, str) else ""
        return event(events.ApprovalGiven, decision="run" if decision is True else "reject", reason=reason)

    def load(ended: events.EffectEnded) -> Decision:
        if not isinstance(ended, events.ApprovalGiven) or ended.ended != "done":
            raise recorded_error(ended)
        if ended.decision == "replace":
            return Replace(ended.code)
        return True if ended.decision == "run" else ended.reason

    return Effect(
        began=event(events.ApprovalAsked, code=proposal.proposed_code),
        done=done,
        failed=lambda error, ended: event(events.ApprovalGiven, **ended_with(error, ended)),
        load=load,
    )
