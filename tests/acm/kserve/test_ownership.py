"""Whose an InferenceService is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from element_world import element, entity, payload
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.participant.kserve.entities import parse
from mizzen.acm.participant.kserve.ownership import (
    ELEMENT_LABEL,
    INSTANCE_LABEL,
    Owner,
    Whose,
    is_other,
    label_value,
    marked,
)
from mizzen.acm.participant.kserve.settings import Settings
from mizzen.kube import selectors

OWNER = Owner("5eed0001-0004-4000-8000-000000000004", "709c62b3-8918-41b9-a747-d21eb79c6c20")


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        (None, Whose.NOBODYS),
        ({"team": "a"}, Whose.NOBODYS),
        ({INSTANCE_LABEL: OWNER.instance, ELEMENT_LABEL: OWNER.element}, Whose.OURS),
        ({INSTANCE_LABEL: OWNER.instance}, Whose.ANOTHERS),
        ({INSTANCE_LABEL: OWNER.instance, ELEMENT_LABEL: "another"}, Whose.ANOTHERS),
        ({INSTANCE_LABEL: "another", ELEMENT_LABEL: OWNER.element}, Whose.ANOTHERS),
        ({ELEMENT_LABEL: OWNER.element}, Whose.ANOTHERS),
    ],
)
def test_by_its_labels(labels, whose):
    assert OWNER.whose({"metadata": {"labels": labels}}) is whose


def test_what_is_sent_bears_marks_beside_its_own_labels():
    asked = element(entity(payload={**payload(), "metadata": {"labels": {"team": "a", INSTANCE_LABEL: "a lie"}}}))
    one = parse(asked, Settings()).entities[0]
    owner = Owner.of(asked)
    sent = marked(one, owner)
    assert owner.whose(sent) is Whose.OURS
    assert sent["metadata"]["labels"]["team"] == "a"
    assert selectors.parse(owner.selector).matches(sent["metadata"]["labels"])
    assert not is_other(sent, one)
    other = parse(element(entity(payload=payload(predictor={"minReplicas": 2}))), Settings()).entities[0]
    assert is_other(sent, other)
    assert not is_other(other.payload, other)


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_identifier_makes_a_label(name, version):
    value = label_value(Identifier(name, version))
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)


def test_those_that_fit_stay_readable_and_those_that_do_not_stay_apart():
    assert label_value(Identifier("entity1", "1.0.1")) == "entity1_1.0.1"
    long = "onap.policy.clamp.ac.element.KserveAutomationCompositionElement.entity"
    assert label_value(Identifier(long, "1.0.0")) != label_value(Identifier(long, "1.0.1"))
