"""What code in a sandbox may call: every argument is hostile, every result is JSON and bounded."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from rlmbox.context import Context, repl
from rlmbox.context.repl import repl_functions
from rlmbox.types import HostFunction

TEXT = "".join(f"line {i}: ação {i * i}\n" for i in range(300))


@pytest.fixture(scope="module")
def context() -> Context:
    return Context.from_documents([("notes/a.txt", TEXT), ("b.md", "# Title\nthe answer: 42\n")])


@pytest.fixture(scope="module")
def table(context: Context) -> dict[str, HostFunction]:
    return {function.name: function for function in repl_functions(context)}


CALLS: dict[str, list[Any]] = {
    "ctx.metadata": [],
    "ctx.get_schema": [],
    "ctx.slice": [3, 40],
    "ctx.slice_view": [3, 40],
    "ctx.find": ["ação"],
    "ctx.search": [r"\bação \d+"],
    "ctx.count": ["ação"],
    "ctx.tally": [r"\w+"],
    "ctx.rank": ["answer"],
    "ctx.read_chunk": [5, 30],
    "ctx.snippet": [50, 20],
    "ctx.lines": [1, 3],
    "ctx.page": [0],
    "ctx.num_pages": [],
    "ctx.chunk": [1000, 10],
    "ctx.chunk_documents": [1],
    "ctx.num_documents": [],
    "ctx.document_names": [0, 5],
    "ctx.document_lengths": [],
    "ctx.get_document": ["b.md"],
    "peek": [10],
    "tail": [10],
    "lenP": [],
    "extract_after": ["answer:"],
    "pick_first_answer": [["unknown", "Lisbon"]],
}


def test_the_table_has_every_name(table: dict[str, HostFunction]):
    assert set(table) == set(CALLS)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_function_gives_json_and_explains_itself_in_a_line(table: dict[str, HostFunction], name: str):
    function = table[name]
    json.dumps(function.call(*CALLS[name]), allow_nan=False)
    assert not function.is_async
    assert function.summary.endswith(".")
    assert len(function.summary) < 130
    assert function.signature.startswith(f"{name}(")
    assert "self" not in function.signature


def test_the_functions_give_what_the_context_gives(context: Context, table: dict[str, HostFunction]):
    call: dict[str, Callable[..., Any]] = {name: function.call for name, function in table.items()}
    text = context.text()
    assert call["ctx.slice"](-20, None) == text[-20:]
    assert call["ctx.slice"](5, 10**30) == text[5:]
    assert call["ctx.read_chunk"](-5) == text[-5:]
    assert call["ctx.read_chunk"](0, 10**30) == text
    assert call["ctx.snippet"](100, 10**30) == text
    assert call["ctx.lines"](1, 2) == "line 0: ação 0\n"
    assert call["ctx.find"]("ação", max_matches=2) == context.find("ação", max_matches=2)
    assert call["ctx.search"]("AÇÃO", 2, 10, False) == context.search("AÇÃO", 2, 10, False)
    assert call["ctx.count"]("ação") == 300
    assert call["ctx.tally"]("(?:ação|line) ", 1) == context.tally("(?:ação|line) ", 1) == {"ação ": 300}
    assert call["ctx.rank"]("the answer", 1) == context.rank("the answer", 1)
    assert call["ctx.rank"]("answer")[0]["document"] == "b.md"
    assert call["ctx.get_schema"]() == context.get_schema()
    assert call["ctx.get_schema"]("b.md") == context.get_schema(1)
    assert "".join(call["ctx.page"](n) for n in range(call["ctx.num_pages"]())) == text
    assert call["ctx.page"](-1) == context.page(-1)
    assert call["ctx.chunk"](700, 7) == context.chunk(700, 7)
    assert call["ctx.chunk_documents"](2) == [text]
    assert call["ctx.num_documents"]() == 2
    assert call["ctx.document_names"]() == ["notes/a.txt", "b.md"]
    assert call["ctx.document_names"](-1, 5) == ["b.md"]
    assert call["ctx.document_lengths"]() == context.document_lengths()
    assert call["ctx.get_document"]("a.txt") == TEXT
    assert call["ctx.get_document"](1) == "# Title\nthe answer: 42\n"
    assert call["peek"]() == text[:2000]
    assert call["peek"](-3) == ""
    assert call["tail"](7) == text[-7:]
    assert call["tail"](0) == ""
    assert call["lenP"]() == len(text)


@pytest.mark.parametrize(
    ("marker", "max_len", "expected"),
    [("answer:", 128, "42"), ("the ", 6, "answer"), ("line 299:", 5, "ação"), ("absent", 5, None), ("42\n", 9, "")],
)
def test_extract_after_gives_the_stripped_text_behind_a_marker(table, marker: str, max_len: int, expected: str | None):
    assert table["extract_after"].call(marker, max_len) == expected


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([], None),
        (["", "  ", None], None),
        (["Unknown", "not found.", "N/A", "none", "I don\u2019t know", "**Not mentioned**", "Lisbon", "x"], "Lisbon"),
        (["None of them paid"], "None of them paid"),
        ([[], {}, 0], 0),
        ([{"a": 1}], {"a": 1}),
        (["  Porto "], "  Porto "),
    ],
)
def test_the_first_real_answer_is_picked(table, answers: list[object], expected: object):
    assert table["pick_first_answer"].call(answers) == expected


INTEGERS = {
    ("ctx.slice", 0),
    ("ctx.slice", 1),
    ("ctx.read_chunk", 0),
    ("ctx.read_chunk", 1),
    ("ctx.snippet", 0),
    ("ctx.snippet", 1),
    ("ctx.lines", 0),
    ("ctx.lines", 1),
    ("ctx.page", 0),
    ("ctx.chunk", 0),
    ("ctx.chunk", 1),
    ("ctx.chunk_documents", 0),
    ("ctx.document_names", 0),
    ("ctx.document_names", 1),
    ("peek", 0),
    ("tail", 0),
    ("ctx.find", 3),
    ("ctx.search", 1),
    ("ctx.search", 2),
    ("ctx.rank", 1),
    ("extract_after", 1),
}
FILL = {"ctx.find": [False, True, 5], "ctx.search": [5, 10], "ctx.rank": [3], "extract_after": [9]}
HOSTILE = ["1", 1.5, True, [1], {"a": 1}, float("inf")]


@pytest.mark.parametrize(("name", "place"), sorted(INTEGERS))
@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_what_is_no_integer_is_a_type_error(table, name: str, place: int, value: object):
    arguments: list[object] = [*CALLS[name], *FILL.get(name, [])]
    arguments[place] = value
    with pytest.raises(TypeError, match=f"must be an integer, not {type(value).__name__}") as caught:
        table[name].call(*arguments)
    assert str(caught.value).endswith(": use // to divide") == isinstance(value, float)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("ctx.find", [3], "pattern must be a string, not int"),
        ("ctx.find", [None], "pattern must be a string, not NoneType"),
        ("ctx.find", ["a", "yes"], "regex must be True or False, not str"),
        ("ctx.find", ["a", False, 1], "case_sensitive must be True or False, not int"),
        ("ctx.find", ["a", False, True, "9"], "max_matches must be an integer"),
        ("ctx.search", [["a"]], "pattern must be a string"),
        ("ctx.search", ["a", 5, None], "window must be an integer, not NoneType"),
        ("ctx.count", [b"a"], "pattern must be a string, not bytes"),
        ("ctx.get_document", [None], "i must be an index or a name, not NoneType"),
        ("ctx.get_document", [True], "i must be an index or a name, not bool"),
        ("ctx.get_document", [1.0], "i must be an index or a name, not float"),
        ("ctx.get_schema", [["a"]], "document must be an index or a name, not list"),
        ("ctx.get_schema", [False], "document must be an index or a name, not bool"),
        ("ctx.rank", [3], "query must be a string, not int"),
        ("ctx.rank", ["a", None], "k must be an integer, not NoneType"),
        ("extract_after", [1], "marker must be a string"),
        ("pick_first_answer", ["unknown"], "answers must be a list, not str"),
        ("peek", [None], "n must be an integer"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(table, name: str, arguments: list[object], message: str):
    with pytest.raises(TypeError, match=message):
        table[name].call(*arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("ctx.find", [""], ValueError),
        ("ctx.find", ["a", False, True, -1], ValueError),
        ("ctx.search", ["("], ValueError),
        ("ctx.search", ["a", 5, -1], ValueError),
        ("ctx.search", ["x" * 2_000_000], ValueError),
        ("ctx.read_chunk", [0, -1], ValueError),
        ("ctx.chunk", [0], ValueError),
        ("ctx.chunk", [10, 10], ValueError),
        ("ctx.chunk_documents", [-1], ValueError),
        ("ctx.document_names", [0, -1], ValueError),
        ("ctx.page", [10**9], IndexError),
        ("ctx.page", [-(10**5_000)], IndexError),
        ("ctx.get_schema", [10**5_000], IndexError),
        ("ctx.get_schema", ["no such"], KeyError),
        ("ctx.rank", [""], ValueError),
        ("ctx.rank", ["?!"], ValueError),
        ("ctx.rank", ["a", 0], ValueError),
        ("ctx.rank", ["a", 10**5_000], ValueError),
        ("ctx.rank", ["x" * 1_000_000], ValueError),
        ("ctx.find", ["a", False, True, -(10**5_000)], ValueError),
        ("ctx.search", ["a", 5, -(10**5_000)], ValueError),
        ("ctx.find", ["\ud800(", True], ValueError),
        ("ctx.search", ["(?=a)"], ValueError),
        ("ctx.search", [r"(a)\1"], ValueError),
        ("ctx.chunk", [10, -1], ValueError),
        ("ctx.snippet", [0, -1], ValueError),
        ("ctx.get_document", [10**30], IndexError),
        ("ctx.get_document", ["no such"], KeyError),
        ("ctx.get_document", ["x" * 1_000_000], KeyError),
        ("extract_after", ["a", -1], ValueError),
        ("extract_after", [""], ValueError),
    ],
)
def test_a_value_that_makes_no_sense_is_pythons_own_error(table, name: str, arguments: list[object], error: type):
    with pytest.raises(error) as caught:
        table[name].call(*arguments)
    assert len(str(caught.value)) < 1_000
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ctx.slice", [0]),
        ("ctx.read_chunk", [0, 2000]),
        ("ctx.snippet", [1000, 2001]),
        ("ctx.lines", [0]),
        ("ctx.chunk", [100]),
        ("ctx.chunk", [100, 99]),
        ("ctx.chunk_documents", [1]),
        ("ctx.get_document", ["a.txt"]),
        ("peek", [2000]),
        ("tail", [2000]),
        ("extract_after", ["line", 2000]),
    ],
)
def test_a_result_of_too_many_characters_is_refused_with_the_way_around(table, monkeypatch, name, arguments):
    monkeypatch.setattr(repl, "MAX_RESULT_CHARS", 1000)
    with pytest.raises(ValueError, match=r"more than 1000 characters: take parts with ctx\.slice"):
        table[name].call(*arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("ctx.chunk", [1]), ("ctx.chunk_documents", [1]), ("ctx.document_names", [0, 9]), ("ctx.document_lengths", [])],
)
def test_a_list_of_too_many_items_is_refused(table, monkeypatch, name: str, arguments: list[object]):
    monkeypatch.setattr(repl, "MAX_ITEMS", 1)
    with pytest.raises(ValueError, match=r"more than 1 |at most 1"):
        table[name].call(*arguments)


INTEGER_CALLS = sorted({(name, place) for name, place in INTEGERS if name not in ("ctx.chunk", "ctx.chunk_documents")})


@pytest.mark.parametrize(("name", "place"), INTEGER_CALLS)
@pytest.mark.parametrize("value", [10**5_000, -(10**5_000), 2**63, -(2**63) - 1, 0, -1], ids=list("abcdef"))
def test_any_integer_is_answered_or_is_pythons_own_error_in_a_line(table, name: str, place: int, value: int):
    arguments: list[object] = [*CALLS[name], *FILL.get(name, [])]
    arguments[place] = value
    message = "-"
    try:
        json.dumps(table[name].call(*arguments))
    except (ValueError, IndexError) as error:
        message = str(error)
    assert 0 < len(message) < 200
    assert "4300" not in message  # Python's own bound of the digits that it prints


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "a" * 9_999 + "b"])
def test_a_pattern_that_explodes_elsewhere_is_answered(pattern: str):
    # The test's own time limit would end a backtracking engine's hours.
    functions = {each.name: each.call for each in repl_functions(Context.from_text("a" * 200_000 + "!"))}
    for name in ("ctx.search", "ctx.find", "ctx.count"):
        functions[name](pattern, **({} if name == "ctx.search" else {"regex": True}))


@pytest.mark.parametrize("name", ["ctx.find", "ctx.search"])
def test_a_list_of_hits_that_was_cut_says_so_and_another_does_not(table, monkeypatch: pytest.MonkeyPatch, name: str):
    assert "cut" not in table[name].call("ação", max_matches=300)[-1]
    assert "cut" not in table[name].call("ação", max_matches=5)[-1]
    monkeypatch.setattr(repl, "MAX_TOTAL_CHARS", 1_000)
    hits = table[name].call("ação", max_matches=10_000)
    assert hits[-1]["cut"].startswith("there may be more")
    assert all("cut" not in hit for hit in hits[:-1])


def test_hits_beyond_the_most_that_are_given_are_said_to_be_there():
    context = Context.from_text("a" * 20_000)
    find: Callable[..., Any] = {each.name: each.call for each in repl_functions(context)}["ctx.find"]
    hits = find("a", max_matches=15_000)
    assert (len(hits), "cut" in hits[-1]) == (10_000, True)
    assert "cut" not in find("a", max_matches=10_000)[-1]
    assert find("b", max_matches=15_000) == []


def test_only_ranking_is_recorded_for_a_replay(table: dict[str, HostFunction]):
    assert [name for name, function in table.items() if not function.pure] == ["ctx.rank"]


def test_signatures_are_plain(table: dict[str, HostFunction]):
    assert table["ctx.slice"].signature == "ctx.slice(start: int, end: int | None = None) -> str"
    assert table["peek"].signature == "peek(n: int = 2000) -> str"
    for function in table.values():
        for parameter in inspect.signature(function.call).parameters.values():
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
