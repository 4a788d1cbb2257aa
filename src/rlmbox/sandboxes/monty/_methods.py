"""Rewrites of methods of builtin types that Monty lacks or implements differently, called or passed as values."""

from __future__ import annotations

import ast
from string import Formatter

from rlmbox.sandboxes.monty import _caught, _sets
from rlmbox.sandboxes.monty._lazy import LazyRewriting
from rlmbox.sandboxes.monty._nodes import (
    call,
    is_empty,
    is_number,
    is_quick_key,
    is_text,
    load,
    own_name,
    parameters,
)
from rlmbox.sandboxes.monty._refusals import CALLED_BY, ONLY_NAMED, is_super
from rlmbox.sandboxes.monty._rewriting import BUILTIN_METHODS, PARTS_OF_NUMBERS, UNBOUND

CONSUMERS = frozenset(
    [
        "list",
        "tuple",
        "set",
        "frozenset",
        "sum",
        "sorted",
        "min",
        "max",
        "dict",
        "Counter",
        "deque",
        "fsum",
        "prod",
        "mean",
        "fmean",
        "median",
    ]
)
"""Functions that consume their argument whole, at once."""
_CONSUMING_METHODS = frozenset({"join", "extend", "update", "union", "intersection", "difference", "writelines"})
_OF_MANY = frozenset({"union", "intersection", "difference"})
_CLASS_METHODS = frozenset({"fromkeys"})
_STATIC = {"str.maketrans", "bytes.maketrans", "int.from_bytes", "float.fromhex"}
# Methods of builtin types that Monty lacks or has in part; calls of them go through our functions.
METHOD_SHIMS = frozenset(
    "translate format_map difference_update intersection_update symmetric_difference_update union intersection "  # noqa: SIM905
    "difference update encode decode strptime bit_length bit_count is_integer as_integer_ratio to_bytes replace "
    "_replace elements toordinal isocalendar fromordinal fromtimestamp utcfromtimestamp ctime fromisoformat "
    "splitlines".split()
)
_SEARCHES = frozenset({"count", "endswith", "find", "index", "rfind", "rindex", "startswith"})


