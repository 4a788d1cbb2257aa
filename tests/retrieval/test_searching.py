"""A session over an index: what code gets, what the model is told, and what is recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlmbox import RLM, Limits
from rlmbox.errors import ConfigError, PriceUnknown, RetrievalError
from rlmbox.events import AttemptFinished, HostCallFinished
from rlmbox.record.journal import MemoryStore
from rlmbox.testing import DictRetriever, HashEmbedder, ScriptedModel
from runs import PENNY, repl, rlm, said_to

TEXTS = {
    "sla.txt": "We promise an uptime of 99.95 % each month. Below it, customers get a tenth of the fee back.",
    "hr.txt": "Holidays are thirty days a year. Call maria.keller@example.com about them.",
    "port.txt": "The harbour master records every vessel that enters the port.",
}
FIELDS = {"sla.txt": {"year": 2024}, "hr.txt": {"year": 2021}, "port.txt": {"year": 2019}}


def library(**options: Any) -> DictRetriever:
    return DictRetriever(TEXTS, metadata=FIELDS, **options)


async def value(code: str, retriever: Any = None, *more: str, **options: Any) -> Any:
    asked = rlm(repl(f"FINAL({code})"), "FINAL(no value)", retriever=retriever or library(), **options)
    return (await asked.aask("?", *more)).value


async def told(code: str, retriever: Any = None, **options: Any) -> str:
    """What the model is told of a cell."""
    asked = rlm(repl(code), "FINAL(ok)", retriever=retriever or library(), **options)
    await asked.aask("?")
    return said_to(asked.model)


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_code_searches_and_reads_without_any_context(sandbox: str) -> None:
    found = await value("[(h['id'], get_document(h['id'], 3, 7)) for h in search('uptime promise')]", sandbox=sandbox)
    assert found == [["sla.txt", "promise"]]


async def test_a_hit_has_all_its_fields() -> None:
    (hit,) = await value("search('uptime')")
    assert hit == {
        "id": "sla.txt", "score": 1.0, "title": "sla.txt", "snippet": TEXTS["sla.txt"], "start": 0,
        "end": len(TEXTS["sla.txt"]), "metadata": {"year": 2024},
    }  # fmt: skip


async def test_the_index_is_described() -> None:
    assert await value("index_info()") == {
        "documents": 3, "passages": 3, "fields": {"year": "number"}, "languages": ["en"], "date_range": None,
    }  # fmt: skip


async def test_a_context_may_be_there_besides() -> None:
    assert await value("[len(context), len(search('port'))]", None, "a text") == [6, 1]


async def test_neither_context_nor_index_is_an_error_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match="retriever='index:PATH'"):
        await rlm("FINAL(x)").aask("?")


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"year": 2021}, ["hr.txt"]),
        ({"year": [2019, 2024]}, ["port.txt", "sla.txt"]),
        ({"year": {"gte": 2020, "lt": 2024}}, ["hr.txt"]),
        ({}, ["hr.txt", "port.txt", "sla.txt"]),
    ],
)
async def test_filters_are_values_lists_and_bounds(filters: dict[str, object], ids: list[str]) -> None:
    query = "holidays harbour uptime"
    assert sorted(await value(f"[h['id'] for h in search({query!r}, filters={filters!r})]")) == ids


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("search('')", "the query is empty"),
        ("search(3)", "query is a str, not int"),
        ("search('x', k=0)", "k is at least 1"),
        ("search('x', k=True)", "k is an integer, not bool"),
        ("search('x', k=500)", "k is at most 200"),
        ("search('x' * 5000)", "more than 4,000"),
        ("search('x', filters={'author': 'me'})", "no field 'author' to filter by; there are year"),
        ("search('x', filters={'year': {'near': 3}})", "bounds of 'year' are gt, gte, lt, lte"),
        ("search('x', filters={'year': None})", "not with NoneType"),
        ("search('x', filters=['year'])", "filters is a dict of fields, not list"),
        ("get_document('nothing')", "nothing"),
        ("get_document('sla.txt', -1)", "start is at least 0"),
        ("get_document('sla.txt', 0, 2_000_000)", "size is at most 1,000,000"),
        ("document_view('sla.txt', 500)", "the document has 92 characters"),
    ],
)
async def test_a_wrong_argument_is_an_error_of_the_cell(call: str, words: str) -> None:
    assert words in await told(call)


async def test_functions_that_a_retriever_lacks_are_not_shown() -> None:
    without = rlm("FINAL(x)", retriever=library())
    having = rlm("FINAL(x)", retriever=library(embedder=HashEmbedder()))
    for asked, shows in ((without, False), (having, True)):
        await asked.aask("?")
        system = asked.model.requests[0][0].content  # type: ignore[attr-defined]
        assert "`search(query, k=10, filters=None)`" in system
        assert ("vector_search" in system, "hybrid_search" in system) == (shows, shows)
    assert "vector_search" in await told("vector_search('x')", library())
    plain = rlm("FINAL(x)")
    await plain.aask("?", "text " * 5_000)
    assert "index_info" not in plain.model.requests[0][0].content  # type: ignore[attr-defined]


async def test_vectors_find_by_meaning_and_both_rankings_are_fused() -> None:
    having = library(embedder=HashEmbedder())
    assert (await value("vector_search('vessels harbours', k=1)", having))[0]["id"] == "port.txt"
    hits = await value("hybrid_search('uptime promised', k=2)", having)
    assert hits[0]["id"] == "sla.txt"
    assert hits[0]["score"] == round(2 / 61, 6)


async def test_the_vector_of_a_query_is_in_the_ledger_and_bought_once() -> None:
    embedder, store = HashEmbedder(name="openai:embedding", price=PENNY, is_local=False), MemoryStore()
    asked = rlm(
        repl("vector_search('uptime'); hybrid_search('uptime')\nFINAL(1)"), store=store,
        retriever=library(embedder=embedder), limits=Limits(cost_limit_usd=100),
    )  # fmt: skip
    answer = await asked.aask("?", run_id="one")
    assert sum(texts == ("uptime",) for texts in embedder.requests) == 1
    lines = [line for line in answer.cost.lines if line.model == "openai:embedding"]
    assert [(line.usage.input_tokens, str(line.cost_usd)) for line in lines] == [(1, "0.01")]
    finished = [each for each in await store.read("one") if isinstance(each, AttemptFinished)]
    assert answer.cost_usd == sum(each.cost_usd for each in finished)


async def test_a_query_that_cannot_be_paid_for_is_not_sent() -> None:
    embedder = HashEmbedder(name="openai:embedding", price=PENNY, is_local=False)
    asked = rlm(
        repl("vector_search('uptime ' * 50)"), "FINAL(x)", retriever=library(embedder=embedder),
        limits=Limits(cost_limit_usd="1.00"),
    )  # fmt: skip
    await asked.aask("?")
    assert "cost_limit_usd" in said_to(asked.model)
    assert not embedder.requests


def test_an_embedder_without_a_price_and_a_cost_limit_do_not_go_together() -> None:
    embedder = HashEmbedder(price=None, is_local=False)
    with pytest.raises(PriceUnknown):
        rlm("FINAL(x)", retriever=library(embedder=embedder), limits=Limits(cost_limit_usd=1)).ask("?")


async def test_the_guard_hides_in_a_query_that_leaves_and_finds_what_it_hid() -> None:
    embedder = HashEmbedder(is_local=False)
    retriever = library(embedder=embedder)
    asked = rlm(
        repl("print(search('holidays')[0]['snippet'])"),
        lambda messages: repl(f"search({placeholder_in(messages)!r}); vector_search('maria.keller@example.com')"),
        "FINAL(ok)",
        retriever=retriever,
    )
    await asked.aask("?")
    assert "maria.keller" not in said_to(asked.model, 1)
    assert ("search", "maria.keller@example.com") in retriever.calls
    assert not any("maria" in text for texts in embedder.requests if len(texts) == 1 for text in texts)


def placeholder_in(messages: Sequence[Any]) -> str:
    said = str(messages[-1].content)
    return said.partition("Call ")[2].partition(" about")[0]


async def test_an_engine_that_fails_is_an_error_of_the_cell_with_the_remedy() -> None:
    said = await told("search('x')", library(error=OSError("connection refused")))
    assert "RetrievalError" in said
    assert "the index memory failed: connection refused; try once more, or go on without it" in said
    caught = "r = ''\ntry:\n    search('x')\nexcept Exception as e:\n    r = 'caught'\nFINAL(r)"
    assert (await rlm(repl(caught), retriever=library(error=RetrievalError("gone"))).aask("?")).value == "caught"


async def test_an_engine_that_hangs_is_given_up() -> None:
    class Hanging(DictRetriever):
        async def search(self, query: str, **_: Any) -> Any:
            import anyio

            await anyio.sleep_forever()

    said = await told("search('x')", Hanging(TEXTS), limits=Limits(tool_timeout_s=0.05))
    assert "the index memory did not answer within 0.05 s" in said


async def test_results_are_bounded_whatever_the_engine_gives() -> None:
    many = {f"d{number}": f"word \ud800 {'x' * 3_000}" for number in range(300)}
    fields = {name: {"note": "y" * 10_000, "odd": object()} for name in many}
    retriever = DictRetriever(many, metadata=fields)
    counted = await value("[len(search('word', k=200)), max(len(str(h)) for h in search('word', k=200))]", retriever)
    assert counted[0] == 200
    assert counted[1] < 10_000


async def test_the_text_of_a_hit_goes_to_models_without_passing_the_sandbox() -> None:
    sub = ScriptedModel([lambda messages: messages[-1].content] * 10, name="sub")
    code = (
        "h = search('uptime')[0]; h['snippet'] = 'forged'\n"
        "FINAL([llm_query('Q1', h), llm_query_batched(['Q2'], [h])[0], ask('Q3', document_view('port.txt', 4, 11))])"
    )
    answer = await rlm(repl(code), sub=sub, retriever=library()).aask("?")
    assert answer.value[0] == f"Q1\n\n{TEXTS['sla.txt']}"  # type: ignore[index]
    assert answer.value[1] == f"Q2\n\n{TEXTS['sla.txt']}"  # type: ignore[index]
    assert answer.value[2].endswith("\n\nharbour")  # type: ignore[index]


async def test_a_hit_is_the_context_of_a_child_which_has_the_index_too() -> None:
    child = ScriptedModel(
        [
            repl("FINAL([context[:10], ctx.document_names()[0], len(search('port'))])"),
            repl("FINAL(ctx.document_names())"),
        ],
        name="sub",
    )
    code = "h = search('uptime')[0]\nFINAL([rlm_query('?', h), rlm_query('?', [h, search('port')[0]])])"
    answer = await rlm(repl(code), sub=child, retriever=library(), direct_below_chars=0).aask("?")
    assert "We promise" in answer.text
    assert "port.txt" in answer.text


async def test_sources_are_checked_against_the_index() -> None:
    code = (
        "h = search('uptime')[0]\nforged = dict(h, id='none.txt')\n"
        "FINAL('99.95 %', sources=[h, forged, document_view('port.txt', 4, 11), dict(h, start=3, end=10)])"
    )
    answer = await rlm(repl(code), retriever=library()).aask("?")
    assert [(s.document, s.start, s.end, s.quote) for s in answer.sources] == [
        ("sla.txt", 0, 92, TEXTS["sla.txt"]),
        ("port.txt", 4, 11, "harbour"),
        ("sla.txt", 3, 10, "promise"),
    ]


async def test_a_source_that_the_index_has_not_is_none_and_the_note_in_place_of_a_text_is_none_either() -> None:
    code = "FINAL(search('uptime')[0]['snippet'][:2], sources=[{'id': 'none.txt', 'start': 0, 'end': 3}, (0, 3)])"
    assert not (await rlm(repl(code), retriever=library()).aask("?")).sources
    assert not (await rlm(repl("FINAL('is in an index, not here')"), retriever=library()).aask("?")).sources
    code = "h = search('uptime')[0]\nFINAL('it', sources=[{'id': h['id'], 'start': 3, 'end': 10}])"
    (source,) = (await rlm(repl(code), retriever=library()).aask("?")).sources
    assert (source.document, source.quote) == ("sla.txt", "promise")


async def test_a_replay_needs_no_index(tmp_path: Path) -> None:
    store = MemoryStore()
    retriever = library(embedder=HashEmbedder())
    code = "h = hybrid_search('uptime')[0]\nprint(llm_query('q', h))\nFINAL(get_document(h['id'], 3, 7), sources=[h])"
    sub = ScriptedModel(["said"], name="sub")
    answer = await rlm(repl(code), sub=sub, retriever=retriever, store=store).aask("?", run_id="one")
    calls = len(retriever.calls)
    again = await rlm(sub=ScriptedModel([], name="sub"), store=store).areplay("one")
    assert (again.text, again.sources) == (answer.text, answer.sources) == ("promise", answer.sources)
    assert len(retriever.calls) == calls
    names = [each.function for each in await store.read("one") if isinstance(each, HostCallFinished)]
    assert names == ["hybrid_search", "llm_query", "get_document"]


async def test_a_name_of_the_users_own_tool_is_not_taken_silently() -> None:
    def search(query: str) -> str:
        return query

    with pytest.raises(ConfigError, match="two functions named 'search'"):
        await rlm("FINAL(x)", retriever=library(), tools=[search]).aask("?")


async def test_stubs_have_the_functions_of_the_index() -> None:
    text = RLM(ScriptedModel([]), retriever=library()).stubs()
    (line,) = (line for line in text.splitlines() if line.startswith(("def search(", "async def search(")))
    assert "(query: str, k: int = ..., filters: dict[str, Any] | None = ...)" in line
