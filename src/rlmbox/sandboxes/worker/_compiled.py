"""The modules of a worker, compiled: for a process that runs the interpreter which runs this."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType


def compiled(source: Path, name: str) -> CodeType:
    """Compile a module, or take what Python keeps of it.

    Args:
        source: Its file.
        name: What its code says of the file that it is from.
    """
    code = SourceFileLoader(source.stem, str(source)).get_code(source.stem)
    assert code is not None  # noqa: S101 - for the type checker: what has a source has code
    return _renamed(code, name)


def _renamed(code: CodeType, name: str) -> CodeType:
    """Return code with another file name."""
    constants = tuple(_renamed(each, name) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename=name, co_consts=constants)
