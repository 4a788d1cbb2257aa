"""CONTRIBUTING.md is true: its targets, its markers, and the files that it sends people to."""

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from markers import MARKERS, ONE_AFTER_ANOTHER, PLACES

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PAGE, MAKEFILE = (
    path.read_text("utf-8") if path.exists() else "" for path in (ROOT / "CONTRIBUTING.md", ROOT / "Makefile")
)
BUILT_IN = {"filterwarnings", "parametrize", "skip", "skipif", "timeout", "usefixtures", "xfail"}

pytestmark = pytest.mark.skipif(not MAKEFILE, reason="needs the source tree")


def rows(first_cell: str) -> dict[str, str]:
    """Read the two columns of the table whose first heading is given."""
    table = PAGE.split(f"| {first_cell} | ", 1)[1].split("\n\n")[0].splitlines()[2:]
    return {cells[0].strip("` "): cells[1].strip() for cells in (row.strip("|").split("|") for row in table)}


def test_every_target_is_listed_and_every_one_that_is_named_exists():
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    targets = set(phony.split())
    assert {name.removeprefix("make ") for name in rows("target")} == targets
    assert set(re.findall(r"make ((?!PYTHON)[a-z-]+)", re.sub(r"`make`|makes ", "", PAGE))) <= targets
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_every_marker_is_explained_in_the_words_that_pytest_shows(pytestconfig: pytest.Config):
    assert rows("marker") == dict(MARKERS)
    registered = {line.split(":")[0] for line in pytestconfig.getini("markers")}
    assert registered >= MARKERS.keys()
    assert PLACES.keys() == MARKERS.keys()


def test_every_marker_that_tests_use_is_known():
    used = {
        name
        for path in TESTS.rglob("*.py")
        for name in re.findall(r"pytest\.mark\.(\w+)", path.read_text("utf-8"))
        if path != Path(__file__)
    }
    assert used <= BUILT_IN | MARKERS.keys()


def test_the_fast_run_leaves_out_what_has_a_marker():
    recipe = MAKEFILE.split("\ntest-fast: $(STAMP_DEV)")[1].split("\n\n")[0]
    assert f'-m "not ({" or ".join(MARKERS)})"' in recipe


def functions(path: Path) -> set[str]:
    """List the tests of a file by name, those that hypothesis makes of a state machine too."""
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


EVERY_PLACE = [*(pattern for patterns in PLACES.values() for pattern in patterns), *(at for _, at in ONE_AFTER_ANOTHER)]


def test_every_place_of_a_marker_is_that_of_a_test():
    there = {path.relative_to(TESTS).as_posix(): functions(path) for path in TESTS.rglob("test_*.py")}
    lacking = []
    for pattern in EVERY_PLACE:
        file, _, name = pattern.partition("::")
        name = name.partition("[[]")[0]
        names = [each for path, found in there.items() if fnmatchcase(path, file) for each in found]
        if not any(each.startswith("test_") and fnmatchcase(each, name) for each in names):
            lacking.append(pattern)
    assert lacking == []


def test_every_file_that_the_page_names_exists():
    named = re.findall(r"`((?:src|tests|docs|bench|\.ci|\.github)/[^`\s]*)", PAGE) + re.findall(r"\]\(([^)]+)\)", PAGE)
    assert len(named) > 25
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []


def steps() -> list[str]:
    """List the numbered steps of the recipes."""
    return re.findall(r"^\d\. (.*?)(?=\n\d\. |\n\n|\Z)", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("step", [step for step in steps() if re.search(r"`[A-Za-z_]*_[A-Za-z_]*`|`[A-Z]+`", step)])
def test_every_name_in_a_step_is_in_a_file_of_that_step(step: str):
    files = re.findall(r"`((?:src|tests)/\S+\.py|[a-z_]+\.py)`", step)
    texts = [path.read_text("utf-8") for file in files for path in ROOT.rglob(file) if ".venv" not in path.parts]
    for name in re.findall(r"`(_?[A-Za-z]+(?:_[A-Za-z]+)*)`", step):
        if "_" in name or name.isupper():
            assert any(re.search(rf"\b{name}\b", text) for text in texts), name


def test_a_group_of_tests_runs_in_one_process() -> None:
    command = [sys.executable, "-m", "pytest", "-v", "-n2", "--dist", "loadgroup", "--no-loadscope-reorder"]
    command += ["-p", "no:cacheprovider", "-k", "local-stdout or local-budget or local-bridge or local-exfil"]
    done = subprocess.run(
        [*command, "tests/attacks"], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    ran = re.findall(r"^\[(gw\d)\].*PASSED (\S+)", done.stdout, re.MULTILINE)
    assert done.returncode == 0, done.stdout
    assert len(ran) == 4
    assert len({process for process, _ in ran}) == 1


def test_what_coverage_leaves_out_exists():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    left_out = config["tool"]["coverage"]["run"]["omit"]
    assert left_out
    assert [path for path in left_out if not (ROOT / path).is_file()] == []


QUESTIONS = {"Gives", "How", "Says", "Tells", "What", "Where", "Whether", "Which"}


def documented(path: Path) -> list[tuple[str, str]]:
    """List the names that a module documents, with the first word of each docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, kinds)]
    return [(getattr(node, "name", ""), text.split()[0]) for node in nodes if (text := ast.get_docstring(node))]


def test_docstrings_are_statements_and_not_questions():
    found = [
        f"{path.relative_to(ROOT)} {name}"
        for path in (ROOT / "src").rglob("*.py")
        for name, first in documented(path)
        if first in QUESTIONS
    ]
    # These are sentences of the system prompt.
    assert [each for each in found if not each.startswith("src/rlmbox/context/repl.py")] == []
