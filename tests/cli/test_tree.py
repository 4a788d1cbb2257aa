"""The live tree: what happens on the way to replies is on one line, however often it does."""

import io

from rich.console import Console

from rlmbox import RLM, Limits
from rlmbox.cli.tree import LiveTree
from rlmbox.errors import ModelError, RLMError
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import ScriptedModel
from runs import repl

ONCE_MORE = RetryPolicy(attempts=2, base_delay_s=0.001, failures_to_open=0)


async def drawn(root: ScriptedModel, sub: ScriptedModel | None = None, **limits: int) -> str:
    console = Console(file=io.StringIO(), width=200, no_color=True)
    with LiveTree(console) as tree:
        try:
            rlm = RLM(root, sub_model=sub, hooks=[tree], retries=ONCE_MORE, limits=Limits(**limits))  # type: ignore[arg-type]
            await rlm.aask("When?", "It begins in May.")
        except RLMError:
            pass
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


async def test_sub_calls_of_a_cell_are_one_line_with_their_retries() -> None:
    stays_away = ModelError("503: overloaded", retryable=True, status=503)
    sub = ScriptedModel([stays_away, "a", "b", "c"], name="sub")
    text = await drawn(ScriptedModel([repl("FINAL(llm_query_batched(['1', '2', '3']))")], name="root"), sub)
    assert "sub-calls to sub: 3 of 3, 1 sent again" in text


async def test_a_retry_of_the_sessions_own_model_is_a_line() -> None:
    stays_away = ModelError("503: overloaded", retryable=True, status=503)
    assert "sent again" in await drawn(ScriptedModel([stays_away, "FINAL(ok)"], name="root"))


async def test_the_last_call_at_a_limit_is_named() -> None:
    text = await drawn(ScriptedModel([repl("x = 1"), "FINAL(May)"], name="root"), max_turns=1)
    assert "no final answer after 1 turn (max_turns): asked for the best answer" in text
    assert "MaxTurnsExceeded" in text


async def test_a_childs_answer_is_below_the_cell_that_asked_for_it() -> None:
    sub = ScriptedModel(["FINAL(from below)"], name="sub")
    text = await drawn(ScriptedModel([repl("FINAL(rlm_query('deeper?'))")], name="root"), sub)
    assert "deeper?" in text
    assert "answer  from below" in text
