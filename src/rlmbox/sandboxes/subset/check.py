"""Checks of a cell before it runs: its size, its nesting, and constructs that the language lacks."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator

from rlmbox.sandboxes.subset import grammar
from rlmbox.sandboxes.subset.errors import LimitReached, forbidden_name, forbidden_syntax
from rlmbox.sandboxes.subset.grammar import SubsetProfile, accepted, hint_of, is_dunder, is_refused_name

MAX_BRACKETS = 100
MAX_DEPTH = 150
_PROVIDED = frozenset({"re", "json", "math", "base64", "binascii", "zlib", "string", "collections"})
# Strings first, then brackets. A unary operator nests, too.
_TOKENS = re.compile(
    r"""(?:[rRbBuUfF]{0,2})(?:\"\"\"(?:[^\\"]|\\.|"(?!""))*+\"\"\"|'''(?:[^\\']|\\.|'(?!''))*+'''"""
    r"""|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')|\#[^\n]*+|([(\[{])|([)\]}])""",
    re.DOTALL,
)
_PREFIXES = re.compile(r"(?:(?:[-+~]|not\b|\blambda\b\s*:)\s*){100}")


def parse(code: str, max_chars: int) -> ast.Module:
    """Parse a cell.

    Args:
        code: The cell.
        max_chars: Length limit.

    Raises:
        LimitReached: It is too long or nested too deeply.
        SyntaxError: It is not valid Python.
    """
    if len(code) > max_chars:
        raise LimitReached(
            f"a cell may have at most {max_chars:,} characters; this one has {len(code):,}",
            hint="run it as several cells, or allow more with the setting `code_chars`",
            limit="code",
        )
    _check_nesting(code)
    try:
        tree = ast.parse(code)
    except (RecursionError, MemoryError):
        raise _too_deep() from None
    except ValueError as error:  # a null character
        raise SyntaxError(str(error)) from None
    return tree


def _too_deep() -> LimitReached:
    return LimitReached(
        "the code is nested too deeply",
        hint="give parts of the expression names of their own",
        limit="nesting",
    )


def _check_nesting(code: str) -> None:
    """Refuse code that is nested too deeply for the parser."""
    if code.count("(") + code.count("[") + code.count("{") >= MAX_BRACKETS:
        depth = 0
        for token in _TOKENS.finditer(code):
            depth += (token[1] is not None) - (token[2] is not None)
            if depth > MAX_BRACKETS:
                raise _too_deep()
    if _PREFIXES.search(code):
        raise _too_deep()


def check(tree: ast.Module, profile: SubsetProfile, known: Collection[str]) -> None:
    """Refuse constructs that the language lacks.

    Args:
        tree: The cell.
        profile: The profile.
        known: Names that the session defines.

    Raises:
        Refusal: The cell uses something that the profile lacks.
        LimitReached: It is nested too deeply.
    """
    _Checker(profile, {*known, *_bound(tree)}).check(tree)


def _bound(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ExceptHandler) and node.name:
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


_STATEMENTS = {
    "Expr": "expression",
    "Pass": "pass",
    "If": "if",
    "AugAssign": "augmented assignment",
    "AnnAssign": "annotated assignment",
    "Break": "break",
    "Continue": "continue",
    "Raise": "raise",
    "Return": "return",
    "Delete": "del",
    "Assert": "assert",
    "Global": "global",
    "While": "while",
    "With": "with",
    "ClassDef": "class",
    "AsyncFunctionDef": "async",
    "AsyncFor": "async",
    "AsyncWith": "async",
    "Match": "match",
    "Nonlocal": "nonlocal",
    "TryStar": "except*",
    "TypeAlias": "type statement",
    "Await": "await",
    "Yield": "yield",
    "YieldFrom": "yield",
    "Attribute": "attribute",
    "IfExp": "conditional expression",
    "BoolOp": "and or",
    "List": "list",
    "Tuple": "tuple",
    "Dict": "dict",
    "Set": "set",
    "JoinedStr": "f-string",
    "FormattedValue": "f-string",
    "TemplateStr": "f-string",
    "ListComp": "list comprehension",
    "SetComp": "set comprehension",
    "DictComp": "dict comprehension",
    "GeneratorExp": "generator expression",
    "Lambda": "lambda",
    "NamedExpr": ":=",
    "Starred": "* in a call or display",
    "Name": "name",
}
_OPERATORS = {
    "Add": "+",
    "BitOr": "|",
    "MatMult": "@",
    "BitAnd": "& ^ << >> ~",
    "BitXor": "& ^ << >> ~",
    "LShift": "& ^ << >> ~",
    "RShift": "& ^ << >> ~",
    "Invert": "& ^ << >> ~",
    "Not": "not",
    "USub": "unary -",
    "UAdd": "unary +",
    "Eq": "== != is is not",
    "NotEq": "== != is is not",
    "Is": "== != is is not",
    "IsNot": "== != is is not",
    "In": "in not in",
    "NotIn": "in not in",
}


