"""Runs over scripted models, as tests make them."""

from decimal import Decimal

from rlmbox import RLM, Limits
from rlmbox.models.prices import FlatPrice
from rlmbox.testing import ScriptedModel

TEXT = "The contract begins in May.\nA penalty of 5 % applies to late delivery.\nIt ends in June."
PENALTY = "A penalty of 5 % applies to late delivery."
PENNY = FlatPrice(Decimal(10_000), Decimal(10_000), origin="test")


def repl(code: str) -> str:
    return f"```repl\n{code}\n```"


def rlm(*replies: object, sub: object = None, **options: object) -> RLM:
    model = ScriptedModel(list(replies), name="root")  # type: ignore[arg-type]
    sub_model = ScriptedModel(sub, name="sub") if isinstance(sub, dict | list) else sub
    return RLM(model, sub_model=sub_model, **options)  # type: ignore[arg-type]


def said_to(model: object, request: int = -1) -> str:
    return str(model.requests[request][-1].content)  # type: ignore[attr-defined]


async def value_of(code: str, sub: ScriptedModel, **limits: object) -> object:
    """Runs one cell and gives the value that it finishes with."""
    root = ScriptedModel([repl(code), "FINAL(the cell did not finish)"], name="root")
    return (await RLM(root, sub_model=sub, limits=Limits(**limits)).aask("q?", "some text")).value  # type: ignore[arg-type]


def echo(**options: object) -> ScriptedModel:
    return ScriptedModel([lambda messages: messages[-1].content.upper()] * 500, name="sub", **options)  # type: ignore[arg-type]
