"""The message to the model after a turn: output, errors with a hint, and corrections, within a length limit.

Cells of one reply run in order; after one that fails the rest do not run, because they were written on the assumption
that it would work, and the observation says how many did not. Output and error messages stand between delimiters with a
nonce, so that no text can pose as the system's. Nothing here reads or runs anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rlmbox.guard import MAX_MARKER_CHARS, Shown, bounded, quote
from rlmbox.loop.hints import close_names, hint
from rlmbox.types import Cell, CellError, Execution, Observation

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
_MIN_CHARS = 100  # minimum length that a message may have


class Show(Protocol):
    """Returns the part of a text from the sandbox that a model may see; see `rlmbox.guard.RunGuard.show`."""

    def __call__(self, text: str, *, max_chars: int, dropped_chars: int = 0) -> Shown:
        """Return at most `max_chars` characters of a text."""
        ...


@dataclass(frozen=True, slots=True)
class _OutputPart:
    """A label and a trailing remark that are always shown, and between them a text that may be cut.

    Attributes:
        label: The system's words before the text.
        text: The text from the sandbox; empty for none.
        dropped_chars: Number of its characters that the sandbox dropped.
        after: The system's words after it.
    """

    label: str
    text: str = ""
    dropped_chars: int = 0
    after: str = ""

    @property
    def has_text(self) -> bool:
        """True if there is a text to show, or a notice that it is not shown."""
        return bool(self.text or self.dropped_chars)


def observe(
    cells: Sequence[Cell],
    executions: Sequence[Execution],
    *,
    nonce: str,
    show: Show,
    variables: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
    max_chars: int = 20_000,
    repeated: bool = False,
) -> Observation:
    """Write the message that follows a turn.

    Short texts are shown in full; long ones share the remaining room evenly (max-min fairness), keeping the head and
    the tail of each.

    Args:
        cells: The cells of the reply, in order.
        executions: The executions of those that ran, in the same order; fewer than `cells` if one failed.
        nonce: The nonce in the delimiters of this turn, from `rlmbox.guard.new_nonce`; no earlier text contains it.
        show: Returns what a model may see of a text; applied to everything but the system's own words.
        variables: The variables afterwards, as returned by `Sandbox.variables`; None if unknown.
        names: The other names in the REPL, such as host functions, for "did you mean".
        problems: Corrections of the reply's form, from `parse_reply`.
        notes: Further sentences for the model.
        max_chars: Maximum length of the message in characters; at least 100 are always allowed.
        repeated: Whether the failed cell failed in the same way in the previous turn.
    """
    max_chars = max(max_chars, _MIN_CHARS)
    told = _Told(show, nonce)
    parts = [
        part
        for index, execution in enumerate(executions)
        for part in _parts(
            execution, _title(index, len(cells)), _listed(variables, index, executions), variables, names
        )
    ]
    later = _later(len(cells) - len(executions), repeated=repeated)
    remarks = told.remarks([*later, *problems, *notes], max_chars // 3)
    frame = len(quote("", nonce)) + len("\n") + MAX_MARKER_CHARS
    fixed = len(remarks) + sum(len(p.label) + len(p.after) + 3 + (frame if p.has_text else 0) for p in parts)
    if parts and fixed > max_chars:  # thousands of cells
        text, hidden = bounded("\n".join([*(part.label for part in parts), remarks]), max_chars - MAX_MARKER_CHARS)
        hidden += sum(len(part.text) + part.dropped_chars for part in parts)
        return Observation(text, told.hidden_chars + hidden)
    room = shares([len(part.text) for part in parts], max_chars - fixed)
    blocks = [told.part(part, share) for part, share in zip(parts, room, strict=True)]
    text = "\n".join(block for block in (*blocks, *told.notices, remarks) if block) or "(nothing ran)"
    return Observation(text, told.hidden_chars)


class _Told:
    """Composes texts for a message, and records what was left out of them.

    Attributes:
        hidden_chars: Number of characters left out for length.
        notices: Notices to the model on texts that were cut for their content, each once.
    """

    def __init__(self, show: Show, nonce: str) -> None:
        self._show = show
        self._nonce = nonce
        self.hidden_chars = 0
        self.notices: dict[str, None] = {}

    def part(self, part: _OutputPart, max_chars: int) -> str:
        """Return a part of an output with its label, its text between delimiters."""
        shown = quote(self._shown(part.text, max_chars, part.dropped_chars), self._nonce) if part.has_text else ""
        after = self.plain(part.after, len(part.after))
        return "\n".join(piece for piece in (part.label, shown, after) if piece)

    def remarks(self, remarks: Sequence[str], max_chars: int) -> str:
        """Return remarks, one per line; the text of a remark after its first line stands between delimiters."""
        lines = []
        for remark in remarks:
            first, _, rest = remark.partition("\n")
            lines.append(self.plain(first, _MAX_REMARK_CHARS))
            if rest:
                lines.append(quote(self.plain(rest, _MAX_REMARK_CHARS), self._nonce))
        text, hidden = bounded("\n".join(lines), max_chars)
        self.hidden_chars += hidden
        return text

    def plain(self, text: str, max_chars: int) -> str:
        """Return words of the system, which may include names and values from the sandbox."""
        return self._shown(text, max_chars + MAX_MARKER_CHARS, 0) if text else ""

    def _shown(self, text: str, max_chars: int, dropped_chars: int) -> str:
        shown = self._show(text, max_chars=max(max_chars, 0), dropped_chars=dropped_chars)
        self.hidden_chars += shown.hidden_chars
        if shown.notice:
            self.notices[shown.notice] = None
        return shown.text


def no_code(problems: Sequence[str] = (), notes: Sequence[str] = (), *, nonce: str, show: Show) -> str:
    """Write the message for a reply with neither code nor a final answer.

    Args:
        problems: Problems that `parse_reply` found, which replace the general message.
        notes: Further sentences for the model.
        nonce: As for `observe`.
        show: As for `observe`.
    """
    return _Told(show, nonce).remarks([*(problems or [_NO_CODE]), *notes], 4 * _MAX_REMARK_CHARS)


def missing_variable(name: str, variables: Mapping[str, str]) -> str:
    """Write the message for `FINAL_VAR` of a variable that does not exist.

    Args:
        name: The requested name.
        variables: The existing variables, as returned by `Sandbox.variables`.
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
    """Yield the parts of one cell: its output and value, its error stream, its error."""
    printed, stderr = execution.stdout.rstrip("\n"), execution.stderr.rstrip("\n")
    dropped = execution.dropped_chars
    if execution.value_repr is not None:
        printed = f"{printed}\n{execution.value_repr}" if printed else execution.value_repr
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
        yield _OutputPart(title, after=nothing)


def _traceback(error: CellError) -> str:
    return error.traceback.strip("\n") or f"{error.type}: {error.message}".removesuffix(": ")


def _later(count: int, *, repeated: bool) -> list[str]:
    later = [f"{count} later cell{'s' if count > 1 else ''} did not run."] if count > 0 else []
    return [*later, _REPEATED] if repeated else later


def _names(variables: Mapping[str, str]) -> str:
    names = [name for name in variables if name.isidentifier() and len(name) <= _MAX_NAME_CHARS]
    more = len(variables) - len(names[:_MAX_NAMES])
    return ", ".join([*names[:_MAX_NAMES], *([f"and {more:,} more"] if more else [])])


def shares(lengths: Sequence[int], room: int) -> list[int]:
    """Divide room among texts so that short ones fit in full and long ones get equal shares.

    Args:
        lengths: Their lengths.
        room: Total room.
    """
    found = [0] * len(lengths)
    left = max(room, 0)
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    for place, index in enumerate(order):
        found[index] = min(lengths[index], left // (len(order) - place))
        left -= found[index]
    return found
