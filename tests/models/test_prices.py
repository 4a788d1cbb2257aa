"""What tokens cost."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlmbox.errors import ConfigError
from rlmbox.models.prices import FREE, FlatPrice, catalogue_price, load_overrides, price_for
from rlmbox.models.providers import provider_model
from rlmbox.types import Usage

counts = st.integers(0, 10**9)
figures = st.decimals(0, 10_000, places=6)


def test_the_catalogue_knows_a_model_and_says_where_its_price_comes_from() -> None:
    import genai_prices

    price = catalogue_price("openai", "gpt-5")
    assert price is not None
    assert price.origin == f"genai-prices {genai_prices.__version__}"
    cost = price.cost_usd(Usage(input_tokens=1_000_000, cached_input_tokens=400_000, output_tokens=100_000))
    assert cost == Decimal("1.25") * 600_000 / 1_000_000 + Decimal("0.125") * 400_000 / 1_000_000 + 1
    assert isinstance(cost, Decimal)


def test_a_long_request_costs_its_tier() -> None:
    price = catalogue_price("google", "gemini-2.5-pro")
    assert price is not None
    short = price.cost_usd(Usage(input_tokens=200_000))
    long = price.cost_usd(Usage(input_tokens=400_000))
    assert long > 2 * short


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-of-the-next-century"),
        ("anthropic", "nothing"),
        ("nobody", "gpt-5"),
        ("offline", "extractive"),
        ("openai", ""),
        # Billed by the minute: tokens would come out as free.
        ("openai", "whisper-1"),
    ],
)
def test_an_unknown_price_is_none_and_not_zero(provider: str, model: str) -> None:
    assert catalogue_price(provider, model) is None


def test_gemini_and_google_name_the_same_provider() -> None:
    assert catalogue_price("gemini", "gemini-2.5-pro") == catalogue_price("google", "gemini-2.5-pro")


def test_overrides_come_before_the_catalogue() -> None:
    mine = FlatPrice(Decimal(7), Decimal(8))
    assert price_for("openai:gpt-5", {"openai:gpt-5": mine}) is mine
    assert price_for("gemini:gemini-2.5-pro", {"google:gemini-2.5-pro": mine}) is mine
    assert price_for("google:x", {"gemini:x": mine}) is mine
    assert price_for("grok:grok-4", {"xai:grok-4": mine}) is mine
    assert price_for("openai:gpt-5", {"OpenAI:gpt-5": mine}) is mine
    assert price_for("openai:gpt-5", {"mine:gpt-5": mine}) is not mine
    assert price_for("openai:gpt-5", {"openai:gpt-5-mini": mine}) == catalogue_price("openai", "gpt-5")


def test_without_the_catalogue_only_overrides_count() -> None:
    assert price_for("openai:gpt-5", {}, catalogue=False) is None


@given(figures, figures, st.none() | figures, counts, counts, counts)
def test_a_flat_price_is_linear_and_exact(
    per_input: Decimal, per_output: Decimal, per_cached: Decimal | None, fresh: int, cached: int, output: int
) -> None:
    price = FlatPrice(per_input, per_output, per_cached)
    usage = Usage(input_tokens=fresh + cached, cached_input_tokens=cached, output_tokens=output)
    by_hand = per_input * fresh + (per_input if per_cached is None else per_cached) * cached + per_output * output
    assert price.cost_usd(usage) == by_hand / 1_000_000
    assert price.cost_usd(usage) + price.cost_usd(usage) == price.cost_usd(usage + usage)


@given(counts, counts)
def test_free_is_free(sent: int, received: int) -> None:
    assert FREE.cost_usd(Usage(sent, 0, received)) == 0


@pytest.mark.parametrize("figure", [Decimal(-1), Decimal("NaN"), Decimal("Infinity")])
def test_a_price_below_zero_or_without_end_is_refused(figure: Decimal) -> None:
    with pytest.raises(ConfigError, match="from 0 up"):
        FlatPrice(figure, Decimal(1))


TOML = """
["openai:gpt-5"]
input_usd_per_mtok = "1.25"
output_usd_per_mtok = 10
cached_input_usd_per_mtok = 0.1

