"""Python objects as contexts, and contexts that are copied and sent to other processes."""

import copy
import dataclasses
import io
import json
import pickle
import subprocess
import sys
from collections import Counter, OrderedDict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preloaded import python_command
from rlmbox.context import Context
from rlmbox.context.load import opening
from rlmbox.context.load.structured import jsonable
from rlmbox.errors import ContextError

VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.integers() | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none() | st.tuples(st.integers()), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=2), max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_is_given_becomes_json(value: object):
    made = jsonable(value)
    assert json.loads(json.dumps(made)) == made
    assert jsonable(made) == made


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_as_it_is(value: object):
    assert jsonable(value) == value


class Colour(Enum):
    RED = 1
    BLUE = ("b", 2)


class Span(NamedTuple):
    start: int
    end: object


class Town(pydantic.BaseModel):
    name: str
    day: date


@dataclasses.dataclass
class Penalty:
    percent: Decimal
    since: object


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        ({"b", 1}, ["b", 1]),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (b"text", "text"),
        (b"\xff\0", "base64:/wA="),
        (datetime(2026, 2, 3, tzinfo=UTC), "2026-02-03T00:00:00+00:00"),
        (Decimal("1.50"), "1.50"),
        (Path("a/b"), "a/b"),
        ({2020: 5, None: 1, True: 2, 1.5: 3}, {"2020": 5, "null": 1, "true": 2, "1.5": 3}),
        ({(1, 2): "x"}, {"(1, 2)": "x"}),
        ({1: "a", "1": "b"}, [["1", "a"], ["1", "b"]]),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (10**5_000, hex(10**5_000)),
        (range(3), [0, 1, 2]),
        ([Penalty(Decimal(5), {date(2026, 2, 3): 1})], [{"percent": "5", "since": {"2026-02-03": 1}}]),
        ([Town(name="Bonn", day=date(2026, 2, 3))], [{"name": "Bonn", "day": "2026-02-03"}]),
        ([Span(1, (2, 3))], [{"start": 1, "end": [2, 3]}]),
        ({Colour.RED: Colour.BLUE}, {"1": ["b", 2]}),
        ({b"key": 1}, {"key": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_lacks_has_a_form(value: object, expected: object):
    assert jsonable(value) == expected


def test_what_is_in_itself_is_named():
    twice: list[object] = []
    twice += [twice, {"a": twice}]
    assert jsonable(twice) == ["<cycle>", {"a": "<cycle>"}]
    assert jsonable(CYCLE) == ["<cycle>"]


def test_what_is_there_twice_is_no_cycle():
    shared = [1]
    assert jsonable([shared, shared]) == [[1], [1]]


def test_what_is_too_deep_is_cut():
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    assert "deeper than 200 levels" in json.dumps(jsonable(deep))


def test_a_dict_is_an_object_and_its_documents():
    given_dict = {"prices": {"bolt": 1.5}, 2026: ("a", "b"), "note": "plain"}
    found = Context.of(given_dict)
    assert found.data == {"prices": {"bolt": 1.5}, "2026": ["a", "b"], "note": "plain"}
    assert found.document_names == ("prices", "2026", "note")
    assert found.get_document("note") == "plain"
    assert found.metadata()["data"] == {"type": "dict", "length": 3}


def test_the_object_is_a_copy():
    given_dict = {"a": [1]}
    found = Context.of(given_dict)
    given_dict["a"].append(2)
    assert found.data == {"a": [1]}


def test_a_list_of_rows_is_an_object_and_json_lines():
    rows = [{"id": 1, "name": "ação"}, {"id": 2, "name": None}]
    found = Context.of(rows)
    assert (found.kind, found.data) == ("list", rows)
    assert found.text() == '{"id": 1, "name": "ação"}\n{"id": 2, "name": null}\n'
    schema: Mapping[str, Any] = found.get_schema()
    assert schema["kind"] == "jsonl"
    assert schema["row"]["keys"]["id"] == "number"
    assert found.metadata()["data"] == {"type": "list", "length": 2}


@pytest.mark.parametrize("value", [[1, 2, 3], [[1, "a"], [2, "b"]], [{"text": None}], [("a", "b", "c")], [None]])
def test_any_list_is_a_context(value: list[object]):
    assert Context.of(value).data == jsonable(value)


def test_a_list_of_documents_is_documents_and_an_object():
    found = Context.of([("one", "first"), {"name": "two", "text": "second"}])
    assert (found.kind, found.document_names) == ("documents", ("one", "two"))
    assert found.data == [["one", "first"], {"name": "two", "text": "second"}]


def test_a_text_is_no_object(tmp_path: Path):
    (tmp_path / "a.json").write_text("[1]")
    assert Context.of("text").data is None
    assert Context.of(tmp_path / "a.json").data is None
    assert "data" not in Context.of("text").metadata()


# ---- copies -------------------------------------------------------------------------------------------------------


def _folder(path: Path) -> Path:
    path.mkdir()
    (path / "a.txt").write_text("first é\n")
    (path / "b.md").write_text("# B\n")
    (path / "x.png").touch()
    return path


MADE = {
    "text": lambda path: Context.of("some text é\n"),
    "bytes": lambda path: Context.of(b"caf\xe9 \xff"),
    "dict": lambda path: Context.of({"a": {"b": [1, None]}, "c": "text"}),
    "list": lambda path: Context.of([{"id": 1}, {"id": 2}]),
    "documents": lambda path: Context.of([("a", "one"), ("a", "two")]),
    "file": lambda path: Context.from_path(_folder(path / "f") / "a.txt"),
    "folder": lambda path: Context.from_path(_folder(path / "f"), exclude="*.md"),
    "paths": lambda path: Context.from_path([_folder(path / "f") / "a.txt", path / "f"]),
    "pattern": lambda path: Context.from_path(_folder(path / "f") / "*.txt"),
    "part": lambda path: Context.of({"a": "first", "b": "second"}).slice_view(5, 30),
    "part of a part of a file": lambda path: (
        Context.from_path(_folder(path / "f") / "a.txt").slice_view(1, 7).slice_view(2, None)
    ),
}


@pytest.fixture(params=["in memory", "in place"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, cache_home: Path) -> None:
    if request.param == "in place":
        monkeypatch.setattr(opening, "SMALL_BYTES", 0)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))], ids=["copy", "deep", "pickle"]
)
def test_a_copy_is_equal(tmp_path: Path, place: None, kind: str, copied):
    made = MADE[kind](tmp_path)
    other = copied(made)
    assert other == made
    assert hash(other) == hash(made)
    assert (other.text(), other.document_names, other.kind, other.data) == (
        made.text(),
        made.document_names,
        made.kind,
        made.data,
    )
    assert other.metadata() == made.metadata()
    assert other.find("t") == made.find("t")


