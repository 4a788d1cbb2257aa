"""The end of a command: its exit code, and what it prints of an error and of a run."""

from __future__ import annotations

import errno
import sys
import traceback
from dataclasses import asdict

from rlmbox.cli.printing import output_failed, print_json
from rlmbox.errors import ConfigError, ContextError, LimitExceeded, ModelError, RetrievalError, RLMError, SandboxError
from rlmbox.guard.visible import printable
from rlmbox.types import Answer
from rlmbox.usage import quantity

_OUTPUT_ERRORS = (
    errno.EPIPE,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EBADF,
)  # of files, there are others

_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigError, 2),
    (ContextError, 2),
    (RetrievalError, 2),
    (ModelError, 3),
    (SandboxError, 4),
    (LimitExceeded, 5),
    (KeyboardInterrupt, 130),
)


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Print an error in one line, the partial results, and the traceback only when asked for.

    Args:
        error: What ended the command.
        as_json: Print one object to standard output, too.
        debug: Print the traceback.

    Returns:
        The exit code.
    """
    if isinstance(error, OSError) and error.filename is None and error.errno in _OUTPUT_ERRORS:
        return output_failed(error)
    if debug:
        traceback.print_exception(error)
    partial = getattr(error, "partial", None)
    line = " ".join(printable(_in_one_line(error)).split())
    if as_json:
        described = {"type": type(error).__name__, "message": line}
        body = {**(answer_as_object(partial) if partial else {}), "complete": False, "error": described}
        print_json(body)
    print(f"error: {line}", file=sys.stderr)  # noqa: T201
    if partial and partial.turns and not as_json:
        print("\n".join([f"until then: {summary(partial)}", *division(partial)]), file=sys.stderr)  # noqa: T201
        if partial.text.strip():
            print(printable(partial.text.strip()))  # noqa: T201
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


def _in_one_line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, RLMError):
        return str(error)
    return f"{type(error).__name__}: {error} (this is a mistake in rlmbox; --debug shows where)"


def summary(answer: Answer) -> str:
    """Say in one line what a run took."""
    return (
        f"{answer.duration_s:.2f} s, {quantity(answer.turns, 'turn')}, {quantity(answer.subcalls, 'sub-call')}, "
        f"{answer.usage.total_tokens:,} tokens, {answer.cost}"
    )


def division(answer: Answer) -> list[str]:
    """Say how a run's spend divides, one line for each part; nothing where there is nothing to divide."""
    return [f"  {printable(line)}" for line in str(answer.report).splitlines()]


def answer_as_object(answer: Answer) -> dict[str, object]:
    """Return what `--json` prints of an answer."""
    from rlmbox.events import to_json  # which `--help` would wait for

    return {
        "text": answer.text,
        "value": to_json(answer.value),
        "sources": [
            {"document": s.document, "position": s.start, "end": s.end, "quote": s.quote} for s in answer.sources
        ],
        "usage": {**asdict(answer.usage), "cached_share": round(answer.usage.cached_share, 4)},
        "cost_usd": str(answer.cost_usd),
        "cost": to_json(answer.cost),
        "report": to_json(answer.report),
        "turns": answer.turns,
        "subcalls": answer.subcalls,
        "duration_s": round(answer.duration_s, 4),
        "run_id": answer.run_id,
        "sandbox": answer.sandbox,
        "sandbox_reason": answer.sandbox_reason,
        "model": answer.model,
        "complete": answer.complete,
    }
