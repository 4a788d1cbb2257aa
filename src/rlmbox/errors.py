"""The errors of rlmbox, as one tree.

RLMError
 ├── ConfigError                 a setting, a name or a key is missing or wrong
 │    └── PriceUnknown           a cost limit is set for a model whose price is not known
 ├── ContextError                the text cannot be opened, read or addressed
 ├── ModelError                  a provider failed; `.retryable` says whether to try again later
 │    └── ContextLimitExceeded   a request is longer than the model's window
 ├── SandboxError                the sandbox cannot continue
 │    ├── ExecutionTimeout       a cell ran longer than `cell_timeout_s`
 │    ├── MemoryExceeded         a cell needed more than `memory_bytes`
 │    ├── StackOverflow          a cell recursed deeper than `recursion_depth`
 │    ├── OutputExceeded         a cell printed more than `output_flood_bytes`
 │    ├── SandboxCrashed         the worker died or broke the protocol
 │    └── SandboxUnavailable     the backend cannot run on this machine
 ├── AnswerRejected              no answer passed the rules within the allowed attempts
 ├── StoreError                  a record of a run cannot be read or written
 ├── RetrievalError              an index or a search engine cannot be read or reached
 ├── ToolOutcomeUnknown          a tool call was interrupted by the end of the process; its outcome is unknown
 └── LimitExceeded               a limit of the run was reached; `.limit`, `.used`
      ├── BudgetExceeded         US dollars
      ├── TokenLimitExceeded     tokens
      ├── MaxTurnsExceeded       turns
      ├── SubcallLimitExceeded   calls to other models
      ├── RecursionDepthExceeded nested sessions
      ├── TimeLimitExceeded      wall time
      └── Stalled                consecutive turns without progress

Every error that ends a run carries the results so far as `.partial`, an `Answer` with `complete=False`, or
None if nothing had begun. A Python exception in a cell is not an error of the run: it is data on
`Execution`. Cancellation is never wrapped.
"""

from __future__ import annotations

from decimal import Decimal

from rlmbox.types import Answer


class RLMError(Exception):
    """Base class of all errors that rlmbox raises deliberately.

    Attributes:
        partial: The results that the run had when it ended, or None.
    """

    partial: Answer | None = None


class ConfigError(RLMError):
    """A setting, a name or a key is missing or wrong; the message says what to set."""


class PriceUnknown(ConfigError):
    """A cost limit cannot be enforced because the price of a model is not known."""


class ContextError(RLMError):
    """The text cannot be opened, read or addressed."""


class ModelError(RLMError):
    """A provider failed.

    Attributes:
        retryable: Whether the same request may succeed later.
        status: The HTTP status, or None if there was no response.
        possibly_billed: Whether the provider may have charged for the request.
        retry_after_s: Seconds to wait before trying again, as asked for by the provider, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        status: int | None = None,
        possibly_billed: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.possibly_billed = possibly_billed
        self.retry_after_s = retry_after_s


class ContextLimitExceeded(ModelError):
    """A request is longer than the model's window.

    Attributes:
        window_tokens: The window in tokens if the provider reports it, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        status: int | None = None,
        possibly_billed: bool = False,
        retry_after_s: float | None = None,
        window_tokens: int | None = None,
    ) -> None:
        super().__init__(
            message,
            retryable=retryable,
            status=status,
            possibly_billed=possibly_billed,
            retry_after_s=retry_after_s,
        )
        self.window_tokens = window_tokens


class SandboxError(RLMError):
    """The sandbox cannot continue."""


class ExecutionTimeout(SandboxError):
    """A cell ran longer than `cell_timeout_s`."""


class MemoryExceeded(SandboxError):
    """A cell needed more than `memory_bytes`."""


class StackOverflow(SandboxError):
    """A cell recursed deeper than `recursion_depth`."""


class OutputExceeded(SandboxError):
    """A cell printed more than `output_flood_bytes`."""


class SandboxCrashed(SandboxError):
    """The worker died or broke the protocol."""


class SandboxUnavailable(SandboxError):
    """The backend cannot run on this machine; the message says what is missing."""


class StoreError(RLMError):
    """A record of a run cannot be read or written."""


class RetrievalError(RLMError):
    """An index cannot be opened, built or searched; the message says how to fix it."""


class ToolOutcomeUnknown(RLMError):
    """A tool call was interrupted by the end of the process and may or may not have taken effect.

    The cell that made the call receives the error and decides how to continue.
    """


class AnswerRejected(RLMError):
    """The model gave no answer that passes the rules; `.partial` has its last answer."""


class LimitExceeded(RLMError):
    """A limit of the run was reached.

    Attributes:
        limit: The limit, in the unit of its name.
        used: The amount that was used, or would have been.
        depth: The depth of the session whose limit it is; 0 for the limits of the run. A limit that belongs to a child
            session ends the child, not the session that opened it.
        is_final: True if nothing useful fits within the limit any more. False if only this request was too large: the
            run can continue with a smaller one, and the message says how large it may be.
    """

    def __init__(
        self,
        message: str,
        *,
        limit: Decimal | float,
        used: Decimal | float,
        depth: int = 0,
        is_final: bool = True,
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.used = used
        self.depth = depth
        self.is_final = is_final


class BudgetExceeded(LimitExceeded):
    """The next request could exceed the run's `cost_limit_usd`."""


class TokenLimitExceeded(LimitExceeded):
    """The next request could exceed the run's `max_tokens`."""


class MaxTurnsExceeded(LimitExceeded):
    """The session took `max_turns` turns without a final answer."""


class SubcallLimitExceeded(LimitExceeded):
    """The run has made `max_subcalls` calls to other models."""


class RecursionDepthExceeded(LimitExceeded):
    """A session at `max_depth` asked for a child."""


class Stalled(LimitExceeded):
    """The model makes no progress: it repeats itself, or replies with neither code nor an answer."""


class TimeLimitExceeded(LimitExceeded):
    """The run took longer than `max_seconds`."""


def is_interrupt(error: BaseException) -> bool:
    """Return True if an error stops the run from outside: its cancellation, Ctrl-C, or the end of its event loop.

    Models, tools, hooks and the like may raise the same classes, `SystemExit`, or a class of their own below
    `BaseException`. Those are failures of the function that raised them, and must not end the caller's program.

    Args:
        error: The error that a function of the user's let through, in the task or thread that called it.
    """
    import asyncio  # late, since who only reads a file needs no event loop
    import threading

    if isinstance(error, asyncio.CancelledError):
        try:
            task = asyncio.current_task()
        except RuntimeError:  # a thread without an event loop
            return False
        return task is None or task.cancelling() > 0  # otherwise the function cancelled something of its own
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is threading.main_thread()  # the only one that Ctrl-C reaches
    return isinstance(error, GeneratorExit)
