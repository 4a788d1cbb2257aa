"""Making a cell mean in Monty what it means in CPython, where Monty does something else.

The tree of the cell is changed before it runs:

- Generator expressions, which Monty evaluates whole, become lists where all is consumed anyway (`sum`, `list`,
  `join`), loops where the end may come early (`any`, `all`, `next`, `for`), and iterators that compute one item at a
  time elsewhere. `map` and `filter` are generator expressions too.
- Builtins that Monty lacks, or that differ, become ours (`modules/builtins.monty`); so do methods of builtin types,
  also where they are passed on as values (`key=str.lower`, `add = found.append`).
- `re` is ours over Monty's own, with patterns written so that they mean the same.

Statements that are added have the line of the statement they serve, so that tracebacks stay those of the cell.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from string import Formatter
from typing import Any, TypeVar, cast

from rlmbox.sandboxes.monty import _caught, _sets, _tuples
from rlmbox.sandboxes.monty._caught import Words
from rlmbox.sandboxes.monty._known import Known, classes_in, qualified_names
from rlmbox.sandboxes.monty._nodes import (
    all_of,
    call,
    changes_what_it_reads,
    has_calls,
    is_async,
    is_empty,
    is_number,
    is_number_or_list,
    is_quick_key,
    is_text,
    load,
    own_name,
    parameters,
    placed,
    targets,
)
from rlmbox.sandboxes.monty._refusals import ADDED_NAMES, SHIMMED_BUILTINS, imported_names, is_asked_for, lacking

_Function = TypeVar("_Function", ast.FunctionDef, ast.AsyncFunctionDef)

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
"""Functions that go through all that they are given, at once."""
_CONSUMING_METHODS = frozenset({"join", "extend", "update", "union", "intersection", "difference", "writelines"})
_OF_MANY = frozenset({"union", "intersection", "difference"})
_LAZY = frozenset({"map", "filter", "zip", "enumerate", "reversed"})

_SHOWING = frozenset({"print", "str", "repr", "format", "ascii"})
_OF_OBJECTS = frozenset({"object", "slice", "eval", "print"})
_UNBOUND = frozenset({"str", "bytes", "list", "dict", "set", "tuple", "int", "float", "frozenset"})
_CLASS_METHODS = frozenset({"fromkeys"})
_STATIC = {"str.maketrans", "int.from_bytes", "float.fromhex", "bytes.fromhex"}

# Methods of builtin types that Monty lacks or has in part; calls go through ours.
METHOD_SHIMS = frozenset(
    "translate format_map difference_update intersection_update symmetric_difference_update union intersection "  # noqa: SIM905
    "difference update encode decode strptime bit_length bit_count is_integer as_integer_ratio to_bytes replace "
    "_replace elements toordinal isocalendar fromordinal fromtimestamp utcfromtimestamp ctime fromisoformat "
    "splitlines".split()
)
BUILTIN_METHODS = frozenset(
    name for kind in (str, bytes, list, dict, set, tuple, int, float) for name in dir(kind) if not name.startswith("_")
) - {"real", "imag", "numerator", "denominator"}
_SEARCHES = frozenset({"find", "index", "rfind", "rindex"})
_PARTS_OF_NUMBERS = frozenset({"real", "imag", "numerator", "denominator"})
_EXCEPTIONS = frozenset(
    "Exception ValueError KeyError TypeError RuntimeError IndexError LookupError AttributeError NameError "  # noqa: SIM905
    "ArithmeticError ZeroDivisionError OverflowError AssertionError NotImplementedError StopIteration OSError "
    "FileNotFoundError PermissionError TimeoutError MemoryError ImportError BaseException".split()
)


_KNOWN = frozenset(dir(builtins))
_OF_TIMEDELTA: dict[type[ast.operator], str] = {ast.Mult: "times", ast.Div: "divided"}
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
_DIVISIONS: dict[type[ast.operator], str] = {ast.Div: "div", ast.FloorDiv: "floordiv", ast.Mod: "mod"}


def rewrite(
    tree: ast.Module, bound: Collection[str], host_names: Collection[str], *, known: Known, is_large: bool = False
) -> None:
    """Change a cell's tree.

    Args:
        tree: The cell; it is changed in place.
        bound: Names that this cell or an earlier one gives a value, so that they are not builtins.
        host_names: Names of the host's functions, and of the objects that have some.
        known: What earlier cells have bound.
        is_large: Whether the context is too long to be a `str`.

    Raises:
        CellRefused: Something in it cannot be made equal.
    """
    modules = imported_names(tree, known)
    has_dates = any(one.partition(".")[0] == "datetime" for one in modules.values())
    words = Words.of(tree, known)
    if is_large:  # a subscript may be one of the handle, which our functions cannot ask
        words = replace(words, keys_are_seen=False)
    sets = _sets.names_in(tree, known.sets)
    rewriter = Rewriter(bound, host_names, has_dates=has_dates, sets=sets, words=words)
    rewriter.divides_unnoted = known.divides
    rewriter.classes = known.classes | classes_in(tree)
    rewriter.is_large = is_large
    rewriter.modules = {**{name: name for name in _OWN_NAMES}, **modules}
    rewriter.methods = {
        name: one for name, one in {**dict(known.functions), **qualified_names(tree)}.items() if "." in one
    }
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        tree.body[-1].value = rewriter.as_shown(tree.body[-1].value)
    tree.body = rewriter.body(tree.body)
    ast.fix_missing_locations(tree)


class Rewriter:
    """Changes statements and expressions; see `rewrite`.

    Args:
        bound: Names that are not builtins.
        host_names: Names of the host's functions, and of the objects that have some.
        has_dates: Whether an operand may be a `timedelta`.
        sets: Names that the cell gives a set; None where it has none.
        words: How the cell may show the words of errors.
    """

    def __init__(
        self,
        bound: Collection[str],
        host_names: Collection[str],
        *,
        has_dates: bool = False,
        sets: Collection[str] | None = None,
        words: Words | None = None,
    ) -> None:
        self._has_dates, self._sets = has_dates, sets
        self._words = words or Words(False, False, False, {})
        self.divides_unnoted = False
        self.classes: Collection[str] = ()
        self.modules: Mapping[str, str] = {}
        self.methods: Mapping[str, str] = {}
        self.is_large = False
        self._loops = 0  # around a statement
        self._bound = frozenset(bound)
        self._host_names = frozenset(host_names) - self._bound
        self._count = 0
        self._names_around: list[frozenset[str]] = []  # of the functions around
        self._is_gone_through = False  # the value of the expression that comes next
        self._hoisted: list[ast.stmt] = []
        self._inner_names: list[frozenset[str]] = []  # of the comprehensions and lambdas around an expression
        self._scopes: list[str] = ["module"]
        self._around: list[str] = []  # the names of the functions and classes around, as in a qualified name
        self._needs: list[list[str]] = []  # names that a walrus in a hoisted function gives to the function around

    # Statements

    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        """Change a block of statements; functions that an expression needs come before its statement."""
        done: list[ast.stmt] = []
        for statement in statements:
            kept, self._hoisted = self._hoisted, []
            changed = self._statement(statement)
            done.extend(placed(added, statement) for added in self._hoisted)
            self._hoisted = kept
            done.extend(changed)
        return done

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, ast.For | ast.While):
            return self._loop(node)
        if isinstance(node, ast.Delete):
            return self._delete(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            return _imports(node)
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
        """Leave the annotation as it is."""
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
        """Have a handler begin with giving the error that it caught the words of CPython."""
        if (handler.name or "").startswith(own_name("error")):
            return  # it chooses among those of the cell
        name = _caught.named(handler)
        if name is None:
            return
        shown = _caught.shown(handler)
        rest: list[ast.expr] = [ast.Constant(int(shown))]
        functions = self._words.functions
        if shown and functions and _caught.may_catch(handler, {"TypeError", "Exception", "BaseException"}):
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
            # A name that only a walrus in a hoisted function binds must be this function's.
            node.body.insert(0, placed(_never_bound(name), node))
        self._inner_names = outer
        del self._around[-2:]
        self._scopes.pop()
        return node

    def _defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.expression(one) for one in arguments.defaults]
        arguments.kw_defaults = [self.expression(one) if one else None for one in arguments.kw_defaults]

    def _class(self, node: ast.ClassDef) -> ast.ClassDef:
        node.decorator_list = [self.expression(one) for one in node.decorator_list]
        node.bases = []  # `object` is the only one that is not refused
        self._scopes.append("class")
        self._around.append(node.name)
        node.body = self.body(node.body)
        self._around.pop()
        self._scopes.pop()
        methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
        if "__getitem__" in methods and "__iter__" not in methods:
            node.body.append(placed(_iterates_by_index(), node))
        return node

    def _match(self, node: ast.Match) -> ast.Match:
        node.subject = self.expression(node.subject)
        for case in node.cases:
            case.guard = self.expression(case.guard) if case.guard else None
            case.body = self.body(case.body)
        return node

    def _augmented(self, node: ast.AugAssign) -> ast.stmt:
        """`found += (1, 2)` of a list takes whatever can be gone through; Monty's takes a list."""
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
            assert isinstance(target, ast.Subscript)  # noqa: S101 - all else was refused
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

    def _for(self, node: ast.For) -> list[ast.stmt]:
        source = self._as_generator(node.iter)
        if isinstance(source, ast.GeneratorExp) and self._can_inline(source):
            return self._inlined(node, source)
        if isinstance(node.iter, ast.Call) and self._is_builtin(node.iter, _LAZY) and not changes_what_it_reads(node):
            # Nothing else reads it, and nothing changes what it reads: Monty's own does.
            node.iter.args = [self._consumed(one) for one in node.iter.args]
            node.iter.keywords = [ast.keyword(one.arg, self.expression(one.value)) for one in node.iter.keywords]
            if self._is_builtin(node.iter, {"map", "filter"}):
                node.iter = self.expression(node.iter)
        else:
            node.iter = self._whole(node.iter)
        node.target = self.expression(node.target)
        node.body, node.orelse = self.body(node.body), self.body(node.orelse)
        return [node]

    @staticmethod
    def _can_inline(source: ast.GeneratorExp) -> bool:
        names = targets(source.generators[0].target)
        return len(source.generators) == 1 and not any(
            isinstance(inner, ast.arg) and inner.arg in names for inner in ast.walk(source)
        )

    def _inlined(self, node: ast.For, source: ast.GeneratorExp) -> list[ast.stmt]:
        """`for x in (f(c) for c in xs if p(c))` is a loop over xs."""
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

    # Expressions

    def expression(self, node: ast.expr) -> ast.expr:
        """Change an expression."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        changed = method(node) if method is not None else self._children(node)
        return cast("ast.expr", ast.copy_location(changed, node))

    def as_shown(self, node: ast.expr) -> ast.expr:
        """Return the node for a value that is shown: of a method that is not called, such as `text.upper`, its words.

        The value itself is a function of ours, or Monty's, with words of its own.
        """
        if not isinstance(node, ast.Attribute) or self._is_own(node) or node.attr in _PARTS_OF_NUMBERS:
            return node
        owner, name = node.value, node.attr
        is_of_class = isinstance(owner, ast.Name) and owner.id in {*(_UNBOUND - self._bound), *self.classes}
        if is_of_class or (name not in BUILTIN_METHODS and name not in self.methods):
            return node
        qualified = [ast.Constant(self.methods[name])] if name in self.methods else []
        return ast.copy_location(call("shown", owner, ast.Constant(name), *qualified), node)

    def _children(self, node: ast.expr) -> ast.expr:
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                setattr(node, field, self.expression(value))
            elif isinstance(value, list):
                setattr(node, field, [self.expression(one) if isinstance(one, ast.expr) else one for one in value])
            elif isinstance(value, ast.keyword):
                value.value = self.expression(value.value)
        return node

    def _name(self, node: ast.Name) -> ast.expr:
        if node.id == "bytes":
            return node  # it is a type too, and ours only where it is called
        if isinstance(node.ctx, ast.Load) and node.id in SHIMMED_BUILTINS and node.id not in self._bound:
            return load(own_name(node.id))
        if isinstance(node.ctx, ast.Load) and node.id in OWN_MODULES and node.id not in self._bound:
            return load(own_name(f"module_{node.id}"))  # there without import
        return node

    def _attribute(self, node: ast.Attribute) -> ast.expr:
        """An attribute that is not called: it may be a method of a builtin, for which Monty has no value."""
        if isinstance(node.ctx, ast.Load):
            if self._is_own(node):
                return load(own_name(node.attr))
            if node.attr == "__name__" and self._words.are_seen and _is_type_call(node.value):
                return call("worded_type_name", self.expression(node.value.args[0]))  # type: ignore[attr-defined]
            if node.attr == "__name__" and not _is_type_call(node.value):
                return call("name_of", self.expression(node.value))
            if node.attr == "__class__":
                return ast.Call(load("type"), [self.expression(node.value)], [])
            if isinstance(node.value, ast.Name) and node.value.id in _UNBOUND - self._bound:
                return self._unbound(node.value.id, node.attr)
            if node.attr in BUILTIN_METHODS or node.attr in _PARTS_OF_NUMBERS:
                return call("getattr", self.expression(node.value), ast.Constant(node.attr))
        node.value = self.expression(node.value)
        return node

    def _is_own(self, node: ast.Attribute) -> bool:
        """Return whether it is a name of a module that Monty's own lacks, such as `dataclasses.asdict`."""
        module = self.modules.get(node.value.id) if isinstance(node.value, ast.Name) else None
        return node.attr in _OWN_NAMES.get(module or "", ())

    def _unbound(self, kind: str, method: str) -> ast.expr:
        if f"{kind}.{method}" in _STATIC and kind != "bytes":
            return load(own_name(f"{kind}_{method}"))
        if method in _CLASS_METHODS or method == "fromhex" or method.startswith("__"):
            return ast.Attribute(load(kind), method, ast.Load())
        return call("unbound", ast.Constant(kind), ast.Constant(method))

    def _subscript(self, node: ast.Subscript) -> ast.expr:
        """`d[k]`, in a cell that may show the key, or to which a slice of a dict is to be the error that it is."""
        key = node.slice
        if not isinstance(node.ctx, ast.Load) or self.is_large or not self._words.are_caught:
            return self._children(node)
        if isinstance(key, ast.Slice):
            if not _caught.SLICES_ARE_KEYS and not is_text(node.value):
                self._children(node)
                node.value = call("worded_cut", node.value)
                return node
            return self._children(node)
        if not self._words.keys_are_seen or _caught.tells_itself(key):
            return self._children(node)
        return call("worded_at", self.expression(node.value), self.expression(key))

    def _compare(self, node: ast.Compare) -> ast.expr:
        """`'name' in globals()` asks whether reading the name is an error."""
        if not is_asked_for(node):
            for side in (node.left, *node.comparators):
                if isinstance(side, ast.Call) and self._is_builtin(side, {"type"}) and len(side.args) == 1:
                    side.func = load(own_name("kind_of"))  # the type of an error is its name's in CPython
            return self._children(node)
        assert isinstance(node.left, ast.Constant)  # noqa: S101 - so `is_asked_for` says
        probe = ast.Lambda(parameters([]), load(str(node.left.value)))
        found = call("defined", probe)
        return found if isinstance(node.ops[0], ast.In) else ast.UnaryOp(ast.Not(), found)

    def _binop(self, node: ast.BinOp) -> ast.expr:
        """`timedelta(hours=1) * 1.5`, in a cell that may have one."""
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
        """Return whether it divides by what may be zero, where the error may be shown."""
        is_once = self._scopes[-1] == "function" and not self._loops and not self._inner_names  # see `Known.divides`
        if not (self._words.are_seen or is_once) or type(node.op) not in _DIVISIONS or is_text(node.left):
            return False
        return not (isinstance(node.right, ast.Constant) and node.right.value)

    def _formattedvalue(self, node: ast.FormattedValue) -> ast.expr:
        """`f'{value:>10}'` is an error in CPython where the value is None or a list."""
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

    def _listcomp(self, node: ast.ListComp) -> ast.expr:
        return self._comprehension(node)

    def _setcomp(self, node: ast.SetComp) -> ast.expr:
        return call("set_of", self._comprehension(node))

    def _set(self, node: ast.Set) -> ast.expr:
        """CPython goes through whole numbers in an order of its own, and Monty as they were put in."""
        numbers = [
            one.value for one in node.elts if isinstance(one, ast.Constant) and isinstance(one.value, int | float)
        ]
        if len(numbers) == len(node.elts):
            if len({*numbers}) > _sets.FEW:  # CPython fills one set by another there
                return call("set_literal", node)
            node.elts = [ast.Constant(number) for number in {*numbers}]
            return node
        changed = self._children(node)
        return changed if all(is_text(one) for one in node.elts) else call("set_of", changed)

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
        """Rewrite one whose reader is not known as an iterator that computes an item when it is asked for one."""
        first = node.generators[0]
        source = self.expression(first.iter)
        inner: ast.expr = node.elt
        if len(node.generators) > 1:
            inner = ast.ListComp(node.elt, node.generators[1:])
            yields: ast.expr = call("flat", inner)
        else:
            yields = ast.Tuple([inner], ast.Load())
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

    def _call(self, node: ast.Call) -> ast.expr:
        function = node.func
        if isinstance(function, ast.Name) and self.modules.get(function.id) == "datetime.timedelta":
            self._arguments(node)
            return ast.Call(load(own_name("timedelta")), [function, *node.args], node.keywords)
        if isinstance(function, ast.Name) and self.modules.get(function.id) in ("json.loads", "json.dumps"):
            return self._json(node, str(self.modules[function.id]).partition(".")[2])
        if isinstance(function, ast.Name) and function.id not in self._bound:
            if function.id in _SHOWING or function.id in self._host_names:
                node.args = [self.as_shown(one) for one in node.args]
            changed = (self._of_objects if function.id in _OF_OBJECTS else self._builtin_call)(node, function.id)
            if changed is not None:
                return changed
        if isinstance(function, ast.Attribute) and not self._is_own(function):
            changed = self._method_call(node, function)
            if changed is not None:
                return changed
        else:
            node.func = self.expression(function)
        self._arguments(node, consumed=isinstance(function, ast.Name) and function.id in CONSUMERS)
        if isinstance(function, ast.Name) and function.id in self._host_names:
            self._leave(node)
        return node

    def _leave(self, node: ast.Call) -> None:
        """Have the arguments of a host call take a form that can leave the worker."""
        leaving = [*self._of_classes(), ast.keyword("consumes", ast.Constant(True))]
        for at, one in enumerate(node.args):
            if not isinstance(one, ast.Constant | ast.JoinedStr | ast.Starred):
                node.args[at] = call("leaving", one, keywords=leaving)
        for keyword in node.keywords:
            if keyword.arg is not None and not isinstance(keyword.value, ast.Constant | ast.JoinedStr):
                keyword.value = call("leaving", keyword.value, keywords=leaving)

    def _of_classes(self) -> list[ast.keyword]:
        names = ast.Tuple([ast.Constant(one) for one in sorted(self.classes)], ast.Load())
        return [ast.keyword("classes", names)] if self.classes else []

    def _arguments(self, node: ast.Call, *, consumed: bool = False) -> None:
        change = self._consumed if consumed else self.expression
        node.args = [change(one) for one in node.args]
        for keyword in node.keywords:
            keyword.value = self.expression(keyword.value)

    def _builtin_call(self, node: ast.Call, name: str) -> ast.expr | None:
        plain = not node.keywords and not any(isinstance(one, ast.Starred) for one in node.args)
        if name in ("any", "all") and plain and len(node.args) == 1:
            return self._short_circuit(name, node.args[0])
        if name == "next" and plain and len(node.args) in (1, 2):
            return self._next(node)
        generator = self._as_generator(node)
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
        """`object()`, `slice(...)`, `print(file=...)`, and `eval(...)`, whose text may have names of the function."""
        if name == "print":
            return self._printed_to(node)
        if name != "eval" and (node.keywords or (name == "object") == bool(node.args)):
            return None
        self._arguments(node)
        if name != "eval":
            return call("object" if name == "object" else "sliced", *node.args)
        hidden: list[ast.expr] = [ast.Constant(one) for one in sorted(frozenset().union(*self._names_around))]
        named = [ast.keyword("names", ast.Tuple(hidden, ast.Load()))] if hidden else []
        return ast.Call(load(own_name("eval")), node.args, [*node.keywords, *named])

    def _printed_to(self, node: ast.Call) -> ast.expr | None:
        if not any(one.arg == "file" for one in node.keywords):
            return None
        self._arguments(node)
        node.func = load(own_name("print_to"))
        return node

    def _named_generator(self, name: str, generator: ast.GeneratorExp) -> ast.expr:
        """`map(f, xs)` and `filter(f, xs)`, whose iterators have these names."""
        made = self.expression(generator)
        if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == own_name("generator"):
            made = ast.Call(load(own_name(f"{name}_of")), made.args[:2], [])
        return made

    def _ordered(self, name: str, node: ast.Call) -> ast.expr:
        """`sorted`, `min` and `max`, whose key may be a function that calls the host."""
        key = next((one.value for one in node.keywords if one.arg == "key"), None)
        self._arguments(node, consumed=len(node.args) == 1)
        if key is not None and not is_quick_key(key, self._bound):
            node.func = load(own_name(name))
        elif name == "sorted" and self._words.are_seen and len(node.args) == 1:
            node.func = load(own_name("worded_sorted"))
        return node

    def _converted(self, name: str, node: ast.Call) -> ast.expr:
        """Have `int` and `float` read digits of every script, and `bytes` and `dict` be as they are in CPython."""
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
        """Monty's exceptions take one text at most."""
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
        """Note the words of a TypeError that the cell makes, which are as they are."""
        return call("worded_own", made) if name == "TypeError" else made

    def _method_call(self, node: ast.Call, function: ast.Attribute) -> ast.expr | None:
        owner, name = function.value, function.attr
        is_gone_through, self._is_gone_through = self._is_gone_through, False
        if isinstance(owner, ast.Name) and owner.id in _UNBOUND - self._bound:
            function_value = self._unbound(owner.id, name)
            self._arguments(node)
            node.func = function_value
            return node
        if name in ("write", "timedelta") and (ours := self._of_module(name, owner, function)) is not None:
            self._arguments(node)
            return ast.Call(ours.func, [*ours.args, *node.args], node.keywords)
        if name == "sort" and not node.args:
            return self._sort(node, function)
        if name in ("loads", "dumps"):
            return self._json(node, name)
        of_container = self._of_list_or_set(node, name)
        if of_container is not None:
            self._arguments(node, consumed=True)
            if name == "remove" and self._keeps_key(node):
                return call("worded_key", load(own_name(of_container)), self.expression(owner), *node.args)
            return call(of_container, self.expression(owner), *node.args)
        if name in ("pop", "remove") and self._keeps_key(node):
            return self._with_key_kept(node, function)
        if name in METHOD_SHIMS and self._needs_shim(name, node):
            self._arguments(node, consumed=name in _CONSUMING_METHODS)
            shim = own_name(f"many_{name}" if name in _OF_MANY else f"m_{name}")
            return ast.Call(load(shim), [self.expression(owner), *node.args], node.keywords)
        if self._finds_nothing(node, name):
            self._arguments(node)
            return call("find_nothing", self.expression(owner), ast.Constant(name), *node.args[1:])
        changed = self._plain_method(node, function)
        return changed if is_gone_through or name != "finditer" else call("found_iterator", changed)

    def _of_module(self, name: str, owner: ast.expr, function: ast.expr) -> ast.Call | None:
        """Return our function, with its first argument, for `sys.stdout.write` or `datetime.timedelta`."""
        if name == "write":
            text = ast.unparse(owner)
            return call("write", ast.Constant(text)) if text in ("sys.stdout", "sys.stderr") else None
        is_module = isinstance(owner, ast.Name) and self.modules.get(owner.id) == "datetime"
        return call("timedelta", function) if is_module else None

    def _plain_method(self, node: ast.Call, function: ast.Attribute) -> ast.expr:
        """A method that is left to Monty."""
        owner, name = function.value, function.attr
        if name == "format" and isinstance(owner, ast.Constant) and isinstance(owner.value, str):
            self._with_specs(node, owner.value)
        asks = self._asks(node)
        function.value = self.expression(owner)
        if asks:
            function.value = call("having", function.value, ast.Constant(name))
        self._arguments(node, consumed=name in _CONSUMING_METHODS or name in CONSUMERS)
        return node

    def _keeps_key(self, node: ast.Call) -> bool:
        if not self._words.keys_are_seen or len(node.args) != 1 or node.keywords or self._asks(node):
            return False
        return not isinstance(node.args[0], ast.Starred) and not _caught.tells_itself(node.args[0])

    def _with_key_kept(self, node: ast.Call, function: ast.Attribute) -> ast.expr:
        """`d.pop(k)` and `s.remove(k)`, whose KeyError may be shown."""
        method = ast.Attribute(load(own_name("o")), function.attr, ast.Load())
        names = [own_name("o"), own_name("k")]
        step = ast.Lambda(parameters(names), ast.Call(method, [load(own_name("k"))], []))
        self._arguments(node)
        return call("worded_key", step, self.expression(function.value), node.args[0])

    @staticmethod
    def _finds_nothing(node: ast.Call, name: str) -> bool:
        """Return whether a call looks for an empty text from a position on."""
        if name not in _SEARCHES or len(node.args) < 2:
            return False
        return is_empty(node.args[0])

    def _of_list_or_set(self, node: ast.Call, name: str) -> str | None:
        """Return our function for a method of what may be a list or a set; None where it is left to Monty."""
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
        """`json.loads` has CPython's words of an error, and `json.dumps` takes `default=`."""
        self._arguments(node)
        node.func = self.expression(node.func)
        if name == "dumps" and not any(one.arg in ("default", "cls", None) for one in node.keywords):
            return node
        return call(name, node.func, *node.args, keywords=node.keywords) if len(node.args) == 1 else node

    @staticmethod
    def _with_specs(node: ast.Call, form: str) -> None:
        """Have what `'{:>10}'.format(value)` gives a width to checked, as in an f-string."""
        try:
            fields = [field for field in Formatter().parse(form) if field[1] is not None]
        except ValueError:
            return
        for number, (_, name, spec, conversion) in enumerate(fields):
            if not spec or conversion:
                continue
            at = number if name == "" else int(name or "") if (name or "").isdecimal() else len(node.args)
            if at < len(node.args) and not any(isinstance(one, ast.Starred) for one in node.args[: at + 1]):
                node.args[at] = call("spec", node.args[at])
            for keyword in node.keywords:
                if keyword.arg == name:
                    keyword.value = call("spec", keyword.value)

    def _asks(self, node: ast.Call) -> bool:
        """Return whether an argument of a call is a call of the host."""
        return any(
            isinstance(inner, ast.Name) and inner.id in self._host_names for one in node.args for inner in ast.walk(one)
        )

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

    def _is_builtin(self, node: ast.Call, names: Collection[str]) -> bool:
        return isinstance(node.func, ast.Name) and node.func.id in names and node.func.id not in self._bound

    def _as_generator(self, node: ast.expr) -> ast.expr:
        """`map(f, xs)` and `filter(f, xs)` of a name or a lambda are generator expressions."""
        if not isinstance(node, ast.Call) or not self._is_builtin(node, {"map", "filter"}):
            return node
        if len(node.args) != 2 or node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            return node
        function, items = node.args
        self._count += 1
        name = own_name(f"item{self._count}")
        if isinstance(function, ast.Lambda):
            return self._of_lambda(node, function, items)
        if not isinstance(function, ast.Name | ast.Attribute) or has_calls(function):
            return node
        called: ast.expr = ast.Call(function, [load(name)], [])
        target = ast.Name(name, ast.Store())
        if self._is_builtin(node, {"map"}):
            return placed(ast.GeneratorExp(called, [ast.comprehension(target, items, [], 0)]), node)
        return placed(ast.GeneratorExp(load(name), [ast.comprehension(target, items, [called], 0)]), node)

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
        """Change an expression that is gone through whole, at once."""
        generator = self._as_generator(node)
        if isinstance(generator, ast.GeneratorExp):
            return self.expression(ast.copy_location(ast.ListComp(generator.elt, generator.generators), node))
        if isinstance(node, ast.Call) and self._is_builtin(node, {"zip", "enumerate", "reversed"}):
            self._arguments(node, consumed=True)
            return node
        if isinstance(node, ast.Starred):
            node.value = self._consumed(node.value)
            return node
        return self._whole(node)

    def _whole(self, node: ast.expr) -> ast.expr:
        """Change an expression that nothing else reads than what goes through it."""
        self._is_gone_through = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        return self.expression(node)

    def _starred(self, node: ast.Starred) -> ast.expr:
        node.value = self._consumed(node.value) if isinstance(node.ctx, ast.Load) else self.expression(node.value)
        return node

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
        # The default is evaluated first, and always.
        wanted = ast.Return(ast.Tuple([source.elt], ast.Load()))
        found = self._search(source, wanted, ast.Return(ast.Tuple([], ast.Load())))
        return call("first_or", found, self.expression(default))

    def _search(self, source: ast.GeneratorExp, found: ast.stmt, otherwise: ast.stmt) -> ast.expr:
        """Make a function that goes through a generator expression up to an item, and call it."""
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
        """Put a function before the statement; return its name, and names of the expression that it must be given."""
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


