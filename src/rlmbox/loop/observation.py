"""The message to the model after a turn: output, errors with a hint, and corrections, within a bound.

Cells of one reply run in order; after one that fails the rest do not run, because they were written in the belief
that it would work, and the observation says how many did not. Pure functions: nothing here reads or runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rlmbox.loop.hints import close_names, hint
from rlmbox.types import Cell, CellError, Execution, Observation

_HIDDEN = "... [{count:,} characters hidden; print less, or look at a slice] ..."
_BINARY = "[binary output, {count:,} characters, not shown]"
_ERROR = "[SYSTEM EXECUTION ERROR]"
_REPEATED = (
    "The same cell failed in the same way as in the turn before. Do something different: "
    "print the values it works on, or go about it another way."
)
_NO_CODE = (
    "Your reply has no code and no final answer. Write Python in a block that begins with ```repl and ends with ```, "
    "or end with FINAL(your answer) on a line of its own."
)
_MAX_REMARK_CHARS = 1_000
_MAX_NAMES = 30
_MAX_NAME_CHARS = 60
_BINARY_SHARE = 0.3

# C0 controls but tab, line ends and form feed; DEL and C1; the replacement character; bytes that were not text.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")  # no provider can be sent one


@dataclass(frozen=True, slots=True)
class _OutputPart:
    """A label that is always shown, a text that may be cut, and what is always shown after it."""

    label: str
    text: str
    dropped_chars: int = 0
    after: str = ""


def observe(
    cells: Sequence[Cell],
    executions: Sequence[Execution],
    *,
    variables: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
    max_chars: int = 20_000,
    repeated: bool = False,
) -> Observation:
    """Writes the one message that follows a turn.

    Short texts are shown whole; the long ones share the rest of the room evenly (max-min fairness), and of each the
    head and the tail are kept.

    Args:
        cells: The cells of the reply, in order.
        executions: What those that ran gave, in the same order; fewer than `cells` where one failed.
        variables: The variables afterwards, as `Sandbox.variables` gives them; None where they are not known.
        names: The other names in the REPL, such as host functions, for "did you mean".
        problems: Corrections of the reply's form, from `parse_reply`.
        notes: Further sentences for the model.
        max_chars: Longest message in characters; where it is below 100 the message may have up to 100.
        repeated: Whether the cell that failed did so in the turn before.
    """
    max_chars = max(max_chars, 0)
    parts = [
        part
        for index, execution in enumerate(executions)
        for part in _parts(
            execution, _title(index, len(cells)), _listed(variables, index, executions), variables, names
        )
    ]
    remarks, hidden = _cut(_remarks(len(cells) - len(executions), problems, notes, repeated), max_chars // 3)
    fixed = len(remarks) + sum(len(part.label) + len(part.after) + 3 for part in parts)
    room = shares([len(part.text) + (len(_marker(part.dropped_chars)) + 1) for part in parts], max_chars - fixed)
    blocks: list[str] = []
    for part, share in zip(parts, room, strict=True):
        shown, count = _cut(part.text, share, part.dropped_chars)
        hidden += count
        blocks.append("\n".join(piece for piece in (part.label, shown, part.after) if piece))
    text = "\n".join([*blocks, remarks] if remarks else blocks) or "(nothing ran)"
    text, count = _cut(_SURROGATE.sub("\ufffd", text), max_chars)
    return Observation(text, hidden + count)


def no_code(problems: Sequence[str] = (), notes: Sequence[str] = ()) -> str:
    """Writes the message for a reply with neither code nor a final answer.

    Args:
        problems: What `parse_reply` found wrong with it; told in place of the general message.
        notes: Further sentences for the model.
    """
    return _cut(_remarks(0, problems or [_NO_CODE], notes, repeated=False), 4 * _MAX_REMARK_CHARS)[0]


def missing_variable(name: str, variables: Mapping[str, str]) -> str:
    """Writes the message for `FINAL_VAR` of a variable that is not there.

    Args:
        name: The name that was asked for.
        variables: The variables there are, as `Sandbox.variables` gives them.
    """
    meant = close_names(name, variables)
    guess = f" Did you mean {' or '.join(meant)}?" if meant else ""
    shown = name[:_MAX_NAME_CHARS]
    there = f"Variables: {_names(variables)}." if variables else "No variable has been set yet."
    return (
        f"FINAL_VAR: there is no variable {shown!r}.{guess} {there} "
        "Set it in a ```repl block first, or give the answer itself with FINAL(your answer)."
    )


def _title(index: int, cells: int) -> str:
    return "REPL output:" if cells <= 1 else f"REPL output of cell {index + 1} of {cells}:"


def _listed(variables: Mapping[str, str] | None, index: int, executions: Sequence[Execution]) -> str:
    if variables is None or index < len(executions) - 1:
        return "(no output)"
    return f"(no output; variables: {_names(variables)})" if variables else "(no output; no variables yet)"


def _parts(
    execution: Execution,
    title: str,
    nothing: str,
    variables: Mapping[str, str] | None,
    names: Sequence[str],
) -> Iterator[_OutputPart]:
    """Return the parts of one cell: what it printed with its value, its error stream, its error."""
    printed = _readable(execution.stdout.rstrip("\n"))
    stderr = _readable(execution.stderr.rstrip("\n"))
    dropped = execution.dropped_chars
    if execution.value_repr is not None:
        value = _readable(execution.value_repr)
        printed = f"{printed}\n{value}" if printed else value
    if printed or (dropped and not stderr):
        yield _OutputPart(title, printed, dropped)
        title, dropped = "", 0
    if stderr:
        yield _OutputPart(f"{title}\nstderr:".lstrip("\n"), stderr, dropped)
        title = ""
    if execution.outcome != "ok" or execution.error is not None:
        error = execution.error or CellError(execution.outcome, "the cell was ended")
        label = f"{title}\n{_ERROR}".lstrip("\n") if " of cell " in title else _ERROR
        advice = hint(error, execution.outcome, execution.namespace, [*(variables or {}), *names])
        yield _OutputPart(label, _traceback(error), after=f"Hint: {advice}")
    elif title:
        yield _OutputPart(title, nothing)


def _traceback(error: CellError) -> str:
    text = error.traceback.strip("\n") or f"{error.type}: {error.message}".removesuffix(": ")
    return _UNREADABLE.sub("?", text)


def _readable(text: str) -> str:
    """Return a text as it is, or a name for it where it looks binary."""
    unreadable = sum(1 for _ in _UNREADABLE.finditer(text))
    if "\0" in text or unreadable > _BINARY_SHARE * len(text):
        return _BINARY.format(count=len(text))
    return text


def _remarks(later: int, problems: Sequence[str], notes: Sequence[str], repeated: bool) -> str:
    lines = [_cut(remark, _MAX_REMARK_CHARS)[0] for remark in (*problems, *notes)]
    if repeated:
        lines.insert(0, _REPEATED)
    if later > 0:
        lines.insert(0, f"{later} later cell{'s' if later > 1 else ''} did not run.")
    return "\n".join(lines)


def _names(variables: Mapping[str, str]) -> str:
    names = [name for name in variables if name.isidentifier() and len(name) <= _MAX_NAME_CHARS]
    more = len(variables) - len(names[:_MAX_NAMES])
    return ", ".join([*names[:_MAX_NAMES], *([f"and {more:,} more"] if more else [])])


def _marker(hidden_chars: int) -> str:
    return _HIDDEN.format(count=hidden_chars) if hidden_chars else ""


def _cut(text: str, max_chars: int, dropped_chars: int = 0) -> tuple[str, int]:
    """Keeps the head and the tail of a text and counts what is missing, with what was dropped before.

    Returns:
        The text and the count of hidden characters. Where the room is less than the mark that
        takes the middle's place, the text is that mark.
    """
    whole = "\n".join(piece for piece in (text, _marker(dropped_chars)) if piece)
    if len(whole) <= max_chars:
        return whole, dropped_chars
    kept = max(max_chars - len(_marker(len(text) + dropped_chars)) - 2, 0)
    if kept < 2:
        hidden = len(text) + dropped_chars
        return _marker(hidden), hidden
    head, tail = text[: kept - kept // 2], text[-(kept // 2) :]
    hidden = len(text) - len(head) - len(tail) + dropped_chars
    return f"{head}\n{_marker(hidden)}\n{tail}", hidden


def shares(lengths: Sequence[int], room: int) -> list[int]:
    """Divide room among texts so that short ones are whole and long ones get equal parts.

    Args:
        lengths: Their lengths.
        room: What there is for all of them.
    """
    found = [0] * len(lengths)
    left = max(room, 0)
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    for place, index in enumerate(order):
        found[index] = min(lengths[index], left // (len(order) - place))
        left -= found[index]
    return found
