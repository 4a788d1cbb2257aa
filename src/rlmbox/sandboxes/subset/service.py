"""The interpreter as a service: a JSON object in, a JSON object out, and nothing kept in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from rlmbox.sandboxes.subset.errors import SubsetError, Uncatchable
from rlmbox.sandboxes.subset.evaluate import SubsetSession
from rlmbox.sandboxes.subset.grammar import SubsetProfile
from rlmbox.sandboxes.subset.meter import StepLimits
from rlmbox.sandboxes.subset.snapshot import restore, snapshot

NO_CODE = "No code to execute"
STRICT_PATTERN_CHARS = 1_000
WIDE_PATTERN_CHARS = 10_000
_MOST_OUTPUT_CHARS = 1_000_000
_KNOWN = frozenset({"context", "query", "code", "state", "max_output_chars"})


class Head:
    """Output of which the beginning is kept.

    Args:
        max_chars: How much.
    """

    def __init__(self, max_chars: int) -> None:
        self._room, self._parts, self._dropped = max_chars, list[str](), 0

    def write(self, text: str) -> None:
        """Add text at the end."""
        kept = text[: self._room]
        self._room -= len(kept)
        self._dropped += len(text) - len(kept)
        if kept:
            self._parts.append(kept)

    def text(self) -> str:
        """Return what was kept, and a note of what was not."""
        note = f"\n... [{self._dropped:,} characters dropped: print less, or a slice]" if self._dropped else ""
        return "".join(self._parts) + note


def default_limits(profile: SubsetProfile) -> StepLimits:
    """Return what a cell may use where nothing else is said."""
    return StepLimits(pattern_chars=STRICT_PATTERN_CHARS if profile == "strict" else WIDE_PATTERN_CHARS)


def answer_line(line: str | bytes, profile: SubsetProfile = "strict", limits: StepLimits | None = None) -> str:
    """Return the answer to a line.

    Args:
        line: A JSON object, see `answer`; bytes are UTF-8.
        profile: What the code may use.
        limits: How much it may use.
    """
    try:
        text = line.decode() if isinstance(line, bytes) else line
        request = json.loads(text.removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        found = _failed(f"the line is not UTF-8: byte {error.start + 1} is {error.object[error.start]:#04x}")
    except (ValueError, RecursionError) as error:
        found = _failed(f"the line is not JSON: {error}")
    else:
        found = answer(request, profile, limits)
    return json.dumps(found, ensure_ascii=True)


def answer(request: object, profile: SubsetProfile = "strict", limits: StepLimits | None = None) -> dict[str, object]:
    """Run a piece of code.

    Args:
        request: `context` and `query`, texts that the code sees; `code`; `state`, what the answer before had as
            `state`; `max_output_chars`.
        profile: What the code may use.
        limits: How much it may use.

    Returns:
        `ok`; `output`, with the last bare expression as Python's prompt shows it; `error`, None or an object with
        `code`, `message`, `line`, `column` and perhaps `hint` and `limit`; and `state`.
    """
    if not isinstance(request, Mapping):
        return _failed("a request is a JSON object with context, query and code")
    given = request.get("state")
    state = given if isinstance(given, Mapping) else {}
    problem = _problem(request)
    if problem:
        return _failed(problem, state)
    allowed = limits or default_limits(profile)
    output = Head(request.get("max_output_chars", allowed.output_chars))
    session = SubsetSession(profile, allowed, output.write, {})
    session.bind({"context": request.get("context", ""), "query": request.get("query", "")})
    code = request.get("code", "")
    if not code.strip():
        return {"ok": True, "output": NO_CODE, "error": None, "state": state}
    try:
        restore(session, state)
    except ValueError as damaged:
        return _failed(str(damaged), state)
    error = _run(session, code, output.write)
    return {
        "ok": error is None,
        "output": output.text(),
        "error": error.as_json() if error else None,
        "state": snapshot(session),
    }


def _problem(request: Mapping[str, Any]) -> str:
    """Return what is wrong with a request; empty where nothing is."""
    unknown = sorted(set(map(str, request)) - _KNOWN)
    if unknown:
        return f"a request has no {unknown[0]!r}; it has {', '.join(sorted(_KNOWN))}"
    for name in ("context", "query", "code"):
        if not isinstance(request.get(name, ""), str):
            return f"{name} must be a text, not {_kind(request[name])}"
    state = request.get("state")
    if not (state is None or isinstance(state, Mapping)):
        return f"state must be what the last answer had as state, an object, not {_kind(state)}"
    most = request.get("max_output_chars", 0)
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= _MOST_OUTPUT_CHARS:
        return f"max_output_chars must be a whole number from 0 to {_MOST_OUTPUT_CHARS:,}"
    return ""


def _kind(value: object) -> str:
    """Return what JSON calls a value."""
    kinds = {bool: "a boolean", str: "a text", list: "an array", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")


def _failed(message: str, state: Mapping[str, Any] | None = None) -> dict[str, object]:
    """Return the answer to a request that is wrong; the caller's variables are as they were."""
    error = SubsetError("ValueError", message).as_json()
    return {"ok": False, "output": "", "error": error, "state": state or {}}


def _run(session: SubsetSession, code: str, write: Callable[[str], None]) -> SubsetError | None:
    result = session.run(session.prepare(code))
    if result.error is not None:
        return result.error
    if result.value is None:
        return None
    try:
        write(session.shown(result.value) + "\n")
    except Uncatchable as error:
        return SubsetError(error.code, error.message, None, None, error.hint, error.limit)
    except RecursionError as error:
        return SubsetError("RecursionError", str(error))
    return None


__all__ = ["NO_CODE", "answer", "answer_line", "default_limits"]
