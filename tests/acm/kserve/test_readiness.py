"""How an InferenceService stands, by its status."""

import pytest

from element_world import standing
from mizzen.acm.participant.kserve.readiness import readiness


def found(*conditions, generation=1, **status):
    listed = [dict(zip(("type", "status", "reason", "message"), one, strict=False)) for one in conditions]
    return {"metadata": {"generation": generation}, "status": {"conditions": listed, **status}}


RAW = [("IngressReady", "True"), ("PredictorReady", "True"), ("Ready", "True")]
KNATIVE = [
    ("IngressReady", "False"),
    ("PredictorConfigurationReady", "True"),
    ("PredictorReady", "True"),
    ("PredictorRouteReady", "False"),
    ("Ready", "False"),
]
STOPPED = [("IngressReady", "True"), ("PredictorReady", "True"), ("Ready", "True"), ("Stopped", "False")]


@pytest.mark.parametrize(
    ("conditions", "by_type", "third"),
    [
        (RAW, True, True),
        (KNATIVE, False, True),
        (STOPPED, True, True),
        ([("Ready", "True")], True, False),
        ([("A", "True"), ("B", "True"), ("Ready", "Unknown")], False, False),
        ([("A", "true"), ("B", "true"), ("C", "true")], False, True),
        ([], False, False),
    ],
)
def test_the_condition_that_counts(conditions, by_type, third):
    assert readiness(found(*conditions), "ready-by-type").ready is by_type
    assert readiness(found(*conditions), "index-2").ready is third


@pytest.mark.parametrize(("observed", "is_so"), [(None, True), (0, True), (1, False), (2, True), (3, True)])
def test_a_status_about_an_older_spec(observed, is_so):
    status = {} if observed is None else {"observedGeneration": observed}
    state = readiness(found(*RAW, generation=2, **status), "ready-by-type")
    assert (state.ready, state.observed) == (True, is_so)
    assert readiness(found(*RAW, generation=2, **status), "index-2").observed


@pytest.mark.parametrize(
    ("conditions", "status", "told"),
    [
        ([], {}, "NoStatus: Kserve setup is unavailable: no controller has written a status"),
        ([("Ready", "False", "Bad", "it is bad")], {}, "Bad: it is bad"),
        (
            [("PredictorReady", "False", "Image", "no such image"), ("Ready", "False", "PredictorNotReady")],
            {},
            "Image: no such image",
        ),
        ([("Ready", "Unknown", "Deploying")], {}, "Deploying"),
        (
            [("Ready", "False", "Bad", "it is bad")],
            {"modelStatus": {"lastFailureInfo": {"reason": "RuntimeNotRecognized", "message": "no runtime"}}},
            "RuntimeNotRecognized: no runtime",
        ),
        ([("Ready", "False")], {}, "not True are Ready"),
    ],
)
def test_why_it_is_not_ready(conditions, status, told):
    assert readiness(found(*conditions, **status), "ready-by-type").why_not == told


def test_an_object_without_a_status():
    state = readiness({"metadata": {}}, "ready-by-type")
    assert (state.ready, state.url) == (False, None)


def test_where_it_answers():
    state = readiness({"metadata": {"generation": 1}, "status": standing(True)}, "ready-by-type")
    assert (state.url, state.since) == ("http://iris-default.example.com", "2026-01-01T00:00:00Z")
