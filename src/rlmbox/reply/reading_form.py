"""A reply as it was read, for the record: a run goes on with what was read then.

A later version may read some replies otherwise; what its cells were is part of what happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from rlmbox.reply.final_call import Final
from rlmbox.reply.parse import ParsedReply

_MEMBERS = {kind: tuple((each.name, each.default) for each in fields(kind)) for kind in (ParsedReply, Final)}


def form_of(reply: ParsedReply) -> dict[str, Any]:
    """Return a reply as a JSON object: the members of `ParsedReply` that are not empty.

    Args:
        reply: The reply.
    """
    form = _members(reply)
    return form | {name: _members(form[name]) for name in ("final", "draft") if name in form}


def reply_of(form: Mapping[str, Any]) -> ParsedReply:
    """Return the reply of a form that `form_of` made.

    Args:
        form: The form, which may have been through JSON.
    """
    finals = {name: Final(**_with_tuples(form[name])) for name in ("final", "draft") if name in form}
    return ParsedReply(**_with_tuples(form) | finals)


def _members(value: ParsedReply | Final) -> dict[str, Any]:
    found = ((name, getattr(value, name), default) for name, default in _MEMBERS[type(value)])
    return {name: list(it) if isinstance(it, tuple) else it for name, it, default in found if it != default}


def _with_tuples(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members, of which all lists are tuples but the value of an answer."""
    return {name: tuple(it) if isinstance(it, list) and name != "value" else it for name, it in form.items()}
