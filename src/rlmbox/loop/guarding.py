"""The guard in the loop: everything that goes from the sandbox to a model or to the user passes here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlmbox.types import Message

if TYPE_CHECKING:
    from rlmbox.guard import RunGuard


@dataclass(frozen=True, slots=True)
class SessionGuard:
    """The run's guard as one session uses it; without one, everything passes as it is.

    Attributes:
        run: The run's guard, shared by all sessions; None for none.
        session_id: The session's name.
    """

    run: RunGuard | None
    session_id: str

    def observed(self, text: str, model: str, turn: int) -> str:
        """Return what a model may be told of a turn.

        Args:
            text: The message.
            model: The model that reads it.
            turn: The turn.
        """
        if self.run is None:
            return text
        return self.run.check(text, path="observation", model=model, session=self.session_id, turn=turn).text

    def facts(self, metadata: Mapping[str, object], model: str) -> Mapping[str, object]:
        """Return what a model may be told of the context before it has looked.

        Args:
            metadata: Facts of the context, with a short preview.
            model: The model that reads them.
        """
        if self.run is None:
            return metadata
        return {
            key: self.observed(value, model, 0) if isinstance(value, str) else value for key, value in metadata.items()
        }

    def asked(self, messages: list[Message], model: str) -> list[Message]:
        """Return what another model may be asked.

        Args:
            messages: The messages.
            model: The model that reads them.

        Raises:
            ValueError: They show more of the context than may leave; the message says what to do instead.
        """
        if self.run is None:
            return messages
        passed = []
        for message in messages:
            checked = self.run.check(message.content, path="subcall", model=model, session=self.session_id)
            if checked.cut_message:
                raise ValueError(checked.cut_message)
            passed.append(Message(message.role, checked.text))
        return passed

    def given(self, value: Any) -> Any:
        """Return an argument of a tool as it may leave the sandbox.

        Args:
            value: A JSON value.

        Raises:
            ValueError: It shows more of the context than may leave.
        """
        if self.run is None:
            return value
        if isinstance(value, str):
            checked = self.run.check(value, path="tool", session=self.session_id)
            if checked.cut_message:
                raise ValueError(checked.cut_message)
            return checked.text
        if isinstance(value, list | tuple):
            return [self.given(item) for item in value]
        if isinstance(value, Mapping):
            return {key: self.given(item) for key, item in value.items()}
        return value

    def restored(self, value: Any) -> Any:
        """Return a value for the user, or for code in the sandbox, with what was hidden in its place again.

        Args:
            value: A JSON value.
        """
        return value if self.run is None else self.run.restore_value(value)
