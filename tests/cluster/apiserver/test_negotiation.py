"""Which form of an answer a client gets."""

from __future__ import annotations

import pytest

from mizzen.cluster.apiserver.negotiation import Form, negotiate
from mizzen.kube.errors import ApiError

KUBECTL_TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/json", Form()),
        ("application/json, */*", Form()),
        ("application/vnd.kubernetes.protobuf,application/json", Form()),
        ("application/vnd.kubernetes.protobuf, */*", Form()),
        (KUBECTL_TABLE, Form("table", "v1")),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", Form("table", "v1beta1")),
        ("application/json;as=Table;v=v7;g=meta.k8s.io,application/json", Form()),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Form("partial", "v1")),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json", Form("partial", "v1")),
        ("application/json;stream=watch", Form(stream=True)),
        (f"{DISCOVERY},application/json", Form()),
        ("application/json;q=0,*/*", Form()),
    ],
)
def test_forms(accept: str, expected: Form) -> None:
    assert negotiate(accept) == expected


def test_discovery_has_a_form_of_its_own() -> None:
    assert negotiate(f"{DISCOVERY},application/json", ("object", "discovery")) == Form("discovery", "v2")
    assert negotiate(DISCOVERY.replace("v2", "v2beta1"), ("discovery",)) == Form("discovery", "v2beta1")


@pytest.mark.parametrize("accept", ["application/cbor", "text/html", "application/yaml", DISCOVERY])
def test_what_nobody_can_give_is_refused(accept: str) -> None:
    with pytest.raises(ApiError) as raised:
        negotiate(accept)
    assert raised.value.code == 406
