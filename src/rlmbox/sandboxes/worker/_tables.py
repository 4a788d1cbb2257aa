"""Inputs that are tables: pandas objects rebuilt from the JSON form in which they were sent.

Runs inside the sandbox, from source that the start frame carries if there is such an input: the standard library, and
the pandas and numpy installed there. `rlmbox.context.load.tables` writes the form; every part of it is JSON.

| form | keys |
| --- | --- |
| table | `kind` (`DataFrame` or `Series`), `index` and, of a DataFrame, `columns` (axes), `data` (columns; of a Series one), `name` of a Series, `attrs` (pairs), `shape`, `labels` |
| axis | that of a column, with `name` and optionally `freq`; or `type` `range` with `bounds`; or `type` `multi` with `levels` and `names` |
| column | `type`, `values` and what the type needs: see `_TableBuilder` |
| scalar | None, bool, int, finite float and str are themselves; anything else is `[tag, …]`: see the methods `_as_…` |
"""  # noqa: E501 - rows of a table

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def table_of(name: str, form: dict[str, Any]) -> Any:
    """Return the DataFrame or Series described by a form.

    Args:
        name: Name of the input, for the error.
        form: The form.

    Raises:
        RuntimeError: pandas is not installed here.
    """
    try:
        np, pd = import_module("numpy"), import_module("pandas")
    except ImportError as error:
        kind = form["kind"]
        raise RuntimeError(f"the input {name!r} is a pandas {kind}, and pandas cannot be imported: {error}") from None
    return _TableBuilder(pd, np).table(form)


