"""Texts composed by a cell of other text and one too long to be a `str` in the sandbox, read from their parts.

Runs inside the sandbox, from source that the start frame carries, as `_context_text.py` does. F-strings, `%`, `format`
and `join` are C code, which would silently copy only the beginning of such a text. So `Joins` rewrites them in a cell's
syntax tree: if a part is a long text, the result is a `JoinedText`.
"""

from __future__ import annotations

import ast
import builtins
import io
import os
import re
import sys
from bisect import bisect_right
from functools import partial
from itertools import accumulate
from operator import index as whole_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    from rlmbox.sandboxes.worker import _context_text as texts
else:
    texts = sys.modules["_rlm_context_text"]

PATTERN_METHODS = ("search", "match", "fullmatch", "finditer", "findall", "split", "sub", "subn")
TEMPLATE_METHODS = ("join", "format", "format_map")
METHODS = {
    **dict.fromkeys(PATTERN_METHODS, "_rlm_on_large"),
    **dict.fromkeys(TEMPLATE_METHODS, "_rlm_template"),
}
MOST_PARTS = 10_000
MERGED_CHARS = 1 << 16  # adjacent strings up to this length are merged
LONG_KEY_CHARS = 100_000
PUT_TOGETHER = (
    "the text holds the whole context, or an input, which is too long for that: take parts of it with context[a:b], or "
    "give llm_batch one prompt for each of ctx.chunk(size)"
)
OUT_OF_WHOLE = "take a part of it, such as context[:500]"
OF_JOINED = "search context itself: re.search(pattern, context)"


class JoinedText(texts.UnscannedText):
    """A long text with other text before, after or within it.

    Args:
        parts: The parts, at least one of them a long text.
    """

    __slots__ = ("_ends", "_parts")

    def __init__(self, parts: list[Any]) -> None:
        reader = next(part.reader for part in parts if type(part) is not str)
        self._parts, self._ends = parts, list(accumulate(map(len, parts)))
        super().__init__(reader, 0, self._ends[-1])

    def _cut(self, start: int, end: int) -> Iterable[tuple[Any, int, int]]:
        """Yield the parts within a range, each with its start and end within the part."""
        number = bisect_right(self._ends, start)
        while start < end:
            part, last = self._parts[number], self._ends[number]
            first = last - len(part)
            yield part, start - first, min(end, last) - first
            start, number = last, number + 1

    def _read(self, start: int, end: int) -> str:
        cut = self._cut(start, end)
        return "".join(part[a:b] if type(part) is str else part._read(a, b) for part, a, b in cut)  # noqa: SLF001

    def _view(self, start: int, end: int) -> Any:
        cut = self._cut(start, end)
        return joined([part[a:b] if type(part) is str else part._view(a, b) for part, a, b in cut])  # noqa: SLF001

    @property
    def parts(self) -> list[Any]:
        """The parts."""
        return self._parts

    def isascii(self) -> bool:
        """Return whether all characters are ASCII."""
        return all(part.isascii() for part in self._parts)

    def reference(self) -> NoReturn:
        """Refuse: the host does not have the text, and it is too long to be sent."""
        raise TypeError(PUT_TOGETHER)

    refuse_to_leave = reference

    def matches(self, *_: Any) -> NoReturn:
        """Refuse: the host does not have the text, and it is too long to be searched here; see `_context_regex.py`."""
        raise texts.refusal("a pattern on a text put together with it", self, OF_JOINED)

    def __repr__(self) -> str:
        return f"<text of {len(self):,} characters, put together with {self._reader.what}; read a part with [a:b]>"


