"""An input may be a text of any length: it acts as the context does, and a run over it goes on and is replayed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rlmbox import RLM, Context, Limits
from rlmbox.errors import ConfigError, ContextError, StoreError
from rlmbox.events import CellExecuted, Event, RunStarted
from rlmbox.record import context_record
from rlmbox.record.sqlite_store import SqliteStore
from rlmbox.sandboxes._texts import placed
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.sandboxes.subset import SubsetSandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, CellLimits, Execution
from runs import TEXT, repl, rlm, said_to
from sandboxes.jail_here import why_no_jail

LIMITS = Limits(cell=CellLimits(inline_limit_chars=1_000))
CONTRACT = "".join(f"{n}. The carrier pays {n * 10} EUR. é\n" for n in range(1, 101))
PRICES = "price,9\n" * 200
BACKENDS: dict[str, Callable[[], Sandbox]] = {
    "local": lambda: LocalSandbox(unsafe_no_isolation=True),
    "jail": JailSandbox,
    "monty": MontySandbox,
    "subset": SubsetSandbox,
}


async def executed(make: Callable[[], Sandbox], code: str, inputs: dict[str, object]) -> tuple[Execution, Sandbox]:
    sandbox = make()
    await sandbox.start(LIMITS.cell, Context.from_text(TEXT), {}, inputs=inputs)
    try:
        return await sandbox.execute(Cell(code)), sandbox
    finally:
        await sandbox.close()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_each_long_input_is_a_handle_of_its_own_and_a_short_one_is_a_str(backend: str) -> None:
    if backend == "jail" and why_no_jail():
        pytest.skip(why_no_jail())
    inputs: dict[str, object] = {
        "contract": Context.from_text(CONTRACT),
        "prices": Context.from_text(PRICES),
        "note": Context.from_text("short"),
        "count": 3,
    }
    code = (
        "[contract[4:15], contract.find('20 EUR'), 'price' in contract, len(prices), prices.count('9'), note.upper(), "
        "count, context[:12], [line for line in contract.splitlines() if ' 990 ' in line]]"
    )
    execution, sandbox = await executed(BACKENDS[backend], code, inputs)
    line = "99. The carrier pays 990 EUR. é"
    place = CONTRACT.find("20 EUR")
    wanted = [CONTRACT[4:15], place, False, len(PRICES), 200, "SHORT", 3, TEXT[:12], [line]]
    assert execution.value == wanted, execution.error
    assert "`contract` and `prices`" in sandbox.notes[-1]


@pytest.mark.parametrize("backend", ["jail", "monty"])
async def test_patterns_go_over_a_long_input_and_errors_name_it(backend: str) -> None:
    if backend == "jail" and why_no_jail():
        pytest.skip(why_no_jail())
    inputs: dict[str, object] = {"contract": Context.from_text(CONTRACT), "prices": Context.from_text(PRICES)}
    code = (
        "import re\n"
        "found = [len(re.findall(r'(\\d+) EUR', contract)), re.search(r'9', prices).start()]\n"
        "found += [m.group(1) for m in re.finditer(r'pays (99\\d) EUR', contract)]\n"
        "print(found)\ncontract % 'x'"
    )
    execution, _ = await executed(BACKENDS[backend], code, inputs)
    assert execution.stdout == "[100, 6, '990']\n", execution.error
    assert execution.error is not None
    said = execution.error.message
    assert f"contract has {len(CONTRACT):,} characters: read a part with contract[a:b]" in said
    assert "context" not in said


async def test_of_texts_that_are_too_long_together_the_longest_are_handles() -> None:
    given = {f"t{n}": Context.from_text("x" * n) for n in (100, 600, 300, 400)}
    texts = await placed(Context.from_text("y" * 150), {**given, "number": 5}, CellLimits(inline_limit_chars=1_000))
    assert {each.name: each.is_handle for each in texts} == {
        "context": False,
        "t100": False,
        "t600": True,
        "t300": False,
        "t400": False,
    }


@pytest.mark.parametrize("sandbox", ["jail", "monty"])
async def test_a_long_str_a_path_and_a_context_are_inputs(sandbox: str, tmp_path: Path) -> None:
    if sandbox == "jail" and why_no_jail():
        pytest.skip(why_no_jail())
    file = tmp_path / "contract.txt"
    file.write_text(CONTRACT, encoding="utf-8")
    asked = rlm(repl("FINAL([len(contract), prices[:5], notes, contract[-3:-1]])"), sandbox=sandbox, limits=LIMITS)
    inputs = {"contract": file, "prices": PRICES, "notes": Context.from_text("by hand")}
    answer = await asked.aask("?", TEXT, inputs=inputs)
    assert answer.value == [len(CONTRACT), "price", "by hand", " é"]
    assert f"str, {len(CONTRACT):,} characters" in said_to(asked.model, 0)


@pytest.mark.parametrize(
    ("value", "kind", "said"),
    [
        (Path("no such file"), ContextError, "no such file"),
        ({"a": Path("x")}, ConfigError, "a .*Path is an input of its own, by its name"),
        ([Context.from_text("x")], ConfigError, "a Context is an input of its own, by its name"),
        (b"bytes", ConfigError, "'x' is not a JSON value"),
    ],
)
async def test_a_file_that_is_not_there_or_lies_within_another_input_is_refused(
    value: object, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        await rlm("FINAL(ok)").aask("?", TEXT, inputs={"x": value})


async def test_a_child_gets_a_long_input_or_a_part_of_it_without_a_copy() -> None:
    sub = ScriptedModel([repl("FINAL([len(context), context[:9]])")] * 4, name="sub")
    code = (
        "[*map(str, [0])]\n"
        "FINAL([rlm_query('a', contract), rlm_query_batched(['b'], [contract]), rlm_query('c', context)])"
    )
    asked = rlm(repl(code), sub=sub, sandbox="monty", limits=LIMITS)
    answer = await asked.aask("?", TEXT, inputs={"contract": CONTRACT})
    whole = f'[{len(CONTRACT)}, "{CONTRACT[:9]}"]'
    assert answer.value == [whole, [whole], f'[{len(TEXT)}, "{TEXT[:9]}"]']


@pytest.mark.skipif(bool(why_no_jail()), reason="no jail here")
async def test_a_view_of_a_long_input_is_what_a_child_is_asked_about() -> None:
    long = "0123456789" * 2_000_000
    sub = ScriptedModel([repl("FINAL(len(context))")] * 2, name="sub")
    code = "FINAL([rlm_query('a', long[1_000_000:]), rlm_query('b', str(long))])"
    limits = Limits(cell=CellLimits(inline_limit_chars=1_000_000))
    answer = await rlm(repl(code), sub=sub, sandbox="jail", limits=limits).aask("?", TEXT, inputs={"long": long})
    assert answer.value == ["19000000", "20000000"]


@pytest.mark.parametrize("reference", ["{'context_slice': [0, 3], 'of': 'no'}", "{'context_slice': [0, 3], 'of': 5}"])
async def test_a_part_of_what_is_no_text_is_refused(reference: str) -> None:
    code = f"try:\n    rlm_query('a', {reference})\nexcept ValueError as error:\n    FINAL(str(error))"
    answer = await rlm(repl(code), sandbox="monty").aask("?", TEXT, inputs={"no": [1]})
    assert "a slice of a long input" in answer.text


def recording(folder: Path, *replies: str) -> RLM:
    return rlm(*replies, store=folder / "runs.db", limits=LIMITS, sandbox="monty")


COUNT = repl("n = contract.count('EUR') + len(prices)\nprint(n)")
TOTAL = 100 + len(PRICES)


async def test_a_run_over_long_inputs_is_resumed_replayed_and_forked(tmp_path: Path) -> None:
    file = tmp_path / "contract.txt"
    file.write_text(CONTRACT, encoding="utf-8")
    first = await recording(tmp_path, COUNT, repl("FINAL(n)")).aask(
        "?", TEXT, inputs={"contract": file, "prices": PRICES}, run_id="one"
    )
    assert first.value == TOTAL
    again = recording(tmp_path, repl("FINAL([n, contract[:2]])"))
    assert (await again.areplay("one")).value == TOTAL
    assert (await again.afork("one", at=2)).value == [TOTAL, "1."]
    events: list[Event] = [*SqliteStore(tmp_path / "runs.db").events("one")]
    store = SqliteStore(tmp_path / "cut.db")
    for event in events[: next(n for n, each in enumerate(events) if isinstance(each, CellExecuted)) + 1]:
        store.write(event)
    await store.sync()
    going_on = rlm(repl("FINAL([n, prices[:5]])"), store=store, sandbox="monty")
    assert (await going_on.aresume("one")).value == [TOTAL, "price"]


async def test_an_input_whose_file_changed_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "contract.txt"
    file.write_text(CONTRACT, encoding="utf-8")
    inputs = {"contract": file, "prices": PRICES}
    asked = recording(tmp_path, COUNT, repl("FINAL(n)"))
    await asked.aask("?", TEXT, inputs=inputs, run_id="one")
    file.write_text(CONTRACT.replace("EUR", "USD"), encoding="utf-8")
    for going_on in (lambda: asked.areplay("one"), lambda: asked.afork("one", at=2)):
        with pytest.raises(ContextError, match=r"contract\.txt has changed since the run began"):
            await going_on()


async def test_a_text_too_large_to_be_kept_is_given_again_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(context_record, "STORED_BYTES", len(TEXT) + len(PRICES))
    asked = recording(tmp_path, COUNT, repl("FINAL(n)"))
    await asked.aask("?", TEXT, inputs={"contract": CONTRACT, "prices": PRICES}, run_id="one")
    assert "the input 'contract' has" in caplog.text
    assert "'prices'" not in caplog.text
    with pytest.raises(StoreError, match=r"the input 'contract' of this run was too large.*inputs=\{'contract': …\}"):
        await asked.areplay("one")
    assert (await asked.areplay("one", inputs={"contract": CONTRACT})).value == TOTAL
    other = recording(tmp_path, "FINAL_VAR(n)")
    assert (await other.afork("one", at=2, inputs={"contract": CONTRACT})).value == TOTAL
    with pytest.raises(ConfigError, match=r"no text 'other' among its inputs; inputs= takes \['contract', 'prices'\]"):
        await asked.areplay("one", inputs={"other": "x"})


async def test_secrets_of_a_long_input_stay_out_of_the_record_and_of_what_a_model_is_shown(tmp_path: Path) -> None:
    secret = "AKIA" + "IOSFODNN7" + "QWERTYU"
    seen: list[Event] = []
    code = repl("at = contract.find('AKIA')\nprint(contract[at - 20:at + 40])")
    asked = recording(tmp_path, code, "FINAL(done)")
    asked_with_hook = rlm(
        code, "FINAL(done)", store=tmp_path / "other.db", limits=LIMITS, sandbox="monty", hooks=[seen.append]
    )
    for each in (asked, asked_with_hook):
        await each.aask("?", TEXT, inputs={"contract": f"{CONTRACT}aws_access_key_id = {secret}\n"}, run_id="one")
        assert secret not in said_to(each.model)
    started = next(event for event in seen if isinstance(event, RunStarted))
    assert "contract" in started.texts
    assert secret not in str(seen)


async def test_a_long_input_is_shown_no_further_than_the_context_would_be() -> None:
    lines = "".join(
        f"clause {n * 7919 % 10_007}: party {n * 104_729 % 9_973} owes {n * 31} EUR by law\n" for n in range(900)
    )
    shown = []
    for context, inputs, name in (
        (lines, {}, "context"),
        (TEXT, {"contract": lines}, "contract"),
        (TEXT, {"contract": {"all": lines}}, "contract['all']"),
    ):
        replies = [repl(f"print({name}[{at}:{at + 5_000}])") for at in range(0, 45_000, 5_000)]
        asked = rlm(*replies, "FINAL(done)", guard="redact", sandbox="monty", limits=LIMITS, direct_below_chars=0)
        await asked.aask("?", context, inputs=inputs)
        said = "".join(message.content for message in asked.model.requests[-1])  # type: ignore[attr-defined]
        shown.append(sum(line in said for line in lines.splitlines()))
        assert "Data exfiltration detected" in said
    assert len(set(shown)) == 1, shown


async def test_rows_of_some_megabytes_are_an_input_in_monty_too() -> None:
    rows = [{"id": n, "name": f"customer {n}", "city": "Bonn", "tags": ["a", "b"]} for n in range(60_000)]
    execution, _ = await executed(MontySandbox, "len(rows) + rows[-1]['id']", {"rows": rows})
    assert execution.value == 119_999
