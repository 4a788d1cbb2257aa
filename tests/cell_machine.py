"""Random cells, limits, cancellations and rebuilds, checked against what Python would have left.

Two machines over one generator of cells. `SandboxMachine` drives one sandbox and keeps beside it, for every variable,
the values that it may have. `RunMachine` drives whole questions of a session over a scripted model that keeps an
account of its own. Neither knows how a backend works; a seed decides all that they do.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rlmbox import RLM, CellLimits, Limits
from rlmbox.context import Context
from rlmbox.errors import RLMError
from rlmbox.events import AttemptFinished, Event
from rlmbox.models.prices import FlatPrice
from rlmbox.sandboxes.base import Sandbox
from rlmbox.testing import ScriptedModel
from rlmbox.types import Cell, Completion, Execution, HostFunction
from rlmbox.usage import Cost

TEXT = "one two three\nfour é five\n" * 40
PRICE = FlatPrice(Decimal(3), Decimal(15), origin="test")
TIMEOUTS_S = (0.15, 0.3, 0.6)
PATIENCE_S = 30.0
"""Seconds in which every cell and every question has to end, whatever it does; far beyond all limits here."""

ENDINGS = {
    "nothing": ("",),
    "raises": ("raise ValueError('no')", "1 / 0", "missing_name", "'a' + 1", "[][1]", "assert False", "json.loads('')"),
    "leaves": ("raise SystemExit(3)", "raise KeyboardInterrupt('x')"),
    "loops": (
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "while True: ctx.slice(0, 1)",
        "try:\n    while True: pass\nfinally:\n    while True: pass",
        "sum(1 for _ in range(10 ** 12))",
        "sorted([3, 1, 2], key=lambda x: [y for y in range(10 ** 10)])",
    ),
    "fills": (
        "x9 = 'ab' * 10 ** 10",
        "x9 = [0]\nwhile True: x9 = x9 + x9",
        "x9 = [str(i) for i in range(10 ** 9)]",
        "x9 = {i: [i] for i in range(10 ** 9)}",
    ),
    "recurses": ("def deep(n): return deep(n + 1) + 1\ndeep(0)",),
    "floods": ("while True: print('x' * 100_000)", "while True: print('x')"),
    "is_large": ("2 ** 20_000", "[list(range(1_000))] * 300", "'x' * 5_000_000", "x9 = [0]; x9.append(x9); x9"),
    "waits": ("llm_query('wait')", "llm_query('fail')"),
    "is_broken": ("def", "x = (", "'\\ud800'", "yield 1", "x" * 3 + " = " + "(" * 150 + ")" * 150),
    "is_odd": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "class Odd(Exception):\n    def __str__(self):\n        while True: len('')\nraise Odd",
        "raise ValueError('x' * 50_000_000)",
        "try:\n    raise SystemExit\nfinally:\n    x9 = 2",
        "class Gone:\n    def __del__(self): print('gone' * 9)\nx9 = Gone()\ndel x9",
        "class Gone:\n    def __repr__(self): raise SystemExit\nGone()",
        "async def many():\n    while True: yield 1\nx9 = many()\nawait x9.__anext__()",
        "import threading\ndef ever():\n    while True: len('')\nthreading.Thread(target=ever, daemon=True).start()",
        "import sys\nsys.setrecursionlimit(10 ** 8)",
        "import sys\nsys.stdout.close()\nprint('x')",
        "import os\nos.close(1)\nos.close(2)\nprint('x')",
        "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
        "import gc\ngc.callbacks.append(lambda *a: 1 / 0)\ngc.collect()",
        "import json\njson.loads = json.dumps = None",
        "import builtins\nbuiltins.isinstance = None",
        "import sys\nsys.modules.clear()",
        "import os\nos._exit(0)",
        "import os\nos.closerange(0, 64)",
        "import os\nwhile True: os.write(1, b'x' * 65_536)",
        "import builtins\nvars(builtins).clear()",
        "import ast\nast.parse = None",
        "import sys\nsys.stdout.detach()",
        "import sys\nsys.settrace(lambda *a: 1 / 0)",
        "import asyncio\nawait asyncio.Event().wait()",
        "x9 = llm_query(1 / n for n in range(3))",
    ),
    "overwrites": (
        "__builtins__ = None",
        "context = 1",
        "ctx = None",
        "llm_query = 5",
        "answer = 3",
        "str = list = 0",
        "_rlm_own = 1",
    ),
}
"""How a cell may end, after statements whose effect is known."""


ANSWERS = (
    "FINAL(v0)",
    "FINAL({2020: 5})",
    "FINAL(10 ** 5000)",
    "FINAL(float('nan'))",
    "FINAL(llm_query(str(n)) for n in range(3))",
    "answer['ready'] = True",
    "answer['content'] = map(str, [1, 2])\nanswer['ready'] = True",
    "v0 = iter(range(10 ** 12))\nFINAL_VAR('v0')",
)
"""Cells that may end a question."""


@dataclass
class Asked:
    """What cells asked of the host.

    Attributes:
        prompts: How often each prompt was asked.
        ending: Numbers of the cells that came to their last statement.
        number: The last number that was given away.
    """

    prompts: Counter[str] = field(default_factory=Counter)
    ending: set[int] = field(default_factory=set)
    number: int = 0

    def fresh(self) -> str:
        self.number += 1
        return f"prompt {self.number}"

    async def llm_query(self, prompt: str) -> str:
        self.prompts[prompt] += 1
        await asyncio.sleep(0.3 if prompt == "wait" else 0)
        if prompt == "fail":
            raise ValueError("the model is not there")
        return f"yes: {prompt}"


@dataclass(frozen=True)
class Made:
    """A cell of the machine's.

    Attributes:
        code: The cell.
        sets: Variables and the values that its statements give them, in order.
        prompts: The prompts that each of these asks.
        ending: How it ends, by the kind.
        number: The number with which it calls `ending` before its last statement.
    """

    code: str
    sets: tuple[tuple[str, object], ...]
    prompts: tuple[tuple[str, ...], ...]
    ending: str
    number: int

    def done(self, asked: Asked) -> int:
        """Return how many of the statements ran at least, by what the cell asked of the host."""
        if self.number in asked.ending:
            return len(self.sets)
        began = [at for at, prompts in enumerate(self.prompts) if any(map(asked.prompts.__contains__, prompts))]
        return max(began, default=0)


def made_cell(dice: random.Random, known: dict[str, object], asked: Asked, *, tells: bool = False) -> Made:
    """Return a cell whose first statements have a known effect, and whose last may be anything.

    Args:
        dice: Decides.
        known: Variables whose values are known.
        asked: Names the prompts, each of which is asked once.
        tells: Whether the cell calls `ending` before its last statement.
    """
    lines, sets, prompts_of = [], list[tuple[str, object]](), list[tuple[str, ...]]()
    now = dict(known)
    for _ in range(dice.randint(0, 4)):
        name = f"v{dice.randint(0, 5)}"
        kind = dice.randint(0, 5)
        value: object
        prompts: list[str] = []
        if kind == 0:
            value = dice.randint(-(10**20), 10**20)
            lines.append(f"{name} = {value}")
        elif kind == 1:
            prompts = [asked.fresh()]
            lines.append(f"{name} = llm_query({prompts[0]!r})")
            value = f"yes: {prompts[0]}"
        elif kind == 2 and now:
            other = dice.choice(sorted(now))
            lines.append(f"{name} = [{other}, len(context)]")
            value = [now[other], len(TEXT)]
        elif kind == 3:
            prompts = [asked.fresh() for _ in range(dice.randint(1, 3))]
            lines.append(f"{name} = [llm_query(p) for p in {prompts!r}]")
            value = [f"yes: {prompt}" for prompt in prompts]
        elif kind == 4:
            lines.append(f"{name} = {{'a': [1, None, True], 'é': context[3:9]}}")
            value = {"a": [1, None, True], "é": TEXT[3:9]}
        else:
            lines.append(f"def made(x, y={dice.randint(0, 9)}): return x * y\n{name} = made(3, y=4)")
            value = 12
        now[name] = value
        sets.append((name, value))
        prompts_of.append(tuple(prompts))
    ending = dice.choices([*ENDINGS], weights=[8, 3, 1, 2, 1, 1, 1, 1, 2, 1, 3, 2])[0]
    asked.number += 1
    if tells:
        lines.append(f"ending({asked.number})")
    lines.append(dice.choice(ENDINGS[ending]))
    return Made("\n".join(lines), tuple(sets), tuple(prompts_of), ending, asked.number)


class Broken(AssertionError):
    """A property does not hold; the message has all that is needed to see it again."""


class SandboxMachine:
    """Drives one sandbox.

    Args:
        make: Makes the sandbox.
        seed: Decides all.
    """

    def __init__(self, make: Callable[[], Sandbox], seed: int) -> None:
        self.make, self.seed = make, seed
        self.dice = random.Random(seed)
        self.asked = Asked()
        self.may_be: list[dict[str, object]] = [{}]
        self.log: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.sessions = 0

    async def run(self, cells: int) -> None:
        """Run so many cells.

        Raises:
            Broken: Something is not as it has to be.
        """
        sandbox = await self._opened()
        try:
            for _ in range(cells):
                if not await self._step(sandbox):
                    await sandbox.close()
                    sandbox = await self._opened()
        finally:
            await sandbox.close()

    async def _opened(self) -> Sandbox:
        self.may_be = [{}]
        self.sessions += 1
        sandbox = self.make()
        limits = CellLimits(
            cell_timeout_s=self.dice.choice(TIMEOUTS_S), memory_bytes=64 << 20, output_flood_bytes=4 << 20
        )
        host = {
            "llm_query": HostFunction("llm_query", self.asked.llm_query, "asks"),
            "ctx.slice": HostFunction("ctx.slice", lambda start, end: TEXT[start:end], "cuts", pure=True),
            "ending": HostFunction("ending", self.asked.ending.add, "tells how far a cell came", pure=True),
        }
        self.log.append(f"# opened with {limits.cell_timeout_s} s")
        await sandbox.start(limits, Context.from_text(TEXT), host, query="why?", seed=self.seed)
        return sandbox

    async def _step(self, sandbox: Sandbox) -> bool:
        made = made_cell(self.dice, self.may_be[0], self.asked, tells=True)
        self.log.append(made.code)
        cut_after_s = self.dice.choice([0.0, 0.01, 0.1]) if self.dice.random() < 0.15 else None
        task = asyncio.ensure_future(sandbox.execute(Cell(made.code)))
        is_cancelled = False
        if cut_after_s is not None:
            await asyncio.sleep(cut_after_s)
            interrupt: Callable[[], bool] = getattr(sandbox, "interrupt", bool)
            is_cancelled = self.dice.random() < 0.5 or not interrupt()
            self.log.append(f"# {'cancelled' if is_cancelled else 'interrupted'} after {cut_after_s} s")
            if is_cancelled:
                task.cancel()
        result = await self._ended(task, is_cancelled)
        twice = [one for one, count in self.asked.prompts.items() if count > 1 and one.startswith("prompt ")]
        if twice:
            raise self._broken(f"asked twice: {twice}")
        if result is None:  # cancelled, or the sandbox is lost
            self._may_have_run(made, made.done(self.asked))
            return await self._goes_on(sandbox)
        self.outcomes[f"{made.ending} {result.outcome} {result.namespace}"] += 1
        if result.namespace == "lost":
            self.may_be = [{}]
        elif result.outcome == "ok":
            self._may_have_run(made, len(made.sets))
        else:
            self.log.append(f"# {result.outcome}, {result.namespace}: {result.error and result.error.message}")
            self._may_have_run(made, made.done(self.asked))
        return await self._agrees(sandbox)

    def _may_have_run(self, made: Made, at_least: int) -> None:
        """The variables are as so many of a cell's statements left them, or more."""
        before = self.may_be[0]
        at_most = 0 if made.ending == "is_broken" and made.number not in self.asked.ending else len(made.sets)
        self.may_be = [{**before, **dict(made.sets[:count])} for count in range(at_least, at_most + 1)]

    async def _ended(self, task: asyncio.Future[Execution], cancelled: bool) -> Execution | None:
        try:
            return await asyncio.wait_for(asyncio.shield(task), PATIENCE_S)
        except TimeoutError:
            task.cancel()
            raise self._broken("the cell did not end") from None
        except asyncio.CancelledError:
            if not cancelled:
                raise self._broken("the cell was cancelled by itself") from None
        except RLMError as error:
            self.log.append(f"# {type(error).__name__}: {error}")
        except BaseException as error:
            raise self._broken(f"{type(error).__name__} left execute: {error}") from error
        return None

    async def _goes_on(self, sandbox: Sandbox) -> bool:
        """A sandbox whose cell was cancelled is closed, or goes on with what the cell had done."""
        try:
            await asyncio.wait_for(sandbox.variables(), PATIENCE_S)
        except RLMError:
            return False
        except Exception as error:
            raise self._broken(f"{type(error).__name__} left variables: {error}") from error
        if not sandbox.outlives_cancellation:
            self.may_be.append({})
        return await self._agrees(sandbox)

    async def _agrees(self, sandbox: Sandbox) -> bool:
        """Compare every variable with what it may be; settle on what it is."""
        found: dict[str, object] = {}
        try:
            for name in sorted(set().union(*self.may_be)):
                read = await self._read(sandbox, name)
                if read.namespace == "lost":  # on a busy machine to read it may take too long, too, and that says so
                    self.log.append(f"# lost as {name} was read")
                    self.may_be = [{}]
                    return True
                if read.outcome not in ("ok", "error"):
                    raise self._broken(f"{name} could not be read: {read.error}")
                if read.outcome == "ok":
                    found[name] = read.value
        except RLMError as error:
            raise self._broken(f"a variable could not be read: {error}") from error
        if found not in self.may_be:
            raise self._broken(f"the variables are {found}, and not one of {self.may_be}")
        self.may_be = [found]
        return True

    @staticmethod
    async def _read(sandbox: Sandbox, name: str) -> Execution:
        """Read a variable; on a busy machine that may reach the limit of a cell, and is tried again."""
        for _ in range(5):
            found = await asyncio.wait_for(sandbox.execute(Cell(name, by="engine")), PATIENCE_S)
            if found.outcome != "timeout" or found.namespace == "lost":
                break
        return found

    def _broken(self, what: str) -> Broken:
        log = "\n".join(f"  {line}" for entry in self.log[-12:] for line in entry.splitlines() or [""])
        return Broken(f"seed {self.seed}: {what}\n{log}")


