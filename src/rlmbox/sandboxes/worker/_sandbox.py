"""The common part of the sandboxes that run `_worker.py`: everything except the isolation around it."""

from __future__ import annotations

import json
import keyword
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread

from rlmbox.context import Context
from rlmbox.context.json_parts import is_long, json_parts
from rlmbox.errors import ConfigError, SandboxCrashed, SandboxError, SandboxUnavailable
from rlmbox.sandboxes._capture import BoundedText
from rlmbox.sandboxes._cells import refused
from rlmbox.sandboxes._large_text import listed, text_functions
from rlmbox.sandboxes._texts import NamedText, most_case_bytes, placed
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.worker._frames import ENCODER, Done
from rlmbox.sandboxes.worker._language import LANGUAGE
from rlmbox.sandboxes.worker._laying_out import LaidOut
from rlmbox.sandboxes.worker._link import PARALLEL_CALLS, Link, Lost
from rlmbox.types import Cell, CellError, CellLimits, CellOutcome, Execution, HostFunction, Table

NOTES = (
    "This is CPython with its whole standard library.",
    "The functions of the host, such as llm_query, are ordinary functions: call them without await.",
    f"Recursion is limited to {CellLimits().recursion_depth:,} nested calls unless recursion_depth says otherwise.",
)
"""Notes for a model on a worker's Python."""

_LARGE_NOTE = (
    "{names} {acts} like a real str, which {too} too long to be here: len, {name}[a:b], in, ==, find and its kin, "
    "count, str({name})[:n], strip, lower, partition and re.search, match, finditer, findall and split give what they "
    "give for one (patterns without look-around and back-references). split and splitlines give parts one by one: "
    "`for line in {name}.splitlines():`. re.sub gives a result of up to 32 million characters. What needs all of it "
    "at once (replace, encode, a prompt) raises an error: take a part first."
)

RESERVED = ("context", "P", "query", "SHOW_VARS")
"""Names in the REPL that are not of host functions."""

_Result = TypeVar("_Result")
_START_TIMEOUT_S = 30.0
_QUICK_BYTES = 1 << 20  # handing over so much takes less time than a thread switch
_TYPES: dict[CellOutcome, str] = {
    "timeout": "ExecutionTimeout",
    "output": "OutputExceeded",
    "crashed": "SandboxCrashed",
    "error": "KeyboardInterrupt",
}


