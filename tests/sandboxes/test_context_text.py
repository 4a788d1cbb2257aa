"""What `context` is in a sandbox of CPython where the text is too long to be a `str` there."""

import json
import re
import threading
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from rlmbox.context import Context
from rlmbox.context.load import opening
from rlmbox.context.storage import cache
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.worker import _context_text as texts
from rlmbox.sandboxes.worker import _link, _worker
from rlmbox.sandboxes.worker._values import to_json
from rlmbox.types import Cell, HostFunction
from sandboxes.local_repl import LIMITS, local

LARGE = replace(LIMITS, inline_limit_chars=1000)


@pytest.fixture
def _files_stay_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SMALL_BYTES", 100)
    monkeypatch.setattr(cache, "folder", lambda: None)


@pytest.mark.parametrize("letter", ["e", "é🎉"], ids=["one byte a character", "several"])
async def test_a_context_above_the_inline_limit_answers_like_a_text(letter: str) -> None:
    text = "".join(f"line {n} {letter}\n" for n in range(500)) + "the end"
    async with local(text=text, limits=LARGE) as repl:
        for question in (
            "len(context)",
            "context[10:30] + context[-7:]",
            "'line 499' in context",
            "context.find('line 77')",
            "context.count('9 ', 50)",
            "re.findall(r'line 4.9', context)",
            "[m.span(1) for m in re.compile(r'(\\d)1 ').finditer(context, 100)]",
            "context.splitlines()[77]",
            "(lambda text: text[3:5])(context)",
            "isinstance(context, str)",
        ):
            assert await repl.value(question) == _json(eval(question, {"context": text, "re": re})), question
        assert await repl.value("sum(1 for char in context)") == len(text)
        assert "characters" in await repl.value("repr(context)")
        assert (await repl.run("context[len(context)]")).error is not None
        assert await repl.value("P is context") is True


@pytest.mark.parametrize("letter", ["e", "é🎉"], ids=["one byte a character", "several"])
async def test_a_first_probe_and_copies_give_what_they_give_on_a_str(letter: str) -> None:
    text = "  " + "".join(f"Line {n}, {letter}\n" for n in range(9000)) + "the end\n"
    async with local(text=text, limits=LARGE) as repl:
        for question in (
            "str(context)[:500]",
            "f'{context}'[:500]",
            "f'See: {context}'[:500]",
            "f'{context:.20}'",
            "f'{context!s:.20}'",
            "len(str(context))",
            "str(context).find('Line 77')",
            "'Line 8999' in f'{context}'",
            "str(context).strip()[-10:]",
            "context.strip()[:10]",
            "context.strip().startswith('Line 0')",
            "context.lower().count('line 7')",
            "'line 8999' in context.lower()",
            "context.lower().find('end', 100)",
            "context.lower().rfind('line')",
            "context.lower()[5:30]",
            "len(context.split('\\n'))",
            "context.split('\\n')[5000:5003]",
            "context.split('\\n')[-2]",
            "context.split()[:5]",
            "len(context.split())",
            "[line for line in context.split('\\n') if '77' in line][:3]",
            "context.split('Line', 2)[1]",
            "context.rsplit('\\n', 2)[1:]",
            "context.partition('Line')[0]",
            "context.rpartition('Line')[2]",
            "re.split(r'\\n', context)[100:102]",
            "re.split(r'\\n', context, maxsplit=1)[0]",
            "len(re.findall(r'^Line \\d+', context, re.M))",
            "re.search(r'the (end)\\s*$', context).span(1)",
            "re.match(r'\\s*Line (\\d)', context).groups()",
            "re.fullmatch(r'(?s).*', context).end()",
            "[m.group(1) for m in re.finditer(r'Line (89\\d8),', context)]",
            "re.search('LINE 8888', context, re.I).start()",
            "re.search('x', str(context)) is None",
            "context.removeprefix('  ')[:4]",
            "context.replace('nowhere', 'x') is context or True",
        ):
            assert await repl.value(question) == _json(eval(question, {"context": text, "re": re})), question
        printed = await repl.run("print(context)")
        assert printed.stdout.startswith("  Line 0")
        assert f"the context goes on, to {len(text):,} characters" in printed.stdout


