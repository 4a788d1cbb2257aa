"""A digest of turns that are removed from the conversation: what each did and printed, within a length."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rlmbox.loop.observation import shares
from rlmbox.types import Turn
from rlmbox.usage import quantity

_MOST_NOTE_CHARS = 600
_LEAST_NOTE_CHARS = 48
_CODE_CHARS = 100
_FINDING_CHARS = 200
_MOST_VARIABLES = 60
_MORE = "..."  # ASCII, which the guard scans fastest
_KEPT_NOTES = 2_048
_DIGIT = re.compile(r"\d")
_FINDING = 3  # rank of a line with a result
_LABEL = re.compile(
    r"REPL output( of cell \d+ of \d+)?:|stderr:|\(no output.*\)|\(nothing ran\)|\d+ later cells? did not run\."
    r"|</?output \w{4,32}>"
)
_IDLE_LINE = re.compile(r"\s*(#.*|import .*|from .* import .*|)\s*")


@dataclass(frozen=True, slots=True)
class TurnNote:
    """A note of a turn, or of a question.

    Attributes:
        question: Number of the question within the session.
        turn: Number of the turn within the question; 0 for the question itself.
        at: Index of its first message among all messages of the session.
        did: The first line of each cell; for a question, its text.
        printed: The output of its cells, line by line, as the model saw it.
        answer: The answer, if the turn submitted one.
        times: Number of consecutive turns that did the same and printed the same.
    """

    question: int
    turn: int
    at: int
    did: str = ""
    printed: tuple[str, ...] = ()
    answer: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the digest: its head, findings that may be cut, and its rank."""

    head: str
    findings: tuple[str, ...]
    rank: int

    def within(self, chars: int) -> str:
        """Return the line in at most `chars` characters; findings may take up to two thirds of them."""
        printed = len(" | ".join(self.findings))
        head = _cut(self.head, max(chars // 3, chars - printed - 4))
        found = _chosen(self.findings, chars - len(head) - 4)
        return f"{head} -> {found}" if found else _cut(self.head, chars)


def note_of(question: int, turn: Turn, told: str, at: int) -> TurnNote:
    """Return the note of a turn.

    Args:
        question: Number of the question.
        turn: The turn.
        told: The message to the model about it.
        at: Index of its reply among all messages of the session.
    """
    firsts = (_first_line(cell.code) for cell in turn.cells[: max(len(turn.executions), 1)])
    did = "; ".join(line for line in firsts if line)
    printed: list[str] = []
    for line in told.splitlines():
        line = " ".join(line.split())
        if line and not _LABEL.fullmatch(line):
            printed.append(line[:_FINDING_CHARS])
    return TurnNote(question, turn.number, at, _cut(did, _CODE_CHARS), _bounded(printed))


def digest_of(
    notes: Sequence[TurnNote],
    variables: Mapping[str, str],
    *,
    left_out: int,
    room_chars: int,
    quoted: Callable[[str], str],
) -> str:
    """Return the digest: what was left out, the existing variables, and what each turn did and printed.

    If there is not enough room for every turn, turns that printed nothing are dropped first, then those without a
    figure, then the oldest; the digest says how many were dropped.

    Args:
        notes: The turns and questions, in order.
        variables: The variables of the REPL, each with a short description.
        left_out: Number of messages left out.
        room_chars: Maximum length of the digest.
        quoted: Puts the output of code between delimiters.
    """
    head = heading(notes, left_out)
    listed = variables_in_words(variables, room_chars // 4)
    lines = _fitted([_line_of(note) for note in _merged(notes)], room_chars - len(head) - len(listed) - 120)
    return "\n".join([head, listed, "What each turn did -> and printed:", quoted("\n".join(lines))])


def heading(notes: Sequence[TurnNote], left_out: int) -> str:
    """Return the sentence that describes what a digest replaces.

    Args:
        notes: The turns and questions that it replaces.
        left_out: Number of messages left out.
    """
    turns = [note for note in notes if note.turn]
    return (
        f"[HISTORY DIGEST] This conversation became long: {quantity(left_out, 'message')}, "
        f"{quantity(len(turns), 'turn')}, are left out of it and summed up here. The REPL has lost "
        "nothing. Do not do the work again: use the variables and the "
        "figures below, and print a variable to see it whole."
    )


def variables_in_words(variables: Mapping[str, str], most_chars: int) -> str:
    """Return one line that lists the existing variables.

    Args:
        variables: The variables, each with a short description.
        most_chars: Maximum length.
    """
    named = [
        f"{name} ({_cut(' '.join(what.split()), 60)})" for name, what in list(variables.items())[-_MOST_VARIABLES:]
    ]
    while named and sum(len(each) + 2 for each in named) > most_chars:
        named.pop(0)
    more = len(variables) - len(named)
    shown = ", ".join([*([f"{more:,} more (see SHOW_VARS())"] if more else []), *named])
    return f"Variables: {shown}." if shown else "No variable is set."


def _merged(notes: Sequence[TurnNote]) -> list[TurnNote]:
    found: list[TurnNote] = []
    for note in notes:
        last = found[-1] if found else None
        same = last is not None and last.turn and note.turn and (last.did, last.printed) == (note.did, note.printed)
        if last is not None and same:
            found[-1] = replace(last, times=last.times + 1)
        else:
            found.append(note)
    return found


@lru_cache(_KEPT_NOTES)  # every compaction formats a session's notes again
def _line_of(note: TurnNote) -> _Line:
    if not note.turn:
        return _Line(f"Question {note.question}: {_cut(note.did, 300)}", (), 4)
    if note.answer:
        return _Line(f"{note.turn}. answered: {_cut(note.answer, 300)}", (), 4)
    until = f"-{note.turn + note.times - 1}" if note.times > 1 else ""
    head = f"{note.turn}{until}. {note.did or '(no code)'}"
    if not note.printed:
        return _Line(head, (), 0)
    has_figure = any(map(_DIGIT.search, note.printed))
    is_short = sum(map(len, note.printed)) <= _FINDING_CHARS
    # Long output is mostly the text itself, which can be read again; a short line with a figure is a result.
    return _Line(head, note.printed, (_FINDING if is_short else 2) if has_figure else 1)


def _fitted(lines: Sequence[_Line], room_chars: int) -> Iterator[str]:
    """Yield the lines that fit: findings in full if possible, the others in the remaining room."""
    kept = _ranked(lines, room_chars // _LEAST_NOTE_CHARS)
    if len(kept) < len(lines):
        yield f"({quantity(len(lines) - len(kept), 'turn')} with the least to tell not listed)"
    wanted = {index: _whole_chars(lines[index]) + 1 for index in kept}
    findings = [index for index in kept if lines[index].rank >= _FINDING]
    others = [index for index in kept if lines[index].rank < _FINDING]
    for_others = min(_LEAST_NOTE_CHARS * len(others), sum(wanted[index] for index in others))
    given = dict(zip(findings, shares([wanted[i] for i in findings], room_chars - for_others), strict=True))
    left = room_chars - sum(given.values())
    given |= dict(zip(others, shares([wanted[i] for i in others], left), strict=True))
    for index in kept:
        yield _cut(lines[index].within(given[index] - 1), max(given[index] - 1, _LEAST_NOTE_CHARS - 1))


@lru_cache(_KEPT_NOTES)
def _whole_chars(line: _Line) -> int:
    """Return the length of a line without cutting."""
    return len(line.within(_MOST_NOTE_CHARS))


def _ranked(lines: Sequence[_Line], most: int) -> list[int]:
    """Return the indices of at most `most` lines: higher ranks first, the newest first within a rank."""
    order = sorted(range(len(lines)), key=lambda index: (lines[index].rank, index), reverse=True)
    return sorted(order[: max(most, 1)])


def _chosen(findings: Sequence[str], chars: int) -> str:
    """Join findings in order; if not all fit, prefer short ones with a figure."""
    joined = " | ".join(findings)
    if len(joined) <= chars or not findings:
        return joined
    order = _by_worth(tuple(findings))
    kept, left = set[int](), chars - len(" | ") - len(_MORE)
    for index in order:
        if len(findings[index]) + 3 <= left:
            kept.add(index)
            left -= len(findings[index]) + 3
    if not kept:
        return _cut(findings[order[0]], max(chars, 1))
    return " | ".join([*(findings[index] for index in sorted(kept)), _MORE])


@lru_cache(_KEPT_NOTES)
def _by_worth(findings: tuple[str, ...]) -> tuple[int, ...]:
    """Return the indices of findings, those with a figure first and short ones before long ones."""
    places = range(len(findings))
    return tuple(sorted(places, key=lambda place: (_DIGIT.search(findings[place]) is None, len(findings[place]) > 80)))


def _bounded(lines: list[str]) -> tuple[str, ...]:
    """Return lines in at most `_MOST_NOTE_CHARS`, chosen as for a digest."""
    chosen = _chosen(lines, _MOST_NOTE_CHARS)
    return tuple(chosen.split(" | ")) if chosen else ()


def _first_line(code: str) -> str:
    return next(
        (line.strip() for line in code.splitlines() if not _IDLE_LINE.fullmatch(line)), code.strip()[:_CODE_CHARS]
    )


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: max(chars - len(_MORE), 0)] + _MORE
