"""OpenTelemetry: spans and metrics of runs, by the semantic conventions for generative AI.

`Telemetry` says where to and how much; `RunSpans` is a reader of one run's events and makes its spans; `Instruments`
are the metrics. `exporting` sets the SDK up for the command line. Nothing here is imported before somebody asks for it.
"""

from rlmbox.telemetry.telemetry import Telemetry as Telemetry

__all__ = ["Telemetry"]
