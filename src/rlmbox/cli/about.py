"""`--version`: the version, and what a report of a mistake should say."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata

from rlmbox import __version__


def print_version(*, verbose: bool) -> None:
    """Print the version.

    Args:
        verbose: Print Python, the system, and the versions of what rlmbox needs or can use, too.
    """
    print(f"rlmbox {__version__}")  # noqa: T201
    if verbose:
        print(f"Python {sys.version.split()[0]} ({platform.python_implementation()})")  # noqa: T201
        print(f"{platform.system()} {platform.release()} {platform.machine()}")  # noqa: T201
        for name in _named():
            try:
                print(f"{name} {metadata.version(name)}")  # noqa: T201
            except metadata.PackageNotFoundError:
                continue  # an extra that is not installed


def _named() -> list[str]:
    try:
        required = metadata.requires("rlmbox") or []
    except metadata.PackageNotFoundError:  # a source tree that is not installed
        return []
    names = {match[0] for each in required if (match := re.match(r"[A-Za-z0-9._-]+", each))}
    return sorted(names - {"rlmbox"}, key=str.lower)