class WorkerProcess(Protocol):
    """A launched worker."""

    @property
    def wire(self) -> socket.socket:
        """Stream socket connected to the worker."""

    @property
    def outputs(self) -> Sequence[int]:
        """Our ends of the pipes at the worker's descriptors 1 and 2."""

    @property
    def context(self) -> Mapping[str, Any]:
        """Location of the context for the worker: `{"fd": 5}` or `{"path": "/context"}`."""

    @property
    def has_language(self) -> bool:
        """True if the worker has `_repl.py` already, so that it need not be sent."""

    def ease(self) -> None:
        """Give the worker the memory reserved for its reports, if that can be done from outside.

        A cell that has filled the rest may hang, because CPython before 3.14 can re-enter certain handlers for ever
        when it cannot allocate an int; with a little more it raises its `MemoryError`. May raise OSError.
        """

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the running cell; return False if that is not possible."""

    def kill(self) -> None:
        """Kill all its processes at once. May be called more than once."""

    async def reap(self) -> str:
        """Wait for its end, release its resources, and return how it ended, such as `signal 9`."""


class Wall(Protocol):
    """A way of launching a worker: all that these sandboxes differ in."""

    async def prepare(self, limits: CellLimits, texts: Sequence[NamedText], case_bytes: int) -> CellLimits:
        """Prepare for the workers of a session, before the first is launched.

        Args:
            limits: The limits that the session asked for.
            texts: The context, which is first, and the inputs that are texts.
            case_bytes: Memory that the worker needs to change the case of the longest `str` among them.

        Returns:
            The limits for the worker: these, and the memory that the wall itself takes in it.

        Raises:
            SandboxUnavailable: A worker cannot be launched here; the message names the remedy.
        """

    async def launch(self, context_fd: int | None) -> WorkerProcess:
        """Launch a worker.

        Args:
            context_fd: A file with the context; None if the worker receives it in a frame or reads it through the host.

        Raises:
            SandboxUnavailable: The worker cannot be launched here; the message names the remedy.
        """


class WorkerSandbox:
    """Runs cells in a worker process behind a wall.

    A worker that was killed or died is replaced when the next cell arrives; the execution that lost it has
    `namespace="lost"`.

    Args:
        wall: Launches workers.
        package_paths: Directories that the worker searches for imports, after the standard library.
    """

    name = "worker"
    notes: tuple[str, ...] = NOTES
    outlives_cancellation = False

    def __init__(self, wall: Wall, package_paths: Sequence[str | Path] = ()) -> None:
        self._wall = wall
        self._path = [str(path) for path in package_paths]
        self._limits = CellLimits()
        self._host: Host = {}
        self._context: Context
        self._query = ""
        self._seed = 0
        self._inputs: Mapping[str, object] = {}
        self._process: WorkerProcess | None = None
        self._link: Link | None = None
        self._lock: anyio.Lock
        self._started = self._closed = False
        self._texts: tuple[NamedText, ...] = ()
        self._case_bytes = 0
        self._unreported: Lost | None = None

    async def start(
        self,
        limits: CellLimits,
        context: Context,
        host: Host,
        *,
        query: str = "",
        seed: int = 0,
        inputs: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Launch a worker and bind the context in it; see `Sandbox.start`."""
        _check_names(host, inputs)
        if self._started or self._closed:
            raise SandboxError("a sandbox can be started only once; make a new one")
        self._context, self._query = context, query
        self._host, self._seed, self._inputs = host, seed, inputs
        self._texts = await placed(context, inputs, limits)
        self._case_bytes = await most_case_bytes(self._texts, limits)
        self._limits = await self._wall.prepare(limits, self._texts, self._case_bytes)
        handles = [each for each in self._texts if each.is_handle]
        for each in handles:
            self._host = {**self._host, **text_functions(each.text, each.object)}
        if handles:
            self.notes = (*self.notes, _large_note([each.name for each in handles]))
        self._lock = anyio.Lock(fast_acquire=True)  # an asyncio.Lock would be bound to one event loop
        self._started = True
        await self._exclusively(self._launch)

    async def execute(self, cell: Cell) -> Execution:
        """Run a cell; see `Sandbox.execute`."""
        self._check_open()
        began = time.perf_counter()
        if (too_long := refused(cell, self._limits)) is not None:
            return too_long
        reply, output = await self._exclusively(partial(self._request, {"type": "execute", "code": cell.code}))
        stdout, stderr, dropped = self._merged(reply, output)
        duration_s = time.perf_counter() - began
        if isinstance(reply, Lost):
            kind = _TYPES[reply.outcome]
            error = CellError(kind, reply.message, f"{kind}: {reply.message}")
            return Execution(reply.outcome, stdout, stderr, dropped, error, duration_s=duration_s, namespace="lost")
        return Execution(
            reply.outcome,
            stdout,
            stderr,
            dropped,
            reply.error,
            reply.value,
            reply.value_repr,
            duration_s,
            restored=reply.restored,
            reads_clock=reply.reads_clock,
        )

    async def variables(self) -> Mapping[str, str]:
        """List the variables that cells have set; see `Sandbox.variables`. Empty if the namespace was lost."""
        self._check_open()
        if self._link is None:
            return {}
        reply, _ = await self._exclusively(partial(self._request, {"type": "variables"}))
        if isinstance(reply, Lost):
            self._unreported = reply
        if isinstance(reply, Lost) or not isinstance(reply.value, dict):
            return {}
        return {name: str(text) for name, text in reply.value.items()}

    def interrupt(self) -> bool:
        """Raise KeyboardInterrupt in the running cell, which keeps its variables; return False if that is not possible.

        A cell that ignores it is killed two seconds later; its execution then reports the variables as lost.
        """
        return not self._closed and self._link is not None and self._link.interrupt()

    async def close(self) -> None:
        """Kill the worker and release its resources; see `Sandbox.close`. Shielded from cancellation."""
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            if self._process is not None:
                self._process.kill()
            if self._link is not None:
                self._link.abort()
            if self._started:
                async with self._lock:
                    await self._reap_worker()

    def _check_open(self) -> None:
        if self._closed or not self._started:
            raise SandboxError("this sandbox is closed; open a new session")

    async def _exclusively(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Run `work` with exclusive use of the worker; an exception, such as cancellation, closes the sandbox."""
        async with self._lock:
            self._check_open()
            try:
                return await work()
            except BaseException:
                self._closed = True
                with anyio.CancelScope(shield=True):
                    await self._reap_worker()
                raise

    async def _request(self, message: Mapping[str, Any]) -> tuple[Done | Lost, Sequence[BoundedText]]:
        if self._unreported is not None and message["type"] == "execute":  # the worker was lost while listing variables
            untold, self._unreported = self._unreported, None
            return untold, (BoundedText(0), BoundedText(0))
        if self._link is None:
            try:
                await self._launch()
            except SandboxUnavailable as error:
                raise SandboxCrashed(f"the worker is gone and no new one could be started: {error}") from error
        assert self._link is not None  # noqa: S101 - for the type checker
        reply = await self._link.request(message, self._limits.cell_timeout_s)
        output = self._link.printed()
        if not isinstance(reply, Lost):
            return reply, output
        with anyio.CancelScope(shield=True):
            how = await self._reap_worker()
        why = f"{reply.message} ({how})" if reply.ended else reply.message
        after = "" if self._closed else "; its variables are lost, and the next cell starts in a fresh namespace"
        return replace(reply, message=why + after), output

    async def _launch(self) -> None:
        if sum(each.text.size_bytes for each in self._texts) <= _QUICK_BYTES:
            texts = LaidOut(self._texts)
        else:
            texts = await anyio.to_thread.run_sync(LaidOut, self._texts)
        try:
            with anyio.CancelScope(shield=True):
                process = self._process = await self._wall.launch(texts.fd)
        finally:
            if texts.fd is not None:
                os.close(texts.fd)
        self._link = Link(
            process.wire,
            process.outputs,
            self._limits,
            self._host,
            ease=process.ease,
            interrupt=process.interrupt,
        )
        language = {} if process.has_language else language_sources()
        frame = self._start_frame(texts.sources(process.context), language)
        functions = ", ".join(_described(function) for function in self._host.values())
        inputs = await self._inputs_as_json()
        lost = await self._link.open(frame, _START_TIMEOUT_S, f'"functions": [{functions}], "inputs": {inputs}')
        if lost is not None:
            said = self._link.printed()[-1].text().rstrip().rpartition("\n")[2][:500]  # last line of a traceback
            with anyio.CancelScope(shield=True):
                how = await self._reap_worker()
            raise SandboxUnavailable(f"the worker did not start: {lost.message} ({how}) {said}".strip())

    async def _reap_worker(self) -> str:
        """Kill and reap the worker, if there is one, and return how it ended."""
        process, link = self._process, self._link
        self._process = self._link = None
        how = ""
        if process is not None:
            process.kill()
            how = await process.reap()
        if link is not None:
            link.close()
        return how

    async def _inputs_as_json(self) -> str:
        """Return the inputs that are neither texts nor tables as JSON, in a thread if they are many."""
        values = {name: each for name, each in self._inputs.items() if not isinstance(each, Context | Table)}
        if not is_long(values):
            return ENCODER.encode(values)
        return await anyio.to_thread.run_sync(_as_json, values)

    def _start_frame(self, texts: dict[str, dict[str, Any]], language: Mapping[str, str]) -> dict[str, Any]:
        limits = self._limits
        forms = {name: value.form for name, value in self._inputs.items() if isinstance(value, Table)}
        return {
            "language": language,
            "limits": {
                "cell_timeout_s": limits.cell_timeout_s,
                "memory_bytes": limits.memory_bytes,
                "case_bytes": self._case_bytes,
                "recursion_depth": limits.recursion_depth,
                "output_chars": limits.output_chars,
                "output_flood_bytes": limits.output_flood_bytes,
                "parallel_calls": PARALLEL_CALLS,
            },
            "path": self._path,
            "context": texts.pop("context"),
            "query": self._query,
            "seed": self._seed,
            **({"texts": texts} if texts else {}),
            **({"text_modules": _text_sources()} if any(each.is_handle for each in self._texts) else {}),
            **({"tables": {"module": _source("_tables"), "forms": forms}} if forms else {}),
        }

    def _merged(self, reply: Done | Lost, output: Sequence[BoundedText]) -> tuple[str, str, int]:
        """Merge the output of Python's streams with what was written directly to the process's descriptors."""
        texts = ("", "") if isinstance(reply, Lost) else (reply.stdout, reply.stderr)
        dropped = 0 if isinstance(reply, Lost) else reply.dropped_chars
        merged = []
        for text, more in zip(texts, output, strict=True):
            joined = text
            # The worker's own limit adds a line to the text; anything longer is not from our worker.
            if more.total_chars or len(text) > self._limits.output_chars + 100:
                both = BoundedText(self._limits.output_chars)
                both.write(text)
                both.write(more.text())
                joined, dropped = both.text(), dropped + both.dropped_chars + more.dropped_chars
            merged.append(joined)
        return merged[0], merged[1], dropped


def _check_names(host: Host, inputs: Mapping[str, object]) -> None:
    for name in host:
        if not _is_host_name(name):
            raise ConfigError(f"{name!r} cannot be the name of a host function; use `name` or `object.name`")
    taken = {*RESERVED, *(name.partition(".")[0] for name in host)}
    for name in inputs:
        if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
            raise ConfigError(f"{name!r} cannot be the name of an input; use a plain Python name")
        if name in taken:
            raise ConfigError(f"the input {name!r} has the name of something else in the REPL; use another")


@lru_cache(maxsize=1_024)
def _is_host_name(name: str) -> bool:
    return name.count(".") <= 1 and all(part.isidentifier() for part in name.split("."))


@cache
def language_sources() -> dict[str, str]:
    """Return the source of each module of the worker's language side, in loading order."""
    return {name: _source(name) for name in LANGUAGE}


def _source(name: str) -> str:
    return Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")


def _described(function: HostFunction) -> str:
    try:
        description = function.description
    except ValueError:  # some functions written in C have no signature
        description = "(...)", ()
    own = {"is_read": function.is_running_time, "is_slice": function.is_slice, "takes_texts": function.takes_texts}
    return _entry(function.name, description, function.summary, tuple(name for name, value in own.items() if value))


@lru_cache(maxsize=1_024)
def _entry(name: str, description: tuple[str, tuple[str, ...]], summary: str, kinds: tuple[str, ...]) -> str:
    """Return a function's entry in the start frame as JSON; most sessions have the same two dozen functions."""
    signature, parameters = description
    described = {"name": name, "parameters": parameters, "signature": name + signature, "summary": summary}
    return json.dumps({**described, **dict.fromkeys(kinds, True)}, ensure_ascii=False)


@cache
def _text_sources() -> dict[str, str]:
    return {name: _source(name) for name in ("_context_text", "_context_regex", "_context_library", "_context_joins")}


def _large_note(names: Sequence[str]) -> str:
    """Return a note for a model on variables that are handles."""
    acts, too = ("act", "they are") if len(names) > 1 else ("acts", "it is")
    return _LARGE_NOTE.format(names=listed(names), acts=acts, too=too, name=names[0])


class _QuickEncoder:
    """Writes JSON values in a third of the time that `json` takes."""

    item_separator, key_separator, sort_keys = ",", ":", False

    @staticmethod
    def encode(o: object) -> str:
        """Return a value as JSON."""
        from pydantic_core import to_json  # a session without inputs does not need it

        try:
            return to_json(o).decode()
        except ValueError:  # a lone surrogate, which `json` accepts
            return ENCODER.encode(o)


def _as_json(values: Mapping[str, object]) -> str:
    """Serialize JSON values."""
    return "".join(json_parts(values, _QuickEncoder))
