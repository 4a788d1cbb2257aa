"""Windows, prices, timeouts and keys that are given to an RLM reach the models that it makes."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from rlmbox import RLM, Limits
from rlmbox.cli.asking import windows_of
from rlmbox.errors import ConfigError, ModelError, PriceUnknown
from rlmbox.models.prices import FlatPrice
from rlmbox.testing import ProviderFault, ProviderReply, ProviderRequest, ProviderServer

FINAL = 'FINAL("yes")'


def rlm_at(server: ProviderServer, model: str = "openai:m", **options: object) -> RLM:
    options = {"api_key": "k-123456", "sandbox": "monty", **options}
    return RLM(model, base_url=server.openai_url, **options)  # type: ignore[arg-type]


def test_a_window_is_one_figure_for_all_models_or_a_figure_for_each() -> None:
    with ProviderServer(FINAL) as server:
        one = rlm_at(server, sub_model="openai:s", windows=8_192)
        assert [one.model.window_tokens, one.sub_model.window_tokens] == [8_192, 8_192]
        each = rlm_at(server, sub_model="openai:s", windows={"openai:s": 4_096})
        assert [each.model.window_tokens, each.sub_model.window_tokens] == [128_000, 4_096]
        with pytest.raises(ConfigError, match="windows names 'openai:x'"):
            rlm_at(server, windows={"openai:x": 4_096})
        with pytest.raises(ConfigError, match="window_tokens must be at least 1"):
            rlm_at(server, windows=0)


@pytest.mark.parametrize(
    ("options", "windows"),
    [
        ([], None),
        (["8192"], 8_192),
        (["ollama:qwen3=8192", "openai:m=4096"], {"ollama:qwen3": 8_192, "openai:m": 4_096}),
        (["ollama:qwen3:8b=8192"], {"ollama:qwen3:8b": 8_192}),
    ],
)
def test_the_command_takes_windows_in_both_ways(options: list[str], windows: object) -> None:
    assert windows_of(options) == windows


@pytest.mark.parametrize("options", [["large"], ["m="], ["0"], ["-5"], ["8192", "m=4096"], ["m=1.5"]])
def test_a_window_that_is_none_is_refused(options: list[str]) -> None:
    with pytest.raises(ConfigError, match="--window"):
        windows_of(options)


def test_prices_that_change_are_asked_for_before_each_request() -> None:
    asked: list[str] = []

    def price(name: str) -> FlatPrice:
        asked.append(name)
        return FlatPrice(Decimal(1_000_000), Decimal(0))

    limits = Limits(cost_limit_usd="1000000000")
    with (
        ProviderServer(ProviderReply(FINAL, input_tokens=3)) as server,
        rlm_at(server, prices=price, limits=limits) as rlm,
    ):
        assert rlm.ask("Is it?", "a text").cost.total_usd == 3
        before = len(asked)
        rlm.ask("Is it?", "a text")
    assert len(asked) > before
    assert set(asked) == {"openai:m"}


def test_prices_are_a_mapping_as_well_and_what_neither_knows_is_unknown() -> None:
    with ProviderServer(ProviderReply(FINAL, input_tokens=3)) as server:
        prices = {"openai:m": FlatPrice(Decimal(1_000_000), Decimal(0))}
        with rlm_at(server, prices=prices, limits=Limits(cost_limit_usd="1000000000")) as rlm:
            assert rlm.ask("Is it?", "a text").cost.total_usd == 3
        with pytest.raises(PriceUnknown, match="openai:m"):
            rlm_at(server, prices=lambda _: None, limits=Limits(cost_limit_usd="1"))
        with rlm_at(server) as rlm:
            assert rlm.ask("Is it?", "a text").cost.unknown


def test_a_request_timeout_ends_an_attempt_that_hangs() -> None:
    with ProviderServer([ProviderFault("hang"), FINAL]) as server, rlm_at(server, request_timeout_s=0.3) as rlm:
        began_s = time.monotonic()
        assert rlm.ask("Is it?", "a text").text == "yes"
        assert time.monotonic() - began_s < 60
    with pytest.raises(ConfigError, match="--request-timeout\\) must be a number"), ProviderServer(FINAL) as server:
        rlm_at(server, request_timeout_s=0)


def test_a_key_is_sent_and_shown_nowhere() -> None:
    with ProviderServer(ProviderFault("status", 400)) as server, rlm_at(server, api_key="sk-very-secret") as rlm:
        with pytest.raises(ModelError) as caught:
            rlm.ask("Is it?", "a text")
        assert server.requests[0].key == "sk-very-secret"
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in repr(rlm.model)


def test_a_users_check_sends_a_turn_to_the_other_model() -> None:
    def answer(request: ProviderRequest) -> str:
        return "I cannot" if request.model == "m" else FINAL

    with (
        ProviderServer(answer) as server,
        rlm_at(server, fallback_model="openai:other", fallback_when=lambda reply: "cannot" in reply.text) as rlm,
    ):
        assert rlm.ask("Is it?", "a text").text == "yes"
    assert [request.model for request in server.requests] == ["m", "other"]


def test_the_report_divides_tokens_and_models_among_root_and_recursive() -> None:
    def answer(request: ProviderRequest) -> ProviderReply:
        if request.model == "s":
            return ProviderReply("yes", input_tokens=40, output_tokens=4)
        return ProviderReply("```repl\nFINAL(llm_query('Is it?'))\n```", input_tokens=100, output_tokens=10)

    prices = {"openai:m": FlatPrice(Decimal(3), Decimal(15)), "openai:s": FlatPrice(Decimal(1), Decimal(5))}
    with ProviderServer(answer) as server, rlm_at(server, sub_model="openai:s", prices=prices) as rlm:
        report = rlm.ask("Is it?", "a text").report
    root, recursive = report.by_account
    assert (root.name, root.input_tokens, root.output_tokens, root.models) == ("root", 100, 10, ("openai:m",))
    assert (recursive.name, recursive.input_tokens, recursive.output_tokens, recursive.calls) == ("recursive", 40, 4, 1)
    assert recursive.models == ("openai:s",)
    assert root.cost_usd + recursive.cost_usd == report.total_usd
    assert root.percent + recursive.percent == 100
