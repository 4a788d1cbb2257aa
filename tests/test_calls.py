"""One way to ask a model: what is tried again, what is charged, and what happens on the way."""

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlmbox.budget import MIN_OUTPUT_TOKENS, Budget, worst_input_tokens
from rlmbox.calls import CUT, Calls, Continued, FellBack, FromCache, Notice, Reply, Retried, Truncated
from rlmbox.errors import BudgetExceeded, ConfigError, ContextLimitExceeded, ModelError
from rlmbox.limits import Limits
from rlmbox.models.pace import Pace
from rlmbox.models.prices import FlatPrice
from rlmbox.models.reply_cache import ReplyCache
from rlmbox.models.retries import RetryPolicy
from rlmbox.models.shared import shared_of
from rlmbox.models.window import WARNING
from rlmbox.testing import ScriptedModel
from rlmbox.testing.scripted import Scripted
from rlmbox.types import Completion, Message, Usage

DOLLAR_A_TOKEN = FlatPrice(Decimal(1_000_000), Decimal(1_000_000), origin="test")
ASK = [Message("user", "hello")]
QUICK = RetryPolicy(base_delay_s=0.001, max_delay_s=0.002, max_retry_after_s=0.01, open_s=0.02)


def busy(status: int = 500, **fields: object) -> ModelError:
    return ModelError(f"HTTP {status}", retryable=True, status=status, **fields)  # type: ignore[arg-type]


def broke_off() -> ModelError:
    return ModelError("the connection broke", retryable=True, possibly_billed=True)


def used(text: str, input_tokens: int, output_tokens: int, **fields: object) -> Completion:
    return Completion(text, Usage(input_tokens, 0, output_tokens, 0, 1), "scripted", **fields)  # type: ignore[arg-type]


class Asking:
    """A run's calls over a script, with what was noticed."""

    def __init__(self, *script: Scripted, model: ScriptedModel | None = None, **options: object) -> None:
        limits = {"cost_limit_usd": "1000000", "max_output_tokens": 1_000}
        names = set(Limits.__slots__)
        limits |= {name: value for name, value in options.items() if name in names}
        self.model = model or ScriptedModel(list(script), price=DOLLAR_A_TOKEN)
        self.budget = Budget(Limits(**limits))  # type: ignore[arg-type]
        self.notices: list[Notice] = []
        rest = {"retries": QUICK, **{name: value for name, value in options.items() if name not in names}}
        self.calls = Calls(self.budget, **rest)  # type: ignore[arg-type]

    async def ask(self, messages: Sequence[Message] = ASK, **options: object) -> Reply:
        account = self.budget.root
        return await self.calls.complete(
            self.model,
            messages,
            account=account,
            notice=self.notices.append,
            **options,  # type: ignore[arg-type]
        )

    async def fail(self, messages: Sequence[Message] = ASK, **options: object) -> ModelError:
        with pytest.raises(ModelError) as raised:
            await self.ask(messages, **options)
        return raised.value

    @property
    def worst(self) -> int:
        return worst_input_tokens(ASK) + 1_000


async def test_a_reply_is_charged_what_it_used() -> None:
    asking = Asking(used("hi", 5, 10))
    reply = await asking.ask()
    assert (reply.completion.text, reply.cost_usd, reply.model_name) == ("hi", 15, "scripted")
    assert (reply.attempts, reply.from_cache) == (1, False)
    assert asking.budget.cost.total_usd == 15
    assert asking.notices == []


@pytest.mark.parametrize("status", [429, 500, 503, 529, None])
async def test_a_passing_fault_is_tried_again_and_costs_nothing(status: int | None) -> None:
    fault = ModelError("away", retryable=True, status=status)
    asking = Asking(fault, fault, used("at last", 5, 10))
    reply = await asking.ask()
    assert (reply.completion.text, reply.attempts, reply.cost_usd) == ("at last", 3, 15)
    assert asking.budget.cost.uncertain_usd == 0
    assert [(notice.attempt, notice.reason) for notice in asking.notices if isinstance(notice, Retried)] == [
        (2, "away"),
        (3, "away"),
    ]


