"""Readers for the published files of public benchmarks. Nothing is downloaded: the files are the user's.

| set | file | read as |
| --- | --- | --- |
| RULER | JSON Lines: `index, input, outputs, length` | `contains:all`; `contains` any for questions over documents |
| LongBench | JSON Lines: `input, context, answers, dataset, all_classes, _id` | `f1`; classes and code `contains` |
| LongBench 2 | JSON Lines: `question, context, choice_A` to `choice_D`, `answer` | the letter |
| OOLONG | JSON Lines: `id, context_window_text, question, answer, answer_type` | by `answer` and its type |
| BrowseComp-Plus | JSON Lines, decrypted: `query_id, query, answer, gold_docs, evidence_docs, negative_docs` | judge |
| LoCoMo | one JSON list: `sample_id, conversation, qa` | `f1:stem`, of category 1 `f1:items`, of category 5 `silent` |

Grading follows the authors: in OOLONG each unit of error in a number takes a quarter of the score
(`number:decay=0.75`), and for a list the share that was found counts (`set:recall`). These differences remain: strings
that OOLONG and RULER compare exactly are searched as whole words, ignoring case; OOLONG's lists and numbers need not be
in a box; LongBench's summaries are graded by single words (ROUGE-1 instead of ROUGE-L), its Chinese by characters, and
its code by whether the line occurs in the answer instead of by edit distance. LoCoMo accepts two phrases for what the
text does not say, `silent` more.
"""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.evaluation.questions import Question, checked_ids, file_text

_Row = Mapping[str, Any]
_SEVERAL, _REASONED, _UNANSWERABLE = 1, 3, 5  # LoCoMo's categories: several answers, open-ended, adversarial
_RULER_QA = "Answer the question based on the given documents."
_LONGBENCH_FOUND = ("trec", "lsht", "passage_", "lcc", "repobench")  # classes, numbers of paragraphs, and code
_SPLITS = ("validation", "test", "train")
_DATE = re.compile(r"datetime\.date\((\d+), (\d+), (\d+)\)")


class _TextFolder:
    """A folder for the texts of a set; texts that questions share are written once."""

    def __init__(self, folder: Path, form: str) -> None:
        self._folder = folder / "texts" / form

    def path_of(self, text: str) -> str:
        """Return the path of the file of a text, writing it if needed."""
        data = text.encode("utf-8", "replace")
        path = self._folder / f"{hashlib.sha256(data).hexdigest()[:24]}.txt"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                new = path.with_suffix(".new")
                new.write_bytes(data)
                new.replace(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
        return str(path.absolute())

    def folder_of(self, documents: Iterable[tuple[str, str]]) -> str:
        """Return the path of a folder of named documents, writing it if needed."""
        given = [(re.sub(r"[^\w.-]", "_", name)[:80] or "document", text) for name, text in documents]
        digest = hashlib.sha256(json.dumps(given).encode()).hexdigest()[:24]
        folder = self._folder / digest
        whole = folder / ".whole"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not whole.exists():
                for name, text in given:
                    (folder / f"{name}.txt").write_text(text, encoding="utf-8", errors="replace")
                whole.touch()
        except OSError as error:
            raise ConfigError(f"{folder} cannot be written: {error.strerror}") from None
        return str(folder.absolute())


def _ruler(rows: Iterable[_Row], texts: _TextFolder, name: str) -> Iterator[Question]:
    for number, row in enumerate(rows):
        text, asked = _divided(str(row["input"]))
        outputs = [str(each) for each in row["outputs"]]
        # For a question over documents (SQuAD, HotpotQA) they are alternative wordings of one answer.
        wants_all = len(outputs) > 1 and _RULER_QA not in row["input"]
        yield Question(
            id=f"{name}/{row.get('index', number)}",
            question=asked,
            expected=outputs if wants_all else outputs[0],
            context=texts.path_of(text),
            accept=() if wants_all else tuple(outputs[1:]),
            grader="contains:all" if wants_all else "contains",
            suite=f"ruler:{name}",
        )


def _divided(prompt: str) -> tuple[str, str]:
    """Split a prompt into text and question: RULER asks in the last paragraph."""
    text, found, asked = prompt.rstrip().rpartition("\n")
    return (text, asked) if found and asked.strip() else (prompt, prompt[-500:])


def _longbench(rows: Iterable[_Row], texts: _TextFolder, name: str) -> Iterator[Question]:
    for number, row in enumerate(rows):
        context = texts.path_of(str(row["context"]))
        if "choice_A" in row:  # version 2
            choices = "\n".join(f"({letter}) {row[f'choice_{letter}']}" for letter in "ABCD")
            asked = f"{row['question']}\n{choices}\nAnswer with the letter alone."
            right, grader = str(row["answer"]), "normalised"
            # Its prompt asks for the second form, and its authors accept both.
            accept: tuple[str, ...] = (f"({row['answer']})", f"The correct answer is ({row['answer']})")
        else:
            asked = str(row["input"]) or "What does the text say in short?"
            if row.get("all_classes"):
                asked += "\nChoose one of: " + ", ".join(map(str, row["all_classes"]))
            answers = [str(each) for each in row["answers"]]
            right, accept, grader = answers[0], tuple(answers[1:]), _longbench_grader(row)
        identity = row.get("_id", number)
        suite = f"longbench:{row.get('dataset') or row.get('domain') or name}"
        yield Question(f"{name}/{identity}", asked, right, context, "", accept, grader, suite=suite)


def _longbench_grader(row: _Row) -> str:
    found = bool(row.get("all_classes")) or str(row.get("dataset", "")).startswith(_LONGBENCH_FOUND)
    return "contains" if found else "f1"


def _oolong(rows: Iterable[_Row], texts: _TextFolder, name: str) -> Iterator[Question]:
    for number, row in enumerate(rows):
        text = row.get("context_window_text_with_labels") or row["context_window_text"]
        if row.get("context_window_text"):
            text = row["context_window_text"]  # the other field contains the labels to be found
        right = _right_in_oolong(row)
        # The questions ask for a form such as `Label: spam`, so a string is searched in the answer.
        grader = "contains" if isinstance(right[0], str) else "set:recall"
        if isinstance(right[0], int | float):
            grader = "number:decay=0.75"
        suite = f"oolong:{row.get('task') or row.get('task_group') or row.get('question_type') or name}"
        yield Question(
            id=f"{name}/{row.get('id', number)}",
            question=str(row["question"]),
            expected=right[0],
            context=texts.path_of(str(text)),
            accept=tuple(right[1:]),
            grader=grader,
            suite=suite,
        )


def _right_in_oolong(row: _Row) -> list[Any]:
    """Return the right answer to a question of OOLONG, and alternative wordings."""
    given = row["answer"]
    if isinstance(given, str) and (date := _DATE.search(given)):
        day = dt.date(*map(int, date.groups()))
        month = f"{day:%B}"
        return [day.isoformat(), f"{month} {day.day}, {day.year}", f"{day.day} {month} {day.year}", f"{day:%m/%d/%Y}"]
    found = _literal(given)
    if "answer_type" not in row and isinstance(found, str) and ", " in found:  # the form of lists in the real texts
        return [found.split(", ")]
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, str) and found.endswith((" than", " as")):
        return [found.rpartition(" ")[0]]  # `more common than`
    return [found]


