"""Rewrites of calls: builtins that Monty lacks or implements differently, and host functions."""

from __future__ import annotations

import ast
import builtins

from rlmbox.sandboxes.monty._comprehensions import EACH
from rlmbox.sandboxes.monty._methods import CONSUMERS, MethodsRewriting
from rlmbox.sandboxes.monty._nodes import (
    call,
    is_number,
    is_quick_key,
    is_text,
    load,
    own_name,
)
from rlmbox.sandboxes.monty._refusals import OF_KINDS, lacking

_SHOWING = frozenset({"print", "str", "repr", "format", "ascii"})
_OF_OBJECTS = frozenset({"object", "slice", "eval", "print", "hasattr", "getattr"})
_EXCEPTIONS = frozenset(
    "Exception ValueError KeyError TypeError RuntimeError IndexError LookupError AttributeError NameError "  # noqa: SIM905
    "ArithmeticError ZeroDivisionError OverflowError AssertionError NotImplementedError StopIteration OSError "
    "FileNotFoundError PermissionError TimeoutError MemoryError ImportError BaseException".split()
)
_KNOWN = frozenset(dir(builtins))
_OF_JSON = frozenset({"json.dump", "json.dumps", "json.loads"})


class CallsRewriting(MethodsRewriting):
    """Rewrites calls."""

    def _call(self, node: ast.Call) -> ast.expr:
        function = node.func
        if isinstance(function, ast.Name) and self.modules.get(function.id) == "datetime.timedelta":
            self._arguments(node)
            return ast.Call(load(own_name("timedelta")), [function, *node.args], node.keywords)
        if isinstance(function, ast.Name) and self.modules.get(function.id) in (
            "json.loads",
            "json.dumps",
            "json.dump",
        ):
            return self._json(node, str(self.modules[function.id]).partition(".")[2])
        if isinstance(function, ast.Name) and function.id not in self._bound:
            if function.id in ("isinstance", "issubclass") and len(node.args) == 2:
                node.args[1] = self._kinds(node.args[1])
            if function.id in _SHOWING or function.id in self._host_names:
                node.args = [self.as_shown(one) for one in node.args]
            changed = (self._of_objects if function.id in _OF_OBJECTS else self._builtin_call)(node, function.id)
            if changed is not None:
                return changed
        if isinstance(function, ast.Attribute) and not self._is_own(function) and function.attr not in self.properties:
            changed = self._method_call(node, function)
            if changed is not None:
                return changed
        else:
            node.func = self.expression(function)
        self._arguments(node, consumed=isinstance(function, ast.Name) and function.id in CONSUMERS)
        if isinstance(function, ast.Name) and function.id in self._host_names:
            self._leave(node)
        return node

    def _kinds(self, node: ast.expr) -> ast.expr:
        """Replace `typing.List` in the second argument of `isinstance` by `list`."""
        if isinstance(node, ast.Tuple):
            node.elts = [self._kinds(one) for one in node.elts]
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        is_one = name in OF_KINDS and self._is_of_typing(node)
        return load(OF_KINDS[name]) if is_one else node

    def _leave(self, node: ast.Call) -> None:
        """Convert the arguments of a host call to types that can leave the worker."""
        leaving = [*self._of_classes(), ast.keyword("consumes", ast.Constant(True))]
        for at, one in enumerate(node.args):
            if not isinstance(one, ast.Constant | ast.JoinedStr | ast.Starred):
                node.args[at] = call("leaving", one, keywords=leaving)
        for keyword in node.keywords:
            if keyword.arg is not None and not isinstance(keyword.value, ast.Constant | ast.JoinedStr):
                keyword.value = call("leaving", keyword.value, keywords=leaving)

    def _builtin_call(self, node: ast.Call, name: str) -> ast.expr | None:
        plain = not node.keywords and not any(isinstance(one, ast.Starred) for one in node.args)
        if name in ("any", "all") and plain and len(node.args) == 1:
            return self._short_circuit(name, node.args[0])
        if name == "next" and plain and len(node.args) in (1, 2):
            return self._next(node)
        generator = self._as_generator(node, only_lambdas=True)  # other functions are read now, not for each item
        if isinstance(generator, ast.GeneratorExp):
            return self._named_generator(name, generator)
        if name in ("sorted", "min", "max"):
            return self._ordered(name, node)
        if name == "divmod" and self._words.are_seen and len(node.args) == 2 and plain:
            self._arguments(node)
            return call("worded_division", ast.Constant("divmod"), *node.args)
        if name in _EXCEPTIONS and plain and node.args:
            return self._exception(name, node)
        if name in ("int", "float", "bytes", "dict") and node.args:
            return self._converted(name, node)
        if name in ("set", "frozenset") and plain and node.args:
            self._arguments(node, consumed=True)
            return call("set_made", load(name), *node.args) if len(node.args) == 1 else node
        if name not in _KNOWN and name not in self._host_names:
            # Monty evaluates the arguments first, and a host call among them would be paid.
            self._arguments(node)
            node.func = call("named", load(name))
            return node
        return None

    def _of_objects(self, node: ast.Call, name: str) -> ast.expr | None:
        """Rewrite `object()`, `slice(...)`, `print(file=...)`, `eval(...)`, `hasattr(...)` and `getattr(...)`."""
        if name == "print":
            return self._printed_to(node)
        if name in ("hasattr", "getattr"):
            self._arguments(node)
            return call(name, *node.args, keywords=[*node.keywords, *self._of_classes()])
        if name != "eval" and (node.keywords or (name == "object") == bool(node.args)):
            return None
        self._arguments(node)
        if name != "eval":
            return call("object" if name == "object" else "sliced", *node.args)
        around = frozenset().union(*self._names_around, *self._inner_names)
        hidden: list[ast.expr] = [ast.Constant(one) for one in sorted(one.removeprefix(EACH) for one in around)]
        named = [ast.keyword("names", ast.Tuple(hidden, ast.Load()))] if hidden else []
        return ast.Call(load(own_name("eval")), node.args, [*node.keywords, *named])

    def _printed_to(self, node: ast.Call) -> ast.expr | None:
        if not any(one.arg == "file" for one in node.keywords):
            return None
        self._arguments(node)
        node.func = load(own_name("print_to"))
        return node

    def _named_generator(self, name: str, generator: ast.GeneratorExp) -> ast.expr:
        """Rewrite the generator that stands for `map(f, xs)` or `filter(f, xs)` to an iterator of that type name."""
        made = self.expression(generator)
        if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == own_name("generator"):
            made = ast.Call(load(own_name(f"{name}_of")), made.args[:2], [])
        return made

    def _ordered(self, name: str, node: ast.Call) -> ast.expr:
        """Rewrite `sorted`, `min` and `max`, whose `key` may be a function that calls the host."""
        key = next((one.value for one in node.keywords if one.arg == "key"), None)
        self._arguments(node, consumed=len(node.args) == 1)
        if key is not None and not is_quick_key(key, self._bound):
            node.func = load(own_name(name))
        elif name == "sorted" and self._words.are_seen and len(node.args) == 1:
            node.func = load(own_name("worded_sorted"))
        return node

    def _converted(self, name: str, node: ast.Call) -> ast.expr:
        """Rewrite `int` and `float` to accept the digits of every script, and `bytes` and `dict` to match CPython."""
        is_plain = isinstance(node.args[0], ast.Starred) or is_number(node.args[0])
        self._arguments(node, consumed=name == "dict")
        if name == "dict":
            node.func = load(own_name("worded_dict") if self._words.are_seen else name)
        elif name == "bytes":
            node.func = load(own_name("bytes"))
        elif not is_plain:
            node.args[0] = call("digits", node.args[0])
        return node

    def _exception(self, name: str, node: ast.Call) -> ast.expr:
        """Rewrite the construction of an exception, which takes at most one string in Monty."""
        self._arguments(node)
        is_key = len(node.args) == 1 and name == "KeyError" and self._words.keys_are_seen
        if is_key and (is_text(node.args[0]) or not isinstance(node.args[0], ast.Constant)):
            return call("worded_key_error", node.args[0])
        if len(node.args) == 1 and is_text(node.args[0]):
            return self._of_cell(name, node)
        if len(node.args) > 1 or isinstance(node.args[0], ast.Constant):
            raise lacking(f"{name} with {ast.unparse(node)[len(name) :]}", f"one text: {name}(str(...))", node)
        return self._of_cell(name, ast.Call(load(name), [call("exception_text", ast.Constant(name), node.args[0])], []))

    @staticmethod
    def _of_cell(name: str, made: ast.expr) -> ast.expr:
        """Register the message of a TypeError that the cell constructs, so that it is not translated."""
        return call("worded_own", made) if name == "TypeError" else made
