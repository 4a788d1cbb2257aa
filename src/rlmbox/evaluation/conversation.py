"""Conversion of a conversation to a question over a text, for programs that use rlmbox as a model."""

from __future__ import annotations

from collections.abc import Sequence

from rlmbox.context import Context
from rlmbox.errors import ConfigError

_QUESTION_CHARS = 4_000
_EDGE_CHARS = 1_500
_NOTHING = "(There is no text besides the question.)"


def one_question_of(messages: Sequence[tuple[str, str]]) -> tuple[str, Context]:
    """Convert a conversation to a question and its text.

    The question is the system message followed by the last message; the earlier messages are the text. A last message
    that is too long for a question becomes part of the text, and the question asks to do what it says.

    Args:
        messages: Role and text of each message: `system`, `user`, `assistant` or `tool`.

    Raises:
        ConfigError: No message has a text.
    """
    said = [(role, text) for role, text in messages if text.strip()]
    rules = "\n".join(text for role, text in said if role == "system")
    rest = [(role, text) for role, text in said if role != "system"] or said
    if not rest:
        raise ConfigError("the conversation has no text, so there is nothing to answer")
    last = rest[-1][1]
    if len(last) <= _QUESTION_CHARS:
        question, inside = last, rest[:-1]
    else:
        question, inside = _about(last), rest
    if rules and len(rules) <= _QUESTION_CHARS and rest is not said:
        question = f"{rules}\n\n{question}"
    elif rules and rest is not said:
        inside = [("system", rules), *inside]
    documents = [(f"message {number}, of {role}", text) for number, (role, text) in enumerate(inside, 1)]
    if not documents:
        return question, Context.from_text(_NOTHING)
    return question, Context.from_text(documents[0][1]) if len(documents) == 1 else Context.from_documents(documents)


def _about(message: str) -> str:
    """Return a question that refers to a message which is too long to be one."""
    return (
        "Do what the last message of the text asks, and answer as it wants to be answered. It begins:\n"
        f"{message[:_EDGE_CHARS]}\n[...]\nand it ends:\n{message[-_EDGE_CHARS:]}"
    )
