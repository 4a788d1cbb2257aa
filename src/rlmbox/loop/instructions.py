"""The user's instructions: what models are told besides, the root's and those of children."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rlmbox.errors import ConfigError

_PARTS = ("root", "children")


@dataclass(frozen=True, slots=True)
class Instructions:
    """The texts that the models of sessions are told besides.

    Attributes:
        root: What the root session's model is told.
        children: What the models of all sessions below it are told.
    """

    root: str = ""
    children: str = ""

    @classmethod
    def of(cls, given: str | Mapping[str, str]) -> Instructions:
        """Return the instructions that somebody has given: a text for all, or texts by `root` and `children`.

        Args:
            given: The text, or the texts; a part that is not there is empty.

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
        """Return what the model of a session is told.

        Args:
            depth: The session's depth, 0 for the root.
        """
        return self.children if depth else self.root
