"""The last line of the live view: time, money against its limit, and what the run waits for."""

import io
import re
from decimal import Decimal

from rich.console import Console

from cli.screen import Screen
from rlmbox import RLM, Limits
from rlmbox.cli.status import RunStatus, short_reason, shortest_reason
from rlmbox.cli.tree import LiveTree
from rlmbox.errors import ModelError
from rlmbox.events import AttemptStarted, CallRetried, CellExecuted, Event
from rlmbox.models.prices import FlatPrice
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import ScriptedModel
from runs import repl

PRICE = FlatPrice(Decimal(5), Decimal(5))
ONCE_MORE = RetryPolicy(attempts=2, base_delay_s=0.001, failures_to_open=0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def retried(wait_s: float, *, key: str = "t1", reason: str = "m: too many requests (HTTP 429); try again") -> Event:
    where = {"run_id": "r", "session_id": "r", "parent_id": None, "depth": 0, "state": "THOUGHT", "at_s": 1_000.0}
    return CallRetried(**where, model="m", key=key, attempt=2, wait_s=wait_s, reason=reason)  # type: ignore[arg-type]


def sent(key: str = "t1") -> Event:
    where = {"run_id": "r", "session_id": "r", "parent_id": None, "depth": 0, "state": "THOUGHT", "at_s": 1_000.0}
    return AttemptStarted(**where, model="m", key=key, attempt=2)  # type: ignore[arg-type]


def test_a_retry_is_told_with_its_reason_and_the_seconds_that_are_left() -> None:
    clock = Clock()
    status = RunStatus(clock)
    status.take(retried(3.0))
    assert str(status) == "0 s, 429, sent again in 3 s"
    clock.now_s += 2
    assert str(status) == "2 s, 429, sent again in 1 s"
    status.take(sent())
    assert str(status) == "2 s"


def test_of_several_that_wait_the_first_is_told_and_their_number() -> None:
    status = RunStatus(Clock())
    status.take(retried(9.0, key="a", reason="m: the provider failed (HTTP 503); try again later"))
    status.take(retried(3.0, key="b"))
    assert str(status) == "0 s, 429, sent again in 3 s (2 requests)"
    status.take(sent("b"))
    assert str(status) == "0 s, 503, sent again in 9 s"


def test_long_times_are_told_in_minutes_and_hours() -> None:
    clock = Clock()
    status = RunStatus(clock)
    clock.now_s += 65
    assert str(status) == "1 min 5 s"
    clock.now_s += 7_200
    assert str(status) == "2 h 1 min"


def test_a_reason_is_a_few_words_without_what_the_provider_wrote() -> None:
    long = 'openai:m: too many requests (HTTP 429, "your account sk-1 \x1b[2J"); try again later'
    assert short_reason(long, "openai:m") == "too many requests (HTTP 429)"
    assert shortest_reason(long, "openai:m") == "429"
    assert shortest_reason("m: cannot reach the server; is it running?", "m") == "cannot reach the server"
    assert len(short_reason("x" * 500)) == 60


async def seen(*, limit_usd: str | None = "0.50", width: int = 80, price: FlatPrice | None = PRICE) -> list[str]:
    """Return the last line of the screen after each cell of a run that pays."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, height=24, color_system=None)
    lines: list[str] = []

    def look(event: Event) -> None:
        if isinstance(event, CellExecuted) and event.cell.by == "model":
            tree.refresh()
            screen = Screen(width, 24)
            screen.feed(stream.getvalue())
            lines.append(screen.visible()[-1])

    model = ScriptedModel([repl("x = 1"), repl("FINAL(x)")], name="root", price=price)
    with LiveTree(console) as tree:
        rlm = RLM(model, hooks=[tree, look], limits=Limits(cost_limit_usd=limit_usd), direct_below_chars=0)
        answer = await rlm.aask("When?", "It begins in May.")
    assert price is None or f"${answer.cost_usd:.4f}" in lines[-1] + str(answer.cost)
    return lines


async def test_money_is_shown_against_its_limit_and_grows() -> None:
    found = [re.search(r"\$(\d+\.\d{4}) of \$0\.50$", line) for line in await seen()]
    first, second = (Decimal(match[1]) for match in found if match)
    assert 0 < first < second


async def test_money_without_a_limit_and_a_model_that_costs_nothing() -> None:
    assert all(re.search(r"\$\d+\.\d{4}$", line) for line in await seen(limit_usd=None))
    assert not any("$" in line for line in await seen(price=FlatPrice(Decimal(0), Decimal(0))))


async def test_the_line_is_one_row_on_a_narrow_terminal() -> None:
    for line in await seen(width=20):
        assert re.match(r"\S 0 s, \$0|\S \d+ s, \$0", line)
        assert len(line) <= 20


async def test_sub_calls_that_failed_are_shown_as_failed_with_the_reason() -> None:
    refused = ModelError("sub: the provider refused the request (HTTP 400); ask in other words", status=400)
    busy = ModelError("sub: too many requests (HTTP 429); try again later", retryable=True, status=429)
    sub = ScriptedModel(["a", busy, "b", refused], name="sub")
    code = "for q in '123':\n    try:\n        llm_query(q)\n    except Exception as e:\n        pass\nFINAL('x')"
    console = Console(file=io.StringIO(), width=200, no_color=True)
    with LiveTree(console) as tree:
        rlm = RLM(ScriptedModel([repl(code)], name="root"), sub_model=sub, hooks=[tree], retries=ONCE_MORE)
        await rlm.aask("When?", "It begins in May.")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        "sub-calls to sub: 3 of 3, 1 sent again (429), 1 failed (the provider refused the request (HTTP 400))" in text
    )
