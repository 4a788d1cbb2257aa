"""One way to ask a model: what comes back, from which model or from the cache, and what is charged for it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asking import ASK, DOLLAR_A_TOKEN, Asking, Stubborn, broke_off, busy, used, worst_input_tokens
from examples import examples
from rlmbox.budget.budget import MIN_OUTPUT_TOKENS, Budget
from rlmbox.budget.limits import Limits
from rlmbox.errors import BudgetExceeded, ConfigError, ContextLimitExceeded, ModelError
from rlmbox.events import (
    AttemptFinished,
    AttemptStarted,
    InputTruncated,
    ModelFellBack,
    ReplyContinued,
    ReplyFromCache,
)
from rlmbox.models.pace import UNPACED
from rlmbox.requests.cache import ReplyCache
from rlmbox.requests.client import CUT, Calls
from rlmbox.requests.retries import RetryPolicy
from rlmbox.requests.state import model_state_of
from rlmbox.testing import ScriptedModel
from rlmbox.testing.scripted import Scripted
from rlmbox.types import Completion, Message, Usage


async def test_a_reply_is_charged_what_it_used() -> None:
    asking = Asking(used("hi", 5, 10))
    reply = await asking.ask()
    assert (reply.completion.text, reply.cost_usd, reply.model_name) == ("hi", Decimal(15), "scripted")
    assert (reply.attempts, reply.from_cache) == (1, False)
    assert asking.budget.cost.total_usd == 15
    assert asking.remarks == []


async def test_every_attempt_says_what_it_reserved_and_what_it_came_to() -> None:
    asking = Asking(broke_off(), busy(), used("hi", 5, 10))
    await asking.ask()
    began, ended = asking.of(AttemptStarted), asking.of(AttemptFinished)
    assert [fields["attempt"] for fields in began] == [fields["attempt"] for fields in ended] == [1, 2, 3]
    assert {fields["reserved_usd"] for fields in began} == {asking.worst}
    assert [fields["outcome"] for fields in ended] == ["uncertain", "released", "settled"]
    assert sum(fields["cost_usd"] for fields in ended) == asking.budget.cost.total_usd
    assert ended[1]["error"] == "ModelError: HTTP 500"


async def test_a_reply_without_counts_is_charged_the_most_that_its_prompt_and_its_text_can_have_had() -> None:
    text = "a reply of so many bytes"
    asking = Asking(used(text, 1, 1, counted=False))
    most = worst_input_tokens(ASK) + len(text)
    assert (await asking.ask()).cost_usd == most
    assert asking.budget.cost.uncertain_usd == most


async def test_a_reply_without_counts_and_without_a_text_is_charged_its_worst_case() -> None:
    asking = Asking(used("", 1, 1, counted=False))
    assert (await asking.ask()).cost_usd == asking.worst


async def test_of_two_counts_that_contradict_each_other_the_larger_is_charged() -> None:
    asking = Asking(used("ok", 15, 200, counted=False))
    assert (await asking.ask()).cost_usd == worst_input_tokens(ASK) + 3 * 200


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
    assert (reply.cost_usd, reply.attempts) == (Decimal(33), 2)
    assert reply.completion.usage == Usage(20, 0, 13, 0, 2)
    assert asking.of(ReplyContinued) == [{"part": 2}]
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


async def test_a_reply_that_was_all_reasoning_is_no_answer() -> None:
    asking = Asking(used("", 5, 10, stop_reason="length"))
    assert "its 1,000 tokens went into reasoning" in str(await asking.fail(whole=True))
    assert len(asking.model.requests) == 1


@pytest.mark.parametrize(
    ("completion", "words"),
    [
        (used("", 5, 10), "the reply is empty"),
        (used(" \n", 5, 10), "the reply is empty"),
        (used("", 5, 10, stop_reason="tool_calls"), "a call of a tool and no text"),
        (used("<tool_call>{}</tool_call>", 5, 10, stop_reason="tool_calls"), "a call of a tool and no text"),
    ],
)
async def test_a_reply_without_a_text_is_no_answer_and_is_not_kept(
    completion: Completion, words: str, tmp_path: object
) -> None:
    cache = ReplyCache(str(tmp_path))
    asking = Asking(completion, used("now", 5, 10), cache=cache)
    error = await asking.fail(whole=True)
    assert words in str(error)
    assert not error.retryable
    assert asking.budget.cost.total_usd == 15
    assert (await asking.ask(whole=True)).completion.text == "now"
    cache.close()


async def test_a_turn_without_a_text_is_for_the_session_to_judge() -> None:
    asking = Asking(used("", 5, 10, stop_reason="tool_calls"))
    assert (await asking.ask()).completion.stop_reason == "tool_calls"


async def test_a_refusal_is_an_error_in_the_models_words() -> None:
    error = await Asking(used("I will not do that.", 5, 10, stop_reason="refusal")).fail(whole=True)
    assert str(error) == 'scripted: the model refused ("I will not do that."); ask in other words'


class Unspeakable(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class Broken(ScriptedModel):
    """A user's own model with a bug."""

    def __init__(self, outcome: object) -> None:
        super().__init__([], price=DOLLAR_A_TOKEN)
        self.outcome = outcome

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (TypeError("'NoneType' object is not subscriptable"), "raised TypeError: 'NoneType' object"),
        (KeyError("choices"), "raised KeyError: 'choices'"),
        (AssertionError(), "raised AssertionError"),
        (StopIteration("no more"), "raised RuntimeError: coroutine raised StopIteration"),
        (asyncio.CancelledError(), "raised CancelledError"),  # of a task of its own
        (Unspeakable(), "raised Unspeakable: its message cannot be read: ZeroDivisionError"),
        (None, "complete() returned NoneType, not a Completion"),
        ("a text", "complete() returned str, not a Completion"),
        (Completion(None, Usage(), "x"), "not a Completion with a text"),  # type: ignore[arg-type]
    ],
)
async def test_a_bug_in_a_users_own_model_is_an_error_and_never_an_answer(outcome: object, words: str) -> None:
    asking = Asking(model=Broken(outcome))
    error = await asking.fail()
    assert words in str(error)
    assert str(error).startswith("scripted: ")
    assert not error.retryable
    assert asking.budget.cost.uncertain_usd == asking.worst