class MethodsRewriting(LazyRewriting):
    """Rewrites attributes and method calls."""

    def _attribute(self, node: ast.Attribute) -> ast.expr:
        """Rewrite an attribute that is read, not called: Monty has no method objects of builtin types."""
        if isinstance(node.ctx, ast.Load):
            if node.attr in self.properties:
                return call("property", self.expression(node.value), ast.Constant(node.attr))
            if self._is_own(node):
                return load(own_name("of_typing" if node.attr in ONLY_NAMED else node.attr))
            if node.attr == "__name__" and self._words.are_seen and _is_type_call(node.value):
                return call("worded_type_name", self.expression(node.value.args[0]))  # type: ignore[attr-defined]
            if node.attr == "__name__" and (self.is_large or not _is_type_call(node.value)):
                return call("name_of", self.expression(node.value))
            if node.attr == "__class__":
                return ast.Call(load("type"), [self.expression(node.value)], [])
            if isinstance(node.value, ast.Name) and node.value.id in UNBOUND - self._bound:
                return self._unbound(node.value.id, node.attr)
            if node.attr in BUILTIN_METHODS or node.attr in PARTS_OF_NUMBERS:
                return call("getattr", self.expression(node.value), ast.Constant(node.attr))
        node.value = self.expression(node.value)
        return node

    def _unbound(self, kind: str, method: str) -> ast.expr:
        if f"{kind}.{method}" in _STATIC:
            return load(own_name(f"{kind}_{method}"))
        if method in _CLASS_METHODS or method == "fromhex" or method.startswith("__"):
            return ast.Attribute(load(kind), method, ast.Load())
        return call("unbound", ast.Constant(kind), ast.Constant(method))

    def _method_call(self, node: ast.Call, function: ast.Attribute) -> ast.expr | None:
        owner, name = function.value, function.attr
        if CALLED_BY.get(name) == len(node.args) and not node.keywords and not is_super(owner):
            return self.expression(_of_dunder(name, owner, node.args))
        return self._named_method_call(node, function)

    def _named_method_call(self, node: ast.Call, function: ast.Attribute) -> ast.expr | None:
        owner, name = function.value, function.attr
        is_gone_through, self._is_gone_through = self._is_gone_through, False
        if isinstance(owner, ast.Name) and owner.id in UNBOUND - self._bound:
            function_value = self._unbound(owner.id, name)
            self._arguments(node)
            node.func = function_value
            return node
        if name in ("write", "timedelta") and (ours := self._of_module(name, owner, function)) is not None:
            self._arguments(node)
            return ast.Call(ours.func, [*ours.args, *node.args], node.keywords)
        if name == "sort" and not node.args:
            return self._sort(node, function)
        if name in ("loads", "dumps", "dump"):
            return self._json(node, name)
        of_container = self._of_list_or_set(node, name)
        if of_container is not None:
            owned = self._owner(node, function)
            self._arguments(node, consumed=True)
            if name == "remove" and self._keeps_key(node):
                return call("worded_key", load(own_name(of_container)), owned, *node.args)
            return call(of_container, owned, *node.args)
        if name in ("pop", "remove") and self._keeps_key(node):
            return self._with_key_kept(node, function)
        if name in METHOD_SHIMS or name in _SEARCHES:
            shimmed = self._shimmed(node, function)
            if shimmed is not None:
                return shimmed
        changed = self._plain_method(node, function)
        return changed if is_gone_through or name != "finditer" else call("found_iterator", changed)

    def _shimmed(self, node: ast.Call, function: ast.Attribute) -> ast.expr | None:
        """Return a call of our function for a method that Monty lacks or has in part; None if it has this one."""
        name = function.attr
        if self._finds_nothing(node, name):
            self._arguments(node)
            return call("find_nothing", self.expression(function.value), ast.Constant(name), *node.args[1:])
        if name not in METHOD_SHIMS or not self._needs_shim(name, node):
            return None
        owned = self._owner(node, function)
        self._arguments(node, consumed=name in _CONSUMING_METHODS)
        shim = load(own_name(f"many_{name}" if name in _OF_MANY else f"m_{name}"))
        if name in self.functions:
            return call("own_or", shim, owned, ast.Constant(name), *node.args, keywords=node.keywords)
        return ast.Call(shim, [owned, *node.args], node.keywords)

    def _of_module(self, name: str, owner: ast.expr, function: ast.expr) -> ast.Call | None:
        """Return a call of our function for `sys.stdout.write` or `datetime.timedelta`, with its first argument."""
        if name == "write":
            text = ast.unparse(owner)
            return call("write", ast.Constant(text)) if text in ("sys.stdout", "sys.stderr") else None
        is_module = isinstance(owner, ast.Name) and self.modules.get(owner.id) == "datetime"
        return call("timedelta", function) if is_module else None

    def _plain_method(self, node: ast.Call, function: ast.Attribute) -> ast.expr:
        """Rewrite the owner and arguments of a method call that Monty handles itself."""
        owner, name = function.value, function.attr
        if name == "format" and isinstance(owner, ast.Constant) and isinstance(owner.value, str):
            self._with_specs(node, owner.value)
        function.value = self._owner(node, function)
        self._arguments(node, consumed=name in _CONSUMING_METHODS or name in CONSUMERS)
        return node

    def _keeps_key(self, node: ast.Call) -> bool:
        if not self._words.keys_are_seen or len(node.args) != 1 or node.keywords or self._asks(node):
            return False
        return not isinstance(node.args[0], ast.Starred) and not _caught.tells_itself(node.args[0])

    def _with_key_kept(self, node: ast.Call, function: ast.Attribute) -> ast.expr:
        """Rewrite `d.pop(k)` and `s.remove(k)`, whose KeyError may be displayed."""
        method = ast.Attribute(load(own_name("o")), function.attr, ast.Load())
        names = [own_name("o"), own_name("k")]
        step = ast.Lambda(parameters(names), ast.Call(method, [load(own_name("k"))], []))
        self._arguments(node)
        return call("worded_key", step, self.expression(function.value), node.args[0])

    @staticmethod
    def _finds_nothing(node: ast.Call, name: str) -> bool:
        """Return whether a call searches for an empty string from a position on."""
        if name not in _SEARCHES or len(node.args) < 2:
            return False
        return is_empty(node.args[0])

    def _of_list_or_set(self, node: ast.Call, name: str) -> str | None:
        """Return our replacement of a method that lists or sets have; None if Monty handles it."""
        if self._asks(node):
            return None
        if name == "index" and self._words.are_seen and node.args and not node.keywords:
            return "worded_index"
        ours = _sets.method(node, name, self._sets)
        is_plain = len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred)
        if name == "update" and is_plain and self._words.are_seen:
            return "worded_update" if ours is None else "worded_set_update"
        return ours

    def _json(self, node: ast.Call, name: str) -> ast.expr:
        """Rewrite `json.loads` to raise CPython's messages, and `json.dumps` to take named tuples and `default=`."""
        self._arguments(node)
        node.func = self.expression(node.func)
        is_whole = len(node.args) == (2 if name == "dump" else 1)
        return call(name, node.func, *node.args, keywords=node.keywords) if is_whole else node

    @staticmethod
    def _with_specs(node: ast.Call, form: str) -> None:
        """Check the values that `'{:>10}'.format(value)` formats with a spec, as in an f-string."""
        try:
            fields = [field for field in Formatter().parse(form) if field[1] is not None]
        except ValueError:
            return
        for number, (_, name, spec, conversion) in enumerate(fields):
            if not spec or conversion:
                continue
            constant = [] if "{" in spec else [ast.Constant(spec)]
            at = number if name == "" else int(name or "") if (name or "").isdecimal() else len(node.args)
            if at < len(node.args) and not any(isinstance(one, ast.Starred) for one in node.args[: at + 1]):
                node.args[at] = call("spec", node.args[at], *constant)
            for keyword in node.keywords:
                if keyword.arg == name:
                    keyword.value = call("spec", keyword.value, *constant)

    @staticmethod
    def _needs_shim(name: str, node: ast.Call) -> bool:
        if name == "strptime":
            return len(node.args) == 2
        if name == "replace":
            is_of_date = bool(node.args) and is_number(node.args[0]) and not is_text(node.args[0])
            return is_of_date or len(node.args) == 1 or any(one.arg != "count" for one in node.keywords)
        if name in ("union", "intersection", "difference", "update"):
            return len(node.args) != 1 or isinstance(node.args[0], ast.Starred)
        if name == "splitlines":
            return len(node.args) == 1 and not _is_whole_number(node.args[0])
        if name in ("encode", "decode"):
            first = node.args[0] if node.args else None
            return bool(node.args or node.keywords) and not (
                isinstance(first, ast.Constant) and str(first.value).lower() in ("utf-8", "utf8", "ascii")
            )
        return True

    def _sort(self, node: ast.Call, function: ast.Attribute) -> ast.expr:
        key = next((one.value for one in node.keywords if one.arg == "key"), None)
        self._arguments(node)
        owner = self.expression(function.value)
        if key is not None and not is_quick_key(key, self._bound):
            return ast.Call(load(own_name("sort")), [owner], node.keywords)
        if self._words.are_seen:
            return ast.Call(load(own_name("worded_sort")), [owner], node.keywords)
        function.value = owner
        return node


def _of_dunder(name: str, owner: ast.expr, arguments: list[ast.expr]) -> ast.expr:
    """Rewrite `it.__next__()` as `next(it)`: builtin types have no such methods in Monty."""
    if name == "__getitem__":
        return ast.Subscript(owner, arguments[0], ast.Load())
    if name == "__contains__":
        return ast.Compare(arguments[0], [ast.In()], [owner])
    return ast.Call(load(name.strip("_")), [owner], [])


def _is_whole_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _is_type_call(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "type"
        and len(node.args) == 1
        and not node.keywords
    )
