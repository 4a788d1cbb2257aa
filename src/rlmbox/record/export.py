"""Exports of a run: a trace, training data, a report, and evidence for diagnosing a failure."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from rlmbox import __version__
from rlmbox.errors import StoreError
from rlmbox.events import (
    ApprovalAsked,
    ApprovalGiven,
    CellExecuted,
    EffectBegan,
    EffectEnded,
    ModelReplied,
    ModelRequested,
    SubcallFinished,
    SubcallStarted,
)
from rlmbox.record.jsonl_store import line_of
from rlmbox.record.private_file import write_text
from rlmbox.record.run import Run
from rlmbox.types import Message

_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
_LEAST_SECRET_CHARS = 8


def jsonl(run: Run) -> Iterator[str]:
    """Yield a run's events as JSON, one a line, as `--trace` writes them.

    Args:
        run: The run.
    """
    for event in run.events:
        yield line_of(event)


def sft(run: Run) -> Iterator[str]:
    """Yield examples for fine-tuning, one JSON object per line: the messages, and the desired reply.

    A turn whose code a person replaced has that code as the reply, and in addition `rejected_reply` (the reply of the
    model), `model_code` (empty for the edit of a fork) and `edited_code`: the pair for preference tuning. Rejected
    turns are omitted, since they have no better reply to learn from. Sub-calls are separate examples.

    Args:
        run: The run.
    """
    conversation: dict[str, list[Message]] = {}
    asked: dict[str, tuple[Message, ...]] = {}
    decided = {_turn_path(e): e for e in run.events if isinstance(e, ApprovalGiven) and e.ended == "done"}
    proposed = {_turn_path(e): e.code for e in run.events if isinstance(e, ApprovalAsked)}
    for event in run.events:
        if isinstance(event, ModelRequested):
            known = conversation.setdefault(event.session_id, [])
            known[event.messages - len(event.added) :] = event.added
            asked[event.key] = tuple(known)
        elif isinstance(event, SubcallStarted) and event.prompt:
            asked[event.key] = event.prompt
        elif isinstance(event, ModelReplied) and event.completion is not None and event.key in asked:
            path, reply = _turn_path(event), event.completion.text
            decision = decided.get(path)
            if decision is not None and decision.decision == "replace":
                yield _pair(run, asked[event.key], reply, proposed.get(path, ""), decision.code)
            elif decision is None or decision.decision == "run":
                yield _example(run, asked[event.key], reply)
        elif isinstance(event, SubcallFinished) and event.ended == "done" and event.key in asked:
            yield _example(run, asked[event.key], event.text)


def markdown(run: Run) -> Iterator[str]:
    """Yield the lines of a report that a person can read and send.

    Args:
        run: The run.
    """
    summary, answer = run.summary, run.answer
    yield from (f"# {run.question}", "")
    yield f"{summary.status}, ${summary.cost_usd:.4f}, {summary.model} in {summary.sandbox}, run `{run.run_id}`"
    yield ""
    if answer is not None:
        yield from ("## Answer", "", answer.text, "")
        for source in answer.sources:
            yield f"- {source.document}, characters {source.start:,}-{source.end:,}: {source.quote}"
    if run.error:
        yield from ("## Error", "", run.error, "")
    for turn in run.turns:
        yield from (f"## Turn {turn.number}, ${turn.cost_usd:.4f}", "")
        for place, cell in enumerate(turn.cells):
            yield from _fenced(cell.code, "python")
            if place < len(turn.executions):
                ran = turn.executions[place]
                shown = ran.stdout + (ran.value_repr or "") + (ran.error.traceback if ran.error else "")
                yield from _fenced(shown, "") if shown.strip() else ()
        if not turn.cells:
            yield from (turn.reply, "")


FORMATS: Mapping[str, Callable[[Run], Iterator[str]]] = {"jsonl": jsonl, "sft": sft, "md": markdown}
"""What a run can be exported as, by name."""


def write_evidence(run: Run, folder: Path, *, doctor: str = "") -> list[Path]:
    """Write evidence for diagnosing a failed run, without the keys of this process.

    Args:
        run: The run.
        folder: The folder to write to; it is created.
        doctor: The output of `rlmbox doctor` on this machine, if known.

    Returns:
        The files.

    Raises:
        StoreError: They cannot be written.
    """
    last = run.last_cell
    ran = [event for event in run.events if isinstance(event, CellExecuted) and event.cell.by != "engine"]
    versions = {"rlmbox": __version__, "python": sys.version, "system": platform.platform()}
    texts = {
        "trace.json": "".join(f"{line}\n" for line in jsonl(run)),
        "last_code.py": f"{last.code}\n" if last else "",
        "stderr.log": "".join(
            e.execution.stderr + (e.execution.error.traceback if e.execution.error else "") for e in ran
        ),
        "variables.json": json.dumps(_names_set(run), indent=2),
        "versions.json": json.dumps(versions, indent=2),
        "tree.txt": f"{run}\n",
        **({"doctor.txt": doctor} if doctor else {}),
    }
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        for name, text in texts.items():
            write_text(folder / name, redacted(text), "backslashreplace")
    except OSError as error:
        raise StoreError(f"the evidence cannot be written to {folder}: {error.strerror}") from None
    return [folder / name for name in texts]


def redacted(text: str) -> str:
    """Return a text without the values of environment variables that hold keys.

    Args:
        text: The text.
    """
    for name, value in os.environ.items():
        if len(value) >= _LEAST_SECRET_CHARS and any(part in name.upper() for part in _SECRET_NAMES):
            text = text.replace(value, f"[{name}]").replace(json.dumps(value)[1:-1], f"[{name}]")
    return text


def _turn_path(event: EffectBegan | EffectEnded) -> str:
    """Return the path of the turn that an effect belongs to, which is unique among questions and sessions."""
    return event.key.rpartition("/")[0]


def _pair(run: Run, prompt: tuple[Message, ...], written: str, model_code: str, edited_code: str) -> str:
    """Return the example for a turn whose code a person replaced: their code, and the model's reply."""
    pair = {"rejected_reply": written, "model_code": model_code, "edited_code": edited_code}
    return _example(run, prompt, f"```repl\n{edited_code}\n```", pair)


def _example(run: Run, prompt: tuple[Message, ...], reply: str, pair: Mapping[str, str] | None = None) -> str:
    messages = [{"role": m.role, "content": m.content} for m in (*prompt, Message("assistant", reply))]
    found = {"messages": messages, "edited": pair is not None, **(pair or {}), "run_id": run.run_id}
    return json.dumps(found, ensure_ascii=True)


def _fenced(text: str, language: str) -> Iterator[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    yield from (f"{fence}{language}", text.rstrip("\n"), fence, "")


def _names_set(run: Run) -> list[str]:
    """Return the names that the root's cells assigned, in order, as far as their source shows."""
    import ast

    found: dict[str, None] = {}
    for event in run.events:
        if isinstance(event, CellExecuted) and event.depth == 0:
            try:
                tree = ast.parse(event.cell.code)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found[node.id] = None
    return list(found)