@pytest.mark.parametrize("letter", ["e", "é🎉"], ids=["one byte a character", "several"])
async def test_a_file_of_a_long_context_is_read_as_one_of_a_str(letter: str) -> None:
    text = "id,word\r\n" + "".join(f'{n},"a, {letter}"\n' for n in range(40_000)) + "end"
    setup = "import csv, io\nfile = io.StringIO(context)"
    reads = "(file.readline(), file.read(5), file.seek(0), next(file), file.readline(), file.seek(0))"
    async with local(text=text, limits=LARGE) as repl:
        await repl.run(setup)
        names: dict[str, object] = {"context": text}
        exec(setup, names)
        for question in (
            reads,
            "sum(1 for line in file)",
            "io.StringIO(str(context), newline='').readline()",
            "io.StringIO(context, None).readline()",
            "list(csv.reader(io.StringIO(context)))[-2:]",
            "len(list(csv.DictReader(io.StringIO(f'{context}'))))",
            "io.StringIO(context).read()[-20:]",
            "io.StringIO(context).getvalue()[:20]",
            "io.StringIO(context).readlines()[777]",
            "[io.StringIO('a\\nb').readlines(), isinstance(io.StringIO(), io.StringIO)]",
            "re.match(r'(?s).{60}', context)",
        ):
            assert await repl.value(question) == to_json(eval(question, {**names, "re": re})), question


async def test_what_takes_a_long_text_is_the_library_s_own_in_all_else() -> None:
    async with local(text="x" * 2000, limits=LARGE) as repl:
        await repl.run("import copy, inspect, io, json, pickle, re")
        for question in (
            "pickle.loads(pickle.dumps(io.StringIO('a'))).read() + copy.copy(io.StringIO('b')).read()",
            "[pickle.loads(pickle.dumps(one)) is one for one in (re.search, re.sub, io.StringIO)]",
            "[str(inspect.signature(one)) for one in (re.sub, re.split, json.JSONEncoder.encode)]",
            "[re.search.__module__, re.sub.__doc__, io.StringIO.__doc__, repr(io.StringIO)]",
            "re.sub(pattern='x', repl='y', string='xx', count=1)",
        ):
            assert await repl.value(question) == _plain(question), question
        for mistake in ("re.sub()", "re.sub('a')", "re.findall('a', 1)", "re.findall('(', 'a')", "json.loads()"):
            error = (await repl.run(mistake)).error
            with pytest.raises(Exception) as told:
                _plain(mistake)
            assert error is not None
            assert error.message == str(told.value)


def _plain(question: str) -> object:
    return eval(question, {name: __import__(name) for name in _MODULES})


_MODULES = ("copy", "inspect", "io", "json", "pickle", "re")


async def test_a_word_with_await_in_it_is_no_matter() -> None:
    async with local(text="x" * 2000, limits=LARGE) as repl:
        assert (await repl.run("print('we await you')")).stdout == "we await you\n"


@pytest.mark.usefixtures("much_grace")
async def test_a_loop_over_calls_that_cost_nothing_ends_and_keeps_its_variables() -> None:
    brisk = replace(LARGE, cell_timeout_s=0.3)
    reader = HostFunction("ctx.slice", lambda start, end: "x" * (end - start), "reads", pure=True)
    async with local(reader, text="x" * 2000, limits=brisk) as repl:
        for loop in ("ctx.slice(0, 1)", "context[0]", "ctx.slice(0, 100000)"):
            execution = await repl.run(f"n = 0\nkept = 7\nwhile True:\n    {loop}\n    n += 1")
            assert (execution.outcome, execution.namespace) == ("timeout", "kept"), loop
            assert await repl.value("kept") == 7


async def test_the_time_of_calls_that_cost_nothing_is_bounded_and_that_of_others_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = Path(_worker.__file__).read_text().replace("FREE_CALLS_S = 30.0", "FREE_CALLS_S = 0.5")
    monkeypatch.setattr(_link, "FREE_CALLS_S", 0.5)

    async def slow() -> int:
        await anyio.sleep(0.2)
        return 1

    functions = [HostFunction("scan", slow, "scans", pure=True), HostFunction("ask", slow, "asks")]
    async with local(*functions, worker=short) as repl:
        # Beyond the bound it counts as running time, of which there are five seconds.
        assert await repl.value("sum(scan() for _ in range(6))") == 6
    async with local(*functions, worker=short, limits=replace(LIMITS, cell_timeout_s=1.5)) as repl:
        assert await repl.value("sum(ask() for _ in range(8))") == 8
        execution = await repl.run("kept = 1\nwhile True:\n    scan()")
        assert (execution.outcome, execution.namespace) == ("timeout", "kept")
        assert execution.error is not None
        assert "waited longer than 0.5 s for functions that read the context" in execution.error.message
        assert await repl.value("kept + scan()") == 2


