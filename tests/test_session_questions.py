"""A session as it is driven: questions one after another, step by step, under limits, blocking, in a forked child."""

import asyncio
import copy
import os
import pickle
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import anyio
import pytest

from rlmbox import RLM, Context, Limits, Session
from rlmbox.errors import (
    BudgetExceeded,
    ConfigError,
    MaxTurnsExceeded,
    ModelError,
    RLMError,
    SandboxUnavailable,
    SubcallLimitExceeded,
    TimeLimitExceeded,
)
from rlmbox.events import Event, SessionFailed, SessionStarted
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, Completion
from runs import PENNY, TEXT, repl, rlm, said_to


async def test_a_session_is_asked_again_and_keeps_its_variables() -> None:
    asked = rlm(repl("a = 20\nFINAL(a)"), repl("FINAL(a + 1 if query == 'And then?' else query)"))
    async with asked.session(TEXT) as session:
        first, second = await session.ask("How many?"), await session.ask("And then?")
    assert (first.value, second.value) == (20, 21)
    assert (first.turns, second.turns) == (1, 1)
    told = said_to(asked.model)
    assert "And then?" in told
    assert "still there" in told


async def test_a_session_goes_on_after_a_question_that_failed() -> None:
    asked = rlm("hm", "FINAL(May)")
    async with asked.session(TEXT, limits=Limits(max_turns=1, last_answer=False)) as session:
        with pytest.raises(MaxTurnsExceeded):
            await session.ask("When?")
        assert (await session.ask("When, then?")).text == "May"
    roles = [message.role for message in asked.model.requests[-1]]  # type: ignore[attr-defined]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]


async def test_a_second_question_waits_for_the_first() -> None:
    async with rlm("hm", "FINAL(May)").session(TEXT, question="When?") as session:
        await session.step()
        with pytest.raises(ConfigError, match="at work"):
            await session.ask("And then?")
        assert (await session.run()).text == "May"


async def test_a_session_without_a_question_says_so() -> None:
    async with rlm("FINAL(May)").session(TEXT) as session:
        with pytest.raises(ConfigError, match="has no question"):
            await session.step()


async def test_nothing_is_asked_or_paid_for_after_an_answer() -> None:
    asked = rlm("FINAL(May)", "FINAL(June)")
    async with asked.session(TEXT, question="When?") as session:
        assert (await session.run()).text == (await session.run()).text == "May"
        again = await session.step()
    assert (again.status, again.content, again.cost_usd) == ("finished", "May", Decimal(0))
    assert len(asked.model.requests) == 1  # type: ignore[attr-defined]


async def stepped(session: Session, times: int) -> None:
    for _ in range(times):
        await session.step()


async def test_steps_keep_the_deadline() -> None:
    model = ScriptedModel([repl("x = 1")] * 1_000, delay_s=0.05)
    async with RLM(model, limits=Limits(max_seconds=0.5)).session(TEXT, question="When?") as session:
        with pytest.raises(TimeLimitExceeded, match="max_seconds") as raised:
            await stepped(session, 1_000)
        asked = len(model.requests)
        with pytest.raises(TimeLimitExceeded):
            await session.step()
    assert raised.value.partial is not None
    assert raised.value.partial.turns > 0
    assert len(model.requests) == asked


async def test_an_error_of_a_step_has_what_there_was_and_is_an_event() -> None:
    seen: list[Event] = []
    asked = rlm("It may be May.", ModelError("401: the key is wrong", status=401), hooks=[seen.append])
    async with asked.session(TEXT, question="When?") as session:
        await session.step()
        with pytest.raises(ModelError, match="401") as raised:
            await session.step()
    assert raised.value.partial is not None
    assert raised.value.partial.text == "It may be May."
    assert isinstance(seen[-1], SessionFailed)


async def test_a_cancelled_question_leaves_what_there_was_and_the_end_of_its_trace() -> None:
    seen: list[Event] = []
    slow = ScriptedModel([repl("llm_query('x')")], name="slow")
    sub = ScriptedModel(["late"], delay_s=30, name="sub")
    session = RLM(slow, sub_model=sub, hooks=[seen.append]).session(TEXT, question="When?")

    async def whole() -> None:
        async with session:
            await session.run()

    task = asyncio.create_task(whole())
    while not sub.requests:  # noqa: ASYNC110 - the model has no event of its own
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kinds = [event.kind for event in seen]
    assert kinds[-1] == "session_failed"
    assert kinds.count("subcall_finished") == kinds.count("host_call_finished") == 1
    assert session.task is not None
    assert session.task.error is not None


# Limits of one question.
async def test_a_question_may_have_limits_of_its_own() -> None:
    with pytest.raises(MaxTurnsExceeded, match="1 turn"):
        await rlm("hm", "FINAL(ok)").aask("?", TEXT, limits=Limits(max_turns=1))