def test_contexts_differ_by_text_documents_and_objects():
    made = [Context.of("a"), Context.of("b"), Context.of({"a": "a"}), Context.of([("a", "a")]), Context.of([1, 2])]
    made += [Context.from_text("a", name="other"), Context.of({"a": '"a"'}), Context.of({"a": ["a"]})]
    assert len({*made}) == len(made)
    assert Context.of("a") == Context.of("a")
    assert Context.of("a") != "a"


def test_a_deep_copy_has_an_object_of_its_own():
    made = Context.of({"a": [1]})
    other = copy.deepcopy(made)
    assert other.data == made.data
    assert other.data is not made.data


def test_a_file_that_changed_is_not_opened_again(tmp_path: Path, place: None):
    path = tmp_path / "a.txt"
    path.write_text("before")
    sent = pickle.dumps(Context.from_path(path))
    path.write_text("after!")
    with pytest.raises(ContextError, match=r"a\.txt: the text has changed since the context was made"):
        pickle.loads(sent)
    path.unlink()
    with pytest.raises(ContextError, match="no such file"):
        pickle.loads(sent)


def test_a_file_is_sent_as_its_path_and_opened_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.txt").write_text("x" * 100_000)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    made = Context.from_path("a.txt")
    sent = pickle.dumps(made)
    assert len(sent) < 1_000
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(sent) == made


def test_standard_input_is_sent_as_its_text(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    made = Context.from_path("-")
    assert pickle.loads(pickle.dumps(made)).text() == "from a pipe"


def test_another_process_opens_it_again(tmp_path: Path):
    (tmp_path / "a.txt").write_text("shared text")
    sent = pickle.dumps((Context.from_path(tmp_path), Context.of({"k": [1, 2]})))
    code = "import pickle, sys; a, b = pickle.load(sys.stdin.buffer); print(a.get_document(0), b.data)"
    done = subprocess.run([*python_command(), "-c", code], input=sent, capture_output=True, check=True)
    assert done.stdout == b"shared text {'k': [1, 2]}\n"


@dataclasses.dataclass
class Counted:
    name: str
    seed: dataclasses.InitVar[int] = 3
    made: ClassVar[int] = 0


class Open(pydantic.BaseModel, extra="allow"):
    name: str


@dataclasses.dataclass
class Nothing:
    pass


def test_the_fields_of_an_object_are_those_that_it_has_itself():
    assert jsonable(Counted("a")) == {"name": "a"}
    assert jsonable(Open.model_validate({"name": "a", "more": [1]})) == {"name": "a", "more": [1]}
    assert jsonable(Nothing()) == {}
