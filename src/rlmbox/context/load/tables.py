"""The JSON form in which pandas tables are sent to a sandbox.

pandas is not imported here: whoever created a pandas object has imported it.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from rlmbox.context.load.structured import NotATable
from rlmbox.types import Table

_LABELS, _LABEL_CHARS = 10, 40
_MOST_LEVELS = 100


def table_of(value: Any) -> Table:
    """Return a table in its JSON form.

    Args:
        value: A `pandas.DataFrame` or `pandas.Series`.

    Raises:
        NotATable: It has content that the form cannot represent.
    """
    return _TableWriter(sys.modules["pandas"], sys.modules["numpy"]).table(value)


class _TableWriter:
    """Writes the form that `rlmbox.sandboxes.worker._tables` reads back.

    Args:
        pd: The module pandas.
        np: The module numpy.
    """

    def __init__(self, pd: Any, np: Any) -> None:
        self._pd, self._np = pd, np

    def table(self, value: Any) -> Table:
        """Return the form of a table."""
        pd, kind = self._pd, type(value)
        if kind not in (pd.DataFrame, pd.Series):
            base = "DataFrame" if isinstance(value, pd.DataFrame) else "Series"
            raise NotATable(
                f"it is a {kind.__name__}, which only its own library can create; pass pandas.{base}(…) of it"
            )
        form: dict[str, object] = {"kind": kind.__name__, "index": self._axis(value.index, "the index")}
        if kind is pd.Series:
            form["name"] = self._scalar(value.name, "the name")
            form["data"] = self._column(value, "it")
        else:
            form["columns"] = self._axis(value.columns, "the names of columns")
            series = (value.iloc[:, number] for number in range(value.shape[1]))
            form["data"] = [self._column(each, f"the column {each.name!r}") for each in series]
        form["attrs"] = [[self._scalar(key, "attrs"), self._scalar(item, "attrs")] for key, item in value.attrs.items()]
        form["shape"] = list(value.shape)
        names = [value.name] if kind is pd.Series else value.columns[:_LABELS]
        form["labels"] = [str(name)[:_LABEL_CHARS] for name in names if name is not None]
        return Table(form)

    def _axis(self, index: Any, where: str) -> dict[str, object]:
        pd = self._pd
        if isinstance(index, pd.RangeIndex):
            bounds = [index.start, index.stop, index.step]
            return {"type": "range", "bounds": bounds, "name": self._scalar(index.name, where)}
        if isinstance(index, pd.MultiIndex):
            levels = [self._column(index.get_level_values(n), where) for n in range(index.nlevels)]
            return {"type": "multi", "levels": levels, "names": [self._scalar(name, where) for name in index.names]}
        form = self._column(index, where)
        form["name"] = self._scalar(index.name, where)
        freq = None if isinstance(index, pd.PeriodIndex) else getattr(index, "freqstr", None)
        if freq is not None:
            form["freq"] = freq
        return form

    def _column(self, values: Any, where: str) -> dict[str, object]:
        dtype = values.dtype
        if isinstance(dtype, self._np.dtype):
            return self._numpy(values.to_numpy(), where)
        writers: tuple[tuple[str, Callable[[Any, str], dict[str, object]]], ...] = (
            ("CategoricalDtype", self._category),
            ("DatetimeTZDtype", self._zoned),
            ("PeriodDtype", self._period),
            ("IntervalDtype", self._interval),
            ("StringDtype", self._string),
            *((f"{name}Dtype", self._masked) for name in _MASKED),
        )
        for name, write in writers:
            if type(dtype) is getattr(self._pd, name, None):
                return write(values, where)
        raise NotATable(f"{where} has the type {dtype}, which cannot be passed to a sandbox; {_remedy(str(dtype))}")

    def _numpy(self, array: Any, where: str) -> dict[str, object]:
        dtype = array.dtype
        if dtype.kind == "O":
            return {"type": "object", "values": [self._scalar(item, where) for item in array]}
        values: list[Any]
        if dtype.kind in "mM":
            values = array.view("i8").tolist()
        elif dtype.kind in "biu":
            values = array.tolist()
        elif dtype.kind == "f" and dtype.itemsize <= 8:
            values = _floats(array.tolist())
        elif dtype.kind == "c" and dtype.itemsize <= 16:
            values = [_floats([number.real, number.imag]) for number in array.tolist()]
        else:
            raise NotATable(f"{where} has the type {dtype}, which cannot be passed to a sandbox; {_remedy(str(dtype))}")
        return {"type": "numpy", "dtype": str(dtype), "values": values}

    def _masked(self, values: Any, where: str) -> dict[str, object]:
        dtype = values.dtype.numpy_dtype
        plain = values.array.to_numpy(dtype=dtype, na_value=dtype.type(0)).tolist()
        plain = _floats(plain) if dtype.kind == "f" else plain
        shown = [None if missing else item for item, missing in zip(plain, values.isna().tolist(), strict=True)]
        return {"type": "masked", "dtype": str(dtype), "values": shown}

    def _string(self, values: Any, where: str) -> dict[str, object]:
        dtype, missing = values.dtype, values.isna()
        kept = [None if is_missing else str(item) for item, is_missing in zip(values.array, missing, strict=True)]
        marker = "NA" if dtype.na_value is self._pd.NA else "nan"
        storage = "python" if dtype.storage == "python" else "pyarrow"
        return {"type": "string", "storage": storage, "missing": marker, "values": kept}

    def _category(self, values: Any, where: str) -> dict[str, object]:
        array = values.array
        categories = self._axis(array.categories, f"the categories of {where}")
        codes = array.codes.tolist()
        return {"type": "category", "values": codes, "categories": categories, "ordered": bool(array.ordered)}

    def _zoned(self, values: Any, where: str) -> dict[str, object]:
        moments = self._pd.DatetimeIndex(values).tz_convert("UTC").tz_localize(None).to_numpy()
        zone = self._zone(values.dtype.tz, where)
        return {"type": "zoned", "unit": values.dtype.unit, "zone": zone, "values": moments.view("i8").tolist()}

    def _zone(self, zone: Any, where: str) -> str:
        """Return the name of a time zone from which pandas recreates it."""
        name = str(zone)
        try:
            same = self._pd.DatetimeTZDtype("ns", name).tz
            is_same = same == zone or str(same) == name
        except Exception:  # noqa: BLE001 - time zone libraries raise their own errors
            is_same = False
        if not is_same:
            raise NotATable(f"{where} has the time zone {name}, which has no name; convert it: .dt.tz_convert('UTC')")
        return name

    def _period(self, values: Any, where: str) -> dict[str, object]:
        ordinals = self._pd.PeriodIndex(values).asi8.tolist()
        return {"type": "period", "freq": str(values.dtype)[len("period[") : -1], "values": ordinals}

    def _interval(self, values: Any, where: str) -> dict[str, object]:
        array = values.array
        left, right = (self._column(side, where) for side in (array.left, array.right))
        return {"type": "interval", "left": left, "right": right, "closed": array.closed}

    def _scalar(self, value: Any, where: str, level: int = 0) -> object:
        """Return the form of a single value in an object column, or of a label."""
        kind = type(value)
        if value is None or kind in (str, bool, int):
            return value
        if kind is float:
            return value if math.isfinite(value) else ["float", repr(value)]
        if level > _MOST_LEVELS:
            raise NotATable(f"{where} holds a value that is nested too deeply, or contains itself")
        if kind in (list, tuple, set, frozenset):
            return [kind.__name__, *(self._scalar(item, where, level + 1) for item in value)]
        if kind is dict:
            pairs = value.items()
            return ["dict", *([self._scalar(k, where, level + 1), self._scalar(v, where, level + 1)] for k, v in pairs)]
        written = _plain_scalar(value) or self._own_scalar(value, where)
        if written is None:
            name = f"{kind.__module__}.{kind.__qualname__}"
            raise NotATable(
                f"{where} holds a {name}, which cannot be passed to a sandbox; convert it first, such as with .map(str)"
            )
        return written

    def _own_scalar(self, value: Any, where: str) -> list[object] | None:
        """Return the form of a pandas or numpy scalar; None for any other value."""
        pd, np = self._pd, self._np
        if value is pd.NA or value is pd.NaT:
            return ["na" if value is pd.NA else "nat"]
        kind = type(value)
        if kind is pd.Timestamp:
            zone = None if value.tz is None else self._zone(value.tz, where)
            moment = value if zone is None else value.tz_convert("UTC").tz_localize(None)
            return ["timestamp", int(moment.asm8.view("i8")), value.unit, zone]
        if kind is pd.Timedelta:
            return ["duration", int(value.asm8.view("i8")), value.unit]
        if kind is pd.Period:
            return ["period", value.ordinal, value.freqstr]
        if kind is pd.Interval:
            return ["interval", self._scalar(value.left, where), self._scalar(value.right, where), value.closed]
        if isinstance(value, np.generic) and value.dtype.kind in "biufcmM":
            form = self._numpy(np.array([value]), where)
            values: Any = form["values"]
            return ["numpy", form["dtype"], values[0]]
        return None


_MASKED = ("Boolean", "Float32", "Float64", *(f"{sign}{bits}" for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)))


def _floats(values: list[float]) -> list[object]:
    """Return numbers, with NaN and infinities as text."""
    return [value if math.isfinite(value) else repr(value) for value in values]


def _plain_scalar(value: Any) -> list[object] | None:
    """Return the form of a standard library value; None if it has none."""
    kind = type(value)
    if kind is dt.datetime and (value.tzinfo is None or type(value.tzinfo) is dt.timezone):
        return ["datetime", value.isoformat(), value.fold]
    if kind is dt.datetime and type(value.tzinfo) is ZoneInfo and value.tzinfo.key:
        return ["zoned", value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo.key]
    if kind is dt.date or (kind is dt.time and value.tzinfo is None):
        return [kind.__name__, value.isoformat()]
    if kind is dt.timedelta:
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if kind is bytes:
        return ["bytes", value.hex()]
    return [kind.__name__.lower(), str(value)] if kind in (Decimal, UUID, complex) else None


def _remedy(dtype: str) -> str:
    if "Sparse" in dtype:
        return "convert it: .sparse.to_dense()"
    if "pyarrow" in dtype:
        return "convert it: .convert_dtypes(dtype_backend='numpy_nullable')"
    return "convert it first, such as with .astype(str) or .astype(object)"