async def test_a_question_of_a_session_can_only_be_narrower() -> None:
    asked = rlm(*["hm"] * 9)
    async with asked.session(TEXT, limits=Limits(max_turns=2, last_answer=False)) as session:
        with pytest.raises(MaxTurnsExceeded, match="after 2 turns"):
            await session.ask("?", limits=Limits(max_turns=9))
        with pytest.raises(MaxTurnsExceeded, match="after 1 turn "):
            await session.ask("?", limits=Limits(max_turns=1))


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (Limits(max_subcalls=1, last_answer=False), SubcallLimitExceeded),
        (Limits(cost_limit_usd="60", last_answer=False), BudgetExceeded),
        (Limits(max_seconds=0.3, last_answer=False), TimeLimitExceeded),
    ],
)
async def test_each_limit_of_a_question_ends_the_question_and_not_the_session(
    limits: Limits, error: type[RLMError]
) -> None:
    sub = ScriptedModel(["x" * 40] * 1_000, name="sub", price=PENNY, delay_s=0.001)
    cut = repl("while True:\n    llm_query('ab' * 10)")
    root = ScriptedModel([repl("kept = 7"), "FINAL(ok)", cut, "FINAL_VAR(kept)"])
    asked = RLM(root, sub_model=sub, limits=Limits(cost_limit_usd="1000000", max_subcalls=10_000))
    async with asked.session(TEXT) as session:
        await session.ask("?")
        with pytest.raises(error):
            await session.ask("?", limits=limits)
        assert (await session.ask("?")).value == 7


async def test_events_say_which_limits_are_in_force() -> None:
    seen: list[Event] = []
    await rlm("FINAL(ok)", hooks=[seen.append]).aask("?", TEXT, limits=Limits(max_turns=7))
    started = next(event for event in seen if isinstance(event, SessionStarted))
    assert started.limits["max_turns"] == 7


