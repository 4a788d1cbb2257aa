"""The one door out of the sandbox: every call of a host function passes through here.

A call passes a chain of middleware, as in Starlette: each receives the call and the rest of the chain, and may inspect
the arguments or the result, or refuse the call. Functions added to the table later cannot bypass the chain. Only pure
reads of the context are called directly: they let nothing out of the sandbox, and a cell makes thousands of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import anyio

from rlmbox.context.json_parts import is_long
from rlmbox.errors import ConfigError, LimitExceeded, ModelError, RLMError, StoreError, ToolOutcomeUnknown
from rlmbox.events import EffectEnded, Ended, HostCallFinished, HostCallStarted
from rlmbox.loop.guarding import SessionGuard
from rlmbox.loop.scope import Scope
from rlmbox.record.journal import Effect, RecordEnded
from rlmbox.record.keys import CallKeys, digest
from rlmbox.record.past import error_of
from rlmbox.sandboxes.base import INJECTED, Host
from rlmbox.types import HostFunction


@dataclass(frozen=True, slots=True)
class HostCall:
    """A call of a host function by code in the sandbox.

    Attributes:
        function: The function.
        arguments: Positional arguments, as the cell sent them.
        keywords: Keyword arguments, as the cell sent them.
        key: The call's key in the journal.
    """

    function: HostFunction
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    key: str


Next = Callable[[HostCall], Awaitable[Any]]
Middleware = Callable[[HostCall, Next], Awaitable[Any]]
"""Takes a call and what comes after it, and returns the call's result."""

_current: ContextVar[HostCall] = ContextVar("host_call")


def current_call() -> HostCall:
    """Return the host call being answered in the current context."""
    return _current.get()


