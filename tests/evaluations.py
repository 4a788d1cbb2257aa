"""What the tests of evaluations share: questions, a model that knows some answers, and an evaluation over them."""

import asyncio
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rlmbox.evaluation.arms import DirectArm
from rlmbox.evaluation.journal import EvaluationJournal, Recorded, read_evaluation
from rlmbox.evaluation.outcomes import Arm
from rlmbox.evaluation.passages import RetrievalArm
from rlmbox.evaluation.questions import Question
from rlmbox.evaluation.running import Evaluation, Plan, head_of
from rlmbox.models.prices import FlatPrice
from rlmbox.models.providers import provider_model
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message

PRICE = FlatPrice(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(10))


def questions(count: int) -> list[Question]:
    return [Question(f"q{n}", f"What is number {n}?", str(n), text=f"Number {n} is {n}.") for n in range(count)]


def knowing(share: float, *, seed: int = 0, delay_s: float = 0.0, price: Any = PRICE) -> ScriptedModel:
    """Make a model that answers such a share of the questions right."""
    rng = random.Random(seed)

    def reply(messages: Sequence[Message]) -> str:
        asked = messages[-1].content.split("What is number ")[1].split("?")[0]
        return asked if rng.random() < share else "wrong"

    return ScriptedModel([reply] * 100_000, name=f"test:{share}", price=price, delay_s=delay_s)


def provider_arms(url: str) -> list[Arm]:
    """Return three arms over models of a server on loopback."""
    names = [f"openai:m{n}" for n in range(3)]
    models = [provider_model(name, base_url=url, api_key="x", prices={name: PRICE}) for name in names]
    return [DirectArm(models[0]), RetrievalArm(models[1]), DirectArm(models[2], name="other")]


def evaluate(
    folder: Path, asked: Sequence[Question], arms: Sequence[Arm], *, name: str = "eval-1", **plan: Any
) -> Recorded:
    return asyncio.run(aevaluate(folder, asked, arms, name=name, **plan))


async def aevaluate(
    folder: Path,
    asked: Sequence[Question],
    arms: Sequence[Arm],
    *,
    name: str = "eval-1",
    on_result: Callable[[Any], None] | None = None,
    **plan: Any,
) -> Recorded:
    made = Plan(asked, arms, **plan)
    recorded = read_evaluation(folder, name) if (folder / f"{name}.jsonl").exists() else Recorded(name)
    journal = EvaluationJournal(folder, name)
    try:
        if not recorded.head:
            head = head_of(made, {})
            journal.write(head)
            recorded.apply(head)
        await Evaluation(made, journal, recorded, on_result).run()
    finally:
        journal.close()
    return recorded
