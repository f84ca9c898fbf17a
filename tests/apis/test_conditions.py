"""The happy condition says what its dependents say, by the order of the control plane's reference, section 1.6."""

import pytest
from msgspec import UNSET

from mizzen.apis.conditions import Condition, ConditionSet

T1, T2, T3 = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z"
DEPENDENTS = ("PredictorReady", "IngressReady")


def conditions(given=(), now=T1):
    return ConditionSet("Ready", DEPENDENTS, given, now)


def states(found):
    return {condition.type: condition.status for condition in found.sorted()}


def test_a_new_object_knows_nothing_yet():
    found = conditions()
    found.initialise()
    assert states(found) == {"Ready": "Unknown", "PredictorReady": "Unknown", "IngressReady": "Unknown"}
    assert [c.type for c in found.sorted()] == ["IngressReady", "PredictorReady", "Ready"]


@pytest.mark.parametrize(
    ("marks", "ready", "reason"),
    [
        ([("PredictorReady", "True"), ("IngressReady", "True")], "True", ""),
        ([("PredictorReady", "True")], "Unknown", ""),
        ([("PredictorReady", "False", "Broken"), ("IngressReady", "True")], "False", "Broken"),
        ([("PredictorReady", "False", "Broken"), ("IngressReady", "Unknown", "Waiting")], "False", "Broken"),
        ([("PredictorReady", "True"), ("IngressReady", "Unknown", "Waiting")], "Unknown", "Waiting"),
        ([("PredictorReady", "True"), ("IngressReady", "True"), ("TransformerReady", "False", "X")], "True", ""),
    ],
)
def test_summing_up(marks, ready, reason):
    found = conditions()
    found.initialise()
    for mark in marks:
        found.mark(*mark)
    summed = found.get("Ready")
    assert (summed.status, summed.reason or "") == (ready, reason)


def test_the_latest_failure_decides():
    found = conditions(
        [
            Condition(type="PredictorReady", status="False", reason="First", last_transition_time=T1),
            Condition(type="IngressReady", status="False", reason="Second", last_transition_time=T2),
        ],
        now=T3,
    )
    found.mark("Stopped", "True")
    assert found.get("Ready").reason == "Second"


def test_a_condition_that_says_the_same_keeps_its_time():
    first = conditions(now=T1)
    first.initialise()
    first.mark("PredictorReady", "False", "Broken", "it broke")
    second = conditions(first.sorted(), now=T2)
    second.mark("PredictorReady", "False", "Broken", "it broke")
    assert second.sorted() == first.sorted()
    second.mark("PredictorReady", "False", "Broken", "it broke again")
    assert second.get("PredictorReady").last_transition_time == T2


def test_only_conditions_that_do_not_decide_have_a_severity():
    found = conditions()
    found.mark("Stopped", "False")
    found.mark("PredictorReady", "True")
    assert found.get("Stopped").severity == "Info"
    assert found.get("PredictorReady").severity is UNSET
    found.clear("Stopped")
    found.clear("PredictorReady")
    assert found.get("Stopped") is None
    assert found.get("PredictorReady") is not None
