"""Spans of a run: which there are, whose children they are, how they end, and what is in them."""

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from rlmbox import RLM, Limits, Tool
from rlmbox.errors import BudgetExceeded, MaxTurnsExceeded, ModelError
from rlmbox.record.journal import MemoryStore
from rlmbox.requests.retries import RetryPolicy
from rlmbox.telemetry import Telemetry
from rlmbox.testing import ProviderServer, ScriptedModel
from runs import PENNY, TEXT, repl

RICH = Limits(cost_limit_usd=10_000)
SECRET = "the launch code is 7431"


class Exported:
    """A run's telemetry in memory."""

    def __init__(self, *, content: bool | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._metric_reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._metric_reader])
        self.telemetry = Telemetry(content, self.tracer_provider, self.meter_provider)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def of(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        above = span.parent.span_id if span.parent else None
        return next((each for each in self.spans if each.context.span_id == above), None)

    def path(self, span: ReadableSpan) -> list[str]:
        """Names from the root down to the span."""
        above = self.parent(span)
        return [*(self.path(above) if above else []), span.name]

    def points(self, metric: str) -> list[Any]:
        data = json.loads(self._metric_reader.get_metrics_data().to_json())
        metrics = data["resource_metrics"][0]["scope_metrics"][0]["metrics"]
        return [point for each in metrics if each["name"] == metric for point in each["data"]["data_points"]]


@pytest.fixture
def exported() -> Iterator[Exported]:
    found = Exported()
    yield found
    found.tracer_provider.shutdown()
    found.meter_provider.shutdown()


def answers(messages: Any) -> str:
    asked = messages[-1].content
    if "child?" in asked:
        return repl("FINAL(llm_query('from the child'))")
    return f"said {asked}"


def whole(**options: Any) -> RLM:
    """A run with a batch of sub-calls, a tool, and two children at once."""
    code = (
        "found = llm_query_batched(['a', 'b', 'c'])\nn = double(4)\n"
        "FINAL([found, n, rlm_query_batched(['child? 1', 'child? 2'])])"
    )

    async def double(x: int) -> int:
        """Double."""
        with trace.get_tracer("mine", tracer_provider=options["telemetry"].tracer_provider).start_as_current_span(
            "own"
        ):
            return 2 * x

    root = ScriptedModel([repl("x = 1"), repl(code)], name="openai:root", price=PENNY)
    sub = ScriptedModel([answers] * 7, name="anthropic:sub", price=PENNY)
    return RLM(root, sub_model=sub, tools=[double], limits=RICH, **options)


AGENT = "invoke_agent rlmbox"
CELL = "execute_tool python"


async def test_every_part_of_a_run_is_a_span_below_the_part_it_belongs_to(exported: Exported) -> None:
    answer = await whole(telemetry=exported.telemetry).aask("?", TEXT)
    assert len({span.context.trace_id for span in exported.spans}) == 1
    paths = [exported.path(span) for span in exported.spans]
    batch = [AGENT, "turn", CELL, "execute_tool llm_query_batched", "subcall llm_query_batched"]
    child = [AGENT, "turn", CELL, "execute_tool rlm_query_batched", "subcall rlm_query_batched", AGENT]
    for path, times in (
        ([AGENT], 1),
        ([AGENT, "turn"], 2),
        ([AGENT, "turn", "chat root"], 2),
        ([AGENT, "turn", CELL], 2),
        (batch, 3),
        ([*batch, "chat sub"], 3),
        ([AGENT, "turn", CELL, "execute_tool double"], 1),
        ([AGENT, "turn", CELL, "execute_tool double", "own"], 1),
        (child, 2),
        ([*child, "turn", "chat sub"], 2),
        ([*child, "turn", CELL, "execute_tool llm_query", "subcall llm_query", "chat sub"], 2),
    ):
        assert paths.count(path) == times, path
    root = exported.of(AGENT)[-1]
    assert exported.parent(root) is None
    assert (
        dict(root.attributes or {}).items()
        >= {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "root",
            "gen_ai.agent.name": "rlmbox",
            "gen_ai.conversation.id": answer.run_id,
            "rlmbox.run.id": answer.run_id,
            "rlmbox.session.depth": 0,
            "rlmbox.turns": 2,
            "rlmbox.cost.usd": float(answer.cost_usd),
            "gen_ai.usage.input_tokens": answer.usage.input_tokens,
            "gen_ai.usage.output_tokens": answer.usage.output_tokens,
        }.items()
    )
    chat = exported.of("chat sub")[0]
    assert chat.kind is SpanKind.CLIENT
    assert (chat.attributes or {})["gen_ai.provider.name"] == "anthropic"
    assert (chat.attributes or {})["gen_ai.usage.output_tokens"] == 2 + ("child" in str(chat.attributes))
    assert exported.of("chat root")[0].attributes["gen_ai.response.finish_reasons"] == ("stop",)  # type: ignore[index]
    for span in exported.spans:
        above = exported.parent(span)
        assert span.status.status_code is not StatusCode.ERROR
        if above is not None and above.name != "chat sub":
            assert above.start_time <= span.start_time <= span.end_time <= above.end_time, exported.path(span)  # type: ignore[operator]


async def test_the_metrics_add_up_to_the_run(exported: Exported) -> None:
    answer = await whole(telemetry=exported.telemetry).aask("?", TEXT)
    tokens = exported.points("gen_ai.client.token.usage")
    by_type = {
        kind: sum(p["sum"] for p in tokens if p["attributes"]["gen_ai.token.type"] == kind)
        for kind in ("input", "output")
    }
    assert by_type == {"input": answer.usage.input_tokens, "output": answer.usage.output_tokens}
    assert {p["attributes"]["gen_ai.request.model"] for p in tokens} == {"root", "sub"}
    durations = exported.points("gen_ai.client.operation.duration")
    assert sum(point["count"] for point in durations) == answer.usage.requests
    assert all(point["attributes"]["gen_ai.operation.name"] == "chat" for point in durations)
    assert sum(point["value"] for point in exported.points("rlmbox.cost")) == pytest.approx(float(answer.cost_usd))
    assert sum(point["count"] for point in exported.points("gen_ai.invoke_agent.duration")) == 3
    tools = {p["attributes"]["gen_ai.tool.name"]: p["count"] for p in exported.points("gen_ai.execute_tool.duration")}
    assert tools == {"python": 4, "double": 1, "llm_query_batched": 1, "rlm_query_batched": 1, "llm_query": 2}


@pytest.mark.parametrize("variable", ["", "true"])
async def test_texts_are_in_spans_only_when_asked_for(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", variable)
    for given, has_content in ((None, bool(variable)), (True, True), (False, False)):
        exported = Exported(content=given)

        def fails(text: str) -> None:
            """Fail."""
            raise ValueError(text)

        root = ScriptedModel(
            [repl(f"print(llm_query({SECRET!r}))"), repl(f"fails({SECRET!r})"), f"FINAL({SECRET})"], name="root"
        )
        sub = ScriptedModel([SECRET], name="sub")
        await RLM(root, sub_model=sub, tools=[fails], telemetry=exported.telemetry).aask(SECRET, SECRET)
        everything = "".join(span.to_json() for span in exported.spans)
        assert (SECRET in everything) is has_content
        if has_content:
            inputs = json.loads((exported.of("chat root")[1].attributes or {})["gen_ai.input.messages"])  # type: ignore[arg-type]
            assert [each["role"] for each in inputs] == ["system", "user", "assistant", "user"]
            assert inputs[1]["parts"][0]["content"].count(SECRET) >= 1
            assert SECRET in str((exported.of("chat sub")[0].attributes or {})["gen_ai.output.messages"])
            assert SECRET in str((exported.of("execute_tool fails")[0].attributes or {})["gen_ai.tool.call.arguments"])
            assert "7431" in str((exported.of(CELL)[0].attributes or {})["gen_ai.tool.call.result"])


async def test_a_tools_secret_is_in_no_span(exported: Exported) -> None:
    def search(key: str) -> str:
        """Search."""
        raise ValueError(f"no such key: {key}")

    exported = Exported(content=True)
    root = ScriptedModel([repl("search()"), "FINAL(ok)"], name="root")
    tool = Tool(search, secrets={"key": "sk-live-4f9aQ7zL2mX8"})
    await RLM(root, tools=[tool], telemetry=exported.telemetry).aask("?", TEXT)
    assert "[secret]" in "".join(span.to_json() for span in exported.spans)
    assert "sk-live" not in "".join(span.to_json() for span in exported.spans)


def failed(spans: list[ReadableSpan]) -> list[tuple[Any, str | None]]:
    return [
        ((span.attributes or {}).get("error.type"), span.status.description)
        for span in spans
        if span.status.status_code is StatusCode.ERROR
    ]


async def test_errors_are_the_status_of_the_spans_they_ended(exported: Exported) -> None:
    def fails() -> None:
        """Fail."""
        raise LookupError("no such customer")

    root = ScriptedModel([repl("fails()"), repl("1 / 0"), "FINAL(ok)"], name="root")
    await RLM(root, tools=[fails], telemetry=exported.telemetry).aask("?", TEXT)
    assert failed(exported.of("execute_tool fails")) == [("LookupError", "LookupError")]
    assert [kind for kind, _ in failed(exported.of(CELL))] == ["LookupError", "ZeroDivisionError"]
    assert failed(exported.of(AGENT)) == []


async def test_an_attempt_that_failed_is_a_span_of_its_own(exported: Exported) -> None:
    busy = ModelError("busy", retryable=True, status=503)
    root = ScriptedModel([busy, "FINAL(ok)"], name="root")
    quick = RetryPolicy(base_delay_s=0.001, max_delay_s=0.002)
    await RLM(root, telemetry=exported.telemetry, retries=quick).aask("?", TEXT)
    spans = exported.of("chat root")
    assert [(span.attributes or {})["rlmbox.attempt"] for span in spans] == [1, 2]
    assert failed(spans) == [("ModelError", "ModelError")]
    assert {tuple(exported.path(span)) for span in spans} == {(AGENT, "turn", "chat root")}
    with_error = [p for p in exported.points("gen_ai.client.operation.duration") if "error.type" in p["attributes"]]
    assert [(p["count"], p["attributes"]["error.type"]) for p in with_error] == [(1, "ModelError")]


async def test_a_limit_is_the_status_of_the_question_and_says_which(exported: Exported) -> None:
    root = ScriptedModel([repl("x = 1"), "nothing new"], name="root")
    with pytest.raises(MaxTurnsExceeded):
        await RLM(root, limits=Limits(max_turns=1), telemetry=exported.telemetry).aask("?", TEXT)
    ((kind, description),) = failed(exported.of(AGENT))
    assert kind == "MaxTurnsExceeded"
    assert "max_turns" in str(description)
    last = exported.of("chat root")[-1]  # the request for a best answer
    assert exported.path(last) == [AGENT, "chat root"]


async def test_a_limit_in_a_sub_call_is_the_status_of_all_that_it_ended(exported: Exported) -> None:
    root = ScriptedModel([repl("llm_query('x' * 3_000_000)")], name="root", price=PENNY)
    limits = Limits(cost_limit_usd=500, truncate_input=False, last_answer=False)
    with pytest.raises((BudgetExceeded, ModelError)):
        await RLM(root, limits=limits, telemetry=exported.telemetry).aask("?", TEXT)
    assert all(span.end_time for span in exported.spans)
    assert failed(exported.of("subcall llm_query"))
    assert failed(exported.of(AGENT))


async def test_a_run_that_is_cancelled_leaves_no_span_open(exported: Exported) -> None:
    async def hangs() -> None:
        """Hang."""
        scope.cancel()
        await anyio.sleep(60)

    root = ScriptedModel([repl("hangs()")], name="root")
    with anyio.CancelScope() as scope:
        await RLM(root, tools=[hangs], telemetry=exported.telemetry).aask("?", TEXT)
    assert failed(exported.of("execute_tool hangs"))[0][0] == "cancelled"
    assert len(failed(exported.of(AGENT))) == 1
    assert {exported.path(span)[0] for span in exported.spans} == {AGENT}


async def test_the_questions_of_a_session_are_invocations_of_one_conversation(exported: Exported) -> None:
    root = ScriptedModel(["FINAL(one)", "FINAL(two)"], name="root")
    async with RLM(root, telemetry=exported.telemetry).session(TEXT) as session:
        await session.ask("first?")
        await session.ask("second?")
    spans = exported.of(AGENT)
    assert [(span.attributes or {})["rlmbox.question.number"] for span in spans] == [1, 2]
    assert len({(span.attributes or {})["gen_ai.conversation.id"] for span in spans}) == 1


async def test_the_span_of_the_caller_is_the_parent_and_stays_current(exported: Exported) -> None:
    tracer = trace.get_tracer("mine", tracer_provider=exported.tracer_provider)
    with tracer.start_as_current_span("request of a user") as mine:
        await whole(telemetry=exported.telemetry).aask("?", TEXT)
        assert trace.get_current_span() is mine
    assert {exported.path(span)[0] for span in exported.spans} == {"request of a user"}


def test_the_span_of_blocking_code_is_the_parent_too(exported: Exported) -> None:
    tracer = trace.get_tracer("mine", tracer_provider=exported.tracer_provider)
    with tracer.start_as_current_span("request of a user"):
        whole(telemetry=exported.telemetry).ask("?", TEXT)
    assert {exported.path(span)[0] for span in exported.spans} == {"request of a user"}


async def test_a_run_that_goes_on_has_a_trace_of_its_own_that_says_so(exported: Exported) -> None:
    store = MemoryStore()
    broken = ScriptedModel([repl("a = 1"), ModelError("away", status=401)], name="root")
    with pytest.raises(ModelError):
        await RLM(broken, store=store).aask("?", TEXT, run_id="r")
    again = RLM(ScriptedModel([repl("FINAL(a)")], name="root"), store=store, telemetry=exported.telemetry)
    assert (await again.aresume("r")).text == "1"
    (agent,) = exported.of(AGENT)
    assert (agent.attributes or {})["rlmbox.resumed"] is True
    assert [exported.path(span) for span in exported.of(CELL)] == [[AGENT, "turn", CELL]]
    before = len(exported.spans)
    await RLM(ScriptedModel([], name="root"), store=store, telemetry=exported.telemetry).areplay("r")
    assert len(exported.spans) == before  # nothing happens in a replay


async def test_a_request_carries_the_trace_to_the_provider(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    code = repl("FINAL(llm_query_batched(['a', 'b']))")
    with ProviderServer([code, "A", "B", "FINAL(ok)"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
        async with RLM("openai:gpt-5", limits=Limits(cost_limit_usd=None), telemetry=exported.telemetry) as asked:
            await asked.aask("?", TEXT)
        async with RLM("openai:gpt-5", limits=Limits(cost_limit_usd=None)) as silent:
            await silent.aask("?", TEXT)
        sent = [request.headers.get("traceparent", "") for request in server.requests]
    chats = {
        f"00-{s.context.trace_id:032x}-{s.context.span_id:016x}-{s.context.trace_flags:02x}"
        for s in exported.of("chat gpt-5")
    }
    assert len(chats) == 3
    assert set(sent[:3]) == chats
    assert set(sent[3:]) == {""}
