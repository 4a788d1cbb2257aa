"""`rlmbox chat`: questions one after another over the same text and the same variables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rlmbox.cli.asking import Settings, exported_where, open_context_or_none, print_answer, print_notices
from rlmbox.cli.failing import report
from rlmbox.context.load.opening import standard_input
from rlmbox.errors import RLMError, StoreError
from rlmbox.guard.visible import printable
from rlmbox.loop.blocking import BlockingSession
from rlmbox.record.stores import default_path
from rlmbox.usage import Cost

_HELP = (
    "/vars shows the variables, /cost what was spent, /save FILE keeps the talk; Ctrl-C ends a question, "
    "Ctrl-D or /quit the session"
)
_PROMPT = "> "
_HISTORY_FILE = "chat-history"
_HISTORY_LINES = 1_000


def chat(paths: list[str], settings: Settings, *, debug: bool) -> int:
    """Run `rlmbox chat`; return the exit code.

    Args:
        paths: What `--context` names.
        settings: The options of the run.
        debug: True to show the traceback of an error.
    """
    console = Console(stderr=True)
    try:
        standard_input()  # a closed one is named
        with exported_where(console, wanted=settings.otel) as telemetry, settings.opened([], telemetry) as rlm:
            print_notices(rlm, console)
            context = open_context_or_none(paths, settings)
            with rlm.session(context, run_id=settings.run_id) as session, _line_editing():
                console.print(Text(_HELP, style="dim"))
                return _Chat(session, console).run()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=False, debug=debug)


@contextmanager
def _line_editing() -> Iterator[None]:
    """Edit lines at a terminal, and keep those that were typed for the next time, in a file of their owner alone."""
    try:
        import readline
    except ImportError:  # the platform has none
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    path: Path | None = None
    with suppress(StoreError, OSError):  # a chat without a history is still a chat
        path = default_path().with_name(_HISTORY_FILE)
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        path.touch(0o600)
        path.chmod(0o600)
        readline.read_history_file(path)
    readline.set_history_length(_HISTORY_LINES)
    try:
        yield
    finally:
        if path is not None:
            with suppress(OSError):
                readline.write_history_file(path)
                path.chmod(0o600)


class _Chat:
    def __init__(self, session: BlockingSession, console: Console) -> None:
        self._session = session
        self._console = console
        self._said: list[str] = []

    def run(self) -> int:
        while True:
            try:
                line = input(_PROMPT).strip()
            except EOFError:
                print()  # noqa: T201 - what follows begins a line of its own
                return 0
            except KeyboardInterrupt:
                print()  # noqa: T201
                continue
            if line in ("/quit", "/exit"):
                return 0
            if line:
                self._take(line)

    def _take(self, line: str) -> None:
        command, _, argument = line.partition(" ")
        try:
            if command == "/vars":
                self._show(self._session.variables())
            elif command == "/cost":
                self._console.print(Text(_in_words(self._session.cost)))
            elif command == "/save":
                self._save(argument.strip())
            elif command.startswith("/"):
                self._console.print(Text(_HELP, style="dim"))
            else:
                self._ask(line)
        except KeyboardInterrupt:
            self._console.print(Text("the question was ended; the session goes on", style="yellow"))
        except RLMError as error:
            self._console.print(Text(printable(f"error: {error}"), style="red"))

    def _ask(self, question: str) -> None:
        answer = self._session.ask(question)
        self._said += [f"## {question}", answer.text]
        print_answer(answer, quiet=False, facts_to_stdout=False)

    def _show(self, variables: Any) -> None:
        for name, what in variables.items():
            self._console.print(Text(printable(f"{name}: {what}")))

    def _save(self, name: str) -> None:
        if not name:
            self._console.print(Text("name a file: /save talk.md", style="yellow"))
            return
        try:
            Path(name).write_text("\n\n".join(self._said) + "\n", encoding="utf-8")
        except OSError as error:
            self._console.print(Text(f"{name} cannot be written: {error.strerror}", style="red"))


def _in_words(cost: Cost) -> str:
    tokens = sum(line.usage.total_tokens for line in cost.lines)
    return f"{tokens:,} tokens, {cost}"
