"""What goes wrong at a provider, and what a user is told."""

import asyncio
import logging
import socket
import traceback

import pytest

from rlmbox.errors import ContextLimitExceeded, ModelError
from rlmbox.models.providers import provider_model
from rlmbox.testing import ProviderFault, ProviderServer, http_fault
from rlmbox.testing.provider_server import Script
from rlmbox.types import Message

KEY = "sk-test-0123456789abcdef"
ASK = (Message("user", "Well?"),)
NAMES = ("openai:llama3", "anthropic:claude-sonnet-5-5", "google:gemini-2.5-pro", "azure:mine")
every_provider = pytest.mark.parametrize("name", NAMES)


async def ask(
    script: Script,
    name: str = "openai:llama3",
    *,
    timeout_s: float = 30,
    key: str | None = KEY,
) -> tuple[str | ModelError, ProviderServer]:
    async with ProviderServer(script) as server:
        url = server.openai_url if name.startswith("openai") else server.url
        model = provider_model(name, base_url=url, api_key=key)
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
    ("fault", "words", "status", "retryable", "billed"),
    [
        (http_fault(401), "key was refused", 401, False, False),
        (http_fault(403), "key was refused", 403, False, False),
        (http_fault(404), "knows no model", 404, False, False),
        (http_fault(400), "request was refused", 400, False, False),
        (http_fault(429), "too many requests", 429, True, False),
        (http_fault(500), "provider failed", 500, True, False),
        (http_fault(502), "provider failed", 502, True, False),
        (http_fault(503), "provider failed", 503, True, False),
        (http_fault(529), "provider failed", 529, True, False),
        (ProviderFault("too_long"), "longer than the model's window", 400, False, False),
        (ProviderFault("reset"), "broke before the reply was complete", None, True, True),
        (ProviderFault("hang_up"), "broke before the reply was complete", None, True, True),
        (ProviderFault("truncated"), "cannot be read", None, True, True),
        (ProviderFault("not_json"), "sent a web page and not a reply", None, False, False),
        (ProviderFault("bomb"), "longer than 16 MB", None, True, True),
        (ProviderFault("huge"), "longer than 16 MB", None, True, True),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, ProviderFault) else "",
)
async def test_every_fault_is_one_attempt_and_one_clear_line_that_says_what_may_have_been_billed(
    name: str, fault: ProviderFault, words: str, status: int | None, retryable: bool, billed: bool
) -> None:
    result, server = await ask(fault, name)
    error = failure(result)
    assert words in str(error)
    assert str(error).startswith(f"{name}: ")
    assert "\n" not in str(error)
    assert len(server.requests) == 1
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


async def test_a_refused_key_names_the_variable_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert "check OPENAI_API_KEY" in str((await ask(http_fault(401), key=None))[0])
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "set OPENAI_API_KEY" in str((await ask(http_fault(401), key=None))[0])
    assert "check the api_key argument" in str((await ask(http_fault(401)))[0])


@every_provider
@pytest.mark.parametrize("asked", ["7", "0"])
async def test_what_a_provider_asks_to_wait_is_on_the_error(name: str, asked: str) -> None:
    result, _ = await ask(http_fault(429, retry_after=asked), name)
    assert failure(result).retry_after_s == float(asked)
    result, _ = await ask(http_fault(503, retry_after=asked), name)
    assert failure(result).retry_after_s == float(asked)


@every_provider
@pytest.mark.parametrize("asked", [None, "soon", "-3", "nan"])
async def test_a_wait_that_makes_no_sense_is_none(name: str, asked: str | None) -> None:
    result, _ = await ask(http_fault(429, retry_after=asked), name)
    assert failure(result).retry_after_s in (None, 0.0)


async def test_googles_retry_delay_in_the_body_is_read_and_not_the_one_in_its_words() -> None:
    result, _ = await ask(_google_quota("0.01s"), "google:gemini-2.5-pro")
    assert failure(result).retry_after_s == 0.01
    # Inside a JSON string the quotes are escaped, so this one is text and not a delay.
    result, _ = await ask(http_fault(429, message='see "retryDelay": "0.01s"'), "google:gemini-2.5-pro")
    assert failure(result).retry_after_s is None


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
    result, _ = await ask(fault)
    assert not failure(result).retryable


@every_provider
async def test_a_hanging_provider_is_given_up_and_may_have_charged(name: str) -> None:
    result, _ = await ask(ProviderFault("hang"), name, timeout_s=1.5)
    error = failure(result)
    assert "within 1.5 s" in str(error)
    assert error.retryable
    assert error.possibly_billed


@every_provider
async def test_a_refused_connection_names_the_address_and_was_not_charged(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    model = provider_model(name, base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY)
    with pytest.raises(ModelError) as caught:
        await model.complete(ASK, max_output_tokens=5)
    await model.aclose()
    assert f"no connection to http://127.0.0.1:{port}" in str(caught.value)
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
async def test_a_web_page_from_an_address_that_has_answered_is_a_broken_reply(name: str) -> None:
    async with ProviderServer(["fine", ProviderFault("not_json")]) as server:
        url = server.openai_url if name.startswith("openai") else server.url
        model = provider_model(name, base_url=url, api_key=KEY)
        await model.complete(ASK, max_output_tokens=50)
        with pytest.raises(ModelError, match="cannot be read") as caught:
            await model.complete(ASK, max_output_tokens=50)
        await model.aclose()
    assert (caught.value.retryable, caught.value.possibly_billed) == (True, True)


@every_provider
async def test_an_empty_json_object_is_no_reply(name: str) -> None:
    result, _ = await ask(ProviderFault("no_choice"), name)
    # Google leaves out what is empty, so there this is an empty reply.
    assert result == "" if name.startswith("google") else "cannot be read" in str(failure(result))


async def test_faults_of_one_request_do_not_touch_the_others() -> None:
    def by_prompt(request: object) -> ProviderFault | str:
        return http_fault(400) if "bad" in str(request) else "fine"

    async with ProviderServer(by_prompt) as server:
        model = provider_model("openai:llama3", base_url=server.openai_url)
        results = await asyncio.gather(
            *(model.complete((Message("user", p),), max_output_tokens=5) for p in ("good", "bad") * 10),
            return_exceptions=True,
        )
        await model.aclose()
    assert [isinstance(result, ModelError) for result in results] == [False, True] * 10


async def test_an_address_without_a_path_says_what_may_be_missing() -> None:
    async with ProviderServer([http_fault(404)]) as server:
        model = provider_model("openai:llama3", base_url=server.url, api_key=KEY)
        with pytest.raises(ModelError, match=r"the base URL, which mostly ends in /v1"):
            await model.complete(ASK, max_output_tokens=50)