async def test_the_time_of_a_read_beyond_the_bound_counts_once_beside_other_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = Path(_worker.__file__).read_text().replace("FREE_CALLS_S = 30.0", "FREE_CALLS_S = 0.1")
    monkeypatch.setattr(_link, "FREE_CALLS_S", 0.1)

    async def scan() -> int:
        await anyio.sleep(0.45)
        return 1

    async def ask() -> int:
        await anyio.sleep(0.01)
        return 1

    functions = [HostFunction("scan", scan, "scans", pure=True), HostFunction("ask", ask, "asks")]
    async with local(*functions, worker=short, limits=replace(LIMITS, cell_timeout_s=4.0)) as repl:
        assert await repl.value("sum(scan() + ask() for _ in range(6))") == 12


async def test_a_quick_function_that_is_slow_once_and_returns_a_long_text_costs_no_running_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_link, "_QUICK_S", 1.0)  # however busy the machine is
    monkeypatch.setattr(_link, "_SLOW_S", 1.0)
    ran_in: list[int] = []

    def tool(seconds: float, size: int) -> str:
        ran_in.append(threading.get_ident())
        time.sleep(seconds)
        return "x" * size

    async with local(HostFunction("tool", tool, "waits"), limits=replace(LIMITS, cell_timeout_s=1.0)) as repl:
        assert await repl.value("sum(len(tool(0, 1)) for _ in range(10))") == 10
        assert await repl.value("len(tool(1.5, 200_000))") == 200_000
        assert ran_in[-1] == threading.get_ident()
        assert await repl.value("len(tool(0, 200_000))") == 200_000
        assert ran_in[-1] != threading.get_ident()


def _json(value: object) -> object:
    return json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("context.title()", "re.search(pattern, context, re.I)"),
        ("context.replace('x', 'b')", "context[a:b].replace"),
        ("ctx.slice(f'see {context}', 1)", "context[a:b]"),
        ("json.dumps(str(context))", "context[a:b]"),
        ("{str(context): 1}", "use a position or a slice as the key"),
        ("re.search('x(?=y)', context)", "look-ahead"),
        ("context.encode()", "context[a:b]"),
        ("re.sub('x{1000}', 'b' * 3000, context)", "re.sub(pattern, new, context[a:b])"),
        ("json.dumps(context)", "context[a:b]"),
        ("json.dumps({'text': [context]})", "context[a:b]"),
        ("{context: 1}", "use a position or a slice as the key"),
        ("ctx.slice(context, 1)", "context[a:b]"),
        ("json.loads(context)", "json.loads(line) for line in context.splitlines()"),
        ("json.loads(str(context))", "json.loads(context[a:b])"),
        ("str.join(', ', [context, 'x'])", "context[a:b]"),
        ("bytes(context, 'utf-8')", "context[a:b]"),
        ("eval(context)", "context[a:b]"),
        ("import pickle\npickle.dumps(context)", "context[a:b]"),
        ("str.lower(context)", "context[a:b]"),
        ("int(context)", "context[a:b]"),
        ("import io\nfile = io.StringIO(context)\nfile.read(1)\nfile.read()", "read(size)"),
    ],
)
async def test_what_needs_the_whole_text_is_refused_with_the_way_around(cell: str, hint: str) -> None:
    text = "x" * 16_000_001
    reader = HostFunction("ctx.slice", lambda start, end: text[start:end], "reads")
    async with local(reader, text=text, limits=LARGE) as repl:
        error = (await repl.run(cell)).error
        assert error is not None
        assert error.type == ("ValueError" if "look" in hint else "TypeError")
        assert hint in error.message


async def test_a_pattern_that_may_reach_over_everything_gives_what_it_gives_on_a_str() -> None:
    async with local(text="<a>é</a>\n" * 70_000, limits=LARGE) as repl:
        assert await repl.value("re.search('(?s)<a>.*</a>', context).span()") == [0, 70_000 * 9 - 1]
        assert await repl.value("len(re.findall('<a>.*</a>', context[:90_000]))") == 10_000
        assert await repl.value("len(re.findall('<a>.*</a>', context, re.I))") == 70_000


