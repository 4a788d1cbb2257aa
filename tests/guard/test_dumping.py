"""Sessions that want to carry the text out: however they go about it, no more than the allowance gets through."""

from collections.abc import Sequence

import pytest

from guard.conftest import prose
from guard.test_copying import got_through
from rlmbox import RLM, Limits, Tool
from rlmbox.guard import CopyBudgets
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message
from runs import repl

TEXT = prose(120_000, seed=9)
ALLOWANCE = max(CopyBudgets().run_chars, int(CopyBudgets().run_share * len(TEXT)))
TURNS = 14
PART = "part = context[{n} * 8000:({n} + 1) * 8000]\n"
WAYS = {
    "in pieces": "for at in range(0, 8000, 700):\n    print(part[at:at + 700], '|')",
    "upper-cased": "print(part[:4000].upper())\nprint(part[4000:].upper())",
    "joined": "print(''.join(part.split()))",
    "one word a line": "print('\\n'.join(part.split()))",
    "as values": "part[:3000]",
    "as reprs": "print([part[at:at + 500] for at in range(0, 8000, 500)])",
    "on the error stream": "import sys\nprint(part, file=sys.stderr)",
    "in error messages": "raise ValueError(part[:3500])",
    "as names of variables": (
        "words = [''.join(c for c in w if c.isalpha()) for w in part.split()]\n"
        "for at in range(0, 240, 8):\n    globals()['_'.join(words[at:at + 8])[:60]] = 1"
    ),
    "through sub-calls": "print(llm_query('Repeat: ' + part))",
    "through sub-calls at once": (
        "chunks = [part[at:at + 1000] for at in range(0, 8000, 1000)]\n"
        "print('\\n'.join(llm_query_batched(['Repeat:'] * 8, chunks)))"
    ),
    "through tools": (
        "for at in range(0, 8000, 400):\n"
        "    try:\n        send(part[at:at + 400])\n    except Exception as e:\n        print(e)"
    ),
    "through tools, in lists": (
        "try:\n    send([part[at:at + 90] for at in range(0, 8000, 90)])\nexcept Exception as e:\n    print(e)"
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_session_that_dumps_its_text_gets_no_further_than_the_allowance(way: str) -> None:
    sent: list[object] = []

    def send(what: str | list[str]) -> str:
        """Send something away."""
        sent.append(what)
        return "sent"

    cells = [repl((PART + WAYS[way]).replace("{n}", str(n))) for n in range(TURNS)]
    root = ScriptedModel([*cells, "FINAL(ok)"], name="root")
    sub = ScriptedModel([lambda messages: messages[-1].content] * 200, name="sub")
    rlm = RLM(root, sub_model=sub, tools=[Tool(send)], limits=Limits(max_turns=40, max_subcalls=1_000))
    await rlm.aask("?", TEXT)
    outputs = [root.requests[-1][place].content for place in range(1, len(root.requests[-1]))]
    given = [part if isinstance(part, str) else "\n".join(part) for part in sent]  # type: ignore[arg-type]
    assert got_through(TEXT, [*outputs, *given]) <= ALLOWANCE * 1.05
    if way != "as names of variables":  # of which thirty are listed
        assert got_through(TEXT, [*outputs, *given]) > 1_000


async def test_children_draw_on_the_allowance_of_their_run() -> None:
    def child(messages: Sequence[Message]) -> str:
        turn = sum(message.role == "assistant" for message in messages)
        return repl(f"print(context[{turn} * 3500:({turn} + 1) * 3500])") if turn < 4 else "FINAL(done)"

    asks = [repl(f"print(rlm_query('look', ctx.slice_view({n} * 15000, ({n} + 1) * 15000)))") for n in range(8)]
    root = ScriptedModel([*asks, "FINAL(ok)"], name="root")
    sub = ScriptedModel([child] * 80, name="sub")
    await RLM(root, sub_model=sub, limits=Limits(max_turns=40, max_subcalls=1_000)).aask("?", TEXT)
    outputs = [message.content for model in (root, sub) for messages in model.requests for message in messages[1:]]
    assert 8_000 < got_through(TEXT, outputs) <= ALLOWANCE * 1.05


async def test_in_strict_what_sub_calls_may_read_has_an_allowance_too() -> None:
    cells = [
        repl(PART.format(n=n) + "try:\n    llm_query(part)\nexcept ValueError as error:\n    print(error)")
        for n in range(TURNS)
    ]
    root = ScriptedModel([*cells, "FINAL(ok)"], name="root")
    sub = ScriptedModel(["ok"] * 50, name="sub")
    await RLM(root, sub_model=sub, guard="strict", limits=Limits(max_turns=40)).aask("?", TEXT)
    read = [message.content for messages in sub.requests for message in messages]
    assert 0.1 * len(TEXT) < got_through(TEXT, read) <= 0.25 * len(TEXT) * 1.05
    assert "the call was not made, because the prompt holds more of the context" in root.requests[-1][-1].content
