"""The errors of rlmbox, as one tree.

RLMError
 ├── ConfigError                 a setting, a name or a key is missing or wrong
 │    └── PriceUnknown           a cost limit is set for a model whose price is not known
 ├── ContextError                the text cannot be opened, read or addressed
 ├── ModelError                  a provider failed; `.retryable` says whether trying later may help
 │    └── ContextLimitExceeded   a request is longer than the model's window
 ├── SandboxError                the sandbox cannot go on
 │    ├── ExecutionTimeout       a cell ran longer than `cell_timeout_s`
 │    ├── MemoryExceeded         a cell needed more than `memory_bytes`
 │    ├── StackOverflow          a cell recursed deeper than `recursion_depth`
 │    ├── OutputExceeded         a cell printed more than `output_flood_bytes`
 │    ├── SandboxCrashed         the worker died or broke the protocol
 │    └── SandboxUnavailable     the backend cannot run on this machine
 ├── AnswerRejected              no answer passed the rules, after so many tries
 ├── StoreError                  a record of a run cannot be read or written
 ├── RetrievalError              an index or a search engine cannot be read or reached
 ├── ToolOutcomeUnknown          a tool was under way when the process ended; nobody knows whether it did its work
 └── LimitExceeded               a limit of the run was reached; `.limit`, `.used`
      ├── BudgetExceeded         US dollars
      ├── TokenLimitExceeded     tokens
      ├── MaxTurnsExceeded       turns
      ├── SubcallLimitExceeded   calls to other models
      ├── RecursionDepthExceeded nested sessions
      ├── TimeLimitExceeded      wall time
      └── Stalled                turns in a row that lead nowhere

Every error that ends a run carries what the run had until then as `.partial`, an `Answer` with
`complete=False`, or None where nothing had begun. A Python exception in a cell is not an error of the run:
it is data on `Execution`. Cancellation is never wrapped.
"""

from __future__ import annotations

from decimal import Decimal

from rlmbox.types import Answer


class RLMError(Exception):
    """Base of everything that rlmbox raises on purpose.

    Attributes:
        partial: What the run had when it ended, or None.
    """

    partial: Answer | None = None


class ConfigError(RLMError):
    """A setting, a name or a key is missing or wrong; the message says what to set."""


class PriceUnknown(ConfigError):
    """A cost limit cannot be kept because the model's price is not known."""


class ContextError(RLMError):
    """The text cannot be opened, read or addressed."""


class ModelError(RLMError):
    """A provider failed.

    Attributes:
        retryable: Whether the same request may succeed later.
        status: The HTTP status, or None where there was no answer.
        possibly_billed: Whether the provider may have charged for the request.
        retry_after_s: Seconds that the provider asks to wait for, or None where it does not.
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
        window_tokens: The window, where the provider names it; None where it does not.
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
    """The sandbox cannot go on."""


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
    """The backend cannot run on this machine; the message says what would make it."""


class StoreError(RLMError):
    """A record of a run cannot be read or written."""


class RetrievalError(RLMError):
    """An index cannot be opened, built or searched; the message says what would help."""


class ToolOutcomeUnknown(RLMError):
    """A tool was under way when the process ended, and may or may not have done its work; the cell decides."""


class AnswerRejected(RLMError):
    """The model gave no answer that passes the rules; `.partial` has the last one that it gave."""


class LimitExceeded(RLMError):
    """A limit of the run was reached.

    Attributes:
        limit: The limit, in the unit of its name.
        used: What was used or would have been.
        depth: The depth of the session whose limit it was; 0 for the run's. A limit of a child's own ends the
            child and not the session that opened it.
        is_final: Whether nothing useful fits under the limit any more. False where only this request was too large: a
            smaller one still fits, so the run can go on, and the message says how large it may be.
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
    """The run's `cost_limit_usd` cannot pay for the next request."""


class TokenLimitExceeded(LimitExceeded):
    """The run's `max_tokens` cannot hold the next request."""


class MaxTurnsExceeded(LimitExceeded):
    """The session took `max_turns` turns without a final answer."""


class SubcallLimitExceeded(LimitExceeded):
    """The run made `max_subcalls` calls to other models."""


class RecursionDepthExceeded(LimitExceeded):
    """A session at `max_depth` asked for a child."""


class Stalled(LimitExceeded):
    """The model repeats itself, or replies with neither code nor an answer, and would only cost more."""


class TimeLimitExceeded(LimitExceeded):
    """The run took longer than `max_seconds`."""
