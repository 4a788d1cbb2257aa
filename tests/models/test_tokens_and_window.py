"""How many tokens a request has at most, about how many it has, and how one is made to fit."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.budget.tokens import TOKENS_PER_MESSAGE, Conversations, TokenScale, least_tokens, size_bytes
from rlmbox.models.complaints import named_window_tokens
from rlmbox.requests.window import WARNING, fit
from rlmbox.types import Message

messages = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), st.text(max_size=400)), min_size=1)


@given(messages)
def test_the_bound_is_a_token_for_each_byte_and_never_below_the_estimate(talk: list[Message]) -> None:
    scale = TokenScale("openai:m")
    most = scale.most(size_bytes(talk), len(talk))
    assert most == sum(len(m.content.encode()) for m in talk) + TOKENS_PER_MESSAGE * len(talk)
    assert least_tokens(talk) <= scale.likely(talk) <= most


# Tokens of real vocabularies: o200k (OpenAI), counted once with the published vocabulary.
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 40, 401),
        ("我们的方针是每个人都应当享有平等的权利和尊严并且受到法律的保护。" * 50, 1_300),
        ("| a | b | c |\n| --- | --- | --- |\n" * 200, 2_800),
        ("def add(a: int, b: int) -> int:\n    return a + b\n\n" * 40, 760),
    ],
)
def test_the_estimate_is_on_the_high_side_of_ordinary_text(text: str, tokens: int) -> None:
    for family in ("openai", "anthropic", "google", "somebody"):
        assert tokens <= TokenScale(f"{family}:m").likely_text(text) <= 2.7 * tokens
    assert tokens / 3 <= least_tokens([Message("user", text)]) <= tokens


@given(messages, st.integers(0, 40_000))
def test_what_a_provider_reports_only_ever_raises_the_numbers(talk: list[Message], reported: int) -> None:
    scale = TokenScale("openai:m")
    before = scale.likely(talk), scale.most(size_bytes(talk), len(talk))
    scale.learn(talk, reported)
    after = scale.likely(talk), scale.most(size_bytes(talk), len(talk))
    if reported > before[1] + 20_000:
        assert after == before  # absurd, and not to be believed
        return
    assert after >= before
    assert after[1] >= reported
    if size_bytes(talk) >= 2_000:
        assert after[0] >= reported


def test_a_text_that_is_dense_in_tokens_is_learned_from() -> None:
    scale = TokenScale("openai:m")
    dense = [Message("user", "q7X" * 2_000)]
    truth = 6_000
    assert scale.likely(dense) < truth
    scale.learn(dense, truth)
    assert truth <= scale.likely(dense) <= 1.1 * truth


def test_a_conversation_is_bounded_by_what_was_counted_and_a_token_for_each_byte_since() -> None:
    scale, known = TokenScale("openai:m"), Conversations()
    talk = [Message("system", "s" * 1_000), Message("user", "u" * 1_000)]
    assert known.most(scale, "m", talk) == 2_032
    known.learn("m", talk, 500)
    longer = [*talk, Message("assistant", "a" * 10), Message("user", "b" * 20)]
    assert known.most(scale, "m", longer) == 500 + 30 + 2 * TOKENS_PER_MESSAGE
    assert known.most(scale, "another", longer) == 2_062 + 32
    changed = [talk[0], Message("user", "v" * 1_000), *longer[2:]]
    assert known.most(scale, "m", changed) == 2_062 + 32


def test_what_is_known_of_conversations_is_bounded() -> None:
    known = Conversations()
    for number in range(2_000):
        known.learn("m", [Message("system", "s"), Message("user", str(number))], 5)
    assert len(known._counted) <= 256


def count(text: str) -> int:
    return (len(text.encode()) + 2) // 3


@given(messages, st.booleans(), st.integers(300, 2_000))
def test_whatever_is_cut_fits_and_begins_as_it_did(talk: list[Message], system: bool, room: int) -> None:
    if system:
        talk = [Message("system", "You are terse."), *talk]
    cut = fit(talk, room, count)
    assert sum(count(m.content) + TOKENS_PER_MESSAGE for m in cut) <= room
    whole = sum(count(m.content) + TOKENS_PER_MESSAGE for m in talk) <= room
    assert (cut == tuple(talk)) is whole
    assert whole or any(WARNING in m.content for m in cut)
    assert cut[0].role == talk[0].role
    assert cut[-1].role == talk[-1].role


@given(st.text(min_size=3_000, max_size=5_000, alphabet=string.printable + "äß漢字😀"))
def test_a_prompt_keeps_its_head(text: str) -> None:
    (cut,) = fit([Message("user", text)], 500, count)
    head, mark, rest = cut.content.rpartition(f"\n\n{WARNING}")
    assert mark
    assert not rest
    assert text.startswith(head)
    assert len(head.encode()) > 900


@pytest.mark.parametrize(
    ("words", "tokens"),
    [
        ("This model's maximum context length is 128000 tokens.", 128_000),
        ("prompt is too long: 250000 tokens > 200,000 maximum", 200_000),
        ("The input token count (250000) exceeds the maximum number of tokens allowed (200000).", 200_000),
        ("request (9000 tokens) exceeds the available context size (4096 tokens)", 4_096),
        ("Your input exceeds the context window of this model.", None),
    ],
)
def test_a_provider_that_names_its_window_is_understood(words: str, tokens: int | None) -> None:
    assert named_window_tokens(words) == tokens
