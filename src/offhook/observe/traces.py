"""Traces: the way to what writes spans (``observe/spans.py``), which needs packages that may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offhook.errors import SetupError
from offhook.observe.context import passed_on

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from offhook.clock import Clock
    from offhook.observe.spans import Traces

__all__ = ["make_traces", "passed_on"]


def make_traces(clock: Clock, exporter: SpanExporter | None = None) -> Traces:
    """Give what writes a span for each call, turn, attempt and tool.

    Without ``exporter`` they go where OpenTelemetry's own variables say (``OTEL_EXPORTER_OTLP_ENDPOINT`` and others).
    Raises SetupError when the packages are not installed, or the variables make no sense.
    """
    try:
        from offhook.observe.spans import Traces
    except ImportError as error:
        raise SetupError(
            f"traces is on and needs OpenTelemetry, which is not installed ({error.name}); "
            "type: pip install 'offhook[otel]'"
        ) from None
    try:
        return Traces(clock, exporter)
    except (OSError, ValueError) as error:
        raise SetupError(f"traces is on, and what OTEL_... variables say cannot be used: {error}.") from None
