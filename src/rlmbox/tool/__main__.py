"""`python -m rlmbox.tool`: the service of `rlmbox tool`, without the imports of the whole command.

It starts in a third of the time, and is what `make tool-binary` packages.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys

from rlmbox.context import Context
from rlmbox.errors import ConfigError, RLMError
from rlmbox.sandboxes.registry import sandbox_from
from rlmbox.tool.interpreter import Interpreter, tool_limits
from rlmbox.tool.schema import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S
from rlmbox.tool.sessions import MAX_SESSIONS, ToolSessions
from rlmbox.tool.stdio import Service, unwritable


def main() -> int:
    """Serve on standard input and output; return the exit code."""
    options = _options()
    try:
        if sys.stdin is None or sys.stdout is None:
            raise ConfigError(
                "standard input or output is closed; requests come on the one and answers go to the other"
            )
        service = Service(_sessions(options), sys.stdin.fileno(), sys.stdout.fileno(), _warn)
        return asyncio.run(service.serve())
    except RLMError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except OSError as error:
        return unwritable(error)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="rlmbox-tool", description="Run Python: a JSON object a line in, one a line out."
    )
    parser.add_argument(
        "--sandbox", default="auto", help="Where the code runs. Default: the strongest that holds here."
    )
    parser.add_argument("--context", "-c", action="append", default=[], help="A file or folder that is `context`.")
    parser.add_argument("--package", action="append", default=[], help="An installed package that code may import.")
    parser.add_argument("--memory", type=_positive, help="MiB that a session may use. Default: 128.")
    parser.add_argument(
        "--timeout", type=_positive, default=DEFAULT_TIMEOUT_S, help="Seconds where a request names none."
    )
    parser.add_argument(
        "--max-timeout", type=_positive, default=MAX_TIMEOUT_S, help="The most that a request may name."
    )
    parser.add_argument("--max-sessions", type=_count, default=MAX_SESSIONS, help="Sessions that may be open at once.")
    parser.add_argument("--echo", action="store_true", help="Print the value of a last bare expression.")
    return parser.parse_args()


def _positive(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"a number above 0, not {text}")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number of at least 1, not {text}")
    return number


def _sessions(options: argparse.Namespace) -> ToolSessions:
    make_sandbox = sandbox_from(options.sandbox, packages=options.package)
    memory_bytes = None if options.memory is None else int(options.memory * 2**20)
    limits = tool_limits(memory_bytes=memory_bytes, max_timeout_s=options.max_timeout)
    if "-" in options.context:
        raise ConfigError("standard input carries the requests, so it cannot be the context; name a file")
    context = Context.from_path(options.context) if options.context else None
    return ToolSessions(
        lambda: Interpreter(make_sandbox, limits, context=context, echo=options.echo),
        timeout_s=options.timeout,
        max_timeout_s=options.max_timeout,
        max_sessions=options.max_sessions,
    )


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
