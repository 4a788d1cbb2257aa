"""Tables of pandas are themselves in the REPL, and what cannot go there is refused by name."""

import copy
import datetime as dt
import pickle
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from rlmbox import RLM, Context
from rlmbox.context.load.structured import NotATable
from rlmbox.context.load.tables import table_of
from rlmbox.errors import ConfigError, ContextError
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.sandboxes.subset import SubsetSandbox
from rlmbox.sandboxes.worker import _tables
from rlmbox.sandboxes.worker._values import ValueTooLarge, Writer, to_json
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm, said_to

pd = pytest.importorskip("pandas")
np = pytest.importorskip("numpy")

DAYS = pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin")
FRAMES: dict[str, Callable[[], Any]] = {
    "plain": lambda: pd.DataFrame({"name": ["Bonn", "Köln \U0001f600", None], "price": [1.5, None, -0.0]}),
    "names that are no strings": lambda: pd.DataFrame([[1, 2, 3]], columns=[2020, dt.date(2021, 1, 1), ("a", 1)]),
    "two columns of one name": lambda: pd.DataFrame([[1, "x"], [2, "y"]], columns=["a", "a"]),
    "dates as columns": lambda: pd.DataFrame([[1, 2, 3]], columns=DAYS),
    "dates as index": lambda: pd.DataFrame({"a": [1, 2, 3]}, index=DAYS),
    "an index with repeats": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "x"], name="key")),
    "a range that begins later": lambda: pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(10, 14, 2, name="n")),
    "levels": lambda: pd.DataFrame({"a": [1, 2], "b": [3, 4]}).set_index(["a", "b"]).assign(c=1.0),
    "levels of columns": lambda: pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_product([["x"], [1, 2]])),
    "no rows": lambda: pd.DataFrame({"a": pd.Series([], dtype="int64"), "b": pd.Series([], dtype="str")}),
    "no columns": lambda: pd.DataFrame(index=[1, 2]),
    "nothing": lambda: pd.DataFrame(),
    "numbers": lambda: pd.DataFrame(
        {
            "i": np.array([-128, 127], "int8"),
            "u": np.array([0, 2**64 - 1], "uint64"),
            "f": np.array([0.1, np.inf], "float32"),
            "c": [1 + 2j, complex("nan")],
            "b": [True, False],
        }
    ),
    "numbers that may be missing": lambda: pd.DataFrame(
        {
            "i": pd.array([1, None], "Int64"),
            "u": pd.array([None, 2**64 - 1], "UInt64"),
            "f": pd.array([0.5, None], "Float64"),
            "b": pd.array([True, None], "boolean"),
        }
    ),
    "text that may be missing": lambda: pd.DataFrame({"a": pd.array(["x", None], "string"), "b": ["", "\n"]}),
    "times": lambda: pd.DataFrame(
        {
            "s": pd.Series(["1800-01-01", None, "2024-02-29"], dtype="datetime64[s]"),
            "z": pd.Series([DAYS[0], None, DAYS[2]]),
            "o": pd.Series(DAYS).dt.tz_convert(dt.timezone(dt.timedelta(hours=5, minutes=30))),
            "d": pd.to_timedelta([1, None, 3], unit="s"),
            "p": pd.period_range("2024-01", periods=3, freq="M"),
        }
    ),
    "categories": lambda: pd.DataFrame(
        {
            "c": pd.Categorical(["b", None, "a"], categories=["b", "a", "z"], ordered=True),
            "n": pd.Categorical([2, 1, 2]),
            "i": pd.cut([1, 5, 20], [0, 2, 10]),
        }
    ),
    "objects": lambda: pd.DataFrame(
        {
            "a": pd.Series(
                [[1, 2], [3, 4], {"a": (1, None)}, b"\x00\xff", Decimal("1.10"), pd.NA, 2**70, "text", {1}, None, True],
                dtype=object,
            ),
            "b": pd.Series(
                [
                    *(dt.date(2024, 1, 1), dt.time(12, 30), dt.datetime(2024, 1, 1, 2)),
                    *(dt.timedelta(1, 2, 3), pd.Timestamp("2024-01-01", tz="UTC"), pd.Timedelta("1h")),
                    *(dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), UUID(int=7)),
                    *(np.int16(3), np.float64("inf"), np.datetime64("2024-01-01", "s")),
                ],
                dtype=object,
            ),
        }
    ),
}


