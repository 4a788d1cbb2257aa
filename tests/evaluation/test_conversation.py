"""What a program sends to a model is a question over a text, whatever its messages are."""

import pytest

from rlmbox.errors import ConfigError
from rlmbox.evaluation.conversation import one_question_of

LONG = "Facts. " * 2_000 + "Question: who?"


@pytest.mark.parametrize(
    ("messages", "question", "text"),
    [
        ([("user", "Who?")], "Who?", "no text besides"),
        ([("system", "Be brief."), ("user", "Who?")], "Be brief.\n\nWho?", "no text besides"),
        ([("user", "The king is Ann."), ("assistant", "Yes."), ("user", "Who?")], "Who?", "The king is Ann."),
        ([("user", LONG)], "it ends:", "Question: who?"),
        ([("system", LONG), ("user", "Who?")], "Who?", "Question: who?"),
        ([("system", "Say who.")], "Say who.", "no text besides"),
        ([("user", "Who?"), ("assistant", "  ")], "Who?", "no text besides"),
    ],
)
def test_the_last_message_is_the_question(messages: list[tuple[str, str]], question: str, text: str) -> None:
    asked, context = one_question_of(messages)
    assert question in asked
    assert text in context.slice(0, context.length)
    assert len(asked) < 9_000


def test_a_conversation_without_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to answer"):
        one_question_of([("user", " ")])
