"""The checks that every `Model` passes, usable by third-party implementations.

Built like trio's `check_one_way_stream`: a table of named checks over a function that creates the object to check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal
from typing import get_args

from rlmbox.models.base import Model
from rlmbox.types import Completion, Message, StopReason, Usage

MakeModel = Callable[[], Model] | Callable[[], Awaitable[Model]]
"""Returns a model that answers any prompt; called once per check."""

_PROMPT = (Message("system", "You are terse."), Message("user", "Say hello."))
_CONCURRENT = 20


async def check_model(make_model: MakeModel, *, except_for: Collection[str] = ()) -> tuple[str, ...]:
    """Check that a model keeps the contract of `rlmbox.models.Model`.

    Args:
        make_model: Creates the model, which must answer `Say hello.` and take long enough to be cancelled.
        except_for: Names of checks that the model is known not to pass.

    Returns:
        The names of the checks that it passed.

    Raises:
        AssertionError: A check failed; the message names it.
        ValueError: `except_for` names an unknown check.
    """
    unknown = set(except_for) - {name for name, _ in CHECKS}
    if unknown:
        raise ValueError(f"no such check: {', '.join(sorted(unknown))}")
    passed = []
    for name, check in CHECKS:
        if name in except_for:
            continue
        made = make_model()
        model = await made if isinstance(made, Awaitable) else made
        try:
            await check(model)
        except Exception as error:
            raise AssertionError(f"check_model: {name}: {str(error) or type(error).__name__}") from error
        passed.append(name)
    return tuple(passed)


async def _is_described(model: Model) -> None:
    _expect_kind(model.name, str, "name is a text")
    _expect(model.name != "", "name is not empty")
    _expect_kind(model.window_tokens, int, "window_tokens is an int")
    _expect(model.window_tokens > 0, "window_tokens is positive")


async def _has_a_price(model: Model) -> None:
    price = model.price
    if price is None:
        return
    _expect_kind(price.origin, str, "price.origin is a text")
    _expect(price.origin != "", "price.origin says where the price comes from")
    costs = [price.cost_usd(Usage(input_tokens=n, output_tokens=n, requests=1)) for n in (0, 1000, 2000)]
    for cost in costs:
        _expect_kind(cost, Decimal, "cost_usd gives Decimal")
    _expect(costs[0] >= 0 and costs == sorted(costs), "more tokens never cost less")


async def _answers(model: Model) -> None:
    _expect_completion(model, await model.complete(_PROMPT, max_output_tokens=100))


async def _counts_usage(model: Model) -> None:
    usage = (await model.complete(_PROMPT, max_output_tokens=100)).usage
    _expect(usage.input_tokens > 0, "input_tokens is counted")
    _expect(0 <= usage.cached_input_tokens <= usage.input_tokens, "cached_input_tokens is a part of input_tokens")
    _expect(0 <= usage.reasoning_tokens <= usage.output_tokens, "reasoning_tokens is a part of output_tokens")
    _expect(usage.requests == 1, "requests is 1")


async def _keeps_to_the_output_limit(model: Model) -> None:
    usage = (await model.complete(_PROMPT, max_output_tokens=100)).usage
    _expect(usage.output_tokens <= 100, "output_tokens is at most max_output_tokens")


async def _leaves_messages_alone(model: Model) -> None:
    messages = list(_PROMPT)
    await model.complete(messages, max_output_tokens=100)
    _expect(messages == list(_PROMPT), "the list of messages is the caller's")


async def _takes_consecutive_user_messages(model: Model) -> None:
    messages = (*_PROMPT, Message("assistant", "hello"), Message("user", "And"), Message("user", "Say hello."))
    _expect_completion(model, await model.complete(messages, max_output_tokens=100))


async def _answers_many_at_once(model: Model) -> None:
    completions = await asyncio.gather(*(model.complete(_PROMPT, max_output_tokens=100) for _ in range(_CONCURRENT)))
    for completion in completions:
        _expect_completion(model, completion)


async def _can_be_cancelled(model: Model) -> None:
    task = asyncio.create_task(_complete(model))
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    else:
        raise AssertionError("cancelling a request raises CancelledError out of it")
    _expect_completion(model, await model.complete(_PROMPT, max_output_tokens=100))


async def _complete(model: Model) -> Completion:
    return await model.complete(_PROMPT, max_output_tokens=100)


def _expect(fact: bool, rule: str) -> None:
    if not fact:
        raise AssertionError(f"broken: {rule}")


def _expect_kind(value: object, kind: type, rule: str) -> None:
    _expect(isinstance(value, kind), rule)


def _expect_completion(model: Model, completion: Completion) -> None:
    _expect_kind(completion, Completion, "complete gives a Completion")
    _expect_kind(completion.text, str, "its text is a str")
    _expect(completion.model == model.name, "it carries the model's name")
    _expect(completion.stop_reason in get_args(StopReason), "its stop_reason is a known one")


CHECKS: tuple[tuple[str, Callable[[Model], Awaitable[None]]], ...] = (
    ("is described", _is_described),
    ("has a price", _has_a_price),
    ("answers", _answers),
    ("counts usage", _counts_usage),
    ("keeps to the output limit", _keeps_to_the_output_limit),
    ("leaves messages alone", _leaves_messages_alone),
    ("takes consecutive user messages", _takes_consecutive_user_messages),
    ("answers many at once", _answers_many_at_once),
    ("can be cancelled", _can_be_cancelled),
)
"""The checks by name, in execution order."""
