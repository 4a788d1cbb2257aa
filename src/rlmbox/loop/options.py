"""The options of a session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rlmbox.loop.answers import AnswerRule
from rlmbox.loop.approval import Approval
from rlmbox.loop.bridge import Middleware
from rlmbox.loop.compaction import Compaction, plain_digest
from rlmbox.loop.instructions import Instructions
from rlmbox.loop.typed import MOST_ANSWERS


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of a session and its children; each of its parts is behind its own seam.

    Attributes:
        strict: Accept only `FINAL("literal")` and `FINAL_VAR(identifier)`, in the reply's text, as final answers.
        auto_finalize_var: Name of a variable that ends a question as soon as code has set it.
        approval: Decides on the model's proposals before any of their code runs; None lets everything run.
        rules: The rules that a proposed answer must pass.
        middleware: The middleware of every call of a host function.
        instructions: Additional instructions for the models of the root and of child sessions.
        prompts: Texts that replace parts of the system prompt, by the part's name.
        most_corrections: Number of answers that are sent back before the question ends with `AnswerRejected`.
        most_repeats: Number of consecutive times that the same code may have the same outcome, or a reply may have
            neither code nor an answer, before the question ends with `Stalled`.
        fallback_code: Code that runs once instead of ending with `Stalled`; None for none.
        direct_below_chars: Length below which a text is sent with the question; longer ones are accessed with code.
            0 for no text.
        max_history_tokens: Maximum length of a conversation in tokens; None for 60 % of the model's window.
        compaction: Writes the digest that replaces the middle of a conversation that has become longer.
    """

    strict: bool = False
    auto_finalize_var: str | None = None
    approval: Approval | None = None
    rules: tuple[AnswerRule, ...] = ()
    middleware: tuple[Middleware, ...] = ()
    instructions: Instructions = field(default_factory=Instructions)
    prompts: Mapping[str, str] = field(default_factory=dict)
    most_corrections: int = MOST_ANSWERS
    most_repeats: int = 4
    fallback_code: str | None = None
    direct_below_chars: int = 0
    max_history_tokens: int | None = None
    compaction: Compaction = plain_digest
