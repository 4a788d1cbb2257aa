"""How much of the context may be shown: what a person does who looks, and what a dump does."""

import asyncio
import gc
import random
import re
import threading
import weakref
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from guard.conftest import prose
from rlmbox import RLM
from rlmbox.context import Context
from rlmbox.guard import Guard, RunGuard
from rlmbox.guard.copy_index import CopyIndex, fold
from rlmbox.guard.copying import MESSAGE, CopyBudgets, CopyGuard
from rlmbox.guard.intervals import Intervals
from rlmbox.testing import ScriptedModel

SNIPPET = 24


def got_through(text: str, outputs: Iterable[str]) -> int:
    """Count the characters of a text of which a piece of 24, without case, space and punctuation, is in an output."""
    letters = re.sub(r"[\W_]+", "", text.lower())
    shown = bytearray(len(letters))
    places: dict[str, list[int]] = {}
    for at in range(len(letters) - SNIPPET + 1):
        places.setdefault(letters[at : at + SNIPPET], []).append(at)
    for output in outputs:
        seen = re.sub(r"[\W_]+", "", output.lower())
        for at in range(len(seen) - SNIPPET + 1):
            for place in places.get(seen[at : at + SNIPPET], ()):
                shown[place : place + SNIPPET] = b"\1" * SNIPPET
    return int(sum(shown) * len(text) / len(letters))


def allowance(text: str) -> float:
    return max(16_000, 0.05 * len(text)) * 1.05


def shown(run: RunGuard, text: str, turn: int, path: str = "observation") -> str:
    return run.check(text, path=path, model="openai:gpt-5", session="root", turn=turn).text  # type: ignore[arg-type]


# ---- attacks --------------------------------------------------------------------------------------------------------


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


DUMPS = {
    "whole": lambda text: [text],
    "in pieces": lambda text: pieces(text, 3_000),
    "in small pieces": lambda text: ["\n---\n".join(pieces(part, 120)) for part in pieces(text, 3_000)],
    "upper case": lambda text: [part.upper() for part in pieces(text, 3_900)],
    "joined": lambda text: ["".join(part.split()) for part in pieces(text, 5_000)],
    "one word a line": lambda text: ["\n".join(part.split()) for part in pieces(text, 5_000)],
    "one letter a line": lambda text: ["\n".join(part) for part in pieces(text, 2_000)],
    "with zero-width spaces": lambda text: ["\u200b".join(part) for part in pieces(text, 2_000)],
    "in full width": lambda text: [
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in part) for part in pieces(text, 3_000)
    ],
    "as list of strings": lambda text: [repr(part.split()) for part in pieces(text, 3_000)],
    "as error messages": lambda text: [f"ValueError: {part}" for part in pieces(text, 2_500)],
    "as names of variables": lambda text: [
        " ".join(f"{'_'.join(part.split())} = 1" for part in pieces(whole, 80)) for whole in pieces(text, 3_000)
    ],
    "as reprs of dicts": lambda text: [
        repr({str(n): part for n, part in enumerate(pieces(whole, 100))}) for whole in pieces(text, 3_000)
    ],
    "shuffled lines": lambda text: [
        "\n".join(random.Random(3).sample(part.split(". "), len(part.split(". ")))) for part in pieces(text, 3_000)
    ],
}


@pytest.mark.parametrize("name", DUMPS)
def test_a_dump_over_many_turns_gets_no_further_than_the_allowance(name: str) -> None:
    text = prose(120_000, seed=7)
    run = Guard().for_run(Context.from_text(text))
    outputs = [shown(run, output, turn) for turn, output in enumerate(DUMPS[name](text))]
    if name == "with zero-width spaces":
        outputs = [output.replace("\\u200b", "") for output in outputs]
    if name == "in full width":
        outputs = ["".join(chr(ord(c) - 0xFEE0) if 0xFF01 <= ord(c) <= 0xFF5E else c for c in o) for o in outputs]
    assert got_through(text, outputs) <= allowance(text)
    assert any(MESSAGE in output for output in outputs)


