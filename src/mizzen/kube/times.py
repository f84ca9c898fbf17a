"""Times as Kubernetes writes them: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """A moment as in ``metadata.creationTimestamp``: whole seconds, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now() -> str:
    """This second, as in ``metadata.creationTimestamp``."""
    return rfc3339(datetime.now(UTC))


def now_micro() -> str:
    """This microsecond, as in a Lease's ``renewTime``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """A time from the wire, with or without a fraction. Raises ``ValueError``."""
    return datetime.fromisoformat(text)


def seconds_since(text: str) -> float:
    """How long ago a time from the wire is, in seconds; negative in the future."""
    return (datetime.now(UTC) - parse(text)).total_seconds()
