"""Named interpreters, each with its own state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from rlmbox.errors import RLMError
from rlmbox.tool.interpreter import Interpreter
from rlmbox.tool.result import ToolResult, failure
from rlmbox.tool.schema import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, BadCall, read_call, read_json, shortened

MAX_SESSIONS = 256
"""Sessions that may be open at once, by default."""

_KNOWN = ("code", "timeout", "id", "session", "close")
_NAME_CHARS = 200


class ToolSessions:
    """Answers requests, each in the session that it names.

    Args:
        new_interpreter: Creates the interpreter of a session.
        timeout_s: Timeout of a request that specifies none, in seconds.
        max_timeout_s: Longest timeout that a request may specify.
        max_sessions: Sessions that may be open at once.
    """

    def __init__(
        self,
        new_interpreter: Callable[[], Interpreter],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_timeout_s: float = MAX_TIMEOUT_S,
        max_sessions: int = MAX_SESSIONS,
    ) -> None:
        self._new_interpreter = new_interpreter
        self._timeout_s, self._max_timeout_s, self._max_sessions = timeout_s, max_timeout_s, max_sessions
        self._open: dict[str, Interpreter] = {}

    async def start(self) -> str:
        """Start the unnamed session; return why that failed, or an empty string."""
        try:
            await self._session("").start()
        except (RLMError, OSError) as error:
            return str(error)
        return ""

    async def answer(self, line: bytes) -> dict[str, object]:
        """Answer a request.

        Args:
            line: A JSON object with `code`, and optionally `timeout`, `id` and `session`; or with `session` and
                `close`, which is true or "now".

        Returns:
            The fields of the result, and the `id` of the request if it has one.
        """
        try:
            request = read_json(line)
        except BadCall as error:
            return failure(f"the request cannot be read: {error}").as_dict()
        if not isinstance(request, Mapping):
            return failure('a request is a JSON object such as {"code": "print(1)"}').as_dict()
        result = (await self._result(request)).as_dict()
        return {**result, "id": request["id"]} if "id" in request else result

    async def aclose(self) -> None:
        """End all sessions; running requests end."""
        sessions, self._open = list(self._open.values()), {}
        await asyncio.gather(*(session.close() for session in sessions), return_exceptions=True)

    async def _result(self, request: Mapping[str, Any]) -> ToolResult:
        try:
            _check_known(request)
            name = session_name(request.get("session"))
            if "close" in request:
                return await self._closed(name, request)
            arguments = {key: request[key] for key in ("code", "timeout") if key in request}
            call = read_call(arguments, default_timeout_s=self._timeout_s, max_timeout_s=self._max_timeout_s)
            return await self._session(name).run(call)
        except BadCall as error:
            return failure(str(error))

    def _session(self, name: str) -> Interpreter:
        if name not in self._open:
            if len(self._open) >= self._max_sessions:
                raise BadCall(
                    f"{self._max_sessions} sessions are open, which is the maximum; "
                    'end one: {"session": "NAME", "close": true}'
                )
            self._open[name] = self._new_interpreter()
        return self._open[name]

    async def _closed(self, name: str, request: Mapping[str, Any]) -> ToolResult:
        now = request["close"] == "now"
        if not (now or request["close"] is True) or "code" in request or "timeout" in request:
            raise BadCall(
                'a session is ended with {"session": "NAME", "close": true}, after its pending requests, '
                'or at once with {"session": "NAME", "close": "now"}'
            )
        session = self._open.pop(name, None)
        if session is None:
            raise BadCall(f"there is no session {shortened(name)!r}")
        with suppress(RLMError):
            await (session.close() if now else session.finish())
        return ToolResult()


def _check_known(request: Mapping[str, Any]) -> None:
    unknown = sorted(set(request) - set(_KNOWN))
    if unknown:
        raise BadCall(f"a request has no {shortened(unknown[0])!r}; it has {', '.join(_KNOWN)}")


def session_name(name: object) -> str:
    """Return the name of a session; empty for the unnamed one.

    Raises:
        BadCall: The name is invalid.
    """
    if name is None:
        return ""
    if not isinstance(name, str) or len(name) > _NAME_CHARS:
        raise BadCall(f"session is a name: a string of at most {_NAME_CHARS} characters")
    return name