@pytest.mark.parametrize("path", ["observation", "tool"])
def test_children_and_tools_draw_on_the_allowance_of_the_run(path: str) -> None:
    text = prose(120_000, seed=8)
    run = Guard().for_run(Context.from_text(text))
    outputs = [
        run.check(part, path=path, session=f"child-{n % 5}", turn=n).text  # type: ignore[arg-type]
        for n, part in enumerate(pieces(text, 2_000))
    ]
    assert got_through(text, outputs) <= allowance(text)


def test_strict_gives_sub_calls_a_quarter_of_the_context_and_redact_all() -> None:
    text = prose(120_000, seed=9)
    for policy, most, least in (("strict", 0.25 * 1.05, 0.2), ("redact", 1.0, 1.0)):
        run = Guard(policy).for_run(Context.from_text(text))  # type: ignore[arg-type]
        outputs = [run.check(part, path="subcall", model="m").text for part in pieces(text, 5_000)]
        assert least * len(text) * 0.99 <= got_through(text, outputs) <= most * len(text)


def test_one_turn_shows_no_more_than_its_allowance_however_many_outputs_it_has() -> None:
    text = prose(400_000, seed=10)
    run = Guard().for_run(Context.from_text(text))
    outputs = [shown(run, text[at : at + 900], turn=1) for at in range(0, 20_000, 1_000)]
    assert got_through(text, outputs) <= 4_000 * 1.05
    assert MESSAGE not in shown(run, text[30_000:31_000], turn=2)


def test_a_piece_longer_than_the_longest_is_cut_and_the_model_is_told_what_to_do_instead(text: str) -> None:
    run = Guard().for_run(Context.from_text(text))
    checked = run.check(text[5_000:9_000], path="observation", turn=1)
    assert checked.text.startswith(text[5_000:6_990])
    assert text[7_010:7_100] not in checked.text
    assert f"\n{MESSAGE}\n" in checked.text
    assert "llm_query" in checked.text
    assert checked.copied_chars == pytest.approx(2_000, abs=8)


# ---- ordinary sessions ----------------------------------------------------------------------------------------------

TABLE = "id,date,customer,amount,status\n" + "".join(
    f"{n},2026-03-{n % 28 + 1:02},Customer {n % 37},{n * 17 % 9973}.50,{'open' if n % 3 else 'paid'}\n"
    for n in range(9_000)
)
LOG = "".join(
    f"2026-03-14T09:{n // 60 % 60:02}:{n % 60:02}Z INFO worker-{n % 7} job {n} took {n * 31 % 977} ms\n"
    for n in range(6_000)
)


def snippets(text: str, size: int, count: int, seed: int) -> str:
    rng = random.Random(seed)
    places = [rng.randrange(len(text) - size) for _ in range(count)]
    return "\n".join(f"[{at}] {text[at : at + size]}" for at in places)


