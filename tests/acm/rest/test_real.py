"""The API over the runtime itself, with a broker and a participant that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from acm.rest.asking import GOLDENS, YAML, client
from mizzen.acm import samples
from mizzen.bus import Broker
from runtime_world import TOPICS, World, failing, obedient

TYPE = "org.onap.policy.clamp.acm.KserveAutomationCompositionElement"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        Broker([TOPICS.operation, TOPICS.sync]) as broker,
        World(broker.settings, f"sqlite:///{tmp_path}/acm.db") as world,
    ):
        await world.start()
        yield world


async def becomes(asked: httpx.AsyncClient, path: str, **wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            body: dict[str, Any] = (await asked.get(path)).json()
            if all(body.get(name) == value for name, value in wanted.items()):
                return body
            await asyncio.sleep(0.02)


def shape(body: Any) -> Any:
    """The names of members, all the way down; of maps by UUID, those of one value."""
    if isinstance(body, dict):
        if body and all(len(key) == 36 and key.count("-") == 4 for key in body):
            return {"UUID": shape(next(iter(body.values())))}
        return {key: shape(value) for key, value in sorted(body.items())}
    return [shape(one) for one in body[:1]] if isinstance(body, list) else type(body).__name__


async def test_the_life_of_an_instance(world: World) -> None:
    participant = await world.present(types=[TYPE])
    async with client(world.service) as asked:
        made = await asked.post("/compositions", content=samples.kserve_composition(), headers=YAML)
        assert made.status_code == 201, made.text
        composition = made.json()["compositionId"]
        assert made.headers["Location"] == f"/compositions/{composition}"
        definition = f"/compositions/{composition}"
        assert (await asked.put(definition, json={"primeOrder": "PRIME"})).status_code == 202
        body = await becomes(asked, definition, state="PRIMED")
        golden = yaml.safe_load((GOLDENS / "rest-03-composition-get-primed.json").read_text())
        assert body.keys() == golden.keys()
        assert shape(body["elementStateMap"]) == shape(golden["elementStateMap"])

        document = samples.kserve_instance(composition, "s3://models/iris")
        made = await asked.post(f"{definition}/instances", content=document, headers=YAML)
        assert made.status_code == 201, made.text
        here = made.headers["Location"]
        participant.answer = failing
        assert (await asked.put(here, json={"deployOrder": "DEPLOY"})).status_code == 202
        await becomes(asked, here, deployState="DEPLOYING", stateChangeResult="FAILED")
        participant.answer = obedient
        assert (await asked.put(here, json={"deployOrder": "DEPLOY"})).status_code == 202
        body = await becomes(asked, here, deployState="DEPLOYED", lockState="LOCKED")
        golden = yaml.safe_load((GOLDENS / "rest-06-instance-get-deployed.json").read_text())
        assert body.keys() == golden.keys()

        refused = await asked.put(here, json={"deployOrder": "DEPLOY"})
        assert (refused.status_code, refused.json()["errorDetails"]) == (
            400,
            "Not valid order AcInstanceStateUpdate(deployOrder=DEPLOY, lockOrder=null, subOrder=null); "
            "DeployState: DEPLOYED; LockState: LOCKED; SubState: NONE; StateChangeResult: NO_ERROR",
        )
        told = (await asked.get("/participants")).json()
        golden = yaml.safe_load((GOLDENS / "rest-07-participants-get.json").read_text())
        assert shape(told[0]["participant"]) == shape(golden[0]["participant"])

        assert (await asked.put(here, json={"deployOrder": "UNDEPLOY"})).status_code == 202
        await becomes(asked, here, deployState="UNDEPLOYED")
        assert (await asked.delete(here)).status_code == 202
        await becomes(asked, here, errorDetails="AutomationComposition not found")
        assert (await asked.put(definition, json={"primeOrder": "DEPRIME"})).status_code == 202
        await becomes(asked, definition, state="COMMISSIONED")
        assert (await asked.delete(definition)).status_code == 200


async def test_what_only_the_runtime_knows(world: World) -> None:
    async with client(world.service) as asked:
        made = await asked.post("/compositions", content=samples.kserve_composition(), headers=YAML)
        composition = made.json()["compositionId"]
        answer = await asked.put(f"/compositions/{composition}", json={"primeOrder": "PRIME"})
        assert (answer.status_code, answer.json()["errorDetails"]) == (400, f"Element Type {TYPE} 1.0.1 not supported")
        answer = await asked.delete(f"/compositions/{composition}")
        assert answer.status_code == 200
        wrong = samples.kserve_composition().replace("type: string", "type: String", 1)
        answer = await asked.post("/compositions", content=wrong, headers=YAML)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["line"]
        health = await asked.get("http://runtime/onap/policy/clamp/acm/actuator/health")
        assert (health.status_code, health.json()["status"]) == (200, "UP")
