"""Names that the cells of a session have bound, as far as they affect how later cells are rewritten.

`from math import pow` in one cell decides what `pow` means in the next; the same holds for aliases of modules, names of
sets, and the classes that methods belong to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from rlmbox.sandboxes.monty import _members, _sets, _tuples

AMBIGUOUS = ""
"""Stands for a qualified name where several functions share the simple name."""
WRAPPING = "?"
"""Stands for a qualified name that `functools.wraps` takes from another function."""
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)
_REPEATED = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True, slots=True)
class OwnError:
    """An exception that a cell defines.

    Attributes:
        name: Name of the class.
        root: The builtin exception it derives from.
        parent: Its base if a cell defined that too, else ''.
        owner: The class whose `__init__` it uses; '' for the builtin one.
        members: Names of its class attributes, inherited ones included.
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
        names: All of them except those bound by imports.
        imports: Pairs of an imported name and its target: `datetime`, or `datetime.timedelta`.
        functions: Pairs of the simple and the qualified name of each function, method and class, or `AMBIGUOUS`.
        sets: Names of sets.
        classes: Names of classes.
        divides: Whether a function may divide by zero without recording the operands.
        errors: Exceptions that cells defined.
        tuples: Names of named tuple types.
        properties: Names of the properties of classes.
    """

    names: frozenset[str] = frozenset()
    imports: frozenset[tuple[str, str]] = frozenset()
    functions: frozenset[tuple[str, str]] = frozenset()
    sets: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    divides: bool = False
    errors: frozenset[OwnError] = frozenset()
    tuples: frozenset[str] = frozenset()
    properties: frozenset[str] = frozenset()

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
        """Inspect a cell.

        Args:
            tree: The cell as written.
            names: Names that it binds.
            before: What was known before it.
            notes_divisions: Whether its divisions record their operands.
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
            frozenset(_members.properties_in(tree)),
        )

    def and_then(self, later: Known) -> Known:
        """Return what is known after a later cell has run."""
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
            self.properties | later.properties,
        )

    @property
    def bound(self) -> frozenset[str]:
        """All names that cells have bound, which are therefore not builtins."""
        return self.names | {name for name, _ in self.imports}


def classes_in(tree: ast.AST) -> frozenset[str]:
    """Return the names of a cell's classes, except named tuples."""
    names = frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return names - {*_tuples.names_in(tree)}


def _imports(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Iterate over the names that imports bind at module level, with their targets."""
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
    """Map the simple name of each function and class of a cell to its qualified name, or to `AMBIGUOUS`."""
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
    """Return whether a function is decorated with `functools.wraps`."""
    return any(
        isinstance(one, ast.Call) and ast.unparse(one.func).rpartition(".")[2] == "wraps"
        for one in getattr(node, "decorator_list", ())
    )


def _divides_in_loops(tree: ast.Module) -> bool:
    """Return whether a function contains a division that, for speed, does not record its operands."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    quick: list[ast.AST] = [one for function in functions for one in ast.walk(function) if isinstance(one, _REPEATED)]
    quick += [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    return any(_may_fail(node) for one in quick for node in ast.walk(one)) or any(
        _may_fail(node) for one in functions for node in ast.walk(one) if isinstance(node, ast.AugAssign)
    )


def _may_fail(node: ast.AST) -> bool:
    """Return whether a node is a division whose divisor may be zero."""
    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, _DIVISIONS) and not isinstance(node.value, ast.Constant)
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, _DIVISIONS) or isinstance(node.right, ast.Constant):
        return False
    return not isinstance(node.left, ast.JoinedStr | ast.Constant) or not isinstance(node.op, ast.Mod)
