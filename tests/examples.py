"""How many random examples a test draws: the suite a fifth of what `make fuzz` draws."""

from hypothesis import settings

FUZZ, SUITE = 100, 20
"""Examples of a test that names no number, with `make fuzz` and in the suite, which draws the same ones each time."""


def examples(with_fuzz: int) -> int:
    """Return how many examples the profile that is loaded wants of a test.

    Args:
        with_fuzz: Examples that `make fuzz` draws.
    """
    return max(1, with_fuzz * settings.default.max_examples // FUZZ)