def joined(parts: Iterable[Any]) -> Any:
    """Concatenate texts, to a `str` if all are short."""
    merged: list[Any] = []
    for part in parts:
        for one in part.parts if type(part) is JoinedText else [part if texts.is_whole(part) else str(part)]:
            if not len(one):
                continue
            if type(one) is str and merged and type(merged[-1]) is str and len(merged[-1]) < MERGED_CHARS:
                merged[-1] += one
            else:
                merged.append(one)
    if all(type(one) is str for one in merged):
        return "".join(merged)
    if len(merged) > MOST_PARTS:
        raise texts.refusal(
            f"a text put together of more than {MOST_PARTS:,} parts with it", _first(merged), OUT_OF_WHOLE
        )
    return merged[0] if len(merged) == 1 else JoinedText(merged)


def _first(values: Iterable[Any]) -> Any:
    return next(filter(texts.is_whole, values))


# Replacements of a cell's operators and templates


def piece(value: Any) -> Any:
    """Return what an f-string contains for a value without a format."""
    return value if type(value) is str or texts.is_whole(value) else f"{value}"


def piece_of_str(value: Any) -> Any:
    """Return what an f-string contains for a value with `!s`."""
    return value if texts.is_whole(value) else f"{value!s}"


def f_string(*parts: Any) -> Any:
    """Return the value of an f-string with these parts."""
    is_plain = {*map(type, parts)} == {str} or not any(map(texts.is_whole, parts))
    return "".join(parts) if is_plain else joined(parts)


def text_of(kind: Any, value: Any) -> Any:
    """Return `str(value)` or `format(value)`, as called by a cell."""
    return value if kind in (str, format) and texts.is_whole(value) else kind(value)


def text_of_each(kind: Any) -> Any:
    """Return `str` as passed to `map` by a cell."""
    return partial(text_of, str) if kind is str else kind


def printing(function: Any) -> Any:
    """Return `print` as called by a cell; it shows the beginning of a long text."""
    return printed if function is print else function


def printed(*values: Any, **options: Any) -> None:
    """Print values, of a long text its beginning; what is printed is cut anyway."""
    if any(map(texts.is_whole, values)):
        file = options.get("file") or sys.stdout
        if file not in (sys.stdout, sys.stderr) or issubclass(type(file), io.StringIO):
            raise texts.refusal("print() of the whole text to a file", _first(values), OUT_OF_WHOLE)
        values = tuple(value.excerpt() if texts.is_whole(value) else value for value in values)
    print(*values, **options)  # noqa: T201 - the cell's own


def code_of(run: Any, source: Any, *rest: Any) -> tuple[Any, ...]:
    """Return a cell's arguments of `exec`, `eval` or `compile`, with the source rewritten like a cell."""
    name = {exec: "exec", eval: "eval", compile: "compile"}.get(run) if type(source) is str else None
    if name is None or (name == "compile" and len(rest) != 2) or _has_other_builtins(rest):
        return source, *rest
    file, mode = rest if name == "compile" else ("<string>", name)
    try:
        tree = Joins().visit(ast.parse(source.lstrip(" \t") if mode == "eval" else source, file, mode))
        return (tree, *rest) if name == "compile" else (compile(tree, file, mode, dont_inherit=True), *rest)
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return source, *rest  # which raises it again


def _has_other_builtins(scopes: tuple[Any, ...]) -> bool:
    # Code that does would not find the functions.
    names = scopes[0] if scopes and type(scopes[0]) is dict else {}
    return names.get("__builtins__", builtins) not in (builtins, vars(builtins))


def percent(template: Any, values: Any) -> Any:
    """Return `template % values`."""
    held = values if type(values) is tuple else values.values() if type(values) is dict else [values]
    if type(template) is not str or not any(map(texts.is_whole, held)):
        return template % values

    def filled(key: str) -> str:
        stands = StandIns(key)
        if type(values) is tuple:
            return template % tuple(map(stands, values))
        given = {name: stands(value) for name, value in values.items()} if type(values) is dict else stands(values)
        return template % given

    return _with_texts(filled, [value for value in held if texts.is_whole(value)])


