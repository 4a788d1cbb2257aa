"""The language side of the worker for CPython: names, cells, values and tracebacks.

Runs inside the sandbox, from source that the first frame carries (see `_worker.py`): standard library only,
Python 3.11 and later, nothing of rlmbox. A cell can tamper with everything here.
"""

from __future__ import annotations

import ast
import builtins
import os
import re
import sys
import types
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rlmbox.sandboxes.worker import _clocks, _values
else:
    _clocks, _values = sys.modules["_rlm_clocks"], sys.modules["_rlm_values"]

FILE = "<rlm_session>"
OWN_MODULES = ("_rlm_values", "_rlm_clocks", "_rlm_repl")  # listed: searching `sys.modules` would copy memory pages
OWN_FILES = (
    "_repl.py",
    "_values.py",
    "_clocks.py",
    *(f"_context_{name}.py" for name in ("text", "regex", "library", "joins")),
)
FREE = ("query",)
MOST_IN_GROUP = 1_000
HANDLE = re.compile(r"\b(?:Large|Cased|Joined)Text\b")
WANTS_STR = re.compile(r"encoding without a string argument|(?:compile|eval|exec)\(\) arg 1 must be a string")
NO_STR = "a text this long is no str in this REPL: take a part of it, such as context[a:b], or go through its lines"
MODULES = ("re", "json", "math", "base64", "binascii", "zlib")
TEXT_CHARS = 20_000  # longest `repr`, message or traceback
OWN_SLICE_CHARS = 1_000_000
MAX_VARIABLES = 1000
MAX_SOURCES = 1000  # cells whose source lines are kept for tracebacks
MAX_SOURCE_CHARS = 4_000_000
AWAITABLE_ARGUMENTS = ("gather", "create_task", "ensure_future", "wait_for")
# Exceptions of the host that are raised with their own class; no other name is looked up.
RAISABLE = frozenset(
    "ArithmeticError AssertionError AttributeError ConnectionError EOFError FileNotFoundError IndexError KeyError "  # noqa: SIM905
    "LookupError NameError NotImplementedError OSError OverflowError PermissionError RuntimeError TimeoutError "
    "TypeError UnicodeError ValueError ZeroDivisionError".split()
)
_UNIQUE_FILE = re.compile(r"<rlm_session:\d+>")


class HostObject:
    """An object whose methods are host functions with a dotted name, such as `ctx`."""

    def __repr__(self) -> str:
        return f"<object with the functions {', '.join(sorted(vars(self)))}>"


