"""`rlmbox chat`: questions one after another over the same text and the same variables."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rlmbox.cli.asking import Settings, open_context, print_answer
from rlmbox.cli.failing import report
from rlmbox.errors import RLMError
from rlmbox.guard.visible import printable
from rlmbox.loop.session import BlockingSession

_HELP = "/vars shows the variables, /cost what was spent, /save FILE keeps the talk, /quit ends; Ctrl-C ends a question"
_PROMPT = "> "


def chat(paths: list[str], settings: Settings, *, debug: bool) -> int:
    """Run `rlmbox chat`; return the exit code.

    Args:
        paths: What `--context` names.
        settings: The options of the run.
        debug: True to show the traceback of an error.
    """
    console = Console(stderr=True)
    try:
        with settings.rlm([]) as rlm, rlm.session(open_context(paths)) as session:
            console.print(Text(_HELP, style="dim"))
            return _Chat(session, console).run()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets one line
        return report(error, as_json=False, debug=debug)


class _Chat:
    def __init__(self, session: BlockingSession, console: Console) -> None:
        self._session = session
        self._console = console
        self._said: list[str] = []

    def run(self) -> int:
        with suppress(ImportError):  # line editing and history, where the platform has them
            import readline  # noqa: F401
        while True:
            try:
                line = input(_PROMPT).strip()
            except EOFError:
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
                self._console.print(Text(str(self._session.cost)))
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
