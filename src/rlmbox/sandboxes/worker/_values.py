"""The JSON form of Python values that leave a cell, the same whichever route they take.

`FINAL`, `FINAL_VAR`, `SUBMIT`, `answer`, a bare last expression and the arguments of host calls all go through
`to_json`, in every backend. Standard library only, Python 3.11 and later. No module is imported to convert a value:
types are recognised by the names in their method resolution order; `decimal` need not be loaded for a `Decimal`.

| value | JSON form |
| --- | --- |
| None, bool, str, finite float, list, dict with str keys | itself |
| int | itself up to 4,300 digits; beyond, the text of its hexadecimal form, `"0x…"` |
| NaN, infinities | `"nan"`, `"inf"`, `"-inf"` |
| tuple, deque, range, dict views, UserList, array | list |
| set, frozenset | list, sorted by value; where values do not compare, by their `repr` |
| bytes, bytearray, memoryview | the text, if it is UTF-8 whose only control characters are tabs and line ends |
| other bytes | `"base64:…"` |
| date, datetime, time | `isoformat()` |
| timedelta, Decimal, Fraction, UUID, Path, complex, UserString, IP addresses and networks | `str()` |
| Enum member | the form of its value |
| dataclass instance, pydantic model, namedtuple | dict of its fields |
| Counter, defaultdict, OrderedDict and other dicts, UserDict, ChainMap, mappingproxy | dict |
| numpy scalars and arrays, pandas indexes and arrays | the result of `tolist()` |
| pandas DataFrame | list of its rows, each a dict, with the index if it is not 0, 1, 2 and so on; None for missing |
| pandas Series | dict by its index; list if that is 0, 1, 2 and so on; None for missing |
| pandas Period, Interval | `str()` |
| a DataFrame or Series of more than 20,000 values that is displayed | `<DataFrame of 1,000 rows and 30 columns>` |
| an iterator, such as a generator, in an argument of a host call | list of its items |
| a module | `<module 'name'>` |
| anything else | `repr()` without an address, cut to 1,000 characters |
| a value that contains itself | `"<cycle>"` |
| a container below 195 levels | `"<deeper than 195 levels>"` |

Keys of a dict become strings: int, float, bool and None as `json.dumps` writes them; otherwise the form of the key if
that is a string, or the `repr` of the tuple if it is a list. If two keys would become equal, the dict becomes a list of
`[key, value]` pairs. Lone surrogates are kept; they are replaced where bytes are written.
"""

from __future__ import annotations

import re
from base64 import b64encode
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

MAX_BYTES = 64 << 20
MAX_NODES = 2_000_000
# The length of a frame has to cover the cost of reading it, so many bytes for each thing in it. A frame that is too
# short is padded, so that nothing is refused except what the longest frame cannot cover.
FREE_BYTES = 3 << 19  # cost that needs no cover
JSON_SHARE = 4  # a byte of JSON costs a quarter of a byte
PART_BYTES = 32  # a value or a key
CONTAINER_BYTES = 64  # additionally for a list or a dict
ESCAPE_BYTES = 6  # a backslash
DIGITS, DIGITS_BYTES = 20, 100  # each run of so many digits of a long int
FRAME_BYTES = MAX_BYTES + (4 << 20)  # with what was printed, names and the like
MAX_LEVELS = 195  # including the frame around them, no more than the host's parser accepts
LARGE_CHARS = 1 << 10
REPR_CHARS = 1_000
SHOWN_TABLE_VALUES = 20_000  # to display a longer table costs more than to look at its `repr`
CYCLE = "<cycle>"
TOO_DEEP = f"<deeper than {MAX_LEVELS} levels>"

