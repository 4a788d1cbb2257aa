"""Exceptions that a cell defines: `class NoTable(ValueError): ...`, raised and caught as in CPython.

Monty has only builtin exceptions, and its classes have no bases. The cell's class becomes a plain class; `raise` raises
the builtin exception it derives from, and a handler maps that back to the cell's object. See `modules/errors.monty`.
"""

from __future__ import annotations

import ast
import builtins
import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import cast

from rlmbox.sandboxes.monty._known import Known, OwnError
from rlmbox.sandboxes.monty._nodes import call, load, own_name, placed

_INIT = own_name("error_init")
ROOTS = frozenset(
    "ArithmeticError AssertionError AttributeError Exception IndexError KeyError LookupError OverflowError "  # noqa: SIM905
    "RuntimeError TypeError ValueError ZeroDivisionError".split()
)
"""Builtin exceptions that a class of a cell may derive from."""
_OF_CLASSES = (ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Pass, ast.Expr)


@dataclass(frozen=True, slots=True)
class Errors:
    """The exceptions that the session's cells define.

    Attributes:
        named: Each exception by name, those of earlier cells included.
        here: The exception that each class statement of this cell defines, by the `id` of the node.
        supers: The `id` of each `super` in them that can be rewritten.
        bound: Names that are not builtins.
        modules: Names bound by imports.
    """

    named: Mapping[str, OwnError]
    here: Mapping[int, OwnError]
    supers: frozenset[int]
    bound: frozenset[str]
    modules: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, tree: ast.Module, bound: Collection[str], known: Known) -> Errors:
        """Inspect a cell.

        Args:
            tree: The cell as written.
            bound: Names that this cell or an earlier one binds.
            known: What earlier cells have bound.
        """
        named = {one.name: one for one in known.errors}
        here: dict[int, OwnError] = {}
        supers: set[int] = set()
        for node in tree.body:
            found = _own_error(node, named, bound) if isinstance(node, ast.ClassDef) else None
            if found is not None:
                named[found.name] = here[id(node)] = found
                supers |= _supers(cast("ast.ClassDef", node))
        imported = {one.asname or one.name.partition(".")[0] for one in ast.walk(tree) if isinstance(one, ast.alias)}
        imported |= {name for name, _ in known.imports}
        return cls(named, here, frozenset(supers), frozenset(bound), frozenset(imported))

    def is_native(self, kind: ast.expr | None) -> bool:
        """Return whether Monty's own `except` can match a type, or a tuple of types."""
        if isinstance(kind, ast.Tuple):
            return all(self.is_native(one) for one in kind.elts)
        if isinstance(kind, ast.Attribute):
            return isinstance(kind.value, ast.Name) and kind.value.id in self.modules
        if isinstance(kind, ast.Name):
            return kind.id in self.modules or (kind.id not in self.named and self.is_one(kind.id))
        return kind is None

    def is_one(self, name: str) -> bool:
        """Return whether a name is that of an exception, a builtin or one defined by a cell."""
        return name in self.named or (name not in self.bound and _is_error(name))

    def roots(self, kind: ast.expr | None) -> list[ast.expr]:
        """Return the builtin types that a handler of a type has to catch."""
        kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
        found: list[ast.expr] = []
        for one in kinds:
            if isinstance(one, ast.Name) and one.id in self.named:
                found.append(load(self.named[one.id].root))
            elif one is not None and self.is_native(one):
                found.append(one)
            else:
                return [load("BaseException")]
        return found


def rewrite(tree: ast.Module, errors: Errors) -> None:
    """Rewrite the definitions, raises and handlers of a cell's own exceptions.

    Args:
        tree: The cell, modified in place.
        errors: The exceptions.
    """
    _ErrorRewriter(errors).visit(tree)


def _own_error(node: ast.ClassDef, named: Mapping[str, OwnError], bound: Collection[str]) -> OwnError | None:
    """Return the exception that a class statement defines; None if it defines none or cannot be rewritten."""
    if len(node.bases) != 1 or node.keywords or node.decorator_list or hasattr(builtins, node.name):
        return None
    base = node.bases[0]
    if not isinstance(base, ast.Name) or not all(isinstance(one, _OF_CLASSES) for one in node.body):
        return None
    parent = named.get(base.id)
    if parent is None and (base.id not in ROOTS or base.id in bound):
        return None
    names = _names(node)
    if "__slots__" in names:
        return None
    members = dict.fromkeys(parent.members if parent else ("__str__", "__repr__", _INIT))
    members |= dict.fromkeys(_INIT if name == "__init__" else name for name in names)
    owner = node.name if "__init__" in names else parent.owner if parent else ""
    return OwnError(node.name, parent.root if parent else base.id, base.id if parent else "", owner, tuple(members))


