"""Statistics of an evaluation: accuracies and differences, with confidence intervals over questions and repeats.

The questions are a sample of those that could be asked, and the repeats of a question are not independent. So the
bootstrap resamples questions (clusters), each with its repeats: the spread of the repeats is already part of the means
per question, and resampling them too would count it twice. Since the bootstrap is too narrow for few questions, its
deviations are widened by sqrt(n/(n-1)) and by Student's quantile instead of the normal one.
If nearly all or nearly no answers are right, a bootstrap sees no spread and would be too certain: there the interval is
Wilson's, with the effective number of independent trials according to the spread between questions.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054
_Z82 = 0.9153650878428138  # for a power of 82 %: the deviation is itself an estimate, and 80 % are to be kept
_RESAMPLES = 2_000
_RARE = 10  # number of right or wrong answers, as whole questions, below which the bootstrap is not used


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % confidence interval.

    Attributes:
        value: The figure.
        low: Lower end.
        high: Upper end.
        questions: Number of questions it is based on.
    """

    value: float
    low: float
    high: float
    questions: int


def accuracy(scores: Mapping[str, Sequence[float]], *, seed: int = 0, resamples: int = _RESAMPLES) -> Interval:
    """Return the mean score with its interval.

    Args:
        scores: The scores of each question's repeats, from 0 to 1.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    means = [statistics.fmean(each) for each in scores.values() if each]
    if not means:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = statistics.fmean(means)
    count = len(means)
    if min(value, 1 - value) * count < _RARE or count < 3:
        low, high = wilson(value, _effective(means, value))
    else:
        low, high = _bootstrap(means, value, seed, resamples)
    return Interval(value, max(0.0, low), min(1.0, high), count)


def difference(
    ours: Mapping[str, Sequence[float]],
    theirs: Mapping[str, Sequence[float]],
    *,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> Interval:
    """Return the paired difference of two arms over the questions that both answered, with its interval.

    Args:
        ours: The scores of each question's repeats in one arm.
        theirs: Those in the arm to compare with.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    both = [name for name in ours if ours[name] and theirs.get(name)]
    gaps = [statistics.fmean(ours[name]) - statistics.fmean(theirs[name]) for name in both]
    if not gaps:
        return Interval(math.nan, math.nan, math.nan, 0)
    value = statistics.fmean(gaps)
    if len(gaps) < 3 or not any(gap != gaps[0] for gap in gaps):
        # The questions do not differ: as wide as a single question with the opposite result would make it.
        low, high = value - 3.0 / len(gaps), value + 3.0 / len(gaps)
    else:
        low, high = _bootstrap(gaps, value, seed, resamples)
    return Interval(value, max(-1.0, low), min(1.0, high), len(gaps))


def spread_between_repeats(scores: Mapping[str, Sequence[float]]) -> float | None:
    """Return the standard deviation between the repeats of a question; None without repeats.

    Args:
        scores: The scores of each question's repeats.
    """
    variances = [statistics.variance(each) for each in scores.values() if len(each) > 1]
    return math.sqrt(statistics.fmean(variances)) if variances else None


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion.

    Args:
        share: The proportion, from 0 to 1.
        trials: Number of independent trials.
    """
    square = Z95 * Z95
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials)) / (1 + square / trials)
    return middle - half, middle + half


def _effective(means: Sequence[float], value: float) -> float:
    """Return the effective number of independent trials by the spread between questions, at least one per question."""
    count = len(means)
    if count < 3 or not 0 < value < 1:
        return float(count)
    of_mean = statistics.variance(means) / count
    return float(count) if of_mean == 0 else max(float(count), value * (1 - value) / of_mean)


def _bootstrap(values: Sequence[float], value: float, seed: int, resamples: int) -> tuple[float, float]:
    count = len(values)
    rng = random.Random(seed)  # noqa: S311 - for statistics, reproducible
    drawn = sorted(sum(rng.choices(values, k=count)) / count for _ in range(resamples))
    widened = math.sqrt(count / (count - 1))
    quantile = student(count - 1)
    outside = (1 - math.erf(quantile / math.sqrt(2))) / 2
    at = max(0, min(resamples - 1, int(outside * resamples)))
    low, high = drawn[at], drawn[resamples - 1 - at]
    return value - (value - low) * widened, value + (high - value) * widened


def student(degrees: int) -> float:
    """Return Student's two-sided 95 % quantile, by the Cornish-Fisher expansion.

    Args:
        degrees: Degrees of freedom, at least 2.
    """
    z, n = Z95, float(degrees)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def questions_needed(effect: float, deviation: float) -> int:
    """Return the number of questions that detects a difference with a power of 80 %, at a level of 5 %.

    Args:
        effect: The difference between the accuracies of two arms, above 0.
        deviation: Standard deviation, over questions, of the difference of their means over repeats.
    """
    return max(3, math.ceil(((Z95 + _Z82) * deviation / effect) ** 2) + 2)


def deviation_of(ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]) -> float | None:
    """Return the standard deviation of paired differences over questions; None with fewer than 3 in common.

    Args:
        ours: The scores of each question's repeats in one arm.
        theirs: Those in the other.
    """
    gaps = [
        statistics.fmean(ours[name]) - statistics.fmean(theirs[name])
        for name in ours
        if ours[name] and theirs.get(name)
    ]
    return statistics.stdev(gaps) if len(gaps) > 2 else None


def quantile(values: Sequence[float], share: float) -> float:
    """Return an interpolated quantile; NaN if there are no values.

    Args:
        values: The values.
        share: The quantile, from 0 to 1; 0.5 is the median.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
