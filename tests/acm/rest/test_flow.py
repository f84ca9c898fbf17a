"""The life of a composition over REST: what rappmanager and the Robot suites do, with codes and headers."""

from __future__ import annotations

import pytest
import yaml

from acm.rest.asking import YAML, client, commissioned, instantiated, primed
from acm.web.double import PARTICIPANT, Double
from mizzen.acm import samples


async def test_from_commissioning_to_the_end() -> None:
    double = Double()
    async with client(double) as asked:
        composition = await commissioned(asked)
        assert (await asked.get(f"/compositions/{composition}")).json()["state"] == "COMMISSIONED"

        order = await asked.put(f"/compositions/{composition}", json={"primeOrder": "PRIME"})
        assert (order.status_code, order.content) == (202, b"")
        assert (await asked.get(f"/compositions/{composition}")).json()["state"] == "PRIMING"
        double.finish(composition)

        document = samples.kserve_instance(composition, "s3://models/iris")
        made = await asked.post(f"/compositions/{composition}/instances", content=document, headers=YAML)
        assert made.status_code == 201
        instance = made.json()["instanceId"]
        here = f"/compositions/{composition}/instances/{instance}"
        assert made.headers["Location"] == here

        order = await asked.put(here, json={"deployOrder": "DEPLOY"})
        assert (order.status_code, order.content) == (202, b"")
        double.finish(instance)
        body = (await asked.get(here)).json()
        assert (body["deployState"], body["lockState"]) == ("DEPLOYED", "LOCKED")

        for name, value, state in [("lockOrder", "UNLOCK", "UNLOCKED"), ("lockOrder", "LOCK", "LOCKED")]:
            assert (await asked.put(here, json={name: value})).status_code == 202
            double.finish(instance)
            assert (await asked.get(here)).json()["lockState"] == state

        assert (await asked.put(here, json={"deployOrder": "UNDEPLOY"})).status_code == 202
        double.finish(instance)
        gone = await asked.delete(here)
        assert gone.status_code == 202
        assert gone.json()["affectedAutomationComposition"] == {"name": "KserveIris", "version": "1.0.0"}
        double.finish(instance)
        assert (await asked.get(here)).json() == {"errorDetails": "AutomationComposition not found"}

        assert (await asked.put(f"/compositions/{composition}", json={"primeOrder": "DEPRIME"})).status_code == 202
        double.finish(composition)
        deleted = await asked.delete(f"/compositions/{composition}")
        assert deleted.status_code == 200
        assert deleted.json()["compositionId"] == composition
        assert (await asked.get("/compositions")).json() == {"service_templates": []}


async def test_a_definition_may_come_in_the_place_of_another() -> None:
    async with client(Double()) as asked:
        composition = await commissioned(asked)
        template = yaml.safe_load(samples.kserve_composition())
        template["metadata"] = {"compositionId": composition}
        answer = await asked.post("/compositions", json=template)
        assert answer.status_code == 200
        assert "Location" not in answer.headers
        assert answer.json()["compositionId"] == composition


async def test_an_update_and_a_rollback() -> None:
    double = Double()
    async with client(double) as asked:
        composition, instance = await instantiated(asked, double)
        here = f"/compositions/{composition}/instances/{instance}"
        await asked.put(here, json={"deployOrder": "DEPLOY"})
        double.finish(instance)
        body = (await asked.get(here)).json()
        element = next(iter(body["elements"].values()))
        before = element["properties"]
        change = {name: body[name] for name in ("name", "version", "instanceId", "compositionId")}
        changed = {"id": element["id"], "definition": element["definition"], "properties": {"deployTimeoutMs": 5}}
        answer = await asked.post(
            f"/compositions/{composition}/instances", json={**change, "elements": {element["id"]: changed}}
        )
        assert answer.status_code == 200, answer.text
        double.fail(instance, "no")
        back = await asked.post(f"{here}/rollback")
        assert (back.status_code, back.content) == (202, b"")
        double.finish(instance)
        body = (await asked.get(here)).json()
        assert next(iter(body["elements"].values()))["properties"] == before


async def test_lists_are_filtered_and_paged() -> None:
    double = Double()
    async with client(double) as asked:
        composition, instance = await instantiated(asked, double)
        path = f"/compositions/{composition}/instances"
        for query, found in [
            ("", 1),
            ("?name=KserveIris", 1),
            ("?name=Other", 0),
            ("?name=KserveIris&version=9.9.9", 0),
            ("?page=0&size=1", 1),
            ("?page=1&size=1", 0),
            ("?page=1", 1),
            ("?size=1", 1),
        ]:
            listed = (await asked.get(f"{path}{query}")).json()["automationCompositionList"]
            assert len(listed) == found, query
        for query, found in [
            ("", 1),
            (f"?instanceIds={instance}", 1),
            (f"?instanceIds={composition},{instance}", 1),
            (f"?instanceIds={composition}", 0),
            ("?deployState=UNDEPLOYED", 1),
            ("?deployState=DEPLOYED,DEPLOYING", 0),
            ("?deployState=DEPLOYED&deployState=UNDEPLOYED", 1),
            ("?stateChangeResult=FAILED", 0),
            ("?stateChangeResult=NO_ERROR,FAILED&sort=lastMsg&sortOrder=DESC", 1),
        ]:
            listed = (await asked.get(f"/instances{query}")).json()["automationCompositionList"]
            assert len(listed) == found, query
        assert len((await asked.get("/compositions?name=tosca&version=1.0.0")).json()["service_templates"]) == 1
        assert (await asked.get("/compositions?name=other")).json() == {"service_templates": []}


async def test_participants() -> None:
    double = Double()
    async with client(double) as asked:
        composition = await primed(asked, double)
        told = (await asked.get("/participants")).json()
        assert [one["participant"]["participantId"] for one in told] == [PARTICIPANT]
        assert (await asked.get(f"/participants/{PARTICIPANT}")).json()["participant"] == told[0]["participant"]
        known = (await asked.get(f"/participants/{PARTICIPANT}/compositions")).json()
        assert known == {"compositions": [{"compositionId": composition}]}
        one = await asked.get(f"/participants/{PARTICIPANT}/compositions/{composition}")
        assert one.json() == {"compositionId": composition}


@pytest.mark.parametrize(
    ("path", "asked_for"),
    [
        ("/participants", ("status", None)),
        (f"/participants/{PARTICIPANT}", ("status", PARTICIPANT)),
        ("/participants/sync", ("sync", None)),
        (f"/participants/sync/{PARTICIPANT}", ("sync", PARTICIPANT)),
    ],
)
async def test_participants_are_asked_and_told(path: str, asked_for: tuple[str, str | None]) -> None:
    double = Double()
    async with client(double) as asked:
        answer = await asked.put(path)
        assert (answer.status_code, answer.content) == (202, b"")
    [(what, which)] = double.asked
    assert (what, which and str(which)) == asked_for
