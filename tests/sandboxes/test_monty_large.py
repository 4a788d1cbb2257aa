"""Cells that are rewritten for a long context do what they did."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

import anyio
import anyio.lowlevel
import pytest

from contract.gaps import GAPS
from rlmbox.context import Context
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.testing.check_sandbox import CHECKS
from rlmbox.types import Cell, CellLimits, Execution, HostFunction

TEXT = "".join(f"line {number} é\n" for number in range(3_000))
LIMITS = CellLimits(cell_timeout_s=10.0)
WANTS_A_STR = {
    "check_two_sandboxes_share_nothing",
    "check_context_is_the_text",
    "check_a_context_of_one_character_is_whole",
    "check_a_large_context_is_whole",
    "check_a_fresh_worker_has_the_context",
    "check_names_of_the_repl_are_there_again",
}
"""Checks in which a cell gives the whole context."""


class LargeMonty(MontySandbox):
    """A session in which every context is too long to be a `str`, so that every cell is rewritten."""

    async def start(
        self,
        limits: CellLimits,
        context: Context,
        host: Host,
        *,
        query: str = "",
        seed: int = 0,
        inputs: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        limits = replace(limits, inline_limit_chars=0)
        await super().start(limits, context, host, query=query, seed=seed, inputs=inputs)


class Lined(str):
    """A text that is gone through by lines, as the handle is."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        return iter(self.splitlines(keepends=True))


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in {*GAPS["monty"], *WANTS_A_STR}])
async def test_rewritten_cells_keep_the_contract(name: str) -> None:
    with anyio.fail_after(50):
        await CHECKS[name](LargeMonty)


async def run(sandbox: MontySandbox, code: str) -> Execution:
    return await sandbox.execute(Cell(code))


@pytest.fixture
async def sandbox() -> AsyncIterator[MontySandbox]:
    async def ask(prompt: str) -> str:
        await anyio.lowlevel.checkpoint()
        return f"asked {prompt}"

    made = LargeMonty()
    await made.start(LIMITS, Context.from_text(TEXT), {"ask": HostFunction("ask", ask, "")})
    yield made
    await made.close()


CELLS = {
    "f-strings": ("", "f'{context[5:6]!r:>8}|{len(context):,}|{{}}|{3.14159:.{2}f}|{[1, 2][0]=}'"),
    "nested loops": (
        (
            "total = 0\nfor line in context:\n    for c in line[:3]:\n        if c == 'n':\n            break\n"
            "        total += 1\n    else:\n        total += 100\n    if '99' in line: break\nelse:\n    total = -1"
        ),
        "total",
    ),
    "continue": (
        "found = []\nfor line in P:\n    if '5' not in line:\n        continue\n    found.append(line)",
        "len(found)",
    ),
    "dict comprehension": (
        "",
        "{line[:6]: n for n, line in enumerate(context.splitlines()) if n % 1000 == 7}",
    ),
    "set comprehension": ("", "sorted({len(line) for line in context})"),
    "two generators": ("", "[(a, b) for a in 'xy' for b in (1, 2) if b > 1]"),
    "sum": ("", "sum(1 for line in context if '77' in line)"),
    "max": ("", "max(context.splitlines(), key=lambda line: len(line))"),
    "zip": ("", "list(zip(context.splitlines()[:2], [1, 2]))"),
    "annotations": (
        "def second(text: list[str], *, at: dict[str, int] = {'a': 1}) -> list[str]:\n    return text[at['a']]",
        "second(context)",
    ),
    "a class": (
        (
            "class Kept:\n    size = 2\n    def __init__(self, text):\n        self.text = text\n"
            "    def head(self):\n        return self.text[:self.size]"
        ),
        "Kept(context).head()",
    ),
    "stores": ("x = [[1, 2], [3, 4]]\nx[0][1] += 5\nx[1][0], x[1][1] = x[1][1], x[1][0]", "x"),
    "dicts": ("d = {'a': [1]}\nd['b'] = d['a'] + [2]", "'a' in d, 'c' not in d, d['b'][-1], d == {'a': [1]}"),
    "chains": ("", "0 <= context.find('line') < len(context) and 1 == 1.0 != 2"),
    "targets": ("for number, (first, *rest) in enumerate([context.splitlines()[3]], 5):\n    pass", "[number, first]"),
    "a name of a builtin": ("len = 5", "len"),
    "a function of that name": ("sorted = lambda rows: rows[1]", "sorted([3, 4])"),
    "booleans": ("", "query[0:1] or 'nothing'"),
    "try": ("try:\n    context[10**9]\nexcept IndexError as error:\n    said = str(error)", "said"),
    "a slice of a slice": ("words = context[:30].split()", "words[1:3]"),
    "a default": ("", "(lambda text=context: text[-3:])()"),
    "lines with ends": ("", "[line for line in context.splitlines(True)][-1]"),
    "lines backwards": ("", "context.splitlines()[::-1000]"),
    "in lines": ("", "'line 7 é' in context.splitlines(), 'line' in context.splitlines()"),
}


