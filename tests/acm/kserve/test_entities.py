"""What an element's properties ask for, and everything that can be wrong with them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from element_world import SPEC, element, entity, payload
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.participant.kserve.entities import Entity, Invalid, milliseconds, named, parse
from mizzen.acm.participant.kserve.ownership import Owner, Whose, marked
from mizzen.acm.participant.kserve.settings import Settings

FILLED = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "iris", "namespace": "default"},
    "spec": SPEC,
}


def flat(**given):
    return {key: value for key, value in (entity() | given).items() if value is not None}


def parsed(*entities, settings=None, common=None, **properties):
    return parse(element(*entities, common=common, **properties), settings or Settings())


def problems(*entities, settings=None, common=None, **properties) -> list[str]:
    with pytest.raises(Invalid) as caught:
        parsed(*entities, settings=settings, common=common, **properties)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "given",
    [
        entity(),
        entity(payload=payload()),
        entity(kserveInferenceEntityId="entity-iris 1.0.1"),
        entity(payload={"spec": SPEC}),
        entity(payload=payload(None)),
        entity(payload={**FILLED, "status": {"url": "u"}}),
        entity(payload={**FILLED, "metadata": {"name": "iris", "uid": "7", "resourceVersion": "1", "generation": 4}}),
        entity(unknown="ignored"),
    ],
)
def test_all_the_ways_to_write_the_same(given):
    wanted = parsed(given)
    assert wanted.entities == (
        Entity(id=Identifier("entity-iris", "1.0.1"), name="iris", namespace="default", payload=FILLED),
    )
    assert (wanted.ready_timeout, wanted.status_interval) == (60, 30)


def test_the_four_properties_on_the_element_itself():
    alone = element()
    asked = type(alone)(
        composition_id=alone.composition_id,
        instance_id=alone.instance_id,
        element_id=alone.element_id,
        definition=alone.definition,
        composition_properties={"provider": "ONAP"},
        properties=flat(),
    )
    assert parse(asked, Settings()) == parsed(entity())
    assert named(asked, Settings()) == [("default", "iris")]


def test_the_instance_goes_before_the_definition():
    common = {"kserveInferenceEntities": [entity("wine")], "uninitializedToPassiveTimeout": 300}
    wanted = parsed(entity(), common=common, statusCheckInterval="7")
    assert [one.name for one in wanted.entities] == ["iris"]
    assert (wanted.ready_timeout, wanted.status_interval) == (300, 7)


def test_an_empty_list_asks_for_nothing():
    assert parsed().entities == ()


def test_other_properties_by_the_name_of_name_are_none_of_ours():
    assert parsed(entity(), name="a composition's own", namespace="too").keys == {("default", "iris")}


def test_numbers_become_text_as_in_java():
    wanted = parsed(entity(name=7, payload={"spec": SPEC}))
    assert wanted.entities[0].name == "7"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("text", "kserveInferenceEntities[0]: must be an object"),
        (entity(kserveInferenceEntityId=None), "kserveInferenceEntities[0].kserveInferenceEntityId: is required"),
        (entity(kserveInferenceEntityId={"name": "a"}), "kserveInferenceEntities[0].kserveInferenceEntityId: must be"),
        (entity(kserveInferenceEntityId=None, kserveEntityId="a 1"), "kserveEntityId is not its name"),
        (entity(name=None), "kserveInferenceEntities[0].name: is required"),
        (entity(name=["iris"]), "kserveInferenceEntities[0].name: must be text, and is a list"),
        (entity(name="Iris"), "kserveInferenceEntities[0].name: must be a name of small letters"),
        (entity(name="../../secrets/x"), "kserveInferenceEntities[0].name: must be a name of small letters"),
        (entity(name="iris\n"), "kserveInferenceEntities[0].name: must be a name of small letters"),
        (entity(namespace=None), "kserveInferenceEntities[0].namespace: is required"),
        (entity(namespace="a/b"), "kserveInferenceEntities[0].namespace: must be a name"),
        (entity(payload=None), "kserveInferenceEntities[0].payload: is required"),
        (entity(payload="{"), "kserveInferenceEntities[0].payload: is not JSON: "),
        (entity(payload="7"), "kserveInferenceEntities[0].payload: must be an InferenceService, and is a number"),
        (entity(payload=7), "kserveInferenceEntities[0].payload: must be an InferenceService, and is a number"),
        (entity(payload={**payload(), "more": 2**70}), "kserveInferenceEntities[0].payload: cannot be sent as JSON"),
        (entity(payload={**payload(), "more": "\ud800"}), "kserveInferenceEntities[0].payload: cannot be sent as JSON"),
        (entity(payload={**payload(), "kind": "Pod"}), "payload.kind: must be InferenceService"),
        (entity(payload={**payload(), "apiVersion": "v1"}), "payload.apiVersion: must be serving.kserve.io/v1beta1"),
        (entity(payload=payload("sklearn-iris")), "payload.metadata.name: is 'sklearn-iris', but the entity's name"),
        (
            entity(payload={**payload(), "metadata": {"namespace": "prod"}}),
            "payload.metadata.namespace: is 'prod', but the entity's namespace is 'default'",
        ),
        (entity(payload={**payload(), "metadata": []}), "payload.metadata: must be an object, and is a list"),
        (
            entity(payload={**payload(), "metadata": {"labels": "a"}}),
            "payload.metadata.labels: must be an object, and is text",
        ),
        (entity(payload={**payload(), "spec": None}), "payload.spec: is required"),
    ],
)
def test_what_is_wrong_with_an_entity(given, told):
    assert any(told in text for text in problems(given))


def test_what_is_wrong_with_the_whole():
    assert "kserveInferenceEntities: must be a list, and is an object" in problems(kserveInferenceEntities={})
    assert "is required: a list" in problems(kserveInferenceEntities=None)[0]
    assert problems(entity(), entity()) == ["kserveInferenceEntities: names default/iris more than once"]
    assert problems(entity(), **flat(name=None, namespace=None)) == [
        f"{key}: stands beside kserveInferenceEntities, which says the same: leave one of the two out"
        for key in ("kserveInferenceEntityId", "payload")
    ]
    incomplete = problems(kserveInferenceEntities=None, payload="{}")
    assert [text.partition(":")[0] for text in incomplete] == ["kserveInferenceEntityId", "name", "namespace"]


def test_all_of_it_is_told_at_once():
    told = problems(entity(name=None, payload="{"), entity("wine", namespace="B"), statusCheckInterval="often")
    assert [text.partition(":")[0] for text in told] == [
        "kserveInferenceEntities[0].name",
        "kserveInferenceEntities[0].payload",
        "kserveInferenceEntities[1].namespace",
        "statusCheckInterval",
    ]


def test_no_message_quotes_a_payload():
    for wrong in ('{"a": "hunter2"', '"hunter2"', {"spec": "hunter2"}, {"kind": "hunter2"}, {"apiVersion": "hunter2"}):
        assert "hunter2" not in "".join(problems(entity(payload=wrong)))


class TestNamespaces:
    def test_only_those_that_are_allowed(self):
        settings = Settings(namespaces=("models", "tests"))
        assert problems(entity(), settings=settings) == [
            "kserveInferenceEntities[0].namespace: default is not allowed here: it must be one of models, tests"
        ]
        assert parsed(entity(namespace="models"), settings=settings).keys == {("models", "iris")}

    def test_the_default_for_those_that_name_none(self):
        settings = Settings(default_namespace="models")
        for nothing in (None, ""):
            given = entity(namespace=nothing) | ({} if nothing is None else {"namespace": ""})
            wanted = parsed(given, settings=settings)
            assert wanted.entities[0].payload["metadata"]["namespace"] == "models"
            assert named(element(given), settings) == [("models", "iris")]


@pytest.mark.parametrize("value", [0, -1, "0", "-5", "1.5", 1.5, "", True, [], {}, "60s", "1e3", "9" * 20])
def test_times_that_are_none(value):
    told = problems(entity(), uninitializedToPassiveTimeout=value)
    assert told == ["uninitializedToPassiveTimeout: must be a whole number of seconds, more than 0"]


@pytest.mark.parametrize(("value", "seconds"), [(60000, 60), ("60000", 60), (1500, 1.5), (None, None), ("x", None)])
def test_time_outs_of_orders(value, seconds):
    assert milliseconds(element(undeployTimeoutMs=value), "undeployTimeoutMs") == seconds


def test_names_are_found_however_wrong_the_rest():
    asked = element(
        entity(payload="{"), {"name": "wine", "namespace": "other"}, "x", {"name": "../x", "namespace": "a"}
    )
    assert named(asked, Settings()) == [("default", "iris"), ("other", "wine")]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(["kserveInferenceEntityId", "name", "namespace", "payload", "other"])
_ENTITIES = st.lists(st.dictionaries(_KEYS, _JSON | st.just(json.dumps(FILLED)), max_size=5) | _JSON, max_size=3)


@given(_ENTITIES | _JSON, st.dictionaries(_KEYS, _JSON, max_size=4))
def test_whatever_is_sent_is_understood_or_refused(listed, more):
    asked = element(**{"kserveInferenceEntities": listed, **more})
    for namespace, name in named(asked, Settings()):
        assert "/" not in namespace + name
    try:
        wanted = parse(asked, Settings())
    except Invalid as error:
        assert error.problems
        return
    for one in wanted.entities:
        metadata = one.payload["metadata"]
        assert (metadata["namespace"], metadata["name"]) == one.key
        assert Owner.of(asked).whose(marked(one, Owner.of(asked))) is Whose.OURS
