from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mizzen.cluster.workloads import pods
from workload_objects import NOW, pod


@pytest.mark.parametrize(
    ("found", "active"),
    [
        (pod(), True),
        (pod(phase="Pending", node="", ready=None), True),
        (pod(phase="Succeeded"), False),
        (pod(phase="Failed"), False),
        (pod(deletionTimestamp="2026-01-01T00:00:00Z"), False),
    ],
)
def test_a_pod_counts_until_it_ends_or_is_told_to(found: Any, active: bool) -> None:
    assert pods.is_active(found) is active


@pytest.mark.parametrize(
    ("ready", "min_ready", "wait"),
    [(None, 0, None), (None, 10, None), (0, 0, 0.0), (4, 10, 6.0), (10, 10, 0.0), (11, 10, 0.0)],
)
def test_a_pod_is_available_when_it_was_ready_for_long_enough(
    ready: float | None, min_ready: int, wait: float | None
) -> None:
    assert pods.available_in(pod(ready=ready), min_ready, NOW) == wait


def _container(always: bool = False, **requests: str) -> dict[str, Any]:
    return {"resources": {"requests": requests}} | ({"restartPolicy": "Always"} if always else {})


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({}, None),
        ({"containers": [_container(cpu="100m"), _container(cpu="1")]}, "1.1"),
        ({"containers": [_container(cpu="1")], "initContainers": [_container(cpu="3")]}, "3"),
        ({"containers": [_container(cpu="4")], "initContainers": [_container(cpu="3")]}, "4"),
        # A sidecar runs beside the containers and beside the init containers after it, not before it.
        (
            {"containers": [_container(cpu="1")], "initContainers": [_container(True, cpu="2"), _container(cpu="3")]},
            "5",
        ),
        (
            {"containers": [_container(cpu="1")], "initContainers": [_container(cpu="3"), _container(True, cpu="1")]},
            "3",
        ),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, "2"),
        ({"containers": [_container(cpu="1")], "overhead": {"cpu": "250m"}}, "1.25"),
    ],
)
def test_what_a_pod_asks_of_a_node(spec: dict[str, Any], cpu: str | None) -> None:
    assert pods.requests(spec).get("cpu") == (Decimal(cpu) if cpu else None)