async def test_a_users_own_model_whose_complete_takes_other_arguments_is_an_error() -> None:
    class Narrow(ScriptedModel):
        """Takes a conversation only."""

        async def complete(self, messages: Sequence[Message]) -> Completion:  # type: ignore[override]
            raise AssertionError

    error = await Asking(model=Narrow([], price=DOLLAR_A_TOKEN)).fail()
    assert "raised TypeError" in str(error)
    assert "unexpected keyword argument" in str(error)


async def test_counts_below_zero_of_a_users_own_model_lower_no_bill() -> None:
    asking = Asking(used("ok", -5_000, 10))
    assert (await asking.ask()).cost_usd > 0


async def test_a_server_that_read_only_a_part_of_the_input_is_noticed_and_told() -> None:
    asking = Asking(used("It is about foxes.", 100, 7), used("yes", 1_900, 7))
    text = "The quick brown fox jumps over the lazy dog. " * 190
    reply = await asking.ask([Message("user", text)], whole=True)
    assert "[SYSTEM WARNING: the server read only a part of the input, some 100 of" in reply.completion.text
    (told,) = asking.of(InputTruncated)
    assert told["after_tokens"] == 100
    # A count that may be true is not doubted.
    assert (await asking.ask([Message("user", text)], whole=True)).completion.text == "yes"
    assert len(asking.of(InputTruncated)) == 1


class Tuned(ScriptedModel):
    """A model that can be asked at a temperature, and says at which it was."""

    def __init__(self, temperature: float | None = None) -> None:
        super().__init__(lambda_replies(f"at {temperature}"), name="tuned")
        self.temperature = temperature
        self.endpoint, self.pace = "http://tuned", UNPACED
        self.settings = f'{{"temperature": {temperature}}}'

    def with_temperature(self, temperature: float) -> "Tuned":  # type: ignore[override]
        return Tuned(temperature)


def lambda_replies(text: str) -> list[Scripted]:
    return [text] * 9


async def test_a_temperature_belongs_to_a_request_and_to_the_caches_key(tmp_path: object) -> None:
    cache = ReplyCache(str(tmp_path))
    asking = Asking(model=Tuned(), cache=cache)
    texts = [(await asking.ask(temperature=t)).completion.text for t in (None, 0.0, 0.7, 0.7, None)]
    assert texts == ["at None", "at 0.0", "at 0.7", "at 0.7", "at None"]
    assert len(asking.of(ReplyFromCache)) == 2
    cache.close()


async def test_a_model_that_takes_no_temperature_says_so_before_anything_is_spent() -> None:
    model = Adversary([])
    with pytest.raises(ConfigError, match="takes no temperature"):
        await Asking(model=model).ask(temperature=0.5)  # type: ignore[arg-type]
    assert model.charged == 0


async def test_a_users_check_sends_a_reply_to_the_other_model() -> None:
    second = ScriptedModel(["a real answer"], name="second")
    asking = Asking(
        used("I don't know", 5, 10), used("I know", 5, 10),
        fallback=second, fallback_when=lambda completion: "don't know" in completion.text,
    )  # fmt: skip
    reply = await asking.ask()
    assert (reply.completion.text, reply.model_name, reply.cost_usd) == ("a real answer", "second", Decimal(15))
    (told,) = asking.of(ModelFellBack)
    assert told["reason"] == "fallback_when asked for another model"
    assert (await asking.ask()).model_name == "scripted"


