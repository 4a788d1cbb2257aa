"""The contract suite finds what it is for."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from rlmbox.models.prices import FREE
from rlmbox.testing import ScriptedModel, check_model
from rlmbox.testing.check_model import CHECKS
from rlmbox.types import Completion, Message, Usage


def hello() -> ScriptedModel:
    return ScriptedModel({"Say hello.": "hello"}, delay_s=0.01)


async def test_the_scripted_model_passes_every_check() -> None:
    assert await check_model(hello) == tuple(name for name, _ in CHECKS)


async def test_a_maker_may_be_a_coroutine() -> None:
    async def make() -> ScriptedModel:
        return hello()

    assert len(await check_model(make)) == len(CHECKS)


class Nameless(ScriptedModel):
    name = ""


class Windowless(ScriptedModel):
    window_tokens = 0


class FloatPrice:
    origin = "a guess"

    def cost_usd(self, usage: Usage) -> Decimal:
        return usage.input_tokens * 0.1  # type: ignore[return-value]


class Discount(FloatPrice):
    def cost_usd(self, usage: Usage) -> Decimal:
        return Decimal(-usage.input_tokens)


class Uncounted(ScriptedModel):
    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        await asyncio.sleep(0.01)
        return Completion("hello", Usage(), self.name)


class Talkative(ScriptedModel):
    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        await asyncio.sleep(0.01)
        return Completion("hello", Usage(10, 0, 5000, 0, 1), self.name)


class Misnamed(ScriptedModel):
    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        await asyncio.sleep(0.01)
        return Completion("hello", Usage(1, 0, 1, 0, 1), "somebody-else")


class Stubborn(ScriptedModel):
    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        try:
            return await super().complete(messages, max_output_tokens=max_output_tokens)
        except asyncio.CancelledError:
            return Completion("hello", Usage(1, 0, 1, 0, 1), self.name)


class Meddling(ScriptedModel):
    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        if isinstance(messages, list):
            messages.append(Message("assistant", "hello"))
        return await super().complete(messages, max_output_tokens=max_output_tokens)


class OneAtATime(ScriptedModel):
    busy = False

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        if self.busy:
            raise RuntimeError("busy")
        self.busy = True
        try:
            return await super().complete(messages, max_output_tokens=max_output_tokens)
        finally:
            self.busy = False


@pytest.mark.parametrize(
    ("model", "price", "check"),
    [
        (Nameless, FREE, "is described"),
        (Windowless, FREE, "is described"),
        (ScriptedModel, FloatPrice(), "has a price"),
        (ScriptedModel, Discount(), "has a price"),
        (Misnamed, FREE, "answers"),
        (Uncounted, FREE, "counts usage"),
        (Talkative, FREE, "keeps to the output limit"),
        (Meddling, FREE, "leaves messages alone"),
        (OneAtATime, FREE, "answers many at once"),
        (Stubborn, FREE, "can be cancelled"),
    ],
)
async def test_a_broken_model_fails_the_check_that_is_named_after_it(
    model: type[ScriptedModel], price: FloatPrice, check: str
) -> None:
    with pytest.raises(AssertionError, match=f"check_model: {check}: "):
        await check_model(lambda: model({"Say hello.": "hello"}, price=price, delay_s=0.01))


async def test_a_check_that_a_model_does_not_meet_can_be_left_out_by_name() -> None:
    def make() -> Stubborn:
        return Stubborn({"Say hello.": "hello"}, delay_s=0.01)

    passed = await check_model(make, except_for={"can be cancelled"})
    assert "can be cancelled" not in passed
    with pytest.raises(ValueError, match="no such check: flies"):
        await check_model(make, except_for={"flies"})