def there_and_back(value: Any) -> Any:
    return _tables.table_of("t", dict(table_of(value).form))


@pytest.mark.parametrize("name", FRAMES)
def test_a_table_is_the_same_on_the_other_side(name: str) -> None:
    value = FRAMES[name]()
    made = there_and_back(value)
    pd.testing.assert_frame_equal(made, value)
    assert [type(a) for a in made.columns] == [type(a) for a in value.columns]
    kinds = [[type(item) for item in made.iloc[:, n]] for n in range(made.shape[1])]
    assert kinds == [[type(item) for item in value.iloc[:, n]] for n in range(value.shape[1])]


def test_a_series_its_name_and_attributes_are_the_same_on_the_other_side() -> None:
    value = pd.Series([1.0, None], index=[3, "x"], name=("a", 2))
    value.attrs = {"unit": "EUR", 1: [2]}
    made = there_and_back(value)
    pd.testing.assert_series_equal(made, value)
    assert made.attrs == value.attrs


class Money:
    """A value of a user's own."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: pd.DataFrame({"a": [Money()]}),
            "the column 'a' holds a .*Money, which cannot be passed to a sandbox; convert it",
        ),
        (lambda: pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), r"'a' has the type Sparse.*sparse.to_dense\(\)"),
        (lambda: pd.DataFrame([[1]], columns=[Money()]), "the names of columns holds a .*Money"),
        (lambda: type("GeoFrame", (pd.DataFrame,), {})({"a": [1]}), r"it is a GeoFrame.*pass pandas.DataFrame\(…\)"),
    ],
)
def test_what_cannot_cross_is_refused_by_name(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(NotATable, match=said):
        table_of(make())


def with_pandas(code: str, **more: Any) -> RLM:
    return rlm(repl(code), sandbox="jail", packages=["pandas"], **more)


async def test_an_input_that_is_a_table_is_that_in_the_repl_and_named_in_the_question() -> None:
    asked = with_pandas("FINAL([type(t).__name__, str(t.dtypes['n']), int(t.n.sum()), str(s.index[0]), SHOW_VARS()])")
    inputs = {"t": FRAMES["plain"]().assign(n=[1, 2, 3]), "s": pd.Series([1], index=DAYS[:1])}
    answer = await asked.aask("?", TEXT, inputs=inputs)
    assert answer.value == ["DataFrame", "int64", 6, "2024-01-01 00:00:00+01:00", {}]
    assert "DataFrame, 3 rows x 3 columns: name, price, n" in said_to(asked.model, 0)
    assert "Series, 1 rows" in said_to(asked.model, 0)


async def test_a_table_is_described_among_the_variables() -> None:
    async with with_pandas("u = t.head(2)\nFINAL(1)").session(
        TEXT, question="?", inputs={"t": FRAMES["plain"]()}
    ) as session:
        await session.run()
        found = await session.variables()
    assert found["t"] == "DataFrame, 3 rows x 2 columns: name, price"
    assert found["u"] == "DataFrame, 2 rows x 2 columns"


async def test_a_table_as_a_context_is_its_csv_and_the_table_where_pandas_is_allowed() -> None:
    frame = pd.DataFrame({"city": ["Bonn", None], "n": [1, 2]})
    answer = await with_pandas("FINAL([context, type(data).__name__, int(data.n.sum())])").aask("?", frame)
    assert answer.value == ["city,n\nBonn,1\n,2\n", "DataFrame", 3]
    answer = await rlm(repl("FINAL([context, data])"), sandbox="monty").aask("?", frame)
    assert answer.value == ["city,n\nBonn,1\n,2\n", [{"city": "Bonn", "n": 1}, {"city": None, "n": 2}]]


@pytest.mark.parametrize(
    ("value", "text", "records"),
    [
        (pd.Series([1.5, None], name="x"), 'x\n1.5\n""\n', [{"x": 1.5}, {"x": None}]),
        (pd.DataFrame({2020: [True]}, index=["a"]), ",2020\na,True\n", [{"index": "a", "2020": True}]),
        (
            pd.DataFrame({"t": DAYS[:1]}, index=pd.Index([7], name="key")),
            "key,t\n7,2024-01-01 00:00:00+01:00\n",
            [{"key": 7, "t": "2024-01-01T00:00:00+01:00"}],
        ),
        (pd.DataFrame({"a": []}), "a\n", []),
    ],
)
def test_the_text_and_the_rows_of_a_table(value: Any, text: str, records: list[object]) -> None:
    context = Context.of(value)
    assert context.slice(0, context.length) == text
    assert context.data == records
    assert (context.kind, context.document_names) == ("table", ("data.csv",))
    for other in (copy.deepcopy(context), pickle.loads(pickle.dumps(context))):
        assert other == context
        assert other.table.equals(value)


@pytest.mark.parametrize(
    "value", [pd.DataFrame(), pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({"a": [1]}).rename_axis("a")]
)
def test_a_table_without_a_text_or_with_a_name_twice_is_no_context(value: Any) -> None:
    with pytest.raises(ContextError, match=r"no columns|same name|name of a column"):
        Context.of(value)


@pytest.mark.parametrize("sandbox", ["jail", "monty", "subset", "auto"])
async def test_without_pandas_a_table_is_refused_with_what_to_do(sandbox: str) -> None:
    asked = rlm("FINAL(ok)", sandbox=sandbox)
    with pytest.raises(ConfigError, match=r"allow it with packages=\['pandas'\], or give t.to_dict\('records'\)"):
        await asked.aask("?", TEXT, inputs={"t": pd.DataFrame({"a": [1]})})
    with pytest.raises(ConfigError, match=r"a pandas Series: allow it.*or give t.to_list\(\)"):
        await asked.aask("?", TEXT, inputs={"t": pd.Series([1])})


@pytest.mark.parametrize("make", [MontySandbox, SubsetSandbox])
async def test_a_sandbox_that_has_no_pandas_says_so_at_the_start(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError, match=r"the input 't' is a pandas DataFrame, and .* has no pandas"):
        await rlm("FINAL(ok)", sandbox=make).aask("?", TEXT, inputs={"t": pd.DataFrame({"a": [1]})})


async def test_what_cannot_cross_and_what_is_too_large_is_an_error_with_the_inputs_name() -> None:
    asked = with_pandas("FINAL(1)")
    with pytest.raises(ConfigError, match="the input 't' cannot go into a sandbox: the column 'a' holds a"):
        await asked.aask("?", TEXT, inputs={"t": pd.DataFrame({"a": [Money()]})})
    with pytest.raises(ConfigError, match=r"the input 't' has .* bytes as JSON; at most 33,554,432"):
        await asked.aask("?", TEXT, inputs={"t": pd.DataFrame({"a": ["x" * (33 << 20)]})})
    with pytest.raises(ConfigError, match="'data' means something else"):
        await asked.aask("?", TEXT, inputs={"data": pd.DataFrame({"a": [1]})})


async def test_each_namespace_has_a_table_of_its_own() -> None:
    frame = pd.DataFrame({"a": [1]})
    sandbox = lambda: LocalSandbox(unsafe_no_isolation=True, package_paths=[Path(pd.__file__).parents[1]])  # noqa: E731
    code = "t.loc[0, 'a'] = 5\nimport os\nos._exit(3)"
    asked = rlm(repl(code), repl("FINAL(int(t.loc[0, 'a']))"), sandbox=sandbox)
    assert (await asked.aask("?", TEXT, inputs={"t": frame})).value == 1
    assert frame.loc[0, "a"] == 1


@pytest.mark.parametrize("as_context", [False, True])
async def test_a_run_goes_on_and_is_replayed_and_forked_with_the_same_table(tmp_path: Path, as_context: bool) -> None:
    frame = FRAMES["times"]().assign(card=[4111111111111111, 2, 3])
    code = "FINAL([str(x) for x in TABLE.z] + [str(TABLE.dtypes.to_list()), int(TABLE.card[0])])"
    code = code.replace("TABLE", "data" if as_context else "t")
    asked = with_pandas(code, store=tmp_path / "runs.db")
    given: dict[str, Any] = {} if as_context else {"inputs": {"t": frame}}
    first = await asked.aask("?", frame if as_context else TEXT, **given)
    assert isinstance(first.value, list)
    assert first.value[-1] == 4111111111111111
    replayed = await asked.areplay(first.run_id)
    assert replayed.value == first.value
    again = RLM(ScriptedModel([repl(code)]), sandbox="jail", packages=["pandas"], store=tmp_path / "runs.db")
    forked = await again.afork(first.run_id, at=1, code=code.replace("FINAL", "FINAL"))
    assert forked.value == first.value
    zone = ZoneInfo("Europe/Berlin")
    assert str(frame.z[0].astimezone(zone)) == first.value[0]


async def test_a_table_within_a_context_is_its_rows_and_an_array_its_items(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": range(100)})
    given = {"t": frame, "a": np.arange(2_000), "s": {2, 1}, "d": dt.datetime(2024, 1, 1)}
    asked = rlm(repl("FINAL([data['t'][99], data['a'][1999], data['s'], data['d']])"), store=tmp_path / "runs.db")
    first = await asked.aask("?", given)
    assert first.value == [{"n": 99}, 1999, [1, 2], "2024-01-01T00:00:00"]
    assert (await asked.areplay(first.run_id)).value == first.value  # of which the text is made again


async def test_a_table_within_an_input_is_refused_with_where_it_goes() -> None:
    with pytest.raises(ConfigError, match="a DataFrame is an input of its own"):
        await with_pandas("FINAL(1)").aask("?", TEXT, inputs={"t": {"a": [pd.DataFrame({"a": [1]})]}})


def test_tables_of_pandas_are_their_rows() -> None:
    frame = pd.DataFrame({"city": ["Bonn", None], "day": pd.to_datetime(["2026-02-03", None]), 5: [1, 2]})
    rows = [{"city": "Bonn", "day": "2026-02-03T00:00:00", "5": 1}, {"city": None, "day": None, "5": 2}]
    assert to_json(frame) == rows
    assert to_json({"found": [frame.head(1)]}) == {"found": [rows[:1]]}
    assert to_json(frame.set_index("city")[[5]]) == [{"city": "Bonn", "5": 1}, {"city": None, "5": 2}]
    assert to_json(frame[5]) == [1, 2]
    assert to_json(frame.iloc[0]) == rows[0]
    assert to_json(pd.Series(["a", "b", "a"]).value_counts()) == {"a": 2, "b": 1}
    assert to_json(pd.Series([1, 2], index=["a", "a"])) == [["a", 1], ["a", 2]]
    assert to_json(pd.DataFrame([[1, 2]], columns=["a", "a"])) == [[["a", 1], ["a", 2]]]
    assert to_json([pd.Index([1, 2]), pd.Categorical(["a"]), pd.Period("2026-02")]) == [[1, 2], ["a"], "2026-02"]


def test_a_long_table_is_named_where_it_is_only_displayed() -> None:
    frame = pd.DataFrame({"a": range(10_001), "b": 0})
    assert to_json(frame) == "<DataFrame of 10,001 rows and 2 columns>"
    assert to_json(pd.Series(range(20_001))) == "<Series of 20,001 values>"
    assert len(Writer(consumes=True).write(frame)) == 10_001
    with pytest.raises(ValueTooLarge, match="more than 2,000,000 parts"):
        Writer(consumes=True).write(pd.Series(range(2_000_001)))


async def test_a_table_of_many_rows_is_an_argument_and_the_variables_are_kept() -> None:
    def rows(table: list[Any]) -> int:
        """Count rows."""
        return len(table)

    code = repl("import pandas as pd\nn = rows(pd.DataFrame({'a': range(150_000)}))"), "FINAL_VAR(n)"
    asked = rlm(*code, sandbox="jail", packages=["pandas"], tools=[rows])
    assert (await asked.aask("?", TEXT)).value == 150_000


@pytest.mark.parametrize("route", ["FINAL(t)", "SUBMIT(t)", "FINAL_VAR('t')", "answer = {'content': t, 'ready': True}"])
async def test_a_table_is_an_answer_by_every_route(route: str) -> None:
    code = f"import pandas as pd\nt = pd.DataFrame({{'a': [1, None]}})\n{route}"
    assert (await with_pandas(code).aask("?", TEXT)).value == [{"a": 1.0}, {"a": None}]


async def test_a_long_table_is_no_answer_by_its_name() -> None:
    code = repl("import pandas as pd\nt = pd.Series(range(30000))\nFINAL_VAR('t')")
    asked = rlm(code, "FINAL_VAR(t.head(2))", sandbox="jail", packages=["pandas"])
    assert (await asked.aask("?", TEXT)).value == [0, 1]
    assert "<Series of 30,000 values>, too long" in said_to(asked.model)
