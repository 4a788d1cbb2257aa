"""Docstrings name the arguments and the exceptions that there are."""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rlmbox.errors

SOURCE = Path(rlmbox.errors.__file__).parent
OURS = {
    name
    for path in SOURCE.rglob("*.py")
    for name in re.findall(r"^\s*class (\w+)", path.read_text("utf-8"), re.MULTILINE)
}
ERRORS = {*dir(builtins), *OURS, "re.error", "subprocess.TimeoutExpired", "zlib.error"}
SECTION = r"^{}:\n((?:[ \t]+.*\n?|\n)+)"


def functions(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Find the functions of a module that have a docstring; a class's stands for its `__init__`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
            yield node.name, node, text
        elif isinstance(node, ast.ClassDef) and (text := ast.get_docstring(node)):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                    yield node.name, each, text


def named(text: str, section: str) -> list[str]:
    """Return what a section names, such as the arguments of `Args`."""
    found = re.search(SECTION.format(section), text, re.MULTILINE)
    if found is None:
        return []
    lines = [line for line in found[1].splitlines() if line.strip()]
    first = len(lines[0]) - len(lines[0].lstrip())
    names = [line.strip().partition(":")[0] for line in lines if len(line) - len(line.lstrip()) == first]
    return [each.strip("*` ") for name in names for each in name.split(",")]


def wrong(path: Path) -> Iterator[str]:
    for name, node, text in functions(path):
        at = f"{path.relative_to(SOURCE.parent)}:{node.lineno} {name}"
        every = node.args
        there = [a.arg for a in (*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg) if a]
        told = named(text, "Args")
        yield from (f"{at}: there is no argument {each}" for each in told if each not in there)
        if told:
            missing = [a for a in there if a not in told and a not in ("self", "cls") and not a.startswith("_")]
            yield from (f"{at}: {each} is not explained" for each in missing)
        yield from (f"{at}: {each} is no exception" for each in named(text, "Raises") if each not in ERRORS)


@pytest.mark.parametrize("package", sorted(path.name for path in SOURCE.iterdir() if path.name[0] not in "_."))
def test_docstrings_name_the_arguments_and_exceptions_that_there_are(package: str) -> None:
    at = SOURCE / package
    assert [line for path in ([at] if at.is_file() else at.rglob("*.py")) for line in wrong(path)] == []


NO_VERBS = {"a", "an", "it", "name", "number", "the"}
RELATIVE = {"as", "how", "if", "that", "until", "what", "when", "where", "whether", "which", "while", "who", "whose"}


def test_a_summary_keeps_one_form_of_its_verbs() -> None:
    summaries = [
        (f"{path.relative_to(SOURCE.parent)} {name}", re.split(r"[.;:]\s|\n\n", text)[0].split())
        for path in SOURCE.rglob("*.py")
        for name, _, text in functions(path)
    ]
    verbs = {words[0].lower() for _, words in summaries if not words[0].endswith("s")} - NO_VERBS
    mixed = [
        f"{at}: {' '.join(words)}"
        for at, words in summaries
        for n, word in enumerate(words[1:], 1)
        if words[n - 1] in ("and", "then")
        and words[0].isalpha()
        and words[0].lower() in verbs
        and word.removesuffix("s") in verbs - {word}
        and not RELATIVE & {*words[:n]}
    ]
    assert mixed == []
