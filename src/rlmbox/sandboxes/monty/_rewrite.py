"""Rewrites of a cell that make it behave in Monty as in CPython.

The syntax tree of the cell is changed before it runs:

- Generator expressions, which Monty evaluates eagerly, become lists where they are consumed whole (`sum`, `list`,
  `join`), loops where consumption may stop early (`any`, `all`, `next`, `for`), and iterators that compute one item at
  a time elsewhere. `map` and `filter` are treated as generator expressions.
- Builtins that Monty lacks or implements differently become ours (`modules/builtins.monty`); so do methods of builtin
  types, also where they are passed as values (`key=str.lower`, `add = found.append`).
- `re` is our module over Monty's own, with patterns translated to keep their meaning.

Added statements have the line number of the statement that they belong to, so that tracebacks match the cell.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, TypeVar, cast

from rlmbox.sandboxes.monty import _annotations, _caught, _sets, _tuples
from rlmbox.sandboxes.monty._caught import Words
from rlmbox.sandboxes.monty._expressions import ExpressionsRewriting
from rlmbox.sandboxes.monty._known import Known, classes_in, qualified_names
from rlmbox.sandboxes.monty._nodes import (
    call,
    has_calls,
    is_number_or_list,
    load,
    own_name,
    parameters,
    placed,
)
from rlmbox.sandboxes.monty._own_imports import OWN_NAMES, imports_of
from rlmbox.sandboxes.monty._refusals import SHIMMED_BUILTINS, imported_names

_Function = TypeVar("_Function", ast.FunctionDef, ast.AsyncFunctionDef)
_OF_MATCHES = frozenset({"lastindex", "lastgroup"})
"""Properties of a match in a long text, whose groups are found when they are asked for."""
_OF_NAMES = frozenset({"AttributeError", "TypeError", "Exception", "BaseException"})
"""Exceptions whose messages name functions and classes."""
_SIGNS: dict[type[ast.operator], str] = {
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.BitOr: "|",
    ast.BitAnd: "&",
    ast.BitXor: "^",
}


def rewrite(
    tree: ast.Module,
    bound: Collection[str],
    host_names: Collection[str],
    *,
    known: Known,
    is_large: bool = False,
    properties: Collection[str] | None = None,
) -> None:
    """Rewrite the tree of a cell.

    Args:
        tree: The cell, modified in place.
        bound: Names that this cell or an earlier one binds, which are therefore not builtins.
        host_names: Names of the host functions and of the objects that have such methods.
        known: What earlier cells have bound.
        is_large: Whether the context is too long to be a `str`.
        properties: Names of the properties of all classes; None for those of earlier cells.

    Raises:
        CellRefused: Something in it cannot be rewritten.
    """
    modules = imported_names(tree, known)
    has_dates = any(one.partition(".")[0] == "datetime" for one in modules.values())
    words = Words.of(tree, known)
    if is_large:  # a subscript may be of the handle, which our functions cannot query
        words = replace(words, keys_are_seen=False)
    sets = _sets.names_in(tree, known.sets)
    rewriter = Rewriter(bound, host_names, has_dates=has_dates, sets=sets, words=words)
    rewriter.divides_unnoted = known.divides
    rewriter.classes = known.classes | classes_in(tree)
    rewriter.is_large = is_large
    rewriter.reads_annotations = _annotations.are_read(tree)
    rewriter.properties = {
        *(known.properties if properties is None else properties),
        *(_OF_MATCHES if is_large else ()),
    }
    rewriter.modules = {**{name: name for name in OWN_NAMES}, **modules}
    functions = {**dict(known.functions), **qualified_names(tree)}
    rewriter.functions = frozenset(functions) - rewriter.classes - {"<lambda>"}
    rewriter.methods = {name: one for name, one in functions.items() if "." in one}
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        tree.body[-1].value = rewriter.as_shown(tree.body[-1].value)
    before = _builtins_before(tree, SHIMMED_BUILTINS & {*bound} - {*known.bound})
    tree.body = [*before, *rewriter.body(tree.body)]
    ast.fix_missing_locations(tree)


def _builtins_before(tree: ast.Module, names: Collection[str]) -> list[ast.stmt]:
    """Return statements that bind builtins to ours, for a cell that binds their names somewhere and reads them."""
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return [ast.Assign([ast.Name(one, ast.Store())], load(own_name(one))) for one in sorted(read & {*names})]


class Rewriter(ExpressionsRewriting):
    """Rewrites statements; its base classes rewrite what they contain."""

    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Rewrite a block of statements, with hoisted functions before the statement that uses them."""
        done: list[ast.stmt] = []
        for statement in statements:
            kept, self._hoisted = self._hoisted, []
            read = self._annotations_read(statement)
            changed = self._statement(statement)
            if isinstance(statement, ast.AnnAssign):  # whose value is evaluated before
                changed += read
            else:
                done.extend(read)
            done.extend(placed(added, statement) for added in self._hoisted)
            self._hoisted = kept
            done.extend(changed)
        return done

    def _annotations_read(self, node: ast.stmt) -> list[ast.stmt]:
        if not self.reads_annotations or self._scopes[-1] == "class":  # read before the class
            return []
        bound = self._bound.union(*self._names_around)
        return _annotations.reads(node, in_function=self._scopes[-1] == "function", bound=bound)

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.For | ast.While):
            return self._loop(node)
        if isinstance(node, ast.Delete):
            return self._delete(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return imports_of(node)
        if isinstance(node, ast.AnnAssign) and node.value is None and self._scopes[-1] == "function":
            return _declared(node)
        if _tuples.is_one(node, self.modules):
            return [self._fields(_tuples.as_assignment(node))]
        one: dict[type[ast.stmt], Callable[[Any], ast.stmt]] = {
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.ClassDef: self._class,
            ast.Match: self._match,
            ast.AugAssign: self._augmented,
            ast.AnnAssign: self._annotated,
        }
        return [one.get(type(node), self._fields)(node)]

    def _loop(self, node: ast.For | ast.While) -> list[ast.stmt]:
        self._loops += 1
        done = self._for(node) if isinstance(node, ast.For) else [self._fields(node)]
        self._loops -= 1
        if not self._loops and _sets.changes_one(done):
            done.append(placed(ast.Expr(call("settle")), node))
        return done

    def _annotated(self, node: ast.AnnAssign) -> ast.AnnAssign:
        # The annotation is not rewritten.
        node.target = cast("ast.Name", self.expression(node.target))
        node.value = self.expression(node.value) if node.value else None
        return node

    def _fields(self, node: ast.stmt) -> ast.stmt:
        for field, value in ast.iter_fields(node):
            setattr(node, field, self._field(field, value))
        return node

    def _field(self, field: str, value: object) -> object:
        if isinstance(value, ast.expr):
            return self.expression(value)
        if not isinstance(value, list):
            return value
        if field in ("body", "orelse", "finalbody"):
            return self.body(value)
        for item in value:
            if isinstance(item, ast.ExceptHandler):
                item.body = self.body(item.body)
                self._worded(item)
                item.type = self.expression(item.type) if item.type else None
            elif isinstance(item, ast.withitem):
                item.context_expr = self.expression(item.context_expr)
        return [self.expression(item) if isinstance(item, ast.expr) else item for item in value]

    def _worded(self, handler: ast.ExceptHandler) -> None:
        """Insert a statement that translates the caught exception's message to CPython's."""
        if (handler.name or "").startswith(own_name("error")):
            return  # it selects among the cell's own exceptions
        name = _caught.named(handler)
        if name is None:
            return
        shown = _caught.shown(handler)
        rest: list[ast.expr] = [ast.Constant(int(shown))]
        functions = self._words.functions
        if shown and functions and _caught.may_catch(handler, _OF_NAMES):
            keys: list[ast.expr | None] = [ast.Constant(one) for one in functions]
            rest.append(ast.Dict(keys, [ast.Constant(one) for one in functions.values()]))
        noted = [ast.keyword("divides", ast.Constant(True))] if shown and self.divides_unnoted else []
        worded = call("worded", load(name), *rest, keywords=noted)
        begin: ast.stmt = ast.Assign([ast.Name(name, ast.Store())], worded)
        handler.body.insert(0, placed(ast.Expr(worded) if name == _caught.CAUGHT else begin, handler))

    def _function(self, node: _Function) -> _Function:
        node.decorator_list = [self.expression(one) for one in node.decorator_list]
        self._defaults(node.args)
        self._scopes.append("function")
        self._around += [node.name, "<locals>"]
        outer, self._inner_names = self._inner_names, []
        self._needs.append([])
        self._names_around.append(_own_names_of(node))
        loops, self._loops = self._loops, 0
        node.body = self.body(node.body)
        self._loops = loops
        self._names_around.pop()
        for name in self._needs.pop():
            # A name bound only by a walrus in a hoisted function must be local to this function.
            node.body.insert(0, placed(_never_bound(name), node))
        self._inner_names = outer
        del self._around[-2:]
        self._scopes.pop()
        return node

    def _class(self, node: ast.ClassDef) -> ast.ClassDef:
        node.decorator_list = [self.expression(one) for one in node.decorator_list]
        node.bases = []  # any base but `object` was refused
        self._scopes.append("class")
        self._around.append(node.name)
        node.body = self.body(node.body)
        self._around.pop()
        self._scopes.pop()
        methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
        if "function" in self._scopes and "__repr__" not in methods:
            node.body.append(placed(_shows_its_place(node, ".".join([*self._around, node.name])), node))
        if "__getitem__" in methods and "__iter__" not in methods:
            node.body.append(placed(_iterates_by_index(), node))
        if "__eq__" in methods and "__hash__" not in methods and not node.decorator_list:
            node.body.append(placed(_has_no_hash(node.name), node))
        return node

    def _match(self, node: ast.Match) -> ast.Match:
        node.subject = self.expression(node.subject)
        for case in node.cases:
            case.guard = self.expression(case.guard) if case.guard else None
            case.body = self.body(case.body)
        return node

    def _augmented(self, node: ast.AugAssign) -> ast.stmt:
        """Rewrite `found += (1, 2)`: a list accepts any iterable here, but in Monty only a list."""
        in_place = _sets.in_place(node, self._sets)
        if in_place is not None:
            return self._fields(in_place)
        sign = _SIGNS.get(type(node.op)) if self._words.are_seen and not has_calls(node.target) else None
        if sign is not None:
            read = copy.deepcopy(node.target)
            read.ctx = ast.Load()
            node.target = cast("ast.Name", self.expression(node.target))
            value = self.expression(node.value)
            node.value = call("worded_operand", ast.Constant(sign), self.expression(read), value)
            return node
        may_be_list = isinstance(node.op, ast.Add) and not has_calls(node.target)
        may_be_list = may_be_list and (self._words.are_seen or not is_number_or_list(node.value))
        read = copy.deepcopy(node.target)
        read.ctx = ast.Load()
        node.target = cast("ast.Name", self.expression(node.target))
        node.value = self._consumed(node.value)
        if may_be_list:
            node.value = call("added", self.expression(read), node.value)
        return node

    def _delete(self, node: ast.Delete) -> list[ast.stmt]:
        deleted: list[ast.stmt] = []
        for target in node.targets:
            assert isinstance(target, ast.Subscript)  # noqa: S101 - any other target was refused
            key = target.slice
            if isinstance(key, ast.Slice):
                parts = [part or ast.Constant(None) for part in (key.lower, key.upper, key.step)]
                key = ast.Call(load("slice"), [*parts], [])
            parts = [self.expression(target.value), self.expression(key)]
            if self._words.keys_are_seen:
                gone = call("worded_key", load(own_name("delete")), *parts)
            else:
                gone = call("delete", *parts)
            deleted.append(placed(ast.Expr(gone), node))
        return deleted


def _own_names_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the local names of a function, including its parameters."""
    names = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
    for inner in (inner for statement in node.body for inner in ast.walk(statement)):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(inner.name)
    declared = {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
    return frozenset(names - declared)


def _never_bound(name: str) -> ast.If:
    """Return a statement that makes a name local to the function without binding it."""
    return ast.If(ast.Constant(False), [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None))], [])


def _declared(node: ast.AnnAssign) -> list[ast.stmt]:
    """Make `total: int` alone in a function declare a local name, which it does not in Monty."""
    return [placed(_never_bound(node.target.id), node)] if isinstance(node.target, ast.Name) else [node]


def _shows_its_place(node: ast.ClassDef, name: str) -> ast.FunctionDef:
    """Return a `__repr__` for a class in a function, with the function's name, which Monty omits."""
    fields = [one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    decorators = [ast.unparse(one).partition("(")[0].rpartition(".")[2] for one in node.decorator_list]
    names = [ast.Tuple([ast.Constant(one) for one in fields], ast.Load())] if "dataclass" in decorators else []
    return _method("__repr__", ast.Return(call("shown_object", load("self"), ast.Constant(name), *names)))


def _has_no_hash(name: str) -> ast.FunctionDef:
    """Return a `__hash__` for a class that has only `__eq__`."""
    raised = ast.Call(load("TypeError"), [ast.Constant(f"unhashable type: '{name}'")], [])
    return _method("__hash__", ast.Raise(raised, None))


def _iterates_by_index() -> ast.FunctionDef:
    """Return an `__iter__` for a class that has only `__getitem__`."""
    return _method("__iter__", ast.Return(call("by_index", load("self"))))


def _method(name: str, statement: ast.stmt) -> ast.FunctionDef:
    method = ast.FunctionDef(name, parameters(["self"]), [statement], [], None)
    if hasattr(ast, "TypeVar"):  # from Python 3.12 on
        setattr(method, "type_params", [])  # noqa: B010 - the type is that of the oldest Python
    return method
