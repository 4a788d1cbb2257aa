"""Stubs of what is in the REPL: valid text, and what a type checker finds with it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rlmbox import RLM, Tool
from rlmbox.errors import ConfigError
from rlmbox.sandboxes.base import INJECTED
from rlmbox.testing import ScriptedModel

GOOD = """
from rlm_repl import *

hits = ctx.search("penalty", max_matches=3)
said: str = llm_query("Which?", context[:200])
several: list[str] = llm_query_batched(["a", "b"])
found = lookup("Ada", limit=2)
print(json.dumps(hits), re.findall("x", P), len(query), found["name"], SHOW_VARS(), budget())
answer["content"] = said
FINAL(several, sources=hits)
"""
WRONG = {
    "lookup()": "call-arg",
    "lookup(3)": "arg-type",
    "lookup('Ada', colour='red')": "call-arg",
    "ctx.serch('x')": "attr-defined",
    "llm_query(3)": "arg-type",
    "ctx.slice('a')": "arg-type",
    "many(1, '2')": "arg-type",
}


def lookup(name: str, limit: int = 3) -> dict[str, str]:
    r"""Return what is known, "as it is": \\ and \"\"\" too \""""
    return {"name": name}


def many(first: int, /, *numbers: int, scale: float = 1.0, **more: object) -> int:
    """Add."""
    return sum(numbers)


def only_named(*, name: str) -> None:
    """Do nothing."""


def test_stubs_are_python_and_have_every_name_that_is_in_the_repl() -> None:
    rlm = RLM(ScriptedModel([]), tools=[lookup, many, only_named, Tool(lookup, name="search", secrets={"limit": 1})])
    text = rlm.stubs()
    tree = ast.parse(text)
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    names |= {ast.unparse(node.target) for node in tree.body if isinstance(node, ast.AnnAssign)}
    names |= {str(alias.asname) for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    tools = {"lookup", "many", "only_named", "search"}
    assert {*INJECTED, *tools, "ctx", "llm_query", "rlm_query", "FINAL", "FINAL_VAR", "SUBMIT", "budget"} <= names
    assert 'Return what is known, "as it is"' in text
    assert "def search(name: str) -> dict[str, str]:" in text


def checked(folder: Path, stubs: str, *cells: str) -> str:
    (folder / "rlm_repl.pyi").write_text(stubs)
    files = []
    for number, cell in enumerate(cells):
        files.append(folder / f"cell_{number}.py")
        files[-1].write_text(cell)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", *map(str, files)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_type_checker_takes_a_good_cell_and_finds_what_is_wrong_with_others(tmp_path: Path) -> None:
    stubs = RLM(ScriptedModel([]), tools=[lookup, many]).stubs()
    report = checked(tmp_path, stubs, GOOD, *(f"from rlm_repl import *\n{code}\n" for code in WRONG))
    assert "cell_0" not in report, report
    assert "rlm_repl.pyi" not in report, report
    for number, (code, rule) in enumerate(WRONG.items(), 1):
        lines = [line for line in report.splitlines() if line.startswith(f"cell_{number}.py")]
        assert any(f"[{rule}]" in line for line in lines), (code, report)


async def test_an_open_session_has_stubs_too() -> None:
    async with RLM(ScriptedModel([]), tools=[lookup]).session("text") as session:
        assert "def lookup(" in session.stubs()


def test_the_stubs_of_a_tool_with_a_taken_name_are_none() -> None:
    with pytest.raises(ConfigError, match="llm_query"):
        RLM(ScriptedModel([]), tools=[Tool(lookup, name="llm_query")]).stubs()
