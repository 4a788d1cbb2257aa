"""How many plain questions `offline:extractive` answers right in its first line, over three texts that are at hand.

    python bench/baseline.py            # the table that `rlmbox eval` makes of them
    python bench/baseline.py --each     # and each question with its answer

It writes the texts and a file of questions, and runs `rlmbox eval` over them, graded by `first_line` of this file. The
texts are Python's license, the topics of its `help()`, and this project's decision records. Every second question was
not looked at while the baseline was made; its figures stand beside the others.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from figures import Figure
from rlmbox import RLM, Context
from rlmbox.evaluation import Question, Recorded, read_evaluation

SILENT = "The text does not say."
PARTS = ("looked at", "held back")
DECISIONS = Path(__file__).parents[1] / "docs" / "decisions"

# For each text: the question, and what a right first line has; None where the text does not say.
QUESTIONS: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    "license": (
        ("Who created Python?", "Guido van Rossum"),
        ("When was Python created?", "1990"),
        ("What language was Python a successor of?", "ABC"),
        ("Where did Guido continue his work on Python in 1995?", "CNRI|National"),
        ("When was the Python Software Foundation formed?", "2001"),
        ("Which company was a sponsoring member of the PSF?", "Zope Corporation"),
        ("What did Digital Creations become?", "Zope"),
        ("Where did the Python development team move in May 2000?", "BeOpen"),
        ("Why is 1.6.1 not GPL-compatible according to Richard Stallman?", "choice of law"),
        ("Since which version are examples in the documentation dual licensed?", r"3\.8\.6"),
        ('How many times does "BeOpen" occur?', "{count:BeOpen}"),
        ("Which license do examples and recipes have beside the PSF license?", "Zero-Clause BSD"),
        ("What kind of organization is the PSF?", "non-profit"),
        ("Which state's law governs the CNRI license agreement?", "Virginia"),
        ("How often is CNRI mentioned?", "{count:CNRI}"),
        ("Who invented JavaScript?", None),
        ("How many employees does the foundation have?", None),
        ("What is the telephone number of CNRI?", None),
        ("When was Perl first released?", None),
        ("Which university did Guido van Rossum attend?", None),
    ),
    "topics": (
        ("What are assert statements used for?", "debugging assertions"),
        ("What does the pass statement do?", "null operation|nothing happens"),
        ("What does the break statement terminate?", "nearest enclosing loop"),
        ("What does the nonlocal statement do?", "previously bound|nearest enclosing"),
        ("What is a lambda expression?", "anonymous function"),
        ("How many documents are there?", "{documents}"),
        ('How many times does "coroutine" occur?', "{count:coroutine}"),
        ("What exception is raised when a number is divided by zero?", "ZeroDivisionError"),
        ("When is __del__ called?", "about to be destroyed"),
        ("What does __len__ implement?", r"len\(\)"),
        ("What prefix does a formatted string literal have?", "'f'|\"f\""),
        ("Which exception is raised for a local variable that is not bound?", "UnboundLocalError"),
        ("What does the global statement do?", "globals?|current code block"),
        ("What is __del__ also called?", "finalizer|destructor"),
        ("What does deletion of a target list do?", "recursively deletes"),
        ("What does __bool__ return?", "False.*True|True.*False"),
        ("What is the prompt of the debugger?", r"\(Pdb\)"),
        ("Which debugger command prints a stack trace?", r"w\(here\)|[Pp]rint a stack trace"),
        ("Who wrote Hamlet?", None),
        ("Which port does the database server listen on?", None),
        ("When does the warranty of the printer expire?", None),
        ("How much does a ticket to Lisbon cost?", None),
    ),
    "decisions": (
        ("What is the default cost limit?", r"5\.00"),
        ("How many packages does markitdown install?", "22"),
        ("How long does Cranelift need?", "minute"),
        ("Which library reads PDF?", "pypdf"),
        ("Why not Deno and Pyodide?", "[Tt]wo package registries"),
        ("How many attempts does a request have?", "four"),
        ("What happens to a worker that was killed?", "lost, not rebuilt"),
        ("Which stemmer does the index of passages use?", "Porter"),
        ("How many tokens are reserved for each byte?", "one token"),
        ("How many files are there?", "{documents}"),
        ('How many files mention "gVisor"?', "{files:gVisor}"),
        ("What is process 1 of the container?", "relay"),
        ("What is a backend?", "Wall"),
        ("Which version of CPython does the wasm sandbox run?", r"3\.15"),
        ("How much memory does the child process of a converter have?", "1 GiB"),
        ("What runs first when a reply has code and a final tag?", "code runs first"),
        ("Who is the company's lawyer?", None),
        ("What does the enterprise plan cost per seat?", None),
        ("When was the office in Berlin opened?", None),
        ("Which graphics card is required?", None),
    ),
}


def texts() -> dict[str, Context]:
    found = {"topics": Context.from_dict(topics), "decisions": Context.from_path(DECISIONS)}
    license_file = Path(os.__file__).parent / "LICENSE.txt"
    return {"license": Context.from_path(license_file), **found} if license_file.exists() else found


def expectation(expected: str | None, context: Context) -> str | None:
    """Fills in what is counted, which differs from version to version of Python."""
    if expected is None or not expected.startswith("{"):
        return expected
    kind, _, word = expected.strip("{}").partition(":")
    if kind == "documents":
        number = context.num_documents
    elif kind == "count":
        number = context.count(word)
    else:
        number = sum(word in context.get_document(i) for i in range(context.num_documents))
    return rf"\b{number}\b"


def first_line(value: object, text: str, question: Question) -> float:
    """Grades an answer by its first line; called by `rlmbox eval`."""
    first = text.split("\n", 1)[0]
    if question.expected is None:
        return float(first == SILENT)
    return float(first != SILENT and re.search(question.expected, first) is not None)


def write_questions(folder: Path, only: str | None = None) -> Path:
    """Writes the texts and the file of questions, and returns the file."""
    rows, number = [], 0
    for name, context in texts().items():
        place = folder / name
        place.mkdir()
        for at, document in enumerate(context.document_names):
            path = place / f"{at:04d}-{re.sub(r'[^A-Za-z0-9.-]', '_', document)}"
            path.with_suffix(path.suffix if path.suffix in (".txt", ".md") else ".txt").write_text(
                context.get_document(at), encoding="utf-8"
            )
        for question, expected in QUESTIONS[name]:
            number += 1
            if only and only not in question:
                continue
            kind = "silent" if expected is None else "says"
            part = PARTS[number % 2 == 0]
            row = {"id": f"{number:02d}", "question": question, "expected": expectation(expected, context)}
            rows.append({**row, "context": name, "grader": "regex", "suite": f"{part}, {kind}"})
    file = folder / "questions.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def long_text_seconds() -> float:
    """Returns what a question over 10 MB takes."""
    block = "\n\n".join(topics.values())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        text = block * (10_000_000 // len(block) + 1) + "\n\nThe access code of the vault is 8841.\n"
        began = time.perf_counter()
        answer = RLM().ask("What is the access code of the vault?", text)
        took_s = time.perf_counter() - began
    return took_s if "8841" in answer.text.split("\n")[0] else float("nan")


def evaluate(questions: Path) -> tuple[dict[str, Any], Recorded]:
    """Runs `rlmbox eval`, and returns its report and what its file has."""
    environment = {**os.environ, "XDG_DATA_HOME": str(questions.parent / "data")}
    command = [sys.executable, "-m", "rlmbox", "eval", str(questions), "--arm", "rlm", "--model", "offline:extractive"]
    command += ["--grade-with", f"{__file__}:first_line", "--concurrency", "2", "--no-record", "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    report = json.loads(done.stdout)
    return report, read_evaluation(questions.parent / "data" / "rlmbox" / "evaluations", report["name"])


@dataclass(frozen=True)
class Answered:
    """A question of the table, with the first line that it was answered with."""

    question: str
    first: str
    is_right: bool

    @property
    def row(self) -> str:
        said = f"{'right' if self.is_right else '**wrong**'}: {self.first[:120]}"
        cells = (re.sub(r"\s+", " ", text).replace("|", "\\|") for text in (self.question, said))
        return "| {} |  | {} |  |".format(*cells)


def figures() -> list[Figure | Answered]:
    """Measures the baseline: how many first lines are wrong, of which questions, and what a question takes."""
    with tempfile.TemporaryDirectory() as folder:
        report, recorded = evaluate(write_questions(Path(folder)))
    rows: list[Figure | Answered] = [*shares(report), *durations(recorded)]
    asked_by = {each["id"]: each["question"] for each in recorded.head["questions"]}
    answered = sorted(recorded.results, key=lambda each: each.question)
    rows += [Answered(asked_by[e.question], e.outcome.text.split("\n", 1)[0], bool(e.score)) for e in answered]
    return rows


def shares(report: dict[str, Any]) -> list[Figure]:
    """Returns how many first lines are wrong, of all questions and of each part."""
    rows = []
    for kind, words, most in (("says", "the first line is wrong", 40), ("silent", "an answer where there is none", 20)):
        right, asked = counted(report, kind)
        if not asked:
            continue
        rows.append(Figure(f"{words}, of {asked} questions", 100 * (asked - right) / asked, most, "%"))
        for part in PARTS:
            right, asked = counted(report, kind, part)
            if not asked:
                continue
            rows.append(Figure(f"of them, of {asked} {part}", 100 * (asked - right) / asked, None, "%"))
    return rows


def durations(recorded: Recorded) -> list[Figure]:
    """Measures what a question takes."""
    slowest_s = max(each.outcome.duration_s for each in recorded.results)
    return [
        Figure("the slowest question", slowest_s, 3, "s"),
        Figure("a question over 10 MB", long_text_seconds(), 3, "s"),
    ]


def counted(report: dict[str, Any], kind: str, *parts: str) -> tuple[int, int]:
    """Returns how many questions of a kind were answered right, and how many were asked; by default of all parts."""
    found = [report["suites"].get(f"{part}, {kind}", {}).get("rlm") for part in parts or PARTS]
    asked = [each for each in found if each is not None]
    return round(sum(each["value"] * each["questions"] for each in asked)), sum(each["questions"] for each in asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", choices=("tuned", "all"), help="print each question with its answer")
    parser.add_argument("--only", help="ask only the questions that have this in them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report, recorded = evaluate(write_questions(Path(folder), arguments.only))
    asked = {each["id"]: each for each in recorded.head["questions"]}
    for each in recorded.results if arguments.each else []:
        question = asked[each.question]
        if arguments.each == "all" or question["suite"].startswith("looked at"):
            first = each.outcome.text.split("\n", 1)[0][:200]
            print(f"{'right' if each.score else 'WRONG'}  {question['question']}\n       {first}")
    for figure in (*shares(report), *durations(recorded)):
        print(figure.row)


if __name__ == "__main__":
    main()
