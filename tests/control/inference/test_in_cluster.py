"""Services among the workload controllers: real Deployments, replica sets, endpoints and garbage collection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inference_objects import custom
from inference_world import DEPLOYMENT, INFERENCE_SERVICE, INGRESS, SERVICE, World, condition, install
from mizzen.apis.apps import REPLICA_SET
from mizzen.apis.core import ENDPOINTS, POD
from mizzen.control.inference.admission import ADMITTERS
from mizzen.kube.client import Client
from workload_cluster import Cluster, eventually


@pytest.fixture
async def here(tmp_path) -> AsyncIterator[World]:
    cluster = Cluster(tmp_path)
    cluster.admitters = ADMITTERS
    await cluster.serve()
    async with Client(cluster.config, field_manager="tester") as client:
        cluster.client = client
        await install(client)
        await cluster.control()
        await cluster.run_node()
        yield World(cluster.server, client)
        await cluster.background.stop_all()
    await cluster.stop_serving()


async def test_from_a_manifest_to_endpoints_and_away_again(here):
    async with here.controlled():
        await here.apply()
        await here.routed()
        ready = await here.says("iris", "Ready", "True")
        await here.have(
            INFERENCE_SERVICE, "iris", lambda found: found["status"]["modelStatus"]["transitionStatus"] == "UpToDate"
        )
        assert ready["status"]["url"] == "http://iris-default.example.com"
        pods = await here.client.list(POD, "default")
        assert [pod["spec"]["initContainers"][0]["name"] for pod in pods] == ["storage-initializer"]
        await here.have(ENDPOINTS, "iris-predictor", lambda found: found.get("subsets"))

        await here.client.delete(INFERENCE_SERVICE, "iris", "default")
        for resource, name in (
            (DEPLOYMENT, "iris-predictor"),
            (SERVICE, "iris-predictor"),
            (INGRESS, "iris"),
            (INFERENCE_SERVICE, "iris"),
        ):
            await here.gone(resource, name)

        async def empty() -> bool:
            left = [await here.client.list(resource, "default") for resource in (POD, REPLICA_SET)]
            return not any(left)

        await eventually(empty, "the pods are gone")


async def test_a_service_of_the_same_name_is_another_one(here):
    async with here.controlled():
        first = await here.apply()
        await here.routed()
        await here.says("iris", "Ready", "True")
        await here.client.delete(INFERENCE_SERVICE, "iris", "default")
        second = await here.apply()
        assert second["metadata"]["uid"] != first["metadata"]["uid"]

        def belongs(found):
            return [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [second["metadata"]["uid"]]

        await here.have(DEPLOYMENT, "iris-predictor", belongs)
        await here.have(INGRESS, "iris", belongs)
        await here.routed()
        await here.says("iris", "Ready", "True")


async def test_an_edit_rolls_through_and_a_server_that_never_gets_ready_is_told(here):
    async with here.controlled():
        await here.apply(predictor=custom({"image": "good:1"}))
        await here.routed()
        await here.says("iris", "Ready", "True")
        await here.apply(predictor=custom({"image": "good:2"}))
        await here.have(INFERENCE_SERVICE, "iris", lambda found: found["status"]["observedGeneration"] == 2)
        await here.says("iris", "Ready", "True")
        await here.apply("new", predictor=custom({"image": "stuck:1"}))
        found = await here.says("new", "Ready", "False")
        assert condition(found, "IngressReady")["reason"] == "Predictor ingress not created"
        await here.annotate("iris", stop="true")

        async def without_pods() -> bool:
            pods = await here.client.list(POD, "default", label_selector="serving.kserve.io/inferenceservice=iris")
            return not pods

        await eventually(without_pods, "a stopped service has no pods")


async def test_many_services_come_up_together(here):
    names = [f"m{number}" for number in range(10)]
    async with here.controlled():
        await asyncio.gather(*(here.apply(name) for name in names))
        for name in names:
            await here.routed(name)
        for name in names:
            await here.says(name, "Ready", "True")