async def test_a_fault_that_stays_ends_after_the_last_attempt_and_says_so() -> None:
    asking = Asking(*[busy()] * 9)
    error = await asking.fail()
    assert str(error) == "HTTP 500 (after 4 attempts)"
    assert (error.retryable, error.status) == (True, 500)
    assert len(asking.model.requests) == 4
    assert asking.budget.cost.total_usd == 0


async def test_what_does_not_pass_is_not_tried_again() -> None:
    asking = Asking(ModelError("the key was refused", status=401))
    assert str(await asking.fail()) == "the key was refused"
    assert len(asking.model.requests) == 1


async def test_an_attempt_that_may_have_been_billed_stays_charged_with_its_worst_case() -> None:
    asking = Asking(broke_off(), used("at last", 5, 10))
    reply = await asking.ask()
    assert reply.cost_usd == asking.worst + 15
    assert asking.budget.cost.total_usd == asking.worst + 15
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_an_attempt_that_the_budget_cannot_pay_for_again_is_not_made() -> None:
    asking = Asking(broke_off(), used("never", 5, 10), cost_limit_usd="1100")
    with pytest.raises(BudgetExceeded):
        await asking.ask()
    assert len(asking.model.requests) == 1


async def test_while_a_request_waits_for_its_next_attempt_it_holds_neither_room_nor_a_slot() -> None:
    slow = RetryPolicy(base_delay_s=0, max_retry_after_s=0.2)
    limit = worst_input_tokens(ASK) + 1_000  # room for one request at a time
    asking = Asking(
        busy(503, retry_after_s=0.2), used("second", 5, 10), used("first", 5, 10),
        retries=slow, cost_limit_usd=str(limit + 100), concurrency=1,
    )  # fmt: skip
    order: list[str] = []

    async def one() -> None:
        order.append((await asking.ask()).completion.text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await anyio.sleep(0.05)
        tasks.start_soon(one)
    assert order == ["second", "first"]


async def test_what_a_provider_asks_to_wait_comes_before_backoff_and_is_clamped() -> None:
    slow = RetryPolicy(base_delay_s=3600, max_delay_s=3600, max_retry_after_s=0.01)
    asking = Asking(busy(503, retry_after_s=0.0), busy(429, retry_after_s=86_400.0), used("soon", 5, 10), retries=slow)
    assert (await asking.ask()).completion.text == "soon"
    waits = [notice.wait_s for notice in asking.notices if isinstance(notice, Retried)]
    assert waits[0] == 0
    assert 0.01 <= waits[1] <= 0.011


def test_backoff_has_full_jitter() -> None:
    policy = RetryPolicy(base_delay_s=0.5, max_delay_s=3.0)
    assert [policy.wait_s(attempt, None, lambda: 1.0) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert [policy.wait_s(attempt, None, lambda: 0.0) for attempt in (1, 5)] == [0.0, 0.0]
    assert policy.wait_s(1, float("nan"), lambda: 1.0) == 0.5
    assert policy.wait_s(1, -5.0, lambda: 1.0) == 0.0


@pytest.mark.parametrize(
    "fields",
    [{"attempts": 0}, {"base_delay_s": -1}, {"max_retry_after_s": -1}, {"extra_share": -0.1}, {"attempt_timeout_s": 0}],
)
def test_a_retry_policy_that_makes_no_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RetryPolicy(**fields)  # type: ignore[arg-type]


async def test_a_provider_gets_a_fifth_of_its_requests_again_and_a_few_besides() -> None:
    policy = RetryPolicy(base_delay_s=0, max_delay_s=0, spare=3, failures_to_open=0)
    asking = Asking(model=ScriptedModel([busy()] * 1_000), retries=policy)
    for _ in range(20):
        error = await asking.fail()
    assert "not tried again, since 20% of the requests were retries" in str(error)
    # 20 first requests, 3 spare ones, a fifth of all, and one more that may have come back within a second.
    assert 26 <= len(asking.model.requests) <= 29


async def test_a_wait_that_is_longer_than_there_is_time_is_not_begun() -> None:
    slow = RetryPolicy(base_delay_s=0, max_retry_after_s=3600)
    asking = Asking(busy(503, retry_after_s=3600.0), retries=slow)
    with anyio.fail_after(5):
        assert "HTTP 503" in str(await asking.fail(timeout_s=10))


async def test_a_hanging_attempt_is_given_up_charged_and_made_again() -> None:
    model = Stubborn([3600.0, 0.0])
    asking = Asking(model=model, retries=RetryPolicy(attempt_timeout_s=0.05, base_delay_s=0))
    reply = await asking.ask()
    assert (reply.completion.text, reply.attempts) == ("ok", 2)
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_a_timeout_covers_all_attempts_also_of_a_model_that_does_not_keep_it() -> None:
    asking = Asking(model=Stubborn([3600.0]))
    with anyio.fail_after(5):
        error = await asking.fail(timeout_s=0.05)
    assert "no reply within" in str(error)
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_waiting_for_the_first_turn_does_not_count_towards_the_timeout() -> None:
    asking = Asking(model=ScriptedModel(["ok"] * 8, delay_s=0.05), concurrency=1)
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(lambda: asking.ask(timeout_s=0.2))
    assert len(asking.model.requests) == 8


class Stubborn(ScriptedModel):
    """A model that answers after a while and knows no timeout."""

    def __init__(self, delays_s: Sequence[float]) -> None:
        super().__init__(["ok"] * 100, price=DOLLAR_A_TOKEN)
        self.delays_s = list(delays_s)
        self.cancelled = 0

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        try:
            await anyio.sleep(self.delays_s.pop(0) if self.delays_s else 0)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        return await super().complete(messages, max_output_tokens=max_output_tokens)


async def test_cancelling_frees_the_slot_at_once_and_charges_the_worst_case() -> None:
    asking = Asking(model=Stubborn([3600.0]), concurrency=1)
    with anyio.move_on_after(0.02):
        await asking.ask()
    with anyio.fail_after(1):
        assert (await asking.ask()).completion.text == "ok"
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_a_provider_that_fails_in_a_row_is_left_alone_and_tried_again_with_one_request() -> None:
    policy = RetryPolicy(attempts=1, failures_to_open=3, open_s=50, max_retry_after_s=1)
    asking = Asking(*[busy()] * 3, retries=policy)
    for _ in range(3):
        await asking.fail()
    error = await asking.fail()
    assert "failed 3 times in a row and is left alone; it is tried again in 50 s" in str(error)
    assert error.retryable
    assert len(asking.model.requests) == 3


async def test_requests_wait_for_a_provider_that_comes_back_soon() -> None:
    policy = RetryPolicy(attempts=1, failures_to_open=3, open_s=0.05)
    asking = Asking(*[busy()] * 3, *["ok"] * 20, retries=policy)
    for _ in range(3):
        await asking.fail()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(asking.ask)
    assert len(asking.model.requests) == 13


async def test_refusals_do_not_count_as_failures_of_the_provider() -> None:
    asking = Asking(*[busy(429)] * 30, retries=RetryPolicy(attempts=1, failures_to_open=3))
    for _ in range(30):
        assert str(await asking.fail()) == "HTTP 429"


async def test_a_reply_without_counts_is_charged_its_worst_case() -> None:
    asking = Asking(used("ok", 1, 1, counted=False))
    assert (await asking.ask()).cost_usd == asking.worst
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_a_content_filters_refusal_is_an_error_that_was_paid_for() -> None:
    asking = Asking(used("I can't help with that.", 5, 10, stop_reason="content_filter"))
    error = await asking.fail()
    assert 'content filter stopped the reply ("I can\'t help with that.")' in str(error)
    assert not error.retryable
    assert asking.budget.cost.total_usd == 15
    assert asking.budget.cost.uncertain_usd == 0


async def test_a_cut_reply_is_given_as_it_is_unless_it_is_wanted_whole() -> None:
    asking = Asking(used("one ", 5, 10, stop_reason="length"))
    reply = await asking.ask()
    assert (reply.completion.text, reply.completion.stop_reason) == ("one ", "length")


async def test_a_whole_reply_is_continued_where_it_was_cut() -> None:
    asking = Asking(used("one ", 5, 10, stop_reason="length"), used("two", 15, 3))
    reply = await asking.ask(whole=True)
    assert (reply.completion.text, reply.completion.stop_reason) == ("one two", "stop")
    assert (reply.cost_usd, reply.attempts) == (33, 2)
    assert reply.completion.usage == Usage(20, 0, 13, 0, 2)
    assert asking.notices == [Continued(2)]
    *first, so_far, go_on = asking.model.requests[1]
    assert first == ASK
    assert so_far == Message("assistant", "one ")
    assert "exactly where you stopped" in go_on.content


async def test_a_reply_that_never_ends_is_marked_as_cut() -> None:
    asking = Asking(*[used("more ", 5, 10, stop_reason="length")] * 9)
    reply = await asking.ask(whole=True)
    assert reply.completion.text == f"more more more \n\n{CUT}"
    assert reply.completion.stop_reason == "length"
    assert len(asking.model.requests) == 3


async def test_a_reply_that_is_as_long_as_was_asked_for_is_not_continued() -> None:
    asking = Asking(used("one ", 5, 10, stop_reason="length"))
    assert (await asking.ask(whole=True, max_output_tokens=10)).completion.text == "one "


async def test_a_reply_that_was_all_reasoning_has_nothing_to_go_on_from() -> None:
    asking = Asking(used("", 5, 10, stop_reason="length"))
    assert (await asking.ask(whole=True)).completion.text == f"\n\n{CUT}"
    assert len(asking.model.requests) == 1


async def test_another_model_is_asked_where_the_first_is_not_available() -> None:
    second = ScriptedModel(["from the second"], name="second")
    asking = Asking(*[busy()] * 9, fallback=second)
    reply = await asking.ask()
    assert (reply.completion.text, reply.model_name) == ("from the second", "second")
    assert asking.notices[-1] == FellBack("scripted", "second", "HTTP 500 (after 4 attempts)")


async def test_another_model_is_asked_at_once_where_the_credit_is_used_up() -> None:
    asking = Asking(ModelError("no credit", status=402), fallback=ScriptedModel(["ok"], name="second"))
    assert (await asking.ask()).model_name == "second"


async def test_another_model_is_asked_at_once_while_the_first_is_left_alone() -> None:
    policy = RetryPolicy(attempts=1, failures_to_open=3, open_s=20)
    asking = Asking(*[busy()] * 3, retries=policy, fallback=ScriptedModel(["ok"] * 9, name="second"))
    with anyio.fail_after(5):
        for _ in range(9):
            assert (await asking.ask()).model_name == "second"
    assert len(asking.model.requests) == 3


async def test_a_setting_that_is_wrong_costs_nothing() -> None:
    asking = Asking(ConfigError("httpx2 is not installed"))
    with pytest.raises(ConfigError):
        await asking.ask()
    assert asking.budget.cost.total_usd == 0


@pytest.mark.parametrize(
    "refusal",
    [
        ModelError("the key was refused", status=401),
        ModelError("bad request", status=400),
        ContextLimitExceeded("too long", status=400),
        used("no", 5, 10, stop_reason="content_filter"),
    ],
    ids=["401", "400", "too-long", "filter"],
)
async def test_what_was_refused_is_not_asked_of_another_model(refusal: Scripted) -> None:
    asking = Asking(*[refusal] * 5, fallback=ScriptedModel(["never"], name="second"))
    await asking.fail()
    assert not any(isinstance(notice, FellBack) for notice in asking.notices)


async def test_a_fallback_gets_as_much_time_as_the_first_model_had() -> None:
    asking = Asking(model=Stubborn([3600.0]), fallback=ScriptedModel(["ok"], name="second", delay_s=0.05))
    assert (await asking.ask(timeout_s=0.2)).model_name == "second"


async def test_an_input_that_is_too_long_keeps_its_head_and_the_model_is_told() -> None:
    model = ScriptedModel(["ok"], window_tokens=2_000)
    asking = Asking(model=model)
    await asking.ask([Message("user", "the head " + "x" * 50_000)])
    (sent,) = model.requests[0]
    assert sent.content.startswith("the head xxx")
    assert sent.content.endswith(WARNING)
    (notice,) = asking.notices
    assert isinstance(notice, Truncated)
    assert notice.before_tokens > 2_000 > notice.after_tokens + model.max_output_tokens[0]


async def test_of_a_long_session_the_beginning_and_the_newest_messages_stay() -> None:
    model = ScriptedModel(["ok"], window_tokens=4_000)
    talk = [Message("system", "You are terse."), Message("user", "The question?")]
    for number in range(40):
        talk += [Message("assistant", f"cell {number} " + "a" * 300), Message("user", f"result {number} " + "b" * 300)]
    await Asking(model=model).ask(talk)
    sent = model.requests[0]
    assert sent[0] == talk[0]
    assert sent[1].content == f"The question?\n\n{WARNING}"
    assert sent[2:] == tuple(talk[-(len(sent) - 2) :])
    assert len(sent) > 6


async def test_a_window_that_the_provider_names_is_kept_from_then_on() -> None:
    model = Narrow(500, "This model's maximum context length is 500 tokens.")
    asking = Asking(model=model)
    for _ in range(3):
        reply = await asking.ask([Message("user", "the head " + "word " * 5_000)])
        assert reply.completion.text == "ok"
    assert model.refused == 1


async def test_a_window_that_is_not_named_is_found_by_halving() -> None:
    model = Narrow(1_200, "The prompt is too long.")
    asking = Asking(model=model)
    assert (await asking.ask([Message("user", "the head " + "word " * 4_000)])).completion.text == "ok"
    assert model.refused == 3
    assert asking.budget.cost.total_usd > 0


class Narrow(ScriptedModel):
    """A model whose window is narrower than it says; a word is a token."""

    def __init__(self, window_tokens: int, complaint: str) -> None:
        super().__init__(["ok"] * 100, price=DOLLAR_A_TOKEN)
        self.limit, self.complaint, self.refused = window_tokens, complaint, 0

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        if sum(len(message.content.split()) for message in messages) + max_output_tokens > self.limit:
            self.refused += 1
            raise ContextLimitExceeded(self.complaint, status=400)
        return await super().complete(messages, max_output_tokens=max_output_tokens)


async def test_what_may_fit_is_sent_whole_and_cut_only_where_it_is_refused() -> None:
    fits = Narrow(100_000, "too long")
    asking = Asking(model=fits)
    fits._window_tokens = 4_000
    text = "word " * 2_000  # 2,000 tokens for this model, 3,000 or more by the estimate
    await asking.ask([Message("user", text)])
    assert fits.requests[0][0].content == text
    assert asking.notices == []

    refuses = Narrow(1_500, "too long")
    refuses._window_tokens = 4_000
    asking = Asking(model=refuses)
    for _ in range(3):
        assert (await asking.ask([Message("user", text)])).completion.text == "ok"
    assert refuses.requests[0][0].content.endswith(WARNING)
    assert refuses.refused <= 5


async def test_where_nothing_may_be_cut_a_request_that_is_too_long_is_not_sent() -> None:
    model = ScriptedModel(["never"], window_tokens=2_000)
    asking = Asking(model=model, truncate_input=False)
    with pytest.raises(ContextLimitExceeded, match=r"its window 2,000"):
        await asking.ask([Message("user", "x" * 50_000)])
    assert model.requests == []


async def test_a_reply_is_shortened_before_anything_is_cut() -> None:
    model = ScriptedModel(["ok"], window_tokens=1_200)
    asking = Asking(model=model)
    await asking.ask([Message("user", "word " * 400)])
    assert asking.notices == []
    assert 300 <= model.max_output_tokens[0] < 1_000


async def test_a_reply_from_the_cache_costs_nothing_and_is_marked(tmp_path: object) -> None:
    cache = ReplyCache(str(tmp_path))
    first = Asking(used("kept", 5, 10), cache=cache)
    await first.ask()
    second = Asking(cache=cache)
    reply = await second.ask()
    assert (reply.completion.text, reply.cost_usd, reply.attempts, reply.from_cache) == ("kept", 0, 0, True)
    assert reply.completion.usage == Usage()
    assert second.notices == [FromCache(Decimal(15))]
    assert second.budget.cost.total_usd == 0
    cache.close()


async def test_what_was_cut_or_came_from_another_model_is_not_kept(tmp_path: object) -> None:
    cache = ReplyCache(str(tmp_path))
    await Asking(used("half", 5, 10, stop_reason="length"), cache=cache).ask()
    await Asking(busy(402), *[busy()] * 5, cache=cache, fallback=ScriptedModel(["other"], name="other")).ask()
    asking = Asking(used("fresh", 5, 10), cache=cache)
    assert (await asking.ask()).completion.text == "fresh"
    again = Asking(used("asked again", 5, 10), cache=cache)
    assert (await again.ask(reuse=False)).completion.text == "asked again"
    cache.close()


async def test_one_run_does_not_hold_up_another() -> None:
    model = ScriptedModel(["ok"] * 200, delay_s=0.01)
    large, small = Asking(model=model, concurrency=5), Asking(model=model, concurrency=5)
    done: list[str] = []

    async def one(name: str, asking: Asking) -> None:
        await asking.ask()
        done.append(name)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(one, "large", large)
        await anyio.sleep(0.015)
        for _ in range(5):
            tasks.start_soon(one, "small", small)
    # In turn: by the time that the small run is done, the large one had about as many turns.
    assert max(index for index, name in enumerate(done) if name == "small") < 40
    assert model.max_concurrency == 5


async def test_all_runs_of_a_process_share_a_models_limit() -> None:
    model = Paced(Pace(max_concurrency=3))
    runs = [Asking(model=model, concurrency=10) for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for run in runs:
            for _ in range(10):
                tasks.start_soon(run.ask)
    assert model.max_concurrency == 3
    assert len(model.requests) == 40


class Paced(ScriptedModel):
    """A model with an address and a pace."""

    settings = "{}"

    def __init__(self, pace: Pace) -> None:
        super().__init__(["ok"] * 1_000, delay_s=0.002)
        self.pace = pace
        self.endpoint = f"http://test/{id(self)}"


async def test_requests_of_a_minute_are_spread_over_it() -> None:
    model = Paced(Pace(requests_per_minute=600))  # 60 at once, then 9 a second
    asking = Asking(model=model, concurrency=200)
    with anyio.move_on_after(0.5):
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(asking.ask)
    assert 60 <= len(model.requests) <= 70


async def test_tokens_of_a_minute_are_spread_over_it() -> None:
    model = Paced(Pace(tokens_per_minute=60_000))
    asking = Asking(model=model, concurrency=200)
    with anyio.move_on_after(0.3):
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(asking.ask, [Message("user", "word " * 400)])  # 500 tokens
    assert 5 <= len(model.requests) <= 15


async def test_a_provider_that_asks_to_wait_is_not_asked_by_others_meanwhile() -> None:
    slow = RetryPolicy(base_delay_s=0, max_retry_after_s=0.3)
    asking = Asking(busy(429, retry_after_s=0.3), *["ok"] * 10, retries=slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asking.ask)
        await anyio.sleep(0.1)
        tasks.start_soon(asking.ask)
        await anyio.sleep(0.1)
        assert len(asking.model.requests) == 1
    assert len(asking.model.requests) == 3


async def test_a_growing_conversation_is_bounded_by_what_the_provider_counted() -> None:
    talk = [Message("system", "s" * 1_000), Message("user", "q" * 9_000)]
    asking = Asking(used("a", 2_500, 10), used("b", 2_600, 10), cost_limit_usd="16000")
    await asking.ask(talk)
    # A token for each byte would be 10,300 and not fit twice; what was counted before is counted the same again.
    talk += [Message("assistant", "a"), Message("user", "r" * 200)]
    asking.budget.settle(
        await asking.budget.reserve(asking.model, 9_000, 0, account=asking.budget.root), Usage(9_000, 0, 0, 0, 1)
    )
    assert (await asking.ask(talk)).completion.text == "b"
    assert asking.model.max_output_tokens[1] > MIN_OUTPUT_TOKENS


async def test_what_a_provider_adds_to_a_request_is_reserved_for_from_then_on() -> None:
    asking = Asking(*[used("ok", 5_000, 10)] * 2)
    await asking.ask()
    assert shared_of(asking.model).tokens.most(5, 1) >= 5_000


async def test_a_session_that_is_over_leaves_nothing_behind() -> None:
    model = ScriptedModel({"hello": "ok"})
    for _ in range(3):
        asking = Asking(model=model)
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(asking.ask)
    gate = shared_of(model).gate
    assert gate.active == 0
    assert gate._queues == {}
    assert not gate._turns


OUTCOMES = ("good", "short", "cut", "filter", "refused", "broken", "crash", "uncounted")


class Adversary:
    """A provider that does what it is told to, and counts what it really charged."""

    name, window_tokens, price = "adversary", 1_000_000, DOLLAR_A_TOKEN

    def __init__(self, outcomes: Sequence[str]) -> None:
        self.outcomes = list(outcomes)
        self.charged = 0

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        outcome = self.outcomes.pop() if self.outcomes else "good"
        await anyio.lowlevel.checkpoint()
        if outcome == "refused":
            raise busy()
        sent = sum(len(message.content.encode()) for message in messages)
        received = {"short": 1, "cut": max_output_tokens}.get(outcome, max_output_tokens // 2)
        self.charged += sent + received
        if outcome == "broken":
            raise broke_off()
        if outcome == "crash":
            raise RuntimeError("a bug")
        reason = {"cut": "length", "filter": "content_filter"}.get(outcome, "stop")
        return Completion(
            "text",
            Usage(sent, 0, received, 0, 1),
            self.name,
            reason,
            counted=outcome != "uncounted",  # type: ignore[arg-type]
        )


@settings(max_examples=80)
@given(
    st.lists(st.sampled_from(OUTCOMES), max_size=60),
    st.integers(500, 20_000),
    st.integers(1, 30),
    st.booleans(),
)
def test_whatever_a_provider_does_it_charges_no_more_than_the_ledger_says_and_that_no_more_than_the_limit(
    outcomes: list[str], limit: int, callers: int, whole: bool
) -> None:
    async def main() -> None:
        model = Adversary(outcomes)
        budget = Budget(Limits(cost_limit_usd=limit, max_output_tokens=600, concurrency=8))
        calls = Calls(budget, retries=RetryPolicy(base_delay_s=0, max_delay_s=0, failures_to_open=0))

        async def ask() -> None:
            with suppress(BudgetExceeded, ModelError, RuntimeError):
                await calls.complete(model, ASK, account=budget.root, whole=whole)

        async with anyio.create_task_group() as tasks:
            for _ in range(callers):
                tasks.start_soon(ask)
        cost = budget.cost
        assert model.charged <= cost.total_usd <= limit
        assert cost.total_usd - cost.uncertain_usd <= model.charged

    anyio.run(main)