@pytest.mark.usefixtures("_files_stay_on_disk")
async def test_a_context_that_is_a_file_is_mapped_and_no_descriptor_of_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("é line\n" * 10_000)
    sandbox = LocalSandbox(unsafe_no_isolation=True)
    try:
        await sandbox.start(LARGE, Context.from_path(path).slice_view(7, None), {})
        read = await sandbox.execute(
            Cell("[len(context), context[:6], open('/proc/self/maps').read().count('large.txt')]")
        )
        assert read.value == [69_993, "é line", 1]
        listing = "import os\nlinks = []\nfor n in os.listdir('/proc/self/fd'):\n    try:\n"
        listing += "        links.append(os.readlink(f'/proc/self/fd/{n}'))\n    except OSError:\n        pass\nlinks"
        links = await sandbox.execute(Cell(listing))
        assert isinstance(links.value, list)
        assert links.value
        assert not any("large.txt" in link for link in links.value)
    finally:
        await sandbox.close()


@pytest.mark.usefixtures("_files_stay_on_disk")
async def test_a_file_that_is_cut_under_a_mapping_ends_the_worker_and_not_the_host(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    path.write_text("a line\n" * 100_000)
    sandbox = LocalSandbox(unsafe_no_isolation=True)
    try:
        await sandbox.start(LARGE, Context.from_path(path), {})
        path.write_text("")
        execution = await sandbox.execute(Cell("context[600_000:600_010]"))
        assert execution.outcome == "crashed"
    finally:
        await sandbox.close()


@pytest.mark.parametrize(
    "question",
    [
        "[c for c in context][:9] + [*reversed(context)][:5]",
        "[max(context), min(context), len(set(context)), sum(1 for c in context if c == 'e')]",
        "[context.islower(), context.isalpha(), context.isprintable(), context.isidentifier(), context.isspace()]",
        "[context.lower() == context.lower(), context.lower() == context, context.center(3) == context]",
        "[len(re.sub('7+', '#', context)), re.sub('z', '', context) == context, re.subn('l(i)', r'\\1l', context)[1]]",
        "re.sub(r'\\d+', lambda m: '<' + m[0] + '>', context, count=3)[:80]",
        "re.split(r'(\\n)', context, maxsplit=2)[:4]",
        "[list(reversed(context.splitlines()))[:3], context.splitlines() == context.splitlines()]",
        "(['a'] + context.split('\\n'))[:2] + (context.splitlines() + ['z'])[-1:]",
    ],
)
async def test_a_handle_does_what_a_str_does(question: str) -> None:
    text = "".join(f"line {n}: été\tover\n" for n in range(3000)) + "end"
    async with local(text=text, limits=LARGE) as repl:
        assert await repl.value(question) == eval(question, {"context": text, "re": re})


class Asked:
    """The host's functions for a text, which count how often they are asked to find something."""

    def __init__(self, text: str) -> None:
        self._text, self.count = text, 0

    def find(self, sub: str, start: int, end: int) -> int:
        self.count += 1
        return self._text.find(sub, start, end)

    def anchors(self, block: int) -> list[int]:
        chars, size = texts.ANCHOR_CHARS, texts.BLOCK_ANCHORS
        return [len(self._text[: (block * size + n) * chars].encode()) for n in range(size + 1)]


@pytest.mark.parametrize("letter", ["e", "é"], ids=["one byte a character", "several"])
def test_what_is_near_is_found_without_asking_the_host(letter: str) -> None:
    text = f"{letter * 20}needle" * 4_000 + letter * 10_000 + "far"
    data, asked = text.encode(), Asked(text)
    reader = texts.Reader(len(text), asked, lambda start, end: data[start:end], is_ascii=text.isascii())  # type: ignore[arg-type]
    long = texts.LargeText(reader)
    found, at = 0, long.find("needle")
    while at >= 0:
        found, at = found + 1, long.find("needle", at + 1)
    assert found == text.count("needle")
    assert asked.count == 1  # beyond the last one
    for edge in (26 * 150, texts.NEAR_CHARS, 4_000 * 26):
        for start in range(edge - 8, edge + 8):
            for sub in ("needle", f"{letter}n", "far", letter * (texts.NEAR_CHARS + 5), "none"):
                assert long.find(sub, start) == text.find(sub, start), (start, sub[:9])
                assert long.find(sub, start, -2) == text.find(sub, start, -2), (start, sub[:9])