_SAFE_BITS = 14_284  # an int of so many bits has at most 4,300 digits
_MOST_DIGITS = 4_300
_FRAME_PARTS, _FRAME_CONTAINERS = 400, 10  # of the frame around the values, such as the restored names
_LONG_BITS = 63  # an int of so many bits has fewer than `DIGITS` digits
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+(?=>)")
_AS_TEXT = {
    "datetime.timedelta",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "pathlib.PurePath",
    "pathlib._local.PurePath",
    "builtins.complex",
    "collections.UserString",
    "ipaddress._IPAddressBase",
    "pandas._libs.tslibs.period._Period",
    "pandas._libs.interval.IntervalMixin",
}
_AS_ISO = {"datetime.date", "datetime.time"}
_VIEWS = {f"builtins.dict_{name}" for name in ("keys", "values", "items")}
_HANDLES = {"_context_text.LargeText", "rlmbox.sandboxes.worker._context_text.LargeText"}
_PARTS = {"_context_text.Parts", "rlmbox.sandboxes.worker._context_text.Parts"}
_SEQUENCES = {"builtins.tuple", "builtins.range", "collections.deque", "collections.UserList", *_VIEWS}
_MAPPINGS = {"collections.UserDict", "collections.ChainMap", "builtins.mappingproxy"}
_LISTED = {  # by their method `tolist`
    "array.array",
    "numpy.generic",
    "numpy.ndarray",
    *("pandas.Index", "pandas.core.indexes.base.Index"),
    *("pandas.api.extensions.ExtensionArray", "pandas.core.arrays.base.ExtensionArray"),
}
_FRAMES = {"pandas.DataFrame", "pandas.core.frame.DataFrame"}
_SERIES = {"pandas.Series", "pandas.core.series.Series"}


class ValueTooLarge(ValueError):
    """A value is too large to leave a cell; the message names the limit."""


class Aside(str):
    """A placeholder in a form for a long text that is sent beside it."""

    __slots__ = ("number",)
    number: int


def cost_bytes(size_bytes: int, parts: int, containers: int, escapes: int, digits: int) -> int:
    """Return the minimum length of a frame that covers the cost of its contents.

    Args:
        size_bytes: Length of its JSON.
        parts: Number of values and keys.
        containers: Number of lists and dicts.
        escapes: Number of backslashes.
        digits: Number of runs of `DIGITS` digits in long ints.
    """
    parts_bytes = PART_BYTES * parts + CONTAINER_BYTES * containers
    return size_bytes // JSON_SHARE + parts_bytes + ESCAPE_BYTES * escapes + DIGITS_BYTES * digits - FREE_BYTES


def to_json(value: object, *, max_bytes: int = MAX_BYTES, max_nodes: int = MAX_NODES) -> Any:
    """Return the JSON form of a value.

    Args:
        value: Any value. Code of its class may run; if that raises, the value gets another form.
        max_bytes: Maximum bytes of text and numbers in the result, about the length of its JSON.
        max_nodes: Maximum number of values and keys in the result.

    Raises:
        ValueTooLarge: The form exceeds one of these.
            TypeError: It is or contains the handle of a context too long to be a `str`; the message says what to do.
        MemoryError: There is not enough memory for the form.
    """
    return Writer(max_bytes, max_nodes).write(value)


