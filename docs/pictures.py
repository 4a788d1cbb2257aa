"""Pictures of the terminal, made by running the product: `make pictures`.

`ask.svg` is a run over a contract with a local server in a model's place; the others are the commands' own output.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rlmbox import RLM
from rlmbox.cli.tree import LiveTree
from rlmbox.testing import ProviderReply, ProviderServer

FOLDER = Path(__file__).parent / "pictures"
WIDTH = 100
QUESTION = "What does late delivery cost, and who decides?"
REPLIES = [
    "```repl\nhits = ctx.search('penalty|late delivery')\nprint(len(hits), hits[0]['snippet'][:60])\n```",
    (
        "```repl\nreadings = llm_query_batched([f'Who decides on {h[\"match\"]}?' for h in hits],"
        " [ctx.snippet(h['start']) for h in hits])\nprint(readings)\n```"
    ),
    "The buyer.",
    "The buyer.",
    "```repl\nFINAL('5 % of the price for each week; the buyer decides', sources=hits[:1])\n```",
]


def contract() -> str:
    """Return a text with two clauses that matter among three hundred."""
    clauses = [f"Clause {n}. The parties agree on matter {n}, as set out in schedule {n}." for n in range(1, 300)]
    clauses[149] = "Clause 150. Late delivery costs a penalty of 5 % of the price for each week."
    clauses[150] = "Clause 151. The buyer decides whether a penalty is due."
    return "\n\n".join(clauses)


def picture_of_a_run() -> Console:
    """Return a console that recorded the live tree of a run."""
    console = Console(record=True, file=io.StringIO(), width=WIDTH, height=60, color_system="truecolor")
    replies = [ProviderReply(text, input_tokens=2_400, output_tokens=120) for text in REPLIES]
    with ProviderServer(replies) as server, LiveTree(console) as tree:
        rlm = RLM("openai:gpt-5", base_url=server.openai_url, api_key="sk-x", hooks=[tree])
        rlm.ask(QUESTION, contract())
    return console


def picture_of(*arguments: str) -> Console:
    """Return a console that recorded what a command prints."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    done = subprocess.run(
        [sys.executable, "-m", "rlmbox", *arguments], capture_output=True, check=True, text=True, env=environment
    )
    console = Console(record=True, file=io.StringIO(), width=WIDTH)
    console.print(Text.from_ansi(done.stdout))
    return console


def main() -> None:
    """Make every picture."""
    FOLDER.mkdir(exist_ok=True)
    made = {
        "ask": (picture_of_a_run(), "rlmbox ask"),
        "doctor": (picture_of("doctor"), "rlmbox doctor"),
        "models": (picture_of("models", "openai:gpt-5"), "rlmbox models openai:gpt-5"),
    }
    for name, (console, title) in made.items():
        console.save_svg(str(FOLDER / f"{name}.svg"), title=title)


if __name__ == "__main__":
    main()
