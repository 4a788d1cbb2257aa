"""Keys of effects: paths that identify a place in a run, independent of the order of events.

`session/question/turn/request` is a request to the session's model, `session/question/turn/cell/function/digest/
occurrence` a call of a host function, and below that `/item/request` a request that it makes. A child session's name is
the key of the call that opened it. Two calls with the same function and arguments in one cell differ by their
occurrence; which of them is which does not matter, since they ask the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from rlmbox.context.json_parts import json_parts

_DIGEST_CHARS = 12
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=repr)  # made once: a cell calls often

LAST_WORD = "conclude"
"""The part of a request's key that says that a session is asked for its best answer at a limit."""


def key_of(*parts: object) -> str:
    """Join parts to a path.

    Args:
        parts: The parts, from the session down.
    """
    return "/".join(str(part) for part in parts)


def digest(arguments: Sequence[object], keywords: Mapping[str, object]) -> str:
    """Return a short digest of the arguments of a call, as the cell sent them.

    Args:
        arguments: Positional arguments, as JSON values.
        keywords: Keyword arguments, as JSON values.
    """
    found = hashlib.sha256()
    for part in json_parts([list(arguments), dict(keywords)], _ENCODER):
        found.update(part.encode("utf-8", "surrogatepass"))
    return found.hexdigest()[:_DIGEST_CHARS]


class CallKeys:
    """The keys of the host calls of one cell.

    Args:
        cell: The cell's path.

    Attributes:
        cell: The same.
    """

    def __init__(self, cell: str) -> None:
        self.cell = cell
        self._seen: dict[str, int] = {}

    def next(self, function: str, arguments: str) -> str:
        """Return the key of a call.

        Args:
            function: The function's name.
            arguments: The digest of its arguments.
        """
        call = f"{self.cell}/{function}/{arguments}"
        occurrence = self._seen.get(call, 0)
        self._seen[call] = occurrence + 1
        return f"{call}/{occurrence}"


def is_last_word(key: str) -> bool:
    """Return True if a request asks a session for its best answer at a limit.

    Args:
        key: The request's key.
    """
    return key.split("/")[-2:-1] == [LAST_WORD]
