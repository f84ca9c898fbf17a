"""Which of a request's header fields go on to the predictor: those that say which request it is, and who asks."""

from __future__ import annotations

from collections.abc import Mapping

# KServe's three, and the W3C's trace context.
FORWARDED = ("x-request-id", "x-b3-traceid", "authorization", "traceparent", "tracestate")


def forwarded(headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    """The fields to send on; names are compared in lower case, as requests bring them."""
    if not headers:
        return []
    fields = []
    for name in FORWARDED:
        value = headers.get(name)
        if isinstance(value, str) and not set(value) & set("\r\n\0"):
            fields.append((name.encode(), value.strip().encode("latin-1", "replace")))
    return fields
