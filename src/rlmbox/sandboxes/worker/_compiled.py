"""Compiled modules of the worker, for a process that hosts the interpreter in which the worker runs."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType


def compiled(source: Path, name: str) -> CodeType:
    """Compile a module, or use Python's cached bytecode.

    Args:
        source: The module's file.
        name: File name to record in the code.
    """
    code = SourceFileLoader(source.stem, str(source)).get_code(source.stem)
    assert code is not None  # noqa: S101 - for the type checker: a module with source has code
    return _renamed(code, name)


def _renamed(code: CodeType, name: str) -> CodeType:
    """Return the code with another file name."""
    constants = tuple(_renamed(each, name) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=name, co_consts=constants)
