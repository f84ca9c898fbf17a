"""What /metrics says: KServe's names, and numbers that add up."""

from __future__ import annotations

import asyncio
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mizzen.serve.observing.metrics import SECONDS, Histogram, names


def samples(text: str, parse=parse_text) -> dict[str, float]:
    """Samples of the model's series, by name and bucket."""
    found = {}
    for family in parse(text):
        for sample in family.samples:
            if sample.labels.get("model_name") == "iris":
                found[sample.name + (f" {sample.labels['le']}" if "le" in sample.labels else "")] = sample.value
    return found


async def test_every_request_is_counted_where_it_was(ask, tensor):
    rows = np.arange(40.0).reshape(10, 4)
    await asyncio.gather(*(ask.infer("iris", tensor([row])) for row in rows))
    await ask.predict("iris", [[1.0, 2.0]])
    await ask("POST", "/v1/models/iris:predict", b"not json")
    answer = await ask("GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.body.decode())
    assert found["request_preprocess_seconds_count"] == 11
    assert found["request_predict_seconds_count"] == 11, "predict counts even where it raises"
    assert found["request_postprocess_seconds_count"] == 10, "postprocess does not"
    assert found["mizzen_request_queue_seconds_count"] == 11
    assert found["mizzen_batch_requests_sum"] == 11
    assert found["mizzen_requests_in_flight"] == 0
    assert found["mizzen_batching_enabled"] == 1
    assert found["mizzen_model_ready"] == 1
    assert found["request_predict_seconds_bucket +Inf"] == 11
    assert found["request_predict_seconds_created"] > 1_700_000_000
    assert b"python_gc_collections_total" in answer.body
    assert b"process_resident_memory_bytes" in answer.body


async def test_buckets_are_kserves(ask, tensor):
    await ask.infer("iris", tensor([[1.0, 2.0, 3.0, 4.0]]))
    text = (await ask("GET", "/metrics")).body.decode()
    bounds = re.findall(r'request_predict_seconds_bucket\{le="([^"]+)",model_name="iris"\}', text)
    assert bounds == [str(bound) for bound in SECONDS] + ["+Inf"]


async def test_openmetrics_for_those_who_ask(ask, tensor):
    await ask.infer("iris", tensor([[1.0, 2.0, 3.0, 4.0]]))
    answer = await ask("GET", "/metrics", None, {"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert samples(answer.body.decode(), parse_openmetrics)["request_predict_seconds_count"] == 1


async def test_every_name_of_ours_is_shown(ask):
    text = (await ask("GET", "/metrics")).body.decode()
    for name in names():
        assert f"# TYPE {name}" in text or f"# TYPE {name}_total" in text


@given(st.lists(st.floats(0, 20)))
def test_a_histogram_is_what_the_library_would_count(values):
    histogram = Histogram(SECONDS)
    for value in values:
        histogram.observe(value)
    for (bound, count), limit in zip(histogram.buckets(), (*SECONDS, float("inf")), strict=True):
        assert count == sum(value <= limit for value in values), bound
    assert histogram.total == pytest.approx(sum(values))