class Bridge:
    """The functions that the sandbox of one session may call.

    Args:
        scope: The session.
        middleware: The middleware of each call, the outermost first; the journal comes before all of it, so that the
            record contains what the cell received.

    Attributes:
        stop: Called when a call reaches a limit of the session, or another error that ends its question; the cell
            is then cancelled, however it treats the error.
        unrepeatable: Names of the functions that must not be called again if the outcome of a call is unknown.
        recomputed: Names of the functions that a resumed run calls again, regardless of recorded results.
    """

    def __init__(self, scope: Scope, middleware: Sequence[Middleware] = ()) -> None:
        self._scope = scope
        self._is_plain = not middleware  # middleware may wait
        middleware = (*middleware, self._guarded)
        chain: Next = _call
        for each in reversed(middleware):
            chain = _around(chain, each)
        self._chain = chain
        self._keys = CallKeys(scope.session_id)
        self._may_call = True
        self._naming = anyio.Lock()  # held while long arguments are read: the calls after that one wait, as always
        self.stop: Callable[[RLMError], None] = _ignore_error
        self.unrepeatable: frozenset[str] = frozenset()
        self.recomputed: frozenset[str] = frozenset()

    def enter(self, cell: str, *, may_call: bool = True) -> None:
        """Set the cell that runs from now on; the keys of its calls lie below its path.

        Args:
            cell: The cell's path.
            may_call: False to refuse its calls, except those that only read the context.
        """
        self._keys, self._may_call = CallKeys(cell), may_call

    def table(self, functions: Iterable[HostFunction], variables: Collection[str] = ()) -> Host:
        """Return the table of host functions for a sandbox.

        Args:
            functions: The functions.
            variables: Names of the loop's own variables in the REPL.

        Raises:
            ConfigError: Two functions have the same name, or a name is reserved in the REPL.
        """
        table: dict[str, HostFunction] = {}
        objects = {function.name.partition(".")[0] for function in functions if "." in function.name}
        for function in functions:
            if function.name in table or function.name in objects:
                raise ConfigError(f"there are two functions named {function.name!r} for the REPL; rename yours")
            if (first := function.name.partition(".")[0]) in INJECTED or first in variables:
                raise ConfigError(f"{function.name!r} means something else in the REPL; rename your function")
            pure = function.pure
            table[function.name] = replace(function, call=_named(function)) if pure else self._bridged(function)
        return table

    async def _guarded(self, call: HostCall, then: Next) -> Any:
        """Keep what the guard would hide from a user's tool; requests to models are guarded where they are made."""
        if not call.function.is_tool:
            return await then(call)
        as_given = functools.partial(self._as_given, call)
        return await then(await self._scope.checked(as_given, *call.arguments, *call.keywords.values()))

    @functools.cached_property
    def _guard(self) -> SessionGuard:
        return self._scope.guard

    def _as_given(self, call: HostCall) -> HostCall:
        given = self._guard.given
        arguments = tuple(map(given, call.arguments))
        return HostCall(call.function, arguments, given(call.keywords) if call.keywords else {}, call.key)

    def _bridged(self, function: HostFunction) -> HostFunction:
        at_once = function.at_once
        call, known = self._wrapped(function), self._scope.run.journal.past
        if at_once is None or not self._is_plain:
            return replace(function, call=call, at_once=None, off_loop=None)

        def call_at_once(*arguments: Any, **keywords: Any) -> Any:
            """Make a call that is not recorded yet and need not wait; see `HostFunction.at_once`."""
            self._check(function)
            if is_long(arguments, keywords) or self._naming.locked():
                return call(*arguments, **keywords)
            key = self._keys.next(function.name, digest(arguments, keywords))
            made = HostCall(function, arguments, keywords, key)
            if known.events or known.has_end(key):  # cells run again when a sandbox is rebuilt
                return self._through(made)

            def make() -> Any:
                given = map(self._guard.given, arguments)
                return at_once(*given, **(self._guard.given(keywords) if keywords else {}))

            return self._scope.run.journal.at_once(key, lambda: self._effect(made), make)

        off_loop = None if function.off_loop is None or self._scope.run.journal.is_told else call_at_once
        return replace(function, call=call, at_once=call_at_once, off_loop=off_loop)

    def _wrapped(self, function: HostFunction) -> Callable[..., Any]:
        @functools.wraps(function.call)
        async def call(*arguments: Any, **keywords: Any) -> Any:
            self._check(function)
            key = await self._key(function.name, arguments, keywords)
            return await self._through(HostCall(function, arguments, keywords, key))

        return call

    def _check(self, function: HostFunction) -> None:
        if not self._may_call:
            raise RuntimeError(f"{function.name}() is not called here, where only the value of an answer is looked at")

    async def _key(self, function: str, arguments: Sequence[object], keywords: Mapping[str, object]) -> str:
        """Return the key of a call, whose arguments are read in a thread if they are long."""
        keys = self._keys
        if not is_long(arguments, keywords) and not self._naming.locked():
            return keys.next(function, digest(arguments, keywords))
        async with self._naming:
            found = await anyio.to_thread.run_sync(digest, arguments, keywords, abandon_on_cancel=True)
        return keys.next(function, found)

    async def _through(self, call: HostCall) -> Any:
        token = _current.set(call)
        try:
            if call.function.is_answer:  # it only sets how the turn ends, which a replayed cell has to do again
                return await self._chain(call)
            return await self._once(call)
        except RecordEnded as end:
            self.stop(end.error if isinstance(end.error, RLMError) else end)
            return await anyio.sleep_forever()
        finally:
            _current.reset(token)

    async def _once(self, call: HostCall) -> Any:
        """Make a call, or return its recorded result."""
        journal, key = self._scope.run.journal, call.key
        end = journal.past.end(key)
        recorded = end is not None
        is_of_before = end is not None and end.sequence < journal.first_new
        if is_of_before and call.function.name in self.recomputed and not journal.is_sealed:
            return await self._chain(call)
        if not recorded and not journal.is_sealed and key.rsplit("/", 3)[0] in journal.past.closed_cells:
            where = f"turn {key.rsplit('/', 5)[1]}" if key.count("/") > 5 else key
            raise RecordEnded(
                StoreError(
                    f"a cell of {where} that had ended calls {call.function.name} differently than when it was "
                    "recorded, so the run cannot continue; look at it with rlmbox show, or fork it from an earlier turn"
                )
            )
        make = self._unknown if journal.was_cut(key) and call.function.name in self.unrepeatable else self._chain
        try:
            return await journal.once(self._effect(call), lambda: make(call))
        except LimitExceeded as error:
            # A tool may have reached a limit of a run of its own; the cell receives that as it did then.
            if recorded and not call.function.is_tool and error.is_final and error.depth <= self._scope.depth:
                self.stop(error)
            raise

    async def _unknown(self, call: HostCall) -> Any:
        raise ToolOutcomeUnknown(
            f"{call.function.name} was under way when the process ended, and may or may not have done its work; find "
            "out before you call it again"
        )

    def _effect(self, call: HostCall) -> Effect[Any]:
        def event(kind: Callable[..., Any], **fields: Any) -> Any:
            return self._scope.event(kind, "ACTION", key=call.key, function=call.function.name, **fields)

        def failed(error: BaseException, ended: Ended) -> EffectEnded:
            ending: EffectEnded = event(HostCallFinished, **ended_with(error, ended))
            return ending

        return Effect(
            began=event(HostCallStarted, arguments=call.arguments, keywords=call.keywords),
            done=lambda value: event(HostCallFinished, value=value),
            failed=failed,
            load=_loaded,
            sync_before=call.function.name in self.unrepeatable,
            sync_after=True,
        )


