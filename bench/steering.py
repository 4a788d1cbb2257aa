"""What a turn costs in a session of 300 turns, whose conversation is compacted again and again in a window of 32k."""

from __future__ import annotations

import asyncio
import itertools
import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from figures import Figure
from rlmbox import RLM, Limits
from rlmbox.events import Event, HistoryCompacted
from rlmbox.loop.compaction import HISTORY_SHARE
from rlmbox.record.journal import MemoryStore
from rlmbox.requests.state import model_state_of
from rlmbox.testing import ScriptedModel
from rlmbox.types import Message

TURNS = 300
ROUNDS = 5
WINDOW_TOKENS = 32_000
FIGURE_TURN, VARIABLE_TURN, USING_TURN = 5, 20, 290
TEXT = "\n".join(f"Line {number}: the counterparty accepts clause {number * 7}." for number in range(400))
SUM = 7 * sum(range(400))
KEPT = "Line 399: the counterparty accepts clause 2793."


def cell(code: str) -> str:
    return f"```repl\n{code}\n```"


@dataclass
class LongTalk:
    """A scripted model that prints a figure early, sets a variable a little later, and needs both near the end."""

    asked: int = 0

    def __call__(self, messages: Sequence[Message]) -> str:
        self.asked += 1
        if self.asked == FIGURE_TURN:
            return cell("print('sum of all clauses:', 7 * sum(range(400)))")
        if self.asked == VARIABLE_TURN:
            return cell("kept = [line for line in context.splitlines() if line.endswith('clause 2793.')]")
        if self.asked == USING_TURN:
            figure = re.search(r"sum of all clauses: (\d+)", "\n".join(message.content for message in messages))
            assert figure, "the figure of turn 5 left the conversation"
            return cell(f"found = [{figure[1]}, kept[0]]\nprint(found)")
        if self.asked == TURNS:
            return "FINAL_VAR(found)"
        return f"Part {self.asked}.\n" + cell(f"part = context[{self.asked * 40}:{self.asked * 40} + 700]\nprint(part)")


@dataclass
class Talk:
    """What was measured of one session, by turn.

    Attributes:
        took_ms: Milliseconds of each turn, its cell and its record in memory included; the scripted model takes none.
        prompt_tokens: Tokens of each request, by the estimate that keeps the conversation within its bound.
        new_tokens: Those of them that are not the beginning of the request before, which a prompt cache would have.
        compactions: Times that the middle of the conversation was replaced by a digest.
    """

    took_ms: list[float] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)
    new_tokens: list[int] = field(default_factory=list)
    compactions: int = 0


async def talk() -> Talk:
    """Take a session of 300 turns, step by step, and check that it came to its answer."""
    seen: list[Event] = []
    model = ScriptedModel([LongTalk()] * TURNS, window_tokens=WINDOW_TOKENS, name="root")
    rlm = RLM(model, sandbox="monty", limits=Limits(max_turns=TURNS), store=MemoryStore(), hooks=[seen.append])
    measured = Talk()
    async with rlm.session(TEXT, question="What is the sum of all clauses?") as session:
        while not session.is_finished:
            began = time.perf_counter()
            await session.step()
            measured.took_ms.append((time.perf_counter() - began) * 1_000)
        assert session.final_answer is not None
        assert session.final_answer.value == [SUM, KEPT], session.final_answer
    count = model_state_of(model).tokens.likely
    measured.prompt_tokens = [count(request) for request in model.requests]
    before: Sequence[Message] = ()
    for request in model.requests:
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, request, strict=False)))
        measured.new_tokens.append(count(request[same:]))
        before = request
    measured.compactions = sum(isinstance(event, HistoryCompacted) for event in seen)
    return measured


def figures() -> list[Figure]:
    asyncio.run(talk())  # for what is imported and started once
    talks = [asyncio.run(talk()) for _ in range(ROUNDS)]
    by_turn = [statistics.median(times) for times in zip(*(each.took_ms for each in talks), strict=True)]
    ratio = statistics.fmean(by_turn[-10:]) / statistics.fmean(by_turn[:10])
    one = talks[0]
    assert all(each.prompt_tokens == one.prompt_tokens for each in talks)
    new = statistics.fmean(one.new_tokens[-100:]) / statistics.fmean(one.new_tokens[:100])
    longest = max(one.prompt_tokens)
    return [
        Figure("300 turns: the last ten beside the first ten, in time", ratio, 1.3, "times"),
        Figure("a turn, recorded in memory", statistics.median(by_turn), None),
        Figure("the longest prompt, in a window of 32,000 tokens", longest, HISTORY_SHARE * WINDOW_TOKENS, "tokens"),
        Figure("tokens that no prompt cache has: the last hundred turns beside the first hundred", new, 1.3, "times"),
        Figure("compactions", one.compactions, None, unit="times"),
    ]


if __name__ == "__main__":
    for figure in figures():
        print(figure.row)
