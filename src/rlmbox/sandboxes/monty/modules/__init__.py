"""Modules of the standard library that Monty lacks, written in Monty's own Python.

A module is an object inside the sandbox: its code uses the cell's memory and time, and modifies the cell's own
objects, not copies. Its source is the file `<name>.monty` beside this one, in the subset of Python that Monty
has; it is data for Monty, not to be imported, linted or type-checked as part of rlmbox.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.resources import files

from rlmbox.errors import SandboxError
from rlmbox.sandboxes.monty.modules import _host, _zlib
from rlmbox.types import HostFunction

__all__ = [
    "HOST_FUNCTIONS",
    "MODULES",
    "NOTES",
    "imported",
    "instance_name",
    "module_source",
    "own_exports",
    "own_source",
]

HOST_FUNCTIONS: tuple[HostFunction, ...] = (*_zlib.HOST_FUNCTIONS, *_host.HOST_FUNCTIONS)
"""Host functions that the sources here call; in the sandbox's own table, not in the prompt."""

MODULES: frozenset[str] = frozenset(
    [
        "ast",
        "contextlib",
        "difflib",
        "heapq",
        "io",
        "operator",
        "pprint",
        "statistics",
        "string",
        "textwrap",
        "traceback",
        "types",
        "zlib",
    ]
)
"""Names of the offered modules."""

NOTES: tuple[str, ...] = (
    (
        "Python here is Monty, a subset, and it refuses by name what it has not: no class with a base but exceptions, "
        "`yield`, `del` of a name, `globals()`, `vars()`, `dir()` or `bytearray`; an exception of Python's takes one "
        "text at most."
    ),
    (
        "Call functions of the host in plain code, loops and list comprehensions, such as [llm_query(x) for x in xs]; "
        "an iterator of your own class, an operator or a key of `functools.lru_cache` cannot. Sets of texts keep the "
        "order in which they were filled. In your own classes `__len__`, `__bool__` and `__lt__` are refused."
    ),
    (
        "Modules: asyncio (gather, run, sleep), base64, binascii, bisect, collections, copy, csv, dataclasses, "
        "datetime, decimal, functools, hashlib, itertools, json, math, pathlib, random, re, time, tomllib, typing, "
        "unicodedata, and the main parts of ast (literal_eval), contextlib (suppress, closing, nullcontext), difflib "
        "(SequenceMatcher, get_close_matches, unified_diff), heapq, io (StringIO, BytesIO), "
        "operator, pprint, statistics, string, textwrap, traceback (its calls are refused), types (SimpleNamespace), "
        "zlib. No others, no packages such as numpy or pandas, no files, no network."
    ),
)
"""What a model needs to know about Monty's Python, for its prompt."""


def instance_name(name: str) -> str:
    """Return the global name in the sandbox that a module is bound to once its source has run."""
    return f"_rlm_{name}"


@cache
def own_source(name: str) -> str:
    """Return a source that is not of an offered module: `builtins`, `methods` or `re`."""
    return files(__package__).joinpath(f"{name}.monty").read_text(encoding="utf-8")


@cache
def own_exports(name: str) -> frozenset[str]:
    """Return the names that such a source defines for cells, without their prefix."""
    return frozenset(re.findall(r"^_rlm_(\w+)(?: = |, _rlm_)", own_source(name), re.MULTILINE)) | frozenset(
        re.findall(r"^_rlm_\w+, _rlm_(\w+) = ", own_source(name), re.MULTILINE)
    )


@cache
def module_source(name: str) -> str:
    """Return the source that creates a module, to be run once per session.

    It imports only Monty's own modules and calls no host function while it runs. It also works after a cell has
    rebound builtins such as `len`.

    Raises:
        SandboxError: The module is not one of `MODULES`.
    """
    if name not in MODULES:
        raise SandboxError(f"monty has no source of a module {name!r}; there are {', '.join(sorted(MODULES))}")
    return files(__package__).joinpath(f"{name}.monty").read_text(encoding="utf-8")


@cache
def offered_names(name: str) -> frozenset[str]:
    """Return the names that the source of an offered module assigns as `m.<name>`."""
    return frozenset(re.findall(r"^    m\.(\w+) = ", module_source(name), re.MULTILINE))


def imported(code: str) -> frozenset[str]:
    """Return the offered modules that a cell imports anywhere; none if the code does not parse."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return MODULES & names
