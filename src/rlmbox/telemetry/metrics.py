"""The metrics of runs: tokens, durations and money."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rlmbox.telemetry import names
from rlmbox.types import Usage


class Instruments:
    """The instruments of one meter.

    Args:
        meter: The meter of the OpenTelemetry API.
    """

    def __init__(self, meter: Any) -> None:
        self._tokens = meter.create_histogram(
            names.TOKEN_USAGE,
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BOUNDARIES,
        )
        durations = {
            names.OPERATION_DURATION: "GenAI operation duration.",
            names.TOOL_DURATION: "Duration of tool executions.",
            names.AGENT_DURATION: "Duration of agent invocations.",
        }
        self._durations = {
            name: meter.create_histogram(
                name,
                unit="s",
                description=description,
                explicit_bucket_boundaries_advisory=names.SECOND_BOUNDARIES,
            )
            for name, description in durations.items()
        }
        self._cost = meter.create_counter(names.COST, unit="USD", description="Money charged for requests to models.")

    def took(self, metric: str, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Record how long an operation took.

        Args:
            metric: The metric's name.
            seconds: How long.
            attributes: What it was.
        """
        self._durations[metric].record(max(seconds, 0.0), dict(attributes))

    def charged(self, usage: Usage, cost_usd: Decimal, attributes: Mapping[str, Any]) -> None:
        """Record what a request was charged for.

        Args:
            usage: The tokens.
            cost_usd: The money.
            attributes: What was asked.
        """
        for kind, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            if count:
                self._tokens.record(count, {**attributes, names.TOKEN_TYPE: kind})
        if cost_usd:
            self._cost.add(float(cost_usd), dict(attributes))
