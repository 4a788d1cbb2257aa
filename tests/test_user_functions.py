"""Functions that a user gives may raise anything: a run goes on or ends with an `RLMError`, and no other notices."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rlmbox import RLM
from rlmbox.errors import ConfigError, ModelError, RLMError
from rlmbox.guard import Guard
from rlmbox.testing import ScriptedModel
from runs import TEXT, repl, rlm, said_to


class Over(BaseException):
    """Something that only a caller may handle, as SystemExit is."""


ERRORS = [Over("over"), SystemExit("over"), KeyboardInterrupt("over"), asyncio.CancelledError("over")]
of_each_kind = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
sync_and_async = pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])


def failing(error: BaseException, *, is_async: bool = False) -> Callable[..., Any]:
    def fails(*_: object) -> Any:
        raise error

    async def afails(*_: object) -> Any:
        await asyncio.sleep(0)
        raise error

    return afails if is_async else fails


class FailingModel(ScriptedModel):
    def __init__(self, error: BaseException) -> None:
        super().__init__([], name="failing")
        self._error = error

    async def complete(self, *_: Any, **__: Any) -> Any:
        raise self._error


@of_each_kind
def test_a_model_that_raises_ends_its_run_with_what_there_is(error: BaseException) -> None:
    with pytest.raises(ModelError, match=f"raised {type(error).__name__}: over") as raised:
        RLM(FailingModel(error)).ask("?", TEXT)
    assert raised.value.partial is not None
    assert rlm("FINAL(ok)").ask("?", TEXT).text == "ok"


@of_each_kind
@pytest.mark.parametrize("sandbox", ["auto", "monty"])
def test_a_sub_model_that_raises_is_an_error_of_the_cell(error: BaseException, sandbox: str) -> None:
    asked = rlm(repl("print(llm_query('?'))"), "FINAL(went on)", sub=FailingModel(error), sandbox=sandbox)
    assert asked.ask("?", TEXT).text == "went on"
    assert f"raised {type(error).__name__}: over" in said_to(asked.model)


@of_each_kind
@sync_and_async
@pytest.mark.parametrize("sandbox", ["auto", "monty"])
def test_a_tool_that_raises_is_an_error_of_the_cell(error: BaseException, is_async: bool, sandbox: str) -> None:
    fails = failing(error, is_async=is_async)
    code = f"try:\n    {fails.__name__}()\nexcept Exception as error:\n    print(error)"
    asked = rlm(repl(code), "FINAL(went on)", tools=[fails], sandbox=sandbox)
    assert asked.ask("?", TEXT).text == "went on"
    assert "over" in said_to(asked.model)
    assert type(error).__name__ in said_to(asked.model) or "cancelled by itself" in said_to(asked.model)


@of_each_kind
@sync_and_async
@pytest.mark.parametrize("sandbox", ["auto", "monty"])
def test_a_hook_that_raises_is_logged(
    error: BaseException, is_async: bool, sandbox: str, caplog: pytest.LogCaptureFixture
) -> None:
    fails = failing(error, is_async=is_async)
    asked = rlm(repl("print(llm_query('?'))"), "FINAL(went on)", sub=["yes"], hooks=[fails], sandbox=sandbox)
    assert asked.ask("?", TEXT).text == "went on"
    assert "a hook failed" in caplog.text


@of_each_kind
@sync_and_async
@pytest.mark.parametrize("option", ["approve", "validate"])
def test_an_approver_or_a_validator_that_raises_ends_its_run_with_what_there_is(
    error: BaseException, is_async: bool, option: str
) -> None:
    asked = rlm(repl("x = 1"), "FINAL(done)", "FINAL(done)", **{option: failing(error, is_async=is_async)})
    with pytest.raises(ConfigError, match=f"{option} raised {type(error).__name__}: over") as raised:
        asked.ask("?", TEXT)
    assert raised.value.partial is not None
    assert rlm("FINAL(ok)").ask("?", TEXT).text == "ok"


@of_each_kind
def test_a_detector_that_raises_ends_its_run(error: BaseException) -> None:
    with pytest.raises(RLMError, match=f"the detector fails failed .{type(error).__name__}"):
        rlm("FINAL(done)", guard=Guard(detectors=[failing(error)])).ask("?", TEXT)


async def test_a_run_that_is_cancelled_inside_a_model_ends_as_cancelled() -> None:
    class Waits(ScriptedModel):
        async def complete(self, *_: Any, **__: Any) -> Any:
            running.set()
            await asyncio.sleep(60)

    running = asyncio.Event()
    task = asyncio.create_task(RLM(Waits([], name="waits")).aask("?", TEXT))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_a_tool_may_not_receive_is_said_with_the_way_for_the_model_and_for_the_user() -> None:
    text = "".join(f"clause {n * 7919 % 10_007}: party {n * 104_729 % 9_973} owes {n * 31} EUR\n" for n in range(2_000))

    def count_words(text: str) -> int:
        """Count words."""
        return len(text.split())

    asked = rlm(repl("print(count_words(context))"), "FINAL(went on)", tools=[count_words])
    await asked.aask("?", text)
    said = said_to(asked.model)
    assert "the call was not made" in said
    assert "pass a shorter part" in said
    assert "--guard-path tool=off" in said
    assert "Do not print" not in said
    allowed = Guard(per_path={"tool": "off"})
    asked = rlm(repl("print(count_words(context))"), "FINAL(went on)", tools=[count_words], guard=allowed)
    await asked.aask("?", text)
    assert str(len(text.split())) in said_to(asked.model)
