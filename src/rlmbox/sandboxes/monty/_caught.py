"""Exception handlers of a cell, and how they display the exception.

A Monty exception holds one string, worded differently from CPython's. `modules/_words.py` translates the message when
a handler catches the exception; this module rewrites the handler's uses of it, so that the key of a KeyError, which
Monty keeps only as a string, is displayed as the original object.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

from rlmbox.sandboxes.monty._known import AMBIGUOUS, Known, qualified_names
from rlmbox.sandboxes.monty._nodes import call, load, own_name

CAUGHT = own_name("caught")
"""The name given to the exception of a handler that has none."""
SLICES_ARE_KEYS = sys.version_info >= (3, 12)
"""Whether `{}[:5]` raises a KeyError, as from Python 3.12 on; before, slices are unhashable."""
_OF_KEYS = frozenset({"KeyError", "LookupError", "Exception", "BaseException"})
_WORDS = frozenset({"None", "True", "False", "nan", "inf", "infinity"})
_OF_LACKS = frozenset(
    {
        "ArithmeticError",
        "AttributeError",
        "BaseException",
        "Exception",
        "NotImplementedError",
        "OverflowError",
        "RuntimeError",
        "TypeError",
    }
)


class ShownBy(IntEnum):
    """Ways in which a handler displays the exception."""

    NOT = 0
    BY_TEXT = 1
    """Only by `str(e)`, `print(e)`, an f-string, `repr(e)` or `e.args`."""
    OTHERWISE = 2


@dataclass(frozen=True, slots=True)
class Words:
    """The ways in which a cell may display error messages.

    Attributes:
        are_caught: Whether it has exception handlers.
        are_seen: Whether a handler binds the exception to a name.
        keys_are_seen: Whether such a handler may catch a KeyError.
        functions: Qualified name of each function, method and class by its simple name.
    """

    are_caught: bool
    are_seen: bool
    keys_are_seen: bool
    functions: Mapping[str, str]

    @classmethod
    def of(cls, tree: ast.Module, known: Known) -> Words:
        """Inspect a cell, given what is known of earlier ones."""
        handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
        if not any(one.name for one in handlers):
            return cls(bool(handlers), False, False, {})
        functions = dict(known.functions)
        for name, one in qualified_names(tree).items():
            functions[name] = one if functions.get(name, one) == one or name in known.names else AMBIGUOUS
        return cls(True, True, any(one.name and may_catch(one, _OF_KEYS) for one in handlers), functions)


def may_catch(handler: ast.ExceptHandler, names: Collection[str]) -> bool:
    """Return whether a handler may catch one of some types, judged by the types it lists."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None
        or (kind.id in names or not _is_builtin_error(kind.id) if isinstance(kind, ast.Name) else _is_unknown(kind))
        for kind in kinds
    )


def _is_builtin_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


def _is_unknown(kind: ast.expr) -> bool:
    return not isinstance(kind, ast.Attribute)  # such as `json.JSONDecodeError`


def tells_itself(key: ast.expr) -> bool:
    """Return whether a key is a string literal whose stored form cannot be mistaken for another type."""
    return (
        isinstance(key, ast.Constant)
        and isinstance(key.value, str)
        and key.value[:1].isalpha()
        and key.value not in _WORDS
    )


def named(handler: ast.ExceptHandler) -> str | None:
    """Return the name a handler binds the exception to, adding one where the rewrite needs it."""
    if handler.name is None and may_catch(handler, _OF_LACKS):
        handler.name = CAUGHT
        handler.type = handler.type or load("BaseException")
    return handler.name


def shown(handler: ast.ExceptHandler) -> ShownBy:
    """Rewrite a handler to display the exception with its key; return how else it displays it."""
    name = str(handler.name)
    if name == CAUGHT:
        return ShownBy.NOT
    rewriter = _DisplayRewriter(name)
    if not _is_bound_in(handler, name):
        handler.body = [rewriter.visit(statement) for statement in handler.body]
    apart = {id(node.exc) for node in ast.walk(handler) if isinstance(node, ast.Raise)}
    apart |= {id(node.args[0]) for node in ast.walk(handler) if _asks_for_type(node)}  # type: ignore[attr-defined]
    apart |= {id(node.args[0]) for node in rewriter.calls}
    names = [node for node in ast.walk(handler) if isinstance(node, ast.Name) and node.id == name]
    if any(id(node) not in apart for node in names):
        return ShownBy.OTHERWISE
    return ShownBy.BY_TEXT if rewriter.calls else ShownBy.NOT


def _is_bound_in(handler: ast.ExceptHandler, name: str) -> bool:
    """Return whether the body of a handler rebinds its name."""
    for node in ast.walk(handler):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.arg) and node.arg == name:
            return True
        if isinstance(node, ast.ExceptHandler) and node is not handler and node.name == name:
            return True
    return False


def _asks_for_type(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("type", "isinstance", own_name("worded_type_name"))
        and bool(node.args)
    )


class _DisplayRewriter(ast.NodeTransformer):
    """Replaces expressions that display an exception by calls of our functions.

    Args:
        name: The name bound to the exception.

    Attributes:
        calls: The calls put in.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.calls: list[ast.Call] = []

    def visit_Call(self, node: ast.Call) -> ast.AST:
        # `str(e)`, `repr(e)`, `print(e)`, `'{}'.format(e)`.
        function = node.func
        if isinstance(function, ast.Name) and function.id in ("str", "repr") and self._is_only(node):
            return self._call(function.id)
        prints = isinstance(function, ast.Name) and function.id == "print"
        formats = (
            isinstance(function, ast.Attribute)
            and function.attr == "format"
            and isinstance(function.value, ast.Constant)
            and isinstance(function.value.value, str)
            and not set("![:") & set(function.value.value.replace(": {", " {"))
        )
        if prints or formats:
            node.args = [self._call("str") if self._is_error(one) else one for one in node.args]
        return self.generic_visit(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        if self._is_error(node.value) and node.conversion in (-1, ord("s"), ord("r")):
            node.value = self._call("repr" if node.conversion == ord("r") else "str")
            node.conversion = -1
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        # `'%s' % e`.
        is_form = (
            isinstance(node.left, ast.Constant) and isinstance(node.left.value, str) and "%r" not in node.left.value
        )
        if isinstance(node.op, ast.Mod) and is_form:
            if self._is_error(node.right):
                node.right = self._call("str")
            elif isinstance(node.right, ast.Tuple):
                node.right.elts = [self._call("str") if self._is_error(one) else one for one in node.right.elts]
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr == "args" and self._is_error(node.value):
            return self._call("args")
        return self.generic_visit(node)

    def _is_only(self, node: ast.Call) -> bool:
        return not node.keywords and self._is_error(*node.args)

    def _is_error(self, *nodes: ast.expr) -> bool:
        return len(nodes) == 1 and isinstance(nodes[0], ast.Name) and nodes[0].id == self._name

    def _call(self, what: str) -> ast.Call:
        made = call(f"worded_{what}", load(self._name))
        self.calls.append(made)
        return made
