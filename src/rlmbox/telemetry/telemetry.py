"""The destination of spans and metrics, and how much is in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlmbox import __version__
from rlmbox.errors import ConfigError
from rlmbox.events import Hook
from rlmbox.telemetry import names
from rlmbox.telemetry.metrics import Instruments

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


@dataclass(frozen=True)
class Telemetry:
    """OpenTelemetry spans and metrics of runs.

    Attributes:
        content: Whether spans have what was asked and answered, run, printed and returned. None for what
            `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says, by default not.
        tracer_provider: Where spans go; None for where the program has set that up.
        meter_provider: Where metrics go; None for where the program has set that up.
    """

    content: bool | None = None
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None

    def __post_init__(self) -> None:
        """Check that the API is there.

        Raises:
            ConfigError: It is not installed.
        """
        try:
            import opentelemetry.metrics
            import opentelemetry.trace  # noqa: F401 - whether it is there
        except ImportError:
            raise ConfigError("telemetry needs OpenTelemetry; install it: pip install 'rlmbox[otel]'") from None

    @property
    def has_content(self) -> bool:
        """True if spans have texts."""
        if self.content is not None:
            return self.content
        said = os.environ.get(names.CONTENT_VARIABLE, "").strip().lower()
        return said in ("true", "1", "span_only", "span_and_event")

    def reader(self) -> Hook:
        """Return a reader of one run's events that makes its spans; the caller's current span is their parent."""
        from rlmbox.telemetry.spans import RunSpans

        return RunSpans(self._tracer, self._instruments, content=self.has_content)

    @cached_property
    def _tracer(self) -> Any:
        from opentelemetry.trace import get_tracer

        return get_tracer(names.SCOPE, __version__, tracer_provider=self.tracer_provider)

    @cached_property
    def _instruments(self) -> Instruments:
        from opentelemetry.metrics import get_meter

        return Instruments(get_meter(names.SCOPE, __version__, meter_provider=self.meter_provider))
