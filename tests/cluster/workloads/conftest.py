"""Fixtures of the workload tests: a cluster with and without its controllers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mizzen.kube.client import Client
from workload_cluster import Cluster


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Cluster]:
    """The API server alone."""
    cluster = Cluster(tmp_path)
    await cluster.serve()
    async with Client(cluster.config) as client:
        cluster.client = client
        yield cluster
        await cluster.background.stop_all()
    await cluster.stop_serving()


@pytest.fixture
async def cluster(bare: Cluster) -> Cluster:
    """The API server, the workload controllers and one node."""
    await bare.control()
    bare.kubelet = await bare.run_node()
    return bare
