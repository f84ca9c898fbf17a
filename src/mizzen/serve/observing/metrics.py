"""What the server counts, under KServe's names, plus what only a batching server has.

The client library's histograms take a lock and walk all buckets on every observation, which at tens of thousands of
requests a second is a good part of a request. These are two additions and a bisection on the loop's thread; they become
the library's samples only when somebody scrapes.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mizzen.serve.served import Served

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
# A request waits for the batch before it: well under KServe's first bucket when all is well.
WAITS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, *SECONDS)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class Histogram:
    """Counts by bucket, and their sum. Not thread-safe: the loop's."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        seen = 0
        found = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            seen += count
            found.append((bound, float(seen)))
        return found


class ModelMetrics:
    """One model's numbers. Times in seconds; ``batch`` counts requests in a call."""

    def __init__(self, name: str, version: str | None = None) -> None:
        self.name = name
        # KServe's label alone where there is only one version.
        self.labels = {"model_name": name} | ({"model_version": version} if version is not None else {})
        self.created = time.time()
        self.preprocess = Histogram(SECONDS)
        self.predict = Histogram(SECONDS)
        self.explain = Histogram(SECONDS)
        self.postprocess = Histogram(SECONDS)
        self.queue = Histogram(WAITS)
        self.batch = Histogram(SIZES)
        self.retried = 0
        self.refused = 0
        self.checked = 0
        # Requests that ended in an error, and when one was last answered, on the clock of :func:`time.perf_counter`.
        self.failed = 0
        self.answered = 0.0


HISTOGRAMS: tuple[tuple[str, str, Callable[[ModelMetrics], Histogram]], ...] = (
    ("request_preprocess_seconds", "pre-process request latency", lambda metrics: metrics.preprocess),
    ("request_predict_seconds", "predict request latency", lambda metrics: metrics.predict),
    ("request_explain_seconds", "explain request latency", lambda metrics: metrics.explain),
    ("request_postprocess_seconds", "post-process request latency", lambda metrics: metrics.postprocess),
    ("mizzen_request_queue_seconds", "time a request waited for its call", lambda metrics: metrics.queue),
    ("mizzen_batch_requests", "requests that shared one call", lambda metrics: metrics.batch),
)

COUNTERS: tuple[tuple[str, str, Callable[[ModelMetrics], int]], ...] = (
    (
        "mizzen_batch_retried_requests",
        "requests asked again alone because their batch failed",
        lambda metrics: metrics.retried,
    ),
    ("mizzen_refused_requests", "requests refused because the queue was full", lambda metrics: metrics.refused),
    ("mizzen_batch_checks", "batches compared with single calls", lambda metrics: metrics.checked),
)

GAUGES: tuple[tuple[str, str, Callable[[Served], int]], ...] = (
    (
        "mizzen_requests_in_flight",
        "requests taken and not yet answered",
        lambda served: served.lane.in_flight if served.lane else 0,
    ),
    (
        "mizzen_batching_enabled",
        "1 while requests may share a call",
        lambda served: int(served.lane is not None and served.lane.batching),
    ),
    (
        "mizzen_predict_on_loop",
        "1 while predict runs on the event loop",
        lambda served: int(served.lane is not None and served.lane.on_loop),
    ),
    ("mizzen_model_ready", "1 while the model can answer", lambda served: int(served.ready)),
)


def names() -> Iterable[str]:
    """Our metrics' names, for the documentation and its test."""
    return [entry[0] for table in (HISTOGRAMS, COUNTERS, GAUGES) for entry in table]
