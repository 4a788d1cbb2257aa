"""The language side of the worker: names, cells, values and tracebacks, for CPython.

Runs inside the sandbox, from source that the first frame carries (see `_worker.py`): standard library only,
Python 3.11 and later, nothing of rlmbox. Everything here works on the cell's side of the wall.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

FILE = "<rlm_session>"
MODULES = ("re", "json", "math", "base64", "binascii", "zlib")
TEXT_CHARS = 20_000  # of a `repr`, a message, a traceback
VALUE_CHARS = 4_000_000
NODES = 200_000
SLICE_CHARS = 16_000_000
PIECE_CHARS = 1 << 20
MAX_VARIABLES = 1000
AWAITABLE_ARGUMENTS = ("gather", "create_task", "ensure_future", "wait_for")
# Exceptions of the host that are raised as themselves; no name is looked up that is not here.
RAISABLE = frozenset(
    "ArithmeticError AssertionError AttributeError ConnectionError EOFError FileNotFoundError IndexError KeyError "  # noqa: SIM905
    "LookupError NameError NotImplementedError OSError OverflowError PermissionError RuntimeError TimeoutError "
    "TypeError UnicodeError ValueError ZeroDivisionError".split()
)
_UNIQUE_FILE = re.compile(r"<rlm_session:\d+>")


class HostObject:
    """What host functions with a dotted name are methods of, such as `ctx`."""

    def __repr__(self) -> str:
        return f"<object with the functions {', '.join(sorted(vars(self)))}>"


class Repl:
    """The namespace of a session and what runs in it.

    Args:
        frame: The start frame.
        call: Calls a host function by name.
    """

    def __init__(self, frame: dict[str, Any], call: Callable[..., Any]) -> None:
        self._own_files = {__name__, "_repl.py", call.__code__.co_filename}
        self._cells = 0
        self._file = FILE
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main  # dataclasses and pickle look a class's module up there
        self._names = vars(main)
        self._names["__builtins__"] = builtins
        injected: dict[str, Any] = {name: __import__(name) for name in MODULES}
        for entry in frame["functions"]:
            parent, _, name = entry["name"].rpartition(".")
            place = vars(injected.setdefault(parent, HostObject())) if parent else injected
            place[name] = host_function(entry, call)
        self._host_names = {entry["name"].partition(".")[0] for entry in frame["functions"]}
        context = open_context(frame["context"], getattr(injected.get("ctx"), "slice", None))
        injected |= {"context": context, "P": context, "query": frame["query"], "SHOW_VARS": self._show_vars}
        builtins.help = helped  # type: ignore[assignment]
        builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
        injected |= {"answer": {"content": "", "ready": False}, "_rlm_settled": settled}
        injected["_rlm_all_settled"] = lambda values: [settled(value) for value in values]
        self._injected = injected
        self._names.update(injected)

    def _show_vars(self) -> dict[str, str]:
        """Lists the variables that cells have set, with a short description of each."""
        return self.variables()

    def listing(self, _: str = "") -> dict[str, Any]:
        """Gives the variables in the form of a cell's result."""
        return {"value": self.variables(), "value_repr": None}

    def variables(self) -> dict[str, str]:
        """Describes the names that cells have set."""
        own = [k for k, v in self._names.items() if k[:1] != "_" and self._injected.get(k, self) is not v]
        return {name: describe(self._names[name]) for name in own[:MAX_VARIABLES]}

    def run(self, code: str) -> dict[str, Any]:
        """Runs a cell in the session's namespace and echoes a last bare expression."""
        self._cells += 1
        # Each cell has a file name of its own, so that a function of an earlier cell keeps its source lines;
        # `report` writes them all as `<rlm_session>`.
        self._file = f"<rlm_session:{self._cells}>"
        import linecache

        linecache.cache[self._file] = (len(code), None, code.splitlines(keepends=True), self._file)
        program = self._compiled(code)
        try:
            result = eval(program, self._names)  # noqa: S307 - running code is what this is for
            if program.co_flags & 0x80:  # CO_COROUTINE: there is an `await` at the top level
                import asyncio

                asyncio.run(result)
            return echo(self._names.get("_rlm_value"))
        finally:
            self._names.pop("_rlm_value", None)

    def _compiled(self, code: str) -> types.CodeType:
        try:
            tree = ast.parse(code, self._file)
        except MemoryError:
            raise RecursionError("the code is too deeply nested") from None
        if "await" in code:
            bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            own = {n for n in self._host_names - bound if self._names.get(n) is self._injected[n]}
            tree = Awaits(own).visit(tree)
        if tree.body and isinstance(last := tree.body[-1], ast.Expr):
            target = ast.copy_location(ast.Name("_rlm_value", ast.Store()), last)
            tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        program: types.CodeType = compile(tree, self._file, "exec", flags, dont_inherit=True)
        return program

    def report(self, error: BaseException | None, kind: str | None, message: str | None) -> dict[str, Any]:
        """Describes what ended a cell; `kind` and `message` are given for a limit."""
        if error is None:
            return {"type": kind, "message": message, "traceback": f"{kind}: {message}", "line": None}
        if isinstance(error, SystemExit):
            message = f"exit({'' if error.code is None else error.code}) ended the cell; the session goes on"
        kind = kind or type(error).__name__
        message = bounded(str(error) if message is None else message)
        shown, line = self._traceback(error)
        if not isinstance(error, SyntaxError):
            shown[-1] = f"{kind}: {message}" if message else kind
        text = _UNIQUE_FILE.sub(FILE, bounded("".join(shown)))
        error.__traceback__ = error.__context__ = error.__cause__ = None  # frees what the frames hold
        return {"type": kind, "message": _UNIQUE_FILE.sub(FILE, message), "traceback": text.rstrip("\n"), "line": line}

    def _traceback(self, error: BaseException) -> tuple[list[str], int | None]:
        """Formats a traceback without the worker's frames; gives the line of the cell too."""
        import traceback

        report = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        line = error.lineno if isinstance(error, SyntaxError) and error.filename == self._file else None
        line = next((f.lineno for f in reversed(report.stack) if f.filename == self._file), line)
        todo, seen = [report], {id(report)}
        while todo:
            one = todo.pop()
            # What a library caught and raised anew has frames of the library alone; those stay.
            outside = len(one.stack) if one is report else 0
            first = next((n for n, f in enumerate(one.stack) if f.filename.startswith("<rlm_session")), outside)
            one.stack[:] = [f for f in one.stack[first:] if f.filename not in self._own_files]
            chained = [one.__cause__, one.__context__, *(one.exceptions or () if hasattr(one, "exceptions") else ())]
            todo += [other for other in chained if other is not None and id(other) not in seen]
            seen |= {id(other) for other in chained}
        return list(report.format()), line