class Repl:
    """The namespace of a session, and the execution of cells in it.

    Args:
        frame: The start frame.
        wire: Calls host functions by name.

    Attributes:
        is_reading: True while a cell is compiled, and after an error there that is not the cell's fault: an earlier
            cell may have changed the modules that compile, so that no other cell can run.
    """

    is_reading = False

    def __init__(self, frame: dict[str, Any], wire: Any) -> None:
        self._own_files = {__name__, *OWN_FILES, wire.call.__code__.co_filename}
        self._wire = wire
        self._cells = self._source_chars = 0
        self._sources: dict[str, int] = {}
        self._clocks = _clocks.ClockReaders()
        self._file = FILE
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main  # dataclasses and pickle look up a class's module there
        self._modules = dict(sys.modules)
        self._names = vars(main)
        self._names["__builtins__"] = builtins
        injected: dict[str, Any] = {name: __import__(name) for name in MODULES}
        for entry in frame["functions"]:
            parent, _, name = entry["name"].rpartition(".")
            place = vars(injected.setdefault(parent, HostObject())) if parent else injected
            place[name] = host_function(entry, wire)
        sources = {"context": frame["context"], **frame.get("texts", {})}
        scans = {name: injected.pop(source.get("object"), None) for name, source in sources.items()}
        texts, on_large = open_texts(sources, scans, frame.get("text_modules"))
        context = texts.pop("context")
        for entry in frame["functions"]:
            parent, _, name = entry["name"].rpartition(".")
            if entry.get("is_slice"):
                place = vars(injected[parent]) if parent else injected
                place[name] = slice_function(context, place[name])
        self._host_names = {entry["name"].partition(".")[0] for entry in frame["functions"]} & injected.keys()
        self._joins = on_large.pop("Joins", None)
        injected |= on_large
        injected |= {"context": context, "P": context, "query": frame["query"], "SHOW_VARS": listing_function(self)}
        builtins.help = helped  # type: ignore[assignment]
        builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
        injected["_rlm_settled"] = settled
        injected["_rlm_all_settled"] = lambda values: [settled(value) for value in values]
        self._injected = injected
        # Bound in advance: a cell may have left no builtins to build the call with.
        self.restore_builtins: Callable[[], object] = partial(vars(builtins).update, dict(vars(builtins)))
        inputs = {**frame["inputs"], **texts, **tables_of(frame.get("tables"))}
        self._given = {**injected, **inputs}
        self._reserved = {name: value for name, value in injected.items() if name not in {*MODULES, *FREE}}
        self._methods = {name: dict(vars(value)) for name, value in injected.items() if type(value) is HostObject}
        self._names.update(injected)
        self._names.update(inputs)
        import random

        random.seed(frame["seed"])

    def _restore(self) -> list[str]:
        """Restore reserved names that a cell has rebound or deleted, and return them.

        Cells may rebind `query`, the inputs and the names of modules, as in any Python.
        """
        restored = [name for name, value in self._reserved.items() if self._names.get(name, self) is not value]
        if restored:
            self._names.update(self._reserved)
        for parent, methods in self._methods.items():
            own = vars(self._reserved[parent])
            restored += [f"{parent}.{name}" for name, value in methods.items() if own.get(name, self) is not value]
            own.update(methods)
        return [name for name in restored if not name.startswith("_")]

    def listing(self, _: str = "") -> dict[str, Any]:
        """Return the variables in the form of a cell's result."""
        return {"value": self.variables(), "value_repr": None}

    def variables(self) -> dict[str, str]:
        """Describe the variables that cells have set."""
        names = {name: value for name, value in self._names.items() if type(name) is str and name[:1] != "_"}
        own = [name for name, value in names.items() if self._given.get(name, self) is not value]
        return {name: describe(self._names[name]) for name in own[:MAX_VARIABLES]}

    def writer(self) -> _values.Writer:
        """Return a writer for the values of a frame."""
        return _values.Writer(puts_aside=True)

    def run(self, code: str) -> dict[str, Any]:
        """Run a cell in the session's namespace and echo a bare last expression."""
        self._cells += 1
        # Each cell has its own file name, so that a function of an earlier cell keeps its source lines;
        # `report` shows them all as `<rlm_session>`.
        self._file = f"<rlm_session:{self._cells}>"
        self.is_reading = True
        try:
            self._keep_source(code)
            program, is_expression = self._compiled(code)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            self.is_reading = False
            raise
        self.is_reading = False
        # No `finally` here: with full memory, CPython before 3.14 can loop for ever at the end of one, because it
        # allocates an int for the instruction's offset and starts over when that fails.
        self._names.pop("_rlm_value", None)
        result = eval(program, self._names)  # noqa: S307 - running code is what this is for
        if program.co_flags & 0x80:  # CO_COROUTINE: there is an `await` at the top level
            import asyncio

            asyncio.run(result)
        return self._echo(self._names.pop("_rlm_value", None), must_leave=is_expression)

    def _keep_source(self, code: str) -> None:
        """Keep the cell's source lines for tracebacks, and drop the oldest beyond a limit."""
        import linecache

        linecache.cache[self._file] = (len(code), None, code.splitlines(keepends=True), self._file)
        self._sources[self._file] = len(code)
        self._source_chars += len(code)
        while len(self._sources) > MAX_SOURCES or (self._source_chars > MAX_SOURCE_CHARS and len(self._sources) > 1):
            oldest = next(iter(self._sources))
            self._source_chars -= self._sources.pop(oldest)
            linecache.cache.pop(oldest, None)

    def after_cell(self) -> dict[str, Any]:
        """Clean up the namespace after a cell, however it ended; return what to report of that to the host."""
        self._names.pop("_rlm_value", None)
        self._names["__builtins__"] = builtins
        if sys.modules.get("builtins") is not builtins:
            # Otherwise nothing could be imported any more, not even by this module.
            modules: dict[str, Any] = sys.modules
            for name in [name for name, module in modules.items() if module is None]:
                del modules[name]
            modules.update(self._modules)
        return {"restored": self._restore(), "reads_clock": self._clocks.seen}

    def _echo(self, value: Any, *, must_leave: bool) -> dict[str, Any]:
        """Return a value's JSON form and its bounded `repr`.

        Args:
            value: Value of a bare last expression.
            must_leave: Whether the expression is the whole cell, which then fails if the value is too large to
                send. Any other cell has done its work, and only the `repr` is sent.
        """
        if value is None:
            return {"value": None, "value_repr": None}
        writer = self.writer()
        try:
            form = writer.write(value)
        except _values.ValueTooLarge as error:
            if must_leave:
                raise ValueError(str(error)) from None
            form = None
        except TypeError:  # the handle of a context that is no `str`
            form = None
        try:
            text = shown(value)
        except Exception:  # noqa: BLE001 - a `__repr__` of the cell's, or an int with more digits than Python prints
            text = shown(form)
        return {"value": text if form is None else form, "value_repr": text, "writer": writer}

    def _compiled(self, code: str) -> tuple[types.CodeType, bool]:
        """Compile a cell; also return whether it is a single expression."""
        self._clocks.seen = False
        try:
            tree = ast.parse(code, self._file)
        except MemoryError:
            raise RecursionError("the code is too deeply nested") from None
        self._clocks.look(code, tree)
        if "await" in code:
            bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            bound |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            own = {n for n in self._host_names - bound if self._names.get(n) is self._injected[n]}
            tree = Awaits(own).visit(tree)
        if self._joins is not None:
            tree = self._joins().visit(tree)
        is_expression = len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr)
        if tree.body and isinstance(last := tree.body[-1], ast.Expr):
            target = ast.copy_location(ast.Name("_rlm_value", ast.Store()), last)
            tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        program: types.CodeType = compile(tree, self._file, "exec", flags, dont_inherit=True)
        return program, is_expression

    def report(self, error: BaseException | None, kind: str | None, message: str | None) -> dict[str, Any]:
        """Describe the error that ended a cell; `kind` and `message` are given for a limit."""
        if error is None:
            return {"type": kind, "message": message, "traceback": f"{kind}: {message}", "line": None}
        if isinstance(error, SystemExit):
            message = f"exit({'' if error.code is None else text_of(error.code)}) ended the cell; the session goes on"
        kind = kind or name_of(error)
        message = bounded(text_of(error) if message is None else message)
        if kind == "TypeError" and (HANDLE.search(message) or (self._joins and WANTS_STR.match(message))):
            # raised by C code that accepts only a real `str`
            message = f"{message}; {NO_STR}"
        try:
            shown, line = ([""], None) if _is_wide(error) else self._traceback(error)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - no traceback if the cell's changes to the modules, or its class, prevent it
            shown, line = [""], None
        if not isinstance(error, SyntaxError):
            shown[-1] = f"{kind}: {message}" if message else kind
        text = _UNIQUE_FILE.sub(FILE, bounded("".join(shown)))
        for name in ("__traceback__", "__context__", "__cause__"):  # releases what the frames hold
            vars(BaseException)[name].__set__(error, None)
        return {"type": kind, "message": _UNIQUE_FILE.sub(FILE, message), "traceback": text.rstrip("\n"), "line": line}

    def _traceback(self, error: BaseException) -> tuple[list[str], int | None]:
        """Format a traceback without the worker's frames; also return the line in the cell."""
        import traceback

        frames = vars(BaseException)["__traceback__"].__get__(error)  # the cell's class may override it
        report = traceback.TracebackException(type(error), error, frames, compact=True)
        line = error.lineno if isinstance(error, SyntaxError) and error.filename == self._file else None
        line = next((f.lineno for f in reversed(report.stack) if f.filename == self._file), line)
        todo, seen = [report], {id(report)}
        while todo:
            one = todo.pop()
            # An exception that a library caught and raised again has only the library's frames; those stay.
            outside = len(one.stack) if one is report else 0
            first = next((n for n, f in enumerate(one.stack) if f.filename.startswith("<rlm_session")), outside)
            one.stack[:] = [f for f in one.stack[first:] if f.filename not in self._own_files]
            chained = [one.__cause__, one.__context__, *(one.exceptions or () if hasattr(one, "exceptions") else ())]
            todo += [other for other in chained if other is not None and id(other) not in seen]
            seen |= {id(other) for other in chained}
        return list(report.format()), line


