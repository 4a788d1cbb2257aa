"""Checks that an `RLM` can go on with a recorded run as it was begun; the error names what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlmbox.errors import ConfigError
from rlmbox.events import to_json
from rlmbox.loop.toolbox import Toolbox
from rlmbox.loop.typed import AnswerType

_MODELS = ("model", "sub_model", "fallback_model")
# What decides how a run goes on, by the names of `RLM`. Limits, seed and the text are taken from the record.
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
    "packages",
)
_HIDDEN = "<HIDDEN: "  # a value that the record does not have, and that cannot be compared
_SHOWN_CHARS = 100
_OR_FORK = "or begin another run from it with fork"


def check_needs(
    settings: Mapping[str, Any], made_with: Mapping[str, object], toolbox: Toolbox, *, has_index: bool, returns: Any
) -> None:
    """Check that a run can go on as it was begun.

    Args:
        settings: What the run was begun with, as its record has it; what an earlier version did not record is not
            compared.
        made_with: What it would go on with, under the same names.
        toolbox: The tools that it would go on with.
        has_index: Whether there is an index.
        returns: The type of the answer that is asked for now; None for that of the record.

    Raises:
        ConfigError: It lacks something, or something is otherwise; the message names it.
    """
    for name in _MODELS:
        if settings.get(name) != made_with[name]:
            raise ConfigError(f"the run goes on with {name}={settings.get(name)!r}, not {made_with[name]!r}; give that")
    if settings.get("retriever") and not has_index:
        raise ConfigError("the run has an index, which is not given; give it with retriever=")
    _check_tools(settings, toolbox)
    if settings.get("approves") and not made_with["approves"]:
        raise ConfigError("the run was begun with approve=, which is not given; give it to go on")
    _check_validators(settings.get("validators", 0), made_with["validators"])
    _check_returns(settings, returns)
    for name in _OPTIONS:
        _check_option(name, settings, made_with)


def _check_tools(settings: Mapping[str, Any], toolbox: Toolbox) -> None:
    if settings.get("source_tools") and not toolbox.has_sources:
        raise ConfigError("the run has tools of an MCP server, which is not given; give it with tools=[MCPTools(…)]")
    has = {tool.repl_name for tool in toolbox.tools}
    lacking = sorted({str(name) for name in settings.get("tools", ())} - has)
    if lacking:
        raise ConfigError(f"the run has the tools {', '.join(lacking)}, which are not given; give them with tools=")
    toolbox.check_signatures(settings.get("signatures", {}))


def _check_validators(recorded: Any, given: Any) -> None:
    """Check that the same validators are given; an earlier version recorded how many there were."""
    if isinstance(recorded, int):
        if recorded and not given:
            raise ConfigError("the run was begun with validate=, which is not given; give it to go on")
        return
    lacking = [name for name in recorded if recorded.count(name) > given.count(name)]
    if lacking:
        raise ConfigError(
            f"the run was begun with the validators {', '.join(lacking)} (validate=), which are not given; give them "
            "to go on"
        )
    more = [name for name in given if given.count(name) > recorded.count(name)]
    if more:
        raise ConfigError(
            f"the run was begun without the validators {', '.join(more)}; leave them out to go on, {_OR_FORK}"
        )


def _check_returns(settings: Mapping[str, Any], returns: Any) -> None:
    if returns is None or "returns" not in settings:
        return
    recorded = settings["returns"]
    if recorded is None:
        raise ConfigError(f"the run was begun without returns=; leave it out to go on, {_OR_FORK}")
    if to_json(dict(AnswerType(returns).schema)) != to_json(recorded):
        raise ConfigError(
            f"the run was begun with another type of answer: {str(to_json(recorded))[:_SHOWN_CHARS]}; give that one "
            "with returns=, or leave it out"
        )


def _check_option(name: str, settings: Mapping[str, Any], made_with: Mapping[str, object]) -> None:
    if name not in settings:
        return
    recorded, given = to_json(settings[name]), to_json(made_with[name])
    if recorded != given and _HIDDEN not in str(recorded):
        raise ConfigError(
            f"the run was begun with {name}={_shown(recorded)}, not {_shown(given)}; give that, {_OR_FORK}"
        )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
