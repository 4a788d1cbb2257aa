"""Answers to a cell's file system calls: there are no files, and the working directory is `/tmp`, as in `jail`.

Reading fails as in CPython for a missing file; writing is refused by name, since a later cell would read the file.
"""

from __future__ import annotations

import posixpath
from typing import Any

from rlmbox.sandboxes.monty._refusals import lacking
from rlmbox.sandboxes.monty._syntax import CellRefused

WORKING_DIRECTORY = "/tmp"  # noqa: S108 - a name inside the sandbox, where nothing exists
_DIRECTORIES = frozenset({"/", WORKING_DIRECTORY})
_OF_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin")
"""Directories that exist in the other sandboxes."""
_QUESTIONS = frozenset({"Path.exists", "Path.is_file", "Path.is_dir", "Path.is_symlink"})
_READING = frozenset({"open", "Path.iterdir", "Path.read_bytes", "Path.read_text", "Path.stat"})
_NO_ENTRY = (2, "FileNotFoundError", "No such file or directory")
_A_DIRECTORY = (21, "IsADirectoryError", "Is a directory")


def answer(function: str, args: tuple[Any, ...]) -> dict[str, Any] | None:
    """Return the answer to a file system or environment call, or None if there is none.

    Args:
        function: Monty's name of the function, such as `Path.read_text` or `open`.
        args: Its arguments; paths are absolute.

    Raises:
        CellRefused: The call would succeed in the other sandboxes.
    """
    if function == "os.getenv":
        return {"return_value": args[1] if len(args) > 1 else None}
    if function not in _QUESTIONS | _READING or not args:
        return None
    path = posixpath.normpath(str(args[0]))
    if function == "open" and set(str(args[1] if len(args) > 1 else "r")) & set("wax+"):
        raise writing()
    if any(path == each or path.startswith(f"{each}/") for each in _OF_SYSTEM):
        raise lacking(f"what is below {path}", "the text in `context`; there are no files")
    is_directory = path in _DIRECTORIES
    if function in _QUESTIONS:
        return {"return_value": is_directory and function in ("Path.exists", "Path.is_dir")}
    if not is_directory:
        return _error(_NO_ENTRY, path)
    if function == "Path.iterdir" and path == WORKING_DIRECTORY:
        return {"return_value": []}
    if function in ("Path.iterdir", "Path.stat"):
        raise lacking(f"what is in {path}", "the text in `context`; there are no files")
    return _error(_A_DIRECTORY, path)


def writing() -> CellRefused:
    """Return the refusal of an attempt to write a file."""
    return lacking("a file to write to", "a variable, or io.StringIO()")


def _error(kind: tuple[int, str, str], path: str) -> dict[str, Any]:
    number, name, words = kind
    shown = path.removeprefix(f"{WORKING_DIRECTORY}/")  # the form that cells mostly use
    return {"exc_type": name, "message": f"[Errno {number}] {words}: {shown!r}"}
