"""What the gateway counts, as Prometheus reads it.

Hosts are those of the routes, never those that clients make up, so what has been deployed bounds the number of series.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

CONTENT_TYPE = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n"

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# Stands for a client that went away before its answer was complete.
CLIENT_GONE = 499


class Metrics:
    """Counts of one gateway.

    Args:
        connections: how many clients are connected.
    """

    def __init__(self, connections: Callable[[], int]) -> None:
        self._connections = connections
        self._requests: dict[tuple[str, int], int] = {}
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, host: str, status: int, seconds: float) -> None:
        """A request has its answer. ``host`` is the route's, empty if there was none."""
        key = host, status
        self._requests[key] = self._requests.get(key, 0) + 1
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def text(self) -> bytes:
        """All counts in the text format."""
        lines = ["# TYPE mizzen_gateway_requests_total counter"]
        for (host, status), number in sorted(self._requests.items()):
            label = host.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
            lines.append(f'mizzen_gateway_requests_total{{host="{label}",code="{status}"}} {number}')
        lines.append("# TYPE mizzen_gateway_request_duration_seconds histogram")
        total = 0
        for bound, number in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
            total += number
            lines.append(f'mizzen_gateway_request_duration_seconds_bucket{{le="{bound}"}} {total}')
        lines.append(f"mizzen_gateway_request_duration_seconds_sum {self._seconds:.6f}")
        lines.append(f"mizzen_gateway_request_duration_seconds_count {total}")
        lines.append("# TYPE mizzen_gateway_open_connections gauge")
        lines.append(f"mizzen_gateway_open_connections {self._connections()}")
        return "\n".join([*lines, ""]).encode()
