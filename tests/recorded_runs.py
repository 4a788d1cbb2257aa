"""A run that has everything in it, recorded, for the tests of the record."""

from collections.abc import Sequence
from pathlib import Path

from rlmbox import RLM, Limits, Replace
from rlmbox.events import Event, Hook
from rlmbox.loop.task import Proposal
from rlmbox.record.sqlite_store import SqliteStore
from rlmbox.testing import ScriptedModel
from rlmbox.types import Answer, Message
from runs import PENNY, TEXT, repl

LIMITS = Limits(cost_limit_usd="1000000")
ROOT = (
    repl(
        "import random\ndice = [random.randint(1, 6) for _ in range(3)]\na = llm_query_batched(['one', 'two', 'one'])"
    ),
    repl("b = rlm_query('child?')"),
    repl("print('not this')"),
    repl("try:\n    note = keep('x')\nexcept RuntimeError:\n    note = 'kept x'\nc = a + [b, note]\nprint(dice, c)"),
    "FINAL_VAR(c)",
)
"""The replies of the root, one for each turn; the third is replaced by a person."""

WITH_THREADS = (
    repl(
        "import random, threading\n"
        "dice = [random.randint(1, 6) for _ in range(3)]\n"
        "found = {}\n"
        "def ask(word):\n    found[word] = llm_query(word)\n"
        "threads = [threading.Thread(target=ask, args=(word,)) for word in ('one', 'two')]\n"
        "for each in threads:\n    each.start()\n"
        "for each in threads:\n    each.join()\n"
        "b = llm_query_batched(['three', 'four'])\n"
        "a = [found['one'], found['two'], found['one']]"
    ),
    *ROOT[1:],
)
"""The same, where the sub-calls of the first cell come from threads: for a sandbox whose Python has them."""

EDITED = "print('this', llm_query('edited'))"
ANSWER = ["<one>", "<two>", "<one>", "<deep>", "kept x"]


def root_reply(messages: Sequence[Message]) -> str:
    """Replies by how far the conversation is, so that the model is the same in every process."""
    return ROOT[sum(message.role == "assistant" for message in messages)]


def root_reply_with_threads(messages: Sequence[Message]) -> str:
    return WITH_THREADS[sum(message.role == "assistant" for message in messages)]


def sub_reply(messages: Sequence[Message]) -> str:
    if len(messages) == 1:
        return f"<{messages[-1].content}>"
    turn = sum(message.role == "assistant" for message in messages)
    return repl("d = llm_query('deep')") if turn == 0 else repl("FINAL(d)")


def models(*, threads: bool = False) -> tuple[ScriptedModel, ScriptedModel]:
    return (
        ScriptedModel([root_reply_with_threads if threads else root_reply] * 100, name="root", price=PENNY),
        ScriptedModel([sub_reply] * 100, name="sub", price=PENNY),
    )


def edits(proposal: Proposal) -> bool | Replace:
    return Replace(EDITED) if proposal.turn == 3 else True


def keep(word: str) -> str:
    """Keep a word."""
    return f"kept {word}"


def recording_rlm(
    root: ScriptedModel, sub: ScriptedModel, store: object, hooks: Sequence[Hook] = (), **options: object
) -> RLM:
    given = {"sandbox": "monty", "limits": LIMITS, "approve": edits, "tools": [keep], **options}
    return RLM(root, sub_model=sub, store=store, hooks=hooks, **given)  # type: ignore[arg-type]


async def recorded(path: Path, run_id: str = "audit") -> tuple[list[Event], Answer]:
    """Runs it to its end; returns its events and its answer."""
    store = SqliteStore(path)
    answer = await recording_rlm(*models(), store).aask("How?", TEXT, run_id=run_id)
    events = list(store.events(run_id))
    store.close()
    return events, answer


def stored(path: Path, events: Sequence[Event]) -> SqliteStore:
    """A store that has these events and no more."""
    store = SqliteStore(path)
    for event in events:
        store.write(event)
    return store
