"""A session for code that does not use `await`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rlmbox.budget.limits import Limits
from rlmbox.loop.task import Proposal, Task
from rlmbox.sync import run_blocking
from rlmbox.types import Answer, Cost, Step

if TYPE_CHECKING:
    from rlmbox.loop.session import Session


class BlockingSession:
    """A session for code that does not use `await`, as in `with rlm.session(...)`.

    Args:
        session: The session, which is open.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def task(self) -> Task | None:
        """The current question, or the last one."""
        return self._session.task

    @property
    def answer(self) -> Answer | None:
        """The answer to the current question, once there is one."""
        return self._session.answer

    @property
    def final_answer(self) -> Answer | None:
        """The answer to the current question, once there is one."""
        return self._session.answer

    @property
    def is_finished(self) -> bool:
        """True if the current question has its answer or has failed."""
        return self._session.is_finished

    def ask(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Answer:
        """Ask a question of the text and wait for the answer; see `Session.ask`."""
        return run_blocking(lambda: self._session.ask(question, returns=returns, limits=limits))

    def begin(self, question: str, *, returns: Any = None, limits: Limits | None = None) -> Task:
        """Put a question, to be answered by `step()` or `run()`; see `Session.begin`."""
        return run_blocking(lambda: self._session.begin(question, returns=returns, limits=limits))

    @property
    def cost(self) -> Cost:
        """The cost of the whole session until now."""
        return self._session.cost

    def variables(self) -> Mapping[str, str]:
        """Return the variables that code has set; see `Session.variables`."""
        return run_blocking(self._session.variables)

    def plan_next_step(self) -> Proposal:
        """Ask the model for its next step; see `Session.plan_next_step`."""
        return run_blocking(self._session.plan_next_step)

    def execute_step(self, proposal: Proposal) -> Step:
        """Run a proposal; see `Session.execute_step`."""
        return run_blocking(lambda: self._session.execute_step(proposal))

    def inject_rejection(self, reason: str) -> None:
        """Reject the last proposal; see `Session.inject_rejection`."""
        self._session.inject_rejection(reason)

    def step(self) -> Step:
        """Take one turn; see `Session.step`."""
        return run_blocking(self._session.step)

    def run(self) -> Answer:
        """Take turns until there is an answer; see `Session.run`."""
        return run_blocking(self._session.run)
