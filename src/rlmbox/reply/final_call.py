"""The argument of a final tag: words, a literal, fields, or an expression over the names in the REPL."""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import re
import warnings
from dataclasses import dataclass, replace
from typing import Literal

from rlmbox.reply.code import repaired

EMPTY = "{name} has no answer in it. Write FINAL(your answer), or FINAL_VAR(name) for a variable."
NOT_A_NAME = "FINAL_VAR takes one variable or expression, as in FINAL_VAR(result) or FINAL_VAR(found['total'])."

_MAX_LITERAL_CHARS = 1_000_000
_MAX_EXPRESSION_CHARS = 20_000
_BUILTINS = frozenset(dir(builtins))
_ANSWER_KEYS = ("answer", "value", "final_answer")
_CERTAIN = (ast.JoinedStr, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Lambda, ast.Await)
_NOTHING = object()
_VARIABLE_KEYS = ("name", "var", "var_name", "variable", "variable_name")
_MARKED = re.compile(  # a name in ticks, emphasis, quotes, or as in a template
    r"""\A(?:\**`+|\*{1,3}|["'“”‘’]|\$?\{|<)\s*([\w\\]+)\s*(?:`+\**|\*{1,3}|["'“”‘’]|\}|>)\Z"""  # noqa: RUF001
)
_IN_QUOTES = re.compile(r"""\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
_TICKED = re.compile(r"\A(?:`([^`]+)`|```(?:repl|python|py)?\s([^`]+?)\s*```)\Z")


@dataclass(frozen=True, slots=True)
class Final:
    """A final answer in the text of a reply.

    Attributes:
        kind: `text` for an answer in words, as a literal or in fields; `variable` for the name of a variable that holds
            it; `expression` for Python whose value it is.
        value: The JSON value of a literal such as `FINAL([1, 2])`, the fields of `SUBMIT(total=3, name="x")` as a
            dict, otherwise the text; None for a variable and for an expression.
        text: The answer in words; the source of an expression; empty for a variable.
        name: The variable's name; empty otherwise.
        sources: What a literal `sources=[...]` beside the answer names; not checked.
        names: The names that an expression, or a text that could be one, takes from the REPL. A text with names is
            ambiguous: `FINAL(result)` means the variable where there is one, and the word where there is none.
    """

    kind: Literal["text", "variable", "expression"]
    value: object = None
    text: str = ""
    name: str = ""
    sources: tuple[object, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """The source of what calls functions where the answer is evaluated; empty for what only reads values."""
        is_python = self.kind == "expression" or (self.kind == "text" and bool(self.names))
        return self.text if is_python and "(" in self.text else ""


def read_argument(name: str, argument: str) -> tuple[Final | None, str]:
    """Read what a tag was given; the answer, or else what to tell the model.

    Args:
        name: The tag's name.
        argument: What stands between its parentheses.
    """
    argument = _TICKED.sub(r"\1\2", argument.strip())
    if argument in ("", "..."):
        return None, EMPTY.format(name=f"{name}({argument})")
    if name == "FINAL_VAR":
        return _read_variable(argument)
    for source in dict.fromkeys((argument, repaired(argument), _with_lines_escaped(argument))):
        value = read_literal(source)
        if value is not _NOTHING:
            return Final("text", value, value if isinstance(value, str) else argument), ""
    call = _parsed_call(argument)
    if call is not None and (call.keywords or len(call.args) > 1):
        several = _several(name, argument, call)
        return (several, "") if several else _read_call(name, argument, call)
    return read_words(argument), ""


def read_variable(text: str) -> tuple[Final | None, str]:
    """Read the name of a variable; the answer, or else what to tell the model."""
    name = _MARKED.sub(r"\1", text.strip()).replace("\\_", "_")
    if name.isidentifier() and not keyword.iskeyword(name):
        return Final("variable", name=name), ""
    return _read_value(text.strip())


def read_words(text: str) -> Final:
    """Read an answer that is no literal: words, or an expression over the REPL's names."""
    source = repaired(text)
    tree = _expression(source)
    if tree is not None and not _is_certain(tree):
        return Final("text", text, text, names=_free_names(tree))
    if tree is None:  # over several lines, as in a call
        source = f"({_with_lines_escaped(source)}\n)"
        tree = _expression(source)
    if tree is None or not _is_certain(tree):
        return Final("text", text, text)
    return Final("expression", text=source, names=_free_names(tree))


def read_literal(source: str) -> object:
    """Read a Python or JSON literal as the JSON value it stands for; a value of its own where it is not one.

    `1,234` and `Paris, France` are text, although Python would read tuples.
    """
    if len(source) > _MAX_LITERAL_CHARS:
        return _NOTHING
    try:
        with warnings.catch_warnings():  # an unknown escape such as "\d" is not our user's business
            warnings.simplefilter("ignore")
            value = ast.literal_eval(f"({source}\n)")
        if isinstance(value, tuple) and not source.startswith("("):
            return _NOTHING
        found: object = json.loads(json.dumps(value, allow_nan=False))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return _json(source)
    return found


def _json(source: str) -> object:
    if not source.startswith(("{", "[")):
        return _NOTHING
    try:
        value: object = json.loads(source)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return _NOTHING
    return value


def _read_variable(argument: str) -> tuple[Final | None, str]:
    final, problem = read_variable(argument)
    call = None if final else _parsed_call(argument)
    if call is None or len(call.args) > 2:
        return final, problem
    # `FINAL_VAR("x", sources=[(0, 5)])` and `FINAL_VAR(name="x")`
    named = [field.value for field in call.keywords if field.arg in _VARIABLE_KEYS]
    given = [*call.args[:1], *named]
    sources = _sources(call)
    if len(given) != 1 or not (sources or call.keywords):
        return None, NOT_A_NAME
    first = given[0]
    final, problem = read_variable(first.value if _is_text(first) else ast.unparse(first))  # type: ignore[attr-defined]
    return final and replace(final, sources=sources), problem


def _read_value(source: str) -> tuple[Final | None, str]:
    """Read what FINAL_VAR was given in place of a name: a literal, an expression, or either in quotes."""
    value = read_literal(source)
    if isinstance(value, str):
        return read_words(value), ""  # `FINAL_VAR("Paris, France")` is words, as in the REPL
    if value is not _NOTHING and value is not None:
        return Final("text", value, source), ""
    tree = _expression(source)
    if tree is None:  # `n for n in ns`
        source = f"({source})"
        tree = _expression(source)
    names = _free_names(tree) if tree is not None else ()
    is_list = isinstance(tree, ast.Tuple) and not source.startswith("(")  # `Paris, France`
    if tree is None or is_list or not (names or _is_certain(tree)):
        return None, NOT_A_NAME
    return Final("expression", text=source, names=names), ""


def _several(name: str, argument: str, call: ast.Call) -> Final | None:
    """Read `SUBMIT(3, "x")` as a list of its values; for FINAL that may be words, as in `FINAL(1, 2)`."""
    if name != "SUBMIT" or len(call.args) < 2 or call.keywords or _is_sources(call.args[-1]):
        return None
    values = read_literal(f"[{argument}]")
    return None if values is _NOTHING else Final("text", values, json.dumps(values, ensure_ascii=False))


def _read_call(name: str, argument: str, call: ast.Call) -> tuple[Final | None, str]:
    """Read a call with more than one argument, as `FINAL("alpha", sources=[(0, 5)])`."""
    words = Final("text", argument, argument)
    if any(field.arg is None for field in call.keywords) and not call.args:
        return Final("expression", text=f"dict({argument})", names=_free_names(call)[1:]), ""  # after `_`
    fields = {field.arg or "": field.value for field in call.keywords if field.arg != "sources"}
    if len(call.args) > 1 + (not call.keywords and _is_sources(call.args[-1])):
        return words, ""  # `Paris, France`
    if name == "FINAL" and _is_equation(fields) and not any(map(_is_text, call.args)):
        return words, ""
    if call.args and fields:  # `SUBMIT("ok", confidence=0.9)`
        fields = {"answer": call.args[0], **fields}
    sources = _sources(call)
    if call.args and not fields:
        answer: ast.expr = call.args[0]
    elif len(fields) == 1 and next(iter(fields)) in _ANSWER_KEYS:
        answer = next(iter(fields.values()))
    elif fields:
        answer = ast.Dict([ast.Constant(key) for key in fields], list(fields.values()))
    else:
        return None, EMPTY.format(name=f"{name}({argument})")
    source = ast.unparse(answer)
    value = read_literal(source)
    if value is _NOTHING:
        return Final("expression", text=source, sources=sources, names=_free_names(answer)), ""
    if value == "" and not isinstance(answer, ast.Constant):
        return None, EMPTY.format(name=f"{name}({argument})")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Final("text", value, text, sources=sources), ""


def _is_equation(fields: dict[str, ast.expr]) -> bool:
    """Return whether what parses as fields may be words: `x = 5, y = 6` is a fine answer to a sum."""
    return bool(fields) and not any(
        name in _ANSWER_KEYS or _is_text(value) or _is_certain(value) for name, value in fields.items()
    )


def _with_lines_escaped(source: str) -> str:
    """Return Python in which no text in plain quotes goes over several lines, as models write it."""
    if "\n" not in source or len(source) > _MAX_LITERAL_CHARS:
        return source
    return _IN_QUOTES.sub(lambda quoted: quoted.group().replace("\n", "\\n"), source)


def _sources(call: ast.Call) -> tuple[object, ...]:
    given = [field.value for field in call.keywords if field.arg == "sources"] or call.args[1:2]
    value = read_literal(ast.unparse(given[0])) if given else None
    return tuple(value) if isinstance(value, list) else ()


def _is_sources(node: ast.expr) -> bool:
    return isinstance(node, ast.List | ast.Tuple) and all(isinstance(item, ast.List | ast.Tuple) for item in node.elts)


def _parsed_call(argument: str) -> ast.Call | None:
    """Parse an argument as those of a call; None where it is not Python."""
    source = f"_({argument}\n)"
    tree = _expression(source) or _expression(repaired(source)) or _expression(_with_lines_escaped(source))
    is_call = isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id == "_"
    return tree if is_call and isinstance(tree, ast.Call) else None


def _expression(source: str) -> ast.expr | None:
    if len(source) > _MAX_EXPRESSION_CHARS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _is_certain(tree: ast.expr) -> bool:
    """Return whether an expression can only be code, and not words that happen to be Python, as `O(n)` or `A / B`."""
    return any(_is_certain_node(node) for node in ast.walk(tree))


def _is_certain_node(node: ast.AST) -> bool:
    if isinstance(node, _CERTAIN):
        return True
    if isinstance(node, ast.Call):
        called = node.func
        return isinstance(called, ast.Attribute) or (isinstance(called, ast.Name) and called.id in _BUILTINS)
    if isinstance(node, ast.Subscript):
        index = node.slice
        return isinstance(index, ast.Slice | ast.UnaryOp | ast.Name) or _is_text(index)
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, ast.Set):
        return all(isinstance(item, ast.Constant) for item in node.elts)
    if isinstance(node, ast.Dict):
        return any(isinstance(key, ast.Tuple) for key in node.keys)
    return isinstance(node, ast.Constant) and isinstance(node.value, bytes)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _free_names(tree: ast.expr) -> tuple[str, ...]:
    """Return the names that an expression takes from where it is evaluated, in the order of their first use."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
    bound |= {argument.arg for argument in ast.walk(tree) if isinstance(argument, ast.arg)}
    used = (node.id for node in nodes if node.id not in bound and node.id not in _BUILTINS)
    return tuple(dict.fromkeys(used))
