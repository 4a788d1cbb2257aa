"""The observation at the end of a turn: the result of its code, if any, and corrections of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from rlmbox import events
from rlmbox.loop.direct import OPENED
from rlmbox.loop.history import History
from rlmbox.loop.namespace import SessionNamespace
from rlmbox.loop.observation import no_code, observe
from rlmbox.loop.progress import REPEATED, note_outcome
from rlmbox.loop.recorder import SessionRecorder
from rlmbox.loop.task import Proposal, Task
from rlmbox.types import Observation, Turn

_CUT = "Your reply was cut at the limit of its length; write less in one reply."
_REJECTED = "A person looked at your code and did not let it run: {reason}. Propose something else."
_EDITED = "A person replaced your code before it ran. What ran is:\n{code}"


class Feedback:
    """The observations of a session.

    Args:
        recorder: Records the session's events.
        model: Name of the session's model; the guard decides what it may see.
        namespace: The session's variables.
        history: The conversation.

    Attributes:
        names: The names of the REPL that the prompt mentions.
    """

    def __init__(self, recorder: SessionRecorder, model: str, namespace: SessionNamespace, history: History) -> None:
        self._recorder = recorder
        self._guard = recorder.scope.guard
        self._model = model
        self._namespace = namespace
        self._history = history
        self.names: tuple[str, ...] = ()

    async def observe(
        self,
        task: Task,
        turn: Turn,
        proposal: Proposal,
        correction: str | None,
        *,
        has_entered_loop: bool,
        remarks: Sequence[str],
    ) -> Observation:
        """Report to the model the result of its code, or that its reply had none.

        Args:
            task: The question.
            turn: The turn that was run.
            proposal: The proposal that was run.
            correction: What is wrong with the turn's answer; None if nothing is.
            has_entered_loop: True if the sandbox was started in this turn.
            remarks: Further remarks to the model, such as that a limit is near.
        """
        notes = [
            *([OPENED] if has_entered_loop else []),
            *([_EDITED.format(code=proposal.code_block)] if proposal.is_edited and turn.executions else []),
            *_restored(turn),
            *proposal.reply.notes,
            *remarks,
        ]
        quiet = not any(execution.stdout or execution.value_repr for execution in turn.executions)
        looked = bool(turn.executions) and (quiet or turn.failed)
        variables = await self._namespace.variables() if looked else None
        repeated = note_outcome(task, turn, variables, sent_back=correction is not None)
        notes += [REPEATED] if repeated and not turn.failed else []
        make = partial(
            self._made,
            task,
            turn,
            variables=variables,
            problems=_problems(proposal, correction),
            notes=notes,
            repeated=repeated,
        )
        recorded = self._recorder.next_recorded(events.ObservationMade)
        if isinstance(recorded, events.ObservationMade):  # replayed; the guard catches up before it decides anew
            self._guard.put_off(make)
            observation = recorded.observation
        else:
            shown = (text for each in turn.executions for text in (each.stdout, each.stderr, each.value_repr))
            observation = await self._recorder.scope.checked(make, turn.reply, *shown)
        self._recorder.note_guarding(turn.number, events.ObservationMade)
        made = self._recorder.note(events.ObservationMade, "OBSERVATION", turn=turn.number, observation=observation)
        told: Observation = made.observation
        self._history.add_observation(told.text)
        return told

    def _made(
        self,
        task: Task,
        turn: Turn,
        *,
        variables: Mapping[str, str] | None,
        problems: list[str],
        notes: list[str],
        repeated: bool,
    ) -> Observation:
        """Compose the message from what the guard lets through."""
        nonce = self._guard.nonce(task.number, turn)
        show = self._guard.shows(self._model, turn.number)
        if turn.executions:
            observation = observe(
                turn.cells,
                turn.executions,
                nonce=nonce,
                show=show,
                variables=variables,
                names=self.names,
                problems=problems,
                notes=notes,
                max_chars=task.limits.observation_chars,
                repeated=repeated and turn.failed,
            )
        else:
            observation = Observation(no_code(problems, notes, nonce=nonce, show=show))
        return replace(observation, text=self._guard.told(observation.text, self._model))


def _problems(proposal: Proposal, correction: str | None) -> list[str]:
    if proposal.rejected is not None:
        return [_REJECTED.format(reason=proposal.rejected)]
    cut = [_CUT] if proposal.completion.stop_reason == "length" else []
    return [*proposal.reply.problems, *([correction] if correction else []), *cut]


def _restored(turn: Turn) -> list[str]:
    names = dict.fromkeys(name for execution in turn.executions for name in execution.restored)
    if not names:
        return []
    return [f"{', '.join(names)}: assigned by your code, and what the REPL provides again from the next block on."]
