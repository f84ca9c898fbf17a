"""Variables and the downward API as values."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.cluster.node import downward, environment
from mizzen.cluster.node.environment import expand
from mizzen.cluster.node.errors import ConfigMissing
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.references import Objects, Reference

CONFIG = Reference("configmap", "settings")
SECRET = Reference("secret", "words")
OBJECTS: Objects = {
    CONFIG: {"data": {"colour": "blue"}, "binaryData": {"logo": "AAE="}},
    SECRET: {"data": {"password": base64.b64encode(b"s3cret").decode(), "key": "/w=="}},
    Reference("configmap", "gone"): None,
}
POD = {
    "metadata": {
        "name": "web-0",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"b": "2", "a": 'say "x"'},
        "annotations": {"example.com/note": "n"},
    },
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "default",
        "containers": [
            {
                "name": "main",
                "resources": {
                    "limits": {"cpu": "1500m", "memory": "64Mi"},
                    "requests": {"cpu": "250m"},
                },
            },
            {"name": "other"},
        ],
    },
}
ALLOCATABLE = {"cpu": Decimal(8), "memory": Decimal(2**34)}
FACTS = Facts(pod=POD, address="127.9.0.20", host="127.9.0.1", allocatable=ALLOCATABLE)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$(A)$(A)", "11"),
    ],
)
def test_expansion(text: str, wanted: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == wanted


@given(st.text(alphabet=st.characters(exclude_characters="$")), st.dictionaries(st.text(), st.text()))
def test_what_has_no_dollar_sign_stays(text: str, values: dict[str, str]) -> None:
    assert expand(text, values) == text


@given(st.text())
def test_a_value_is_not_expanded_again(value: str) -> None:
    assert expand("$(A)", {"A": value}) == value


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("metadata.name", "web-0"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels", 'a="say \\"x\\""\nb="2"'),
        ("metadata.labels['b']", "2"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['example.com/note']", "n"),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "default"),
        ("status.hostIP", "127.9.0.1"),
        ("status.podIP", "127.9.0.20"),
        ("status.podIPs", "127.9.0.20"),
    ],
)
def test_fields(path: str, wanted: str) -> None:
    assert downward.field(path, FACTS) == wanted


def test_a_field_that_does_not_exist() -> None:
    with pytest.raises(ConfigMissing, match=r"no field 'status\.phase'"):
        downward.field("status.phase", FACTS)


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "requests.cpu", "divisor": "0"}, "1"),
        ({"resource": "limits.memory"}, str(64 * 2**20)),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "limits.cpu", "containerName": "other"}, "8"),
        ({"resource": "requests.cpu", "containerName": "other"}, "0"),
    ],
)
def test_resources(reference: dict[str, Any], wanted: str) -> None:
    assert downward.resource(reference, {"name": "main"}, FACTS) == wanted


@pytest.mark.parametrize("reference", [{"resource": "cpu"}, {"resource": "limits.cpu", "containerName": "no"}])
def test_resources_that_do_not_exist(reference: dict[str, Any]) -> None:
    with pytest.raises(ConfigMissing):
        downward.resource(reference, {"name": "main"}, FACTS)


def variable(name: str, **source: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": source}


def made(*env: dict[str, Any], env_from: list[dict[str, Any]] | None = None) -> dict[str, str]:
    container = {"name": "main", "env": list(env), "envFrom": env_from or []}
    return environment.environment(container, FACTS, OBJECTS, {"GIVEN": "g"})


def test_the_order_of_variables() -> None:
    found = made(
        {"name": "A", "value": "$(colour)"},
        {"name": "B", "value": "$(A)$(LATER)$(GIVEN)"},
        {"name": "LATER", "value": "x"},
        {"name": "A", "value": "again"},
        {"name": "EMPTY"},
        env_from=[{"configMapRef": {"name": "settings"}}],
    )
    assert found == {"colour": "blue", "A": "again", "B": "blue$(LATER)g", "LATER": "x", "EMPTY": ""}


def test_where_variables_come_from() -> None:
    container = {
        "name": "main",
        "env": [variable("A", configMapKeyRef={"name": "settings", "key": "colour"})],
        "envFrom": [{"secretRef": {"name": "words"}}],
    }
    assert environment.references(container) == {CONFIG, SECRET}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "x"}}, 'configmap "gone" not found'),
        ({"secretKeyRef": {"name": "words", "key": "x"}}, "couldn't find key x in Secret shop/words"),
        ({"configMapKeyRef": {"name": "settings", "key": "logo"}}, "couldn't find key logo in ConfigMap shop/settings"),
        ({"secretKeyRef": {"name": "words", "key": "key"}}, "is no text"),
        ({"fileKeyRef": {"path": "x"}}, "fileKeyRef, which is not supported"),
    ],
)
def test_what_is_missing_and_needed(source: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigMissing) as caught:
        made(variable("A", **source))
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["gone", "settings"])
def test_what_is_missing_and_optional(name: str) -> None:
    assert made(variable("A", configMapKeyRef={"name": name, "key": "x", "optional": True})) == {}
    if name == "gone":
        assert made(env_from=[{"configMapRef": {"name": name, "optional": True}}]) == {}


def test_all_of_something_that_is_missing() -> None:
    with pytest.raises(ConfigMissing, match='configmap "gone" not found'):
        made(env_from=[{"configMapRef": {"name": "gone"}}])
