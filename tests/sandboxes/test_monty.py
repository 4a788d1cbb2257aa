"""What is particular to `monty`; what every sandbox must do is in the contract suite."""

import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.context.repl import repl_functions
from rlmbox.errors import SandboxError
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.types import Cell, CellLimits, Execution, HostFunction

TEXT = Context.from_text("one two three")
QUICK = CellLimits(cell_timeout_s=0.3, memory_bytes=32 * 2**20)


def children() -> set[str]:
    """The processes that this one has started, where the system tells."""
    tasks = Path("/proc/self/task")
    return {pid for task in tasks.glob("*") for pid in (task / "children").read_text().split()}


class Models:
    """Host functions that count how often they are asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    async def llm_query(self, prompt: str) -> str:
        self.asked.append(prompt)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await anyio.sleep(0.01)
        self.at_once -= 1
        return prompt.upper()

    def note(self, text: str) -> int:
        self.asked.append(text)
        return len(self.asked)

    def host(self) -> Host:
        own = (HostFunction("llm_query", self.llm_query, ""), HostFunction("note", self.note, ""))
        return {function.name: function for function in (*repl_functions(TEXT), *own)}


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
async def sandbox(models: Models) -> AsyncIterator[MontySandbox]:
    sandbox = MontySandbox()
    await sandbox.start(QUICK, TEXT, models.host(), query="what?")
    yield sandbox
    await sandbox.close()


async def run(sandbox: MontySandbox, code: str) -> Execution:
    return await sandbox.execute(Cell(code))


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("sorted(['b', 'A'], key=str.lower)", ["A", "b"]),
        ("d = {'a': 1, 'b': 2}\nmax(d, key=d.get)", "b"),
        ("list(map(str.strip, [' a ', 'b ']))", ["a", "b"]),
        ("list(map(', '.join, [['a', 'b'], ['c']]))", ["a, b", "c"]),
        ("list(filter(str.isdigit, ['1', 'x']))", ["1"]),
        ("list(map(len, ['ab']))", [2]),
        ("sorted(map(str.upper, {'é': 1}), key=str.lower), await llm_query('ß')", [["É"], "SS"]),
        ("def asked(p):\n    return (await llm_query(p))\nasked('a'), (lambda p: await llm_query(p))('b')", ["A", "B"]),
        ("'unfinished' if False else (1,\n 2)", [1, 2]),
        ("1, 2", [1, 2]),
        ("x = 3; x", 3),
        ("'''a\nb'''  # comment", "a\nb"),
        ("len, repr, str = 1, 2, 3\n[len]", [1]),
        ("x = 5\r\nx", 5),
    ],
)
async def test_a_cell_gives_its_last_value_also_where_monty_needs_help(
    sandbox: MontySandbox, code: str, value: object
) -> None:
    execution = await run(sandbox, code)
    assert (execution.outcome, execution.value) == ("ok", value), execution.error


async def test_zlib_is_there_without_import_also_after_an_import_under_another_name(sandbox: MontySandbox) -> None:
    await run(sandbox, "import zlib as z\npacked = z.compress(b'text')")
    assert (await run(sandbox, "zlib.decompress(packed).decode()")).value == "text"


async def test_names_of_builtins_can_be_rebound_without_harm(sandbox: MontySandbox) -> None:
    await run(sandbox, "len = repr = str = type = eval = NameError = 0")
    assert (await run(sandbox, "[1]")).value == [1]
    assert "len" in await sandbox.variables()


async def test_a_variable_of_any_name_is_shown_as_what_it_is(sandbox: MontySandbox) -> None:
    await run(sandbox, "found = 'ab'\nkind = [1]")
    assert await sandbox.variables() == {"found": "str, 2 characters", "kind": "list, 1 items"}


async def test_awaited_calls_run_at_once_and_others_one_by_one(sandbox: MontySandbox, models: Models) -> None:
    code = "import asyncio\nawait asyncio.gather(*[llm_query(p) for p in 'abc'])"
    assert (await run(sandbox, code)).value == ["A", "B", "C"]
    assert models.most_at_once == 3
    models.most_at_once = 0
    assert (await run(sandbox, "[llm_query(p) for p in 'abc']")).value == ["A", "B", "C"]
    assert models.most_at_once == 1


async def test_a_function_of_an_earlier_cell_can_await(sandbox: MontySandbox) -> None:
    await run(sandbox, "async def twice(p):\n    return [await llm_query(p), await llm_query(p)]")
    assert (await run(sandbox, "await twice('a')")).value == ["A", "A"]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("while True: pass", "timeout"),
        ("try:\n    while True: pass\nexcept BaseException:\n    pass", "timeout"),
        ("big = 'x' * (100 * 2**20)", "memory"),
        ("while True: print('y' * 100000)", "output"),
    ],
)
async def test_a_limit_rebuilds_the_session_without_asking_again(models: Models, code: str, outcome: str) -> None:
    sandbox = MontySandbox()
    limits = CellLimits(cell_timeout_s=0.4, memory_bytes=32 * 2**20, output_flood_bytes=2_000_000)
    await sandbox.start(limits, TEXT, models.host())
    await run(sandbox, "a = llm_query('paid')\nb = note('noted')\nc = await llm_query('awaited')")
    await run(sandbox, "items = [a]\nraise ValueError('an exception is part of the history')")
    await run(sandbox, "items.append(ctx.slice(0, 3))\nimport heapq\nheapq.heapify(items)")
    execution = await run(sandbox, f"kept = 1\n{code}")
    assert (execution.outcome, execution.namespace) == (outcome, "rebuilt")
    assert (await run(sandbox, "[a, b, c, items]")).value == ["PAID", 2, "AWAITED", ["PAID", "one"]]
    assert models.asked == ["paid", "noted", "awaited"]
    assert (await run(sandbox, "kept")).value == 1
    await sandbox.close()


@pytest.mark.parametrize(
    "code",
    [
        "{}['name']",
        "{}['two words, and 1']",
        "{}[2024]",
        "{}[(1, 'a')]",
        "{}[None]",
        "raise KeyError('gone')",
        "raise KeyError",
        "def row(key): return {'a': 1}[key]\nrow('b')",
        "'é'.encode('ascii')",
        "b'a\\xff'.decode()",
    ],
)
async def test_what_is_said_of_a_key_or_a_character_is_what_python_says(sandbox: MontySandbox, code: str) -> None:
    with pytest.raises((KeyError, UnicodeError)) as caught:
        exec(code, {})
    error = (await run(sandbox, code)).error
    assert error is not None
    assert (error.type, error.message) == (type(caught.value).__name__, str(caught.value))
    assert error.traceback.endswith(f"{error.type}: {error.message}".removesuffix(": "))


async def test_a_cell_that_exits_is_told_that_the_session_goes_on(sandbox: MontySandbox) -> None:
    error = (await run(sandbox, "x = 1\nraise SystemExit('enough')")).error
    assert error is not None
    assert (error.type, error.message) == ("SystemExit", "exit(enough) ended the cell; the session goes on")
    assert (await run(sandbox, "x")).value == 1


async def test_gathered_calls_begin_in_the_order_in_which_the_cell_makes_them(
    sandbox: MontySandbox, models: Models
) -> None:
    prompts = [f"prompt {number}" for number in range(20)]
    await run(sandbox, f"import asyncio\nawait asyncio.gather(*[llm_query(p) for p in {prompts}])")
    assert models.asked == prompts


@pytest.mark.parametrize(
    ("argument", "sent"),
    [
        ("{2, 1}", [1, 2]),
        ("b'bytes'", "bytes"),
        ("[(1, {2})]", [[1, [2]]]),
        ("{1: 'a'}", {"1": "a"}),
        ("2**20000", hex(2**20000)),
    ],
)
async def test_an_argument_that_is_not_json_arrives_in_its_json_form(argument: str, sent: object) -> None:
    got: list[object] = []
    sandbox = MontySandbox()
    await sandbox.start(QUICK, TEXT, {"send": HostFunction("send", got.append, "")})
    assert (await run(sandbox, f"send({argument})")).outcome == "ok"
    assert got == [sent]
    await sandbox.close()


async def test_running_time_does_not_count_waiting_for_the_host(models: Models) -> None:
    async def slow() -> str:
        await anyio.sleep(0.5)
        return "done"

    sandbox = MontySandbox()
    await sandbox.start(QUICK, TEXT, {"slow": HostFunction("slow", slow, "")})
    assert (await run(sandbox, "slow()")).value == "done"
    await sandbox.close()


async def test_cancelling_a_cell_ends_its_worker_at_once() -> None:
    sandbox = MontySandbox()
    await sandbox.start(CellLimits(cell_timeout_s=60), TEXT, {})
    began = time.monotonic()
    with anyio.move_on_after(0.2):
        await run(sandbox, "while True: pass")
    assert time.monotonic() - began < 5
    assert (await run(sandbox, "1")).value == 1
    await sandbox.close()


async def test_a_session_before_its_start_and_after_its_end_says_so() -> None:
    sandbox = MontySandbox()
    with pytest.raises(SandboxError, match="closed"):
        await run(sandbox, "1")
    await sandbox.close()
    await sandbox.close()


async def test_a_worker_that_was_launched_serves_the_session_or_ends_with_it() -> None:
    before, started, unused = children(), MontySandbox(), MontySandbox()
    started.launch()
    started.launch()
    unused.launch()
    await started.start(CellLimits(), TEXT, {})
    assert (await run(started, "len(context)")).value == 13
    await started.close()
    await unused.close()
    await unused.close()
    unused.launch()  # which starts nothing any more
    with pytest.raises(SandboxError, match="closed"):
        await unused.start(CellLimits(), TEXT, {})
    assert children() <= before


async def test_a_killed_worker_is_an_outcome_and_the_session_is_rebuilt(sandbox: MontySandbox) -> None:
    await run(sandbox, "kept = 7")
    os.kill(sandbox.worker_pid or 0, 9)
    execution = await run(sandbox, "kept")
    assert (execution.outcome, execution.namespace) == ("crashed", "rebuilt")
    assert (await run(sandbox, "kept")).value == 7


async def test_nothing_of_the_host_is_in_reach(
    sandbox: MontySandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("secret")
    for code in (
        f"open({str(canary)!r}).read()",
        f"from pathlib import Path\nPath({str(canary)!r}).read_text()",
        f"from pathlib import Path\nPath({str(tmp_path / 'made')!r}).write_text('x')",
        "import os\nos.environ['PATH']",
        "import subprocess",
        "import socket",
        "().__class__.__bases__[0].__subclasses__()",
        "exec('import os; os.system(\"id\")')",
    ):
        assert (await run(sandbox, code)).outcome == "error", code
    print_out = await run(sandbox, "print('only for the model')")
    assert print_out.stdout == "only for the model\n"
    assert [path.name for path in tmp_path.iterdir()] == ["canary.txt"]
    assert "only for the model" not in "".join(capfd.readouterr())


async def test_above_the_inline_limit_the_context_is_searched_and_sliced_on_the_host() -> None:
    length = QUICK.inline_limit_chars
    large = Context.from_text("x" * length + "needle")
    sandbox = MontySandbox()
    await sandbox.start(QUICK, large, {function.name: function for function in repl_functions(large)})
    assert (await run(sandbox, "ctx.find('needle')[0]['start']")).value == length
    assert (await run(sandbox, "[context[-6:], context.find('needle')]")).value == ["needle", length]
    assert (await run(sandbox, "lenP()")).value == length + 6
    await sandbox.close()


async def test_sessions_give_their_workers_back() -> None:
    before = _children()
    for _ in range(30):
        sandbox = MontySandbox()
        await sandbox.start(QUICK, TEXT, {})
        await run(sandbox, "x = 1")
        await sandbox.close()
    assert len(_children() - before) <= 1


def _children() -> set[str]:
    listing = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if not listing.exists():
        pytest.skip("needs /proc to list children")
    return set(" ".join(path.read_text() for path in Path(f"/proc/{os.getpid()}/task").glob("*/children")).split())


@pytest.fixture
async def checked(models: Models) -> AsyncIterator[MontySandbox]:
    sandbox = MontySandbox(type_check=True)
    inputs = {"prices": {"a": 1}, "found": {}}
    await sandbox.start(CellLimits(cell_timeout_s=30), TEXT, models.host(), query="what?", inputs=inputs)
    yield sandbox
    await sandbox.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("note('side effect')\nprint(undefined_name)", "line 2: Name `undefined_name` used when not defined"),
        ("llm_query(5)", "Expected `str`, found `Literal[5]`"),
        ("llm_query('a', temperature=0)", "`temperature`"),
        ("llm_query()", "required parameter `prompt`"),
        ("ctx.serch('a')", "has no attribute `serch`"),
        ("ctx.search('a', max_match=1)", "`max_match`"),
        ("import numpy", "numpy"),
    ],
)
async def test_a_checked_cell_that_cannot_be_right_is_not_run(
    checked: MontySandbox, models: Models, code: str, message: str
) -> None:
    execution = await run(checked, code)
    assert execution.error is not None
    assert (execution.outcome, execution.error.type) == ("error", "TypeCheckError")
    assert message in execution.error.message
    assert models.asked == []
    assert (await run(checked, "1 + 1")).value == 2


@pytest.mark.parametrize(
    "code",
    [
        "m = re.search('two', context)\nm.group(0)",
        "a = [1]\na = 'str'\na.upper()",
        "found['content'] = prices['a']",
        "d = {}\nd['a'] = 1\nd['b'] = 'x'\nd",
        "import heapq, statistics\nh = [2, 1]\nheapq.heapify(h)\nstatistics.mean(h)",
        "from collections import Counter\nCounter(context.split()).most_common(1)[0][0]",
        "hits = ctx.search('two')\nhits[0]['start'] + 1",
        "sorted(context.split(), key=str.lower)",
        "[llm_query(w) for w in query.split()]",
        "await llm_query('a')",
        "SHOW_VARS()",
        "import json\njson.dumps({'é': 1})\n# done",
    ],
)
async def test_a_checked_cell_that_may_be_right_is_run(checked: MontySandbox, code: str) -> None:
    execution = await run(checked, code)
    assert execution.outcome == "ok", execution.error


async def test_names_of_a_cell_that_failed_halfway_are_known_to_the_check(checked: MontySandbox) -> None:
    await run(checked, "kept = 1\nraise ValueError('x')")
    assert (await run(checked, "kept")).value == 1


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("Result: note('Paris')", ["Paris"]),  # prose with a call, which is an annotation by its grammar
        ("if True:\n    Result: note('Paris')", ["Paris"]),
        ("def f():\n    x: note('never')\nf()", []),
        ("from __future__ import annotations\nx: note('never')", []),
    ],
)
async def test_a_line_that_is_an_annotation_by_its_grammar_alone_makes_its_calls(
    sandbox: MontySandbox, models: Models, code: str, asked: list[str]
) -> None:
    assert (await sandbox.execute(Cell(code))).error is None
    assert models.asked == (asked if sys.version_info < (3, 14) else [])