def _names(node: ast.ClassDef) -> list[str]:
    found: list[str] = []
    for one in node.body:
        if isinstance(one, ast.FunctionDef):
            found.append(one.name)
        stored = (inner for inner in ast.walk(one) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store))
        if isinstance(one, ast.Assign) or (isinstance(one, ast.AnnAssign) and one.value is not None):
            found.extend(name.id for name in stored)
    return found


def _supers(node: ast.ClassDef) -> set[int]:
    """Return the `id` of each `super` whose call can be rewritten."""
    found: set[int] = set()
    for method in node.body:
        for inner in ast.walk(method):
            of_super = _of_super(inner) if isinstance(method, ast.FunctionDef) and method.args.args else None
            if of_super is not None:
                found.add(id(of_super))
    return found


def _of_super(node: ast.AST) -> ast.Name | None:
    """Return the name node `super` of a call such as `super().__init__(text)`; None for any other node."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    method, owner = node.func.attr, node.func.value
    if method not in ("__init__", "__str__") or not isinstance(owner, ast.Call) or owner.keywords:
        return None
    if method == "__init__" and node.keywords:
        return None
    return owner.func if isinstance(owner.func, ast.Name) and owner.func.id == "super" else None


def _is_error(name: str) -> bool:
    found = getattr(builtins, name, None)
    return isinstance(found, type) and issubclass(found, BaseException)


class _ErrorRewriter(ast.NodeTransformer):
    def __init__(self, errors: Errors) -> None:
        self._errors = errors
        self._count = 0

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """Register each exception after its definition."""
        body: list[ast.stmt] = []
        for statement in node.body:
            found = self._errors.here.get(id(statement))
            body.append(cast("ast.stmt", self.visit(statement)))
            if found is not None:
                parent = [load(found.parent)] if found.parent else []
                said = [ast.Constant(found.root), ast.Constant(found.owner)]
                new = call("error_new", load(found.name), *said, *parent)
                body.append(placed(ast.Expr(new), statement))
        node.body = body
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Make an exception a plain class with the members of its base."""
        found = self._errors.here.get(id(node))
        if found is not None:
            self._without_base(node, found)
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__exit__":
                _pass_own_error(method)
        return self.generic_visit(node)

    def _without_base(self, node: ast.ClassDef, found: OwnError) -> None:
        for method in node.body:
            if isinstance(method, ast.FunctionDef):
                _BaseCallRewriter(found, method).visit(method)
                method.name = _INIT if method.name == "__init__" else method.name
        defined = _names(node)
        of_base: dict[str, ast.expr] = {"__init__": load(own_name("error_begin"))}
        if found.parent:
            of_base |= {name: ast.Attribute(load(found.parent), name, ast.Load()) for name in found.members}
        else:
            of_base |= {
                _INIT: load(own_name("error_init")),
                "__str__": load(own_name("error_text")),
                "__repr__": load(own_name("error_shown")),
            }
        taken = [name for name in of_base if name not in defined]
        inherited: list[ast.stmt] = [ast.Assign([ast.Name(name, ast.Store())], of_base[name]) for name in taken]
        inherited.append(ast.AnnAssign(ast.Name("args", ast.Store()), load("tuple"), None, 1))  # for the type check
        docstring = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body[docstring:docstring] = [placed(one, node) for one in inherited]
        node.bases = []

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Raise the builtin base where the expression may be an object of the cell's own class."""
        self.generic_visit(node)
        if node.exc is None:
            return node
        cause, node.cause = node.cause, None  # Monty does not evaluate the cause
        asked = [] if cause is None or isinstance(cause, ast.Constant | ast.Name) else [cause]
        if asked or not self._is_of_python(node.exc):
            node.exc = placed(call("error_raising", node.exc, *asked), node)
        return node

    def _is_of_python(self, node: ast.expr) -> bool:
        kind = node.func if isinstance(node, ast.Call) else node
        return isinstance(node, ast.Constant) or (
            isinstance(kind, ast.Name) and kind.id not in self._errors.bound and _is_error(kind.id)
        )

    def visit_Try(self, node: ast.Try) -> ast.AST:
        """Select the handler by the original object: Monty's own `except` sees only the builtin base."""
        self.generic_visit(node)
        if all(self._errors.is_native(one.type) for one in node.handlers):
            return node
        self._count += 1
        name = own_name(f"error{self._count}")
        chosen: list[ast.stmt] = [ast.Raise(None, None)]
        for one in reversed(node.handlers):
            kinds = [copy.deepcopy(kind) for kind in self._errors.roots(one.type)]
            kind = kinds[0] if len(kinds) == 1 else ast.Tuple(kinds, ast.Load())
            again: list[ast.stmt] = [ast.Raise(load(name), None)]
            caught: list[ast.stmt] = [ast.Try(again, [ast.ExceptHandler(kind, one.name, one.body)], [], [])]
            test = call("error_matches", load(name), one.type) if one.type is not None else ast.Constant(True)
            chosen = [ast.If(test, caught, chosen)]
        everything = any(one.type is None or _may_be_no_exception(one.type) for one in node.handlers)
        kind = load("BaseException" if everything else "Exception")
        node.handlers = [placed(ast.ExceptHandler(kind, name, chosen), node.handlers[0])]
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if (
            isinstance(node.func, ast.Name)
            and node.func.id == "isinstance"
            and "isinstance" not in self._errors.bound
            and len(node.args) == 2
            and not self._is_no_error(node.args[1])
        ):
            node.func = placed(load(own_name("error_is_one")), node)
        return node

    def _is_no_error(self, kind: ast.expr) -> bool:
        """Return whether a type is certainly not an exception, judged by the form of its expression."""
        if isinstance(kind, ast.Tuple):
            return all(self._is_no_error(one) for one in kind.elts)
        if isinstance(kind, ast.BinOp):
            return self._is_no_error(kind.left) and self._is_no_error(kind.right)
        if isinstance(kind, ast.Name):
            return kind.id not in self._errors.named and not _is_error(kind.id)
        return isinstance(kind, ast.Constant | ast.Attribute | ast.Call)


