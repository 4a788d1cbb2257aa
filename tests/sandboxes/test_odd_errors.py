"""Exceptions and namespaces that a cell has made odd cost neither the session nor its variables."""

from dataclasses import replace

import pytest

from rlmbox.types import HostFunction
from sandboxes.local_repl import LIMITS, local

BODIES = {
    "raises": "def __str__(self): raise ValueError",
    "gives a number": "def __str__(self): return 5",
    "exits": "def __str__(self): raise SystemExit",
    "is interrupted": "def __str__(self): raise KeyboardInterrupt",
    "does not end": "def __str__(self):\n        while True:\n            len('')",
    "has no repr": "def __repr__(self): raise ValueError",
    "hides its frames": "@property\n    def __traceback__(self): raise KeyboardInterrupt",
    "keeps its cause": "@property\n    def __cause__(self): return self",
    "answers nothing": "def __getattribute__(self, name): raise SystemExit",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_an_exception_is_told_whatever_its_class_does(body: str) -> None:
    async with local() as repl:
        await repl.run("kept = 41")
        execution = await repl.run(f"class Odd(Exception):\n    {body}\nraise Odd")
        assert (execution.outcome, execution.namespace) == ("error", "kept")
        assert execution.error is not None
        assert execution.error.type == "Odd"
        assert execution.error.traceback
        assert await repl.value("kept + 1") == 42


async def test_an_exception_may_take_of_its_cells_time_to_say_what_it_is() -> None:
    body = "        time.sleep(0.6)\n        return 'at last'\n"
    code = f"import time\nclass Slow(Exception):\n    def __str__(self):\n{body}"
    async with local() as repl:
        execution = await repl.run(f"{code}raise Slow")
        assert execution.error is not None
        assert (execution.error.type, execution.error.message) == ("Slow", "at last")


async def test_a_metaclass_does_not_hide_the_name_of_an_exception() -> None:
    async with local() as repl:
        code = "class Meta(type):\n    @property\n    def __name__(cls): raise ValueError\n"
        execution = await repl.run(f"{code}class Odd(Exception, metaclass=Meta): pass\nraise Odd('so')")
        assert execution.error is not None
        assert (execution.error.type, execution.error.message) == ("Odd", "so")


async def test_a_group_of_very_many_exceptions_is_told_in_few_words() -> None:
    async with local() as repl:
        execution = await repl.run("raise ExceptionGroup('many', [ValueError(n) for n in range(200_000)])")
        assert (execution.outcome, execution.namespace) == ("error", "kept")
        assert execution.error is not None
        assert execution.error.type == "ExceptionGroup"
        assert execution.error.message == "many (200000 sub-exceptions)"


@pytest.mark.parametrize(
    "code",
    [
        "__builtins__ = None",
        "import json\njson.loads = json.dumps = json.JSONEncoder.encode = None",
        "del __builtins__",
        "import sys\nsys.modules.clear()",
        "import sys\nfor name in [*sys.modules]: sys.modules[name] = None",
    ],
)
async def test_the_next_cell_runs_after_one_that_broke_what_cells_need(code: str) -> None:
    async with local() as repl:
        await repl.run("kept = 41")
        assert (await repl.run(code)).outcome == "ok"
        assert await repl.value("len(range(kept)) + 1") == 42


async def test_a_worker_that_dies_as_the_variables_are_listed_is_told_with_the_next_cell() -> None:
    async with local() as repl:
        await repl.run("import os\nclass Odd(type):\n    @property\n    def __name__(cls): os._exit(1)")
        await repl.run("class Dies(metaclass=Odd): pass\nkept = Dies()")
        assert await repl.sandbox.variables() == {}
        told = await repl.run("kept")
        assert (told.outcome, told.namespace) == ("crashed", "lost")
        assert await repl.value("40 + 2") == 42


async def test_a_loop_of_calls_that_give_an_answer_ends_at_the_time_limit_and_keeps_the_variables() -> None:
    given = list[int]()
    async with local(
        HostFunction("FINAL", given.append, "ends", is_answer=True), limits=replace(LIMITS, cell_timeout_s=0.4)
    ) as repl:
        await repl.run("kept = 41")
        execution = await repl.run("while True: FINAL(1)")
        assert (execution.outcome, execution.namespace) == ("timeout", "kept")
        assert given
        assert await repl.value("kept + 1") == 42


async def test_a_library_that_does_not_fit_into_memory_is_known_without_asking_the_class_of_the_cells() -> None:
    async with local() as repl:
        code = "class Odd(ImportError):\n    def __str__(self): raise SystemExit\nraise Odd('failed to map segment')"
        assert (await repl.run(code)).outcome == "memory"
        assert (await repl.run("2")).namespace == "kept"


async def test_the_next_cell_has_the_builtins_that_a_cell_took_away() -> None:
    async with local() as repl:
        for code in (
            "import builtins\nbuiltins.__import__ = None",
            "import builtins\nfor name in [*vars(builtins)]:\n    if name.islower(): setattr(builtins, name, None)",
            "vars(__builtins__).clear()",
            "del __builtins__.print, __builtins__.__build_class__",
        ):
            assert (await repl.run(f"kept = 41\n{code}")).namespace == "kept", code
            assert await repl.value("import re\nclass C: pass\nprint(len('x'))\nkept + 1") == 42, code


@pytest.mark.parametrize("code", ["import ast\nast.parse = None", "import ast\ndef no(*_): exit()\nast.parse = no"])
async def test_a_cell_that_took_away_what_reads_cells_costs_its_variables_and_not_the_session(code: str) -> None:
    async with local() as repl:
        await repl.run(code)
        lost = await repl.run("1")
        assert (lost.outcome, lost.namespace) == ("crashed", "lost")
        assert "an earlier cell has changed modules" in lost.stderr
        assert await repl.value("40 + 2") == 42


async def test_an_error_is_told_by_its_words_where_tracebacks_cannot_be_had() -> None:
    async with local() as repl:
        execution = await repl.run("import traceback\ntraceback.TracebackException = None\nraise ValueError('mine')")
        assert execution.error is not None
        assert (execution.error.type, execution.error.message) == ("ValueError", "mine")
        assert execution.error.traceback == "ValueError: mine"


async def test_the_next_cell_has_the_streams_that_a_cell_took_apart() -> None:
    async with local() as repl:
        for code in ("sys.stdout.detach()", "sys.stderr.detach()", "sys.stdout.reconfigure(encoding='utf-16')"):
            assert (await repl.run(f"kept = 41\nimport sys\n{code};")).namespace == "kept", code
            execution = await repl.run("print('é', kept)\nprint('!', file=sys.stderr)")
            assert (execution.stdout, execution.stderr) == ("é 41\n", "!\n"), code
