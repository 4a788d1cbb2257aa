"""Makes a replay test of every session that the tests of the loop run to its end; `conftest.py` has it run.

Each run is recorded in memory. When its test is over, its events are folded, and it is replayed offline by the object
that ran it; the replay has to show the same events and to end in the same way. So whoever adds to the loop something
that is not told by events, or that cannot be read back, hears of it from the tests that exist already.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest

from rlmbox import RLM, Run
from rlmbox.errors import RLMError
from rlmbox.events import CellDiffered, Event, QuestionAsked, RunResumed, SessionFailed, SessionFinished, to_json
from rlmbox.record.fold import fold
from rlmbox.record.hiding import whole, without_table
from rlmbox.record.journal import Journal, MemoryStore
from rlmbox.record.past import TOLD, Past

PLACES = re.compile(r"tests/test_(session|concluding|subcalls|steering|guarding|hooks|spend)\w*\.py::")
"""Where the tests are whose sessions are replayed, too."""

LEFT_OUT = frozenset(
    {
        "test_events_show_the_states_in_their_order",  # a recorded run has an event more, its first
        "test_the_choice_of_auto_is_an_event_with_its_reason",
        "test_a_stream_ends_with_the_answer",
        "test_an_async_hook_that_hangs_is_given_up_after_the_run",  # its replay would wait for the hook, too
    }
)


def is_over(events: list[Event]) -> bool:
    """True for a run whose questions were all answered or failed by themselves."""
    root = [e for e in events if e.depth == 0 and type(e) in TOLD]
    asked = sum(isinstance(e, QuestionAsked) for e in root)
    ends = [e for e in root if isinstance(e, SessionFinished | SessionFailed)]
    cut = any(isinstance(e, SessionFailed) and e.error_type == "CancelledError" for e in events)
    return bool(root) and root[-1] in ends and len(ends) == asked and not cut


def by_hand(events: list[Event]) -> bool:
    """True for a run that a program drove step by step, which the record of the session does not replay by itself."""
    approved = {e.turn for e in events if e.kind == "approval_given"}  # type: ignore[attr-defined]
    cells = (e.cell for e in events if e.kind == "cell_started")  # type: ignore[attr-defined]
    return any(cell.by == "person" and cell.turn not in approved for cell in cells)


async def replayed(rlm: RLM, store: MemoryStore, run_id: str) -> None:
    events = list(await store.read(run_id))
    if not is_over(events) or by_hand(events) or any(isinstance(e, RunResumed) for e in events):
        return
    run, state = Run(tuple(whole(events))), fold(events)
    assert state.spent_usd == run.cost_usd
    assert not Past(events).unanswered, "what was paid for has its end, under the same key"
    assert str(run)
    seen: list[Event] = []
    anew: list[str] = []
    rlm._setup.hooks = (seen.append,)
    try:
        with patch.object(Journal, "add", noting(Journal.add, anew)):
            answer = await rlm.areplay(run_id)
    except RLMError as error:
        ended = f"{type(error).__name__}: {error}"
        assert run.error == ended
    else:
        assert run.error is None, run.error
        assert to_json(answer.text) == to_json(run.answer.text if run.answer else None)
        assert answer.cost_usd == run.cost_usd
    # A cell that a limit cut, which ended the run, has no end in the record.
    assert run.error or not anew, f"{anew} would be recorded twice where a run is resumed; see CONTRIBUTING.md"
    # The values that the guard hid are in the run's record, for its owner, and no hook sees them.
    told = [without_table(event) for event in events]
    if seen != told:  # what is equal has an equal form, which takes ten times as long to make
        assert [to_json(event) for event in seen] == [to_json(event) for event in told]


def noting(add: Callable[[Journal, Event], Event], kinds: list[str]) -> Callable[[Journal, Event], Event]:
    """Return a journal's `add` that notes what a replay would record for a second time."""

    def noted(journal: Journal, event: Event) -> Event:
        if event.KEPT and journal.is_sealed and not isinstance(event, CellDiffered):
            kinds.append(event.kind)
        return add(journal, event)

    return noted


@pytest.fixture(autouse=True)
def replays_every_session(request: pytest.FixtureRequest) -> Iterator[None]:
    name = getattr(request.node, "originalname", request.node.name)
    if not PLACES.match(request.node.nodeid) or name in LEFT_OUT or request.config.getoption("fast"):
        yield
        return
    made: list[tuple[RLM, MemoryStore]] = []
    usual = RLM.__init__

    def recording(self: RLM, *arguments: object, **options: object) -> None:
        if options.get("store") is not None or options.get("record"):
            usual(self, *arguments, **options)  # type: ignore[arg-type]
            return
        store = MemoryStore()
        usual(self, *arguments, **{**options, "store": store})  # type: ignore[arg-type]
        made.append((self, store))

    # One of its own: what a test patches is mended before the test's folder is removed, as if this were not there.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RLM, "__init__", recording)
        yield
    for rlm, store in made:
        for run_id in list(store._events):
            asyncio.run(asyncio.wait_for(replayed(rlm, store, run_id), 60))
