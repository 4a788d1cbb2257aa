"""Rewrites of expressions: names, operators, comparisons, subscripts and f-strings."""

from __future__ import annotations

import ast
import re
from typing import cast

from rlmbox.sandboxes.monty import _caught, _sets
from rlmbox.sandboxes.monty._calls import CallsRewriting
from rlmbox.sandboxes.monty._nodes import (
    call,
    is_text,
    load,
    own_name,
    parameters,
)
from rlmbox.sandboxes.monty._own_imports import OWN_MODULES
from rlmbox.sandboxes.monty._refusals import SHIMMED_BUILTINS, is_asked_for

_OF_TIMEDELTA: dict[type[ast.operator], str] = {ast.Mult: "times", ast.Div: "divided"}
_DIVISIONS: dict[type[ast.operator], str] = {ast.Div: "div", ast.FloorDiv: "floordiv", ast.Mod: "mod"}
_OF_FORMATS = re.compile(r"(.?[<>=^])?[-+ ]?z?#?0?\d*[,_]?(\.\d+)?[bcdeEfFgGnosxX%]?|.*%.*")
"""Format specs that Monty accepts when it compiles a cell; it reports any other as a syntax error."""


class ExpressionsRewriting(CallsRewriting):
    """Rewrites expressions."""

    def expression(self, node: ast.expr) -> ast.expr:
        """Return the rewritten form of an expression."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        changed = method(node) if method is not None else self._children(node)
        return cast("ast.expr", ast.copy_location(changed, node))

    def _name(self, node: ast.Name) -> ast.expr:
        if node.id == "bytes":
            return node  # also used as a type; replaced only where it is called
        if isinstance(node.ctx, ast.Load) and node.id in SHIMMED_BUILTINS and node.id not in self._bound:
            return load(own_name(node.id))
        if isinstance(node.ctx, ast.Load) and node.id in OWN_MODULES and node.id not in self._bound:
            return load(own_name(f"module_{node.id}"))  # available without import
        return node

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        """Rewrite `d[k]` in a cell that may display the key of a KeyError, or that slices a dict."""
        key = node.slice
        if isinstance(node.ctx, ast.Load) and self._is_of_typing(node.value):
            return load(own_name("of_typing"))
        if not isinstance(node.ctx, ast.Load) or self.is_large or not self._words.are_caught:
            return self._children(node)
        if isinstance(key, ast.Slice):
            if not is_text(node.value):
                self._children(node)
                node.value = call("worded_cut", node.value, ast.Constant(_caught.SLICES_ARE_KEYS))
                return node
            return self._children(node)
        if not self._words.keys_are_seen or _caught.tells_itself(key):
            return self._children(node)
        return call("worded_at", self.expression(node.value), self.expression(key))

    def _is_type(self, node: ast.expr) -> bool:
        return self._is_of_typing(node.value if isinstance(node, ast.Subscript) else node)

    def _compare(self, node: ast.Compare) -> ast.expr:
        """Rewrite `'name' in globals()` to a probe that reads the name."""
        if not is_asked_for(node):
            for side in (node.left, *node.comparators):
                if isinstance(side, ast.Call) and self._is_builtin(side, {"type"}) and len(side.args) == 1:
                    side.func = load(own_name("kind_of"))  # the type of an exception of the cell is its class
            return self._children(node)
        assert isinstance(node.left, ast.Constant)  # noqa: S101 - ensured by `is_asked_for`
        probe = ast.Lambda(parameters([]), load(str(node.left.value)))
        found = call("defined", probe)
        return found if isinstance(node.ops[0], ast.In) else ast.UnaryOp(ast.Not(), found)

    def _binop(self, node: ast.BinOp) -> ast.expr:
        """Rewrite operators of sets, divisions and products of a `timedelta`."""
        if isinstance(node.op, ast.BitOr) and (self._is_type(node.left) or self._is_type(node.right)):
            return load(own_name("of_typing"))  # `Dict[str, int] | None`
        of_sets = _sets.operator(node, self._sets)
        if of_sets is not None:
            return call(of_sets, self.expression(node.left), self.expression(node.right))
        if self._may_be_seen(node):
            name = ast.Constant(_DIVISIONS[type(node.op)])
            of_dates = [load(own_name("divided"))] if self._has_dates and isinstance(node.op, ast.Div) else []
            return call("worded_division", name, self.expression(node.left), self.expression(node.right), *of_dates)
        if self._has_dates and self._words.are_caught and isinstance(node.op, ast.Add | ast.Sub):
            sign = ast.Constant(1 if isinstance(node.op, ast.Add) else -1)
            if not isinstance(node.left, ast.Constant) and not isinstance(node.right, ast.Constant):
                return call("moved", self.expression(node.left), self.expression(node.right), sign)
        ours = _OF_TIMEDELTA.get(type(node.op)) if self._has_dates else None
        left, right = self.expression(node.left), self.expression(node.right)
        if ours is None or is_text(left) or (isinstance(left, ast.Constant) and isinstance(right, ast.Constant)):
            node.left, node.right = left, right
            return node
        return call(ours, left, right)

    def _may_be_seen(self, node: ast.BinOp) -> bool:
        """Return whether a division may be by zero where the error may be displayed."""
        is_once = self._scopes[-1] == "function" and not self._loops and not self._inner_names  # see `Known.divides`
        if not (self._words.are_seen or is_once) or type(node.op) not in _DIVISIONS or is_text(node.left):
            return False
        return not (isinstance(node.right, ast.Constant) and node.right.value)

    def _formattedvalue(self, node: ast.FormattedValue) -> ast.expr:
        """Check the value of `f'{value:>10}'`, which raises in CPython for None or a list."""
        node.value = self.expression(self.as_shown(node.value))
        if node.format_spec is not None:
            node.format_spec = self.expression(node.format_spec)
            has_one = not isinstance(node.format_spec, ast.JoinedStr) or node.format_spec.values
            for text in _constant_spec(node.format_spec):
                if not _OF_FORMATS.fullmatch(str(text.value)):  # Monty would not compile it
                    node.format_spec = ast.JoinedStr([ast.FormattedValue(text, -1)])
            if has_one and node.conversion < 0 and not is_text(node.value):
                node.value = call("spec", node.value, *_constant_spec(node.format_spec))
        return node

    def _lambda(self, node: ast.Lambda) -> ast.expr:
        self._defaults(node.args)
        self._inner_names.append(frozenset(one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)))
        self._names_around.append(self._inner_names[-1])
        self._around += ["<lambda>", "<locals>"]
        node.body = self.expression(node.body)
        del self._around[-2:]
        self._names_around.pop()
        self._inner_names.pop()
        return node

    def _set(self, node: ast.Set) -> ast.expr:
        """Rewrite a set display: CPython iterates over numbers in hash order, Monty in insertion order."""
        numbers = [
            one.value for one in node.elts if isinstance(one, ast.Constant) and isinstance(one.value, int | float)
        ]
        if len(numbers) == len(node.elts):
            if len({*numbers}) > _sets.FEW:  # CPython fills one set from another there
                return call("set_literal", node)
            node.elts = [ast.Constant(number) for number in {*numbers}]
            return node
        changed = self._children(node)
        return changed if all(is_text(one) for one in node.elts) else call("set_of", changed)


def _constant_spec(spec: ast.expr) -> list[ast.Constant]:
    """Return a format spec as a list of one constant, or an empty list if it is not constant."""
    parts = spec.values if isinstance(spec, ast.JoinedStr) else []
    texts = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
    return [ast.Constant("".join(texts))] if parts and len(texts) == len(parts) else []
