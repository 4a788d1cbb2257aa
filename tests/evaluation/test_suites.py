"""Suites are right by construction, and scripted policies answer every one of them through the engine."""

import filecmp
from pathlib import Path

import pytest

from evaluations import evaluate
from rlmbox.errors import ConfigError
from rlmbox.evaluation.suites import SUITES, generate, parse_size
from rlmbox.evaluation.suites.policies import GAPS, POLICIES, PolicyArm, policy_of


@pytest.mark.parametrize(("size", "sandbox"), [("8k", "auto"), ("8k", "monty"), ("1M", "monty")])
def test_a_policy_answers_every_suite(size: str, sandbox: str, tmp_path: Path) -> None:
    asked = [each for name in SUITES for each in generate(name, tmp_path, parse_size(size), seed=3, count=1)]
    recorded = evaluate(tmp_path, asked, [PolicyArm(sandbox=sandbox, cell_timeout_s=60)], concurrency=2)
    wrong = [(each.question, each.outcome.text, each.outcome.note) for each in recorded.results if each.kind != "right"]
    assert not wrong
    assert len(recorded.results) == len(SUITES)


def test_every_suite_has_a_policy_of_at_most_15_lines_and_every_gap_is_of_a_suite() -> None:
    assert POLICIES.keys() == SUITES.keys()
    assert all(len(code.splitlines()) <= 15 for code in POLICIES.values())
    assert GAPS.keys() <= SUITES.keys()
    assert all(suite.imitates and suite.differs for suite in SUITES.values())


@pytest.mark.parametrize("name", SUITES)
def test_a_seed_makes_the_same_text_anywhere_and_another_seed_another(name: str, tmp_path: Path) -> None:
    one, again, other = (
        generate(name, tmp_path / folder, 8_000, seed=seed, count=1)[0]
        for folder, seed in (("a", 1), ("b", 1), ("a", 2))
    )
    assert (one.id, one.question, one.expected) == (again.id, again.question, again.expected)
    paths = [Path(each.context) for each in (one, again, other)]
    if paths[0].is_dir():
        same = filecmp.dircmp(str(paths[0]), str(paths[1]))
        assert same.same_files == sorted(file.name for file in paths[0].iterdir())
    else:
        assert paths[0].read_bytes() == paths[1].read_bytes() != paths[2].read_bytes()


@pytest.mark.parametrize("name", SUITES)
def test_a_text_is_as_long_as_was_asked_for(name: str, tmp_path: Path) -> None:
    path = Path(generate(name, tmp_path, 300_000, count=1)[0].context)
    files = path.iterdir() if path.is_dir() else [path]
    length = sum(len(file.read_text("utf-8")) for file in files)
    assert 0.95 * 300_000 <= length <= 1.15 * 300_000


def test_a_text_that_was_half_written_is_made_again(tmp_path: Path) -> None:
    made = generate("niah-single", tmp_path, 8_000, count=1)[0]
    whole = Path(made.context).read_bytes()
    Path(made.context).unlink()
    again = generate("niah-single", tmp_path, 8_000, count=1)[0]
    assert (again, Path(again.context).read_bytes()) == (made, whole)


def test_a_policy_takes_its_facts_as_data() -> None:
    code = policy_of("niah-single", {"city": "x' + FINAL('broken') + '"})
    assert code.splitlines()[0] == """facts = {"city": "x' + FINAL('broken') + '"}"""
    with pytest.raises(ConfigError, match="a policy for each suite"):
        policy_of("", {})


@pytest.mark.parametrize(
    ("text", "chars"),
    [("8k", 8_000), ("32k", 32_000), ("1M", 10**6), ("100MB", 10**8), ("2gb", 2 * 10**9), ("1.5m", 1_500_000)],
)
def test_sizes_are_read_as_people_write_them(text: str, chars: int) -> None:
    assert parse_size(text) == chars


@pytest.mark.parametrize("text", ["", "big", "7k", "3GB", "-8k", "8 apples", "0"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a size is"):
        parse_size(text)


def test_an_unknown_suite_is_an_error_that_lists_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="niah-single, niah-multi"):
        generate("niah", tmp_path, 8_000)
    with pytest.raises(ConfigError, match="at least 1"):
        generate("niah-single", tmp_path, 8_000, count=0)
