"""An answer has the same value by every way to give it, in every sandbox: kind by kind, and up to 64 MB."""

from collections.abc import Callable, Mapping

import pytest

from contract.test_sandboxes import ABSENT, BACKENDS
from rlmbox import RLM, CellLimits, Limits, Session
from rlmbox.errors import MaxTurnsExceeded
from rlmbox.sandboxes.base import Sandbox
from rlmbox.testing import ScriptedModel
from runs import repl

ROUTES = (
    "FINAL({})",
    "SUBMIT({})",
    "v = {}\nFINAL_VAR('v')",
    "answer['content'] = {}\nanswer['ready'] = True",
)
OTHER_WAYS = ("v = {}\nFINAL_VAR(v)", "answer = {{'content': {}, 'ready': True}}")
"""Other spellings of the same routes."""
TAGS = ("FINAL_VAR(v)", "FINAL(v)")
"""Final tags in the text of a reply whose code has set `v`."""

KINDS: Mapping[str, object] = {
    "'text é'": "text é",
    "(1, (2.5, None))": [1, [2.5, None]],
    "{3, 1, 2}": [1, 2, 3],
    "frozenset(['b', 'a'])": ["a", "b"],
    "{2020: 5, 'a': [True]}": {"2020": 5, "a": [True]},
    "{1.5: 0, True: 1, None: 2}": {"1.5": 0, "true": 1, "null": 2},
    "{(1, 'x'): 3}": {"(1, 'x')": 3},
    "{1: 'a', '1': 'b'}": [[1, "a"], ["1", "b"]],
    "b'caf\\xc3\\xa9'": "café",
    "b'\\xff\\x00'": "base64:/wA=",
    "float('nan')": "nan",
    "[float('inf'), -float('inf')]": ["inf", "-inf"],
    "2 ** 20000": hex(2**20000),
    "-2 ** 20000": hex(-(2**20000)),
    "{'a': 1, 'b': 2}.keys()": ["a", "b"],
    "{'a': (1, 2)}.items()": [["a", [1, 2]]],
    "range(3)": [0, 1, 2],
    "re.compile('x', re.IGNORECASE)": "re.compile('x', re.IGNORECASE)",
    "[re.compile('y')]": ["re.compile('y')"],
    "{'k': [b'ab', -0.0]}": {"k": ["ab", -0.0]},
    "frozenset([(1, 2), (0, 5)])": [[0, 5], [1, 2]],
    "3 + 4j": "(3+4j)",
    "(2 * n for n in range(3))": [0, 2, 4],
    "map(str, [1, 2])": ["1", "2"],
    "iter({'a': 1})": ["a"],
    "zip('ab', [1, 2])": [["a", 1], ["b", 2]],
    "'half \\ud83d'": "half \ufffd",
    "{'half': ['\\udc00x']}": {"half": ["\ufffdx"]},
    "{None: 1, 'null': 2}": [[None, 1], ["null", 2]],
    "{float('inf'): {frozenset([2, 1])}}": {"Infinity": [[1, 2]]},
}
CTX = "<object with the functions chunk, chunk_documents, count"
"""The beginning of what `ctx` is as a value."""
TOWER: list[object] = ["<deeper than 195 levels>"]
for _ in range(194):
    TOWER = [TOWER]
