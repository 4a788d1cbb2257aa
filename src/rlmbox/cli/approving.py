"""`--approve`: the person at the terminal looks at code before it runs."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import anyio.from_thread
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from rlmbox.errors import ConfigError
from rlmbox.guard.visible import printable
from rlmbox.loop.approval import POLICIES, Approval, Decision, Replace
from rlmbox.loop.task import Proposal

_LOOK_S = 0.05
_ENDS_S = 5.0
_QUESTION = "run it? [y]es, [n]o, [e]dit, [q]uit: "


def approval_of(policy: str | None, console: Console) -> Approval | None:
    """Return what asks the person at the terminal; None where nobody is to be asked.

    Args:
        policy: When somebody is asked, or None.
        console: Where the code is shown.

    Raises:
        ConfigError: There is no such policy, or nobody is at the terminal.
    """
    if policy is None or policy == "never":
        return None
    approval = Approval(lambda proposal: _asked(proposal, console), policy)
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfigError(f"--approve {policy} needs a terminal on standard input; leave it out")
    return approval


def _asked(proposal: Proposal, console: Console) -> Decision:
    console.print(Text(f"turn {proposal.turn} would run:", style="bold"))
    console.print(Syntax(printable(proposal.code_block), "python", background_color="default", word_wrap=True))
    while True:
        answer = _line(_QUESTION).strip().lower()
        if answer in ("y", "yes"):
            return True
        if answer in ("n", "no"):
            return _line("why (the model is told): ").strip() or False
        if answer in ("e", "edit"):
            edited = _edited(proposal.code_block, console)
            if edited is not None:
                return Replace(edited)
            continue
        if answer in ("q", "quit"):
            _interrupt_main_thread()
            _wait_for_the_end()
            return "the run was ended"
        console.print(Text(f"there are {', '.join(('y', 'n', 'e', 'q'))}", style="dim"))


def _line(prompt: str) -> str:
    """Return a line that the person has typed; `q` at the end of input.

    While it waits it looks whether the run was cancelled, so that no thread is left that takes the next line.
    """
    if sys.platform == "win32":  # select does not know the console there
        return input(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    while not select.select([sys.stdin], [], [], _LOOK_S)[0]:
        anyio.from_thread.check_cancelled()
    return sys.stdin.readline() or "q"


def _interrupt_main_thread() -> None:
    """Have the main thread end the run, as on Ctrl-C; a signal to this thread would not wake it where it waits."""
    main = threading.main_thread().ident
    if sys.platform == "win32" or main is None:
        signal.raise_signal(signal.SIGINT)
    else:
        signal.pthread_kill(main, signal.SIGINT)


def _wait_for_the_end() -> None:
    """Wait until the run is cancelled, so that it asks for nothing more meanwhile; seconds at most."""
    for _ in range(int(_ENDS_S / _LOOK_S)):
        anyio.from_thread.check_cancelled()
        time.sleep(_LOOK_S)


def _edited(code: str, console: Console) -> str | None:
    """Return code as the person leaves it in their editor; None where they left it alone, or it came to nothing."""
    edited: str | None = None
    try:
        edited = _from_editor(code)
    except subprocess.CalledProcessError as error:
        said = f"{Path(error.cmd[0]).name} ended with {error.returncode}, so nothing is changed"
    except UnicodeDecodeError:
        said = "what the editor left is not UTF-8, so nothing is changed"
    except (OSError, ValueError) as error:  # ValueError: a quote without its end in EDITOR
        reason = getattr(error, "strerror", None) or error
        said = f"the editor did not work ({reason}); set EDITOR"
    else:
        said = "the code is as it was"
    if edited is None or edited == code:
        console.print(Text(said, style="dim"))
        return None
    return edited


def _from_editor(code: str) -> str:
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi") or ["vi"]
    with tempfile.TemporaryDirectory(prefix="rlmbox-") as folder:
        path = Path(folder) / "cell.py"
        path.write_text(code, encoding="utf-8")
        subprocess.run([*editor, str(path)], check=True)  # noqa: S603 - the person's own editor
        return path.read_text(encoding="utf-8")


def policies() -> str:
    """Return the names of the policies, for the help."""
    return ", ".join(POLICIES)
