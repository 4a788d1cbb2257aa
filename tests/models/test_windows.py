"""How many tokens a model's window has, where anybody knows."""

import pytest

from rlmbox.models.providers import provider_model
from rlmbox.models.windows import window_for


@pytest.mark.parametrize(
    ("provider", "model", "tokens"),
    [
        ("openai", "gpt-5", 400_000),
        ("google", "gemini-2.5-pro", 1_048_576),  # kind K22: the catalogue has it without a window
        ("google", "gemini-3-pro-preview", 1_048_576),
        ("google", "gemini-3.1-pro-preview", 1_048_576),
        ("anthropic", "claude-haiku-4-5", 200_000),
        ("groq", "llama-3.3-70b-versatile", 131_072),
        ("groq", "openai/gpt-oss-120b", 131_072),
        ("xai", "grok-4-0709", 256_000),
        ("deepseek", "deepseek-v3.2", 128_000),
        ("mistral", "mistral-medium-latest", 131_072),
        ("openrouter", "openai/gpt-5", 400_000),
        ("openrouter", "x-ai/grok-4", 256_000),  # as its maker has it
        ("google", "gemini-flash-latest", 1_048_576),  # rounded down in the catalogue
        ("openai", "gpt-4.1-mini", 1_047_576),
        ("deepseek", "deepseek-chat", 131_072),  # older in the catalogue
    ],
)
def test_windows_of_well_known_models_are_known(provider: str, model: str, tokens: int) -> None:
    assert window_for(provider, model) == tokens


@pytest.mark.parametrize(
    ("provider", "model"),
    [("openai", "gpt-of-the-next-century"), ("nobody", "gpt-5"), ("google", "gemini-2.5-pro-tts-of-the-next-year")],
)
def test_a_window_that_nobody_knows_is_none(provider: str, model: str) -> None:
    assert window_for(provider, model) is None


def test_the_window_of_the_same_name_elsewhere_is_not_taken_for_it() -> None:
    assert window_for("openai", "gpt-5", official=False) is None


def test_a_model_says_whether_its_window_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    known = provider_model("google:gemini-2.5-pro")
    assert (known.window_tokens, known.window_is_known) == (1_048_576, True)
    assumed = provider_model("openai:llama3", base_url="http://localhost:1/v1")
    assert (assumed.window_tokens, assumed.window_is_known) == (128_000, False)
    given = provider_model("openai:llama3", base_url="http://localhost:1/v1", window_tokens=8_192)
    assert (given.window_tokens, given.window_is_known) == (8_192, True)