def _own_names_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[str]:
    """Return the names that a function gives a value, its parameters among them."""
    names = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
    for inner in (inner for statement in node.body for inner in ast.walk(statement)):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.add(inner.id)
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(inner.name)
    declared = {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}
    return frozenset(names - declared)


def _never_bound(name: str) -> ast.If:
    """Return the statement that makes a name one of the function's own, and gives it no value."""
    return ast.If(ast.Constant(False), [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None))], [])


def _declared(node: ast.AnnAssign) -> list[ast.stmt]:
    """`total: int` alone in a function makes the name one of its own, which in Monty it does not."""
    return [placed(_never_bound(node.target.id), node)] if isinstance(node.target, ast.Name) else [node]


def _iterates_by_index() -> ast.FunctionDef:
    """Return the method by which an object that has `__getitem__` alone is gone through."""
    body: list[ast.stmt] = [ast.Return(call("by_index", load("self")))]
    method = ast.FunctionDef("__iter__", parameters(["self"]), body, [], None)
    if hasattr(ast, "TypeVar"):  # from Python 3.12 on
        setattr(method, "type_params", [])  # noqa: B010 - the type is that of the oldest Python
    return method


_OF_FORMATS = re.compile(r"(.?[<>=^])?[-+ ]?z?#?0?\d*[,_]?(\.\d+)?[bcdeEfFgGnosxX%]?|.*%.*")
"""Formats that Monty reads when it compiles a cell; it would refuse others as no Python."""


