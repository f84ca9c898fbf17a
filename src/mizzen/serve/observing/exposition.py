"""What ``/metrics`` shows: this process's numbers, or those of all processes of the server as if it were one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from mizzen.serve.observing.metrics import COUNTERS, GAUGES, HISTOGRAMS

if TYPE_CHECKING:
    from mizzen.serve.repository import Repository

TEXT = "text/plain; version=0.0.4; charset=utf-8"

# Families: name, help, type, and samples as (name, labels, value).
Samples = Sequence[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]


class Exposition:
    """Everything that ``/metrics`` shows: ours, and whatever is in the process's default registry."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        models = list(self._repository)
        for name, text, of in HISTOGRAMS:
            family = Metric(name, text, "histogram")
            for served in models:
                histogram, labels = of(served.metrics), served.metrics.labels
                for bound, count in histogram.buckets():
                    family.add_sample(f"{name}_bucket", {**labels, "le": bound}, count)
                family.add_sample(f"{name}_count", labels, float(sum(histogram.counts)))
                family.add_sample(f"{name}_sum", labels, histogram.total)
                family.add_sample(f"{name}_created", labels, served.metrics.created)
            yield family
        for name, text, total in COUNTERS:
            counter = Metric(name, text, "counter")
            for served in models:
                counter.add_sample(f"{name}_total", served.metrics.labels, total(served.metrics))
            yield counter
        for name, text, level in GAUGES:
            gauge = Metric(name, text, "gauge")
            for served in models:
                gauge.add_sample(name, served.metrics.labels, level(served))
            yield gauge

    def samples(self) -> Samples:
        """The same as plain values, for the other processes of the server."""
        return [
            (
                metric.name,
                metric.documentation,
                metric.type,
                [(one.name, dict(one.labels), one.value) for one in metric.samples],
            )
            for metric in self.collect()
        ]


class Merged:
    """The metrics of several processes as if they were one: counts and levels add up.

    What does not add up is told by its name: of times the earliest counts, and a model is ready where it is in all.
    """

    def __init__(self, parts: Sequence[Samples]) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        families: dict[str, tuple[str, str, dict[tuple[str, tuple[tuple[str, str], ...]], float]]] = {}
        for part in self._parts:
            for name, text, kind, samples in part:
                _, _, values = families.setdefault(name, (text, kind, {}))
                for sample, labels, value in samples:
                    key = (sample, tuple(labels.items()))
                    values[key] = _add(sample, values[key], value) if key in values else value
        for name, (text, kind, values) in families.items():
            metric = Metric(name, text, kind)
            for (sample, pairs), value in values.items():
                metric.add_sample(sample, dict(pairs), value)
            yield metric


_EARLIEST = ("_created", "process_start_time_seconds", "mizzen_model_ready", "mizzen_batching_enabled")
_SAME = ("python_info", "process_max_fds", "process_virtual_memory_max_bytes")


def _add(sample: str, mine: float, other: float) -> float:
    if sample.endswith(_EARLIEST):
        return min(mine, other)
    return other if sample in _SAME else mine + other


def render(metrics: Exposition | Merged, accept: str) -> tuple[bytes, str]:
    """The page and its media type: OpenMetrics for those who ask for it, else Prometheus's text."""
    if "application/openmetrics-text" in accept:
        return generate_openmetrics(metrics), OPENMETRICS  # type: ignore[no-untyped-call]
    return generate_latest(metrics), TEXT