ORDINARY: dict[str, tuple[str, list[str]]] = {
    "a first look at 2,000 characters": (prose(300_000), [prose(300_000)[:2_000]]),
    "twenty snippets of 200": (prose(300_000), [snippets(prose(300_000), 190, 20, 1)]),
    "a table of fifty rows": (TABLE, ["\n".join(TABLE.splitlines()[:51])]),
    "the first and the last thousand": (prose(300_000), [prose(300_000)[:1_000] + "\n...\n" + prose(300_000)[-1_000:]]),
    "ten lines around each of eight hits": (
        LOG,
        ["\n---\n".join(LOG[at : at + 480] for at in range(9_000, 200_000, 25_000))],
    ),
    "a look and then five turns of snippets": (
        prose(400_000),
        [prose(400_000)[:2_000], *(snippets(prose(400_000), 150, 15, seed) for seed in range(5))],
    ),
    "counts and names": (TABLE, [str({f"Customer {n}": n * 3 for n in range(37)}), "9000 rows, 5 columns"]),
    "a look at each of six documents": (
        prose(600_000),
        [prose(600_000)[at : at + 500] for at in range(0, 600_000, 100_000)],
    ),
    "the same look three times": (prose(300_000), [prose(300_000)[:2_000]] * 3),
    "a summary of its own with short quotes": (
        prose(300_000),
        ["The contract says '" + "' and '".join(prose(300_000)[at : at + 60] for at in range(0, 50_000, 5_000)) + "'."],
    ),
    "a short context, whole": (prose(15_000), [prose(15_000)]),
    "statistics as JSON": (LOG, ['{"jobs": 6000, "mean_ms": 488.1, "p99_ms": 967, "workers": [0, 1, 2, 3, 4, 5, 6]}']),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_a_model_that_looks_at_samples_is_not_disturbed(name: str) -> None:
    context, outputs = ORDINARY[name]
    run = Guard().for_run(Context.from_text(context))
    for turn, output in enumerate(outputs):
        assert shown(run, output, turn) == output


# ---- the index ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "least"), [(64, 0.75), (120, 0.9), (400, 0.98), (2_000, 0.995)])
def test_copies_are_found_wherever_they_come_from(text: str, context: Context, size: int, least: float) -> None:
    index = CopyIndex.of(context)
    rng = random.Random(5)
    parts = [text[at : at + size] for at in (rng.randrange(len(text) - size) for _ in range(150))]
    found = sum(copy.end - copy.start for part in parts for copy in index.copies(f"## {part.upper()} ##"))
    assert found >= least * size * len(parts)


def test_a_context_in_capitals_is_known_in_small_letters(text: str) -> None:
    index = CopyIndex.of(Context.from_text(text[:100_000].upper()))
    (copy,) = index.copies(text[20_000:23_000])
    assert copy.context_end - copy.context_start == pytest.approx(3_000, abs=3)


SCRIPTS = {
    "de": "Der Käufer prüft die Ware unverzüglich und rügt Mängel schriftlich. ",
    "zh": "买方应在收到货物后三十日内付款。卖方负责保修。",
    "ru": "Покупатель обязан принять товар и оплатить его в срок. ",  # noqa: RUF001 - Cyrillic
    "ja": "買主は納品後三十日以内に代金を支払うものとする。",
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_copies_are_found_in_every_script_and_counted_in_characters(script: str) -> None:
    rng = random.Random(2)
    letters = sorted(set(script))
    text = "".join(script if rng.random() < 0.1 else "".join(rng.choices(letters, k=len(script))) for _ in range(2_500))
    run = Guard().for_run(Context.from_text(text))
    checked = run.check(text[10_000:14_000].upper(), path="observation", turn=1)
    assert checked.cut_message
    assert checked.copied_chars == pytest.approx(2_000, abs=10)


def test_a_file_is_read_in_place_and_its_copies_are_found(tmp_path: object, text: str) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "contract.txt"
    path.write_text(text, "utf-8")
    index = CopyIndex.of(Context.from_path(path))
    (copy,) = index.copies(text[100_000:103_000])
    assert (copy.context_start, copy.context_end) == pytest.approx((100_000, 103_000), abs=3)


def test_a_text_that_shares_only_words_is_no_copy(context: Context) -> None:
    index = CopyIndex.of(context)
    other = prose(20_000, seed=99)
    assert sum(copy.end - copy.start for copy in index.copies(other)) < 0.15 * len(other)


@settings(max_examples=examples(60), deadline=None)
@given(st.text(max_size=400), st.integers(0, 300), st.integers(0, 300))
def test_what_is_reported_is_the_same_in_both_but_for_case_and_punctuation(noise: str, start: int, size: int) -> None:
    text = prose(3_000, seed=3) + noise
    output = f"{noise} {text[start : start + size]} {noise[::-1]}"
    data, context = output.encode(errors="replace"), Context.from_text(text)
    whole = text.encode(errors="replace")
    end = 0
    for copy in CopyIndex.of(context).copies(output):
        assert end <= copy.start < copy.end <= len(data)
        assert fold(data[copy.start : copy.end]) == fold(whole[copy.context_start : copy.context_end])
        data[copy.start : copy.end].decode()  # whole characters
        whole[copy.context_start : copy.context_end].decode()
        end = copy.end


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_stretches_of_other_scripts_are_whole_characters(data: st.DataObject) -> None:
    letters = st.text("абвгАБВГ漢汉字语日本éÉüß\U0001f468 .", min_size=30, max_size=200)
    first, second, third = data.draw(letters), data.draw(letters), data.draw(letters)
    text = first + second + third
    output = data.draw(letters) + second + data.draw(letters)
    written, whole = output.encode(), text.encode()
    for copy in CopyIndex.of(Context.from_text(text)).copies(output):
        written[copy.start : copy.end].decode()
        whole[copy.context_start : copy.context_end].decode()
    run = Guard(budgets=CopyBudgets(turn_chars=40, exempt_below_chars=0)).for_run(Context.from_text(text))
    checked = run.check(output, path="tool", turn=1)
    assert checked.copied_chars <= 40
    assert output.startswith(checked.text.partition("\nError: ")[0]) or not checked.cut_message


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20), st.integers(0, 60), st.integers(0, 30))
def test_intervals_count_positions_as_a_set_does(ranges: list[tuple[int, int]], start: int, room: int) -> None:
    intervals, positions = Intervals(), set()
    for first, last in ranges:
        intervals.add(first, last)
        positions |= set(range(first, last))
    assert intervals.total == len(positions)
    assert intervals.missing(start, 60) == len(set(range(start, 60)) - positions)
    end = intervals.room_end(start, 60, room)
    assert len(set(range(start, end)) - positions) <= room
    assert end == 60 or len(set(range(start, end + 1)) - positions) > room


