"""Rewrites the `repr` of functions, methods and objects to CPython's form.

Monty writes `<function 'f' at 0xc>` and `<A object at 0x10>`. A model that prints a function it forgot to call is shown
what CPython would show. Addresses vary from run to run in CPython too.
"""

from __future__ import annotations

import builtins
import importlib
import re
from functools import cache
from inspect import isbuiltin

from rlmbox.sandboxes.monty._known import WRAPPING, Known
from rlmbox.sandboxes.monty._refusals import native_modules

NO_METHODS = "the repr of a function or a method is not in this REPL: call it, as in x.method(), and show the result"
"""The refusal of what Monty displays for a method."""

_MARKS = ("<built-in function type>", "<function ", "<bound method>", " object at 0x", "<class '")
_OF_STRUCT_TIME = "time.struct_time("
_FUNCTION = re.compile(r"<function '([\w<>]+)'( at 0x[0-9a-f]+)?>")
_QUOTED = re.compile(r'"(<function [^"\n\']*>)"')
_OF_HOST = re.compile(r"<function '([\w.]+)' external>")
_OF_MODULE = re.compile(r"<function (\w+)( at 0x2[0-9a-f]{5})?>")
_OBJECT = re.compile(r"<([A-Za-z_]\w*) object( at 0x[0-9a-f]+)?>")
_CLASS = re.compile(r"<class '([A-Za-z_]\w*)'>")
_OF_TIMES = re.compile(r", tm_gmtoff=[^,()]*, tm_zone=('[^']*'|None)\)")
_OF_MODULES = {
    f"<class '{name}'>": f"<class '{module}.{name}'>"
    for module, name in (("re", "Match"), ("re", "Pattern"), ("collections", "Counter"))
}
_OF_BUILTINS = {
    "<class 're.PatternError'>": repr(re.error),
    "<built-in function type>": "<class 'type'>",
    "<class 'iterator'>": "<built-in function iter>",
}
_LAMBDA = "<lambda>"
_OWN = "own_"
_OF_OPERATOR = "_rlm_operator_"
_PLACE = " at 0x7f0000000000"
_OF_CLOSURES = " at 0x0"
"""The address that Monty prints for closures, which all our functions are."""


class MethodShown(Exception):
    """The `repr` is of a method that Monty does not name."""


def may_differ(text: str) -> bool:
    """Return whether a text may contain a `repr` that CPython writes differently."""
    return ("<" in text and any(mark in text for mark in _MARKS)) or _OF_STRUCT_TIME in text


def of_cpython(text: str, known: Known) -> str:
    """Replace Monty's `repr` of functions, classes and objects in a text by CPython's.

    Args:
        text: What a cell printed, or the `repr` of its value.
        known: What the cells have bound, including the current one.

    Raises:
        MethodShown: The text contains a method.
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
            raise MethodShown  # it is one of our functions
        if name.startswith(_OF_OPERATOR):
            return f"<built-in function {name.removeprefix(_OF_OPERATOR)}>"
        owner = getattr(builtins, name.removeprefix(_OWN), None) if name.startswith(_OWN) else None
        if owner is None and place == _OF_CLOSURES:
            raise MethodShown  # of ours as well
        if owner is None:
            return f"<function {name}{place}>"
        return repr(owner)

    def of_class(found: re.Match[str]) -> str:
        if found[1] not in classes:
            return _OF_MODULES.get(found[0], found[0])
        return found[0].replace(found[1], f"__main__.{found[1]}", 1)

    text = _QUOTED.sub(r"'\1'", _FUNCTION.sub(named, _of_python(text)))
    return _CLASS.sub(of_class, _OBJECT.sub(of_class, text))


def _of_python(text: str) -> str:
    """Replace the `repr` of Python's own functions, and of the host's."""
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
    """Return CPython's `repr` of a function of one of Monty's own modules, if it is a builtin there."""
    for module in native_modules():
        found = getattr(importlib.import_module(module), name, None)
        if found is not None:
            return f"<built-in function {name}>" if isbuiltin(found) and module != "random" else None
    return None
