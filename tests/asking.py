"""A run's calls over a script, as tests make them."""

from collections.abc import Sequence
from decimal import Decimal

import anyio
import pytest

from rlmbox.budget.budget import Budget, worst_input_tokens
from rlmbox.budget.limits import Limits
from rlmbox.errors import ModelError
from rlmbox.models.prices import FlatPrice
from rlmbox.requests.client import Calls, ModelReply, Notice
from rlmbox.requests.retries import RetryPolicy
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

    async def ask(self, messages: Sequence[Message] = ASK, **options: object) -> ModelReply:
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
