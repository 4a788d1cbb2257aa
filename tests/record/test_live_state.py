"""At every event of a session, also of one that is killed again and again, the record tells its live state."""

from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlmbox import RLM, Limits
from rlmbox.errors import ModelError, RLMError
from rlmbox.events import Event, ModelRequested, QuestionAsked, SessionFailed, SessionFinished, TurnFinished, to_json
from rlmbox.loop.session import Session
from rlmbox.record.fold import SessionState, fold
from rlmbox.record.journal import MemoryStore
from rlmbox.requests.retries import RetryPolicy
from rlmbox.rlm import recorded_runs, setup
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message
from runs import PENNY, TEXT, repl

LIMITS = Limits(cost_limit_usd="1000000", max_turns=5)
AT_ONCE = RetryPolicy(base_delay_s=0, max_delay_s=0, failures_to_open=0, spare=1000)
REPLIES = [
    repl("x = 1\nprint(x)"),
    repl("print(undefined)"),
    repl("this is no Python"),
    repl("y = llm_query_batched(['one', 'two', 'broken'])\nprint(y)"),
    repl("try:\n    llm_query('broken')\nexcept RuntimeError as error:\n    print(error)"),
    repl("z = rlm_query('child?')\nprint(z)"),
    repl("a = 1") + "\n" + repl("b = a + 1\nprint(b)"),
    "I do not know yet.",
    "",
    "FINAL(done)",
    repl("FINAL(1 + 1)"),
    "FINAL_VAR(nothing)",
]
FAULTS = [
    lambda: ModelError("503: busy", status=503, retryable=True),
    lambda: ModelError("the connection broke", retryable=True, possibly_billed=True),
    lambda: ModelError("401: the key is not valid", status=401),
]


class Provider:
    """Answers by the conversation alone, so that each process hears the same, and breaks where it is told to, once."""

    def __init__(self, script: Sequence[str], faults: Sequence[int | None]) -> None:
        self._script, self._faults = script, list(faults)
        self.asked = 0

    def root(self, messages: Sequence[Message]) -> object:
        return self._fault() or self._script[sum(m.role == "assistant" for m in messages) % len(self._script)]

    def sub(self, messages: Sequence[Message]) -> object:
        if messages[-1].content == "broken":
            return ModelError("400: no", status=400)
        return self._fault() or ("FINAL(a child)" if len(messages) > 1 else f"<{messages[-1].content}>")

    def _fault(self) -> ModelError | None:
        self.asked += 1
        place = self._faults.pop(0) if self._faults else None
        return FAULTS[place]() if place is not None else None


class Watched:
    """A session whose live state is compared with the fold of its record after each event."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.session: Session | None = None
        self.wrong: list[str] = []
        self.compared = 0
        self._state = fold(store._events.get("audit", ()))
        self._folded = len(store._events.get("audit", ()))

    def made(self, *arguments: object, **options: object) -> Session:
        self.session = Session(*arguments, **options)  # type: ignore[arg-type]
        return self.session

    def compare(self, event: Event) -> None:
        session = self.session
        if session is None or session._run.journal.is_sealed:  # a replay of what is over is at another place
            return
        self.compared += 1
        events = self.store._events["audit"]
        self._state = state = fold(events[self._folded :], self._state)
        self._folded = len(events)
        found = state.of("audit")
        cost = session._run.budget.cost
        live: list[tuple[str, object, object]] = [
            ("spent", state.spent_usd, cost.total_usd),
            ("uncertain", state.uncertain_usd, cost.uncertain_usd),
        ]
        if session.task is not None and event.depth == 0 and found.question:
            live += self._of_task(session, event, found)
        self.wrong += [f"{name} at {event.kind}: {told} is {now}" for name, told, now in live if told != now]

    def _of_task(self, session: Session, event: Event, found: SessionState) -> list[tuple[str, object, object]]:
        task = session.task
        assert task is not None
        live: list[tuple[str, object, object]] = [("question", found.question, task.number)]
        if isinstance(event, ModelRequested) and event.key.endswith("/request"):  # one for a last answer is cut to fit
            live.append(("messages", found.messages, session.messages))
        if not isinstance(event, QuestionAsked):
            over = task.turns[: len(found.turns)]
            live.append(("turns", [to_json(t) for t in found.turns], [to_json(t) for t in over]))
            at_work = len(task.turns) - len(over)
            live.append(("turns at work", at_work, min(at_work, 0 if isinstance(event, TurnFinished) else 1)))
        if isinstance(event, SessionFinished):
            live.append(("answer", found.answer, task.answer))
        if isinstance(event, SessionFailed):
            live.append(("answer", found.answer and found.answer.text, event.partial and event.partial.text))
        return live


async def life(store: MemoryStore, provider: Provider) -> tuple[Watched, str]:
    """Runs or resumes the run; returns who watched it, and how it ended."""
    watched = Watched(store)
    rlm = RLM(
        ScriptedModel([provider.root] * 100, name="root", price=PENNY),  # type: ignore[list-item]
        sub_model=ScriptedModel([provider.sub] * 100, name="sub", price=PENNY),  # type: ignore[list-item]
        store=store,
        limits=LIMITS,
        retries=AT_ONCE,
        sandbox="monty",
        hooks=[watched.compare],
    )
    with patch.object(setup, "Session", watched.made), patch.object(recorded_runs, "Session", watched.made):
        try:
            answer = await (rlm.aresume("audit") if store._events else rlm.aask("How?", TEXT, run_id="audit"))
        except RLMError as error:
            return watched, type(error).__name__
        return watched, f"answer {answer.text}"


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(REPLIES), min_size=1, max_size=5),
    st.lists(st.none() | st.integers(0, len(FAULTS) - 1), max_size=6),
    st.lists(st.integers(1, 60), max_size=3),
)
async def test_the_fold_of_the_record_is_the_live_state_at_every_prefix(
    script: list[str], faults: list[int | None], kills: list[int]
) -> None:
    store, provider = MemoryStore(), Provider(script, faults)
    lives = [*kills, *([None] * 8)]
    for kill in lives:
        before = len(store._events.get("audit", ()))
        watched, ended = await life(store, provider)
        assert not watched.wrong, watched.wrong[0]
        if kill is not None:  # as if the process had ended after so many events
            store = _until(store, before + kill)
        elif ended != "ModelError":  # with which a run ends that goes on when the provider is there again
            break
    calm, same = await life(MemoryStore(), Provider(script, []))
    assert calm.compared
    assert not calm.wrong, calm.wrong[0]
    assert ended == same


def _until(store: MemoryStore, count: int) -> MemoryStore:
    shorter = MemoryStore()
    for event in store._events["audit"][:count]:
        shorter.write(event)
    return shorter
