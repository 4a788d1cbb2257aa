"""The router: a text short enough for the model is sent with the question, and answered in one request.

The session begins without a sandbox. A reply in prose is the answer, and has to pass the same rules; a reply with code
starts the sandbox, runs that code, and is the first turn of the usual loop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rlmbox.context import Context
from rlmbox.guard import nonce_of, quote
from rlmbox.loop.guarding import SessionGuard
from rlmbox.loop.prompts import question_prompt
from rlmbox.models.base import Model
from rlmbox.reply.parse import ParsedReply
from rlmbox.reply.thoughts import split_thought
from rlmbox.requests.state import model_state_of
from rlmbox.types import Completion

DIRECT_BELOW_CHARS = 8_000
"""Length from which on a text is worked on with code, unless the user says otherwise."""

_WINDOW_SHARE = 0.25  # share of its window that a model reads well beside question and reply

_UNREAD_TAG = re.compile(
    r"^[^\w\n]{1,8}(?:FINAL(?:_VAR)?|SUBMIT)\(|\b(?:FINAL(?:_VAR)?|SUBMIT)\([^\n]*\)\W*\Z", re.MULTILINE
)

OPENED = (
    "Your reply has code, so the REPL was opened: `context` is the text. From here on work as the system message says."
)
"""What a model is told when its first code has run."""


@dataclass(frozen=True, slots=True)
class DirectText:
    """A text that is short enough to be sent whole.

    Attributes:
        text: The text, between delimiters that it cannot forge.
    """

    text: str

    @classmethod
    def of(cls, context: Context, guard: SessionGuard, model: Model, below_chars: int) -> DirectText | None:
        """Return the text in the form that the model may see; None if it is too long, or may not be sent in full.

        Args:
            context: The text.
            guard: Decides what the model may see.
            model: The model.
            below_chars: Length from which a text is too long; 0 for no limit.
        """
        if not 0 < context.length < below_chars:
            return None
        text = context.slice(0, context.length)
        state = model_state_of(model)
        if state.tokens.likely_text(text) > _WINDOW_SHARE * state.window_tokens(model):
            return None
        shown = guard.shows(model.name, 0)(text, max_chars=len(text))
        if shown.notice or shown.hidden_chars:
            return None
        return cls(quote(shown.text, nonce_of(guard.session_id, (text,)), label="text"))

    def question(self, question: str, metadata: Mapping[str, object] | None, *, left: str, wanted: str) -> str:
        """Return the user message for the first question, with the text, or for a further one about it.

        Args:
            question: The question.
            metadata: Facts about the text; None for a further question.
            left: What is left of the limits, in words.
            wanted: The required form of the answer, in words.
        """
        if metadata is None:
            return "\n\n".join(part for part in (f"Another question about the same text:\n{question}", wanted) if part)
        facts = {name: value for name, value in metadata.items() if name != "preview"}
        put = question_prompt(question, facts, left=left, wanted=wanted, begin="The text:")
        return f"{put}\n{self.text}"


def prose_answer(reply: ParsedReply, completion: Completion) -> str:
    """Return the answer of a reply in prose; empty if there is none.

    A reply with code or a final tag has none; nor has one in which either is malformed, such as a block that is not
    closed, a broken tool call or a quoted tag, nor one that was truncated.

    Args:
        reply: The parsed reply.
        completion: The reply as received.
    """
    if reply.cells or reply.final is not None or reply.problems or completion.stop_reason == "length":
        return ""
    words = split_thought(completion.text)[1].strip()
    return "" if _UNREAD_TAG.search(words) else words