class _BaseCallRewriter(ast.NodeTransformer):
    """Replaces calls of the base class's methods.

    Args:
        error: The exception.
        method: The method that contains the calls.
    """

    def __init__(self, error: OwnError, method: ast.FunctionDef) -> None:
        self._error = error
        self._self = method.args.args[0].arg if method.args.args else ""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        # `super().__init__(text)`, `ValueError.__init__(self, text)` and `super().__str__()`.
        self.generic_visit(node)
        function = node.func
        if not self._self or not isinstance(function, ast.Attribute):
            return node
        arguments = [load(self._self), *node.args]
        if _of_super(node) is None:
            if not isinstance(function.value, ast.Name) or function.attr != "__init__" or node.keywords:
                return node
            if function.value.id not in (self._error.parent, self._error.root):
                return node
            arguments = node.args
        text = function.attr == "__str__"
        if self._error.parent:
            of_base: ast.expr = ast.Attribute(load(self._error.parent), "__str__" if text else _INIT, ast.Load())
        else:
            of_base = load(own_name("error_text" if text else "error_init"))
        return placed(ast.copy_location(ast.Call(of_base, arguments, []), node), node)


def _may_be_no_exception(kind: ast.expr) -> bool:
    """Return whether a type may include exceptions that do not derive from `Exception`."""
    names = [one.id for one in ast.walk(kind) if isinstance(one, ast.Name)]
    return any(name in ("BaseException", "KeyboardInterrupt", "SystemExit", "GeneratorExit") for name in names)


def _pass_own_error(method: ast.FunctionDef) -> None:
    """Pass `__exit__` the cell's own exception object."""
    read = {inner.id for one in method.body for inner in ast.walk(one) if isinstance(inner, ast.Name)}
    names = [one.arg for one in method.args.args[1:3]]
    rest = method.args.vararg.arg if method.args.vararg is not None else ""
    begin: ast.stmt | None = None
    if len(names) == 2 and read & {*names}:
        target = ast.Tuple([ast.Name(name, ast.Store()) for name in names], ast.Store())
        begin = ast.Assign([target], call("error_left", *(load(name) for name in names)))
    elif not names and rest in read:
        begin = ast.Assign([ast.Name(rest, ast.Store())], call("error_left_all", load(rest)))
    if begin is not None:
        method.body.insert(0, placed(begin, method.body[0]))