def ended_with(error: BaseException, ended: Ended) -> dict[str, Any]:
    """Return the fields of an `EffectEnded` that describe how an effect failed.

    Args:
        error: The error.
        ended: Whether it failed or was cancelled.
    """
    data = {name: value for name, value in vars(error).items() if name in _ERROR_DATA} if _has_data(error) else {}
    return {"ended": ended, "error_type": type(error).__name__, "error": str(error), "error_data": data}


def recorded_error(event: EffectEnded) -> Exception:
    """Return the error that a recorded effect ended with, as the cell received it.

    Args:
        event: The recorded end.
    """
    return error_of(event.error_type or "", event.error or "", event.error_data)


_ERROR_DATA = frozenset(
    {"limit", "used", "depth", "is_final", "retryable", "status", "possibly_billed", "retry_after_s", "window_tokens"}
)


def _ignore_error(_error: RLMError) -> None:
    """Do nothing, if there is no question to end."""


def _has_data(error: BaseException) -> bool:
    return isinstance(error, LimitExceeded | ModelError)


def _loaded(event: EffectEnded) -> Any:
    if event.ended != "done":
        raise recorded_error(event)
    return event.value if isinstance(event, HostCallFinished) else None


def _around(then: Next, middleware: Middleware) -> Next:
    async def call(call: HostCall) -> Any:
        return await middleware(call, then)

    return call


async def _call(call: HostCall) -> Any:
    """Call the function itself: the end of the chain."""
    try:
        result = call.function.call(*call.arguments, **call.keywords)
    except TypeError as error:
        raise _of_signature(error, call.function, call.arguments, call.keywords) from None
    return await result if isinstance(result, Awaitable) else result


def _named(function: HostFunction) -> Callable[..., Any]:
    """Wrap a function that is called directly, so that errors of its signature use the name that code used."""
    call = function.call

    @functools.wraps(call)
    def named(*arguments: Any, **keywords: Any) -> Any:
        try:
            return call(*arguments, **keywords)
        except TypeError as error:
            raise _of_signature(error, function, arguments, keywords) from None

    @functools.wraps(call)
    async def awaited(*arguments: Any, **keywords: Any) -> Any:
        return await named(*arguments, **keywords)

    return awaited if function.is_async else named


def _of_signature(
    error: TypeError, function: HostFunction, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> TypeError:
    """Return the error of a call that does not fit the function's signature, with the function's name in the REPL."""
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
        return error  # raised inside the function
    try:
        inspect.signature(function.call).bind(*arguments, **keywords)
    except TypeError as misfit:
        # In Python's own wording, for which there is a hint.
        said = str(misfit).replace("too many positional arguments", "takes fewer positional arguments")
        return TypeError(f"{function.name}() {said}")
    except ValueError:
        pass  # a C function without a signature
    return error