def helped(*things: Any) -> None:
    """Prints the documentation of a thing; `site`, which brings `help`, is not loaded."""
    import pydoc

    pydoc.help(*things)


def host_function(entry: dict[str, Any], call: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the function by which cells call one of the host's."""
    name, parameters = entry["name"], entry["parameters"]

    def function(*args: Any, **kwargs: Any) -> Any:
        budget = [NODES, sys.maxsize]
        names = [*parameters, *(f"number {n + 1}" for n in range(len(parameters), len(args)))]
        sent = [plain(a, f"{name}(): argument {n}", budget) for a, n in zip(args, names, strict=False)]
        answer = call(name, sent, {k: plain(v, f"{name}(): argument {k}", budget) for k, v in kwargs.items()})
        error = answer.get("error")
        if error is None:
            return answer["value"]
        kind, message = error["type"], error["message"]
        raise getattr(builtins, kind)(message) if kind in RAISABLE else RuntimeError(f"{kind}: {message}")

    function.__name__ = function.__qualname__ = name.rpartition(".")[2]
    function.__doc__ = f"{entry['signature']}\n\n{entry['summary']}"
    return function


def plain(value: Any, where: str, budget: list[int], depth: int = 0) -> Any:
    """Gives a value as JSON has it; raises TypeError that says where the value stood.

    Args:
        value: Anything.
        where: For the message.
        budget: Nodes and characters that may still come; counted down.
        depth: How deep the value is nested.
    """
    budget[0] -= 1
    if isinstance(value, str):
        budget[1] -= len(value)
    if budget[0] < 0 or budget[1] < 0 or depth > 40:
        raise TypeError(f"{where} is too large or too deeply nested")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and value.bit_length() < 10_000:
        return value
    if isinstance(value, float) and value - value == 0:
        return value
    if isinstance(value, list | tuple):
        return [plain(item, where, budget, depth + 1) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(item, where, budget, depth + 1) for key, item in value.items()}
    what = f"the number {value}" if isinstance(value, float) else f"a {type(value).__name__}"
    if isinstance(value, LargeText):
        what = "the whole context; pass ctx.slice(start, end)"
    raise TypeError(f"{where} is or holds {what}: None, bool, int, float, str, list and dict with str keys can be sent")


def echo(value: Any) -> dict[str, Any]:
    """Gives a value as JSON where it is, as its bounded `repr` otherwise."""
    if value is None:
        return {"value": None, "value_repr": None}
    half = TEXT_CHARS // 2
    if type(value) is str and len(value) > 2 * TEXT_CHARS:  # no copy of a large context only to cut it
        text = f"{value[:half]!r} ... [{len(value) - 2 * half:,} characters dropped] ... {value[-half:]!r}"
    else:
        text = bounded(repr(value))
    try:
        return {"value": plain(value, "", [NODES, VALUE_CHARS]), "value_repr": text}
    except TypeError:
        return {"value": text, "value_repr": text}


def bounded(text: str) -> str:
    """Cuts the middle out of a long text and says how much."""
    half = TEXT_CHARS // 2
    if len(text) <= TEXT_CHARS:
        return text
    return f"{text[:half]} ... [{len(text) - 2 * half:,} characters dropped] ... {text[-half:]}"


def describe(value: Any) -> str:
    """Gives a short description such as `list, 3 items`."""
    kind = type(value).__name__[:100]
    if type(value) in (bool, int, float, types.NoneType):
        return f"{kind}, {'large' if isinstance(value, int) and value.bit_length() > 200 else repr(value)}"
    try:
        size = len(value)
    except Exception:  # noqa: BLE001 - a cell's class may raise anything
        return kind
    return f"{kind}, {size} {'characters' if isinstance(value, str) else 'items'}"


class Awaits(ast.NodeTransformer):
    """Lets cells await host functions, which are ordinary ones: drops the `await` or makes it harmless.

    Args:
        names: Names that are the host's in this cell.
    """

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Await(self, node: ast.Await) -> ast.expr:
        """Drops the `await` of a host call; of anything else that gives a plain value, it gives the value."""
        self.generic_visit(node)
        func = node.value.func if isinstance(node.value, ast.Call) else None
        root = func.value if isinstance(func, ast.Attribute) else func
        if isinstance(root, ast.Name) and root.id in self._names:
            return node.value
        node.value = _settling(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """Lets `asyncio.gather(llm_query(a), llm_query(b))` have its values."""
        self.generic_visit(node)
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in AWAITABLE_ARGUMENTS:
            awaited = len(node.args) if name == "gather" else 1
            node.args[:awaited] = [_settling(argument) for argument in node.args[:awaited]]
        return node


def _settling(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Starred):
        node.value = _calling("_rlm_all_settled", node.value)
        return node
    return _calling("_rlm_settled", node)


def _calling(name: str, argument: ast.expr) -> ast.expr:
    call = ast.Call(ast.Name(name, ast.Load()), [argument], [])
    return ast.fix_missing_locations(ast.copy_location(call, argument))


def settled(value: Any) -> Any:
    """Gives something that can be awaited: the value itself where it can."""

    async def already() -> Any:
        return value

    return value if hasattr(value, "__await__") or isinstance(value, types.GeneratorType) else already()


def open_context(source: dict[str, Any], read_slice: Callable[[int, int], str] | None) -> Any:
    """Gives the context that the start frame describes: a `str`, or what stands for a text too long for one."""
    if "text" in source:
        return source["text"]
    fd = source["fd"] if "fd" in source else os.open(source["path"], os.O_RDONLY) if "path" in source else None
    if fd is None:
        return LargeText(source["length"], read_slice or (lambda start, end: ""))
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        if source["kind"] == "str":
            return file.read().decode("utf-8", "surrogatepass")
        import mmap

        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return LargeText(source["length"], lambda start, end: data[start:end].decode("ascii"))


class LargeText:
    """A text too long to be a `str` in the sandbox; read piece by piece.

    Args:
        length: Its characters.
        read: Gives the characters from a position to another.
    """

    def __init__(self, length: int, read: Callable[[int, int], str]) -> None:
        self._length, self._read = length, read

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, key: int | slice) -> str:
        if not isinstance(key, slice):
            at = range(self._length)[key]
            return self._read(at, at + 1)
        start, stop, step = key.indices(self._length)
        if step < 0 or stop - start > SLICE_CHARS:
            raise self._refusal(f"a slice of {abs(stop - start):,} characters")
        return self._read(start, stop)[::step] if stop > start else ""

    def find(self, sub: str, start: int | None = None, end: int | None = None) -> int:
        """Finds the first occurrence, as `str.find` does."""
        start, end, _ = slice(start, end).indices(self._length)
        for at in range(start, end, PIECE_CHARS):
            found = self._read(at, min(at + PIECE_CHARS + len(sub), end)).find(sub)
            if found >= 0:
                return at + found
        return -1 if sub or start > end else start

    def count(self, sub: str, start: int | None = None, end: int | None = None) -> int:
        """Counts occurrences that do not overlap, as `str.count` does; `sub` must not be empty."""
        if not sub:
            raise ValueError("count() of an empty text")
        at, end, _ = slice(start, end).indices(self._length)
        found = 0
        while at < end:
            piece, after = self._read(at, min(at + PIECE_CHARS + len(sub) - 1, end)), 0
            while (hit := piece.find(sub, after)) >= 0:
                found, after = found + 1, hit + len(sub)
            at += max(PIECE_CHARS, after)
        return found

    def startswith(self, prefix: str, start: int = 0) -> bool:
        """Tells whether the text has `prefix` at `start`."""
        return self[start : start + len(prefix)] == prefix

    def __contains__(self, sub: str) -> bool:
        return self.find(sub) >= 0

    def __iter__(self) -> Iterator[str]:
        """Gives the lines, each with its end of line."""
        rest = ""
        for at in range(0, self._length, PIECE_CHARS):
            *lines, rest = (rest + self._read(at, min(at + PIECE_CHARS, self._length))).split("\n")
            yield from (line + "\n" for line in lines)
        if rest:
            yield rest

    def _refusal(self, what: str) -> TypeError:
        return TypeError(
            f"{what} would not fit in memory; the context has {self._length:,} characters: "
            "read a part with ctx.slice(start, end), look something up with ctx.search(pattern)"
        )

    def __str__(self) -> str:
        raise self._refusal("the whole text")

    def __repr__(self) -> str:
        return f"<context of {self._length:,} characters; use ctx.slice and ctx.search>"
