"""The rules of the house that no tool checks, such as that one name has one meaning."""

import ast
import re
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import rlmbox.errors
from rlmbox import RLM
from rlmbox.models.http11 import Http11, HttpReply, Timeouts
from rlmbox.models.templates import WrittenRequest
from rlmbox.testing import ProviderServer

SOURCE = Path(rlmbox.errors.__file__).parent


@cache
def trees() -> dict[str, ast.Module]:
    """Return what every module says, by its path."""
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text("utf-8")) for path in SOURCE.rglob("*.py")}


def types_of(tree: ast.Module) -> Iterator[str]:
    """Yield the names of the classes and of the public types that a module defines."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        targets = node.targets if isinstance(node, ast.Assign) else []
        named = [each.id for each in targets if isinstance(each, ast.Name)]
        yield from (name for name in named if name[:1].isupper() and not name.isupper())


def test_no_two_modules_define_a_class_or_a_type_of_the_same_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees().items():
        for name in types_of(tree):
            homes[name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


async def test_the_files_from_a_cell_to_the_socket_are_those_that_the_design_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed: list[list[str]] = []
    send = Http11.send

    async def watched(
        self: Http11, request: WrittenRequest, timeouts: Timeouts, on_sent: Callable[[], None]
    ) -> HttpReply:
        files = [Path(frame.filename) for frame in traceback.extract_stack()]
        passed.append([path.relative_to(SOURCE).as_posix() for path in files if path.is_relative_to(SOURCE)])
        return await send(self, request, timeouts, on_sent)

    monkeypatch.setattr(Http11, "send", watched)
    with ProviderServer(["```repl\nllm_query('?')\n```", "May", "FINAL(May)"]) as server:
        async with RLM("openai:gpt-5", base_url=server.url, api_key="k", sandbox="monty") as rlm:
            await rlm.aask("?", "text " * 9_000)
    turn, subcall, _ = passed
    design = (SOURCE.parent.parent / "docs" / "design.md").read_text("utf-8")
    told = re.findall(r"`([a-z_/]+\.py)`", design.partition("## From a cell to the socket")[2].partition("\n## ")[0])
    of_turn, of_subcall = {*turn[turn.index("loop/root_request.py") :]}, {*subcall[subcall.index("loop/subcalls.py") :]}
    assert of_turn | of_subcall == {*told}
    # The journal stands around every effect and decides nothing of a request.
    assert len(of_turn - {"record/journal.py"}) == len(of_subcall - {"record/journal.py"}) == 5


def test_the_top_of_the_package_has_at_most_ten_modules() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= 10
