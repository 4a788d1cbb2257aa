"""The interpreter as a stateless service: a JSON object in, a JSON object out."""

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
    """Output that is cut after a number of characters.

    Args:
        max_chars: Characters to keep.
    """

    def __init__(self, max_chars: int) -> None:
        self._room, self._parts, self._dropped = max_chars, list[str](), 0

    def write(self, text: str) -> None:
        """Append text."""
        kept = text[: self._room]
        self._room -= len(kept)
        self._dropped += len(text) - len(kept)
        if kept:
            self._parts.append(kept)

    def text(self) -> str:
        """Return the kept text, with a note of how much was dropped."""
        note = f"\n... [{self._dropped:,} characters dropped: print less, or a slice]" if self._dropped else ""
        return "".join(self._parts) + note


def default_limits(profile: SubsetProfile) -> StepLimits:
    """Return the default limits of a profile."""
    return StepLimits(pattern_chars=STRICT_PATTERN_CHARS if profile == "strict" else WIDE_PATTERN_CHARS)


def answer_line(line: str | bytes, profile: SubsetProfile = "strict", limits: StepLimits | None = None) -> str:
    """Answer a line of JSON.

    Args:
        line: A JSON object, see `answer`; bytes are UTF-8.
        profile: The language of the code.
        limits: Its limits.
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
        request: `context` and `query`, texts that the code can read; `code`; `state`, from the previous answer;
            `max_output_chars`.
        profile: The language of the code.
        limits: Its limits.

    Returns:
        `ok`; `output`, with the last bare expression as at Python's prompt; `error`, None or an object with `code`,
        `message`, `line`, `column` and optionally `hint` and `limit`; and `state`.
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
    """Return what is wrong with a request; empty if it is valid."""
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
    """Return the JSON name of a value's type."""
    kinds = {bool: "a boolean", str: "a text", list: "an array", dict: "an object", type(None): "null"}
    return kinds.get(type(value), "a number")


def _failed(message: str, state: Mapping[str, Any] | None = None) -> dict[str, object]:
    """Return the answer to an invalid request; the caller's variables are unchanged."""
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
