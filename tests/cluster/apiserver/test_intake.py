"""Whatever a body says, the way in either completes it or refuses it; it never stumbles."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_client import config_map, deployment, pod
from mizzen.cluster.apiserver import builtin
from mizzen.cluster.apiserver import metadata as meta
from mizzen.cluster.apiserver.builtin.addresses import Addresses
from mizzen.cluster.apiserver.builtin.services import Services
from mizzen.cluster.apiserver.custom.definition import CustomResourceDefinitions
from mizzen.cluster.apiserver.custom.resource import CustomResource
from mizzen.cluster.apiserver.intake import refuse_if_wrong, take_in
from mizzen.cluster.apiserver.resources import Object, Resource
from mizzen.cluster.apiserver.table import columns_of, present_time, row
from mizzen.kube.errors import ApiError
from widgets import definition, widget

PROBE = {"httpGet": {"port": 80}, "periodSeconds": 5}
CONTAINER = {
    "name": "main",
    "image": "example.com/app:1",
    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    "ports": [{"containerPort": 80, "name": "http"}],
    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
    "readinessProbe": PROBE,
    "livenessProbe": {"exec": {"command": ["true"]}},
    "lifecycle": {"preStop": {"httpGet": {"port": "http"}}},
    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
}
VOLUMES = [
    {"name": "v", "configMap": {"name": "c"}},
    {
        "name": "w",
        "projected": {"sources": [{"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "y"}}]}}]},
    },
    {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}},
]
META = {"name": "a", "namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
STATUSES = [{"name": "main", "state": {"running": {}}, "ready": True}]
RULE = {"host": "a.io", "http": {"paths": [{"path": "/", "pathType": "Prefix"}]}}
RULE["http"]["paths"][0]["backend"] = {"service": {"name": "s", "port": {"number": 80}}}  # type: ignore[index]

BODIES: dict[str, Object] = {
    "pods": pod("a", containers=[CONTAINER], initContainers=[{**CONTAINER, "name": "init"}], volumes=VOLUMES)
    | {
        "status": {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}, "ready": True}]}
    },
    "deployments": deployment("a", strategy={"rollingUpdate": {"maxSurge": "1%"}}),
    "replicasets": {**deployment("a"), "kind": "ReplicaSet"},
    "services": {
        "metadata": {},
        "spec": {"type": "ClusterIP", "ports": [{"name": "a", "port": 80}], "selector": {"a": "b"}},
    },
    "configmaps": config_map("a", {"k": "v"}, labels={"a": "b"}, finalizers=["x.io/y"]) | {"binaryData": {"b": "eA=="}},
    "secrets": {"metadata": {}, "data": {"a": "eA=="}, "stringData": {"b": "c"}, "type": "Opaque"},
    "namespaces": {"metadata": {}, "spec": {"finalizers": ["kubernetes"]}},
    "nodes": {"metadata": {}, "spec": {}, "status": {"capacity": {"cpu": 4}, "addresses": [{"type": "InternalIP"}]}},
    "events": {
        "metadata": {},
        "involvedObject": {"kind": "Pod", "name": "x"},
        "count": 3,
        "source": {"component": "c"},
    },
    "leases": {"metadata": {}, "spec": {"leaseDurationSeconds": 5, "holderIdentity": "x"}},
    "ingresses": {"metadata": {}, "spec": {"rules": [RULE], "tls": [{"hosts": ["a"]}]}},
    "ingressclasses": {"metadata": {}, "spec": {"controller": "x", "parameters": {"kind": "K", "name": "n"}}},
    "endpoints": {"metadata": {}, "subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}]},
    "endpointslices": {
        "metadata": {},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4"]}],
        "ports": [{"port": 1}],
    },
    "persistentvolumeclaims": {
        "metadata": {},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    "persistentvolumes": {"metadata": {}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}},
    "horizontalpodautoscalers": {
        "metadata": {},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "D", "name": "n"}, "metrics": [{"type": "Resource"}]},
    },
    "serviceaccounts": {"metadata": {}, "secrets": [{"name": "x"}]},
    "customresourcedefinitions": definition(
        additionalPrinterColumns=[{"name": "x", "type": "string", "jsonPath": ".spec.size"}],
        selectableFields=[{"jsonPath": ".spec.color"}],
        subresources={"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas"}},
    ),
    "widgets": widget("a", parts=[{"name": "x"}], free={"y": 1}) | {"status": {"conditions": [{"type": "Ready"}]}},
}


def every_resource() -> dict[str, Resource]:
    found: list[Resource] = list(builtin.resources(Services(Addresses("127.40.0.0/16"))))
    found.append(CustomResourceDefinitions(lambda group, name: {"names": set(), "kinds": set()}))
    found.append(CustomResource({"metadata": {"uid": "u"}, "spec": definition()["spec"]}, "v1"))
    return {resource.definition.plural: resource for resource in found}


RESOURCES = every_resource()

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "a", "A B", "-1", "100m", "=x", "..", "x" * 300, "ü\u0000", "kubernetes.io/tls", "2001-01-01"]
    ),
    st.sampled_from([[], {}, [None], [{}], [[]], {"": None}, {"a": {"b": []}}, {"name": "a"}, [{"name": None}]]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, child in value.items():
            found += places(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found += places(child, (*path, index))
    return found


def replaced(value: Any, path: tuple[Any, ...], junk: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = junk


def go_in(value: Object, resource: Resource, old: Object | None) -> None:
    """All that happens to a body between decoding and the store, and what shows it afterwards."""
    take_in(value, resource)
    meta.settle_type(value, resource)
    if old is None:
        meta.begin(value["metadata"], resource, "2026-01-01T00:00:00Z")
        resource.prepare_create(value)
    else:
        meta.carry_over(value["metadata"], old["metadata"])
        if resource.has_status:
            value["status"] = copy.deepcopy(old["status"])
        resource.prepare_update(value, old, "")
    try:
        refuse_if_wrong(value, old, resource)
    finally:
        resource.abandon(value)
    assert orjson.dumps(value)
    resource.fields(value)
    resource.grace(value, None)
    resource.wanted(value)
    assert orjson.dumps(row(value, columns_of(resource), "Metadata", present_time()))


def complete(plural: str) -> Object:
    value = copy.deepcopy(BODIES[plural])
    value["metadata"] = {**META, **value["metadata"]}
    if plural == "customresourcedefinitions":
        value["metadata"]["name"] = "widgets.exp.io"
    return value


@pytest.mark.parametrize("plural", BODIES)
def test_the_bodies_themselves_are_accepted(plural: str) -> None:
    go_in(complete(plural), RESOURCES[plural], None)


def test_every_kind_has_a_body() -> None:
    assert set(RESOURCES) == set(BODIES)


@pytest.mark.parametrize("plural", BODIES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_junk_anywhere_is_refused_or_taken_but_never_a_defect(plural: str, data: st.DataObject) -> None:
    resource, value = RESOURCES[plural], complete(plural)
    old = None
    if data.draw(st.booleans()):
        old = complete(plural)
        go_in(old, resource, None)
    # An object that is there has been completed, so an update may put junk where only the server writes.
    if old is not None:
        value = copy.deepcopy(old)
    for _ in range(data.draw(st.integers(1, 3))):
        found = [path for path in places(value) if path not in (("metadata", "name"), ("apiVersion",), ("kind",))]
        if found:
            replaced(value, data.draw(st.sampled_from(found)), copy.deepcopy(data.draw(JUNK)))
    try:
        go_in(value, resource, old)
    except ApiError as error:
        assert error.code in (400, 422), error