def _is_wide(error: BaseException) -> bool:
    """Return whether an exception group is so large that formatting all of it would take seconds, and the memory."""
    todo, count = [error], 0
    while todo and count <= MOST_IN_GROUP:
        one = todo.pop()
        within = vars(BaseExceptionGroup)["exceptions"].__get__(one) if isinstance(one, BaseExceptionGroup) else ()
        count += len(within)
        todo += within[:MOST_IN_GROUP]
    return count > MOST_IN_GROUP


def listing_function(repl: Repl) -> Callable[[], dict[str, str]]:
    """Return the function with which a cell lists its variables."""

    def function() -> dict[str, str]:
        """List the variables that cells have set, with a short description of each."""
        return repl.variables()

    function.__name__ = function.__qualname__ = "SHOW_VARS"
    return function


def helped(*things: Any) -> None:
    """Print a thing's documentation; `site`, which defines `help`, is not loaded."""
    import pydoc

    pydoc.help(*things)


helped.__name__ = helped.__qualname__ = "help"


def host_function(entry: dict[str, Any], wire: Any) -> Callable[..., Any]:
    """Return the function through which cells call a host function."""
    name, parameters = entry["name"], entry["parameters"]
    is_read, refers = entry.get("is_read", False), entry.get("takes_texts", False)

    def function(*args: Any, **kwargs: Any) -> Any:
        writer = _values.Writer(puts_aside=True, refers=refers, consumes=True)
        names = [*parameters, *(f"number {n + 1}" for n in range(len(parameters), len(args)))]
        sent = [argument(writer, a, name, n) for a, n in zip(args, names, strict=False)]
        named = {k: argument(writer, v, name, k) for k, v in kwargs.items()}
        writer.hold(sent, named)
        answer = wire.call(name, sent, named, writer, is_read=is_read)
        error = answer.get("error")
        if error is None:
            return answer["value"]
        kind, message = error["type"], error["message"]
        raise getattr(builtins, kind)(message) if kind in RAISABLE else RuntimeError(f"{kind}: {message}")

    function.__name__ = function.__qualname__ = name.rpartition(".")[2]
    function.__doc__ = f"{entry['signature']}\n\n{entry['summary']}"
    return function