class _Checker:
    """Checks a syntax tree against a profile."""

    def __init__(self, profile: SubsetProfile, known: Collection[str]) -> None:
        self._profile = profile
        self._features = accepted(profile, "statement") | accepted(profile, "expression")
        self._known = known
        self._attributes = self._allowed_attributes()
        self._at = (1, 1)

    def _allowed_attributes(self) -> frozenset[str] | None:
        if self._profile == "wide":
            return None  # looked up by type when the cell runs
        kinds = (grammar.members("strict", "method"), grammar.members("strict", "module"))
        return frozenset(name for kind in kinds for names in kind.values() for name in names)

    def check(self, tree: ast.AST) -> None:
        """Check a tree, outermost nodes first."""
        stack: list[tuple[ast.AST, int]] = [(tree, 0)]
        while stack:
            node, depth = stack.pop()
            if depth > MAX_DEPTH:
                raise _too_deep()
            if isinstance(node, ast.expr | ast.stmt | ast.ExceptHandler | ast.alias | ast.arg | ast.keyword):
                self._at = (node.lineno, node.col_offset + 1)
            special = getattr(self, f"_node_{type(node).__name__.lower()}", None)
            if special is not None:
                special(node)
            elif type(node).__name__ in _STATEMENTS:
                self._need(_STATEMENTS[type(node).__name__])
            inner = [child for child in ast.iter_child_nodes(node) if not _is_annotation(node, child)]
            # elif and the left side of an operator do not nest in the source text
            stack.extend((child, depth + (not _is_flat(node, child))) for child in reversed(inner))

    def _need(self, feature: str) -> None:
        if feature in self._features:
            return
        if feature in accepted("wide", "statement") | accepted("wide", "expression"):
            raise forbidden_syntax(f"`{feature}`", f"{hint_of(feature)}; it is in the profile `wide`", at=self._at)
        raise forbidden_syntax(f"`{feature}`", hint_of(feature), at=self._at)

    def _name(self, name: str | None) -> None:
        if name is not None and is_dunder(name):
            raise forbidden_name(name, hint_of(name), at=self._at)

    def _node_assign(self, node: ast.Assign) -> None:
        single = len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        self._need("assignment to a name" if single else self._target_feature(node.targets))

    def _target_feature(self, targets: list[ast.expr]) -> str:
        items = any(isinstance(target, ast.Subscript) for target in targets)
        return "assignment to an item" if items else "assignment to several names"

    def _node_augassign(self, node: ast.AugAssign) -> None:
        self._need("augmented assignment")
        self._operator(node.op)

    def _node_annassign(self, node: ast.AnnAssign) -> None:
        self._need("annotated assignment")

    def _node_for(self, node: ast.For) -> None:
        self._need("for")
        if not isinstance(node.target, ast.Name):
            self._need("for with several names")
        if node.orelse:
            self._need("for else")

    def _node_try(self, node: ast.Try) -> None:
        self._need("try")
        if node.orelse:
            self._need("try else")
        if node.finalbody:
            self._need("try finally")

    def _node_excepthandler(self, node: ast.ExceptHandler) -> None:
        self._name(node.name)
        if not (isinstance(node.type, ast.Name) and node.type.id == "Exception"):
            self._need("except of other types")
        if node.name:
            self._need("except as")

    def _node_functiondef(self, node: ast.FunctionDef) -> None:
        self._need("def")
        self._name(node.name)
        if node.decorator_list:
            self._need("decorator")
        if getattr(node, "type_params", None):
            self._need("type statement")

    def _node_arg(self, node: ast.arg) -> None:
        self._name(node.arg)

    def _node_global(self, node: ast.Global) -> None:
        self._need("global")
        for name in node.names:
            self._name(name)

    def _node_import(self, node: ast.Import) -> None:
        self._need("import")
        for alias in node.names:
            self._module(alias.name)
            self._name(alias.asname)

    def _node_importfrom(self, node: ast.ImportFrom) -> None:
        self._need("import")
        self._module(node.module or "." * node.level)
        for alias in node.names:
            if alias.name == "*":
                self._need("import of a name with *")
            self._name(alias.name)
            self._name(alias.asname)

    def _module(self, name: str) -> None:
        top = name.partition(".")[0]
        if name in _PROVIDED or (top and top not in sys.stdlib_module_names):
            return  # a module that does not exist fails as in Python
        known = ", ".join(sorted(_PROVIDED))
        raise forbidden_name(f"the module {name}", f"there are {known}, and `ctx` for the text", at=self._at)

    def _node_name(self, node: ast.Name) -> None:
        self._name(node.id)
        if isinstance(node.ctx, ast.Load) and node.id not in self._known:
            if is_refused_name(node.id):
                raise forbidden_name(node.id, hint_of(node.id), at=self._at)
            self._profile_name(node.id)

    def _profile_name(self, name: str) -> None:
        kinds: tuple[grammar.ConstructKind, ...] = ("builtin", "exception")
        for kind in kinds:
            if name in accepted("wide", kind) - accepted(self._profile, kind):
                raise forbidden_name(name, grammar.PROFILE_HINT, at=self._at)

    def _node_attribute(self, node: ast.Attribute) -> None:
        self._need("attribute")
        self._name(node.attr)
        if not isinstance(node.ctx, ast.Load):
            self._need("assignment to an attribute")
        if self._attributes is not None and node.attr not in self._attributes and not self._is_host(node.value):
            raise forbidden_name(f"the attribute {node.attr}", grammar.PROFILE_HINT, at=self._at)

    def _is_host(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id == "ctx"

    def _node_subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.slice, ast.Slice):
            self._need("item")
        else:
            self._need("slice")
            if node.slice.step is not None:
                self._need("slice with a step")

    def _node_call(self, node: ast.Call) -> None:
        self._need("call")
        if isinstance(node.func, ast.Name) and node.func.id in ("FINAL", "FINAL_VAR") and "FINAL" not in self._known:
            self._need("FINAL")
        for keyword in node.keywords:
            self._name(keyword.arg)
            if keyword.arg is None:
                self._need("* in a call or display")

    def _node_constant(self, node: ast.Constant) -> None:
        kind = type(node.value)
        if kind is complex:
            self._need("complex number")
        self._need("..." if node.value is ... else "float" if kind is float else "constant")

    def _node_binop(self, node: ast.BinOp) -> None:
        self._operator(node.op)

    def _operator(self, node: ast.operator) -> None:
        self._need(_OPERATORS.get(type(node).__name__, "- * / // % **"))

    def _node_unaryop(self, node: ast.UnaryOp) -> None:
        self._need(_OPERATORS[type(node.op).__name__])

    def _node_compare(self, node: ast.Compare) -> None:
        for op in node.ops:
            self._need(_OPERATORS.get(type(op).__name__, "< <= > >="))
        if len(node.ops) > 1:
            self._need("comparison chain")

    def _node_comprehension(self, node: ast.comprehension) -> None:
        if node.is_async:
            self._need("async")

    def _node_dict(self, node: ast.Dict) -> None:
        self._need("dict")


def _is_annotation(node: ast.AST, child: ast.AST) -> bool:
    """Return whether a child is an annotation, which is not evaluated."""
    return child is getattr(node, "annotation", None) or child is getattr(node, "returns", None)


def _is_flat(node: ast.AST, child: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return len(node.orelse) == 1 and child is node.orelse[0] and isinstance(child, ast.If)
    return False