class _TableBuilder:
    """Builds pandas objects.

    Args:
        pd: The module pandas.
        np: The module numpy.
    """

    def __init__(self, pd: Any, np: Any) -> None:
        self._pd, self._np = pd, np

    def table(self, form: dict[str, Any]) -> Any:
        """Return the DataFrame or Series described by a form."""
        pd, index = self._pd, self._axis(form["index"])
        if form["kind"] == "Series":
            made = self._series(form["data"], index)
            made.name = self._scalar(form["name"])
        else:
            # By number, since names may repeat; columns are passed as series, so pandas does not infer their types.
            made = pd.DataFrame({n: self._series(c, index) for n, c in enumerate(form["data"])}, index=index)
            made.columns = self._axis(form["columns"])
        made.attrs.update({self._scalar(key): self._scalar(value) for key, value in form["attrs"]})
        return made

    def _series(self, form: dict[str, Any], index: Any) -> Any:
        values = self._column(form)
        return self._pd.Series(values, index=index, dtype=values.dtype, copy=False)

    def _axis(self, form: dict[str, Any]) -> Any:
        pd = self._pd
        if form["type"] == "range":
            return pd.RangeIndex(*form["bounds"], name=self._scalar(form["name"]))
        if form["type"] == "multi":
            levels = [pd.Index(self._column(level), dtype=self._column(level).dtype) for level in form["levels"]]
            return pd.MultiIndex.from_arrays(levels, names=[self._scalar(name) for name in form["names"]])
        values = self._column(form)
        index = pd.Index(values, dtype=values.dtype, tupleize_cols=False, name=self._scalar(form["name"]))
        if form.get("freq"):
            index.freq = form["freq"]
        return index

    def _column(self, form: dict[str, Any]) -> Any:
        return getattr(self, f"_{form['type']}")(form)

    def _numpy(self, form: dict[str, Any]) -> Any:
        np, dtype = self._np, self._np.dtype(form["dtype"])
        if dtype.kind in "mM":
            return np.array(form["values"], dtype="i8").view(dtype)
        if dtype.kind == "c":
            return np.array([complex(float(real), float(imag)) for real, imag in form["values"]], dtype=dtype)
        return np.array([float(v) for v in form["values"]] if dtype.kind == "f" else form["values"], dtype=dtype)

    def _object(self, form: dict[str, Any]) -> Any:
        found = self._np.empty(len(form["values"]), dtype=object)
        for number, value in enumerate(form["values"]):  # singly: numpy would turn lists of equal length into a matrix
            found[number] = self._scalar(value)
        return found

    def _masked(self, form: dict[str, Any]) -> Any:
        np, arrays = self._np, self._pd.arrays
        mask = np.array([value is None for value in form["values"]], dtype=bool)
        values = [0 if value is None else float(value) if type(value) is str else value for value in form["values"]]
        made = {"b": arrays.BooleanArray, "f": arrays.FloatingArray}.get(np.dtype(form["dtype"]).kind)
        return (made or arrays.IntegerArray)(np.array(values, dtype=form["dtype"]), mask)

    def _string(self, form: dict[str, Any]) -> Any:
        pd, np = self._pd, self._np
        missing = pd.NA if form["missing"] == "NA" else np.nan
        for storage in dict.fromkeys((form["storage"], "python")):
            try:
                return pd.array(form["values"], dtype=pd.StringDtype(storage, na_value=missing))
            except (ImportError, UnicodeError):  # no pyarrow, or a lone surrogate
                continue
            except TypeError:  # a pandas version with a single missing value
                break
        if missing is pd.NA:
            return pd.array(form["values"], dtype="string")
        return np.array([missing if value is None else value for value in form["values"]], dtype=object)

    def _category(self, form: dict[str, Any]) -> Any:
        pd = self._pd
        dtype = pd.CategoricalDtype(self._axis(form["categories"]), ordered=form["ordered"])
        return pd.Categorical.from_codes(self._np.array(form["values"], dtype="i8"), dtype=dtype)

    def _zoned(self, form: dict[str, Any]) -> Any:
        moments = self._np.array(form["values"], dtype="i8").view(f"M8[{form['unit']}]")
        return self._pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(form["zone"]).array

    def _period(self, form: dict[str, Any]) -> Any:
        dtype = self._pd.PeriodDtype(form["freq"])
        return self._pd.arrays.PeriodArray(self._np.array(form["values"], dtype="i8"), dtype=dtype)

    def _interval(self, form: dict[str, Any]) -> Any:
        left, right = (self._pd.Index(self._column(form[side])) for side in ("left", "right"))
        return self._pd.arrays.IntervalArray.from_arrays(left, right, closed=form["closed"])

    def _scalar(self, value: Any) -> Any:
        if type(value) is not list:
            return value
        tag, *rest = value
        return getattr(self, f"_as_{tag}")(*rest)

    # What a scalar of each tag is built from

    def _as_float(self, text: str) -> Any:
        return float(text)

    def _as_complex(self, text: str) -> Any:
        return complex(text)

    def _as_list(self, *items: Any) -> Any:
        return [self._scalar(item) for item in items]

    def _as_tuple(self, *items: Any) -> Any:
        return tuple(self._scalar(item) for item in items)

    def _as_set(self, *items: Any) -> Any:
        return {self._scalar(item) for item in items}

    def _as_frozenset(self, *items: Any) -> Any:
        return frozenset(self._scalar(item) for item in items)

    def _as_dict(self, *pairs: Any) -> Any:
        return {self._scalar(key): self._scalar(value) for key, value in pairs}

    def _as_bytes(self, text: str) -> Any:
        return bytes.fromhex(text)

    def _as_decimal(self, text: str) -> Any:
        return Decimal(text)

    def _as_date(self, text: str) -> Any:
        return dt.date.fromisoformat(text)

    def _as_time(self, text: str) -> Any:
        return dt.time.fromisoformat(text)

    def _as_datetime(self, text: str, fold: int) -> Any:
        return dt.datetime.fromisoformat(text).replace(fold=fold)

    def _as_zoned(self, text: str, fold: int, zone: str) -> Any:
        from zoneinfo import ZoneInfo

        return dt.datetime.fromisoformat(text).replace(fold=fold, tzinfo=ZoneInfo(zone))

    def _as_uuid(self, text: str) -> Any:
        from uuid import UUID

        return UUID(text)

    def _as_timedelta(self, days: int, seconds: int, microseconds: int) -> Any:
        return dt.timedelta(days, seconds, microseconds)

    def _as_timestamp(self, value: int, unit: str, zone: str | None) -> Any:
        moment = self._pd.Timestamp(self._np.datetime64(value, unit))
        return moment if zone is None else moment.tz_localize("UTC").tz_convert(zone)

    def _as_duration(self, value: int, unit: str) -> Any:
        return self._pd.Timedelta(self._np.timedelta64(value, unit))

    def _as_period(self, ordinal: int, freq: str) -> Any:
        return self._pd.Period(ordinal=ordinal, freq=freq)

    def _as_interval(self, left: Any, right: Any, closed: str) -> Any:
        return self._pd.Interval(self._scalar(left), self._scalar(right), closed)

    def _as_numpy(self, dtype: str, value: Any) -> Any:
        return self._numpy({"dtype": dtype, "values": [value]})[0]

    def _as_na(self) -> Any:
        return self._pd.NA

    def _as_nat(self) -> Any:
        return self._pd.NaT