WITH_MODULES: Mapping[str, object] = {
    "datetime.date(2026, 1, 2)": "2026-01-02",
    "datetime.datetime(2026, 1, 2, 3, 4, 5)": "2026-01-02T03:04:05",
    "datetime.timedelta(days=1, seconds=2)": "1 day, 0:00:02",
    "datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc)": "2024-01-02T03:00:00+00:00",
    "{datetime.date(2026, 1, 2): {1}}": {"2026-01-02": [1]},
    "decimal.Decimal('1.10')": "1.10",
    "{'total': [decimal.Decimal('0.5')]}": {"total": ["0.5"]},
    "collections.Counter('aab')": {"a": 2, "b": 1},
    "collections.defaultdict(list, {'k': [(1,)]})": {"k": [[1]]},
    "collections.deque([1, 2])": [1, 2],
    "Point(1, {2})": {"x": 1, "y": [2]},
    "Person('Ada', (1815, 12))": {"name": "Ada", "born": [1815, 12]},
    "[Person('Ada', Person('Bob', 1))]": [{"name": "Ada", "born": {"name": "Bob", "born": 1}}],
    "Written()": "Written!",
    "[Written(), {'o': Plain()}]": ["Written!", {"o": "<__main__.Plain object>"}],
    "{'f': free, 'c': Plain}": {"f": "<function free>", "c": "<class '__main__.Plain'>"},
    "{Key('a'): Key('b')}": {'{"name": "a"}': {"name": "b"}},
    "[collections, Point, json.dumps]": ["<module 'collections'>", "<class '__main__.Point'>", "<function dumps>"],
    "Point": "<class '__main__.Point'>",
    "json.dumps": "<function dumps>",
    "SHOW_VARS": "<function SHOW_VARS>",
    "ctx": CTX,
    "loop": [1, {"again": "<cycle>"}],
    "[x for x in deep]": [[[]]],
    "tower": TOWER,
    "{'at': tower}": {"at": TOWER[0]},
}
SETUP = """
import collections, dataclasses, datetime, decimal, json
Point = collections.namedtuple('Point', 'x y')
@dataclasses.dataclass
class Person:
    name: str
    born: object
class Plain: pass
class Written:
    def __repr__(self): return 'Written!'
@dataclasses.dataclass(frozen=True)
class Key:
    name: str
def free(): pass
loop = [1]
loop.append({'again': loop})
deep = [[[]]]
tower = []
for _ in range(10_000):
    tower = [tower]
"""
REFUSED: Mapping[str, tuple[str, ...]] = {
    "subset": (
        "2 ** 20000",
        "-2 ** 20000",
        "3 + 4j",
        "re.compile('x', re.IGNORECASE)",
        "[re.compile('y')]",
        *WITH_MODULES,
    ),
    "monty": ("'half \\ud83d'", "{'half': ['\\udc00x']}"),
}
"""Kinds that a sandbox refuses by name."""
LARGE = 64 << 20


def _cases() -> list[object]:
    names = [name for name in BACKENDS if name != "docker-runsc"]
    absent = {name: pytest.mark.skip(reason=str(ABSENT[name])) for name in names if ABSENT.get(name)}
    return [pytest.param(name, marks=absent.get(name, ())) for name in names]


def _session(make_sandbox: Callable[[], Sandbox], replies: list[str], cell: CellLimits | None = None) -> Session:
    limits = Limits(max_turns=1, last_answer=False, cell=cell or CellLimits())
    return RLM(ScriptedModel(replies), sandbox=make_sandbox, limits=limits).session("some text")


@pytest.mark.parametrize("backend", _cases())
async def test_a_value_of_any_kind_is_the_same_answer_by_every_route(backend: str) -> None:
    kinds = {k: form for k, form in {**KINDS, **WITH_MODULES}.items() if k not in REFUSED.get(backend, ())}
    asked = [(code, form, repl(route.format(code))) for code, form in kinds.items() for route in ROUTES]
    asked += [
        (code, form, reply)
        for code, form in [*kinds.items()][::4]
        for reply in (
            *(f"{repl(f'v = {code}')}\n\n{tag}" for tag in TAGS),
            *(repl(way.format(code)) for way in OTHER_WAYS),
        )
    ]
    first = repl("FINAL('ready')") if backend == "subset" else repl(f"{SETUP}FINAL('ready')")
    differ = []
    async with _session(BACKENDS[backend], [first, *(reply for _, _, reply in asked)]) as session:
        assert (await session.ask("Ready?")).value == "ready"
        for code, form, reply in asked:
            value = (await session.ask(f"What is {code}?")).value
            if value != form and not (form is CTX and str(value).startswith(CTX)):
                differ.append((reply, value))
    assert differ == []


@pytest.mark.parametrize("backend", [case for case in _cases() if case.values != ("subset",)])  # type: ignore[attr-defined]
async def test_an_answer_of_64_mb_arrives_whole_and_a_longer_one_names_the_limit(backend: str) -> None:
    # Where the size of an answer counts, all routes have become one; that it does for each is shown in one sandbox. A
    # call of the host and the end of a cell are two ways of the wire; `jail` and `docker` have those of `local`.
    routes = {"local": ROUTES, "jail": ROUTES[:1], "docker": ROUTES[:1]}.get(backend, ROUTES[::3])
    whole, longer = f"'x' * {LARGE}", f"'x' * {LARGE + 1}"
    replies = [repl(route.format(size)) for size in (whole, longer) for route in routes]
    limits = CellLimits(memory_bytes=1 << 30, cell_timeout_s=60)
    async with _session(BACKENDS[backend], replies, limits) as session:
        for route in routes:
            value = (await session.ask(f"By {route}?")).value
            assert isinstance(value, str), route
            assert len(value) == LARGE, route
        for route in routes:
            with pytest.raises(MaxTurnsExceeded):
                await session.ask(f"Longer, by {route}?")
            told = str(session.messages[-1].content)
            assert "larger than 67,108,864 bytes" in told, (route, told[-600:])
