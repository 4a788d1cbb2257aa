"""Checks of the results of a cell: the value of its last expression, and its output."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from rlmbox.testing._sandbox_checks._opened import LIMITS, MakeSandbox, expect, expect_equal, opened
from rlmbox.types import HostFunction

KEPT_CHARS = 10_000

KINDS: Mapping[str, object] = {
    "(1, (2,))": [1, [2]],
    "{3, 1, 2}": [1, 2, 3],
    "frozenset(['b', 'a'])": ["a", "b"],
    "{2020: 5}": {"2020": 5},
    "{1.5: 0, True: 1, None: 2}": {"1.5": 0, "true": 1, "null": 2},
    "{(1, 2): 3}": {"(1, 2)": 3},
    "{1: 'a', '1': 'b'}": [[1, "a"], ["1", "b"]],
    "b'ab'": "ab",
    "b'\\xff'": "base64:/w==",
    "float('nan')": "nan",
    "[float('inf'), -float('inf')]": ["inf", "-inf"],
    "2 ** 20000": hex(2**20000),
    "{'a': 1}.keys()": ["a"],
    "range(3)": [0, 1, 2],
}
"""Expressions, and the JSON that their values arrive as."""


async def check_a_last_expression_is_the_value(make_sandbox: MakeSandbox) -> None:
    """The last bare expression is the value, as JSON and as `repr`."""
    async with opened(make_sandbox) as repl:
        execution = await repl.ok("x = 20\nx + 1")
        expect_equal(execution.value, 21, "the value")
        expect_equal(execution.value_repr, "21", "its repr")


async def check_a_statement_has_no_value(make_sandbox: MakeSandbox) -> None:
    """A cell that ends with a statement has no value, whatever precedes it."""
    async with opened(make_sandbox) as repl:
        for code in ("5\nx = 1", "None", "for i in range(3):\n    i", "def f():\n    return 1"):
            execution = await repl.ok(code)
            expect(execution.value is None and execution.value_repr is None, f"{code!r} has no value")


async def check_json_values_keep_their_types(make_sandbox: MakeSandbox) -> None:
    """None, booleans, numbers, strings, lists and dictionaries arrive unchanged."""
    async with opened(make_sandbox) as repl:
        wanted = {"a": [1, 2.5, None, True], "b": {"c": "ü🎉\n"}, "d": [], "e": -(2**70)}
        expect_equal(
            await repl.value("{'a': [1, 2.5, None, True], 'b': {'c': 'ü🎉\\n'}, 'd': [], 'e': -2**70}"),
            wanted,
            "the value",
        )


async def check_every_kind_of_value_has_its_json_form(make_sandbox: MakeSandbox) -> None:
    """A value that is not JSON arrives in the form that `worker/_values.py` lists, also as an argument."""
    function = HostFunction("send", lambda value: value, "gives its argument back")
    async with opened(make_sandbox, [function]) as repl:
        for code, wanted in KINDS.items():
            expect_equal(await repl.value(code), wanted, f"the value of {code}")
            expect_equal(await repl.value(f"v = {code}\nsend(v)"), wanted, f"{code} as an argument of a host call")


async def check_values_can_be_written_as_json(make_sandbox: MakeSandbox) -> None:
    """The value is always JSON, so that it can be recorded."""
    async with opened(make_sandbox) as repl:
        for code in (
            "[float('nan')]",
            "{1: {2, 3}}",
            "(1, (2,))",
            "[re.compile('x')]",
            "len",
            "x = []\nx.append(x)\nx",
        ):
            execution = await repl.ok(code)
            json.dumps(execution.value, allow_nan=False)
            expect(execution.value_repr, f"{code!r} has a repr")


async def check_a_value_of_megabytes_arrives_whole(make_sandbox: MakeSandbox) -> None:
    """A variable of 5 MB is the value of a cell that names it, while its `repr` is bounded."""
    async with opened(make_sandbox) as repl:
        await repl.ok("text = 'line é\\n' * 700_000")
        execution = await repl.ok("text")
        expect(execution.value == "line é\n" * 700_000, "the value is whole")
        expect(execution.value_repr and len(execution.value_repr) < 200_000, "its repr is bounded")


async def check_a_large_value_is_bounded(make_sandbox: MakeSandbox) -> None:
    """The `repr` of a value of megabytes is cut before it reaches the host."""
    async with opened(make_sandbox) as repl:
        execution = await repl.ok("['x' * 100] * 200_000")
        expect(execution.value_repr and len(execution.value_repr) < 200_000, "the repr is bounded")


async def check_print_is_captured(make_sandbox: MakeSandbox) -> None:
    """`print` writes to stdout in Python's format."""
    async with opened(make_sandbox) as repl:
        execution = await repl.ok("print('a', 1, [2.0], sep='-', end='!\\n')\nprint()\nprint('b', end='')")
        expect_equal(execution.stdout, "a-1-[2.0]!\n\nb", "stdout")
        expect_equal((execution.stderr, execution.dropped_chars), ("", 0), "stderr and dropped characters")


