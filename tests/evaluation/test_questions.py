"""Questions are read from a user's files and from those of public sets, and what is wrong in them is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from rlmbox.errors import ConfigError
from rlmbox.evaluation.graders import grader_of
from rlmbox.evaluation.loaders import load_public
from rlmbox.evaluation.questions import Question, load_questions


def written(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def test_json_lines_and_csv_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        '\ufeffid,question,expected,context,grader\none,"What, now?",5 %,docs/a.txt,contains\n'
        'two,Which?,"[""x"", ""y""]",,\nno,Is it?,,,\n'
    )
    lines = written(
        tmp_path / "a.jsonl",
        {"id": "one", "question": "What, now?", "expected": "5 %", "context": "docs/a.txt", "grader": "contains"},
        {"id": "two", "question": "Which?", "expected": ["x", "y"]},
        {"id": "no", "question": "Is it?", "expected": None},
    )
    assert load_questions(tmp_path / "a.csv") == load_questions(lines)
    assert load_questions(lines)[0].context == str(tmp_path / "docs" / "a.txt")


def test_a_file_that_is_not_utf_8_is_one_line_and_a_byte_order_mark_is_none_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,expected\nHow?,5\n", encoding="utf-16")
    with pytest.raises(ConfigError, match="not UTF-8; save it as UTF-8"):
        load_questions(tmp_path / "a.csv")
    row = json.dumps({"input": "x is 7\nWhat is x?", "outputs": ["7"]})
    (tmp_path / "r.jsonl").write_text(row, encoding="utf-8-sig")
    assert load_public("ruler", tmp_path / "r.jsonl", tmp_path)[0].expected == "7"


def test_a_question_comes_back_from_json() -> None:
    one = Question("q", "What?", ["x"], accept=(["y"],), facts={"a": 1})
    assert Question.from_json(json.loads(json.dumps(one.as_json()))) == one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no questions"),
        ("{", "line 1: is not JSON"),
        ("[1]", "line 1: is not an object"),
        ('{"question": "x"}', "line 1: has no expected answer"),
        ('\n{"question": " ", "expected": 1}', "line 2: has no question"),
        ('{"question": "x", "expected": 1, "anser": 2}', "no key 'anser'"),
        ('{"question": "x", "expected": 1, "context": 7}', "context is a text"),
        ('{"id": "a", "question": "x", "expected": 1}\n' * 2, "two questions have the id 'a'"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_questions(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nr,frage,antwort\n1,x,2\n", "row 1: there is no column 'nr', 'frage', 'antwort'; there are id, question"),
        ("question;expected\nx;1\n", "row 1: the fields are separated by ';'"),
        ("question\texpected\nx\t1\n", "row 1: the fields are separated by '.t'"),
        ("question,id\nx,1\n", "row 1: has no column 'expected'"),
        ("id,expected\nx,1\n", "row 1: has no column 'question'"),
        ("question,expected\nx,1\ny\n", "row 3: has fewer fields"),
        ("question,expected\nx,1,2\n", "row 2: has more fields"),
        ("question,expected\n,1\n", "row 2: has no question"),
        ('question,expected\n"x,1\n', "is not CSV"),
        ("question,expected\n", "has no questions"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line_with_its_row(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_questions(tmp_path / "q.csv")


def test_an_empty_answer_in_a_table_is_that_the_text_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text('\ufeffquestion,expected\n\n"two\nlines",\n', encoding="utf-8")
    [question] = load_questions(tmp_path / "q.csv")
    assert (question.question, question.expected) == ("two\nlines", None)


def test_ruler(tmp_path: Path) -> None:
    path = written(
        tmp_path / "vt.jsonl",
        {"index": 0, "input": "VAR A = 1\nVAR B = A\nFind all variables of 1.", "outputs": ["A", "B"], "length": 40},
        {"index": 1, "input": "x is 7\nWhat is x?", "outputs": ["7"], "length": 10},
    )
    first, second = load_public("ruler", path, tmp_path)
    assert (first.question, first.expected, first.grader) == ("Find all variables of 1.", ["A", "B"], "contains:all")
    assert Path(first.context).read_text() == "VAR A = 1\nVAR B = A"
    assert (second.expected, second.grader, second.id) == ("7", "contains", "vt/1")


def test_a_question_of_ruler_over_documents_has_several_wordings_of_one_answer(tmp_path: Path) -> None:
    said = "Answer the question based on the given documents. Only give me the answer."
    asked = f"{said}\n\nDocument 1:\nThe Normans.\n\n{said}\n\nQuestion: Where is Normandy?"
    path = tmp_path / "qa_1" / "validation.jsonl"
    path.parent.mkdir()
    [found] = load_public(
        "ruler", written(path, {"index": 3, "input": asked, "outputs": ["France", "in France"]}), tmp_path
    )
    assert (found.question, found.suite, found.id) == ("Question: Where is Normandy?", "ruler:qa_1", "qa_1/3")
    assert (found.expected, found.accept, found.grader) == ("France", ("in France",), "contains")


def test_longbench_1_and_2(tmp_path: Path) -> None:
    one = {
        "input": "Who?",
        "context": "Ada did.",
        "answers": ["Ada", "Ada L."],
        "dataset": "qasper",
        "_id": "x",
        "all_classes": None,
    }
    two = {
        "_id": "y",
        "domain": "QA",
        "question": "Who?",
        "context": "Ada did.",
        "answer": "B",
        **{f"choice_{c}": c * 2 for c in "ABCD"},
    }
    trec = {**one, "dataset": "trec", "_id": "z", "all_classes": ["Ada", "Bob"]}
    first, second, third = load_public("longbench", written(tmp_path / "l.jsonl", one, two, trec), tmp_path)
    assert (first.expected, first.accept, first.suite) == ("Ada", ("Ada L.",), "longbench:qasper")
    assert (first.grader, second.grader, third.grader) == ("f1", "normalised", "contains")
    assert (second.expected, second.accept) == ("B", ("(B)", "The correct answer is (B)"))
    assert "(C) CC" in second.question
    assert first.context == second.context


def test_oolong(tmp_path: Path) -> None:
    row = {
        "id": 4,
        "context_window_text": "text",
        "context_window_text_with_labels": "spam: text",
        "question": "How many?",
    }
    found = load_public(
        "oolong",
        written(tmp_path / "o.jsonl", {**row, "answer": "[12]"}, {**row, "id": 5, "answer": "['spam']"}),
        tmp_path,
    )
    assert [each.expected for each in found] == [12, "spam"]
    assert Path(found[0].context).read_text() == "text"


@pytest.mark.parametrize(
    ("answer", "kind", "said", "score"),
    [
        ("[datetime.date(2023, 5, 1)]", "ANSWER_TYPE.DATE", "Date: May 1, 2023", 1.0),
        ("[datetime.date(2023, 5, 1)]", "ANSWER_TYPE.DATE", "2023-05-01", 1.0),
        ("[datetime.date(2023, 5, 1)]", "ANSWER_TYPE.DATE", "2023-05-11", 0.0),
        ("['more common than']", "ANSWER_TYPE.COMPARISON", "Answer: spam is more common than ham", 1.0),
        ("['same frequency as']", "ANSWER_TYPE.COMPARISON", "Answer: spam is more common than ham", 0.0),
        ("['numeric value']", "ANSWER_TYPE.LABEL", "Label: numeric value", 1.0),
        ("[76063]", "ANSWER_TYPE.USER", "User: 76063", 1.0),
        ("[12]", "ANSWER_TYPE.NUMERIC", "Answer: 12", 1.0),
        ("['January 2023']", "ANSWER_TYPE.MONTH_YEAR", "Answer: January 2023", 1.0),
        ("84", None, "\\boxed{84}", 1.0),
        ("Vax, Vex", None, "Vex\nVax", 1.0),
        ("Vex", None, "\\boxed{Vex}", 1.0),
    ],
)
def test_answers_of_oolong_are_graded_in_the_form_that_it_asks_for(
    answer: str, kind: str | None, said: str, score: float, tmp_path: Path
) -> None:
    row = {"id": 1, "context_window_text": "text", "question": "?", "answer": answer}
    given = row if kind is None else {**row, "answer_type": kind}
    [found] = load_public("oolong", written(tmp_path / "o.jsonl", given), tmp_path)
    grade = grader_of(found, "", None).score
    assert grade is not None
    assert grade(None, said, found) == score


def test_browsecomp_plus(tmp_path: Path) -> None:
    row = {
        "query_id": "9",
        "query": "Who?",
        "answer": "Ada",
        "gold_docs": [{"docid": "../../evil", "text": "Ada."}],
        "negative_docs": [{"docid": "b", "text": "Bob."}],
    }
    [found] = load_public("browsecomp-plus", written(tmp_path / "b.jsonl", row), tmp_path)
    files = sorted(path.name for path in Path(found.context).glob("*.txt"))
    assert (found.grader, files) == ("judge", [".._.._evil.txt", "b.txt"])
    assert Path(found.context).is_relative_to(tmp_path)


def test_locomo(tmp_path: Path) -> None:
    turn = {"speaker": "Ann", "dia_id": "D1:1", "text": "Hi", "blip_caption": "a cat"}
    sample = {
        "sample_id": "conv-1",
        "conversation": {"session_2": [turn], "session_1": [turn], "session_1_date_time": "May", "speaker_a": "Ann"},
        "qa": [
            {"question": "When?", "answer": 2022, "category": 2, "evidence": ["D1:1"]},
            {"question": "Why?", "adversarial_answer": "x", "category": 5},
            {"question": "What?", "answer": "tea, toast", "category": 1},
            {"question": "Would she?", "answer": "Likely no; she is ill", "category": 3},
        ],
    }
    path = tmp_path / "locomo10.json"
    path.write_text(json.dumps([sample]))
    first, second, *others = load_public("locomo", path, tmp_path)
    assert (first.expected, first.grader, second.expected) == ("2022", "f1:stem", None)
    assert [(each.expected, each.grader) for each in others] == [("tea, toast", "f1:items"), ("Likely no", "f1:stem")]
    assert Path(first.context).read_text().startswith("== session_1, May ==\nAnn: Hi [picture: a cat]\n\n== session_2")


@pytest.mark.parametrize("form", ["ruler", "longbench", "oolong", "browsecomp-plus", "locomo"])
@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "nonsense", '["x"]'])
def test_a_file_of_another_form_is_one_line(form: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"is not a file of|has no questions|is not JSON"):
        load_public(form, path, tmp_path)
