"""The statistics are held to models whose accuracy is known."""

import math
import random
from typing import Any

import pytest

from rlmbox.evaluation.outcomes import Outcome, Result
from rlmbox.evaluation.report import overtakes, scores_of
from rlmbox.evaluation.statistics import (
    accuracy,
    deviation_of,
    difference,
    quantile,
    questions_needed,
    spread_between_repeats,
    student,
    wilson,
)

Scores = dict[str, list[float]]
RUNS = 250


def drawn(rng: random.Random, share: float, questions: int, repeats: int, better: float = 0.0) -> tuple[Scores, Scores]:
    """Draw each question's own chance, and the repeats of two arms of which one is better."""
    weight = share * (1 - share) / 0.15**2 - 1
    chances = [rng.betavariate(share * weight, (1 - share) * weight) for _ in range(questions)]

    def scores(more: float) -> Scores:
        return {
            str(n): [float(rng.random() < min(chance + more, 1)) for _ in range(repeats)]
            for n, chance in enumerate(chances)
        }

    return scores(better), scores(0.0)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize(("questions", "repeats"), [(30, 5), (80, 2)])
def test_intervals_cover_the_truth_as_often_as_they_say(share: float, questions: int, repeats: int) -> None:
    """The bench does so with 2,000 evaluations; of 250 the share in 95 % may be three deviations off."""
    rng, inside = random.Random(3), 0
    for run in range(RUNS):
        interval = accuracy(drawn(rng, share, questions, repeats)[0], seed=run, resamples=250)
        inside += interval.low <= share <= interval.high
    assert abs(inside / RUNS - 0.95) < 3 * math.sqrt(0.95 * 0.05 / RUNS)


def test_a_true_difference_is_found_with_the_number_of_questions_that_is_named() -> None:
    rng = random.Random(4)
    needed = questions_needed(0.1, deviation_of(*drawn(rng, 0.6, 1_000, 3, 0.1)) or 0)
    told = 0
    for run in range(120):
        gap = difference(*drawn(rng, 0.6, needed, 3, 0.1), seed=run, resamples=200)
        told += not gap.low <= 0 <= gap.high
    assert told / 120 > 0.8 - 3 * math.sqrt(0.8 * 0.2 / 120)
    assert needed < 400


def test_arms_that_are_alike_are_seldom_told_apart() -> None:
    rng, told = random.Random(6), 0
    for run in range(RUNS):
        gap = difference(*drawn(rng, 0.6, 60, 3), seed=run, resamples=200)
        told += not gap.low <= 0 <= gap.high
    assert told / RUNS < 0.05 + 3 * math.sqrt(0.95 * 0.05 / RUNS)


def test_all_right_is_not_certainty() -> None:
    interval = accuracy({str(n): [1.0] for n in range(20)})
    assert interval.value == interval.high == 1.0
    assert 0.8 < interval.low < 0.87
    gap = difference({str(n): [1.0] for n in range(20)}, {str(n): [1.0] for n in range(20)})
    assert gap.low < 0 < gap.high


def test_repeats_make_no_more_questions_of_a_few() -> None:
    once = {str(n): [float(n % 2)] for n in range(40)}
    often = {name: scores * 10 for name, scores in once.items()}
    first, second = accuracy(once), accuracy(often)
    assert (first.low, first.high) == (second.low, second.high)


def test_the_spread_between_repeats_stands_apart_from_that_between_questions() -> None:
    assert spread_between_repeats({"a": [1.0], "b": [0.0]}) is None
    assert spread_between_repeats({"a": [1.0, 1.0], "b": [0.0, 0.0]}) == 0
    assert spread_between_repeats({"a": [1.0, 0.0]}) == pytest.approx(math.sqrt(0.5))


def test_a_difference_is_of_the_questions_that_both_answered() -> None:
    gap = difference({"a": [1.0], "b": [1.0], "c": [1.0]}, {"a": [0.0], "b": [1.0]})
    assert (gap.value, gap.questions) == (0.5, 2)
    nothing = difference({"a": [1.0]}, {"b": [1.0]})
    assert math.isnan(nothing.value)
    assert nothing.questions == 0


@pytest.mark.parametrize(("degrees", "quantile_95"), [(5, 2.571), (10, 2.228), (29, 2.045), (100, 1.984)])
def test_students_quantile_is_that_of_the_tables(degrees: int, quantile_95: float) -> None:
    assert student(degrees) == pytest.approx(quantile_95, abs=0.01)


def test_known_figures() -> None:
    assert wilson(0.9, 100) == pytest.approx((0.826, 0.945), abs=0.001)
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert math.isnan(quantile([], 0.5))
    assert questions_needed(0.1, 0.5) == 209
    assert questions_needed(0.2, 0.5) < questions_needed(0.1, 0.5) / 3


def test_an_interval_does_not_depend_on_the_order_in_which_results_came() -> None:
    rng = random.Random(5)
    results = [
        Result("rlm", str(question), repeat, Outcome("answered"), float(rng.random() < 0.6))
        for question in range(20)
        for repeat in range(3)
    ]
    shuffled = rng.sample(results, len(results))
    one, other = (accuracy(scores_of(each, "rlm"), seed=1, resamples=100) for each in (results, shuffled))
    assert one == other


def by_length(*rows: tuple[int, float | None, float | None]) -> list[dict[str, Any]]:
    """Return what two arms were right in, by length; None where one cannot answer."""
    return [
        {
            "chars": chars,
            "arms": {
                name: {"value": value, "low": (value or 0) - 0.05, "high": (value or 0) + 0.05}
                for name, value in (("a", a), ("b", b))
            },
            "cannot": {"a": int(a is None), "b": int(b is None)},
        }
        for chars, a, b in rows
    ]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([(1_000, 0.5, 0.9), (100_000, 0.9, 0.5)], [("a", "b", 10_000, "better")]),
        ([(1_000, 0.5, 0.9), (100_000, 0.7, None)], [("a", "b", 100_000, "cannot")]),
        ([(1_000, 0.5, 0.9), (100_000, 0.0, None)], []),  # what is never right overtakes nothing
        ([(1_000, 0.9, 0.5), (100_000, 0.9, 0.5)], []),
        ([(1_000, 0.5, None)], []),
        ([(1_000, 0.9, 0.5), (10_000, 0.5, 0.5), (100_000, 0.2, 0.8)], [("b", "a", 10_000, "better")]),
    ],
)
def test_the_length_from_which_an_arm_overtakes_another(rows: list[Any], found: list[Any]) -> None:
    told = overtakes(by_length(*rows), ["a", "b"])
    assert [(each["arm"], each["overtakes"], each["chars"], each["why"]) for each in told] == found