class Billed(ScriptedModel):
    """A scripted model that keeps an account of what it answered."""

    billed_usd = Decimal(0)

    async def complete(self, *arguments: Any, **options: Any) -> Completion:
        completion = await super().complete(*arguments, **options)
        self.billed_usd += PRICE.cost_usd(completion.usage)
        return completion


class RunMachine:
    """Drives questions to a session, with limits, over a model that keeps its own account.

    Args:
        make: Makes sandboxes.
        seed: Decides all.
    """

    def __init__(self, make: Callable[[], Sandbox], seed: int) -> None:
        self.make, self.seed = make, seed
        self.dice = random.Random(seed)
        self.asked = Asked()
        self.log: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.sessions = 0

    async def run(self, questions: int) -> None:
        """Ask so many questions of one session.

        Raises:
            Broken: Something is not as it has to be.
        """
        root = Billed([lambda _: self._reply()] * 1_000, name="root", price=PRICE)
        sub = Billed(["yes"] * 5_000, name="sub", price=PRICE, delay_s=0.005)
        limits = Limits(
            cost_limit_usd=self.dice.choice([None, "0.05", "0.2", "1"]),
            max_turns=self.dice.randint(1, 6),
            max_subcalls=self.dice.choice([0, 3, 200]),
            max_seconds=self.dice.choice([None, None, 1.0, 4.0]),
            max_output_tokens=self.dice.choice([200, 2_000]),
            last_answer=self.dice.random() < 0.8,
            cell=CellLimits(cell_timeout_s=0.3, memory_bytes=64 << 20, output_flood_bytes=4 << 20),
        )
        events: list[Event] = []
        self.log.append(f"# {limits}")
        rlm = RLM(root, sub_model=sub, sandbox=self.make, limits=limits, hooks=[events.append], seed=self.seed)
        session = rlm.session(TEXT)
        self.sessions += 1
        async with session:
            for number in range(questions):
                await self._question(session.ask(f"question {number}?"), session.interrupt_cell)
        self._check_money(events, session.cost, root.billed_usd + sub.billed_usd, limits)

    async def _question(self, ask: Coroutine[Any, Any, object], interrupt: Callable[[], bool]) -> None:
        cut_after_s = self.dice.choice([0.0, 0.05, 0.4]) if self.dice.random() < 0.2 else None
        task = asyncio.ensure_future(ask)
        if self.dice.random() < 0.2:
            await asyncio.sleep(0.1)
            self.log.append(f"# interrupted: {interrupt()}")
        if cut_after_s is not None:
            await asyncio.sleep(cut_after_s)
            task.cancel()
            self.log.append(f"# cancelled after {cut_after_s} s")
        try:
            await asyncio.wait_for(asyncio.shield(task), 2 * PATIENCE_S)
            self.outcomes["answer"] += 1
        except TimeoutError:
            task.cancel()
            raise self._broken("the question did not end") from None
        except asyncio.CancelledError as cancelled:
            if cut_after_s is None:
                raise self._broken("the question was cancelled by itself") from cancelled
            self.outcomes["cancelled"] += 1
        except RLMError as error:
            self.outcomes[type(error).__name__] += 1
            self.log.append(f"# {type(error).__name__}: {error}")
            if error.partial is None:
                raise self._broken(f"{type(error).__name__} without partial: {error}") from error
        except BaseException as error:
            raise self._broken(f"{type(error).__name__} left ask: {error}") from error

    def _reply(self) -> str:
        if self.dice.random() < 0.15:
            return self.dice.choice(["FINAL(Paris)", "FINAL_VAR(v1)", "Let me think.", "", "SUBMIT(total=3, name='x')"])
        cells = [made_cell(self.dice, {}, self.asked).code for _ in range(self.dice.randint(1, 2))]
        if self.dice.random() < 0.2:
            cells.append(self.dice.choice(ANSWERS))
        self.log.extend(cells)
        return "\n".join(f"```repl\n{cell}\n```" for cell in cells)

    def _check_money(self, events: Sequence[Event], cost: Cost, billed: Decimal, limits: Limits) -> None:
        attempts = [event for event in events if isinstance(event, AttemptFinished)]
        recorded = sum((event.cost_usd or Decimal(0) for event in attempts), Decimal(0))
        total, uncertain = cost.total_usd, cost.uncertain_usd
        if recorded != total:
            raise self._broken(f"the events say {recorded} USD, the ledger {total}")
        if not total - uncertain <= billed <= total:
            raise self._broken(f"{billed} USD were billed, and the ledger says {total}, {uncertain} of it uncertain")
        if limits.money is not None and total > limits.money:
            raise self._broken(f"{total} USD were spent under a limit of {limits.money} ({uncertain} uncertain)")

    def _broken(self, what: str) -> Broken:
        log = "\n".join(f"  {line}" for entry in self.log[-12:] for line in entry.splitlines() or [""])
        return Broken(f"seed {self.seed}: {what}\n{log}")
