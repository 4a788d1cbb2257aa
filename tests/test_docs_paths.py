"""A file of the project that a page names is there, and so is the line of it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
# A name with a folder, in code: `loop/session.py`, `src/rlmbox/errors.py:12`.
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|toml|yml|c|h|txt))(?::(\d+))?`")
PLACES = (ROOT, ROOT / "src" / "rlmbox", ROOT / "src", ROOT / "docs", ROOT / "tests")
NOT_OURS = re.compile(r"^(?:no-such|corpus|repo|notes|src/\*|word|xl|ppt|data|lib|examples/own|folder|rlm_traces)/")


def lacking(page: Path) -> list[str]:
    found = []
    for path, line in NAMED.findall(page.read_text("utf-8")):
        if NOT_OURS.match(path) or "NAME" in path:
            continue
        there = next((place / path for place in PLACES if (place / path).is_file()), None)
        if there is None or (line and int(line) > there.read_text("utf-8").count("\n")):
            found.append(f"{path}:{line}" if line else path)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    assert lacking(page) == []


def test_a_file_that_is_not_there_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "`loop/nothing.py`, `errors/none.md`, `loop/session.py:99999`, `loop/session.py:1`"
    )
    assert lacking(tmp_path / "page.md") == ["loop/nothing.py", "errors/none.md", "loop/session.py:99999"]
