"""Rewrites of cells over a context that is too long to be a `str` in Monty.

Classes in Monty may define some operators, but a method called by an operator cannot suspend for the host. So `x[k]`,
`len(x)`, `x in y`, `x == y`, loops and some builtins are rewritten to calls of functions that check at run time whether
their argument is the long text, and otherwise do what the original expression did. This works whatever the text is
bound to, also inside functions and collections. The functions are in `modules/large_text.monty`. Cells of a session
with an ordinary context are not rewritten.

The source is unparsed from the syntax tree, and line numbers are mapped back to those of the cell.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import TypeVar

from rlmbox.sandboxes._texts import NamedText
from rlmbox.sandboxes.monty._nodes import OWN_PREFIX
from rlmbox.sandboxes.monty._refusals import lacking
from rlmbox.types import CellLimits

_Function = TypeVar("_Function", ast.FunctionDef, ast.AsyncFunctionDef)
_Comprehension = TypeVar("_Comprehension", ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

_PREFIX = "_rlm_large_"
# Builtins that iterate over their argument; they get the text itself, or a list of lines, instead of the handle.
_TAKERS = frozenset(
    "all any enumerate filter frozenset iter list map max min reversed set sorted sum tuple zip".split()  # noqa: SIM905
)
# Others that take a `str`, or ours that do.
_OTHER_TAKERS = frozenset(
    "bytes dict dump dumps float generator hash int loads ord set_made".split()  # noqa: SIM905
)
_ORDINARY_CALLS = _TAKERS | {"range", "dict"}
_ORDINARY_METHODS = frozenset({"items", "keys", "values"})
# Methods of patterns, `re` and `json` that need the whole text; the others of `re` accept the handle.
_WHOLE_TAKERS = frozenset(
    {"fullmatch", "sub", "subn", "dumps", "loads", "literal_eval", "sample", "choice", "choices", "update", "elements"}
)
_KEEPERS = frozenset({"re", "asyncio", "copy", "typing"})
"""Modules whose functions take the handle, or do not look at it; those of all others get the text itself."""
_REBOUND = frozenset({"len", "str", "list", "set", "tuple"})
"""Builtins whose names cells take for what they return, as in `len = len(context)`."""


@cache
def _source() -> str:
    return files("rlmbox.sandboxes.monty.modules").joinpath("large_text.monty").read_text(encoding="utf-8")


WHOLE_LIMIT_CHARS = 32_000_000
"""Longest text that `context.split()`, `lower()` and similar methods accept."""


def may_be_whole(text: NamedText, limits: CellLimits) -> bool:
    """Return whether a handle may be converted to a `str`."""
    return text.text.length <= min(WHOLE_LIMIT_CHARS, limits.inline_limit_chars)


def prelude(handles: Iterable[NamedText], limits: CellLimits) -> str:
    """Return the source to run at the start of a session: the functions, and the variables that are handles.

    Args:
        handles: The texts.
        limits: The limits of a cell.
    """
    lines = [_source()]
    for each in handles:
        length = each.text.length
        facts = f"{length}, {each.text.size_bytes == length}, {may_be_whole(each, limits)}, {each.name!r}"
        lines.append(f"{each.name} = _rlm_LargeText({each.object}, {facts})")
    return "\n".join([*lines, ""])


def rewritten(tree: ast.Module, rebound: Collection[str], imports: Mapping[str, str]) -> ast.Module:
    """Rewrite a cell.

    Args:
        tree: The cell, modified in place.
        rebound: Builtins that cells have rebound.
        imports: What cells have imported: the module, or the module and the name in it, by the cells' name.
    """
    changed: ast.Module = _Rewriter(rebound, imports).visit(tree)
    return changed


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Iterate over all names bound anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]


def _call(name: str, *arguments: ast.expr, at: ast.AST) -> ast.Call:
    call = ast.Call(ast.Name(_PREFIX + name, ast.Load()), list(arguments), [])
    return ast.copy_location(call, at)


class _Rewriter(ast.NodeTransformer):
    """Replaces operations that may involve the long text by calls of our functions.

    Args:
        bound: Names that are not builtins.
        imports: As for `rewritten`.
    """

    def __init__(self, bound: Collection[str], imports: Mapping[str, str]) -> None:
        self._bound, self._imports = bound, imports
        self._loops = 0

    def visit_arg(self, node: ast.arg) -> ast.arg:
        # Annotations are not rewritten, here and below.
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        node.target = self.visit(node.target)
        node.value = self.visit(node.value) if node.value else None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return self._function(node)

    def _function(self, node: _Function) -> _Function:
        returns, node.returns = node.returns, None
        self.generic_visit(node)
        node.returns = returns
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """Rewrite `x[k]` where it is read."""
        self.generic_visit(node)
        made = node.value
        if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == f"{_PREFIX}str":
            made.func.id = f"{_PREFIX}readable"
        if not isinstance(node.ctx, ast.Load) or isinstance(node.value, ast.Constant | ast.List | ast.Dict):
            return node
        key = node.slice
        if isinstance(key, ast.Slice):
            parts = [part or ast.Constant(None) for part in (key.lower, key.upper, key.step)]
            key = _call("slice", *parts, at=node)
        return _call("item", node.value, key, at=node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """Rewrite `x in y` and `x == y`, but no chain of comparisons."""
        self.generic_visit(node)
        if len(node.ops) > 1:
            return node
        (op,), (right,) = node.ops, node.comparators
        if isinstance(op, ast.In | ast.NotIn):
            call = _call("has", node.left, right, at=node)
        elif isinstance(op, ast.Eq | ast.NotEq) and not any(_is_plain(side) for side in (node.left, right)):
            call = _call("same", node.left, right, at=node)
        else:
            return node
        return ast.copy_location(ast.UnaryOp(ast.Not(), call), node) if isinstance(op, ast.NotIn | ast.NotEq) else call

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.FormattedValue:
        """Rewrite `f'{x}'`, which formats the whole text if that is not too long."""
        self.generic_visit(node)
        if node.conversion in (-1, ord("s")):
            node.value = self._given("text", node.value)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Rewrite `'...' + x` and `'%s' % x`."""
        self.generic_visit(node)
        if isinstance(node.op, ast.Add) and not any(_is_plain(side) for side in (node.left, node.right)):
            node.left, node.right = self._given("text", node.left), self._given("text", node.right)
        elif isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            if isinstance(node.right, ast.Tuple):
                node.right.elts = [self._given("text", one) for one in node.right.elts]
            elif isinstance(node.right, ast.Dict):
                node.right.values = [self._given("text", one) for one in node.right.values]
            else:
                node.right = self._given("fields", node.right)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AugAssign:
        self.generic_visit(node)
        if isinstance(node.op, ast.Add) and not _is_plain(node.value):
            node.value = self._given("text", node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Rewrite `len(x)`, `isinstance(x, t)`, `re.search(p, x)`, and any builtin that iterates over x."""
        self.generic_visit(node)
        name = self._builtin(node)
        if name in ("len", "isinstance") and not node.keywords and len(node.args) == (1 if name == "len" else 2):
            return _call(name, *node.args, at=node)
        if name == "str" and len(node.args) == 1 and not node.keywords:
            return _call("str", *node.args, at=node)
        if self._is_rebound(node):
            return _call("called", node.func, *node.args, at=node)
        if name in _OTHER_TAKERS or self._is_imported(node.func):
            self._give(node)
        elif name in _TAKERS:
            node.args = [self._given("lines_of", argument) for argument in node.args]
        elif name in ("print", "format"):
            self._fill(node)
        elif isinstance(node.func, ast.Attribute):
            self._method(node, node.func.attr)
        return node

    def _method(self, node: ast.Call, name: str) -> None:
        if name == "format":
            self._fill(node)
        elif name in ("join", "format_map") and len(node.args) == 1:
            node.args = [_call("texts" if name == "join" else "fields", node.args[0], at=node)]
        elif name in _WHOLE_TAKERS:
            self._give(node)

    def _fill(self, node: ast.Call) -> None:
        """Give `print` or a template the whole text, if that is not too long."""
        node.args = [self._given("text", argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg not in ("sep", "end", "file", "flush"):
                keyword.value = self._given("text", keyword.value)

    def _give(self, node: ast.Call) -> None:
        """Give a call the whole text, or a list of its lines, in the place of a handle."""
        node.args = [self._given("given", argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = self._given("given", keyword.value)

    def _is_rebound(self, node: ast.Call) -> bool:
        """Return whether a call may be that of a builtin whose name a cell binds."""
        is_name = isinstance(node.func, ast.Name) and node.func.id in _REBOUND and node.func.id in self._bound
        return is_name and len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred)

    def _is_imported(self, function: ast.expr) -> bool:
        """Return whether a function is one of a module that needs the text itself."""
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            module = self._imports.get(function.value.id, "")
        else:
            name = function.id if isinstance(function, ast.Name) else ""
            module = self._imports.get(name, "").rpartition(".")[0]
        return bool(module) and module not in _KEEPERS

    def visit_Starred(self, node: ast.Starred) -> ast.Starred:
        """Rewrite `[*x]` and `f(*x)`."""
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = self._given("given", node.value)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """Rewrite `first, *others = x`."""
        self.generic_visit(node)
        if any(isinstance(target, ast.Tuple | ast.List) for target in node.targets):
            node.value = self._given("given", node.value)
        return node

    def _builtin(self, node: ast.Call) -> str:
        """Return the name of the called builtin, ours or Monty's, or '' if it is none."""
        name = node.func.id if isinstance(node.func, ast.Name) and node.func.id not in self._bound else ""
        return name.removeprefix(OWN_PREFIX)

    @staticmethod
    def _given(name: str, argument: ast.expr) -> ast.expr:
        """Wrap an argument that may be the text."""
        may_be = isinstance(argument, ast.Name | ast.Attribute | ast.Subscript | ast.Call)
        return _call(name, argument, at=argument) if may_be else argument

    def _iterated(self, node: ast.expr) -> list[ast.expr] | None:
        """Return the iterable of a loop and the start of its `enumerate`; None if the iterable cannot be the text."""
        if not isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.IfExp | ast.NamedExpr):
            return None
        if not isinstance(node, ast.Call):
            return [node]
        name = self._builtin(node)
        if name == "enumerate" and node.args and not any(isinstance(one, ast.Starred) for one in node.args):
            start = [*node.args[1:], *(one.value for one in node.keywords if one.arg == "start")]
            return [node.args[0], start[0] if start else ast.Constant(0)]
        ordinary = isinstance(node.func, ast.Attribute) and node.func.attr in _ORDINARY_METHODS
        return None if ordinary or name in _ORDINARY_CALLS else [node]

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.MatchClass:
        """Refuse `case str():`, which matches against the class itself."""
        if isinstance(node.cls, ast.Name) and node.cls.id == "str" and "str" not in self._bound:
            raise lacking("a pattern str() over a long context", "isinstance(value, str)", node)
        self.generic_visit(node)
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        """Rewrite `for t in x` to fetch the next items at the start of the body, where it may suspend."""
        through = self._iterated(node.iter)
        if through is None:
            self.generic_visit(node)
            return node
        through = [self.visit(part) for part in through]
        node.target = self.visit(node.target)
        node.body = [self.visit(statement) for statement in node.body]
        node.orelse = [self.visit(statement) for statement in node.orelse]
        self._loops += 1
        name = f"{_PREFIX}loop{self._loops}"
        node.iter = ast.NamedExpr(ast.Name(name, ast.Store()), _call("each_of", *through, at=node.iter))
        more = ast.Expr(_call("more", ast.Name(name, ast.Load()), at=node))
        node.body.insert(0, ast.copy_location(more, node))
        return node

    def _comprehension(self, node: _Comprehension) -> _Comprehension:
        """Rewrite `... for t in x` to iterate over batches."""
        generators = []
        for generator in node.generators:
            through = self._iterated(generator.iter)
            if through is not None and not generator.is_async:
                self._loops += 1
                name = f"{_PREFIX}batch{self._loops}"
                batches = _call("batches_of", *(self.visit(part) for part in through), at=generator.iter)
                generators.append(ast.comprehension(ast.Name(name, ast.Store()), batches, [], 0))
                generator.iter = _call("batch", ast.Name(name, ast.Load()), at=generator.iter)
            else:
                generator.iter = self.visit(generator.iter)
            generator.ifs = [self.visit(condition) for condition in generator.ifs]
            generators.append(generator)
        node.generators = generators
        if isinstance(node, ast.DictComp):
            node.key, node.value = self.visit(node.key), self.visit(node.value)
        else:
            node.elt = self.visit(node.elt)
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.ListComp:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.SetComp:
        return self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.DictComp:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.GeneratorExp:
        return self._comprehension(node)


def _is_plain(node: ast.expr) -> bool:
    """Return whether an operand can neither be the text nor be compared with it."""
    return isinstance(node, ast.Constant) and not isinstance(node.value, str)


class Formats(ast.NodeTransformer):
    """Replaces f-strings by calls of `format`, since some Python versions cannot unparse all of them."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        text, values = self._format(node)
        function = ast.Attribute(ast.Constant(text), "format", ast.Load())
        return ast.copy_location(ast.Call(function, values, []), node)

    def _format(self, node: ast.JoinedStr) -> tuple[str, list[ast.expr]]:
        text: list[str] = []
        values: list[ast.expr] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                values.append(self.visit(part.value))
                inner, more = (
                    self._format(part.format_spec) if isinstance(part.format_spec, ast.JoinedStr) else ("", [])
                )
                values += more
                text += ["{", f"!{chr(part.conversion)}" if part.conversion >= 0 else "", inner and f":{inner}", "}"]
            elif isinstance(part, ast.Constant):
                text.append(str(part.value).replace("{", "{{").replace("}", "}}"))
        return "".join(text), values
