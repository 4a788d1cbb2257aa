"""The user's additional instructions for the models of the root and of child sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlmbox.errors import ConfigError

_PARTS = ("root", "children")


@dataclass(frozen=True, slots=True)
class Instructions:
    """Additional instructions for the models of sessions.

    Attributes:
        root: The instructions for the root session's model.
        children: The instructions for the models of all sessions below it.
    """

    root: str = ""
    children: str = ""

    @classmethod
    def of(cls, given: str | Mapping[str, str]) -> Instructions:
        """Return the user's instructions: a text for all sessions, or texts by `root` and `children`.

        Args:
            given: The text, or the texts; a missing part is empty.

        Raises:
            ConfigError: It is neither.
        """
        if isinstance(given, str):
            return cls(given, given)
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"instructions are a text, or texts by {' and '.join(_PARTS)}, not {type(given).__name__}"
            )
        for name, text in given.items():
            if name not in _PARTS:
                raise ConfigError(f"instructions are for {' and '.join(_PARTS)}; there is no {name!r}")
            if not isinstance(text, str):
                raise ConfigError(f"instructions for {name} are a text, not {type(text).__name__}")
        return cls(**given)

    def at(self, depth: int) -> str:
        """Return the instructions for the model of a session.

        Args:
            depth: The session's depth, 0 for the root.
        """
        return self.children if depth else self.root
