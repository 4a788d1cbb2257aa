"""`rlmbox ask --otel` to a real receiver, and what it says where that is away; telemetry that is off costs nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preloaded import rlmbox_command
from rlmbox import RLM
from rlmbox.errors import ConfigError
from rlmbox.telemetry import Telemetry, exporting
from rlmbox.testing import ScriptedModel

TEXT = "A penalty of 5 % applies to late delivery."


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of what a receiver in a process of its own has got."""
    file = tmp_path / "received.jsonl"
    file.touch()
    program = [sys.executable, str(Path(__file__).with_name("otlp_receiver.py")), str(file)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        try:
            yield file
        finally:
            process.kill()


def ask(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "contract.txt").write_text(TEXT)
    command = [*rlmbox_command(), "ask", "Which penalty?", "-c", str(folder / "contract.txt"), "--no-record"]
    return subprocess.run([*command, "--sandbox", "monty", *options], capture_output=True, text=True, check=False)


def attributes(of: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values())) for each in of.get("attributes", ())}


def test_the_command_sends_spans_and_metrics_to_a_receiver(
    received: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=legal")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    done = ask(tmp_path, "--otel")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == TEXT
    assert "telemetry" not in done.stderr
    arrived = [json.loads(line) for line in received.read_text().splitlines()]
    assert {each["path"] for each in arrived} == {"/v1/traces", "/v1/metrics"}
    assert {each["headers"]["x-team"] for each in arrived} == {"legal"}
    resources = [r for each in arrived if each["path"] == "/v1/traces" for r in each["message"]["resourceSpans"]]
    assert (
        attributes(resources[0]["resource"]).items()
        >= {
            "service.name": "rlmbox",
            "deployment.environment.name": "test",
        }.items()
    )
    spans = [span for r in resources for scope in r["scopeSpans"] for span in scope["spans"]]
    by_id = {span["spanId"]: span for span in spans}
    (root,) = (span for span in spans if not span.get("parentSpanId"))
    assert root["name"] == "invoke_agent rlmbox"
    assert all(span["parentSpanId"] in by_id for span in spans if span is not root)
    chats = [span for span in spans if span["name"] == "chat extractive"]
    assert chats
    assert all(span["kind"] == "SPAN_KIND_CLIENT" for span in chats)
    assert int(attributes(chats[0])["gen_ai.usage.input_tokens"]) > 0
    metrics = [
        metric["name"]
        for each in arrived
        if each["path"] == "/v1/metrics"
        for resource in each["message"]["resourceMetrics"]
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
    ]
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"} <= set(metrics)
    assert TEXT not in received.read_text()


def test_a_receiver_that_is_away_is_one_line_and_the_answer_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    done = ask(tmp_path, "--otel")
    assert done.returncode == 0
    assert done.stdout.strip() == TEXT
    assert done.stderr.count("telemetry did not arrive") == 1
    assert "Traceback" not in done.stderr


def test_the_exporters_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "contracts")
    with exporting.exported(exporting.Delivery()) as telemetry:
        RLM(ScriptedModel(["FINAL(ok)"]), telemetry=telemetry).ask("?", TEXT)
    printed = capsys.readouterr()
    assert "invoke_agent rlmbox" in printed.err
    assert '"service.name": "contracts"' in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "opentelemetry-exporter-zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "opentelemetry-exporter-otlp-proto-grpc"),
    ],
)
def test_an_exporter_that_is_not_installed_is_named(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=says), exporting.exported(exporting.Delivery()):
        pass


def test_without_the_api_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ConfigError, match=r"rlmbox\[otel\]"):
        RLM(ScriptedModel([]), telemetry=True)
    with pytest.raises(ConfigError, match=r"rlmbox\[otel\]"):
        Telemetry()


def test_telemetry_that_is_off_is_not_even_imported() -> None:
    program = """
import sys
from rlmbox import RLM
from rlmbox.testing import ScriptedModel
RLM(ScriptedModel(["FINAL(ok)"]), sandbox="monty").ask("?", "text")
parts = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry.sdk", "rlmbox.telemetry")
print([name for name in sys.modules if name.startswith(parts)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_true_uses_what_the_program_has_set_up() -> None:
    program = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rlmbox import RLM
from rlmbox.testing import ScriptedModel
rlm = RLM(ScriptedModel(["FINAL(ok)"]), sandbox="monty", telemetry=True)
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
rlm.ask("?", "text")
print(*[span.name for span in exporter.get_finished_spans()], sep=", ")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "chat scripted, turn, invoke_agent rlmbox"
