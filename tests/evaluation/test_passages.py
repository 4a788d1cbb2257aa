"""Passages come from an index where the arm has one, by words and by meaning, and the vector is on the ledger."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from evaluations import PRICE, evaluate
from rlmbox.evaluation.passages import RetrievalArm
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.report import report_of
from rlmbox.testing import DictRetriever, HashEmbedder, ScriptedModel

KEY = "sk-proj-4fK9dLq2ZxV7bN1mC8tR5wYpH3sJ6gAe0uXoQiTz"
DOCUMENTS = {"a.txt": "Late delivery costs 5 % of the price.", "b.txt": "A fine is due for what arrives after its day."}


ASKED = [Question("q", "What does late delivery cost?", "5 %", text="The text is in the index.", grader="contains")]


def test_passages_of_an_index_are_sent_in_place_of_the_text(tmp_path: Path) -> None:
    model = ScriptedModel(["5 %"] * 2, price=PRICE)
    arm = RetrievalArm(model, retriever=DictRetriever(DOCUMENTS), k=1)
    recorded = evaluate(tmp_path, ASKED, [arm], repeats=2)
    assert report_of(recorded)["arms"]["retrieval"]["right"] == 2
    for request in model.requests:
        assert "[a.txt, characters 0 to" in request[-1].content
        assert DOCUMENTS["a.txt"] in request[-1].content
        assert "in the index" not in request[-1].content.split("Answer from", 1)[1]


def test_with_vectors_both_rankings_count_and_the_vector_is_paid_for_once(tmp_path: Path) -> None:
    model = ScriptedModel(["5 %"] * 2, price=PRICE)
    embedder = HashEmbedder(price=PRICE, is_local=False)
    arm = RetrievalArm(model, retriever=DictRetriever(DOCUMENTS, embedder=embedder), k=2)
    assert arm.settings["embedder"] == "hash"
    asked = [replace(ASKED[0], question=f"Who has the key {KEY} and what is late?")]
    recorded = evaluate(tmp_path, asked, [arm], repeats=2, concurrency=1)
    assert DOCUMENTS["b.txt"] in model.requests[0][-1].content
    [(sent,)] = [each for each in embedder.requests if "late?" in each[0]]
    assert KEY not in sent
    first, second = (each.outcome.cost_usd for each in sorted(recorded.results, key=lambda each: each.repeat))
    assert first > second > Decimal(0)
