"""The one rule for values that leave a cell, kind by kind, and the laws that hold for all of them."""

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import json
import math
import pathlib
import types
import uuid
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlmbox.sandboxes.worker._values import MAX_LEVELS, ValueTooLarge, to_json


class Point(NamedTuple):
    x: int
    y: object


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass(frozen=True)
class Person:
    name: str
    born: object


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Listed(list[Any]):
    def __iter__(self) -> Any:
        raise RuntimeError("no")


HUGE = 10**4300

KINDS: list[tuple[object, object]] = [
    (None, None),
    (True, True),
    ("text", "text"),
    ("\ud800", "\ud800"),
    (1.5, 1.5),
    (HUGE - 1, HUGE - 1),
    (HUGE, hex(HUGE)),
    (-HUGE, hex(-HUGE)),
    (math.nan, "nan"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    ((1, (2,)), [1, [2]]),
    (collections.deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.values(), [1]),
    ({"a": 1}.items(), [["a", 1]]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({"b", 1, None}, ["b", 1, None]),
    ({frozenset({2, 1}), frozenset({0})}, [[0], [1, 2]]),
    (b"caf\xc3\xa9\n", "café\n"),
    (b"\xff\x00", "base64:/wA="),
    (b"a\x00b", "base64:YQBi"),
    (bytearray(b"ab"), "ab"),
    (memoryview(b"ab"), "ab"),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00+00:00"),
    (dt.time(3, 4), "03:04:00"),
    (dt.timedelta(days=1, seconds=2), "1 day, 0:00:02"),
    (decimal.Decimal("1.10"), "1.10"),
    (fractions.Fraction(1, 3), "1/3"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (1 + 2j, "(1+2j)"),
    (Colour.RED, "red"),
    (Colour.PAIR, [1, 2]),
    (Level.HIGH, 3),
    (Person("Ada", dt.date(1815, 12, 10)), {"name": "Ada", "born": "1815-12-10"}),
    (Point(1, {2}), {"x": 1, "y": [2]}),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (collections.defaultdict(list, {"k": [1]}), {"k": [1]}),
    ({2020: 5}, {"2020": 5}),
    ({1.5: 0, True: 1, None: 2}, {"1.5": 0, "true": 1, "null": 2}),
    ({math.inf: 0}, {"Infinity": 0}),
    ({(1, "a"): 0}, {"(1, 'a')": 0}),
    ({((1, 2), 3): 0}, {"((1, 2), 3)": 0}),
    ({dt.date(2026, 1, 2): 0}, {"2026-01-02": 0}),
    ({frozenset({2, 1}): 0}, {"(1, 2)": 0}),
    ({Point(1, 2): 0}, {'{"x": 1, "y": 2}': 0}),
    ({HUGE: 0}, {hex(HUGE): 0}),
    ({1: "a", "1": "b"}, [[1, "a"], ["1", "b"]]),
    ({(1,): "a", "(1,)": "b"}, [[[1], "a"], ["(1,)", "b"]]),
    (len, "<built-in function len>"),
    (Hostile(), "<Hostile whose repr raises RuntimeError>"),
    (Text("as it is"), "as it is"),
    (Listed([1, 2]), [1, 2]),
    (ValueError("x"), "ValueError('x')"),
]


@pytest.mark.parametrize(("value", "form"), KINDS, ids=lambda value: type(value).__name__)
def test_a_value_has_the_form_of_its_kind(value: object, form: object) -> None:
    assert to_json(value) == form
    assert type(to_json(value)) is type(form)


def test_a_representation_has_at_most_1000_characters() -> None:
    class Long:
        def __repr__(self) -> str:
            return "x" * 5000

    assert to_json(Long()) == "x" * 999 + "…"


def test_a_cycle_is_named_and_what_is_only_shared_is_written_twice() -> None:
    loop: list[object] = [1]
    loop.append({"again": loop})
    shared = [2]

    assert to_json(loop) == [1, {"again": "<cycle>"}]
    assert to_json([shared, shared]) == [[2], [2]]


def test_195_levels_are_kept_and_what_lies_deeper_is_named() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    form, levels = to_json(deep), 0
    while isinstance(form, list):
        form, levels = form[0], levels + 1

    assert (form, levels) == ("<deeper than 195 levels>", MAX_LEVELS)


def test_a_value_beyond_the_limit_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueTooLarge, match="larger than 1,000 bytes"):
        to_json("é" * 501, max_bytes=1000)
    assert to_json("e" * 1000, max_bytes=1000)
    with pytest.raises(ValueTooLarge, match="more than 2,000,000 parts"):
        to_json(range(10**18))


def test_a_value_that_shares_its_parts_again_and_again_does_not_run_for_ever() -> None:
    value: list[object] = [0]
    for _ in range(64):
        value = [value, value]

    with pytest.raises(ValueTooLarge):
        to_json(value, max_nodes=10_000)


def test_a_set_of_nan_and_of_sets_has_one_order() -> None:
    values: list[object] = [math.nan, 1.0, frozenset({3}), frozenset({1, 2}), "z"]

    assert to_json(set(values)) == to_json({*values[::-1]})


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.complex_numbers()
    | st.builds(Hostile)
    | st.sampled_from((1, -1)).map(lambda sign: sign * HUGE)
    | st.sampled_from([*Colour, *Level, Hostile, len, ..., object, Text("t")])
)
keys = st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner), max_leaves=4)
values: st.SearchStrategy[object] = st.recursive(
    scalars | st.sets(keys) | st.frozensets(keys) | st.builds(range, st.integers(0, 50)),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.builds(Point, st.integers(), inner)
        | st.builds(Person, st.text(), inner)
        | st.builds(collections.deque, st.lists(inner))
        | st.dictionaries(keys, inner)
    ),
    max_leaves=30,
)


