"""A model's numbers as Triton's statistics extension gives them, the same over REST and gRPC.

They come from the same histograms as ``/metrics``. Requests are counted, not rows: an ``inference_count`` of 3 is three
answered requests, however many rows they had, and an ``execution_count`` of 1 beside it says that they shared a call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from mizzen.serve.observing.metrics import Histogram
    from mizzen.serve.served import Served


class Duration(Struct):
    """How many there were, and how long they took together, in nanoseconds."""

    count: int
    ns: int


class InferenceStatistics(Struct):
    """Attributes:
    success: requests answered; all that follows added up.
    fail: requests that the model failed on, or that were not answered in time.
    queue: the wait for a call.
    compute_input: decoding, or the model's own preprocessing.
    compute_infer: the call; each request of a shared one counts all of it.
    compute_output: encoding, or the model's own postprocessing.
    """

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


class ModelStatistics(Struct):
    """Attributes:
    last_inference: when a request was last answered, in milliseconds since the epoch; 0 if none was.
    inference_count: requests answered.
    execution_count: calls of the model.
    """

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferenceStatistics


def statistics(served: Served) -> ModelStatistics:
    """What one model has answered since it was loaded."""
    metrics = served.metrics
    stages = [_of(one) for one in (metrics.queue, metrics.preprocess, metrics.predict, metrics.postprocess)]
    queue, read, call, written = stages
    answered = written.count
    last = int((time.time() - (time.perf_counter() - metrics.answered)) * 1000) if metrics.answered else 0
    return ModelStatistics(
        served.model.name,
        served.model.version or "",
        last,
        answered,
        sum(metrics.batch.counts) or call.count,
        InferenceStatistics(
            Duration(answered, sum(stage.ns for stage in stages)),
            Duration(metrics.failed, 0),
            queue,
            read,
            call,
            written,
        ),
    )


def _of(histogram: Histogram) -> Duration:
    return Duration(sum(histogram.counts), int(histogram.total * 1e9))
