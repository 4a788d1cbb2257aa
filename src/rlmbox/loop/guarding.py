"""The guard in the loop: everything that leaves the sandbox for a model or the user passes here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rlmbox.guard import GuardPath, RunGuard, Shown, nonce_of
from rlmbox.types import Message, Turn

_LEAST_NUMBER, _ABOVE_NUMBERS = 10**10, 10**20
_CHECKSUMMED = frozenset({"card", "cpf", "cnpj"})
_WAY_FOR_TOOLS = " (the user can lift this for tools: --guard-path tool=off, or Guard(per_path={'tool': 'off'}))"


@dataclass(frozen=True, slots=True)
class SessionGuard:
    """The run's guard as one session uses it.

    Attributes:
        run: The run's guard, shared by all sessions.
        session_id: The session's name.
    """

    run: RunGuard
    session_id: str

    def shows(self, model: str, turn: int) -> Callable[..., Shown]:
        """Return the function that decides on the parts of a turn's message; see `rlmbox.loop.observation.Show`.

        Args:
            model: The model that reads it.
            turn: The turn.
        """
        return partial(self.run.show, model=model, session=self.session_id, turn=turn)

    def nonce(self, question: int, turn: Turn) -> str:
        """Return the nonce in a turn's delimiters; see `rlmbox.guard.nonce_of`.

        Args:
            question: Number of the question.
            turn: The turn, with the results of its cells.
        """
        given = (
            text
            for ran in turn.executions
            for text in (ran.stdout, ran.stderr, ran.value_repr or "", ran.error.traceback if ran.error else "")
        )
        return nonce_of(self.session_id, (str(question), str(turn.number), turn.reply, *given))

    def news(self) -> dict[str, Any] | None:
        """Return the findings in this session since the last call, as the fields of a `TextGuarded`."""
        return self.run.news(self.session_id)

    def put_off(self, look: Callable[[], object]) -> None:
        """Have the guard catch up on what the record contains before it decides on anything new.

        Args:
            look: Has the guard look at a recorded part.
        """

        def looked() -> None:
            look()
            self.news()  # already in the record

        self.run.put_off(looked)

    def told(self, message: str, model: str) -> str:
        """Return a message composed for a model, with anything that entered it unchecked hidden.

        Args:
            message: The message.
            model: The model that reads it.
        """
        return self.run.redact_again(message, path="observation", model=model)

    def observed(self, text: str, model: str, turn: int) -> str:
        """Return what a model may see of a turn.

        Args:
            text: The message.
            model: The model that reads it.
            turn: The turn.
        """
        return self.run.check(text, path="observation", model=model, session=self.session_id, turn=turn).text

    def facts(self, metadata: Mapping[str, object], model: str) -> Mapping[str, object]:
        """Return the facts about the context that a model may see at the start.

        Args:
            metadata: Facts about the context, with a short preview.
            model: The model that reads them.
        """
        return {
            key: self.observed(value, model, 0) if isinstance(value, str) else value for key, value in metadata.items()
        }

    def asked(self, messages: list[Message], model: str, path: GuardPath = "subcall") -> list[Message]:
        """Return messages as another model may see them.

        Args:
            messages: The messages.
            model: The model that reads them.
            path: `subcall`, or `question` for a child session.

        Raises:
            ValueError: They contain more of the context than may leave; the message names the remedy.
        """
        passed = []
        for message in messages:
            checked = self.run.check(message.content, path=path, model=model, session=self.session_id)
            if checked.cut_reason:
                raise ValueError(_refusal("the prompt holds", "a model", checked.cut_reason))
            passed.append(Message(message.role, checked.text))
        return passed

    def given(self, value: Any) -> Any:
        """Return an argument of a tool as it may leave the sandbox.

        Args:
            value: A JSON value.

        Raises:
            ValueError: It contains more of the context than may leave.
        """
        if isinstance(value, str):
            checked = self.run.check(value, path="tool", session=self.session_id)
            if checked.cut_reason:
                raise ValueError(_refusal("its arguments hold", "a tool", checked.cut_reason) + _WAY_FOR_TOOLS)
            return checked.text
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._given_number(value)
        if isinstance(value, list | tuple):
            return [self.given(item) for item in value]
        if isinstance(value, Mapping):
            return {self.given(key): self.given(item) for key, item in value.items()}
        return value

    def _given_number(self, value: float) -> object:
        """Return a number, or a placeholder if its digits are those of a card, a CPF or a CNPJ."""
        if not _LEAST_NUMBER <= abs(value) < _ABOVE_NUMBERS or value != int(value):
            return value
        checked = self.run.check(str(abs(int(value))), path="tool", session=self.session_id)
        return checked.text if _CHECKSUMMED & checked.counts.keys() and checked.is_changed else value

    def restored(self, value: Any) -> Any:
        """Return a value for the user, or for code in the sandbox, with placeholders replaced by what they hide.

        Args:
            value: A JSON value.
        """
        return self.run.restore_value(value)


def _refusal(holder: str, reader: str, reason: str) -> str:
    return (
        f"the call was not made, because {holder} more of the context, word for word, than {reader} may receive "
        f"({reason}); pass a shorter part, or what you found in it"
    )
