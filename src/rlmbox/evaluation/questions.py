"""The questions of an evaluation, and reading them from files.

A JSON Lines file has one object per line, a CSV file one row, with `question` and `expected`, and optionally `id`,
`context` (a path relative to the file), `text` (the text itself), `accept` (more right answers), `grader` and `size`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rlmbox.errors import ConfigError

_KEYS = ("id", "question", "context", "text", "expected", "accept", "grader", "size", "suite")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its right answer.

    Attributes:
        id: Its name, unique within an evaluation.
        question: The question.
        expected: The right answer; None if the text does not say.
        context: Path of the text; empty if `text` is given, or the evaluation has one text for all questions.
        text: The text itself, if it is short.
        accept: More right answers.
        grader: Name of the grader; empty to choose it by `expected`.
        size_chars: Length of the text, for results by length; 0 to measure the text.
        suite: The suite that generated it; may be empty.
        facts: What the suite generated it from, by name.
    """

    id: str
    question: str
    expected: Any = None
    context: str = ""
    text: str = ""
    accept: tuple[Any, ...] = ()
    grader: str = ""
    size_chars: int = 0
    suite: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Convert it to JSON."""
        return {**asdict(self), "accept": list(self.accept)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Question:
        """Create a question from JSON written by `as_json`.

        Args:
            value: The JSON value.
        """
        return cls(**{**value, "accept": tuple(value["accept"])})


def load_questions(path: Path) -> tuple[Question, ...]:
    """Read the questions of a file.

    Args:
        path: A file that ends in `.jsonl`, `.ndjson`, `.json` (a list) or `.csv`.

    Raises:
        ConfigError: It cannot be read, or a question is incomplete; the message names the line.
    """
    text = file_text(path)
    read = {".csv": _csv_rows, ".json": _json_rows}.get(path.suffix.lower(), _json_lines)
    found = tuple(_question(row, path, place) for place, row in read(text, path))
    if not found:
        raise ConfigError(f"{path} has no questions")
    return checked_ids(found)


def file_text(path: Path) -> str:
    """Read the text of a file of questions, without a byte order mark.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeError:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def checked_ids(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Check that the ids of questions are unique, and return the questions.

    Args:
        questions: The questions.

    Raises:
        ConfigError: Two questions have the same id.
    """
    seen: set[str] = set()
    for each in questions:
        if each.id in seen:
            raise ConfigError(f"two questions have the id {each.id!r}; give each its own")
        seen.add(each.id)
    return tuple(questions)


def _json_lines(text: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"line {number}", _object(line, path, f"line {number}")


def _json_rows(text: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if not isinstance(rows, list):
        raise ConfigError(f"{path} is a JSON value but not a list; give a list of questions, or JSON Lines")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ConfigError(f"{path}, question {number}: is not an object with question and expected")
        yield f"question {number}", row


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        names, *rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row] or [[]]
    except csv.Error as error:
        raise ConfigError(f"{path} is not CSV: {error}") from None
    _check_names(names, path)
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            what = "more" if len(row) > len(names) else "fewer"
            raise ConfigError(f"{path}, row {number}: has {what} fields than the first row names")
        yield f"row {number}", {key: value for key, value in zip(names, row, strict=True) if value}


def _check_names(names: Sequence[str], path: Path) -> None:
    """Check the header of a CSV file.

    Raises:
        ConfigError: A column is missing or unknown.
    """
    if len(names) == 1 and (other := next((each for each in ";\t|" if each in names[0]), "")):
        raise ConfigError(f"{path}, row 1: the fields are separated by {other!r}; separate them by ','")
    unknown = [name for name in names if name not in _KEYS]
    if unknown:
        said = ", ".join(map(repr, unknown))
        raise ConfigError(f"{path}, row 1: there is no column {said}; there are {', '.join(_KEYS)}")
    for name in ("question", "expected"):
        if name not in names:
            raise ConfigError(f"{path}, row 1: has no column {name!r}")


def _object(line: str, path: Path, place: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{path}, {place}: is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ConfigError(f"{path}, {place}: is not an object with question and expected")
    return row


def _question(row: Mapping[str, Any], path: Path, place: str) -> Question:
    unknown = sorted(set(row) - set(_KEYS))
    if unknown:
        raise ConfigError(f"{path}, {place}: there is no key {unknown[0]!r}; there are {', '.join(_KEYS)}")
    asked = row.get("question")
    if not isinstance(asked, str) or not asked.strip():
        raise ConfigError(f"{path}, {place}: has no question")
    if "expected" not in row and path.suffix.lower() != ".csv":
        raise ConfigError(f"{path}, {place}: has no expected answer; null says that the text does not say")
    number = place.split()[1]
    context = _string(row, "context", path, place)
    return Question(
        id=str(row.get("id", f"q{number}")),
        question=asked,
        expected=_from_csv(row.get("expected")) if path.suffix.lower() == ".csv" else row["expected"],
        context=str((path.parent / context).resolve()) if context else "",
        text=_string(row, "text", path, place),
        accept=_accepted(row.get("accept", ())),
        grader=_string(row, "grader", path, place),
        size_chars=int(row["size"]) if str(row.get("size", "")).isdecimal() else 0,
        suite=_string(row, "suite", path, place),
    )


def _string(row: Mapping[str, Any], key: str, path: Path, place: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"{path}, {place}: {key} is a text, not {value!r}")
    return value


def _accepted(value: Any) -> tuple[Any, ...]:
    value = _from_csv(value)
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _from_csv(value: Any) -> Any:
    """Parse a cell that contains a JSON list or object; any other text, also a number, is unchanged."""
    if isinstance(value, str) and value[:1] in "[{" and value:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
