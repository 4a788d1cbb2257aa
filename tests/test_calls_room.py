"""Room for long requests under small limits, and what replies that nobody counted are charged."""

from decimal import Decimal

import pytest

from asking import used
from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.budget.tokens import TokenScale
from rlmbox.errors import BudgetExceeded
from rlmbox.models.prices import FlatPrice
from rlmbox.requests.client import Calls
from rlmbox.requests.lengths import ReplyLengths
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message


async def test_the_first_request_to_a_model_goes_by_what_the_runs_others_have_counted() -> None:
    price = FlatPrice(Decimal("1.25"), Decimal(10))
    long = [Message("user", "some words of a text " * 5_000)]  # 105,000 bytes, and a quarter of that in tokens
    root = ScriptedModel([used("ok", 1_000, 5)], price=price, name="root")
    sub = ScriptedModel([used("ok", 26_250, 5)], price=price, name="sub")
    budget = Budget(Limits(cost_limit_usd="0.10"))
    calls = Calls(budget)
    with pytest.raises(BudgetExceeded, match="a prompt of up to"):
        await calls.complete(sub, long, account=budget.root.below())
    await calls.complete(root, [Message("user", "some words of a text " * 200)], account=budget.root)
    reply = await calls.complete(sub, long, account=budget.root.below())
    assert reply.completion.text == "ok"


def test_an_uncounted_reply_is_measured_by_the_most_that_counted_ones_had() -> None:
    scale, text = TokenScale("openai:m"), "some words of a reply " * 20
    assert scale.reply_tokens(text, 0) == len(text)  # a token for each byte, while nothing was counted
    scale.learn_reply(text, 110)
    assert 110 * 1.1 <= scale.reply_tokens(text, 0) <= 110 * 1.1 + 9
    scale.learn_reply(text, 900)  # reasoning that nobody sees
    assert scale.reply_tokens(text, 0) >= 900


def test_the_more_replies_are_known_the_less_is_asked_for_beyond_the_longest() -> None:
    lengths, key = ReplyLengths(), ("m", 1)
    asked = []
    for number in range(1, 201):
        lengths.note(key, 1_000)
        if number in (5, 20, 50, 200):
            asked.append(lengths.cap_tokens(key, 16_384, 16_384))
    assert asked == [4_000, 2_000, 1_312, 1_104]


def test_after_a_reply_that_was_cut_is_known_nothing_is_guessed_any_more() -> None:
    lengths, key = ReplyLengths(), ("m", 1)
    for _ in range(200):
        lengths.note(key, 100)
    lengths.note_cut(key, 112)
    assert lengths.cap_tokens(key, 16_384, 16_384) == 448
    lengths.note(key, 300)
    assert lengths.cap_tokens(key, 16_384, 16_384) == 336
