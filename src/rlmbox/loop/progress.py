"""Detection of a model that makes no progress: the same cell with the same result again, or empty replies."""

from __future__ import annotations

from collections.abc import Mapping

from rlmbox.errors import Stalled
from rlmbox.loop.task import Proposal, Task
from rlmbox.types import Turn

REPEATED = (
    "The same code gave the same output as in the turn before, and will again. Use what is there already: "
    "answer, or do something else."
)
"""The model is told this when a turn that did not fail was the one before again."""


def outcome_of(turn: Turn, variables: Mapping[str, str] | None) -> tuple[str, ...] | None:
    """Return the code and the outcome of a turn, which are equal for equal turns; None without code.

    Args:
        turn: The turn.
        variables: The variables afterwards, if they were listed: code that prints nothing only changes these.
    """
    if not turn.executions:
        return None
    last = turn.executions[-1]
    if turn.failed:
        return (turn.cells[len(turn.executions) - 1].code, str(last.error))
    ran = zip(turn.cells, turn.executions, strict=False)
    gave = (part for cell, got in ran for part in (cell.code, got.stdout, got.value_repr or ""))
    return (*gave, *(f"{name}: {what}" for name, what in (variables or {}).items()))


def note_outcome(task: Task, turn: Turn, variables: Mapping[str, str] | None, *, sent_back: bool) -> bool:
    """Record a turn's outcome; return True if the previous turn had the same.

    Args:
        task: The question.
        turn: The turn.
        variables: The variables afterwards, if they were listed.
        sent_back: True if the turn's answer was sent back, which has a limit of its own.
    """
    outcome = outcome_of(turn, variables) if turn.failed or not sent_back else None
    is_repeated = outcome is not None and outcome == task.last_outcome
    # Code that prints nothing only causes a remark: it may change something that the list of variables does not show.
    is_silent = not turn.failed and not any(got.stdout or got.value_repr for got in turn.executions)
    task.repeats = task.repeats + 1 if is_repeated and not is_silent else 0
    task.last_outcome = outcome
    return is_repeated


def check_progress(task: Task, turn: Turn, proposal: Proposal, *, sent_back: bool, most: int, depth: int) -> None:
    """Check that the model does not repeat itself.

    Args:
        task: The question.
        turn: The finished turn.
        proposal: The proposal that was run in it.
        sent_back: As for `note_outcome`.
        most: Number of consecutive repetitions that are allowed.
        depth: The session's depth.

    Raises:
        Stalled: The model repeats itself.
    """
    useless = not (turn.executions or sent_back or proposal.cells) and proposal.rejected is None
    task.useless = task.useless + 1 if useless else 0
    if task.repeats + 1 < most and task.useless < most:
        return
    what = "the reply had neither code nor an answer"
    if task.useless < most:
        what = "the same cell failed in the same way" if turn.failed else "the same code gave the same output"
    raise Stalled(f"{what} {most} times in a row; more turns would not help", limit=most, used=most, depth=depth)
