"""Advice on imports of packages that are installed on this machine, but not in the sandbox."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import anyio.to_thread

from rlmbox.types import CellError, Execution

_MISSING = re.compile(r"No module named '([A-Za-z_]\w{0,99})(?:\.[\w.]*)?'")
ELSEWHERE = "{name} is installed, but cannot be imported here; " + (
    "--sandbox jail --package {name} allows it"
    if sys.platform == "linux"
    else "--sandbox docker:IMAGE --package {name} allows it, with an image that has it"
)
"""What to say where installed packages cannot be given to a sandbox."""


async def explained(execution: Execution, hint: str | Callable[[str], str]) -> Execution:
    """Add advice to an execution that failed to import a package which is installed on this machine.

    Args:
        execution: The execution.
        hint: The advice: a text with `{name}`, or a function of the distribution's name, called in a thread.
    """
    module = missing_module(execution.error)
    advice = await anyio.to_thread.run_sync(_advice, module, hint) if module else ""
    return with_advice(execution, advice) if advice else execution


def _advice(module: str, hint: str | Callable[[str], str]) -> str:
    name = distribution(module)
    return name and (hint.format(name=name) if isinstance(hint, str) else hint(name))


def missing_module(error: CellError | None) -> str:
    """Return the name of the module that a cell could not import; empty if that is not its error.

    Args:
        error: The cell's error, or None.
    """
    missing = _MISSING.fullmatch(error.message) if error and error.type == "ModuleNotFoundError" else None
    return missing[1] if missing else ""


def with_advice(execution: Execution, advice: str) -> Execution:
    """Append advice to the error of an execution.

    Args:
        execution: A failed execution.
        advice: The advice, in a few words.
    """
    error = execution.error
    if error is None:
        return execution
    message = f"{error.message}; {advice}"
    traceback = error.traceback.removesuffix(error.message) + message
    return replace(execution, error=replace(error, message=message, traceback=traceback))


@cache
def distribution(module: str) -> str:
    """Return the name of the distribution installed here that provides a module, or ''.

    Args:
        module: The module.
    """
    from importlib import metadata, util

    try:
        spec = util.find_spec(module)
    except ValueError:  # a module without one, such as the program's own `__main__`
        spec = None
    if spec is None:
        return ""
    names = metadata.packages_distributions().get(module, [])
    return names[0] if names else ""
