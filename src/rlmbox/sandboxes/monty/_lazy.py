"""Rewrites for lazy evaluation: generator expressions, `map`, `filter`, and what consumes them.

Monty evaluates a generator expression eagerly. It becomes a list where it is consumed whole, a loop where consumption
may stop early, and an iterator of ours elsewhere.
"""

from __future__ import annotations

import ast
import builtins
from typing import TypeGuard

from rlmbox.sandboxes.monty._nodes import (
    all_of,
    call,
    changes_what_it_reads,
    has_calls,
    is_async,
    load,
    own_name,
    parameters,
    placed,
    targets,
)
from rlmbox.sandboxes.monty._refusals import lacking
from rlmbox.sandboxes.monty._rewriting import Rewriting

_LAZY = frozenset({"map", "filter", "zip", "enumerate", "reversed"})


class LazyRewriting(Rewriting):
    """Rewrites generator expressions, comprehensions, and the loops and calls that consume them."""

    def _as_generator(self, node: ast.expr, *, only_lambdas: bool = False) -> ast.expr:
        """Convert `map(f, xs)` and `filter(f, xs)` of a name or a lambda to a generator expression."""
        if not isinstance(node, ast.Call) or not self._is_builtin(node, {"map", "filter"}):
            return node
        if len(node.args) != 2 or node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            return node
        function, items = node.args
        self._count += 1
        name = own_name(f"item{self._count}")
        if isinstance(function, ast.Lambda):
            return self._of_lambda(node, function, items)
        if only_lambdas or not isinstance(function, ast.Name | ast.Attribute) or has_calls(function):
            return node
        called: ast.expr = ast.Call(function, [load(name)], [])
        target = ast.Name(name, ast.Store())
        if self._is_builtin(node, {"map"}):
            return placed(ast.GeneratorExp(called, [ast.comprehension(target, items, [], 0)]), node)
        if not self._is_of_builtin(function):  # it may be None
            called = ast.IfExp(ast.Compare(function, [ast.Is()], [ast.Constant(None)]), load(name), called)
        return placed(ast.GeneratorExp(load(name), [ast.comprehension(target, items, [called], 0)]), node)

    def _is_of_builtin(self, function: ast.Name | ast.Attribute) -> bool:
        """Return whether a function is a builtin or, as `str.isdigit`, a method of one."""
        root = function.value if isinstance(function, ast.Attribute) else function
        return isinstance(root, ast.Name) and root.id in dir(builtins) and root.id not in self._bound

    def _of_lambda(self, node: ast.Call, function: ast.Lambda, items: ast.expr) -> ast.expr:
        parameters = function.args
        only = parameters.args[0].arg if len(parameters.args) == 1 else None
        if only is None or parameters.defaults or parameters.vararg or parameters.kwonlyargs or parameters.kwarg:
            return node
        if any(isinstance(inner, ast.NamedExpr | ast.Lambda) for inner in ast.walk(function.body)):
            return node
        target = ast.Name(only, ast.Store())
        if self._is_builtin(node, {"map"}):
            return placed(ast.GeneratorExp(function.body, [ast.comprehension(target, items, [], 0)]), node)
        return placed(ast.GeneratorExp(load(only), [ast.comprehension(target, items, [function.body], 0)]), node)

    def _consumed(self, node: ast.expr) -> ast.expr:
        """Rewrite an expression that is consumed whole, at once."""
        generator = self._as_generator(node)
        if isinstance(generator, ast.GeneratorExp):
            return self.expression(ast.copy_location(ast.ListComp(generator.elt, generator.generators), node))
        if isinstance(node, ast.Call) and self._is_builtin(node, {"zip", "enumerate", "reversed"}):
            self._arguments(node, consumed=True)
            return node
        if isinstance(node, ast.Starred):
            node.value = self._consumed(node.value)
            return node
        return self._only_iterated(node)

    def _arguments(self, node: ast.Call, *, consumed: bool = False) -> None:
        change = self._consumed if consumed else self.expression
        node.args = [change(one) for one in node.args]
        for keyword in node.keywords:
            keyword.value = self.expression(keyword.value)

    def _only_iterated(self, node: ast.expr) -> ast.expr:
        """Rewrite an expression that is only iterated over."""
        self._is_gone_through = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        return self.expression(node)

    def _starred(self, node: ast.Starred) -> ast.expr:
        node.value = self._consumed(node.value) if isinstance(node.ctx, ast.Load) else self.expression(node.value)
        return node

    def _listcomp(self, node: ast.ListComp) -> ast.expr:
        return self._comprehension(node)

    def _setcomp(self, node: ast.SetComp) -> ast.expr:
        return call("set_of", self._comprehension(node))

    def _dictcomp(self, node: ast.DictComp) -> ast.expr:
        return self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp) -> ast.expr:
        names: set[str] = set()
        for at, generator in enumerate(node.generators):
            if at:
                self._inner_names.append(frozenset(names))
            generator.iter = self._consumed(generator.iter)
            if at:
                self._inner_names.pop()
            names |= targets(generator.target)
            self._inner_names.append(frozenset(names))
            generator.ifs = [self.expression(one) for one in generator.ifs]
            self._inner_names.pop()
        self._inner_names.append(frozenset(names))
        if isinstance(node, ast.DictComp):
            node.key, node.value = self.expression(node.key), self.expression(node.value)
        else:
            node.elt = self.expression(node.elt)
        self._inner_names.pop()
        return node

    def _generatorexp(self, node: ast.GeneratorExp) -> ast.expr:
        """Rewrite a generator expression with an unknown consumer to an iterator that computes its items on demand."""
        first = node.generators[0]
        source = self.expression(first.iter)
        yields: ast.expr = ast.Tuple([node.elt], ast.Load())
        if len(node.generators) > 1:
            yields = ast.GeneratorExp(node.elt, node.generators[1:])
        found: ast.stmt = ast.Return(yields)
        if first.ifs:
            found = ast.If(all_of(first.ifs), [found], [])
        body: list[ast.stmt] = [ast.For(first.target, load(own_name("items")), [found], [])]
        name, extra = self._hoist(body, node)
        step: ast.expr = load(name)
        if extra:
            arguments: list[ast.expr] = [load(own_name("items")), *(load(one) for one in extra)]
            step = ast.Lambda(parameters([own_name("items")]), ast.Call(load(name), arguments, []))
        around = [ast.Constant(".".join(self._around))] if self._around else []
        return call("flattened" if len(node.generators) > 1 else "generator", source, step, *around)

    def _short_circuit(self, name: str, argument: ast.expr) -> ast.expr:
        source = self._as_generator(argument)
        if not isinstance(source, ast.GeneratorExp) or is_async(source):
            return call(name, self.expression(argument))
        test = source.elt if name == "any" else ast.UnaryOp(ast.Not(), source.elt)
        found = ast.If(test, [ast.Return(ast.Constant(name == "any"))], [])
        return self._search(source, found, ast.Return(ast.Constant(name != "any")))

    def _next(self, node: ast.Call) -> ast.expr:
        source = self._as_generator(node.args[0])
        if not isinstance(source, ast.GeneratorExp) or is_async(source):
            return call("next", *(self.expression(one) for one in node.args))
        if len(node.args) == 1:
            return self._search(source, ast.Return(source.elt), ast.Raise(load("StopIteration"), None))
        default = node.args[1]
        if isinstance(default, ast.Constant | ast.Name):
            return self._search(source, ast.Return(source.elt), ast.Return(default))
        # CPython evaluates the default first, even where it is not used.
        wanted = ast.Return(ast.Tuple([source.elt], ast.Load()))
        found = self._search(source, wanted, ast.Return(ast.Tuple([], ast.Load())))
        return call("first_or", found, self.expression(default))

    def _search(self, source: ast.GeneratorExp, found: ast.stmt, otherwise: ast.stmt) -> ast.expr:
        """Build and call a function that runs a generator expression up to the first item."""
        first = source.generators[0]
        items = self.expression(first.iter) if not self._is_plain_lazy(first.iter) else self._consumed(first.iter)
        inner = [found]
        for at, generator in reversed([*enumerate(source.generators)]):
            if generator.ifs:
                inner = [ast.If(all_of(generator.ifs), inner, [])]
            over = load(own_name("items")) if at == 0 else generator.iter
            inner = [ast.For(generator.target, over, inner, [])]
        name, extra = self._hoist([*inner, otherwise], source)
        return ast.Call(load(name), [items, *(load(one) for one in extra)], [])

    def _is_plain_lazy(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and self._is_builtin(node, {"zip", "enumerate", "reversed"})

    def _hoist(self, body: list[ast.stmt], source: ast.expr) -> tuple[str, list[str]]:
        """Hoist a function before the statement; return its name and the local names to pass to it."""
        read = {inner.id for one in body for inner in ast.walk(one) if isinstance(inner, ast.Name)}
        extra = sorted(read & frozenset().union(*self._inner_names)) if self._inner_names else []
        if self._scopes[-1] == "class":
            raise lacking(
                "a generator expression in the body of a class", "a list comprehension, before the class", source
            )
        self._count += 1
        name = own_name(f"genexpr{self._count}")
        walrus = sorted({n.target.id for one in body for n in ast.walk(one) if isinstance(n, ast.NamedExpr)})
        extra = [one for one in extra if one not in walrus]
        kept, self._hoisted = self._hoisted, []
        outer, self._inner_names = self._inner_names, []
        scope = next(one for one in reversed(self._scopes) if one != "generator")
        self._scopes.append("generator")
        self._needs.append([])
        for one in body:
            placed(one, source)
        changed = self.body(body)
        inner_needs = self._needs.pop()
        self._scopes.pop()
        self._inner_names, self._hoisted = outer, kept
        walrus = sorted({*walrus, *inner_needs})
        if walrus:
            changed.insert(0, ast.Global(walrus) if scope == "module" else ast.Nonlocal(walrus))
            if scope != "module" and self._needs:
                self._needs[-1].extend(one for one in walrus if one not in self._needs[-1])
        function = ast.FunctionDef(name, parameters([own_name("items"), *extra]), changed, [], None)
        if hasattr(ast, "TypeVar"):  # from Python 3.12 on
            setattr(function, "type_params", [])  # noqa: B010 - the type is that of the oldest Python
        self._hoisted.append(placed(function, source))
        return name, extra

    def _for(self, node: ast.For) -> list[ast.stmt]:
        source = self._as_generator(node.iter)
        if isinstance(source, ast.GeneratorExp) and self._can_inline(source):
            return self._inlined(node, source)
        if self._is_lazy(node.iter) and not changes_what_it_reads(node):
            # Neither is it consumed elsewhere nor is its source modified: Monty's own does.
            node.iter.args = [self._consumed(one) for one in node.iter.args]
            node.iter.keywords = [ast.keyword(one.arg, self.expression(one.value)) for one in node.iter.keywords]
            if self._is_builtin(node.iter, {"map", "filter"}):
                node.iter = self.expression(node.iter)
        else:
            node.iter = self._only_iterated(node.iter)
        node.target = self.expression(node.target)
        node.body, node.orelse = self.body(node.body), self.body(node.orelse)
        return [node]

    def _is_lazy(self, node: ast.expr) -> TypeGuard[ast.Call]:
        """Return whether Monty may evaluate the iterable of a loop; `zip(strict=True)` compares lengths at its end."""
        if not isinstance(node, ast.Call) or not self._is_builtin(node, _LAZY):
            return False
        return all(one.arg in ("start", "iterable") for one in node.keywords)

    @staticmethod
    def _can_inline(source: ast.GeneratorExp) -> bool:
        names = targets(source.generators[0].target)
        return len(source.generators) == 1 and not any(
            isinstance(inner, ast.arg) and inner.arg in names for inner in ast.walk(source)
        )

    def _inlined(self, node: ast.For, source: ast.GeneratorExp) -> list[ast.stmt]:
        """Inline `for x in (f(c) for c in xs if p(c))` as a loop over xs."""
        generator = source.generators[0]
        self._count += 1
        names = {name: own_name(f"each{self._count}_{name}") for name in targets(generator.target)}
        for part in (generator.target, source.elt, *generator.ifs):
            for inner in ast.walk(part):
                if isinstance(inner, ast.Name) and inner.id in names:
                    inner.id = names[inner.id]
        body: list[ast.stmt] = [placed(ast.Assign([node.target], source.elt), node), *node.body]
        if generator.ifs:
            body = [placed(ast.If(all_of(generator.ifs), body, []), node)]
        return self._for(placed(ast.For(generator.target, generator.iter, body, node.orelse), node))
