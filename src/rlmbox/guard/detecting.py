"""The built-in detectors, and the function that runs a detector."""

from __future__ import annotations

from functools import cache, lru_cache

from rlmbox.errors import ConfigError, is_interrupt
from rlmbox.guard.assignments import assigned_secrets
from rlmbox.guard.columns import secret_columns
from rlmbox.guard.findings import Detector, Finding
from rlmbox.guard.personal import personal_data
from rlmbox.guard.rarity import RareTokens
from rlmbox.guard.secrets import SecretDetector

_OF_EACH_KIND = (
    "a@b.de 529.982.247-25 11.222.333/0001-81 DE89370400440532013000 4111111111111111 +55 11 91234-5678 "
    "password=hunter2x q7Rk2mVx9Lt4Zw8Np3Yb6Hc1"
)
_PLAIN_CHARS, _PLAIN_TEXTS = 64, 4_096


@cache
def built_in(is_strict: bool) -> tuple[Detector, ...]:
    """Return the built-in detectors; they are compiled once."""
    rare = RareTokens(hides_digests=is_strict)
    return SecretDetector(), assigned_secrets, secret_columns, personal_data, rare


def is_plain(text: str, is_strict: bool) -> bool:
    """Return True if a text is short and no built-in detector finds anything in it.

    Args:
        text: The text, normalised.
        is_strict: As for `built_in`.
    """
    return len(text) <= _PLAIN_CHARS and _is_plain(text, is_strict)


@lru_cache(_PLAIN_TEXTS)
def _is_plain(text: str, is_strict: bool) -> bool:
    """Return whether no built-in detector finds anything in a short text; the results are cached.

    Four of five texts in a record are the same in each run: names of options, roles, kinds.
    """
    return not any(run_detector(each, text) for each in built_in(is_strict))


def run_detector(detector: Detector, text: str) -> list[Finding]:
    """Return what a detector finds.

    Raises:
        ConfigError: It failed, or found something outside the text, so that what it should hide must not leave.
    """
    name = getattr(detector, "__name__", type(detector).__name__)
    try:
        found = list(detector(text))
    except BaseException as error:
        if is_interrupt(error):
            raise
        raise ConfigError(f"the detector {name} failed ({type(error).__name__}); fix it or leave it out") from error
    for each in found:
        if not 0 <= each.start < each.end <= len(text):
            raise ConfigError(f"the detector {name} found something at {each.start}-{each.end}, outside of the text")
    return found


def warm(is_strict: bool) -> None:
    """Compile and import what the built-in detectors otherwise compile and import on first use.

    Args:
        is_strict: As for `built_in`.
    """
    for detector in built_in(is_strict):
        run_detector(detector, _OF_EACH_KIND)
