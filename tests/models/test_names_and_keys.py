"""What a model's name stands for, and what is missing where it cannot be used."""

import subprocess
import sys

import pytest

from rlmbox.errors import ConfigError
from rlmbox.models.providers import provider_model

MODELS = "openai:gpt-5", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro", "gemini:gemini-2.5-pro", "azure:mine"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai:gpt-5", "OPENAI_API_KEY"),
        ("anthropic:claude-sonnet-5-5", "ANTHROPIC_API_KEY"),
        ("google:gemini-2.5-pro", "GOOGLE_API_KEY or GEMINI_API_KEY"),
        ("gemini:gemini-2.5-pro", "GOOGLE_API_KEY or GEMINI_API_KEY"),
    ],
)
def test_a_missing_key_is_noticed_at_once_and_names_the_variable(name: str, variable: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        provider_model(name)


def test_azure_wants_its_endpoint_then_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="AZURE_OPENAI_ENDPOINT"):
        provider_model("azure:mine")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_KEY"):
        provider_model("azure:mine")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "k")
    assert provider_model("azure:mine").name == "azure:mine"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpt-5", "did you mean openai:gpt-5?"),
        ("claude-sonnet-5-5", "did you mean anthropic:claude-sonnet-5-5?"),
        ("openai/gpt-5", "did you mean openai:gpt-5?"),
        ("openrouter/meta/llama-3", "did you mean openrouter:meta/llama-3?"),
        ("meta/llama-3", "write provider:model"),
        ("llama3", "write provider:model"),
        ("", "provider:model"),
        ("openai:", "provider:model"),
        (":gpt-5", "provider:model"),
        ("openai: gpt", "provider:model"),
        ("opnai:gpt-5", "did you mean openai:gpt-5?"),
        ("antropic:claude", "did you mean anthropic:claude?"),
        ("zzz:x", "openai:NAME with base_url"),
    ],
)
def test_a_wrong_name_says_how_names_look(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider_model(name)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "ftp://host/v1", "http://", "http://host:99999/v1", "http://[::1"]
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="base URL"):
        provider_model("openai:llama3", base_url=url)


@pytest.mark.parametrize("key", ["sk-abc\ndef", "sk-\u00e9t\u00e9"])
def test_a_key_with_impossible_characters_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider_model("openai:gpt-5", api_key=key)
    assert key not in str(caught.value)


def test_a_server_of_ones_own_needs_no_key_and_has_no_known_price() -> None:
    model = provider_model("openai:gpt-5", base_url="http://localhost:11434/v1")
    assert model.price is None


def test_the_providers_own_prices_and_windows_apply_to_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    model = provider_model("openai:gpt-5")
    assert model.price is not None
    assert "genai-prices" in model.price.origin
    assert model.window_tokens == 400_000
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert provider_model("openai:gpt-5").price is None


def test_a_look_alike_address_is_not_the_provider() -> None:
    url = "https://api.openai.com.evil.example/v1"
    assert provider_model("openai:gpt-5", base_url=url, api_key="k").price is None
    assert provider_model("openai:gpt-5", base_url="https://api.openai.com/v1", api_key="k").price is not None


def test_an_unknown_window_is_128_000_unless_given() -> None:
    url = "http://localhost:1/v1"
    assert provider_model("openai:llama3", base_url=url).window_tokens == 128_000
    assert provider_model("openai:llama3", base_url=url, window_tokens=8_000).window_tokens == 8_000


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("openai:gpt-5", "openai", "openai"),
        ("azure:mine", "openai", "openai"),
        ("anthropic:claude-sonnet-5-5", "anthropic", "anthropic"),
        ("openai:gpt-5", "pydantic_ai", "openai"),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf'pip install "rlmbox\[{extra}\]"'):
        provider_model(name, base_url="http://localhost:1/v1", api_key="k")


@pytest.mark.parametrize("name", MODELS)
def test_the_key_is_not_shown_by_the_model(name: str) -> None:
    model = provider_model(name, base_url="http://user:password@localhost:1/v1", api_key="sk-very-secret")
    shown = f"{model!r} {model} {vars(model)}"
    assert "sk-very-secret" not in shown
    assert "password" not in repr(model)


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="timeout_s"):
        provider_model("openai:x", base_url="http://localhost:1/v1", timeout_s=0)
    with pytest.raises(ConfigError, match="window_tokens"):
        provider_model("openai:x", base_url="http://localhost:1/v1", window_tokens=0)


def test_constructing_a_model_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from rlmbox.models.providers import provider_model\n"
        f"for name in {MODELS!r}: provider_model(name, base_url='http://localhost:1/v1', api_key='k')\n"
        "heavy = {'pydantic_ai', 'openai', 'anthropic', 'google.genai', 'httpx2', 'genai_prices', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "copied", "address"),
    [
        ("openai:x", "http://localhost:1/v1/chat/completions", "http://localhost:1/v1"),
        ("openai:x", "http://localhost:1/v1/chat/completions/", "http://localhost:1/v1"),
        ("ollama:x", "http://localhost:1/v1/chat/completions", "http://localhost:1/v1"),
        ("anthropic:x", "http://localhost:1/v1/messages", "http://localhost:1"),
        (
            "azure:mine",
            "https://mine.openai.azure.com/openai/deployments/mine/chat/completions?api-version=2024-10-21",
            "https://mine.openai.azure.com",
        ),
    ],
)
def test_an_address_that_was_copied_from_a_request_is_that_of_the_server(name: str, copied: str, address: str) -> None:
    assert provider_model(name, base_url=copied, api_key="k").endpoint == address
