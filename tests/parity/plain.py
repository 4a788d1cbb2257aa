"""What CPython gives for cells; run as a program, so that no cell reaches the tests' own process.

Reads a list of sessions from stdin, each a list of cells, and writes a list of the same shape with what each cell gave.
"""

import ast
import asyncio
import contextlib
import io
import json
import sys
from types import CodeType
from typing import Any

from rlmbox.sandboxes.worker._values import to_json

CONTEXT = "one two three\nfour five six\nseven é eight\n"
QUERY = "what?"


class _Stopped(Exception):
    """A cell ended with StopIteration."""


class Session:
    """A namespace, with functions that note their calls where the host's would be."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.names: dict[str, Any] = {"__name__": "__main__", "context": CONTEXT, "query": QUERY}
        for name in ("re", "json", "math", "base64", "binascii", "zlib"):
            self.names[name] = __import__(name)
        self.names["llm_query"] = self.llm_query
        self.names["P"] = CONTEXT
        self.names["answer"] = {"content": "", "ready": False}

    def llm_query(self, prompt: str) -> str:
        self.calls.append(["llm_query", to_json(prompt)])
        return reply(prompt)

    async def run(self, code: str) -> dict[str, Any]:
        self.calls.clear()
        printed, value, error = io.StringIO(), None, None
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            try:
                value = to_json((await self._value(code))[0])
            except _Stopped:
                error = "StopIteration"
            except BaseException as raised:  # noqa: BLE001 - whatever it is, it is what the cell gives
                error = type(raised).__name__
        return {"error": error, "stdout": printed.getvalue(), "value": value, "calls": [*self.calls]}

    async def _value(self, code: str) -> tuple[object]:
        tree = ast.parse(code)
        last: Any = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        made = compile(tree, "<cell>", "exec", flags)
        found = _evaluated(made, self.names)
        if asyncio.iscoroutine(found):
            await found
        if last is None:
            return (None,)
        found = _evaluated(compile(ast.Expression(last.value), "<cell>", "eval", flags), self.names)
        return (await found,) if asyncio.iscoroutine(found) else (found,)


def _evaluated(made: CodeType, names: dict[str, Any]) -> object:
    try:
        return eval(made, names)
    except StopIteration as stopped:  # which no coroutine may raise
        raise _Stopped from stopped


def reply(prompt: str) -> str:
    """What the fake model says."""
    return f"yes: {prompt}" if "e" in prompt else f"no: {prompt}"


async def main() -> None:
    done = []
    sys.argv[:] = [""]  # as a program that was not read from a file
    for cells in json.load(sys.stdin):
        session = Session()
        done.append([await session.run(cell) for cell in cells])
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
