"""The recorder of one session's events, with the state that each carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlmbox import events
from rlmbox.budget.limits import Limits
from rlmbox.events import State, to_json
from rlmbox.loop.scope import Scope


class SessionRecorder:
    """Records the events of a session.

    Args:
        scope: The session.

    Attributes:
        scope: The session.
        state: The stage of the turn that the session is in.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.state: State = "INIT"

    def note(self, kind: Any, state: State | None = None, **fields: Any) -> Any:
        """Record an event and return it, as the record has it.

        Args:
            kind: The event's class.
            state: The state that the session enters with it; None to keep the current one.
            fields: The event's fields besides those of the scope.
        """
        self.state = state or self.state
        return self.scope.note(kind, self.state, **fields)

    async def tell(self, kind: Any, state: State | None = None, **fields: Any) -> Any:
        """Record an event whose texts may be long, and return it as the record has it; see `note`."""
        self.state = state or self.state
        return await self.scope.tell(kind, self.state, **fields)

    async def append(self, kind: Any, state: State, **fields: Any) -> Any:
        """Record an event and return it, as the record has it, when it is durable; see `note`."""
        self.state = state
        return await self.scope.append(kind, state, **fields)

    def next_recorded(self, kind: type[events.Event]) -> events.Event | None:
        """Return the session's next recorded event of a kind that was not replayed yet.

        Args:
            kind: The event's class.
        """
        return self.scope.run.journal.past.peek(self.scope.session_id, kind)

    @property
    def failure(self) -> Exception | None:
        """How, by the record, the current question failed, so that nothing more happens for it; None if it did not."""
        past, session_id = self.scope.run.journal.past, self.scope.session_id
        return None if past.failure_of(session_id) is None else past.end_of(session_id)

    def note_guarding(self, turn: int, following: type[events.Event]) -> None:
        """Record what the guard did in a turn, unless the turn is replayed.

        Args:
            turn: The turn.
            following: The event that comes after it.
        """
        news = self.scope.guard.news()
        if news is not None and self.next_recorded(following) is None:
            self.note(events.TextGuarded, turn=turn, **news)


def limits_as_json(limits: Limits) -> Mapping[str, object]:
    """Return limits in the form that events carry.

    Args:
        limits: The limits.
    """
    found = to_json(limits)
    return found if isinstance(found, dict) else {}