@pytest.mark.parametrize(("body", "last"), CELLS.values(), ids=CELLS.keys())
async def test_a_rewritten_cell_gives_what_python_gives(sandbox: MontySandbox, body: str, last: str) -> None:
    names = {"context": Lined(TEXT), "P": Lined(TEXT), "query": ""}
    exec(body, names)
    wanted = eval(last, names)
    execution = await run(sandbox, f"{body}\n{last}")
    assert execution.error is None
    assert execution.value == _json(wanted)


def _json(value: object) -> object:
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(
    ("code", "line", "text"),
    [
        ("x = 1\n\n\ny = [\n    1,\n]\n# a comment\nz = y[5]", 8, "z = y[5]"),
        ('def f(t):\n    """About\n    it."""\n\n    return t[10**9]\n\nf(context)', 5, "return t[10**9]"),
        ("for line in context:\n\n    if 'line' in line: 1 / 0", 3, "if 'line' in line: 1 / 0"),
        ("if True:\n    pass\nelse:\n    pass\nassert context == 'x', f'{len(context)} é'", 5, "assert"),
    ],
)
async def test_a_traceback_has_the_lines_of_the_cell(sandbox: MontySandbox, code: str, line: int, text: str) -> None:
    execution = await run(sandbox, code)
    assert execution.error is not None
    assert execution.error.line == line
    assert f"line {line}, in " in execution.error.traceback
    assert text in execution.error.traceback
    assert "rlm_large" not in execution.error.traceback


async def test_host_functions_are_awaited_and_called_as_ever(sandbox: MontySandbox) -> None:
    code = "import asyncio\nboth = await asyncio.gather(*[ask(word[0]) for word in ('ab', 'cd')])\n"
    code += "[await ask(context[0:4]), ask(context[5:6]), *both]"
    assert (await run(sandbox, code)).value == ["asked line", "asked 0", "asked a", "asked c"]


async def test_rewritten_cells_are_not_type_checked() -> None:
    sandbox = LargeMonty(type_check=True)
    try:
        await sandbox.start(LIMITS, Context.from_text(TEXT), {})
        assert (await run(sandbox, "n = len(context)\n[n, context[:4]]")).value == [len(TEXT), "line"]
    finally:
        await sandbox.close()


async def test_a_cell_that_is_no_python_is_told_so(sandbox: MontySandbox) -> None:
    execution = await run(sandbox, "x = 1\ny = context[")
    assert execution.error is not None
    assert execution.error.type == "SyntaxError"


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("'\\n'.join(context)", "gives them one by one"),
        ("context + 'x'", "context[a:b]"),
        ("json.dumps(context)", "context[a:b]"),
        ("context.upper()", "case_sensitive=False"),
        ("{context: 1}", "use a position or a slice as the key"),
    ],
)
async def test_what_cannot_be_had_names_the_way_around(sandbox: MontySandbox, code: str, hint: str) -> None:
    error = (await run(sandbox, code)).error
    assert error is not None
    assert error.type == "TypeError"
    assert hint in error.message


async def test_the_handle_does_not_cross_to_the_host_with_what_is_in_it(sandbox: MontySandbox) -> None:
    for code in ("context", "[1, context]", "{'a': (context,)}"):
        execution = await run(sandbox, code)
        assert f"<context of {len(TEXT):,} characters" in str(execution.value)
        assert "scans" not in str(execution.value)
    assert (await run(sandbox, "text = context\nSHOW_VARS()")).value == {"text": "LargeText"}