async def check_stderr_is_apart(make_sandbox: MakeSandbox) -> None:
    """Output to `sys.stderr` is not in stdout."""
    async with opened(make_sandbox) as repl:
        execution = await repl.ok("import sys\nprint('out')\nprint('err', file=sys.stderr)")
        expect_equal((execution.stdout, execution.stderr), ("out\n", "err\n"), "stdout and stderr")


async def check_output_keeps_its_characters(make_sandbox: MakeSandbox) -> None:
    """Accents, other scripts, emoji and NUL arrive unchanged."""
    text = "é ü 日本語 🎉👩‍👩‍👧 \u202e\x00 end"
    async with opened(make_sandbox) as repl:
        expect_equal((await repl.ok(f"print({text!r})")).stdout, text + "\n", "stdout")


async def check_output_can_always_be_encoded(make_sandbox: MakeSandbox) -> None:
    """Lone surrogates are replaced or refused: output, values and errors can be encoded as UTF-8."""
    async with opened(make_sandbox) as repl:
        for code in ("s = '\\ud800x'\nprint(s)\ns", "raise ValueError('\\udfff')"):
            execution = await repl.run(code)
            said = execution.error.message if execution.error else ""
            for text in (execution.stdout, execution.value, execution.value_repr, said):
                str(text).encode()


async def check_output_belongs_to_its_cell(make_sandbox: MakeSandbox) -> None:
    """The output of a cell does not contain that of the previous one, even if that failed."""
    async with opened(make_sandbox) as repl:
        failed = await repl.fails("print('first', end='')\n1/0")
        expect_equal(failed.stdout, "first", "stdout before the error")
        expect_equal((await repl.ok("print('second')")).stdout, "second\n", "stdout of the next cell")


async def check_long_output_keeps_head_and_tail(make_sandbox: MakeSandbox) -> None:
    """Beyond `output_chars` the middle is dropped, with a note of how much."""
    limits = replace(LIMITS, output_chars=KEPT_CHARS)
    async with opened(make_sandbox, limits=limits) as repl:
        execution = await repl.ok("print('BEGIN')\nfor i in range(20000):\n    print('line', i, 'é')\nprint('END')")
        written = len("BEGIN\nEND\n") + sum(len(f"line {i} é\n") for i in range(20_000))
        expect(execution.stdout.startswith("BEGIN\nline 0 é\n"), "the head is kept")
        expect(execution.stdout.endswith("line 19999 é\nEND\n"), "the tail is kept")
        expect(
            KEPT_CHARS * 0.9 <= len(execution.stdout) <= KEPT_CHARS + 200,
            f"{len(execution.stdout)} characters are kept",
        )
        expect_equal(execution.dropped_chars, written - KEPT_CHARS, "the number of dropped characters")


async def check_one_huge_print_is_bounded(make_sandbox: MakeSandbox) -> None:
    """A single line of megabytes is bounded too."""
    limits = replace(LIMITS, output_chars=KEPT_CHARS)
    async with opened(make_sandbox, limits=limits) as repl:
        execution = await repl.ok("print('a' * 5_000_000 + 'z', end='')")
        expect(execution.stdout[0] == "a" and execution.stdout[-1] == "z", "head and tail are kept")
        expect(len(execution.stdout) <= KEPT_CHARS + 200, "stdout is bounded")
        expect_equal(execution.dropped_chars, 5_000_001 - KEPT_CHARS, "the number of dropped characters")


async def check_an_output_flood_ends_the_cell(make_sandbox: MakeSandbox) -> None:
    """A cell that prints more than `output_flood_bytes` ends with OutputExceeded."""
    limits = replace(LIMITS, output_chars=KEPT_CHARS, output_flood_bytes=1_000_000)
    async with opened(make_sandbox, limits=limits) as repl:
        execution = await repl.fails("while True:\n    print('x' * 1000)", "output")
        expect(execution.error and execution.error.type == "OutputExceeded", "the error is OutputExceeded")
        expect(len(execution.stdout) <= KEPT_CHARS + 200, "stdout is bounded")
        await repl.still_works()


async def check_output_up_to_the_flood_is_allowed(make_sandbox: MakeSandbox) -> None:
    """Output below the flood limit does not end the cell."""
    limits = replace(LIMITS, output_chars=KEPT_CHARS, output_flood_bytes=3_000_000)
    async with opened(make_sandbox, limits=limits) as repl:
        await repl.ok("for _ in range(2000):\n    print('x' * 1000)")


async def check_nothing_waits_for_input(make_sandbox: MakeSandbox) -> None:
    """`input()` fails immediately."""
    async with opened(make_sandbox) as repl:
        await repl.fails("input('name? ')")
