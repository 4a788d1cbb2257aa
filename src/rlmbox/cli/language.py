"""Small cells of the kinds that models write, by which `rlmbox doctor` says how much of Python a sandbox runs.

What they do follows a count over 1,942 cells of public runs: printing, loops, f-strings, slices, imports,
comprehensions and patterns are in most of them; classes, `with` and generators are rare, but not absent. They are
in `language.txt`: a line `### name`, then the cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def language_cells() -> Mapping[str, str]:
    """Return the cells by name; each runs without an error where the language has what it uses."""
    text = files(__package__).joinpath("language.txt").read_text("utf-8")
    blocks = (block.split("\n", 1) for block in text.split("### ")[1:])
    return MappingProxyType({name: code.strip("\n") for name, code in blocks})
