"""The parts that a session is made with."""

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
    """The parts that a session and its children are made with; every part stands behind a seam of its own.

    Attributes:
        strict: Take only `FINAL("literal")` and `FINAL_VAR(identifier)`, in the reply's text, as final answers.
        auto_finalize_var: Name of a variable that ends a question as soon as code has set it.
        approval: Decides on what the model would do, before anything of it runs; None lets it run.
        rules: What a proposed answer must pass.
        middleware: What each call of a host function passes.
        instructions: What the models are told besides, the root's and those of children.
        prompts: Texts in place of parts of the system prompt, by the part's name.
        most_corrections: Answers that are sent back before the question ends with `AnswerRejected`.
        most_repeats: Times in a row that the same code may come to the same, or a reply may have neither code nor an
            answer, before the question ends with `Stalled`.
        fallback_code: Code that runs once in place of ending with `Stalled`; None for none.
        direct_below_chars: Length from which on a text is worked on with code and not sent with the question; 0 for
            every text.
        max_history_tokens: Most tokens of a conversation; None for 60 % of the model's window.
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
