"""A run's calls over a script, as tests make them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import anyio
import pytest

from rlmbox.budget.budget import Budget
from rlmbox.budget.limits import Limits
from rlmbox.budget.tokens import TokenScale, size_bytes
from rlmbox.errors import ModelError
from rlmbox.events import AttemptFinished, AttemptStarted, RequestEvent
from rlmbox.models.prices import FlatPrice
from rlmbox.requests.client import Calls, ModelReply
from rlmbox.requests.retries import RetryPolicy
from rlmbox.testing import ScriptedModel
from rlmbox.testing.scripted import Scripted
from rlmbox.types import Completion, Message, Usage

DOLLAR_A_TOKEN = FlatPrice(Decimal(1_000_000), Decimal(1_000_000), origin="test")
ASK = [Message("user", "hello")]
ANYWHERE: Mapping[str, Any] = {
    "run_id": "run", "session_id": "run", "parent_id": None, "depth": 0, "state": "THOUGHT"
}  # fmt: skip
QUICK = RetryPolicy(base_delay_s=0.001, max_delay_s=0.002, max_retry_after_s=0.01, open_s=0.02)


def worst_input_tokens(messages: Sequence[Message]) -> int:
    """Return what is reserved for the input of a model that nothing is known of yet."""
    return TokenScale("new").most(size_bytes(messages), len(messages))


def busy(status: int = 500, **fields: object) -> ModelError:
    return ModelError(f"HTTP {status}", retryable=True, status=status, **fields)  # type: ignore[arg-type]


def broke_off() -> ModelError:
    return ModelError("the connection broke", retryable=True, possibly_billed=True)


def used(text: str, input_tokens: int, output_tokens: int, **fields: object) -> Completion:
    return Completion(text, Usage(input_tokens, 0, output_tokens, 0, 1), "scripted", **fields)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a request as it is told: its class and its own fields."""

    kind: type[RequestEvent]
    fields: Mapping[str, Any]


class Asking:
    """A run's calls over a script, with the events that were told on the way."""

    def __init__(self, *script: Scripted, model: ScriptedModel | None = None, **options: object) -> None:
        limits = {"cost_limit_usd": "1000000", "max_output_tokens": 1_000}
        names = set(Limits.__slots__)
        limits |= {name: value for name, value in options.items() if name in names}
        self.model = model or ScriptedModel(list(script), price=DOLLAR_A_TOKEN)
        self.budget = Budget(Limits(**limits))  # type: ignore[arg-type]
        self.told: list[Told] = []
        rest = {"retries": QUICK, **{name: value for name, value in options.items() if name not in names}}
        self.calls = Calls(self.budget, **rest)  # type: ignore[arg-type]

    async def ask(self, messages: Sequence[Message] = ASK, **options: object) -> ModelReply:
        account = self.budget.root
        return await self.calls.complete(
            self.model,
            messages,
            account=account,
            tell=self._tell,
            **options,  # type: ignore[arg-type]
        )

    def _tell(self, kind: type[RequestEvent], **fields: object) -> None:
        kind(**{**ANYWHERE, "model": "", **fields})  # the fields are those of the event
        self.told.append(Told(kind, fields))

    def of(self, kind: type[RequestEvent]) -> list[dict[str, Any]]:
        """The fields of the events of one class, in order."""
        return [dict(told.fields) for told in self.told if told.kind is kind]

    @property
    def remarks(self) -> list[Told]:
        """What was told besides the start and the end of each attempt."""
        return [told for told in self.told if told.kind not in (AttemptStarted, AttemptFinished)]

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
