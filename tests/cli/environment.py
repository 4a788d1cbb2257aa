"""The environment in which tests start the command."""

import os
import tempfile
from pathlib import Path

_STORE = os.path.join(tempfile.mkdtemp(prefix="rlmbox-tests-"), "runs.db")  # noqa: PTH118 - an environment is of str
_KEPT = ("PATH", "PYTHONPATH", "HOME", "XDG_CACHE_HOME", "SYSTEMROOT")


def bare(**more: str) -> dict[str, str]:
    """Return what a program needs to run and no setting of the person's, with plain output, and more."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = {"RLM_STORE": _STORE, "XDG_CONFIG_HOME": str(Path(_STORE).parent)}
    return {**kept, **own, "NO_COLOR": "1", "RLM_DIRECT_BELOW_CHARS": "0", "COLUMNS": "200", **more}
