"""The SDK of OpenTelemetry as the variables of the environment say, for a program that has set none up: the command.

`OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER` name exporters (`otlp`, `console`, `none`, or any other that is
installed; `otlp` by default), `OTEL_EXPORTER_OTLP_PROTOCOL` the protocol (`http/protobuf` by default). The SDK and the
exporters read the rest, such as `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME` and `OTEL_TRACES_SAMPLER`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Literal

from rlmbox.errors import ConfigError
from rlmbox.telemetry.telemetry import Telemetry

SERVICE = "rlmbox"
"""The service's name where the environment has none."""

_INSTALL = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
_TIMEOUT_S = 3.0  # of a delivery: somebody waits at a terminal


class Delivery(logging.Handler):
    """The outcome of the export, which the SDK says to a log and to nobody else.

    Attributes:
        problem: The first problem, in one line; empty where there was none.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.problem = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of the SDK's log."""
        reason = record.exc_info[1] if record.exc_info else None
        said = f"{record.getMessage()}{f' ({reason})' if reason else ''}"
        self.problem = self.problem or " ".join(said.split())[:300]


@contextmanager
def exported(delivery: Delivery) -> Iterator[Telemetry]:
    """Set the SDK up, and deliver what there is at the end.

    Args:
        delivery: Records the outcome.

    Raises:
        ConfigError: The SDK or an exporter is not installed.
    """
    Telemetry()  # says what is missing
    log = logging.getLogger("opentelemetry")
    propagates, log.propagate = log.propagate, False
    log.addHandler(delivery)
    try:
        found, providers = _set_up()
        try:
            yield found
        finally:
            for provider in providers:
                provider.shutdown()
    finally:
        log.removeHandler(delivery)
        log.propagate = propagates


def _set_up() -> tuple[Telemetry, tuple[Any, ...]]:
    try:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(f"--otel needs the SDK of OpenTelemetry; install it: {_INSTALL}") from None
    named = "OTEL_SERVICE_NAME" in os.environ or f"{SERVICE_NAME}=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {SERVICE_NAME: SERVICE})
    traces, metrics = _exporters("traces"), _exporters("metrics")
    tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for exporter in traces:
        tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
    readers = [each if hasattr(each, "collect") else PeriodicExportingMetricReader(each) for each in metrics]
    meter_provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    found = Telemetry(tracer_provider=tracer_provider, meter_provider=meter_provider)
    return found, (tracer_provider, meter_provider)


def _exporters(signal: Literal["traces", "metrics"]) -> list[Any]:
    """Return the exporters that the environment names.

    Raises:
        ConfigError: One is not installed.
    """
    asked = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    names = [name.strip() for name in asked.split(",") if name.strip().lower() != "none"]
    return [_exporter(signal, name) for name in names]


def _exporter(signal: Literal["traces", "metrics"], name: str) -> Any:
    full = f"otlp_proto_{_protocol(signal)}" if name == "otlp" else name
    for found in entry_points(group=f"opentelemetry_{signal}_exporter", name=full):
        return found.load()(**_options(signal, full))
    package = f"opentelemetry-exporter-{full.replace('_', '-')}"
    raise ConfigError(f"there is no exporter {name!r} for {signal}; install it: pip install {package}")


def _options(signal: Literal["traces", "metrics"], name: str) -> dict[str, Any]:
    if name == "console":
        return {"out": sys.stderr}  # standard output is for the answer
    variables = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    if not name.startswith("otlp_") or any(os.environ.get(variable) for variable in variables):
        return {}
    return {"timeout": _TIMEOUT_S}


def _protocol(signal: Literal["traces", "metrics"]) -> str:
    either = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((os.environ[name] for name in either if os.environ.get(name)), "http/protobuf")
    return protocol.partition("/")[0]