class TextTemplate:
    """The methods of a `str` that compose texts.

    Args:
        text: The text.
    """

    def __init__(self, text: Any) -> None:
        self._text = text

    def join(self, *args: Any, **fields: Any) -> Any:
        """Join parts, as `str.join` does."""
        if len(args) != 1 or fields:
            return self._text.join(*args, **fields)
        (parts,) = args
        listed = [*parts] if hasattr(type(parts), "__iter__") or hasattr(type(parts), "__getitem__") else parts
        if listed is parts or not any(map(texts.is_whole, (self._text, *listed))):
            return "".join(parts) if listed is parts else self._text.join(listed)
        for number, part in enumerate(listed):
            if not texts.is_whole(part) and not issubclass(type(part), str):
                raise TypeError(f"sequence item {number}: expected str instance, {type(part).__name__} found")
        return joined([each for part in listed for each in (self._text, part)][1:])

    def format(self, /, *args: Any, **fields: Any) -> Any:
        """Fill a template, as `str.format` does."""
        wholes = [value for value in (*args, *fields.values()) if texts.is_whole(value)]
        if not wholes:
            return self._text.format(*args, **fields)

        def filled(key: str) -> Any:
            stands = StandIns(key)
            return self._text.format(*map(stands, args), **{name: stands(value) for name, value in fields.items()})

        return _with_texts(filled, wholes)

    def format_map(self, *args: Any, **fields: Any) -> Any:
        """Fill a template, as `str.format_map` does."""
        if len(args) == 1 and type(args[0]) is dict and any(map(texts.is_whole, args[0].values())):
            return self.format(**args[0])
        return self._text.format_map(*args, **fields)


class StandIns:
    """Replaces long texts while C code fills a template, each by a key with its number.

    Args:
        key: Format of the keys, with `{}` for the number.
    """

    def __init__(self, key: str) -> None:
        self._key, self._count = key, 0

    def __call__(self, value: Any) -> Any:
        """Return a value, or its stand-in if it is a long text."""
        if not texts.is_whole(value):
            return value
        self._count += 1
        return _StandIn(value, self._key.format(self._count - 1))


class _StandIn:
    def __init__(self, text: Any, key: str) -> None:
        self._text, self._key = text, key

    def __str__(self) -> str:
        return self._key

    def __repr__(self) -> str:
        return repr(self._text)

    def __format__(self, spec: str) -> str:
        return self._key if spec in ("", "s") else format(self._text, spec)

    def __getitem__(self, key: Any) -> Any:
        return self._text[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._text, name)


_StandIn.__name__ = _StandIn.__qualname__ = "LargeText"


def _with_texts(filled: Callable[[str], str], wholes: list[Any]) -> Any:
    """Fill a template, and insert long texts at their keys.

    Args:
        filled: Fills the template, with a key in place of each text.
        wholes: The texts.
    """
    # A field that truncates or pads would apply to the key; keys of two different lengths reveal that.
    mark = os.urandom(8).hex()
    short, long = (re.split(rf"\ue000{mark}(\d+)x*\ue001", filled(key)) for key in _keys(mark))
    if short != long or any("\ue000" in rest for rest in short[::2]):
        raise texts.refusal("a template with a width for the whole text", wholes[0], OUT_OF_WHOLE)
    return joined([wholes[int(part)] if number % 2 else part for number, part in enumerate(short)])


def _keys(mark: str) -> tuple[str, str]:
    return f"\ue000{mark}{{}}\ue001", f"\ue000{mark}{{}}{'x' * LONG_KEY_CHARS}\ue001"


def _add(self: Any, other: Any) -> Any:
    if not _is_text(other):
        return "x" + other  # raises what a `str` would
    return joined([self, other])


def _radd(self: Any, other: Any) -> Any:
    return joined([other, self]) if _is_text(other) else NotImplemented


def _mul(self: Any, times: Any) -> Any:
    "" * texts.stand_in(times)  # raises what a `str` would
    count = whole_number(times)
    if count > MOST_PARTS:
        raise texts.refusal(f"the whole text {count:,} times", self, OUT_OF_WHOLE)
    return joined([self] * count)


def _is_text(value: Any) -> bool:
    return issubclass(type(value), str) or texts.is_whole(value)