@settings(deadline=None)
@given(values)
def test_any_value_becomes_json_and_its_form_is_its_own_form(value: object) -> None:
    form = to_json(value)

    assert json.loads(json.dumps(form, allow_nan=False)) == form
    assert to_json(form) == form


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, True, "0", "1", "true", None, "null", 1.0, (1,), "(1,)"]), unique_by=repr))
def test_no_entry_of_a_dict_is_lost(names: list[object]) -> None:
    entries = dict(zip(names, range(len(names)), strict=True))
    form = to_json(entries)

    assert len(form) == len(entries)
    assert list(form.values() if isinstance(form, dict) else [item for _, item in form]) == list(entries.values())


def test_models_of_pydantic_are_their_fields() -> None:
    class Penalty(pydantic.BaseModel):
        percent: decimal.Decimal
        since: dt.date | None = None

    assert to_json([Penalty(percent=decimal.Decimal("1.10"))]) == [{"percent": "1.10", "since": None}]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (collections.UserDict({1: (2,)}), {"1": [2]}),
        (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
        (types.MappingProxyType({"a": {2, 1}}), {"a": [1, 2]}),
        (collections.UserList([1, (2,)]), [1, [2]]),
        (collections.UserString("a"), "a"),
        (array.array("i", range(2_000)), list(range(2_000))),
        (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
    ],
)
def test_what_acts_as_a_dict_a_list_or_a_text_is_one(value: object, form: object) -> None:
    assert to_json(value) == form


def test_a_mapping_that_holds_itself_is_named() -> None:
    own: collections.UserDict[str, object] = collections.UserDict()
    own["a"] = own
    assert to_json(own) == {"a": "<cycle>"}


def test_values_of_numpy_are_plain_numbers_and_lists() -> None:
    class Generic:
        def __init__(self, plain: object) -> None:
            self._plain = plain

        def tolist(self) -> object:
            return self._plain

    Generic.__module__, Generic.__qualname__ = "numpy", "generic"  # by which it is recognised; numpy is not needed

    assert to_json({"mean": Generic(0.5), "all": Generic([[1, 2]])}) == {"mean": 0.5, "all": [[1, 2]]}
