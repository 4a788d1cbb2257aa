"""Cells that are rewritten for a long context do what they did."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from contract.gaps import GAPS
from rlmbox.context import Context
from rlmbox.sandboxes.base import Host
from rlmbox.sandboxes.monty import MontySandbox
from rlmbox.sandboxes.worker._values import to_json
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


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in {*GAPS["monty"], *WANTS_A_STR}])
async def test_rewritten_cells_keep_the_contract(name: str) -> None:
    with anyio.fail_after(240):
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
    "set comprehension": ("", "sorted({len(line) for line in context.splitlines()}), sorted({c for c in context})"),
    "characters": (
        "",
        "max([c for c in context]), [n for n, c in enumerate(context) if c == 'é'][:3], context.center(3) == context",
    ),
    "two generators": ("", "[(a, b) for a in 'xy' for b in (1, 2) if b > 1]"),
    "sum": ("", "sum(1 for line in context.splitlines() if '77' in line), sum(1 for char in context if char == '7')"),
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
    names = {"context": TEXT, "P": TEXT, "query": ""}
    exec(body, names)
    wanted = eval(last, names)
    execution = await run(sandbox, f"{body}\n{last}")
    assert execution.error is None
    assert execution.value == _json(wanted)


WHOLE_CELLS = {
    "a file": ("import csv, io\nrows = list(csv.reader(io.StringIO(context)))", "len(rows), rows[7]"),
    "a function that was imported": (
        "from io import StringIO as Stream\nf = Stream(context)",
        "f.readline(), f.read(4)",
    ),
    "lines to a function": ("from itertools import islice", "list(islice(context.splitlines(), 2))"),
    "lines one by one": ("it = iter(context.splitlines())", "next(it), next(it), sum(1 for _ in it)"),
    "characters one by one": ("it = iter(context)", "next(it), next(it)"),
    "lines in a generator expression": (
        "kept = (line for line in context.splitlines() if '7' in line)",
        "next(kept), len([*kept])",
    ),
    "characters in a generator expression": ("kept = (c for c in context if c > 'm')", "next(kept), next(kept)"),
    "words of lines": (
        "words = (w for line in context.splitlines() for w in line.split())",
        "next(words), next(words)",
    ),
    "lines that a cell changes": (
        "lines = context.splitlines()\nlines.sort()\nlines.append('x')",
        "lines[0], lines[-1], len(lines)",
    ),
    "parts that are read on": (
        (
            "found = []\nat = context.find('77')\nwhile at >= 0:\n    found.append(context[max(0, at - 9) : at + 9])\n"
            "    at = context.find('77', at + 1)"
        ),
        "found",
    ),
    "parts to and fro": (
        "",
        "[context[a:a + n] for a in (0, 5, 15_990, 16_010, 9, 32_001, 210_000) for n in (1, 5_000, 20)]",
    ),
    "lines in JSON": ("import json", "len(json.dumps({'lines': context.splitlines()}))"),
    "a fold": ("import functools", "functools.reduce(lambda n, line: n + len(line), context.splitlines(), 0)"),
    "look-behind": ("import re", "re.findall(r'(?<=line )9\\d+', context)[:3]"),
    "look-ahead": ("import re", "[m.start() for m in re.finditer(r'\\n(?=line 7)', context)][:3]"),
    "a back-reference": ("import re", "re.search(r'(\\d)(\\d)\\2\\1', context).group()"),
    "groups that depend on the text around them": (
        "import re\nplaced = [r'(^line)|(line)', r'(\\bine)|(ine)', r'(lin\\b)|(lin)', r'(line$)|(line)', r'(^)?line']",
        "[[re.search('(?m)' + p, context).groups(), re.findall('(?m)' + p, context)[-1]] for p in placed]",
    ),
    "groups of a longer attempt": ("import re", "re.search(r'(line \\d+ .\\n$)|(line)', context).groups()"),
    "the last group": (
        "import re\nkinds = re.compile(r'(?P<digits>\\d+)|(?P<word>[a-z]+)|.')\nfound = kinds.finditer(context)",
        "[(m.lastgroup, m.lastindex, hasattr(m, 'lastgroup'), getattr(m, 'lastindex')) for m, _ in zip(found, 'abcd')]",
    ),
    "nothing": ("import re", "len(re.findall(r'(?m)^\\d*', context)), re.match(r'\\s*', context).span()"),
    "verbose": ("import re\nseven = re.compile(r'7 \\d \\x20 # the end', re.X)", "len(seven.findall(context))"),
    "len as a name": ("len = len(context)", "len"),
    "str as a name": ("str = str(context)[2:9]", "str"),
    "list as a name, in a function": ("def f(list=list):\n    return list(context.splitlines())[1]", "f()"),
}


@pytest.mark.parametrize(("body", "last"), WHOLE_CELLS.values(), ids=WHOLE_CELLS.keys())
async def test_what_needs_the_whole_text_gets_it_where_it_is_not_too_long(body: str, last: str) -> None:
    text = TEXT * 7
    names: dict[str, object] = {"context": text}
    exec(body, names)
    wanted = eval(last, names)
    sandbox = MontySandbox()
    await sandbox.start(LIMITS, Context.from_text(text), {})
    try:
        assert "LargeText" in str((await run(sandbox, "type(context)")).value)
        execution = await run(sandbox, f"{body}\n{last}")
    finally:
        await sandbox.close()
    assert execution.error is None
    assert execution.value == _json(wanted)


def _json(value: object) -> object:
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(
    ("code", "line", "text"),
    [
        ("x = 1\n\n\ny = [\n    1,\n]\n# a comment\nz = y[5]", 8, "z = y[5]"),
        ('def f(t):\n    """About\n    it."""\n\n    return t[10**9]\n\nf(context)', 5, "return t[10**9]"),
        ("for line in context.splitlines():\n\n    if 'line' in line: 1 / 0", 3, "if 'line' in line: 1 / 0"),
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
        ("import io\nio.StringIO(context)", "context[a:b]"),
        ("iter(context)", "go through them in a comprehension"),
    ],
)
async def test_what_cannot_be_had_names_the_way_around(sandbox: MontySandbox, code: str, hint: str) -> None:
    error = (await run(sandbox, code)).error
    assert error is not None
    assert error.type == "TypeError"
    assert hint in error.message


@pytest.mark.parametrize("call", ["search", "match", "findall", "finditer"])
async def test_a_search_up_to_a_position_is_refused_and_not_made_over_everything(
    sandbox: MontySandbox, call: str
) -> None:
    error = (await run(sandbox, f"import re\nre.compile('line').{call}(context, 0, 3)")).error
    assert error is not None
    assert error.type == "NotImplementedError"
    assert "context[a:b]" in error.message


async def test_the_handle_does_not_cross_to_the_host_with_what_is_in_it(sandbox: MontySandbox) -> None:
    for code in ("context", "[1, context]", "{'a': (context,)}"):
        execution = await run(sandbox, code)
        assert f"<context of {len(TEXT):,} characters" in str(execution.value)
        assert "scans" not in str(execution.value)
    assert (await run(sandbox, "text = context\nSHOW_VARS()")).value == {"text": "LargeText"}


MEDIUM = "".join(f"row {number}: naïve café, fox {number % 7}\n" for number in range(9_000))
"""Longer than what is a real `str` here, and short enough to be had whole."""


@pytest.fixture
async def medium() -> AsyncIterator[MontySandbox]:
    made = MontySandbox()
    await made.start(LIMITS, Context.from_text(MEDIUM), {})
    yield made
    await made.close()


@pytest.mark.parametrize(
    "code",
    [
        "[context[i:i + 4000] for i in range(0, len(context), 4000)][-1]",
        "len(context.split('\\n')), context.split('\\n')[5]",
        "context.lower().count('fox 3')",
        "context.upper()[:20], context.title()[-9:]",
        "str(context)[:50], str(context) == context",
        "f'{context[:12]}|{len(context):,}|{context[-3:]!r}'",
        "re.findall(r'\\bfox 6\\b', context)[:3], len(re.findall(r'\\bfox 6\\b', context))",
        "[m.span() for m in re.finditer(r'row (8\\d{3}):', context)][:2]",
        "re.search(r'(?P<n>\\d+): naïve', context).groupdict(), re.search('nothing so', context)",
        "re.search(r'row (\\d+): (\\w+)', context).groups(), re.match('row', context).span(), re.match('x', context)",
        "[m.group(1) for m in re.compile(r'ROW (\\d+)', re.I).finditer(context)][-1]",
        "len(re.split(r'\\n', context)), re.sub('fox', 'dog', context)[:40]",
        "context.replace('fox', 'dog').count('dog')",
        "context.encode()[:9], len(context.encode())",
        "any('fox 5' in line for line in context.splitlines())",
        "next(line for line in context.splitlines() if 'row 77:' in line)",
        "sorted({line.split()[-1] for line in context.splitlines()})",
        "max(context.splitlines(), key=len)",
        "[i for i, line in enumerate(context.splitlines()) if 'row 123' in line][:4]",
        "list(map(len, context.splitlines()[:3])), sum(map(len, context.splitlines()))",
        "context.partition(':')[0], context.rpartition('fox')[2], context.strip()[-5:]",
        "isinstance(context.splitlines(), list), isinstance(context.splitlines(), (int, str))",
        "isinstance(context, str), context.startswith('row'), context.isascii(), 'row 8999' in context",
        "'\\n'.join(context.splitlines()[:3]), '|'.join(context.splitlines())[-9:], '-'.join(context)[:5]",
        "list(itertools.islice(context, 3)), list(itertools.islice(context.splitlines(), 2))",
        "[*context.splitlines()][-1], 'a' in context.splitlines()",
        "Counter(context).most_common(2), Counter(context.splitlines()).most_common(1), sorted(set(context))[:3]",
        "functools.reduce(lambda n, line: n + len(line), context.splitlines(), 0), list(reversed(context))[:3]",
        "io.StringIO(context).readline(), list(csv.reader(context.splitlines()))[3], textwrap.wrap(context[:90], 40)",
        "unicodedata.normalize('NFD', context)[:30], len(bytes(context, 'utf-8')), next(iter(context))",
        "(lambda first, *others: (first, len(others)))(*context.splitlines()), (['a'] + context.splitlines())[:2]",
        "context.splitlines().count('x'), context.splitlines().index(context.splitlines()[5])",
        "len(random.Random(3).sample(context.splitlines(), 2)), heapq.nsmallest(1, context.splitlines())",
        "copy.deepcopy({'a': context})['a'][:3], '%(a)s' % {'a': context} == context, format(context, '.5')",
        "re.search(r'(?<=row )8\\d+', context).group(), re.sub('o', '0', context)[:9]",
        "re.findall('(?x) fox [ ] 6', context)[:1]",
        "re.match('x*', context).span(), isinstance(context, str | None)",
        "context in context, context.find(context), context.count(context), context.rfind('', None, 0)",
    ],
)
async def test_a_text_of_some_hundred_thousand_characters_is_like_any_other(medium: MontySandbox, code: str) -> None:
    names: dict[str, Any] = {"context": MEDIUM, "re": re}
    used = [each for each in MODULES if each.split()[-1] in code]
    exec("\n".join(used), names)
    for each in used:
        await run(medium, each)
    execution = await run(medium, code)
    assert execution.error is None, execution.error
    assert execution.value == to_json(eval(code, names))  # noqa: S307, RUF100 - the test's own cells


MODULES = [f"import {name}" for name in "copy csv functools heapq io itertools random textwrap unicodedata".split()]  # noqa: SIM905
MODULES.append("from collections import Counter")
WRONG = """
context.find(1) ~ context.find('a', 'b') ~ context.count() ~ context.startswith(('row', 5), 1) ~ context['a']
5 in context ~ context.removeprefix(None) ~ context.split('') ~ context.splitlines(keep=1) ~ context.center(5, 'ab')
context.index('zzz') ~ context.find(sub='a') ~ context.replace('a')
context.strip(5) ~ context.splitlines()[99_999] ~ context.rfind('a', 1.5)
"""


@pytest.mark.parametrize("mistake", re.split(r"\s*[~\n]\s*", WRONG.strip()))
async def test_wrong_arguments_have_the_error_of_a_str(medium: MontySandbox, mistake: str) -> None:
    error = (await run(medium, mistake)).error
    with pytest.raises(Exception) as told:
        eval(mistake, {"context": MEDIUM})
    assert error is not None
    assert error.type == told.type.__name__  # the words are those of Monty's own `str`


@pytest.mark.parametrize(
    ("code", "way"),
    [
        ("context * 2", "str(context)"),
        ("{context}", "use a position or a slice"),
        ("min([context, 'a'])", "str(context)"),
    ],
)
async def test_what_needs_a_real_str_says_how_to_have_one(medium: MontySandbox, code: str, way: str) -> None:
    error = (await run(medium, code)).error
    assert error is not None
    assert way in error.message


async def test_lines_that_are_many_say_how_to_have_a_real_list() -> None:
    sandbox = MontySandbox()
    await sandbox.start(LIMITS, Context.from_text("é" * 2_000_000 + "\nline"), {})
    try:
        error = (await run(sandbox, "context.splitlines().append('x')")).error
    finally:
        await sandbox.close()
    assert error is not None
    assert "list(context.splitlines())" in error.message


async def test_positions_are_found_one_by_one(medium: MontySandbox) -> None:
    loop = "while p >= 0:\n    found.append(p)\n    p = context.find('fox 5', p + 1)"
    code = f"found = []\np = context.find('fox 5')\n{loop}\nfound"
    assert (await run(medium, code)).value == [m.start() for m in re.finditer("fox 5", MEDIUM)]


async def test_a_text_that_is_not_too_long_goes_whole_into_prompts_and_strings() -> None:
    asked: list[str] = []
    host = {"llm_query": HostFunction("llm_query", asked.append, "asks")}
    text = "é quick brown\n" * 20_000
    sandbox = MontySandbox()
    await sandbox.start(LIMITS, Context.from_text(text), host, query="Why?")
    cells = {
        "llm_query(context)": text,
        "llm_query(f'{query} {context}')": f"Why? {text}",
        "t = context\nllm_query('Q: ' + t + '\\nEnd')": f"Q: {text}\nEnd",
        "llm_query('%s: %s' % (query, context))": f"Why?: {text}",
        "llm_query('{}: {c}'.format(query, c=context))": f"Why?: {text}",
        "llm_query('\\n'.join([query, context]))": f"Why?\n{text}",
        "[llm_query(f'{part:.5}') for part in (context, 'ab')]": "ab",
        "x = 'Q'\nx += context\nllm_query(x)": f"Q{text}",
        "list(map(llm_query, [context]))": text,
    }
    try:
        for cell, prompt in cells.items():
            execution = await run(sandbox, cell)
            assert execution.error is None, (cell, execution.error)
            assert asked[-1] == prompt, cell
    finally:
        await sandbox.close()


async def test_a_text_that_is_too_long_is_no_argument_of_a_host_function() -> None:
    asked: list[str] = []
    sandbox = LargeMonty()
    await sandbox.start(LIMITS, Context.from_text(TEXT), {"llm_query": HostFunction("llm_query", asked.append, "asks")})
    try:
        for cell in ("llm_query(context)", "llm_query([context])", "llm_query(f'{context}')"):
            execution = await run(sandbox, cell)
            assert execution.error is not None, cell
            assert "context[a:b]" in execution.error.message
    finally:
        await sandbox.close()
    assert asked == []


async def test_matches_on_a_long_context_take_memory_one_by_one() -> None:
    made = MontySandbox()
    text = "".join(f"Zeile {number:05} größer\n" for number in range(20_000))
    await made.start(replace(LIMITS, memory_bytes=24 << 20), Context.from_text(text), {})
    try:
        code = r"import re" + "\n" + r"sum(int(m.group(1)) for m in re.finditer(r'Zeile (\d+)', context))"
        assert (await run(made, code)).value == sum(range(20_000))
        found = await run(
            made, r"it = re.finditer('größer', context); [next(it).start(), len(list(it)), next(it, None)]"
        )
        assert found.value == [text.index("größer"), 19_999, None]
    finally:
        await made.close()


async def test_the_hash_of_a_long_context_is_that_of_its_text() -> None:
    made = MontySandbox()
    text = "é" * 250_000
    await made.start(LIMITS, Context.from_text(text), {})
    try:
        assert (await run(made, "hash(context) == hash(str(context)) == hash('é' * 250_000)")).value is True
        refused = await run(made, "{context: 1}")
        assert refused.error is not None
        assert "use a position or a slice as the key" in refused.error.message
    finally:
        await made.close()


async def test_the_class_of_a_handle_has_the_name_that_it_has_in_the_other_sandboxes(sandbox: MontySandbox) -> None:
    shown = await run(sandbox, "print(type(context), type(context).__name__, isinstance(context, type(context)))")
    assert shown.stdout == "<class '_context_text.LargeText'> LargeText True\n"
    caught = await run(
        sandbox, "try:\n    1 / 0\nexcept Exception as e:\n    print(type(context).__name__, type(e).__name__)"
    )
    assert caught.stdout == "LargeText ZeroDivisionError\n"
    assert (await run(sandbox, "[type(context)]")).value == ["<class '_context_text.LargeText'>"]