def _literal(value: Any) -> Any:
    """Return the value of a literal such as `['spam']` or `[12]`, as OOLONG writes answers."""
    if not isinstance(value, str):
        return value
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = value
    found = list(found) if isinstance(found, list | tuple | set) else found
    return found if isinstance(found, str | int | float | list) else value


def _browsecomp(rows: Iterable[_Row], texts: _TextFolder, name: str) -> Iterator[Question]:
    for number, row in enumerate(rows):
        documents = {
            str(each.get("docid", at)): str(each["text"])
            for key in ("gold_docs", "evidence_docs", "negative_docs")
            for at, each in enumerate(row.get(key) or ())
        }
        if not documents:
            raise KeyError("gold_docs, evidence_docs or negative_docs with their text")
        yield Question(
            id=f"{name}/{row.get('query_id', number)}",
            question=str(row["query"]),
            expected=str(row["answer"]),
            context=texts.folder_of(sorted(documents.items())),
            grader="judge",
            suite="browsecomp-plus",
        )


def _locomo(rows: Iterable[_Row], texts: _TextFolder, name: str) -> Iterator[Question]:
    for number, row in enumerate(rows):
        context = texts.path_of(_conversation(row["conversation"]))
        sample = row.get("sample_id", number)
        for at, qa in enumerate(row["qa"]):
            category = int(qa.get("category", 0))
            right, grader = (None, "") if category == _UNANSWERABLE else _right_in_locomo(str(qa["answer"]), category)
            suite = f"locomo:{qa.get('category', '')}"
            yield Question(f"{name}/{sample}/{at}", str(qa["question"]), right, context, grader=grader, suite=suite)


def _right_in_locomo(answer: str, category: int) -> tuple[str, str]:
    """Return the right answer and the grader: category 1 wants several items, in category 3 the reason is dropped."""
    if category == _REASONED:
        answer = answer.split(";")[0].strip()
    return answer, "f1:items" if category == _SEVERAL else "f1:stem"


def _conversation(value: _Row) -> str:
    sessions = sorted(
        (key for key in value if re.fullmatch(r"session_\d+", key)), key=lambda key: int(key.rpartition("_")[2])
    )
    parts = []
    for session in sessions:
        lines = [f"{turn['speaker']}: {turn.get('text', '')}{_picture(turn)}" for turn in value[session]]
        parts.append("\n".join([f"== {session}, {value.get(f'{session}_date_time', 'no date')} ==", *lines]))
    return "\n\n".join(parts)


def _picture(turn: _Row) -> str:
    return f" [picture: {turn['blip_caption']}]" if turn.get("blip_caption") else ""


FORMATS: Mapping[str, Callable[[Iterable[_Row], _TextFolder, str], Iterator[Question]]] = {
    "ruler": _ruler,
    "longbench": _longbench,
    "oolong": _oolong,
    "browsecomp-plus": _browsecomp,
    "locomo": _locomo,
}
"""Readers of the public sets, by the prefix of the file name on the command line."""


def load_public(form: str, path: Path, folder: Path) -> tuple[Question, ...]:
    """Read the questions of a file of a public set, writing their texts to a folder.

    Args:
        form: The set; a key of `FORMATS`.
        path: The file.
        folder: The folder for the texts, in a subfolder `texts`.

    Raises:
        ConfigError: There is no such set, or the file cannot be read or has another format.
    """
    if form not in FORMATS:
        raise ConfigError(f"there is no reader for {form!r}; there are {', '.join(FORMATS)}")
    try:
        found = tuple(FORMATS[form](_rows(path), _TextFolder(folder, form), _name_of(path)))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a file of {form}: it lacks {' '.join(map(str, error.args))}") from None
    if not found:
        raise ConfigError(f"{path} has no questions")
    return checked_ids(found)


def _name_of(path: Path) -> str:
    """Return the name of the set in a file: the folder's if the file is named like a split, as in RULER."""
    return path.absolute().parent.name if path.stem in _SPLITS else path.stem


def _rows(path: Path) -> Iterator[_Row]:
    text = file_text(path)
    try:
        if text.lstrip().startswith("["):
            yield from json.loads(text)
            return
        for line in text.split("\n"):
            if line.strip():
                yield json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
