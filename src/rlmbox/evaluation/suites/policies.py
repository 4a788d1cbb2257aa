"""Scripted optimal policies: for each suite the code that a perfect model would write, in at most 15 lines.

They test the engine itself without a model: whatever a policy gets wrong is a bug of rlmbox. Where a policy is longer
than it should be, a function of `ctx` is missing; `GAPS` names it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from rlmbox.budget.limits import Limits
from rlmbox.errors import ConfigError, RLMError
from rlmbox.evaluation.outcomes import Estimate, Outcome, Trial, ending_of
from rlmbox.models.base import Price
from rlmbox.models.prices import FREE
from rlmbox.rlm import RLM
from rlmbox.types import CellLimits, Completion, Message, Usage

_NEEDLE = """\
FINAL(extract_after('The locker number of ' + facts['city'] + ' is ', 7))"""

POLICIES: Mapping[str, str] = {
    "niah-single": _NEEDLE,
    "niah-multi": _NEEDLE,
    "niah-multivalue": """\
hits = ctx.search('The locker number of ' + facts['city'] + r' is \\d{7}', max_matches=1000)
FINAL('\\n'.join([hit['match'][-7:] for hit in hits]))""",
    "variable-tracking": """\
hits = ctx.search(r'VAR (\\w+) = (?:VAR )?(\\w+)', max_matches=10000)
parts = [hit['match'].replace('= VAR', '=').split() for hit in hits]
same = [facts['value']]
for part in parts:
    if part[3] in same:
        same.append(part[1])
FINAL('\\n'.join(same[1:]))""",
    "common-words": """\
FINAL('\\n'.join(list(ctx.tally(r'\\w+', 5))))""",
    "oolong-count": """\
FINAL(str(ctx.count('label=' + facts['label'] + ' ')))""",
    "oolong-pairs": """\
many = len(ctx.tally(r'user=(\\w+) \\| label=' + facts['label'] + ' ', 1000))
FINAL(str(many * (many - 1) // 2))""",
    "two-documents": """\
client = extract_after('Order ' + facts['order'] + ' was placed by client ', 5)
FINAL(extract_after('Client ' + client + ' lives in ', 20).split('.')[0])""",
    "callers": """\
names = []
for hit in ctx.search(r'\\b' + facts['target'] + r'\\(', max_matches=1000):
    before = ctx.slice(max(0, hit['start'] - 2000), hit['start'])
    name = before[before.rfind('def ') + 4:].split('(')[0]
    if name != '':
        names.append(name)
FINAL('\\n'.join(names))""",
    "scripts": """\
FINAL(extract_after(facts['before'], 7))""",
    "near-misses": """\
FINAL(ctx.search('The locker number of ' + facts['city'] + r' is \\d{7}')[0]['match'][-7:])""",
    "silent": """\
found = extract_after('The locker number of ' + facts['city'] + ' is ', 7)
FINAL('The text does not say.' if found is None else found)""",
}
"""The policies by suite; `facts` is what a reader takes from the question."""

GAPS: Mapping[str, str] = {
    "callers": "`ctx` knows which definitions a file has (`get_schema`) but not which of them a position is in: the "
    "policy looks backwards for `def`",
}
"""Functions that `ctx` lacks for a policy, by suite."""


class PolicyModel:
    """A model that replies with a policy, and gives up if that fails.

    Args:
        code: The policy.
    """

    name = "policy"
    window_tokens = 1_000_000

    def __init__(self, code: str) -> None:
        self._code = code

    @property
    def price(self) -> Price:
        """The price, which is zero."""
        return FREE

    async def complete(
        self, messages: Sequence[Message], *, max_output_tokens: int, timeout_s: float | None = None
    ) -> Completion:
        """Reply with the policy; see `Model.complete`."""
        turn = sum(message.role == "assistant" for message in messages)
        text = f"```repl\n{self._code}\n```" if not turn else "FINAL(the policy failed)"
        return Completion(text, Usage(0, 0, 0, 0, 1), self.name)


def policy_of(suite: str, facts: Mapping[str, Any]) -> str:
    """Return the code of a policy for one question.

    Args:
        suite: The suite.
        facts: The question's facts.

    Raises:
        ConfigError: There is no policy for it.
    """
    if suite not in POLICIES:
        raise ConfigError(f"there is a policy for each suite, and none for {suite or 'other questions'}")
    return f"facts = {json.dumps(dict(facts), ensure_ascii=False)}\n{POLICIES[suite]}"


class PolicyArm:
    """The scripted optimal policies as an arm.

    Args:
        name: Its name in the table.
        sandbox: The sandbox.
        cell_timeout_s: Time limit of a cell, in seconds; None for the default.
        memory_mb: Memory limit of a cell, in MiB; None for the default.
    """

    def __init__(
        self,
        *,
        name: str = "policy",
        sandbox: str = "auto",
        cell_timeout_s: float | None = None,
        memory_mb: float | None = None,
    ) -> None:
        usual = CellLimits()
        timeout_s = usual.cell_timeout_s if cell_timeout_s is None else cell_timeout_s
        memory_bytes = usual.memory_bytes if memory_mb is None else int(memory_mb * 2**20)
        self._limits = Limits(
            cell=CellLimits(cell_timeout_s=timeout_s, memory_bytes=memory_bytes), max_turns=2, last_answer=False
        )
        self._name = name
        self._sandbox = sandbox

    @property
    def name(self) -> str:
        """Its name in the table."""
        return self._name

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that affect its answers."""
        return {"kind": "policy", "sandbox": self._sandbox}

    def estimate(self, trial: Trial) -> Estimate:
        """Return an estimate of no cost.

        Args:
            trial: The trial.
        """
        why = "" if trial.question.suite in POLICIES else "there are policies for suites only"
        return Estimate(cannot=why)

    async def answer(self, trial: Trial, most_usd: Decimal | None) -> Outcome:
        """Run the policy of the question's suite in a sandbox.

        Args:
            trial: The trial.
            most_usd: Not used: a policy is free.
        """
        question = trial.question
        if question.suite not in POLICIES:
            return Outcome("cannot", note="there are policies for suites only")
        model, began = PolicyModel(policy_of(question.suite, question.facts)), time.monotonic()
        try:
            async with RLM(model, sandbox=self._sandbox, limits=self._limits, direct_below_chars=0) as rlm:
                answer = await rlm.aask(question.question, trial.context)
        except RLMError as error:
            ending, note = ending_of(error)
            return Outcome(ending, note=note, duration_s=time.monotonic() - began)
        return Outcome("answered", answer.text, answer.value, requests=1, duration_s=time.monotonic() - began)

    async def aclose(self) -> None:
        """Do nothing: there are no resources to release."""