class Writer:
    """Converts values that are sent together, such as the arguments of one call.

    Args:
        max_bytes: As for `to_json`, for all of them together.
        max_nodes: As for `to_json`, for all of them together.
        puts_aside: Whether long texts are kept in `aside`, each replaced by an `Aside` with its number.
        refers: Whether the handle of a long text is written as a reference to it; otherwise it is refused.
        consumes: Whether an iterator is written as the list of its items, as for an argument of a function; to display
            one must not consume it. Exceptions of the iterator are raised here.

    Attributes:
        aside: The long texts.
        places: For each, the keys and indexes that lead to it, the innermost first; see `place`.
        containers: Number of lists and dicts written.
        digits: Number of runs of `DIGITS` digits in long ints written.
    """

    def __init__(
        self,
        max_bytes: int = MAX_BYTES,
        max_nodes: int = MAX_NODES,
        *,
        puts_aside: bool = False,
        refers: bool = False,
        consumes: bool = False,
    ) -> None:
        self._max_bytes, self._max_nodes = max_bytes, max_nodes
        self._refers, self._consumes = refers, consumes
        self._bytes, self._nodes = max_bytes, max_nodes
        self._puts_aside = puts_aside
        self.aside: list[str] = []
        self.places: list[list[str | int]] = []
        self._holders: dict[int, list[int]] = {}  # by container form, the numbers of the long texts in it
        self.containers = self.digits = 0
        self._open: set[int] = set()
        self._kinds: dict[type, Callable[[Any, int], Any]] = {
            type(None): self._itself,
            bool: self._itself,
            str: self._str,
            int: self._int,
            float: self._float,
            list: self._list,
            tuple: self._list,
            dict: self._dict,
        }

    def write(self, value: object) -> Any:
        """Return the form of a value; see `to_json`."""
        form = self._form(value, 0)
        size_bytes = self._max_bytes - self._bytes + self.parts
        if cost_bytes(size_bytes, self.parts, self.containers, 0, self.digits) > FRAME_BYTES:
            raise ValueTooLarge(
                f"the value has {self.parts:,} parts, more than can leave a cell: send fewer, or a text"
            )
        return form

    @property
    def parts(self) -> int:
        """Number of values and keys written; an empty container counts as two."""
        return self._max_nodes - self._nodes

    def hold(self, *containers: list[Any] | dict[str, Any]) -> None:
        """Count the containers that the written values were put into."""
        for each in containers:
            self._nodes -= 2 * len(each)
            if self.aside:
                self.place(each)

    def frame_bytes(self, body: bytes) -> int:
        """Return the minimum length of a frame with these values.

        Args:
            body: Its JSON.
        """
        parts, containers = self.parts + _FRAME_PARTS, self.containers + len(self.aside) + _FRAME_CONTAINERS
        for place in self.places:
            parts += len(place) + 2
        return cost_bytes(len(body), parts, containers, body.count(b"\\"), self.digits)

    def place(self, form: list[Any] | dict[str, Any]) -> None:
        """Record where the texts put aside are within a container, whose parts were recorded before."""
        inside: list[int] = []
        for key, item in form.items() if type(form) is dict else enumerate(form):
            numbers = [item.number] if type(item) is Aside else self._holders.pop(id(item), ())
            for number in numbers:
                self.places[number].append(key)
            inside += numbers
        if inside:
            self._holders[id(form)] = inside

    def _form(self, value: Any, level: int) -> Any:
        """Return the form of a value nested in `level` containers."""
        kind = type(value)
        write = self._kinds.get(kind)
        if write is None:
            write = self._kinds[kind] = self._writer_for(kind)
        self._nodes -= 1
        if self._nodes < 0:
            raise self._too_many()
        return write(value, level)

    def _writer_for(self, kind: type) -> Callable[[Any, int], Any]:
        names = _names(kind)
        if "enum.Enum" in names:
            return self._enum
        if names & _HANDLES:
            return self._handle
        for base, write in (
            ("builtins.str", self._str),
            ("builtins.int", self._int),
            ("builtins.float", self._float),
            ("builtins.dict", self._dict),
            ("builtins.list", self._list),
        ):
            if base in names:
                return write
        if "builtins.tuple" in names and type(getattr(kind, "_fields", None)) is tuple:
            return self._named_tuple
        if names & _SEQUENCES or names & _PARTS:
            return self._list
        if names & {"builtins.set", "builtins.frozenset"}:
            return self._set
        if names & {"builtins.bytes", "builtins.bytearray", "builtins.memoryview"}:
            return self._buffer
        return self._writer_of_other(kind, names)

    def _writer_of_other(self, kind: type, names: set[str]) -> Callable[[Any, int], Any]:
        if _fields_of(kind) is not None:
            return self._fields
        if names & (_FRAMES | _SERIES):
            return self._table
        if names & _MAPPINGS:
            return self._other_mapping
        if self._consumes and _has(kind, "__next__") and _has(kind, "__iter__"):
            return self._iterator
        if names & _AS_ISO:
            return lambda value, level: self._text_by(lambda: value.isoformat(), value)
        if names & _AS_TEXT:
            return lambda value, level: self._text_by(lambda: str(value), value)
        if names & _LISTED:
            return self._array
        if kind is type(re):  # without the file it is from
            return lambda value, level: self._text_by(lambda: f"<module {value.__name__!r}>", value)
        return lambda value, level: self._text(_shown(value))

    def _handle(self, value: Any, level: int) -> Any:
        form = value.reference() if self._refers else value.refuse_to_leave()
        if type(form) is dict:
            self.containers += 2  # including the span in it
            self._nodes -= 8
        return form

    # Texts and numbers

    def _itself(self, value: Any, level: int) -> Any:
        return value

    def _str(self, value: str, level: int) -> str:
        text = self._text(value if type(value) is str else str.__str__(value))
        if not self._puts_aside or len(text) < LARGE_CHARS:
            return text
        form = Aside()
        form.number = len(self.aside)
        self.aside.append(text)
        self.places.append([])
        return form

    def _text(self, text: str) -> str:
        self._spend(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))
        return text

    def _text_by(self, make: Callable[[], Any], value: Any) -> str:
        """Return the text that a method of a cell's class returns, or the `repr` if it fails."""
        try:
            text = make()
            text = str.__str__(text) if issubclass(type(text), str) else _shown(value)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the class is the cell's own
            text = _shown(value)
        return self._text(text)

    def _int(self, value: int, level: int) -> int | str:
        value = value if type(value) is int else int.__int__(value)
        bits = value.bit_length()
        self._spend(bits // 3)
        if bits > _LONG_BITS:
            self.digits += bits // _LONG_BITS
        return value if not _is_huge(value) else hex(value)

    def _float(self, value: float, level: int) -> float | str:
        value = value if type(value) is float else float.__float__(value)
        self._spend(8)
        return value if value - value == 0 else repr(value)

    def _buffer(self, value: Any, level: int) -> str:
        try:
            data = bytes(value)
        except (ValueError, BufferError):  # a memoryview that was released
            return self._text(_shown(value))
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return self._text(_base64(data))
        return self._text(_base64(data) if _CONTROLS.search(text) else text)

    def _spend(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            limit = f"{self._max_bytes:,} bytes"
            raise ValueTooLarge(f"the value is larger than {limit}, the most that can leave a cell")

    # Containers. Two Python frames per level, so that these levels fit below the recursion limit.

    def _list(self, value: Any, level: int) -> Any:
        if (instead := self._enter(value, level)) is not None:
            return instead
        forms: list[Any] = []
        before = len(self.aside)
        for item in _items_of(value):
            forms.append(self._form(item, level + 1))  # noqa: PERF401 - a comprehension has a frame of its own in 3.11
        return self._leave(value, forms, before)

    def _iterator(self, value: Any, level: int) -> Any:
        if (instead := self._enter(value, level)) is not None:
            return instead
        forms: list[Any] = []
        before = len(self.aside)
        for item in value:
            forms.append(self._form(item, level + 1))  # noqa: PERF401
        return self._leave(value, forms, before)

    def _set(self, value: Any, level: int) -> Any:
        if (instead := self._enter(value, level)) is not None:
            return instead
        base = set if issubclass(type(value), set) else frozenset
        items = list(islice(base.__iter__(value), self._nodes + 1))
        ordered = _in_order(items)
        forms: list[Any] = []
        before = len(self.aside)
        for item in items if ordered is None else ordered:
            forms.append(self._form(item, level + 1))  # noqa: PERF401
        return self._leave(value, forms if ordered is not None else sorted(forms, key=self._shown), before)

    def _shown(self, form: Any) -> str:
        return repr(self.aside[form.number] if type(form) is Aside else form)

    def _dict(self, value: Any, level: int) -> Any:
        return self._mapping(value, list(islice(dict.items(value), self._nodes + 1)), level)

    def _named_tuple(self, value: Any, level: int) -> Any:
        fields = [field for field in type(value)._fields if type(field) is str]
        if len(fields) != tuple.__len__(value):
            return self._list(value, level)
        return self._mapping(value, list(zip(fields, tuple.__iter__(value), strict=True)), level)

    def _other_mapping(self, value: Any, level: int) -> Any:
        try:
            pairs = [(key, value[key]) for key in islice(value, self._nodes + 1)]
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the class may be the cell's
            return self._text(_shown(value))
        return self._mapping(value, pairs, level)

    def _table(self, value: Any, level: int) -> Any:
        """Return the rows of a pandas DataFrame, or the items of a Series."""
        is_series = bool(_names(type(value)) & _SERIES)
        try:
            found = self._read_table(value, is_series=is_series)
        except (MemoryError, ValueTooLarge):
            raise
        except Exception:  # noqa: BLE001 - pandas refuses some of its own types
            found = _shown(value)
        if type(found) is str:
            return self._text(found)
        if is_series:
            return self._list(found, level) if type(found) is list else self._mapping(value, [*found], level)
        return self._rows(found, level)

    def _read_table(self, value: Any, *, is_series: bool) -> Any:
        """Return what `_items_of_series` or `_rows_of_frame` do, or the name of a table too long to be displayed."""
        if value.size > SHOWN_TABLE_VALUES and not self._consumes:
            of = "{:,} values" if is_series else "{:,} rows and {:,} columns"
            return f"<{type(value).__name__} of {of.format(*value.shape)}>"
        if value.size > self._nodes:
            raise self._too_many()
        return _items_of_series(value) if is_series else _rows_of_frame(value)

    def _rows(self, found: tuple[list[Any], list[tuple[Any, ...]]], level: int) -> Any:
        names, rows = found
        if (instead := self._enter(rows, level)) is not None:
            return instead
        self._nodes -= len(rows)
        if self._nodes < 0:
            raise self._too_many()
        before = len(self.aside)
        forms = [self._mapping(row, [*zip(names, row, strict=True)], level + 1) for row in rows]
        return self._leave(rows, forms, before)

    def _fields(self, value: Any, level: int) -> Any:
        missing = object()
        try:
            pairs = [(name, getattr(value, name, missing)) for name in _fields_of(type(value)) or ()]
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a property of the cell's class
            return self._text(_shown(value))
        return self._mapping(value, [(name, item) for name, item in pairs if item is not missing], level)

    def _mapping(self, value: Any, pairs: list[tuple[Any, Any]], level: int) -> Any:
        if (instead := self._enter(value, level)) is not None:
            return instead
        before = len(self.aside)
        names = [self._key(key) for key, _ in pairs]
        result: Any
        if len(set(names)) == len(names):
            result = {}
            for name, (_, item) in zip(names, pairs, strict=True):
                result[name] = self._form(item, level + 1)
        elif level + 1 >= MAX_LEVELS:
            result = [TOO_DEEP] * len(pairs)
        else:
            result = []
            for key, item in pairs:
                self._nodes -= 1
                self.containers += 1
                pair = [self._form(key, level + 2), self._form(item, level + 2)]
                if len(self.aside) > before:
                    self.place(pair)
                result.append(pair)
        return self._leave(value, result, before)

    def _key(self, key: Any) -> str:
        if type(key) is str:
            self._nodes -= 1
            return self._text(key)
        if key is None or key is True or key is False:
            return {None: "null", True: "true", False: "false"}[key]
        if issubclass(type(key), float):
            number = float.__float__(key)
            special = "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"
            return self._text(repr(number) if number - number == 0 else special)
        puts_aside, self._puts_aside = self._puts_aside, False
        text = _key_text(self._form(key, 0))
        self._puts_aside = puts_aside
        return text

    def _enum(self, value: Any, level: int) -> Any:
        if id(value) in self._open:
            return CYCLE
        self._open.add(id(value))
        form = self._form(getattr(value, "_value_", None), level)
        self._open.discard(id(value))
        return form

    def _array(self, value: Any, level: int) -> Any:
        if getattr(value, "size", 1) > self._nodes:
            raise self._too_many()
        try:
            plain = value.tolist()
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - some kinds of arrays refuse
            return self._text(_shown(value))
        return self._text(_shown(value)) if type(plain) is type(value) else self._form(plain, level)

    def _enter(self, value: Any, level: int) -> str | None:
        """Record that a container is being written; return its replacement if it contains itself or is too deep."""
        if level >= MAX_LEVELS:
            return TOO_DEEP
        if id(value) in self._open:
            return CYCLE
        self._open.add(id(value))
        return None

    def _leave(self, value: Any, form: Any, before: int) -> Any:
        """Record that a container was written; return its form.

        Args:
            value: The container.
            form: Its form.
            before: Number of texts put aside before it.
        """
        self._open.discard(id(value))
        self.containers += 1
        if not form:
            self._nodes -= 1
        if len(self.aside) > before:
            self.place(form)
        return form

    def _too_many(self) -> ValueTooLarge:
        return ValueTooLarge(f"the value has more than {self._max_nodes:,} parts, the most that can leave a cell")


def _names(kind: type) -> set[str]:
    """Return the full names of a class and its bases."""
    try:
        return {f"{base.__module__}.{base.__qualname__}" for base in type.__dict__["__mro__"].__get__(kind)}
    except Exception:  # noqa: BLE001 - a metaclass of the cell's may raise anything
        return set()


def _fields_of(kind: type) -> list[Any] | None:
    """Return the names of the fields of a dataclass, without ClassVar and InitVar, or of a pydantic model."""
    for name in ("__dataclass_fields__", "__pydantic_fields__"):
        if type(fields := getattr(kind, name, None)) is dict:
            kinds = ((each, getattr(field, "_field_type", None)) for each, field in fields.items())
            return [each for each, kind_of_field in kinds if getattr(kind_of_field, "name", "_FIELD") == "_FIELD"]
    return None


def _rows_of_frame(frame: Any) -> tuple[list[Any], list[tuple[Any, ...]]]:
    """Return the names and the rows of a pandas DataFrame, with the index unless it is 0, 1, 2 and so on."""
    frame = frame if _is_plain(frame.index) else frame.reset_index(allow_duplicates=True)
    columns = [_items_of_column(frame.iloc[:, number]) for number in range(frame.shape[1])]
    return frame.columns.tolist(), [*zip(*columns, strict=True)]


def _items_of_series(series: Any) -> Any:
    """Return a list of the items of a pandas Series, or pairs with the index if it is not 0, 1, 2 and so on."""
    items = _items_of_column(series)
    return items if _is_plain(series.index) else zip(series.index.tolist(), items, strict=True)


def _items_of_column(series: Any) -> list[Any]:
    items: list[Any] = series.astype(object).where(series.notna(), None).tolist()
    return items


def _is_plain(index: Any) -> bool:
    return type(index).__name__ == "RangeIndex" and index.name is None and (index.start, index.step) == (0, 1)


def _has(kind: type, name: str) -> bool:
    """Return whether a class or one of its bases defines a method, bypassing its metaclass."""
    bases = type.__dict__["__mro__"].__get__(kind)
    return any(name in type.__dict__["__dict__"].__get__(base) for base in bases)


def _items_of(value: Any) -> Iterable[Any]:
    """Return the items of a sequence without calling overrides of a cell's subclass."""
    if issubclass(type(value), list):
        return list.__iter__(value)
    return tuple.__iter__(value) if issubclass(type(value), tuple) else iter(value)


def _is_huge(value: int) -> bool:
    return value.bit_length() > _SAFE_BITS and abs(value) >= 10**_MOST_DIGITS


def _in_order(items: list[Any]) -> list[Any] | None:
    """Return the items sorted by value, or None where they do not compare."""
    # Sets compare by inclusion, and NaN with nothing: sorted, these would keep the order of their hashes.
    if any(map(_is_partial, items)):
        return None
    try:
        return sorted(items)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a comparison may be the cell's own
        return None


def _is_partial(value: Any) -> bool:
    """Return whether comparison of the values is no total order: sets, NaN, and tuples that may hold them."""
    if issubclass(type(value), tuple):
        return any(map(_is_partial, islice(tuple.__iter__(value), 100)))
    return issubclass(type(value), set | frozenset) or (issubclass(type(value), float) and float.__ne__(value, value))


def _key_text(form: Any) -> str:
    if type(form) is str:
        return form
    if type(form) is list:
        return repr(_as_tuple(form))
    import json

    return json.dumps(form, ensure_ascii=False)


def _as_tuple(form: Any) -> Any:
    return tuple(map(_as_tuple, form)) if type(form) is list else form


def _base64(data: bytes) -> str:
    return "base64:" + b64encode(data).decode("ascii")


def _shown(value: object) -> str:
    """Return any object's `repr` without its address, cut to 1,000 characters."""
    try:
        text = repr(value)
        text = str.__str__(text)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the class is the cell's own
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    text = _ADDRESS.sub("", text) if len(text) <= REPR_CHARS else text
    return text if len(text) <= REPR_CHARS else f"{text[: REPR_CHARS - 1]}…"
