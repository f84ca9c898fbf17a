"""What is read out of a PodSpec."""

from __future__ import annotations

from typing import Any

import pytest

from mizzen.cluster.node.podspec import tcp_ports


@pytest.mark.parametrize(
    ("container", "ports"),
    [
        ({}, []),
        ({"ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}, [80]),
        ({"readinessProbe": {"tcpSocket": {"port": 8080}}}, [8080]),
        ({"livenessProbe": {"httpGet": {"port": 8081}}, "startupProbe": {"grpc": {"port": 9000}}}, [8081, 9000]),
        ({"ports": [{"name": "web", "containerPort": 80}], "readinessProbe": {"httpGet": {"port": "web"}}}, [80]),
        ({"readinessProbe": {"tcpSocket": {"port": 5432, "host": "elsewhere"}}}, []),
        ({"readinessProbe": {"exec": {"command": ["true"]}}}, []),
        ({"ports": None, "readinessProbe": None}, []),
    ],
)
def test_the_ports_that_a_pod_must_have_for_itself(container: dict[str, Any], ports: list[int]) -> None:
    assert tcp_ports({"containers": [container]}) == ports
    assert tcp_ports({"containers": [{}], "initContainers": [container | {"restartPolicy": "Always"}]}) == ports
