"""Wrong types in built-in kinds, said as Go's decoder says them."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.apiserver.sample_kinds import deployment, deployment_object
from mizzen.apis import schema
from mizzen.cluster.apiserver.typecheck import type_error

POD = "spec.template.spec"


def with_container(**fields: Any) -> dict[str, Any]:
    return deployment_object({"name": "a"}, {"name": "c", **fields})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            deployment_object(replicas="two"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
            ' (found "two")',
        ),
        (deployment_object(replicas=1.5), "cannot unmarshal number 1.5 into Go struct field"),
        (deployment_object(replicas=2**31), "DeploymentSpec.spec.replicas of type int32"),
        (deployment_object(replicas=True), "cannot unmarshal bool"),
        (deployment_object(paused="no"), "DeploymentSpec.spec.paused of type bool"),
        ({"spec": []}, "cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        ({"metadata": {"labels": {"a": 1}}}, "ObjectMeta.metadata.labels.a of type string"),
        ({"metadata": {"labels": ["a"]}}, "of type map[string]string"),
        ({"metadata": {"creationTimestamp": "yesterday"}}, 'metadata.creationTimestamp: parsing time "yesterday"'),
        (deployment_object("x"), f"PodSpec.{POD}.containers[0] of type v1.Container"),
        (deployment_object(None), "cannot unmarshal null"),  # type: ignore[arg-type]
        (with_container(args="x"), f"Container.{POD}.containers[1].args of type []string"),
        (with_container(resources={"limits": {"cpu": "1x"}}), f"{POD}.containers[1].resources.limits.cpu: quantities"),
        (with_container(resources={"limits": {"cpu": {}}}), "of type resource.Quantity"),
        (with_container(livenessProbe={"httpGet": {"port": 1.5}}), "of type intstr.IntOrString"),
    ],
)
def test_the_first_wrong_type_is_named_with_its_path(value: Any, message: str) -> None:
    assert message in (type_error(value, deployment()) or "")


@pytest.mark.parametrize(
    "value",
    [
        deployment_object(replicas=2.0, paused=None),
        deployment_object({"name": "c", "resources": {"limits": {"cpu": 1, "memory": "1.5Gi"}}}),
        deployment_object({"name": "c", "livenessProbe": {"httpGet": {"port": "http"}}}),
        {"metadata": {"creationTimestamp": None, "managedFields": [{"fieldsV1": {"f:a": {}}}]}, "unknown": [1]},
        {"spec": {"template": None}},
    ],
)
def test_right_types_and_nulls_pass(value: Any) -> None:
    assert type_error(value, deployment()) is None


def test_the_data_of_a_secret_must_be_base64() -> None:
    secret = schema.builtin("", "v1", "Secret")
    assert type_error({"data": {"a": "YQ==", "b": "YQ\n=="}, "stringData": {"c": "?"}}, secret) is None
    assert (type_error({"data": {"a": "a?"}}, secret) or "").startswith("data.a: illegal base64 data")