class Joins(ast.NodeTransformer):
    """Replaces operations of C code on long texts in a cell by functions of this module.

    Methods of patterns and templates are looked up on a wrapper that accepts such texts; at run time that is the object
    itself unless it is a pattern or a `str`. Functions of `re` can be replaced; methods of C classes cannot.
    """

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """Rewrite a call of `print`, `str`, `format`, `map`, `exec`, `eval` or `compile`."""
        self.generic_visit(node)
        func, args = node.func, node.args
        if isinstance(func, ast.Name) and func.id == "print":
            node.func = _calling("_rlm_printing", [func])
            return node
        if not isinstance(func, ast.Name) or not args or node.keywords or isinstance(args[0], ast.Starred):
            return node
        if func.id in ("str", "format") and len(args) == 1:
            return _calling("_rlm_text_of", [func, args[0]])
        if func.id in ("exec", "eval", "compile"):
            node.args = [ast.copy_location(ast.Starred(_calling("_rlm_code_of", [func, *args]), ast.Load()), node)]
        elif func.id == "map":
            args[0] = _calling("_rlm_text_of_each", [args[0]])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        """Rewrite a method of a pattern or a template."""
        self.generic_visit(node)
        if node.attr in METHODS and isinstance(node.ctx, ast.Load):
            node.value = _calling(METHODS[node.attr], [node.value])
        return node

    def visit_match_case(self, node: ast.match_case) -> ast.match_case:
        """Rewrite a case but not its pattern, in which Python allows names and no calls."""
        node.guard = self.visit(node.guard) if node.guard else None
        node.body = [self.visit(statement) for statement in node.body]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Rewrite `template % values`."""
        self.generic_visit(node)
        if isinstance(node.op, ast.Mod):
            return ast.copy_location(_calling("_rlm_percent", [node.left, node.right]), node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        """Rewrite an f-string."""
        parts = [self._part(each) for each in node.values]
        return ast.copy_location(_calling("_rlm_f_string", parts), node) if parts else node

    def _part(self, node: ast.expr) -> ast.expr:
        if not isinstance(node, ast.FormattedValue):
            return node
        node.value = self.visit(node.value)
        has_spec = isinstance(node.format_spec, ast.JoinedStr) and bool(node.format_spec.values)
        if node.conversion == ord("s"):
            node.value, node.conversion = _calling("_rlm_piece_of_str", [node.value]), -1
        if not has_spec and node.conversion == -1:
            return _calling("_rlm_piece", [node.value])
        for each in ast.walk(node.format_spec) if node.format_spec is not None else ():
            if isinstance(each, ast.FormattedValue):
                each.value = self.visit(each.value)
        return ast.copy_location(ast.JoinedStr([node]), node)


def _calling(name: str, arguments: list[ast.expr]) -> ast.Call:
    call = ast.Call(ast.Name(name, ast.Load()), arguments, [])
    return ast.fix_missing_locations(ast.copy_location(call, arguments[0]))


def install(with_patterns: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
    """Make handles support composition; return the functions that rewritten cells call, by name.

    Args:
        with_patterns: Makes a compiled pattern accept long texts.
    """
    for name, operator in (("__add__", _add), ("__radd__", _radd), ("__mul__", _mul), ("__rmul__", _mul)):
        setattr(texts.LargeText, name, operator)

    functions: dict[str, Callable[..., Any]] = {
        "_rlm_on_large": with_patterns,
        "_rlm_template": lambda value: TextTemplate(value) if type(value) is str or texts.is_whole(value) else value,
        "_rlm_f_string": f_string,
        "_rlm_piece": piece,
        "_rlm_piece_of_str": piece_of_str,
        "_rlm_percent": percent,
        "_rlm_text_of": text_of,
        "_rlm_text_of_each": text_of_each,
        "_rlm_code_of": code_of,
        "_rlm_printing": printing,
    }
    vars(builtins).update(functions)  # where code in `exec` finds them, whatever its namespace
    return functions