def _constant_spec(spec: ast.expr) -> list[ast.Constant]:
    """Return the format's text, where it is known; nothing else."""
    parts = spec.values if isinstance(spec, ast.JoinedStr) else []
    texts = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
    return [ast.Constant("".join(texts))] if parts and len(texts) == len(parts) else []


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


def _imports(node: ast.Import | ast.ImportFrom) -> list[ast.stmt]:
    """`import re` gives ours; everything else is imported as it is."""
    if isinstance(node, ast.ImportFrom):
        if node.module == "__future__":
            return [placed(ast.Pass(), node)]
        return [placed(one, node) for one in _from_own(node)]
    done: list[ast.stmt] = []
    for alias in node.names:
        if alias.name in OWN_MODULES:
            target = ast.Name(alias.asname or alias.name, ast.Store())
            done.append(placed(ast.Assign([target], load(own_name(f"module_{alias.name}"))), node))
        else:
            done.append(placed(ast.Import([alias]), node))
    return done


OWN_MODULES = frozenset({"re"})
"""Modules that Monty has and that are ours all the same."""
_OWN_NAMES = {module: names for module, names in ADDED_NAMES.items() if module not in OWN_MODULES}


def _from_own(node: ast.ImportFrom) -> Iterator[ast.stmt]:
    if node.module not in OWN_MODULES:
        ours = [alias for alias in node.names if alias.name in _OWN_NAMES.get(node.module or "", ())]
        node.names = [alias for alias in node.names if alias not in ours]
        if node.names:
            yield node
        for alias in ours:
            target = ast.Name(alias.asname or alias.name, ast.Store())
            yield ast.Assign([target], load(own_name(alias.name)))
        return
    for alias in node.names:
        value = ast.Attribute(load(own_name(f"module_{node.module}")), alias.name, ast.Load())
        yield ast.Assign([ast.Name(alias.asname or alias.name, ast.Store())], value)
