"""The environment in which tests start the command."""

import os

_KEPT = ("PATH", "PYTHONPATH", "HOME", "XDG_CACHE_HOME", "SYSTEMROOT")


def bare(**more: str) -> dict[str, str]:
    """Return what a program needs to run and no setting of the person's, with plain output, and more."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "200", **more}