["openai:llama3"]
input_usd_per_mtok = 0
output_usd_per_mtok = 0
"""
JSON = '{"openai:gpt-5": {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": "10"}}'


def test_overrides_are_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(TOML)
    prices = load_overrides(file)
    assert prices["openai:gpt-5"] == FlatPrice(Decimal("1.25"), Decimal(10), Decimal("0.1"), origin=str(file))
    assert prices["openai:llama3"].cost_usd(Usage(1000, 0, 1000)) == 0


def test_overrides_are_read_from_json_without_rounding(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(JSON)
    assert load_overrides(file)["openai:gpt-5"].input_usd_per_mtok == Decimal("0.1")


WRONG = {
    "[openai:gpt-5]\ninput_usd_per_mtok = 1": "cannot be parsed",
    "x = 1": '"x" must be a table',
    '["m"]\ninput_usd_per_mtok = 1': "has no output_usd_per_mtok",
    '["m"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 1\ninput = 3': "unknown key 'input'",
    '["m"]\ninput_usd_per_mtok = "cheap"\noutput_usd_per_mtok = 1': "input_usd_per_mtok = 'cheap'",
    '["m"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = -1': "output_usd_per_mtok = -1",
    '["m"]\ninput_usd_per_mtok = true\noutput_usd_per_mtok = 1': "input_usd_per_mtok = True",
    '["m"]\ninput_usd_per_mtok = nan\noutput_usd_per_mtok = 1': "input_usd_per_mtok",
    '["m"]\ninput_usd_per_mtok = [1]\noutput_usd_per_mtok = 1': "input_usd_per_mtok",
    '["m"]\ninput_usd_per_mtok = "inf"\noutput_usd_per_mtok = 1': "input_usd_per_mtok",
}


@pytest.mark.parametrize(("text", "reason"), WRONG.items())
def test_a_wrong_price_file_is_named_with_its_fault(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_overrides(file)
    assert str(file) in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("missing.toml", None), ("p.toml", b"\xff\xfe"), ("p.json", b"[1]"), ("p.json", b"[" * 100_000)],
)
def test_a_file_that_holds_no_prices_is_a_config_error(tmp_path: Path, name: str, content: bytes | None) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        load_overrides(file)


def test_what_is_written_to_the_cache_has_its_own_price() -> None:
    usage = Usage(input_tokens=1_000_000, cached_input_tokens=300_000, cache_write_tokens=600_000)
    price = FlatPrice(Decimal(10), Decimal(50), Decimal(1), cache_write_usd_per_mtok=Decimal("12.5"))
    assert price.cost_usd(usage) == Decimal("1.0") + Decimal("0.3") + Decimal("7.5")
    same = FlatPrice(Decimal(10), Decimal(50))
    assert same.cost_usd(usage) == 10
    catalogue = catalogue_price("anthropic", "claude-sonnet-4-5")
    assert catalogue is not None
    written = catalogue.cost_usd(Usage(input_tokens=1_000, cache_write_tokens=1_000))
    assert written == catalogue.cost_usd(Usage(input_tokens=1_000)) * Decimal("1.25")


@given(counts, counts, counts)
def test_a_flat_price_never_pays_for_more_input_than_there_is(sent: int, cached: int, written: int) -> None:
    price = FlatPrice(Decimal(1), Decimal(1), Decimal(0), cache_write_usd_per_mtok=Decimal(2))
    cost = price.cost_usd(Usage(input_tokens=sent, cached_input_tokens=cached, cache_write_tokens=written))
    assert 0 <= cost <= Decimal(2) * sent / 1_000_000


def test_a_file_of_prices_may_name_the_price_of_writing_to_the_cache(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(
        '["a:b"]\ninput_usd_per_mtok = 3\noutput_usd_per_mtok = 15\ncache_write_usd_per_mtok = "3.75"\n',
        encoding="utf-8",
    )
    assert load_overrides(file)["a:b"].cache_write_usd_per_mtok == Decimal("3.75")


def test_a_price_may_be_given_as_any_number_and_as_nothing_else() -> None:
    price = FlatPrice(1.25, "10", 1)  # type: ignore[arg-type]
    assert price == FlatPrice(Decimal("1.25"), Decimal(10), Decimal(1))
    for wrong in ("much", None, True, float("nan"), -1):
        with pytest.raises(ConfigError, match="a number from 0 up"):
            FlatPrice(wrong, Decimal(1))  # type: ignore[arg-type]


def test_a_source_of_prices_is_asked_again_for_each_request() -> None:
    quotes = iter([FlatPrice(Decimal(1), Decimal(1)), None])
    asked: list[str] = []

    def live(name: str) -> FlatPrice | None:
        asked.append(name)
        return next(quotes)

    model = provider_model("openai:m", base_url="http://127.0.0.1:1/v1", prices=live)
    assert model.price == FlatPrice(Decimal(1), Decimal(1))
    assert model.price is None
    assert asked == ["openai:m"] * 2
