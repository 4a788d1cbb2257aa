"""The contract of a `Store`, as a test suite for any implementation."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from rlmbox.errors import StoreError
from rlmbox.events import AttemptFinished, Event, HostCallFinished, QuestionAsked
from rlmbox.record.journal import Store
from rlmbox.types import Usage

_ROOT = {"parent_id": None, "depth": 0, "state": "INIT"}


async def check_store(make_store: Callable[[], Store]) -> None:
    """Check that a store behaves as the journal relies on.

    Args:
        make_store: Returns a new, empty store on each call.

    Raises:
        AssertionError: A check failed; the message says which.
    """
    await _check_reading(make_store())
    await _check_holding(make_store())
    await _check_listing(make_store())


async def _check_reading(store: Store) -> None:
    assert list(await store.read("none")) == [], "a run that there is not has no events"  # noqa: S101
    written = [_event("one", number, {"text": "\ud800 å", "of": [number, None, 0.5]}) for number in range(1, 6)]
    others = [_event("two", number, "x" * 20_000) for number in range(1, 3)]
    for each in (*written[:3], *others, *written[3:]):
        store.write(each)
    found = list(await store.read("one"))
    assert found == written, "what was written is read back, whole and in order, before any sync"  # noqa: S101
    await store.sync()
    await store.sync()
    assert list(await store.read("one")) == written, "a sync changes nothing that is read"  # noqa: S101
    assert list(await store.read("two")) == others, "runs do not mix"  # noqa: S101
    await store.remove("one")
    assert list(await store.read("one")) == [], "a run that was removed has no events"  # noqa: S101
    assert list(await store.read("two")) == others, "removing a run leaves the others"  # noqa: S101


async def _check_holding(store: Store) -> None:
    store.write(_event("one", 1, None))
    lease = store.hold("one")
    for what in ("hold", "remove"):
        try:
            store.hold("one") if what == "hold" else await store.remove("one")
        except StoreError:
            continue
        raise AssertionError(f"a run that is held can be had by somebody else ({what})")
    store.hold("two").release()
    lease.release()
    lease.release()
    store.hold("one").release()


async def _check_listing(store: Store) -> None:
    assert list(await store.runs()) == [], "an empty store has no runs"  # noqa: S101
    asked = QuestionAsked(run_id="one", session_id="one", **_ROOT, sequence=1, number=1, question="Why?")  # type: ignore[arg-type]
    paid = AttemptFinished(
        run_id="one",
        session_id="one",
        **_ROOT,  # type: ignore[arg-type]
        sequence=2,
        model="m",
        key="k",
        attempt=1,
        outcome="settled",
        usage=Usage(1, 0, 1, 0, 1),
        cost_usd=Decimal("0.25"),
    )
    store.write(asked)
    store.write(paid)
    await store.sync()
    (run,) = await store.runs()
    assert (run.run_id, run.question, run.cost_usd) == ("one", "Why?", Decimal("0.25")), "a run is listed"  # noqa: S101
    assert run.events == 2, "a list says how many events a run has"  # noqa: S101


def _event(run_id: str, number: int, value: object) -> Event:
    return HostCallFinished(
        run_id=run_id,
        session_id=run_id,
        **_ROOT,  # type: ignore[arg-type]
        sequence=number,
        key=f"{run_id}/{number}",
        function="f",
        value=value,
    )
