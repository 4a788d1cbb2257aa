"""A power cut loses what the disk had not been waited for, and never what somebody acted on who cannot take it back."""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from recorded_runs import ANSWER, recording_rlm, root_reply, sub_reply
from rlmbox import Tool
from rlmbox.context import Context
from rlmbox.events import AttemptFinished, AttemptStarted, Event, HostCallFinished, HostCallStarted, SessionFinished
from rlmbox.record.journal import MemoryStore
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import CellLimits, HostFunction, Message
from runs import PENNY, TEXT

STEP = 1 if int(os.environ.get("RECORD_KILLS", "20")) >= 300 else 7


@dataclass
class World:
    """What happened, in order: how much the disk has, and what people, providers and cells were given."""

    happened: list[tuple[str, Any]]

    def until_more_than(self, events: int) -> "World":
        """Everything that can have happened by a power cut that leaves so many events."""
        for place, (what, count) in enumerate(self.happened):
            if what == "on the disk" and count > events:
                return World(self.happened[:place])
        return self

    def of(self, what: str) -> list[Any]:
        return [value for kind, value in self.happened if kind == what]

    def tool(self) -> Tool:
        def keep(word: str) -> str:
            """Keep a word."""
            self.happened.append(("tool", word))
            return f"kept {word}"

        return Tool(keep)

    def model(self, name: str, reply: Callable[[Sequence[Message]], str]) -> ScriptedModel:
        def asked(messages: Sequence[Message]) -> str:
            self.happened.append(("asked", name))
            return reply(messages)

        return ScriptedModel([asked] * 100, name=name, price=PENNY)


class Disk(MemoryStore):
    """A store that only has for sure what it was asked to sync."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._taken = 0

    def write(self, event: Event) -> None:
        super().write(event)
        self._taken += 1

    async def sync(self) -> None:
        self._world.happened.append(("on the disk", self._taken))


class Telling(MontySandbox):
    """A sandbox that tells the world when a cell was given what a function of the host returned."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def start(self, limits: CellLimits, context: Context, host: Host, **keywords: Any) -> None:
        await super().start(limits, context, {name: self._telling(each) for name, each in host.items()}, **keywords)

    def _telling(self, function: HostFunction) -> HostFunction:
        if function.pure or function.is_answer:
            return function

        async def call(*arguments: Any, **keywords: Any) -> Any:
            result = await cast("Awaitable[Any]", function.call(*arguments, **keywords))
            self._world.happened.append(("given", function.name))
            return result

        return replace(function, call=call, at_once=None, off_loop=None)


async def run(world: World, store: MemoryStore, *, resumes: bool = False) -> object:
    root, sub = world.model("root", root_reply), world.model("sub", sub_reply)
    options: dict[str, Any] = {"tools": [world.tool()], "sandbox": lambda: Telling(world)}
    rlm = recording_rlm(root, sub, store, **options)
    answer = await (rlm.aresume("audit") if resumes else rlm.aask("How?", TEXT, run_id="audit"))
    world.happened.append(("answered", answer.value))
    return answer.value


async def test_whatever_a_power_cut_loses_the_run_comes_to_the_same_answer_and_nothing_happens_twice_unseen() -> None:
    world = World([])
    disk = Disk(world)
    assert await run(world, disk) == ANSWER
    events = list(await disk.read("audit"))
    for cut in range(1, len(events) + 1):
        kept, before, after = events[:cut], world.until_more_than(cut), World([])
        # Cells, tools and the caller have nothing that the record does not have.
        assert len(before.of("given")) <= sum(isinstance(e, HostCallFinished) for e in kept), cut
        assert len(before.of("tool")) <= sum(isinstance(e, HostCallStarted) and e.function == "keep" for e in kept), cut
        assert not before.of("answered") or isinstance(kept[-1], SessionFinished), cut
        if cut % STEP:
            continue
        store = MemoryStore()
        for event in kept:
            store.write(event)
        assert await run(after, store, resumes=True) == ANSWER, cut
        assert len(before.of("tool") + after.of("tool")) <= 1, cut
        # What is charged is all that was asked for, but for what was asked for just before the cut.
        charged = sum(isinstance(e, AttemptFinished) for e in await store.read("audit"))
        unseen = len(before.of("asked")) - sum(isinstance(e, AttemptStarted) for e in kept)
        assert len(before.of("asked") + after.of("asked")) <= charged + max(unseen, 0), cut


async def test_a_turn_waits_for_the_disk_only_where_something_leaves() -> None:
    world = World([])
    await run(world, Disk(world))
    happened = [what for what, _ in world.happened]
    # The turn's own reply is not waited for; a batch, two of whose three requests are the same, is waited for once.
    assert happened[:6] == ["asked", "asked", "asked", "on the disk", "given", "asked"]
    before_tool = happened[: happened.index("tool")]
    assert before_tool[-1] == "on the disk"
