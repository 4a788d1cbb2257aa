"""The live tree in a terminal that is lower than the tree: the newest turn is shown, and at the end all of it."""

import io
import re

import pytest
from rich.console import Console

from cli.screen import Screen
from rlmbox import RLM
from rlmbox.cli.tree import LiveTree
from rlmbox.events import CellExecuted, Event
from rlmbox.testing import ScriptedModel
from runs import repl

TURNS = 12
CODE = "for i in range(3):\n    print('number', i, 'of {turn}')\nx = {turn}"


async def watched(width: int, height: int) -> tuple[list[list[str]], Screen]:
    """Return what was on the screen after each turn's cell, and the screen at the end."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, height=height, color_system=None)
    seen: list[list[str]] = []
    screen, fed = Screen(width, height), 0

    def feed() -> None:
        nonlocal fed
        written = stream.getvalue()
        screen.feed(written[fed:])
        fed = len(written)

    def look(event: Event) -> None:
        if isinstance(event, CellExecuted) and event.cell.by != "engine":
            tree.refresh()
            feed()
            seen.append(list(screen.visible()))

    replies = [repl(CODE.format(turn=turn)) for turn in range(1, TURNS)]
    with LiveTree(console) as tree:
        rlm = RLM(ScriptedModel([*replies, repl("FINAL('May')")], name="root"), hooks=[tree, look])
        await rlm.aask("When?", "It begins in May.")
    feed()
    return seen, screen


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 20), (80, 12), (200, 100)])
async def test_the_newest_turn_is_always_on_the_screen(width: int, height: int) -> None:
    seen, _ = await watched(width, height)
    assert len(seen) == TURNS
    for turn, rows in enumerate(seen, 1):
        assert any(re.search(rf"turn {turn}\b", row) for row in rows), "\n".join(rows)
        assert any("When?" in row for row in rows), "\n".join(rows)
        assert re.search(r"\d s", rows[-1]), "\n".join(rows)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 20)])
async def test_at_the_end_the_whole_tree_stands_there_once(width: int, height: int) -> None:
    _, screen = await watched(width, height)
    rows = "\n".join(screen.everything())
    for turn in range(1, TURNS + 1):
        assert len(re.findall(rf"turn {turn}\b", rows)) == 1
    assert "lines above" not in rows