def slice_function(context: Any, ask: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that slices short parts of the context itself and asks the host for all others.

    A host call costs a hundred times as much as the slice.
    """

    def function(start: Any, end: Any = None) -> Any:
        if type(start) is int and type(end) is int and 0 <= start <= end <= start + OWN_SLICE_CHARS:
            return context[start:end]
        return ask(start, end)

    function.__name__, function.__qualname__, function.__doc__ = ask.__name__, ask.__qualname__, ask.__doc__
    return function


def argument(writer: Any, value: Any, function: str, name: str) -> Any:
    """Return an argument of a host call in its JSON form."""
    try:
        if type(value) is str and len(value) < _values.LARGE_CHARS:  # most are
            return value
        if type(value) is int and -(2**62) < value < 2**62:
            return value
        return writer.write(value)
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{function}(): argument {name}: {error}") from None


def name_of(error: object) -> str:
    """Return the name of an exception's class, or another object's, which a metaclass of the cell's cannot hide."""
    name: str = vars(type)["__name__"].__get__(type(error))
    return name


def text_of(value: object) -> str:
    """Return a value's `str`, or what `traceback` shows if a class of the cell's fails to return one."""
    try:
        return str(value)
    except MemoryError:
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, the cell has ended
        args = vars(BaseException)["args"].__get__(value) if isinstance(value, BaseException) else ()
        if held := [one for one in (value, *args) if HANDLE.fullmatch(name_of(one))]:
            return repr(held[0])
        return f"<{'exception' if isinstance(value, BaseException) else 'value'} str() failed>"


def shown(value: Any) -> str:
    """Return the bounded `repr` of a value."""
    half = TEXT_CHARS // 2
    if type(value) is str and len(value) > 2 * TEXT_CHARS:  # do not copy a large text only to cut it
        return f"{value[:half]!r} ... [{len(value) - 2 * half:,} characters dropped] ... {value[-half:]!r}"
    return bounded(repr(value))


def bounded(text: str) -> str:
    """Cut the middle out of a long text, noting the number of characters left out."""
    half = TEXT_CHARS // 2
    if len(text) <= TEXT_CHARS:
        return text
    return f"{text[:half]} ... [{len(text) - 2 * half:,} characters dropped] ... {text[-half:]}"


def describe(value: Any) -> str:
    """Return a short description such as `list, 3 items`."""
    kind = type(value).__name__[:100]
    if type(value) in (bool, int, float, types.NoneType):
        return f"{kind}, {'large' if isinstance(value, int) and value.bit_length() > 200 else repr(value)}"
    if kind == "DataFrame" and type(value).__module__.partition(".")[0] == "pandas":
        return f"{kind}, {len(value):,} rows x {len(value.columns):,} columns"
    try:
        size = len(value)
    except Exception:  # noqa: BLE001 - the cell's class may raise anything
        return kind
    return f"{kind}, {size} {'characters' if isinstance(value, str) else 'items'}"


class Awaits(ast.NodeTransformer):
    """Lets cells await host functions, which are synchronous: drops the `await` or makes it harmless.

    Args:
        names: Names in this cell that refer to host functions.
    """

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Await(self, node: ast.Await) -> ast.expr:
        """Drop the `await` of a host call; anything else that is not awaitable is awaited as its own value."""
        self.generic_visit(node)
        func = node.value.func if isinstance(node.value, ast.Call) else None
        root = func.value if isinstance(func, ast.Attribute) else func
        if isinstance(root, ast.Name) and root.id in self._names:
            return node.value
        node.value = _settling(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        """Make `asyncio.gather(llm_query(a), llm_query(b))` accept plain values."""
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
    """Return an awaitable: the value itself if it is one."""

    async def already() -> Any:
        return value

    return value if hasattr(value, "__await__") or isinstance(value, types.GeneratorType) else already()


def open_texts(
    sources: dict[str, dict[str, Any]], scans: dict[str, Any], modules: dict[str, str] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the texts of the start frame: each a `str`, or a handle if it is too long for that.

    With handles come the functions that cells call with them, by name, and `Joins`, which makes cells call them.

    Args:
        sources: The start frame's `context` and `texts`, by variable.
        scans: The object with the host's functions for each long text.
        modules: Sources of the modules that make the handles; None if no text is long.
    """
    loaded: dict[str, Any] = {}
    for name, code in (modules or {}).items():
        loaded[name] = load(name, code)
        sys.modules[f"_rlm{name}"] = loaded[name]  # for those after it
    for name in loaded:
        del sys.modules[f"_rlm{name}"]
    text = loaded.get("_context_text")
    opened = {name: open_text(name, source, scans[name], text) for name, source in sources.items()}
    for fd in {source["fd"] for source in sources.values() if "fd" in source}:
        os.close(fd)
    if text is None:
        return opened, {}
    loaded["_context_library"].install(text)
    joins = loaded["_context_joins"]
    return opened, {"Joins": joins.Joins, **joins.install(loaded["_context_regex"].install(text))}


def open_text(name: str, source: dict[str, Any], scans: Any, text: Any) -> Any:
    """Return one text of the start frame.

    Args:
        name: The variable.
        source: Where the text is.
        scans: The object with the host's functions for it, if it is long.
        text: The module `_context_text`, if a text is long.
    """
    if "text" in source:
        return source["text"]
    if source.get("path"):
        fd = os.open(source["path"], os.O_RDONLY)
        try:
            return open_text(name, {**source, "fd": fd, "path": None}, scans, text)
        finally:
            os.close(fd)
    if source["kind"] == "str":
        return decoded(source["fd"], source["offset"], source["size_bytes"])
    fd = source.get("fd", -1)
    fetch = source.get("fetch") if fd < 0 else mapped(fd, source["offset"], source["size_bytes"])
    return text.LargeText(text.Reader(source["length"], scans, fetch, is_ascii=source["is_ascii"], name=name))


def tables_of(tables: dict[str, Any] | None) -> dict[str, Any]:
    """Return the inputs that are tables, by name, from the start frame's `tables`."""
    if tables is None:
        return {}
    module: Any = load("_tables", tables["module"])
    return {name: module.table_of(name, form) for name, form in tables["forms"].items()}


def load(name: str, code: str) -> types.ModuleType:
    """Create a module from source that the start frame carries."""
    module = types.ModuleType(name)
    exec(compile(code, f"{name}.py", "exec"), vars(module))  # noqa: S102 - the host's own source
    return module


def decoded(fd: int, offset: int, size_bytes: int) -> str:
    """Decode part of a file directly from the page cache; reading it first takes three times as long."""
    import mmap

    before = offset % mmap.ALLOCATIONGRANULARITY
    place = {"access": mmap.ACCESS_READ, "offset": offset - before}
    with mmap.mmap(fd, before + size_bytes, **place) as file, memoryview(file) as data, data[before:] as text:
        return str(text, "utf-8", "surrogatepass")


def mapped(fd: int, offset: int, size_bytes: int) -> Callable[[int, int], bytes]:
    """Map part of a file read-only and return a function that reads from it.

    `mmap.mmap` would keep a descriptor, through which a cell could change the mode and the times of what may be a
    user's own file.
    """
    import ctypes
    import mmap

    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    before = offset % mmap.ALLOCATIONGRANULARITY
    place = library.mmap(None, size_bytes + before, mmap.PROT_READ, mmap.MAP_SHARED, fd, offset - before)
    if place is None or place == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "the context cannot be mapped")
    first, string_at = place + before, ctypes.string_at
    return lambda start, end: string_at(first + start, end - start)
