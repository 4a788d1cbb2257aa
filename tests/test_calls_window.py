"""What is sent of an input that may not fit a model's window."""

from collections.abc import Sequence

import pytest

from asking import DOLLAR_A_TOKEN, Asking
from rlmbox.errors import ContextLimitExceeded
from rlmbox.events import InputTruncated
from rlmbox.requests.window import WARNING
from rlmbox.testing import ScriptedModel
from rlmbox.types import Completion, Message


async def test_an_input_that_is_too_long_keeps_its_head_and_the_model_is_told() -> None:
    model = ScriptedModel(["ok"], window_tokens=2_000)
    asking = Asking(model=model)
    await asking.ask([Message("user", "the head " + "x" * 50_000)])
    (sent,) = model.requests[0]
    assert sent.content.startswith("the head xxx")
    assert sent.content.endswith(WARNING)
    (told,) = asking.of(InputTruncated)
    assert told["before_tokens"] > 2_000 > told["after_tokens"] + model.max_output_tokens[0]


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
    assert asking.remarks == []

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
    assert asking.remarks == []
    assert 300 <= model.max_output_tokens[0] < 1_000