# From code without `await`.
def test_a_session_can_be_used_without_await() -> None:
    with rlm(repl("a = 1\nFINAL(a)"), "hm", repl("FINAL(a + 1)")).session(TEXT) as session:
        assert session.ask("?").value == 1
        session.begin("And?")
        assert session.step().status == "continue"
        assert session.run().value == 2
        assert session.answer is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("sandbox", ["monty", "local", "auto"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_can_ask_after_its_parent_has_or_is_told_how(sandbox: str) -> None:
    from rlmbox.sandboxes.local import LocalSandbox

    where: str | Callable[[], LocalSandbox] = (
        sandbox if sandbox != "local" else lambda: LocalSandbox(unsafe_no_isolation=True)
    )
    assert rlm(repl("FINAL(1)"), sandbox=where).ask("?", TEXT).value == 1
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if rlm(repl("FINAL(2)"), sandbox=where).ask("?", TEXT).value == 2 else 2
        except SandboxUnavailable as error:
            code = 0 if sandbox == "monty" and "forked" in str(error) else 3
        finally:
            os._exit(code)
    assert exit_code_of(child) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("sandbox", ["monty", "auto"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_session_that_a_forked_child_inherits_says_whose_it_is_and_its_parent_goes_on_with_it(sandbox: str) -> None:
    asked = rlm(repl("a = 1\nFINAL(a)"), repl("a += 1\nFINAL(a)"), sandbox=sandbox)
    opened = asked.session(TEXT)
    with opened as session:
        session.ask("?")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for use in (lambda: session.ask("?"), session.run, session.step, session.variables):
                    with pytest.raises(ConfigError, match="forked"):
                        use()
                opened.__exit__()
                code = 0
            finally:
                os._exit(code)
        assert exit_code_of(child) == 0
        assert session.ask("?").value == 2


def exit_code_of(child: int) -> int:
    """Return how a child process ended, which it does within 30 s."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


def test_under_trio_the_error_says_what_to_do() -> None:
    trio = pytest.importorskip("trio")
    del trio

    async def ask() -> None:
        await rlm("FINAL(ok)").aask("?", TEXT)

    with pytest.raises(ConfigError, match="asyncio"):
        anyio.run(ask, backend="trio")


@pytest.mark.parametrize("question", ["", "  ", 5, None])
def test_what_is_no_question_is_refused_before_anything_is_opened(question: object) -> None:
    with pytest.raises(ConfigError, match="question"):
        rlm("FINAL(ok)").ask(question, TEXT)  # type: ignore[arg-type]


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="a model is a name"):
        RLM(5)  # type: ignore[arg-type]


async def test_answers_can_be_pickled_and_copied() -> None:
    sub = ScriptedModel(["b"], name="sub", price=PENNY)
    root = ScriptedModel([repl("FINAL(llm_query('a'))")], name="root")
    answer = await RLM(root, sub_model=sub, limits=Limits(cost_limit_usd="1000000")).aask("?", TEXT)
    for again in (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer)):
        assert again == answer
        assert again.cost.by_model == answer.cost.by_model
        assert again.cost_usd > Decimal(0)


async def test_a_question_that_is_cancelled_while_variables_are_listed_leaves_a_session_that_goes_on() -> None:
    listing = asyncio.Event()

    class Slow(LocalSandbox):
        async def variables(self) -> Mapping[str, str]:
            listing.set()
            await super().execute(Cell("import time; time.sleep(3)"))
            return await super().variables()

    asked = rlm(repl("a = 20"), repl("FINAL(a + 1)"), sandbox=lambda: Slow(unsafe_no_isolation=True))
    async with asked.session(TEXT) as session:
        first = asyncio.ensure_future(session.ask("How many?"))
        await listing.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await session.ask("And then?")).value == 21


async def test_a_question_that_is_cancelled_before_its_first_turn_leaves_a_session_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metadata, begun, release = Context.metadata, threading.Event(), threading.Event()

    def slow(context: Context) -> Mapping[str, object]:
        begun.set()
        release.wait(5)
        return metadata(context)

    async with rlm("FINAL(ok)", "FINAL(ok)").session(TEXT) as session:
        monkeypatch.setattr(Context, "metadata", slow)
        first = asyncio.ensure_future(session.ask("How many?"))
        await asyncio.to_thread(begun.wait, 5)
        first.cancel()
        release.set()
        await asyncio.gather(first, return_exceptions=True)
        assert (await session.ask("And then?")).text == "ok"


async def test_a_question_that_is_cancelled_while_its_last_answer_is_asked_leaves_a_session_that_goes_on() -> None:
    asked, seen = asyncio.Event(), list[Event]()

    class Lingering(ScriptedModel):
        async def complete(self, *arguments: Any, **options: Any) -> Completion:
            if len(self.requests) == 1 and not asked.is_set():
                asked.set()
                await asyncio.sleep(30)
            return await super().complete(*arguments, **options)

    model = Lingering(["It may be May.", "FINAL(ok)"], name="root")
    async with RLM(model, hooks=[seen.append]).session(TEXT) as session:
        first = asyncio.ensure_future(session.ask("When?", limits=Limits(max_turns=1)))
        await asked.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert seen[-1].kind == "session_failed"
        assert session.task is not None
        assert session.task.error.partial.text == "It may be May."
        assert (await session.ask("And then?")).text == "ok"


@pytest.mark.parametrize("sandbox", ["monty", "jail"])
async def test_the_variables_are_there_after_a_question_was_cancelled_in_the_middle_of_a_cell(sandbox: str) -> None:
    running = asyncio.Event()

    async def begun() -> None:
        """Say that the cell runs."""
        running.set()

    replies = [repl("kept = 5\nFINAL(kept)"), repl("begun()\nwhile True: pass"), repl("FINAL(kept + 1)")]
    asked = RLM(ScriptedModel(replies), tools=[begun], sandbox=sandbox)
    async with asked.session(TEXT) as session:
        await session.ask("?")
        question = asyncio.create_task(session.ask("and?"))
        await running.wait()
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        assert (await session.variables())["kept"].startswith("int")
        assert (await session.ask("and now?")).value == 6


async def test_a_sandbox_that_cannot_be_started_anew_costs_a_question_and_not_what_is_known_of_the_cost() -> None:
    running, failures = asyncio.Event(), iter([None, SandboxUnavailable("the engine is gone"), OSError("no"), None])

    class Flaky(LocalSandbox):
        async def start(self, *arguments: Any, **options: Any) -> None:
            if (failure := next(failures)) is not None:
                raise failure
            await super().start(*arguments, **options)

    async def begun() -> None:
        """Say that the cell runs."""
        running.set()

    replies = [repl("kept = 5\nFINAL(kept)"), repl("begun()\nwhile True: pass"), repl("FINAL(kept + 1)")]
    model = ScriptedModel(replies, price=PENNY)
    asked = RLM(
        model, tools=[begun], sandbox=lambda: Flaky(unsafe_no_isolation=True), limits=Limits(cost_limit_usd="1e6")
    )
    async with asked.session(TEXT) as session:
        await session.ask("?")
        question = asyncio.create_task(session.ask("and?"))
        await running.wait()
        question.cancel()
        await asyncio.gather(question, return_exceptions=True)
        for message in ("the engine is gone", "did not start: OSError: no"):
            with pytest.raises(SandboxUnavailable, match=message) as raised:
                await session.ask("and now?")
            assert raised.value.partial is not None
            assert raised.value.partial.cost == session.cost
        assert (await session.ask("and at last?")).value == 6
