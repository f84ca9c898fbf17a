"""OpenTelemetry spans, where that is installed (``pip install 'mizzen[otel]'``) and asked for.

One span for each request, under the trace that it came with (W3C trace context). What the model sees in ``traceparent``
is this span, so that what it asks of others hangs under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mizzen.http.headers import Headers
from mizzen.serve.errors import ServeError
from mizzen.serve.observing.observer import Record

# OpenTelemetry's own variables; one of them tells that spans are wanted.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_CONTEXT = (b"traceparent", b"tracestate", b"baggage")


class Tracing:
    """An observer that makes spans.

    Args:
        provider: OpenTelemetry's; None is the process's own.

    Raises:
        ServeError: OpenTelemetry is not installed.
    """

    def __init__(self, provider: Any = None) -> None:
        try:
            from opentelemetry import propagate, trace
        except ImportError as error:
            raise ServeError(
                f"spans need OpenTelemetry, which cannot be imported ({error}): pip install 'mizzen[otel]'"
            ) from None
        self._trace = trace
        self._propagate = propagate
        self._provider = provider
        self._tracer = trace.get_tracer("mizzen.serve", tracer_provider=provider)

    def began(self, record: Record) -> Headers | None:
        exchange = record.exchange
        carrier = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers if name in _CONTEXT
        }
        parent = self._propagate.extract(carrier)
        path, _, query = exchange.target.decode("latin-1").partition("?")
        attributes = {
            "http.request.method": exchange.method.decode("latin-1"),
            "url.path": path,
            "network.protocol.version": exchange.version,
            "client.address": exchange.peer,
        }
        if query:
            attributes["url.query"] = query
        if (model := record.model) is not None:
            attributes["mizzen.model"] = model
        if (given := record.field(b"x-request-id")) is not None:
            attributes["http.request.header.x-request-id"] = given
        method = attributes["http.request.method"]
        span = self._tracer.start_span(
            f"{method} {path}", context=parent, kind=self._trace.SpanKind.SERVER, attributes=attributes
        )
        record.notes[self] = span
        told: dict[str, str] = {}
        self._propagate.inject(told, context=self._trace.set_span_in_context(span, parent))
        if not told:
            return None
        kept = [(name, value) for name, value in exchange.headers if name not in _CONTEXT]
        return kept + [(name.lower().encode(), value.encode("latin-1")) for name, value in told.items()]

    def ended(self, record: Record) -> None:
        span = record.notes.pop(self, None)
        if span is None:
            return
        span.set_attribute("http.response.status_code", record.status)
        span.set_attribute("http.response.body.size", record.size)
        if record.grpc is not None:
            span.set_attribute("rpc.grpc.status_code", record.grpc)
        if record.status >= 500 or record.grpc not in (None, 0):
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        if self._provider is not None:
            self._provider.shutdown()


def from_environment(environ: Mapping[str, str]) -> Tracing | None:
    """Spans that are sent where OpenTelemetry's variables say; None if they say nothing.

    Raises:
        ServeError: they do, and OpenTelemetry or its exporter is not installed.
    """
    if not any(environ.get(name) for name in ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import-not-found,unused-ignore]
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ServeError(
            f"{next(name for name in ENDPOINTS if environ.get(name))} asks for spans, and OpenTelemetry cannot be "
            f"imported ({error}): pip install 'mizzen[otel]'"
        ) from None
    named = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "mizzen"}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
