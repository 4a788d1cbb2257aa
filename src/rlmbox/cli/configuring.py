"""`config`: show the settings with where each came from, write a file of them, check one, trust one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.console import Console
from rich.text import Text

from rlmbox.cli.configuration import Configuration, variables
from rlmbox.cli.failing import report
from rlmbox.cli.layers import NAMES, Resolved, read_file, resolve, trust, user_folder
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.errors import ConfigError, RLMError
from rlmbox.guard.visible import printable

_HEAD = """\
# Settings of rlmbox. A line without its # counts. What is set here gives way to the environment (RLM_MODEL and so on),
# to .env, and to the options of the command; `rlmbox config show` says what counts and where it came from.
"""


def command_defaults(commands: dict[str, set[str]], chosen: str | None) -> dict[str, dict[str, Any]]:
    """Return what settings make of the options of the commands, and print notes on what did not count.

    Args:
        commands: The parameters of each command, by its name.
        chosen: The command that runs.

    Returns:
        Values by command and parameter; none where no option of the chosen command can be set.

    Raises:
        SystemExit: A file or the environment has an unknown key or a wrong value; one line says which.
    """
    if chosen is None or not commands.get(chosen, set()) & {"model", "sandbox", "store", "prices"}:
        return {}
    try:
        found = resolve()
    except RLMError as error:
        raise SystemExit(report(error, as_json=False, debug=False)) from None
    for note in found.notes:
        print(f"note: {printable(note)}", file=sys.stderr)  # noqa: T201
    _give_way_to_dotenv(found)
    values = found.defaults()
    return {name: {key: values[key] for key in values.keys() & options} for name, options in commands.items()}


def _give_way_to_dotenv(found: Resolved) -> None:
    """Take variables out of the process's environment where `.env` has another value, because options read those."""
    for key, place in found.places.items():
        if Path(place).name == ".env":
            for name in variables(key):
                os.environ.pop(name, None)


def show_and_print(*, as_json: bool, debug: bool) -> int:
    """Run `rlmbox config show`; return the exit code."""

    def show() -> None:
        found = resolve()
        rows = [_row(found, key) for key in Configuration.model_fields]
        if as_json:
            print_json({key: {"value": value, "from": place} for key, value, place in rows})
            return
        cells = [
            [key, "-" if value is None else value if isinstance(value, str) else json.dumps(value), place]
            for key, value, place in rows
        ]
        print_table(("setting", "value", "from"), cells, folds=("value", "from"))
        for note in found.notes:
            Console(stderr=True).print(Text(f"note: {printable(note)}", style="yellow"))

    return _ended(show, as_json=as_json, debug=debug)


def _row(found: Resolved, key: str) -> tuple[str, Any, str]:
    value = getattr(found.configuration, key, Configuration.model_fields[key].default)
    if isinstance(value, SecretStr):
        value = "********"
    elif isinstance(value, tuple):
        value = list(value)
    elif not (value is None or isinstance(value, bool | int | float)):
        value = str(value)
    return key, value, found.places.get(key, "default")


def init_and_print(path: Path | None, *, user: bool, debug: bool) -> int:
    """Run `rlmbox config init`; return the exit code."""

    def init() -> None:
        target = path or (user_folder() if user else Path.cwd()) / NAMES[0]
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(example())
        except FileExistsError:
            raise ConfigError(f"{target} already exists; remove it first, or name another path") from None
        except OSError as error:
            raise ConfigError(f"{target} cannot be written: {error.strerror}") from None
        print(f"wrote {target}")  # noqa: T201

    return _ended(init, as_json=False, debug=debug)


def example() -> str:
    """Return a file of settings in which every key is explained and none is set."""
    parts = [_HEAD]
    for key, info in Configuration.model_fields.items():
        default = info.default
        shown = '""' if default is None else json.dumps(list(default) if isinstance(default, tuple) else default)
        parts.append(f"# {info.description} ({', '.join(variables(key))})\n# {key} = {shown}\n")
    return "\n".join(parts)


def check_and_print(path: Path | None, *, debug: bool) -> int:
    """Run `rlmbox config check`; return the exit code."""

    def check() -> None:
        if path is not None:
            read_file(path)
            print(f"{path} is valid")  # noqa: T201
            return
        found = resolve()
        places = sorted(set(found.places.values()))
        print(f"settings are valid; set in: {', '.join(places) or 'nothing'}")  # noqa: T201

    return _ended(check, as_json=False, debug=debug)


def trust_and_print(path: Path, *, debug: bool) -> int:
    """Run `rlmbox config trust`; return the exit code."""

    def allow() -> None:
        trust(path)
        print(f"{path} may set everything, as long as it stays as it is")  # noqa: T201

    return _ended(allow, as_json=False, debug=debug)


def _ended(work: Callable[[], None], *, as_json: bool, debug: bool) -> int:
    try:
        work()
    except RLMError as error:
        return report(error, as_json=as_json, debug=debug)
    return 0
