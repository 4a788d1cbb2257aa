"""The `repr` of functions, methods and objects as CPython writes them.

Monty writes `<function 'f' at 0xc>` and `<A object at 0x10>`; a cell that prints a function that it forgot to call
shows a model what CPython would show. Addresses differ from run to run in CPython too.
"""

from __future__ import annotations

import builtins
import importlib
import re
from functools import cache
from inspect import isbuiltin

from rlmbox.sandboxes.monty._known import WRAPPING, Known
from rlmbox.sandboxes.monty._refusals import native_modules

NO_METHODS = (
    "how a function or a method is shown that is not called is not in this REPL: call it, as in x.method(), and show "
    "what it gives"
)
"""The refusal of what Monty shows of a method."""

_MARKS = ("<built-in function type>", "<function ", "<bound method>", " object at 0x", "<class '")
_OF_STRUCT_TIME = "time.struct_time("
_FUNCTION = re.compile(r"<function '([\w<>]+)'( at 0x[0-9a-f]+)?>")
_OF_HOST = re.compile(r"<function '([\w.]+)' external>")
_OF_MODULE = re.compile(r"<function (\w+)( at 0x2[0-9a-f]{5})?>")
_OBJECT = re.compile(r"<([A-Za-z_]\w*) object( at 0x[0-9a-f]+)?>")
_CLASS = re.compile(r"<class '([A-Za-z_]\w*)'>")
_OF_TIMES = re.compile(r", tm_gmtoff=[^,()]*, tm_zone='[^']*'\)")
_OF_PATTERNS = {f"<class '{name}'>": f"<class 're.{name}'>" for name in ("Match", "Pattern")}
_OF_BUILTINS = {"<built-in function type>": "<class 'type'>", "<class 'iterator'>": "<built-in function iter>"}
_LAMBDA = "<lambda>"
_OWN = "own_"
_OF_OPERATOR = "_rlm_operator_"
_PLACE = " at 0x7f0000000000"
_OF_CLOSURES = " at 0x0"
"""The address of functions that use names of another one, as all of ours do."""


class MethodShown(Exception):
    """Monty does not tell which method it shows."""


def may_differ(text: str) -> bool:
    """Return whether there may be something in a text that CPython writes otherwise."""
    return ("<" in text and any(mark in text for mark in _MARKS)) or _OF_STRUCT_TIME in text


def of_cpython(text: str, known: Known) -> str:
    """Return a text that Monty wrote with functions, classes and objects as CPython writes them.

    Args:
        text: What a cell printed, or the `repr` of its value.
        known: What cells have bound, the one that runs among them.

    Raises:
        MethodShown: A method is among them.
    """
    if "<bound method>" in text:
        raise MethodShown
    functions = dict(known.functions)
    classes = known.classes | known.tuples

    def named(found: re.Match[str]) -> str:
        name, place = found[1], found[2] or ""
        if name in functions and (name != _LAMBDA or place != _OF_CLOSURES):
            return f"<function {_without_wrapper(functions[name]) or name}{place}>"
        if name == _LAMBDA:
            raise MethodShown  # it is one of ours
        if name.startswith(_OF_OPERATOR):
            return f"<built-in function {name.removeprefix(_OF_OPERATOR)}>"
        owner = getattr(builtins, name.removeprefix(_OWN), None) if name.startswith(_OWN) else None
        if owner is None:
            return f"<function {name}{place}>"
        return repr(owner)

    def of_class(found: re.Match[str]) -> str:
        if found[1] not in classes:
            return _OF_PATTERNS.get(found[0], found[0])
        return found[0].replace(found[1], f"__main__.{found[1]}", 1)

    text = _FUNCTION.sub(named, _of_python(text))
    return _CLASS.sub(of_class, _OBJECT.sub(of_class, text))


def _of_python(text: str) -> str:
    """Return a text with what is Python's own, and the host's, as CPython writes it."""
    for said, words in _OF_BUILTINS.items():
        text = text.replace(said, words)
    if _OF_STRUCT_TIME in text:
        text = _OF_TIMES.sub(")", text)
    text = _OF_HOST.sub(rf"<function \1{_PLACE}>", text)
    return _OF_MODULE.sub(lambda found: _of_module(found[1]) or found[0], text)


def _without_wrapper(qualified: str) -> str:
    if qualified == WRAPPING:
        raise MethodShown
    return qualified


@cache
def _of_module(name: str) -> str | None:
    """Return how CPython writes a function of a module that Monty has itself, where it is one of C."""
    for module in native_modules():
        found = getattr(importlib.import_module(module), name, None)
        if found is not None:
            return f"<built-in function {name}>" if isbuiltin(found) and module != "random" else None
    return None
