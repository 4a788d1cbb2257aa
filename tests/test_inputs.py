"""Named inputs are variables of the REPL, as JSON has them; what is none is refused by name."""

import enum
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pydantic
import pytest

from rlmbox.context import Context
from rlmbox.errors import ConfigError, SandboxUnavailable
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.sandboxes.subset import SubsetSandbox
from rlmbox.types import CellLimits, Table, Usage
from runs import TEXT, repl, rlm, said_to


async def test_inputs_are_variables_and_named_in_the_question() -> None:
    asked = rlm(repl("FINAL(prices['a'] + len(names))"))
    answer = await asked.aask("?", TEXT, inputs={"prices": {"a": 5}, "names": ["x", "y"]})
    assert answer.value == 7
    assert "prices" in said_to(asked.model, 0)


@pytest.mark.parametrize(
    "inputs", [{"context": 1}, {"llm_query": 1}, {"no name": 1}, {"x": object()}, {"class": 1}, {"x": {1}}]
)
async def test_inputs_that_cannot_be_variables_are_refused(inputs: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        await rlm("FINAL(ok)").aask("?", TEXT, inputs=inputs)


async def test_a_table_as_an_input_is_refused_with_what_to_give_in_its_place() -> None:
    class DataFrame:
        def to_dict(self, orient: str) -> None:
            """Stand for pandas' own."""

    with pytest.raises(ConfigError, match=r"give df.to_dict\('records'\)"):
        await rlm("FINAL(ok)").aask("?", TEXT, inputs={"df": DataFrame()})


@pytest.mark.parametrize("sandbox", ["jail", "monty"])
async def test_an_input_is_as_json_has_it_in_every_sandbox(sandbox: str) -> None:
    asked = rlm(repl("FINAL([type(x['a']).__name__, x['a'], type(x['b']).__name__])"), sandbox=sandbox)
    assert (await asked.aask("?", TEXT, inputs={"x": {"a": (1, (2,)), "b": Colour.RED}})).value == [
        "list",
        [1, [2]],
        "str",
    ]


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({2020: 5}, r"the key 2020 \(int\)"),
        ([{"a": ({None: 1},)}], r"the key None \(NoneType\)"),
        ({"a": {True: 1}}, r"the key True \(bool\)"),
        ({(1, 2): 3}, r"the key \(1, 2\) \(tuple\)"),
    ],
)
async def test_a_key_of_an_input_that_is_no_str_is_refused_by_name(value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await rlm("FINAL(ok)").aask("?", TEXT, inputs={"prices": value})


async def test_a_large_object_as_a_context_is_its_text_and_the_model_is_told() -> None:
    documents = ["x" * 1_000_000] * 35
    asked = rlm(repl("FINAL([ctx.num_documents(), len(context), 'data' in globals()])"))
    answer = await asked.aask("?", documents)
    assert answer.value == [35, Context.of(documents).length, False]
    assert "no variable, because it has more than 33,554,432 bytes" in said_to(asked.model, 0)


class Town(pydantic.BaseModel):
    name: str


OWN: list[object] = []
OWN.append(OWN)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (OWN, "it contains itself"),
        ([1, float("nan")], "nan or an infinity; give None"),
        pytest.param(10**5000, r"more than 4,300 digits; give hex\(…\)", id="huge"),
        (date(2026, 2, 3), r"type date; give x.isoformat\(\)"),
        ([{"since": date(2026, 2, 3)}], r"type date; give ….isoformat\(\)"),
        ({1, 2}, r"type set; give list\(x\)"),
        (b"abc", r"type bytes; give x.decode\(\)"),
        (range(3), r"type range; give list\(x\)"),
        (MappingProxyType({}), r"type mappingproxy; give dict\(x\)"),
        (Usage(), r"type Usage; give dataclasses.asdict\(x\)"),
        (Town(name="Bonn"), r"type Town; give x.model_dump\(mode='json'\)"),
        ([Decimal("1.5")], r"type Decimal; give str\(…\) of it"),
    ],
)
async def test_an_input_that_is_not_json_is_refused_with_what_to_give_in_its_place(value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=f"the input 'x' is not a JSON value: .*{said}"):
        await rlm("FINAL(ok)").aask("?", TEXT, inputs={"x": value})


class Polars:
    """A table of another library, by the one method that they share."""

    def to_pandas(self) -> None:
        """Convert it."""


@pytest.mark.parametrize(("value", "said"), [(3, "not int"), ({1}, "not set"), (Polars(), r"give it.to_pandas\(\)")])
async def test_a_context_that_is_no_text_is_a_mistake_in_a_setting(value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=f"a context is made from a str.*{said}"):
        await rlm("FINAL(ok)").aask("?", value)


@pytest.mark.parametrize(
    ("sandbox", "kind", "said"),
    [
        (MontySandbox(), ConfigError, "'t' is a pandas DataFrame, and monty has no pandas; use the sandbox jail"),
        (SubsetSandbox(), ConfigError, "'t' is a pandas DataFrame, and subset has no pandas; use the sandbox jail"),
        (JailSandbox(), SandboxUnavailable, "'t' is a pandas DataFrame, and pandas cannot be imported"),
    ],
)
async def test_a_table_starts_no_sandbox_that_has_no_pandas(sandbox: Sandbox, kind: type[Exception], said: str) -> None:
    table = Table({"kind": "DataFrame", "shape": [1_000, 12], "labels": ["name", "price"]})
    assert table.description == "DataFrame, 1,000 rows x 12 columns: name, price, …"
    with pytest.raises(kind, match=said):
        await sandbox.start(CellLimits(), Context.from_text(TEXT), {}, inputs={"t": table})
    await sandbox.close()


async def test_a_run_over_a_dict_of_dates_sets_and_arrays_is_replayed_with_the_same_text(tmp_path: Path) -> None:
    given = {
        "day": date(2024, 1, 1),
        "set": {2, 1},
        "array": np.arange(2_000),
        "number": float("nan"),
        "path": Path("x"),
    }
    asked = rlm(
        repl("FINAL([ctx.get_document('day'), data['set'], len(data['array']), data['number']])"),
        store=tmp_path / "runs.db",
    )
    first = await asked.aask("?", given)
    assert first.value == ["2024-01-01", [1, 2], 2_000, "nan"]
    assert (await asked.areplay(first.run_id)).value == first.value


@pytest.mark.parametrize("name", ["print", "len", "sorted"])
def test_an_input_named_as_what_code_takes_from_python_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' means something else in Python; rename the input"):
        rlm("FINAL(x)").ask("?", TEXT, inputs={name: 1})


@pytest.mark.parametrize("name", ["input", "license", "history"])
def test_an_input_may_have_a_name_that_no_code_calls(name: str) -> None:
    assert rlm(repl(f"FINAL({name})")).ask("?", TEXT, inputs={name: "mine"}).text == "mine"


@pytest.mark.parametrize("length", [20, 200_000])
@pytest.mark.parametrize("key", [1, None, True, 1.5])
def test_a_key_that_is_no_text_is_refused_however_long_its_value_is(key: object, length: int) -> None:
    with pytest.raises(ConfigError, match="JSON has only str; give str keys"):
        rlm("FINAL(ok)").ask("?", TEXT, inputs={"given": {key: "a" * length}})
