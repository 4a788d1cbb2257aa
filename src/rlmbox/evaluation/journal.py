"""The file of an evaluation: its questions, and the start and end of each trial, one JSON object per line.

Lines that belong together are written at once, so that a killed process leaves at most an incomplete last line, which
is ignored. Questions that are answered are never asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from rlmbox.errors import ConfigError, StoreError
from rlmbox.evaluation.outcomes import Outcome, Result
from rlmbox.record.process_lock import FileLease, hold_file

TrialKey = tuple[str, str, int]
"""Identifies a trial within its evaluation: the arm, the question, the repeat."""


@dataclass(slots=True)
class Recorded:
    """The content of an evaluation's file.

    Attributes:
        name: Name of the evaluation.
        head: What it was started with: `questions`, `arms`, `repeats`, `settings`.
        outcomes: Outcomes of trials, by trial key.
        sizes: Length of the text of each trial.
        grades: Score and judging cost of each trial.
        open_usd: Upper bound of the cost of trials that began and did not end.
        judging_usd: Upper bound of the cost of judging that did not end.
        failed_usd: Cost of trials that were repeated, and of failed judging.
    """

    name: str
    head: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[TrialKey, Outcome] = field(default_factory=dict)
    sizes: dict[TrialKey, int] = field(default_factory=dict)
    grades: dict[TrialKey, tuple[float | None, Decimal]] = field(default_factory=dict)
    open_usd: dict[TrialKey, Decimal] = field(default_factory=dict)
    judging_usd: dict[TrialKey, Decimal] = field(default_factory=dict)
    failed_usd: Decimal = field(default_factory=Decimal)

    @property
    def results(self) -> list[Result]:
        """The graded trials."""
        return [
            Result(*key, self.outcomes[key], score, judge_usd, self.sizes.get(key, 0))
            for key, (score, judge_usd) in self.grades.items()
            if key in self.outcomes
        ]

    @property
    def spent_usd(self) -> Decimal:
        """The total cost, including the upper bound for interrupted trials."""
        judged = sum((usd for _, usd in self.grades.values()), Decimal(0))
        answered = sum((each.cost_usd for each in self.outcomes.values()), Decimal(0))
        return judged + answered + self.uncertain_usd + self.failed_usd

    @property
    def uncertain_usd(self) -> Decimal:
        """Upper bound of the cost of trials and judging that were interrupted by the end of a process."""
        return sum((*self.open_usd.values(), *self.judging_usd.values()), Decimal(0))

    def apply(self, line: Mapping[str, Any]) -> None:
        """Apply a line of the file.

        Args:
            line: The object.
        """
        if line["kind"] == "head":
            self.head = dict(line)
            return
        key = (str(line["arm"]), str(line["question"]), int(line["repeat"]))
        if line["kind"] == "began":
            if (failed := self.outcomes.pop(key, None)) is not None:  # it is repeated; its cost remains
                # The cost of a resumed run includes that of its past.
                self.failed_usd += Decimal(0) if failed.run_id else failed.cost_usd
                self.grades.pop(key, None)
            self.open_usd[key] = self.open_usd.get(key, Decimal(0)) + Decimal(line["most_usd"])
        elif line["kind"] == "ended":
            self.outcomes[key] = outcome_from(line["outcome"])
            self.sizes[key] = int(line.get("size_chars", 0))
            # The trial that ended is the last one that began; an earlier, interrupted one stays charged.
            left = self.open_usd.pop(key, Decimal(0)) - Decimal(line["most_usd"])
            if left > 0 and not self.outcomes[key].run_id:
                self.open_usd[key] = left
        elif line["kind"] == "judging":
            self.judging_usd[key] = self.judging_usd.get(key, Decimal(0)) + Decimal(line["most_usd"])
        elif line["kind"] == "unjudged":
            self._end_judging(key, line)
            self.failed_usd += Decimal(line["cost_usd"])
        elif line["kind"] == "graded":
            self._end_judging(key, line)
            self.grades[key] = (line["score"], Decimal(line["judge_usd"]))

    def _end_judging(self, key: TrialKey, line: Mapping[str, Any]) -> None:
        """Release the reservation of the judge; that of an earlier, interrupted attempt stays charged."""
        left = self.judging_usd.pop(key, Decimal(0)) - Decimal(line.get("most_usd", 0))
        if left > 0:
            self.judging_usd[key] = left


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """Convert an outcome to JSON.

    Args:
        outcome: The outcome.
    """
    return {
        **{each.name: getattr(outcome, each.name) for each in fields(outcome)},
        "value": _plain(outcome.value) if outcome.value != outcome.text else None,
        "cost_usd": str(outcome.cost_usd),
        "uncertain_usd": str(outcome.uncertain_usd),
        "duration_s": round(outcome.duration_s, 4),
    }


def outcome_from(value: Mapping[str, Any]) -> Outcome:
    """Convert JSON written by `outcome_as_json` to an outcome.

    Args:
        value: The JSON value.
    """
    money = {name: Decimal(value[name]) for name in ("cost_usd", "uncertain_usd")}
    return Outcome(**{**value, **money})


def _plain(value: object) -> object:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return str(value)


class EvaluationJournal:
    """The file of one evaluation, open for writing by this process only.

    Args:
        folder: The folder of the evaluations.
        name: Name of the evaluation.

    Raises:
        StoreError: The file cannot be written, or another process has it open.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = path_of(folder, name)
        self._lease: FileLease = hold_file(folder / "locks" / f"{name}.lock", name)
        self._file = -1
        try:
            self._file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
            self._mend()
        except OSError as error:
            self.close()
            raise StoreError(f"{self.path} cannot be written: {error.strerror}") from None

    def _mend(self) -> None:
        """Cut off an incomplete last line, so that the next one starts on its own line."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.ftruncate(self._file, whole)

    def write(self, *lines: Mapping[str, Any]) -> None:
        """Append lines in one write.

        Args:
            lines: JSON objects.

        Raises:
            StoreError: The disk is full, or the file was removed.
        """
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        data = text.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Close and unlock the file; may be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._lease.release()


def plain_name(name: str) -> str:
    """Convert a name to the characters that run names allow, keeping different names different.

    Args:
        name: Name of an arm or a question.
    """
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in name)[:36]
    if kept == name:
        return kept
    return f"{kept[:26]}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def path_of(folder: Path, name: str) -> Path:
    """Return the path of an evaluation's file.

    Args:
        folder: The folder of the evaluations.
        name: Name of the evaluation.

    Raises:
        ConfigError: The name is invalid.
    """
    if not name or not all(char.isalnum() or char in "-_." for char in name) or name.startswith("."):
        raise ConfigError(f"an evaluation's name has letters, digits, '.', '_' and '-', not {name!r}")
    return folder / f"{name}.jsonl"


def names_in(folder: Path) -> list[str]:
    """Return the names of the evaluations in a folder, ordered by their numbers.

    Args:
        folder: The folder.
    """
    names = (path.stem for path in folder.glob("*.jsonl"))
    return sorted(names, key=lambda name: (_number(name), name))


def _number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def new_name(folder: Path) -> str:
    """Return an unused name for an evaluation in a folder, such as `eval-7`.

    Args:
        folder: The folder.
    """
    return f"eval-{max([0, *map(_number, names_in(folder))]) + 1}"


def read_evaluation(folder: Path, name: str) -> Recorded:
    """Read the file of an evaluation.

    Args:
        folder: The folder of the evaluations.
        name: Name of the evaluation.

    Raises:
        ConfigError: There is no evaluation of that name.
        StoreError: The file cannot be read, or is not that of an evaluation.
    """
    path = path_of(folder, name)
    if not path.exists():
        known = ", ".join(names_in(folder)[-5:])
        raise ConfigError(f"there is no evaluation {name}" + (f"; the latest are {known}" if known else ""))
    recorded = Recorded(name)
    try:
        for line in _lines(path):
            recorded.apply(line)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise StoreError(f"{path} is not the file of an evaluation: {type(error).__name__}: {error}") from None
    if not recorded.head:
        raise StoreError(f"{path} is not the file of an evaluation: its first line does not list the questions")
    return recorded


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    *whole, _torn = path.read_text(encoding="utf-8").split("\n")
    for line in whole:
        yield json.loads(line)
