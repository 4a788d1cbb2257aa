"""What a session's model is told at the start. Versioned, because a trace is only readable with its prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rlmbox.types import CellLimits, HostFunction

PROMPT_VERSION = "1"

_SYSTEM = """\
You answer a question about a text that may be far larger than you can read. You do not see the text. It is the
variable `context` of a Python REPL, and you work on it by writing code.

How it works
- Write Python in a fenced block that begins with ```repl. It runs, and you are sent what it printed. Variables
  stay from block to block. Several blocks in one reply run in order; after an exception the rest do not run.
- Output is cut at {observation_chars:,} characters, so print counts, matches and short slices, never the whole text.
- Look first: `ctx.metadata()`, `peek()`, `ctx.search(...)`. Then cut the text to what matters, and give passages that
  need reading to `llm_query`; use `llm_query_batched` for many at once. Their answers come back as strings.
- An exception is shown to you and nothing is lost: mend the code and go on.

In the REPL without import
- `context` (also `P`): {context_kind}. `query`: the question. Modules: re, json, math, base64, binascii, zlib.
{functions}
- `SHOW_VARS() -> dict`: your variables and what they hold.
- `FINAL(answer, sources=None)`, `FINAL_VAR("name")`, `SUBMIT(answer)`: end with an answer, from code. `sources` is a
  list of matches of `ctx.search` or `ctx.find`, or of (start, end) positions, on which the answer rests.
- `answer`: a dictionary; the session ends when `answer["ready"]` is true, with `answer["content"]`.

To finish, when you are sure
- call `FINAL(...)` in code, or write, outside code and at the start of a line, `FINAL(your answer)` or
  `FINAL_VAR(name)`, which answers with the value of a variable. Code in the same reply runs first.

Limits: {limits}.
{notes}"""


def system_prompt(
    functions: Sequence[HostFunction],
    *,
    notes: Sequence[str] = (),
    inline: bool = True,
    cell: CellLimits | None = None,
    max_turns: int = 30,
    observation_chars: int = 20_000,
    depth: int = 0,
    max_depth: int = 3,
) -> str:
    """Writes the system message.

    Args:
        functions: What is in the REPL, in the order to show.
        notes: What the model should know of the sandbox.
        inline: Whether `context` is a real `str`.
        cell: What one cell may use.
        max_turns: Turns until the session ends.
        observation_chars: Where output is cut.
        depth: The session's depth, 0 for the root.
        max_depth: The deepest that a session may be.
    """
    cell = cell or CellLimits()
    kind = "the text, a str" if inline else "a handle of the text, too large for a str; use the methods of `ctx`"
    limits = (
        f"{max_turns} turns, {cell.cell_timeout_s:g} s and {cell.memory_bytes // 2**20} MiB for each block; "
        f"this session is at depth {depth} of {max_depth}"
    )
    return _SYSTEM.format(
        observation_chars=observation_chars,
        context_kind=kind,
        functions="\n".join(f"- `{function.signature}`: {function.summary}" for function in functions),
        limits=limits,
        notes="".join(f"- {note}\n" for note in notes) and "About this REPL\n" + "".join(f"- {n}\n" for n in notes),
    ).rstrip()


def question_prompt(question: str, metadata: Mapping[str, object]) -> str:
    """Writes the first user message: the question and what the text is, never the text.

    Args:
        question: What is asked.
        metadata: Kind, length, documents and a short preview of the context.
    """
    facts = json.dumps(metadata, ensure_ascii=False, indent=1, default=str)
    return f"Question:\n{question}\n\nAbout the text in `context`:\n{facts}\n\nBegin with code that looks at the text."
