"""Profiles: strategies for answering a question, as data: texts for parts of the prompt, limits and rules."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rlmbox.budget.limits import Limits
from rlmbox.errors import ConfigError
from rlmbox.loop.prompts import check_parts


@dataclass(frozen=True, slots=True)
class Profile:
    """A strategy for answering questions.

    Attributes:
        name: Its name.
        summary: Its purpose, in one line.
        prompts: Texts that replace parts of the prompt; `strategy` is the part intended for profiles.
        limits: Limits by name, which narrow those of the run and never widen them.
        direct_below_chars: Length below which a text is sent with the question; 0 for never.
        require_repl_before_final: True to accept no answer before code has run.
        require_subcall_before_final: True to accept no answer before another model was asked.
        require_seen_figures: True to send back, once, an answer with a figure that no cell has printed.
    """

    name: str
    summary: str = ""
    prompts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    limits: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    direct_below_chars: int = 0
    require_repl_before_final: bool = False
    require_subcall_before_final: bool = False
    require_seen_figures: bool = False

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ConfigError: A part, a limit or a value is invalid.
        """
        for each in ("name", "summary"):
            if not isinstance(getattr(self, each), str):
                raise ConfigError(f"profile {self.name!r}: {each} is a text, not {getattr(self, each)!r}")
        for each in ("prompts", "limits"):
            if not isinstance(getattr(self, each), Mapping):
                raise ConfigError(f"profile {self.name!r}: {each} is a table of names and values")
        below: Any = self.direct_below_chars
        if not isinstance(below, int) or isinstance(below, bool) or below < 0:
            raise ConfigError(
                f"profile {self.name!r}: direct_below_chars must be a whole number, 0 or more, not {below!r}"
            )
        for each in ("require_repl_before_final", "require_subcall_before_final", "require_seen_figures"):
            if not isinstance(getattr(self, each), bool):
                raise ConfigError(f"profile {self.name!r}: {each} is true or false, not {getattr(self, each)!r}")
        check_parts(self.prompts)
        known = {each.name for each in fields(Limits)} - {"cell"}
        unknown = sorted(set(self.limits) - known)
        if unknown:
            raise ConfigError(
                f"profile {self.name!r}: there is no limit {unknown[0]!r}; there are {', '.join(sorted(known))}"
            )
        self.narrow(Limits())

    def narrow(self, limits: Limits) -> Limits:
        """Return a run's limits, narrowed by this profile's.

        Args:
            limits: The run's limits.
        """
        return limits.narrowed(Limits(**self.limits))


_BY_CODE = """\
How to go about it
- Solve it with code: search, count, parse and compute. What code can decide, no model is asked.
- Ask another model only for passages whose meaning code cannot decide, found by code before, and all in one call."""

_IN_BATCHES = """\
How to go about it
- Do not rely on search words. Cut the whole text with `ctx.chunk` into pieces of some 50,000 characters, or take its
  documents, and ask the same precise question of every piece in one `llm_query_batched`.
- Have each reply quote what it rests on, or say NONE. Join the replies with code; where they are many, ask once more
  over the replies alone."""

_BOTH = """\
How to go about it
- Narrow down with code: `ctx.search`, `ctx.rank` and `ctx.count` with several spellings of what is asked for.
- Have what is left read in one `llm_query_batched`, each passage with enough of its surroundings.
- Where the search finds nothing, read the whole text in pieces before you say that it has no answer."""

_CHECKED = """\
How to go about it
- First find an answer as the other rules say, with the passages on which it rests.
- Then check it: in a new `llm_query_batched`, give each passage alone with the answer, ask whether the passage supports
  it, and what speaks against it. Compute every figure again with code, in another way.
- Where a check fails, go back. Answer with what has passed, and name what is uncertain."""

PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "deterministic-first",
            "code decides, models are asked last and little: counts, tables, logs",
            {"strategy": _BY_CODE},
            {"max_subcalls": 20},
            require_repl_before_final=True,
            require_seen_figures=True,
        ),
        Profile(
            "semantic-batches",
            "every piece of the text is read by a model: meaning, tone, what no word finds",
            {"strategy": _IN_BATCHES},
            {"max_turns": 20},
            require_subcall_before_final=True,
        ),
        Profile(
            "hybrid",
            "code narrows down, models read what is left: contracts, reports, mail",
            {"strategy": _BOTH},
            require_repl_before_final=True,
        ),
        Profile(
            "verify",
            "the answer is checked against its passages before it is given: where an error is expensive",
            {"strategy": _CHECKED},
            require_repl_before_final=True,
            require_subcall_before_final=True,
            require_seen_figures=True,
        ),
    )
}
"""The profiles that there are, by name."""


def profile_from(given: str | PathLike[str] | Profile) -> Profile:
    """Return a profile by name or from a TOML file.

    Args:
        given: A name, the path of a file (it ends in `.toml`), or a profile.

    Raises:
        ConfigError: There is no such profile, or the file does not define one.
    """
    if isinstance(given, Profile):
        return given
    if isinstance(given, str) and given in PROFILES:
        return PROFILES[given]
    if not isinstance(given, str | PathLike):
        raise ConfigError(f"a profile is one of {', '.join(PROFILES)}, or the path of a .toml file, not {given!r}")
    path = Path(fspath(given))
    if path.suffix != ".toml":
        raise ConfigError(f"there is no profile {given!r}; there are {', '.join(PROFILES)}, or give a .toml file")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not TOML: {error}") from None
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    known = [each.name for each in fields(Profile)]
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise ConfigError(f"{path.name}: a profile has no {unknown[0]!r}; it has {', '.join(known)}")
    return Profile(**{"name": path.stem, **found})
