"""`re.findall` over long texts: what `re` finds, one step for each match, and its data counted before it is made."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from rlmbox.sandboxes.subset.errors import LimitReached
from rlmbox.sandboxes.subset.meter import Meter, StepLimits
from rlmbox.sandboxes.subset.regex import Engine, Pattern

LINE = "user12@site id=ab ERROR: no space left\n"
PATTERNS = [
    r"user(\d+)@",  # leaves nothing to choose
    r"user(\w+)@(\w+)",  # leaves out what fails
    r"(\w+)@(\w+)",  # RE2's
    r"site",  # a literal
    r"(\w+)=(\w+)|(ERROR)",
    r"o*",
    r"ERROR: (.*)",
    r"\bid\b",
    r"(?i)USER\d",
    r"s(?:i)?t[a-e]+ ",
]


def engine(**limits: int) -> tuple[Engine, Meter]:
    meter = Meter(StepLimits(**{"steps": 10**9, "memory_bytes": 2**30, "pattern_chars": 1_000, **limits}), list)
    return Engine(meter), meter


def steps_of(pattern: str, text: str) -> int:
    ours, meter = engine()
    ours.findall(pattern, text)
    return meter.steps


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("line", [LINE, LINE.replace("no", "é日🎉")], ids=["ascii", "unicode"])
def test_many_matches_are_those_of_re(pattern: str, line: str) -> None:
    text = line * 300
    assert engine()[0].findall(pattern, text) == re.findall(pattern, text)
    assert engine()[0].sub(pattern, "-", text) == re.sub(pattern, "-", text)
    assert engine()[0].sub(pattern, "-", text, 70) == re.sub(pattern, "-", text, count=70)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_match_is_a_step_however_it_is_found(pattern: str) -> None:
    text = LINE * 100
    found = len(re.findall(pattern, text))
    assert steps_of(pattern, text) - steps_of(pattern, "#" * len(text)) == found - len(
        re.findall(pattern, "#" * len(text))
    )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_with_too_few_steps_the_matches_end_at_the_limit(pattern: str) -> None:
    text = LINE * 100
    needed = steps_of(pattern, text)
    engine(steps=needed)[0].findall(pattern, text)
    with pytest.raises(LimitReached) as caught:
        engine(steps=needed - 1)[0].findall(pattern, text)
    assert caught.value.limit == "steps"


@pytest.mark.parametrize("pattern", [r"x([^x]+)", r"x(.+)x", "(x[^x]+)(y?)", r"[x](\w+)"])
def test_long_matches_count_before_they_are_made(pattern: str) -> None:
    text = ("x" + "a" * 100_000) * 100
    with pytest.raises(LimitReached) as caught:
        engine(memory_bytes=2**20)[0].findall(pattern, text)
    assert caught.value.limit == "memory"


def test_a_literal_is_found_where_it_begins_after_a_position() -> None:
    pattern = engine()[0].compile("ab")
    assert engine()[0].findall(pattern, "ababab", 0, 1) == re.compile("ab").findall("ababab", 1)


@pytest.mark.parametrize("count", [-1, 0, 1, 2, 9])
@pytest.mark.parametrize("pattern", ["a", "a+", "[ab]"])
def test_a_replacement_counts_as_re_counts(pattern: str, count: int) -> None:
    assert engine()[0].sub(pattern, "-", "aabaa", count) == re.sub(pattern, "-", "aabaa", count=count)


# ---- patterns that leave nothing to choose ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        r"user(\d+)@",
        r"ERROR: (.*)",
        r"id=(\w+)",
        r"Section (\d+)\.(\d*)",
        r"\$([\d,]+)\.\d\d",
        r"<a href=\"([^\"]*)\"",
        r"(INV-\d{4})-\d{2,5}",
        rb"k=(\d+);",
        r"x\s+é",
        r"user(\w+)@",  # a run that takes all of the literal is left out whole where what follows fails
        r"user(\w+)@(\w+)",
        r"(user\w+)@([\w-]+)\.([\w.]+)",
        r"@(\w+)\s+(\w+)",
        r"user(\w+?)@",
        r"a.*?b",
        r"<b>(.*?)</b>",
        r'"name": "([^"]*?)"',
        r"id=\[(.*?)\]",
    ],
)
def test_a_pattern_whose_parts_cannot_be_confused_needs_no_automaton(pattern: str | bytes) -> None:
    assert Pattern(pattern, 0).direct is not None


@pytest.mark.parametrize(
    "pattern",
    [
        r"user(\w+)@(.*);",  # a later run takes all that has to come before it: attempts would overlap
        r"user_?(\w+)@",
        r"user(\w{1,9})@",
        r"user(\w+)@(\S+)!",
        r"é(\w+)@",
        r"a(\w*?)",
        r"a.+?b",
        r"a[bc]*?cd",
        r"a.*b",
        r"\d+@",  # no literal at the front
        r"a[bc]*c",  # greedy runs would have to give back
        r"ab*b?c",
        r"ab*?b",
        r"a(bc)+d",
        r"a|b",
        r"ab$",
        r"a\b",
        r"a(?=b)",
        r"a(?i:b)",
        r"x\d*\w",
        r"x\w+é",  # a letter beyond ASCII is not told apart from other letters there
    ],
)
def test_a_pattern_that_could_go_back_is_not_matched_by_going_back(pattern: str) -> None:
    assert Pattern(pattern, 0).direct is None
    assert Pattern(r"user\d+@", re.IGNORECASE).direct is None


pieces = st.sampled_from([*"abx1 -é\x1c", r"\d", r"\w", r"\s", r"\S", r"\W", ".", "[^a]", "[ab]", r"[^\s]", r"[\d-]"])
repeats = st.sampled_from(["", "", "+", "*", "?", "{2}", "{1,3}", "+?", "*?", "*?", "{1,3}?"])


@settings(max_examples=examples(400), deadline=None)
@given(
    st.sampled_from("abx1-é"),
    st.lists(st.tuples(pieces, repeats, st.booleans()), max_size=5),
    st.text("abx1 -é\x1c\n", max_size=60),
    st.sampled_from([0, re.DOTALL, re.ASCII]),
)
def test_patterns_and_texts_of_all_kinds_are_found_as_re_finds_them(
    first: str, parts: list[tuple[str, str, bool]], text: str, flags: int
) -> None:
    pattern = first + "".join(f"({piece}{many})" if grouped else piece + many for piece, many, grouped in parts)
    direct = Pattern(pattern, flags).direct
    if direct is not None:
        assert engine()[0].findall(pattern, text, flags) == re.findall(pattern, text, flags)


@pytest.mark.parametrize("pattern", [r"user(\w+)@(\w+)", r"<b>(.*?)</b>", r"user(\w+)@([\w-]+)\.(\w+)"])
@pytest.mark.parametrize("text", ["user", "<b>", "user@", "user1@user-", "<b>a</b", "user@user.user"])
def test_attempts_that_fail_do_not_go_over_the_same_again(pattern: str, text: str) -> None:
    direct = Pattern(pattern, 0).direct
    assert direct is not None
    long = text * 40_000  # going over it once for each attempt would take minutes
    found = [match.groups() if direct.groups > 1 else match[1] for match in engine()[0].finditer(pattern, long)]
    assert engine()[0].findall(pattern, long) == found  # one by one, they are RE2's
