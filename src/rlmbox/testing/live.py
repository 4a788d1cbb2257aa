"""One cheap question, end to end, to each provider whose key is set: `python -m rlmbox.testing.live`.

It costs less than a cent per provider, and is never part of an automatic test. Models named as arguments are asked
instead.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from rlmbox.budget.limits import Limits
from rlmbox.errors import PriceUnknown, RLMError
from rlmbox.rlm import RLM
from rlmbox.types import Answer

CHEAPEST: Mapping[str, str] = MappingProxyType(
    {
        "OPENAI_API_KEY": "openai:gpt-5-nano",
        "ANTHROPIC_API_KEY": "anthropic:claude-haiku-4-5",
        "GEMINI_API_KEY": "google:gemini-2.5-flash-lite",
        "GOOGLE_API_KEY": "google:gemini-2.5-flash-lite",
        "OPENROUTER_API_KEY": "openrouter:openai/gpt-5-nano",
        "GROQ_API_KEY": "groq:openai/gpt-oss-20b",
        "XAI_API_KEY": "xai:grok-4-fast-non-reasoning",
        "DEEPSEEK_API_KEY": "deepseek:deepseek-v4-flash",
        "MISTRAL_API_KEY": "mistral:mistral-small-2603",
    }
)
"""A cheap model of each provider, by the environment variable of its key."""

_QUESTION = "How many times does the word needle occur? Count with code and answer with the number only."
_TEXT = "hay needle hay\n" * 7 + "hay hay hay\n" * 50
_RIGHT = "7"


def main(names: Sequence[str]) -> int:
    """Ask the question, and print the result.

    Args:
        names: The models to ask; empty for a cheap one of each provider whose key is set.

    Returns:
        The exit code: 0 if all answers were right.
    """
    asked = list(names) or list(dict.fromkeys(m for variable, m in CHEAPEST.items() if os.environ.get(variable)))
    if not asked:
        print(f"no key is set; set one of {', '.join(CHEAPEST)}, or name a model")  # noqa: T201
        return 2
    failed = sum(not _ask(name) for name in asked)
    print(f"{len(asked) - failed} of {len(asked)} answered right")  # noqa: T201
    return int(failed > 0)


def _ask(name: str) -> bool:
    began_s = time.monotonic()
    try:
        try:
            answer = _answer(name, cost_limit_usd="0.05")
        except PriceUnknown:  # for example behind a gateway; the token limit then bounds the cost
            answer = _answer(name, cost_limit_usd=None)
    except RLMError as error:
        print(f"FAIL {name}: {type(error).__name__}: {error}")  # noqa: T201
        return False
    right = _RIGHT in answer.text
    told = f"{answer.text[:60]!r}, {answer.turns} turns, {answer.cost}, {time.monotonic() - began_s:.1f} s"
    print(f"{'ok  ' if right else 'WRONG'} {name}: {told}")  # noqa: T201
    return right


def _answer(name: str, *, cost_limit_usd: str | None) -> Answer:
    limits = Limits(cost_limit_usd=cost_limit_usd, max_tokens=60_000, max_turns=6, max_seconds=180)
    with RLM(name, limits=limits) as rlm:
        return rlm.ask(_QUESTION, _TEXT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
