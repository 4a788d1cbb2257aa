"""What goes wrong at a provider, and what a user is told."""

import asyncio
import logging
import socket
import traceback
from collections.abc import Callable

import pytest

from rlmbox.errors import ConfigError, ContextLimitExceeded, ModelError
from rlmbox.models.providers import provider_model
from rlmbox.models.retries import RetryPolicy
from rlmbox.testing import ProviderFault, ProviderServer, http_fault
from rlmbox.testing.provider_server import Script
from rlmbox.types import Message

KEY = "sk-test-0123456789abcdef"
ASK = (Message("user", "Well?"),)
QUICK = RetryPolicy(base_delay_s=0.001, max_delay_s=0.001)
NAMES = ("openai:llama3", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro", "azure:mine")
every_provider = pytest.mark.parametrize("name", NAMES)


async def ask(
    script: Script,
    name: str = "openai:llama3",
    *,
    retries: RetryPolicy = QUICK,
    timeout_s: float = 30,
    key: str | None = KEY,
) -> tuple[str | ModelError, ProviderServer]:
    async with ProviderServer(script) as server:
        url = server.openai_url if name.startswith("openai") else server.url
        model = provider_model(name, base_url=url, api_key=key, retries=retries)
        try:
            completion = await model.complete(ASK, max_output_tokens=50, timeout_s=timeout_s)
        except ModelError as error:
            return error, server
        else:
            return completion.text, server
        finally:
            await model.aclose()


def failure(result: str | ModelError) -> ModelError:
    assert isinstance(result, ModelError), result
    return result


@every_provider
@pytest.mark.parametrize(
    ("fault", "requests", "words", "status", "retryable", "billed"),
    [
        (http_fault(401), 1, "key was refused", 401, False, False),
        (http_fault(403), 1, "key was refused", 403, False, False),
        (http_fault(404), 1, "knows no model", 404, False, False),
        (http_fault(400), 1, "request was refused", 400, False, False),
        (http_fault(429), 4, "too many requests after 4 attempts", 429, True, False),
        (http_fault(500), 4, "failed after 4 attempts", 500, True, False),
        (http_fault(502), 4, "failed after 4 attempts", 502, True, False),
        (http_fault(503), 4, "failed after 4 attempts", 503, True, False),
        (http_fault(529), 4, "failed after 4 attempts", 529, True, False),
        (ProviderFault("too_long"), 1, "longer than the model's window", 400, False, False),
        (ProviderFault("reset"), 1, "broke before the reply was complete", None, True, True),
        (ProviderFault("hang_up"), 1, "broke before the reply was complete", None, True, True),
        (ProviderFault("truncated"), 1, "cannot be read", None, True, True),
        (ProviderFault("not_json"), 1, "cannot be read", None, True, True),
        (ProviderFault("bomb"), 1, "longer than 64 MB", None, False, True),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, ProviderFault) else "",
)
async def test_every_fault_is_one_clear_line_and_only_unbilled_ones_are_tried_again(
    name: str, fault: ProviderFault, requests: int, words: str, status: int | None, retryable: bool, billed: bool
) -> None:
    result, server = await ask(fault, name)
    error = failure(result)
    assert words in str(error)
    assert str(error).startswith(f"{name}: ")
    assert "\n" not in str(error)
    assert len(server.requests) == requests
    assert (error.status, error.retryable, error.possibly_billed) == (status, retryable, billed)
    assert isinstance(error, ContextLimitExceeded) is (fault.kind == "too_long")


@every_provider
@pytest.mark.parametrize(
    "fault",
    [http_fault(401), http_fault(404), http_fault(429), http_fault(500), http_fault(400, message=f"bad {KEY} here")],
    ids=lambda fault: str(fault.status),
)
async def test_the_key_is_in_no_error_no_traceback_and_no_log(
    name: str, fault: ProviderFault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    result, server = await ask(fault, name)
    error = failure(result)
    # The server repeats the key in what it says, so there is something to leak.
    assert server.requests[0].key == KEY
    assert KEY not in "".join(traceback.format_exception(error))
    assert error.__cause__ is None
    assert error.__context__ is None
    assert KEY not in caplog.text


@pytest.mark.parametrize("fault", [http_fault(500), http_fault(429), http_fault(529)], ids=lambda f: str(f.status))
@every_provider
async def test_a_passing_fault_is_not_noticed(name: str, fault: ProviderFault) -> None:
    result, server = await ask([fault, fault, fault, "at last"], name)
    assert result == "at last"
    assert len(server.requests) == 4


async def test_a_refused_key_names_the_variable_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert "check OPENAI_API_KEY" in str((await ask(http_fault(401), key=None))[0])
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "set OPENAI_API_KEY" in str((await ask(http_fault(401), key=None))[0])
    assert "check the api_key argument" in str((await ask(http_fault(401)))[0])


async def test_retry_after_comes_before_backoff() -> None:
    patient = RetryPolicy(base_delay_s=3600, max_delay_s=3600)
    # Backoff would take an hour.
    result, _ = await ask([http_fault(429, retry_after="0"), "soon"], retries=patient)
    assert result == "soon"


async def test_a_long_retry_after_is_cut_to_the_policys_limit() -> None:
    bounded = RetryPolicy(base_delay_s=3600, max_delay_s=3600, max_retry_after_s=0.01)
    result, _ = await ask([http_fault(503, retry_after="86400"), "soon"], retries=bounded)
    assert result == "soon"


async def test_googles_retry_delay_in_the_body_is_honoured() -> None:
    patient = RetryPolicy(base_delay_s=3600, max_delay_s=3600)
    fault = http_fault(429, message='see "retryDelay": "0.01s"')
    # Inside a JSON string the quotes are escaped, so this one is text and not a delay.
    with_detail = _google_quota("0.01s")
    result, server = await ask([with_detail, "soon"], "google:gemini-2.5-pro", retries=patient)
    assert result == "soon"
    assert len(server.requests) == 2
    result, server = await ask([fault], "google:gemini-2.5-pro", retries=patient, timeout_s=0.2)
    assert "no reply" in str(failure(result))


def _google_quota(delay: str) -> ProviderFault:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return ProviderFault("status", 429, message="quota", details=(detail,))


@pytest.mark.parametrize(
    "fault", [http_fault(429, code="insufficient_quota"), http_fault(402)], ids=["insufficient_quota", "402"]
)
async def test_a_quota_that_is_used_up_is_not_tried_again(fault: ProviderFault) -> None:
    result, server = await ask(fault)
    assert "quota or credit is used up" in str(failure(result))
    assert not failure(result).retryable
    assert len(server.requests) == 1


async def test_a_provider_can_forbid_another_attempt() -> None:
    fault = ProviderFault("status", 500, headers={"x-should-retry": "false"})
    _, server = await ask(fault)
    assert len(server.requests) == 1


@every_provider
async def test_a_hanging_provider_is_given_up_and_may_have_charged(name: str) -> None:
    result, _ = await ask(ProviderFault("hang"), name, timeout_s=0.3)
    error = failure(result)
    assert "within 0.3 s" in str(error)
    assert error.retryable
    assert error.possibly_billed


async def test_waiting_between_attempts_counts_towards_the_timeout_but_was_not_charged() -> None:
    patient = RetryPolicy(base_delay_s=3600, max_delay_s=3600)
    result, server = await ask(http_fault(500), retries=patient, timeout_s=0.3)
    assert "within 0.3 s" in str(failure(result))
    assert not failure(result).possibly_billed
    assert len(server.requests) == 1


@every_provider
async def test_a_refused_connection_names_the_address_and_was_not_charged(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    model = provider_model(name, base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, retries=QUICK)
    with pytest.raises(ModelError) as caught:
        await model.complete(ASK, max_output_tokens=5)
    await model.aclose()
    assert f"no connection to http://127.0.0.1:{port}" in str(caught.value)
    assert "after 4 attempts" in str(caught.value)
    assert caught.value.retryable
    assert not caught.value.possibly_billed


async def test_a_long_complaint_is_cut() -> None:
    result, _ = await ask(http_fault(400, message="x" * 100_000 + KEY))
    assert len(str(result)) < 1_000


@pytest.mark.parametrize("text", ["\x1b[31mred", "two\r\nlines\u2028here", KEY * 200])
async def test_what_a_server_says_cannot_break_the_line_or_the_terminal(text: str) -> None:
    result, _ = await ask(http_fault(400, message=text))
    assert str(result).isprintable()
    assert KEY[:8] not in str(result)


@every_provider
async def test_an_empty_json_object_is_no_reply(name: str) -> None:
    result, _ = await ask(ProviderFault("no_choice"), name)
    # Google leaves out what is empty, so there this is an empty reply.
    assert result == "" if name.startswith("google") else "cannot be read" in str(failure(result))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(attempts=0),
        lambda: RetryPolicy(base_delay_s=-1),
        lambda: RetryPolicy(max_retry_after_s=-1),
    ],
)
def test_a_retry_policy_that_makes_no_sense_is_refused(make: Callable[[], RetryPolicy]) -> None:
    with pytest.raises(ConfigError):
        make()


async def test_faults_of_one_request_do_not_touch_the_others() -> None:
    def by_prompt(request: object) -> ProviderFault | str:
        return http_fault(400) if "bad" in str(request) else "fine"

    async with ProviderServer(by_prompt) as server:
        model = provider_model("openai:llama3", base_url=server.openai_url, retries=QUICK)
        results = await asyncio.gather(
            *(model.complete((Message("user", p),), max_output_tokens=5) for p in ("good", "bad") * 10),
            return_exceptions=True,
        )
        await model.aclose()
    assert [isinstance(result, ModelError) for result in results] == [False, True] * 10