async def test_another_model_is_asked_where_the_first_has_no_answer() -> None:
    asking = Asking(used("", 5, 10), fallback=ScriptedModel(["an answer"], name="second"))
    reply = await asking.ask(whole=True)
    assert (reply.completion.text, reply.model_name, reply.cost_usd) == ("an answer", "second", Decimal(15))
    assert "the reply is empty" in asking.of(ModelFellBack)[0]["reason"]
    assert "second: the reply is empty" in str(
        await Asking(used("", 5, 10), fallback=ScriptedModel([" "], name="second")).fail(whole=True)
    )


async def test_a_users_check_with_a_bug_is_an_error_of_the_program() -> None:
    asking = Asking("fine", fallback=ScriptedModel([]), fallback_when=lambda _: 1 / 0)
    with pytest.raises(ConfigError, match="fallback_when raised ZeroDivisionError"):
        await asking.ask()


async def test_sub_calls_are_asked_for_as_long_as_replies_have_been_and_again_where_that_was_too_short() -> None:
    def answer(messages: Sequence[Message]) -> Completion:
        cut = model.max_output_tokens[-1] < 3_000 and messages[-1].content == "much"
        return used("half" if cut else "whole", 5, model.max_output_tokens[-1] if cut else 50,
                    stop_reason="length" if cut else "stop")  # fmt: skip

    model = ScriptedModel([answer] * 99, price=DOLLAR_A_TOKEN)
    asking = Asking(model=model, max_output_tokens=16_384)
    for _ in range(30):
        await asking.ask(whole=True)
    assert model.max_output_tokens[0] == 4_096  # little was known
    assert model.max_output_tokens[-1] == 128
    reply = await asking.ask([Message("user", "much")], whole=True)
    assert (reply.completion.text, reply.attempts) == ("whole", 2)
    assert model.max_output_tokens[-2:] == [128, 16_384]
    assert reply.cost_usd == 5 + 128 + 5 + 50
    await asking.ask(whole=True)
    assert model.max_output_tokens[-1] == 512  # the next ones are asked for longer
    assert asking.budget.cost.uncertain_usd == 0


async def test_another_model_is_asked_where_the_first_is_not_available() -> None:
    second = ScriptedModel(["from the second"], name="second")
    asking = Asking(*[busy()] * 9, fallback=second)
    reply = await asking.ask()
    assert (reply.completion.text, reply.model_name) == ("from the second", "second")
    assert asking.of(ModelFellBack) == [
        {"from_model": "scripted", "to_model": "second", "reason": "HTTP 500 (after 4 attempts)"}
    ]


async def test_another_model_is_asked_at_once_where_the_credit_is_used_up() -> None:
    asking = Asking(ModelError("no credit", status=402), fallback=ScriptedModel(["ok"], name="second"))
    assert (await asking.ask()).model_name == "second"


async def test_another_model_is_asked_at_once_while_the_first_is_left_alone() -> None:
    policy = RetryPolicy(attempts=1, failures_to_open=3, open_s=20)
    asking = Asking(*[busy()] * 3, retries=policy, fallback=ScriptedModel(["ok"] * 9, name="second"))
    with anyio.fail_after(60):
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
    assert asking.of(ModelFellBack) == []


async def test_a_fallback_gets_as_much_time_as_the_first_model_had() -> None:
    asking = Asking(model=Stubborn([3600.0]), fallback=ScriptedModel(["ok"], name="second", delay_s=0.05))
    assert (await asking.ask(timeout_s=0.2)).model_name == "second"


async def test_a_reply_from_the_cache_costs_nothing_and_is_marked(tmp_path: object) -> None:
    cache = ReplyCache(str(tmp_path))
    first = Asking(used("kept", 5, 10), cache=cache)
    await first.ask()
    second = Asking(cache=cache)
    reply = await second.ask()
    assert (reply.completion.text, reply.cost_usd, reply.attempts, reply.from_cache) == ("kept", Decimal(0), 0, True)
    assert reply.completion.usage == Usage()
    assert [(told.kind, told.fields) for told in second.told] == [(ReplyFromCache, {"saved_usd": Decimal(15)})]
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
    assert model_state_of(asking.model).tokens.most(5, 1) >= 5_000


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
            reason,  # type: ignore[arg-type]
            counted=outcome != "uncounted",
        )


@settings(max_examples=examples(80))
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


async def test_a_reply_that_is_cut_because_no_more_can_be_paid_for_is_not_asked_for_again() -> None:
    def cut(_messages: Sequence[Message]) -> Completion:
        return used("half", 5, model.max_output_tokens[-1], stop_reason="length")

    model = ScriptedModel([cut] * 9, price=DOLLAR_A_TOKEN)
    asking = Asking(model=model, max_output_tokens=16_384, cost_limit_usd="300")
    reply = await asking.ask(whole=True)
    assert reply.completion.text == f"half\n\n{CUT}"
    assert len(model.requests) == 1


async def test_a_reply_that_cannot_be_continued_is_given_as_far_as_it_came() -> None:
    asking = Asking(used("one ", 5, 10, stop_reason="length"), ModelError("no", status=400))
    assert (await asking.ask(whole=True)).completion.text == f"one \n\n{CUT}"
