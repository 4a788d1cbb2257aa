"""Checks that an `RLM` can go on with a recorded run as it was begun; the error names what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rlmbox.budget.limits import Limits
from rlmbox.errors import ConfigError
from rlmbox.events import ModelReplied, SessionStarted, to_json
from rlmbox.loop.toolbox import Toolbox
from rlmbox.loop.typed import AnswerType
from rlmbox.record.keys import is_last_word
from rlmbox.record.past import Past
from rlmbox.sandboxes.registry import AUTO, backend

_MODELS = ("model", "sub_model", "fallback_model")
# What decides how a run goes on, by the names of `RLM`. Limits, seed and the text are taken from the record, unless the
# call that goes on gives others.
_OPTIONS = (
    "guard",
    "record_secrets",
    "instructions",
    "prompts",
    "strict",
    "auto_finalize_var",
    "require_repl_before_final",
    "require_subcall_before_final",
    "require_seen_figures",
    "invalid_response_limit",
    "fallback_code",
    "max_history_tokens",
    "compaction",
    "packages",
)
_LIMITS = {
    "BudgetExceeded": "cost_limit_usd",
    "TokenLimitExceeded": "max_tokens",
    "MaxTurnsExceeded": "max_turns",
    "SubcallLimitExceeded": "max_subcalls",
    "RecursionDepthExceeded": "max_depth",
    "TimeLimitExceeded": "max_seconds",
}
"""The limits that may be widened for a run that ended at one, by the error."""
_HIDDEN = "<HIDDEN: "  # a value that the record does not have, and that cannot be compared
_SHOWN_CHARS = 100
_OR_FORK = "or begin another run from it with fork"


def check_needs(
    settings: Mapping[str, Any], made_with: Mapping[str, object], toolbox: Toolbox, *, index: Any, returns: Any
) -> None:
    """Check that a run can go on as it was begun.

    Args:
        settings: What the run was started with, as its record has it; what an earlier version did not record is not
            compared.
        made_with: What it would go on with, under the same names.
        toolbox: The tools that it would go on with.
        index: What a record would have of the index that there is; None for none.
        returns: The type of the answer that is asked for now; None for that of the record.

    Raises:
        ConfigError: It lacks something, or something is otherwise; the message names it.
    """
    for name in _MODELS:
        if settings.get(name) != made_with[name]:
            raise ConfigError(f"the run goes on with {name}={settings.get(name)!r}, not {made_with[name]!r}; give that")
    _check_index(settings.get("retriever"), index)
    _check_tools(settings, toolbox)
    if settings.get("approves") and not made_with["approves"]:
        raise ConfigError("the run was started with approve=, which is missing; pass it to resume")
    _check_validators(settings.get("validators", 0), made_with["validators"])
    _check_returns(settings, returns)
    for name in _OPTIONS:
        _check_option(name, settings, made_with)
    # Where the sandbox has no checks, such as one that `auto` had chosen, it had none then.
    sandbox = str(made_with["sandbox"] or "").partition(":")[0]
    if made_with["type_check"] or sandbox == AUTO or (sandbox and backend(sandbox).checks_types):
        _check_option("type_check", settings, made_with)


def check_new_limits(limits: Limits, recorded: Limits, past: Past, run_id: str) -> None:
    """Check that a run can go on within other limits than it was begun with.

    Args:
        limits: The limits.
        recorded: Those that it has.
        past: What the run has done until now.
        run_id: The run.

    Raises:
        ConfigError: It has its answer, ended at something that these limits do not widen, or has used more already.
    """
    failed = past.final_failure
    ended_at = _LIMITS.get(failed.error_type) if failed is not None else None
    if past.is_over and ended_at is None:
        raise ConfigError(
            f"the run {run_id} has come to its end, and other limits change nothing; to go on from one of its turns, "
            f"fork it: rlmbox fork {run_id} --at TURN"
        )
    requests = [e for e in past.ended.values() if isinstance(e, ModelReplied) and not is_last_word(e.key)]
    depths = [event.depth for event in past.events if isinstance(event, SessionStarted)]
    used: dict[str, Any] = {
        "cost_limit_usd": sum((each.cost_usd for each in past.charges), Decimal(0)),
        "max_turns": max((event.turn for event in requests if event.ended == "done"), default=0),
        "max_depth": max(depths, default=0),
        "max_subcalls": past.subcalls,
        "max_tokens": sum(each.usage.total_tokens for each in past.charges),
        "max_seconds": round(past.used_s, 1),
    }
    for name, reached in used.items():
        limit, had = _figure(limits, name), _figure(recorded, name)
        if limit is not None and limit < reached:
            raise ConfigError(
                f"the run {run_id} has used {reached} of {name} already, which is more than {limit}; give more"
            )
        if name == ended_at and limit is not None and had is not None and limit <= had:
            raise ConfigError(f"the run {run_id} ended at {name}={had}, and {limit} is no more; give more to go on")


def _figure(limits: Limits, name: str) -> Any:
    return limits.money if name == "cost_limit_usd" else getattr(limits, name)


def _check_index(recorded: Any, given: Any) -> None:
    if not recorded:
        if given:
            raise ConfigError(f"the run was started without an index; leave out retriever= to resume, {_OR_FORK}")
        return
    name = recorded["name"]
    if not given:
        raise ConfigError(f"the run has an index ({name}), which is missing; pass it with retriever=")
    for what in ("name", "embedder"):
        if recorded.get(what) != given.get(what):
            raise ConfigError(
                f"the run was started with another index: its {what} was {recorded.get(what)}, not {given.get(what)}; "
                f"give that one with retriever=, {_OR_FORK}"
            )


def _check_tools(settings: Mapping[str, Any], toolbox: Toolbox) -> None:
    if settings.get("source_tools") and not toolbox.has_sources:
        raise ConfigError("the run has tools of an MCP server, which is missing; pass it with tools=[MCPTools(…)]")
    has = {tool.repl_name for tool in toolbox.tools}
    lacking = sorted({str(name) for name in settings.get("tools", ())} - has)
    if lacking:
        raise ConfigError(f"the run has the tools {', '.join(lacking)}, which are missing; pass them with tools=")
    toolbox.check_signatures(settings.get("signatures", {}))


def _check_validators(recorded: Any, given: Any) -> None:
    """Check that the same validators are given; an earlier version recorded how many there were."""
    if isinstance(recorded, int):
        if recorded and not given:
            raise ConfigError("the run was started with validate=, which is missing; pass it to resume")
        return
    lacking = [name for name in recorded if recorded.count(name) > given.count(name)]
    if lacking:
        raise ConfigError(
            f"the run was started with the validators {', '.join(lacking)} (validate=), which are not given; give them "
            "to go on"
        )
    more = [name for name in given if given.count(name) > recorded.count(name)]
    if more:
        raise ConfigError(
            f"the run was started without the validators {', '.join(more)}; leave them out to resume, {_OR_FORK}"
        )


def _check_returns(settings: Mapping[str, Any], returns: Any) -> None:
    if returns is None or "returns" not in settings:
        return
    recorded = settings["returns"]
    if recorded is None:
        raise ConfigError(f"the run was started without returns=; leave it out to resume, {_OR_FORK}")
    if to_json(dict(AnswerType(returns).schema)) != to_json(recorded):
        raise ConfigError(
            f"the run was started with another type of answer: {str(to_json(recorded))[:_SHOWN_CHARS]}; give that one "
            "with returns=, or leave it out"
        )


def _check_option(name: str, settings: Mapping[str, Any], made_with: Mapping[str, object]) -> None:
    if name not in settings:
        return
    recorded, given = to_json(settings[name]), to_json(made_with[name])
    if recorded != given and _HIDDEN not in str(recorded):
        raise ConfigError(
            f"the run was started with {name}={_shown(recorded)}, not {_shown(given)}; give that, {_OR_FORK}"
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
