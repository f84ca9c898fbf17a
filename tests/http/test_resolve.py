"""Which names mean services of the embedded cluster, and where they are dialled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.http.errors import HttpError
from mizzen.http.resolve import resolve, service

GATEWAY = {"MIZZEN_CLUSTER_GATEWAY": "127.7.0.1:8081"}
POD = GATEWAY | {"MIZZEN_NAMESPACE": "models"}


@pytest.mark.parametrize(
    ("host", "environ", "dialled"),
    [
        ("iris.models", GATEWAY, True),
        ("iris.models.svc", GATEWAY, True),
        ("iris.models.svc.cluster.local", GATEWAY, True),
        ("iris.models.svc.cluster.local.", GATEWAY, True),
        ("IRIS.Models", GATEWAY, True),
        ("iris-predictor.kserve-test", GATEWAY, True),
        ("iris.models.svc.example.com", GATEWAY, False),
        ("iris.models.pod", GATEWAY, False),
        ("a.b.c", GATEWAY, False),
        ("iris", GATEWAY, False),
        ("iris", POD, True),
        ("localhost", POD, False),
        ("127.0.0.1", POD, False),
        ("::1", POD, False),
        ("10.1", POD, False),
        ("-iris.models", POD, False),
        ("iris..models", POD, False),
        ("under_score.models", POD, False),
        ("", POD, False),
        ("iris.models", {}, False),
        ("iris", {"MIZZEN_NAMESPACE": "models"}, False),
    ],
)
def test_what_goes_to_the_gateway(host, environ, dialled):
    found = resolve(host, 80, environ)
    assert (found.host, found.port) == (("127.7.0.1", 8081) if dialled else (host, 80))


@pytest.mark.parametrize(
    ("host", "port", "authority"),
    [
        ("iris.models", 80, "iris.models"),
        ("iris.models.svc.cluster.local", 8080, "iris.models.svc.cluster.local:8080"),
        ("iris", 80, "iris.models"),
        ("iris", 8080, "iris.models:8080"),
        ("example.com.au", 80, "example.com.au"),
        ("::1", 8080, "[::1]:8080"),
    ],
)
def test_what_the_request_calls_it(host, port, authority):
    assert resolve(host, port, POD).authority == authority


@pytest.mark.parametrize("gateway", ["here", "127.0.0.1:", ":80", "127.0.0.1:http"])
def test_a_gateway_that_is_no_address_is_said(gateway):
    with pytest.raises(HttpError, match="MIZZEN_CLUSTER_GATEWAY must be host:port"):
        resolve("iris.models", 80, {"MIZZEN_CLUSTER_GATEWAY": gateway})


@given(st.text(max_size=80), st.sampled_from(["", "models"]))
def test_any_name_is_a_service_or_is_left_alone(host, namespace):
    name = service(host, namespace)
    assert name is None or name.count(".") == 1
    assert resolve(host, 80, {})[:2] == (host, 80)
