"""Hands out tests to the processes that run them: in order, each group of tests to one process.

pytest-xdist has this, but counts through all that a process has ever been given whenever a test ends, and gives a
process its next test when it has one left. Ten thousand tests cost it ten seconds so, and those that take a millisecond
wait for it. Its groups are also told by names that it writes where pytest 9.2 does not look any more.
"""

from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

from markers import ONE_AFTER_ANOTHER, group_of

AHEAD = 8
"""Tests that a process is given ahead of the one that it runs."""


class InOrder(LoadGroupScheduling):  # type: ignore[misc]
    """`--dist loadgroup` that forgets what is done, and keeps processes supplied with tests."""

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Take a test from those that a process has yet to run, and give it more."""
        test = self.registered_collections[node][item_index]
        units = self.assigned_work[node]
        unit = units[self._split_scope(test)]
        unit[test] = True
        if all(unit.values()):
            del units[self._split_scope(test)]
        self._reschedule(node)
        while not node.shutting_down and self._is_single_next() and self._pending_of(units) < AHEAD:
            self._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of a test's group, or of the test where it has none."""
        group = group_of(nodeid.removeprefix("tests/"))
        return nodeid if group is None else ONE_AFTER_ANOTHER[group][0]

    def _is_single_next(self) -> bool:
        """Return whether the next unit is one test; a group waits for a process that has nothing else."""
        return bool(self.workqueue) and len(next(iter(self.workqueue.values()))) == 1
