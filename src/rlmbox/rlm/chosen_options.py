"""Options of the sessions of an `RLM`, with those of a profile where it sets none, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from rlmbox.budget.limits import Limits, check_count
from rlmbox.errors import ConfigError
from rlmbox.loop import direct
from rlmbox.loop.answers import AnswerRule
from rlmbox.loop.approval import Approval, Approve
from rlmbox.loop.compaction import Compaction, compaction_from
from rlmbox.loop.instructions import Instructions
from rlmbox.loop.options import SessionOptions
from rlmbox.loop.profiles import Profile, profile_from
from rlmbox.loop.prompts import read_parts
from rlmbox.loop.rules import Validator, figures_were_seen, require_repl, require_subcall, validators_of
from rlmbox.rlm.argument_checks import check_arguments

_LEAST_HISTORY_TOKENS = 4_000  # the system message and a question take half of it


def chosen_options(
    limits: Limits | None,
    *,
    profile: str | os.PathLike[str] | Profile | None,
    prompts: Mapping[str, str] | str | os.PathLike[str] | None,
    instructions: str | Mapping[str, str],
    strict: bool,
    auto_finalize_var: str | None,
    approve: Approve | Approval | None,
    validate: Validator | Iterable[Validator],
    require_repl_before_final: bool,
    require_subcall_before_final: bool,
    require_seen_figures: bool,
    invalid_response_limit: int,
    fallback_code: str | None,
    direct_below_chars: int | None,
    max_history_tokens: int | None,
    compaction: str | Compaction,
) -> tuple[Limits, SessionOptions, dict[str, object]]:
    """Return the limits of a run, the options of its sessions, and what a record has of them.

    The arguments are those of `RLM`. The keys of what a record has are their names, `approves` for `approve`, and
    `validators`, the names of the checks, for `validate`.

    Raises:
        ConfigError: One is out of its range, or there is no such profile.
    """
    check_arguments({"limits": limits})
    check_count("invalid_response_limit", invalid_response_limit, 1)
    if direct_below_chars is not None:
        check_count("direct_below_chars", direct_below_chars, 0)
    if max_history_tokens is not None:
        check_count("max_history_tokens", max_history_tokens, _LEAST_HISTORY_TOKENS)
    usual = Profile("", direct_below_chars=direct.DIRECT_BELOW_CHARS)
    way = usual if profile is None else profile_from(profile)
    limits, parts = way.narrow(limits or Limits()), {**way.prompts, **read_parts(prompts)}
    required = {
        "require_repl_before_final": require_repl_before_final or way.require_repl_before_final,
        "require_subcall_before_final": require_subcall_before_final or way.require_subcall_before_final,
        "require_seen_figures": require_seen_figures or way.require_seen_figures,
    }
    below = way.direct_below_chars if direct_below_chars is None else direct_below_chars
    rules: list[AnswerRule] = [
        rule
        for rule, is_wanted in zip((require_repl, require_subcall, figures_were_seen), required.values(), strict=True)
        if is_wanted
    ]
    validators = validators_of(validate)
    is_own = "system" in parts and "direct" not in parts
    needs_code = is_own or strict or auto_finalize_var or rules
    options = SessionOptions(
        strict=strict,
        auto_finalize_var=auto_finalize_var,
        approval=approve if isinstance(approve, Approval) or approve is None else Approval(approve),
        rules=(*rules, *validators),
        instructions=Instructions.of(instructions),
        prompts=parts,
        most_repeats=invalid_response_limit,
        fallback_code=_fallback(fallback_code),
        direct_below_chars=0 if needs_code else below,
        max_history_tokens=max_history_tokens,
        compaction=compaction_from(compaction),
    )
    recorded: dict[str, object] = {
        **required,
        "strict": strict,
        "auto_finalize_var": auto_finalize_var,
        "instructions": instructions if isinstance(instructions, str) else dict(instructions),
        "prompts": dict(parts),
        "approves": options.approval is not None,
        "validators": [getattr(rule, "__name__", "") for rule in validators],
        "invalid_response_limit": invalid_response_limit,
        "fallback_code": fallback_code,
        "profile": way.name or None,
        "direct_below_chars": options.direct_below_chars,
        "max_history_tokens": max_history_tokens,
        "compaction": compaction if isinstance(compaction, str) else "own",
    }
    return limits, options, recorded


def _fallback(code: Any) -> str | None:
    if code is not None and not (isinstance(code, str) and code.strip()):
        raise ConfigError(f"fallback_code is Python code, a text, not {code!r}")
    return code