def test_budgets_that_mean_nothing_are_refused() -> None:
    from rlmbox.errors import ConfigError

    with pytest.raises(ConfigError, match="run_share must be a number from 0 to 1"):
        CopyBudgets(run_share=5)
    with pytest.raises(ConfigError, match="turn_chars must be a number of characters"):
        CopyBudgets(turn_chars=-1)


@pytest.mark.parametrize("words", [400, 6_000])
@pytest.mark.parametrize(
    "secret",
    ["AKIADBFZBTODYLBNQQXW", "sk_live_4Vx8Kq2Zt7Wm9Np3Rb6Yc1Df", "ada.lovelace@example.org", "4111 1111 1111 1111"],
)
def test_a_secret_that_the_end_of_a_piece_cuts_is_hidden_on_both_sides(secret: str, words: int) -> None:
    rng = random.Random(words)
    text = " ".join(
        rng.choices(
            ["delivery", "of", "the", "goods", "is", "due", "within", "thirty", "days", "after", "notice"], k=words
        )
    )
    text = f"{text} {secret} {text[::-1]}"
    at = text.index(secret)
    for cut in range(at + 5, at + len(secret) - 4, 3):
        run = Guard().for_run(Context.from_text(text))
        before = run.check(f"Sum this up:\n{text[cut - 900 : cut]}\n\nBe brief.", path="subcall", model="m").text
        after = run.check(text[cut : cut + 900], path="observation", turn=1).text
        assert re.search(r">[_@ ]?\n\nBe brief\.$", before)
        assert text[at:cut].strip() not in before
        assert re.match("[@ ]?<REDACTED: ", after)
        assert run.restore(before) == f"Sum this up:\n{text[cut - 900 : cut]}\n\nBe brief."
        assert run.restore(after) == text[cut : cut + 900]


async def test_other_sessions_go_on_while_a_long_text_is_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    of, loop, others_go_on = CopyIndex.of, asyncio.get_running_loop(), threading.Event()

    def slow(context: Context) -> CopyIndex:
        loop.call_soon_threadsafe(others_go_on.set)
        assert others_go_on.wait(10)
        return of(context)

    monkeypatch.setattr(CopyIndex, "of", slow)
    monkeypatch.setattr(CopyGuard, "prepare", lambda *_: None)  # which has it made by a thread that may be quicker
    answer = await RLM(ScriptedModel(["FINAL(ok)"]), guard="redact", sandbox="monty").aask("?", "word " * 10_000)
    assert answer.text == "ok"


async def test_the_index_of_a_run_that_is_over_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[CopyIndex]] = []
    of = CopyIndex.of

    def watched(context: Context) -> CopyIndex:
        made.append(weakref.ref(index := of(context)))
        return index

    monkeypatch.setattr(CopyIndex, "of", watched)
    gc.disable()  # what a run is made of refers to itself, so that the collector would free it some day
    try:
        answer = await RLM(ScriptedModel(["FINAL(ok)"]), guard="redact", sandbox="monty").aask("?", "word " * 10_000)
        assert answer.text == "ok"
        assert made
        assert [index for index in made if index() is not None] == []
    finally:
        gc.enable()
