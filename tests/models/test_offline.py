"""The extractive baseline: it quotes what answers best, says so when nothing does, and is deterministic."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox import RLM, Context
from rlmbox.models.extract import best_sentences, question_phrases, question_words, stem
from rlmbox.models.offline import OfflineModel
from rlmbox.testing import DictRetriever, check_model
from rlmbox.types import Message

STORY = """\
The lighthouse at Cape Verity was built in 1871 by Ana Duarte.

Its lamp burned oil until 1924. Since then it is electric, and it can be seen from 30 miles.

The keeper's cottage was sold to a family of bakers.
"""


async def read(prompt: str) -> str:
    return (await OfflineModel().complete([Message("user", prompt)], max_output_tokens=100)).text


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who built the lighthouse?", "built in 1871 by Ana Duarte"),
        ("From how many miles can it be seen?", "30 miles"),
        ("Who bought the cottage?", "family of bakers"),
        ("What happened in 1924?", "burned oil until 1924"),
    ],
)
async def test_the_sentence_that_answers_is_quoted(question: str, expected: str) -> None:
    answer = await RLM().aask(question, STORY)
    assert expected in answer.text
    assert answer.sources
    for source in answer.sources:
        assert STORY[source.start : source.end] == source.quote
    assert answer.cost_usd == 0
    assert not answer.cost.unknown


@pytest.mark.parametrize("sandbox", ["jail", "monty"])
async def test_an_index_is_searched_and_its_passages_are_the_sources(sandbox: str) -> None:
    pages = {f"page{i}.txt": f"Page {i} speaks of an index, a text and nothing much at all. " * 20 for i in range(50)}
    index = DictRetriever({**pages, "story.txt": STORY})
    rlm = RLM(retriever=index, sandbox=sandbox)
    answer = await rlm.aask("Who built the lighthouse?")
    assert "built in 1871 by Ana Duarte" in answer.text
    assert [source.document for source in answer.sources] == ["story.txt"]
    assert "Ana Duarte" in answer.sources[0].quote
    assert "built in 1871" in (await rlm.aask("Who built the lighthouse?", "A text of a mill.")).text
    assert (await rlm.aask("Quando nasceu Camões?")).text == "The text does not say."
    assert "[SYSTEM" not in (await rlm.aask("How many times does the word lighthouse occur?")).text


async def test_a_text_that_says_nothing_is_said_to() -> None:
    answer = await RLM().aask("Quando nasceu Camões?", STORY)
    assert answer.text == "The text does not say."
    assert answer.sources == ()


async def test_a_needle_is_found_in_many_documents_with_its_name() -> None:
    pages = [(f"page{i:03d}.txt", f"Page {i} speaks of nothing much at all. " * 40) for i in range(200)]
    pages[137] = ("page137.txt", pages[137][1] + "The access code of the vault is 8841.\n")
    answer = await RLM().aask("What is the access code of the vault?", Context.from_documents(pages))
    assert "8841" in answer.text
    assert "page137.txt" in answer.text
    assert answer.sources[0].document == "page137.txt"
    assert answer.turns == 4


async def test_the_same_question_gets_the_same_answer() -> None:
    first, second = [await RLM().aask("Who built the lighthouse?", STORY) for _ in range(2)]
    assert (first.text, first.sources, first.usage) == (second.text, second.sources, second.usage)


@pytest.mark.parametrize("question", ['Who said "it\'s {burned}" \\ twice?', "¿Qué?", "```repl\n1/0\n```", "a" * 3_000])
async def test_no_question_breaks_the_cells(question: str) -> None:
    answer = await RLM().aask(question, STORY)
    assert answer.complete
    assert "could not be searched" not in answer.text


async def test_the_reader_gives_the_place_that_the_text_names() -> None:
    prompt = "Question: Who built it?\n\n[a.txt, line 3]\nIt was built by Ana.\n\n[b.txt, line 9]\nIt was sold."
    assert await read(prompt) == "It was built by Ana. [a.txt, line 3]"


async def test_the_reader_says_when_the_text_does_not_answer() -> None:
    assert await read("Question: Who wrote Faust?\n\nThe lamp burned oil.") == "NOT FOUND"
    assert await read("Question: Who wrote Faust?") == "NOT FOUND"


async def test_it_meets_the_contract_of_models() -> None:
    # It answers before anyone could cancel it.
    await check_model(OfflineModel, except_for=["can be cancelled"])


def test_words_and_phrases_of_a_question() -> None:
    question = 'Which module defines class OrderedDict or "exact words"?'
    assert question_words(question) == ["module", "defines", "class", "OrderedDict", "exact", "words"]
    assert "class OrderedDict" in question_phrases(question)
    assert "exact words" in question_phrases(question)


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=200), st.text(max_size=2_000))
def test_any_question_and_text_give_sentences_of_the_text(question: str, text: str) -> None:
    flat = " ".join(text.split())
    for sentence in best_sentences(question, text):
        assert sentence.text in flat
        assert sentence.score > 0


async def test_the_documents_of_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "b.py").write_text("class Counter(dict):\n    pass\n")
    answer = await RLM().aask("Where is class Counter defined?", Context.from_path(tmp_path))
    assert answer.text.startswith("class Counter(dict): ")
    assert answer.sources[0].document == "b.py"


NOTES = Context.from_documents(
    [
        ("a.txt", "The term is 36 months. Mr. Roe signs, i.e. the owner. The fee is 4.5 percent, see No. 7 below.\n"),
        (
            "b.txt",
            "# Terms\n\nA pump is a machine that moves water. The pump house burned in 1931 because a lamp fell.\n",
        ),
        ("c.py", "from x import Pump\n\n\nclass Pump(Machine):\n    size = 3\n\n\ndef run_pump(pump): ...\n"),
    ]
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ('How many times does "pump" occur?', '"pump" occurs 4 times, 3 of them as a whole word'),
        ("How often is Mr. Roe mentioned?", '"Mr. Roe" occurs 1 time,'),
        ("How many files mention Pump?", '2 of 3 documents have "Pump".'),
        ("How many files are there?", "There are 3 documents."),
        ("How many documents does it have?", "There are 3 documents."),
        ("What is a pump?", "A pump is a machine that moves water. [b.txt]"),
        ("Why did the pump house burn?", "The pump house burned in 1931 because a lamp fell. [b.txt]"),
        ("When did the house burn?", "The pump house burned in 1931"),
        ("Who signs?", "Mr. Roe signs, i.e. the owner. [a.txt]"),
        ("How high is the fee?", "The fee is 4.5 percent, see No. 7 below. [a.txt]"),
        ("Which module defines class Pump?", "class Pump(Machine): [c.py]"),
        ("Where is run_pump defined?", "def run_pump(pump): ... [c.py]"),
        ("Who wrote the novel Ulysses?", "The text does not say."),
        ("How many employees does the owner have?", "The text does not say."),
        ("What is the telephone number of Mr. Roe?", "The text does not say."),
    ],
)
async def test_the_first_line_answers(question: str, expected: str) -> None:
    answer = await RLM().aask(question, NOTES)
    assert answer.text.split("\n")[0].startswith(expected)


@pytest.mark.parametrize(
    "question", ["?!", "?", "How many", 'How many times does "" occur?', "how many times does x" + " y" * 500]
)
async def test_an_odd_question_has_an_answer(question: str) -> None:
    answer = await RLM().aask(question, NOTES)
    assert answer.complete
    assert "could not be searched" not in answer.text


def test_words_have_one_stem_in_every_form() -> None:
    for forms in (("build", "built", "builds", "building"), ("create", "created", "creates", "creating", "creation")):
        assert len({stem(word) for word in forms}) == 1
    assert stem("OrderedDict") == "ordereddict"
    assert stem("class") != stem("clas")
