"""How many plain questions `offline:extractive` answers right in its first line, over three texts that are at hand.

    python bench/baseline.py            # a table of figures
    python bench/baseline.py --each     # and each question with its answer

The texts are Python's license, the topics of its `help()`, and this project's decision records. Every second question
was not looked at while the baseline was made; its figures stand beside the others.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

from rlmbox import RLM, Context

SILENT = "The text does not say."
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


@dataclass(frozen=True, slots=True)
class Result:
    text: str
    question: str
    expected: str | None
    answer: str
    is_held_back: bool
    took_s: float

    @property
    def is_right(self) -> bool:
        first = self.answer.split("\n", 1)[0]
        if self.expected is None:
            return first == SILENT
        return first != SILENT and re.search(self.expected, first) is not None


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


def results(only: str | None = None) -> Iterator[Result]:
    number = 0
    for name, context in texts().items():
        for question, expected in QUESTIONS[name]:
            number += 1
            if only and only not in question:
                continue
            began = time.perf_counter()
            answer = RLM().ask(question, context)
            took_s = time.perf_counter() - began
            yield Result(name, question, expectation(expected, context), answer.text, number % 2 == 0, took_s)


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


def share(found: list[Result]) -> str:
    return f"{sum(each.is_right for each in found)} of {len(found)}" if found else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", choices=("tuned", "all"), help="print each question with its answer")
    parser.add_argument("--only", help="ask only the questions that have this in them")
    arguments = parser.parse_args()
    found = list(results(arguments.only))
    if arguments.each:
        for each in found:
            if arguments.each == "all" or not each.is_held_back:
                first = each.answer.split("\n", 1)[0][:200]
                print(f"{'right' if each.is_right else 'WRONG'}  {each.text:9s} {each.question}\n       {first}")
    print("| questions | text says: first line right | text does not say: said so |")
    print("| --- | --- | --- |")
    for label, part in (
        ("looked at", [each for each in found if not each.is_held_back]),
        ("held back", [each for each in found if each.is_held_back]),
        ("all", found),
    ):
        said, silent = [e for e in part if e.expected is not None], [e for e in part if e.expected is None]
        print(f"| {label} | {share(said)} | {share(silent)} |")
    print(f"\nslowest {max(each.took_s for each in found):.1f} s; 10 MB {long_text_seconds():.1f} s")


if __name__ == "__main__":
    main()
