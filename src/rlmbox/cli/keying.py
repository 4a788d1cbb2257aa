"""`rlmbox keys`: keep the keys of providers, list them masked, forget them."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable

from rlmbox.cli.failing import report
from rlmbox.cli.keeping import kept_keys, places
from rlmbox.cli.printing import print_json
from rlmbox.cli.tables import print_table
from rlmbox.errors import ConfigError, RLMError
from rlmbox.guard.visible import printable
from rlmbox.models.target import checked_key, key_variables, provider_named, provider_names

_MASK = "********"
_LONGEST_KEY_CHARS = 8_192


def set_and_print(provider: str, further: list[str], *, debug: bool) -> int:
    """Run `rlmbox keys set`; return the exit code.

    Args:
        provider: Whose key it is.
        further: What else stood on the command line, which is refused: it may be a key.
        debug: Print the traceback of an error.
    """

    def keep() -> None:
        if further:
            raise ConfigError(
                "a key on the command line is visible to other programs and stays in the shell's history; "
                "leave it out to be prompted for it, or pass it on standard input"
            )
        name = provider_named(provider)
        place = places()[0]
        place.set(name, checked_key(name, _read_key(name), "what was given"))
        print(f"the key for {name} is kept in {printable(place.name)}")  # noqa: T201
        variable = _variable_of(name)
        if variable:
            print(f"note: {variable} is set, and comes first", file=sys.stderr)  # noqa: T201

    return _ended(keep, as_json=False, debug=debug)


def _read_key(provider: str) -> str:
    """Return the key that is typed, without an echo, or the first line of standard input."""
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            key = getpass.getpass(f"key for {provider} (it is not shown): ")
        except EOFError:
            key = ""
    else:
        given = sys.stdin.read(_LONGEST_KEY_CHARS + 1) if sys.stdin is not None else ""
        key = given.strip()
    key = key.strip()
    if not key:
        raise ConfigError(f"no key was given for {provider}; nothing was stored")
    if len(key) > _LONGEST_KEY_CHARS or any(c.isspace() for c in key):
        raise ConfigError(f"what was given for {provider} is not a key, which is a single word; nothing was stored")
    return key


def list_and_print(*, as_json: bool, debug: bool) -> int:
    """Run `rlmbox keys list`; return the exit code."""

    def show() -> None:
        kept = kept_keys()
        rows = []
        for provider in provider_names():
            variable = _variable_of(provider)
            where = f"the environment ({variable})" if variable else kept.get(provider)
            if where:
                rows.append((provider, where))
        if as_json:
            print_json([{"provider": provider, "key": _MASK, "from": where} for provider, where in rows])
            return
        if not rows:
            print("no key is set or kept; rlmbox keys set PROVIDER keeps one")  # noqa: T201
            return
        cells = [[provider, _MASK, where] for provider, where in rows]
        print_table(("provider", "key", "from"), cells, folds=("from",))

    return _ended(show, as_json=as_json, debug=debug)


def remove_and_print(provider: str, *, debug: bool) -> int:
    """Run `rlmbox keys rm`; return the exit code."""

    def remove() -> None:
        name = provider_named(provider)
        removed = [place.name for place in places() if place.remove(name)]
        if not removed:
            raise ConfigError(f"no key for {name} is stored; rlmbox keys list shows those that are")
        print(f"the key for {name} is no longer kept in {printable(' and '.join(removed))}")  # noqa: T201

    return _ended(remove, as_json=False, debug=debug)


def _variable_of(provider: str) -> str | None:
    return next((name for name in key_variables(provider) if os.environ.get(name, "").strip()), None)


def _ended(work: Callable[[], None], *, as_json: bool, debug: bool) -> int:
    try:
        work()
    except (RLMError, KeyboardInterrupt) as error:
        return report(error, as_json=as_json, debug=debug)
    return 0
