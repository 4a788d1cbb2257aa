"""The names that cells of a session have bound, as far as a later cell's meaning depends on them.

`from math import pow` in one cell decides what `pow` is in the next; so do an imported module's other name, a set's
name, and the class that a method belongs to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rlmbox.sandboxes.monty import _sets, _tuples

AMBIGUOUS = ""
"""In place of a qualified name, where several functions have one name."""
WRAPPING = "?"
"""In place of a qualified name, where a function takes that of another one by `functools.wraps`."""
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)
_REPEATED = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class OwnError:
    """An exception that a cell defined.

    Attributes:
        name: The class.
        root: The exception of Python's that it is below.
        parent: The exception of a cell's own that is its base; '' where it has none.
        owner: The class whose `__init__` it has; '' for that of Python.
        members: The names that it has by its class, inherited ones among them.
    """

    name: str
    root: str
    parent: str
    owner: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """Names that earlier cells have bound.

    Attributes:
        names: All of them, without those of imports.
        imports: Each imported name with what it stands for: `datetime`, or `datetime.timedelta`.
        functions: The name of each function, method and class with its qualified one, or with `AMBIGUOUS`.
        sets: Names of sets.
        classes: Names of classes.
        divides: Whether a function divides by what may be zero without noting what it divided.
        errors: Exceptions that cells defined.
        tuples: Names of the types of named tuples.
    """

    names: frozenset[str] = frozenset()
    imports: frozenset[tuple[str, str]] = frozenset()
    functions: frozenset[tuple[str, str]] = frozenset()
    sets: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    divides: bool = False
    errors: frozenset[OwnError] = frozenset()
    tuples: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        tree: ast.Module,
        names: Iterable[str],
        before: Known,
        *,
        notes_divisions: bool,
        errors: Iterable[OwnError] = (),
    ) -> Known:
        """Look through a cell.

        Args:
            tree: The cell as it was written.
            names: Names that it binds.
            before: What was known before it.
            notes_divisions: Whether its divisions note what they divide.
            errors: The exceptions that it defines.
        """
        bound = frozenset(names)
        imports = dict(_imports(tree.body))
        return cls(
            bound - imports.keys(),
            frozenset(imports.items()),
            frozenset(qualified_names(tree).items()),
            frozenset(_sets.names_in(tree, before.sets) or ()) & bound,
            classes_in(tree),
            not notes_divisions and _divides_in_loops(tree),
            frozenset(errors),
            frozenset(_tuples.names_in(tree)),
        )

    def and_then(self, later: Known) -> Known:
        """Return what is known once a later cell has run."""
        imported = {name for name, _ in later.imports}
        rebound = later.names | imported
        functions = {name: one for name, one in self.functions if name not in rebound}
        for name, one in later.functions:
            functions[name] = one if functions.get(name, one) == one else AMBIGUOUS
        return Known(
            (self.names - imported) | later.names,
            frozenset(pair for pair in self.imports if pair[0] not in rebound) | later.imports,
            frozenset(functions.items()),
            (self.sets - rebound) | later.sets,
            self.classes | later.classes,
            self.divides or later.divides,
            frozenset(one for one in self.errors if one.name not in rebound) | later.errors,
            self.tuples | later.tuples,
        )

    @property
    def bound(self) -> frozenset[str]:
        """Every name, so that it is no builtin any more."""
        return self.names | {name for name, _ in self.imports}


def classes_in(tree: ast.AST) -> frozenset[str]:
    """Return the names of the classes of a cell, without those of named tuples."""
    names = frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return names - {*_tuples.names_in(tree)}


def _imports(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Return the names that a module's imports bind, and what each stands for."""
    for statement in statements:
        for node in _without_scopes(statement):
            if isinstance(node, ast.Import):
                yield from ((one.asname or one.name.partition(".")[0], one.name) for one in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from ((one.asname or one.name, f"{node.module}.{one.name}") for one in node.names)


def _without_scopes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _SCOPES):
        return
    yield node
    for inner in ast.iter_child_nodes(node):
        yield from _without_scopes(inner)


def qualified_names(tree: ast.Module) -> Mapping[str, str]:
    """Return the qualified name of each function and class of a cell by its own; `AMBIGUOUS` where it has several."""
    found: dict[str, str] = {}
    for name, qualified in _qualified(tree, ""):
        found[name] = qualified if found.get(name, qualified) == qualified else AMBIGUOUS
    return found


def _qualified(node: ast.AST, around: str) -> Iterator[tuple[str, str]]:
    for inner in ast.iter_child_nodes(node):
        name = "<lambda>" if isinstance(inner, ast.Lambda) else getattr(inner, "name", "")
        if isinstance(inner, ast.ClassDef):
            yield name, name
            yield from _qualified(inner, f"{around}{name}.")
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield name, WRAPPING if _wraps(inner) else around + name
            yield from _qualified(inner, f"{around}{name}.<locals>.")
        else:
            yield from _qualified(inner, around)


def _wraps(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> bool:
    """Return whether a function is decorated by `functools.wraps`."""
    return any(
        isinstance(one, ast.Call) and ast.unparse(one.func).rpartition(".")[2] == "wraps"
        for one in getattr(node, "decorator_list", ())
    )


def _divides_in_loops(tree: ast.Module) -> bool:
    """Return whether a function has a division that does not note what it divided, because it has to be quick."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    quick: list[ast.AST] = [one for function in functions for one in ast.walk(function) if isinstance(one, _REPEATED)]
    quick += [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return any(_may_fail(node) for one in quick for node in ast.walk(one)) or any(
        _may_fail(node) for one in functions for node in ast.walk(one) if isinstance(node, ast.AugAssign)
    )


def _may_fail(node: ast.AST) -> bool:
    """Return whether a node divides by what may be zero."""
    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, _DIVISIONS) and not isinstance(node.value, ast.Constant)
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, _DIVISIONS) or isinstance(node.right, ast.Constant):
        return False
    return not isinstance(node.left, ast.JoinedStr | ast.Constant) or not isinstance(node.op, ast.Mod)
