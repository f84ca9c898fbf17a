"""The life of one element from end to end, over a real broker, message by message as ONAP's runtime sends them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from mizzen.acm.messages.acks import DeregisterAck, RegisterAck
from mizzen.acm.messages.orders import Deploy, Prime, StateChange
from mizzen.acm.messages.states import DeployOrder, PrimeOrder
from mizzen.acm.messages.sync import Sync
from mizzen.acm.runtime.service import Refused
from runtime_world import DATA, P, R, World, until

_MADE_UP = {"messageId", "timestamp", "responseTo", "revisionId", "revisionIdComposition", "revisionIdInstance"}
_IDS = {"compositionId", "automationCompositionId", "instanceId", "partitionKey"}


def golden(name: str) -> Any:
    return json.loads(next((DATA / "wire").glob(f"{name}-*.json")).read_text())


def bare(told: Any) -> Any:
    """Without what is made up anew each time."""
    if isinstance(told, dict):
        return {
            key: "..." if key in _MADE_UP | _IDS and value != str(P) else bare(value) for key, value in told.items()
        }
    return [bare(one) for one in told] if isinstance(told, list) else told


def document() -> dict[str, Any]:
    """The definition of the goldens, as REST shows it after it was commissioned."""
    template = json.loads((DATA / "rest" / "rest-02-composition-get-commissioned.json").read_text())["serviceTemplate"]
    del template["metadata"]
    return dict(template)


def instance_body(composition: UUID) -> dict[str, Any]:
    shown = json.loads((DATA / "rest" / "rest-05-instance-get-undeployed.json").read_text())
    element = shown["elements"]["709c62b3-8918-41b9-a747-d21eb79c6c20"]
    kept = {key: element[key] for key in ("id", "definition", "description", "properties")}
    return {
        "name": shown["name"],
        "version": shown["version"],
        "description": shown["description"],
        "compositionId": str(composition),
        "elements": {element["id"]: kept},
    }


async def test_one_element_from_commissioning_to_the_end(world: World) -> None:
    await world.start()
    participant = await world.present()
    service = world.service
    assert bare(participant.body(await participant.hears(RegisterAck))) == bare(golden("wire-02"))

    created = await service.compositions.commission(json.dumps(document()).encode(), "application/json")
    composition = UUID(created.body["compositionId"])
    rest = json.loads((DATA / "rest" / "rest-01-commission-201.json").read_text())
    assert created.created
    assert created.location == f"/compositions/{composition}"
    assert created.body == {**rest, "compositionId": str(composition)}

    await service.compositions.order(composition, PrimeOrder.PRIME)
    assert bare(participant.body(await participant.hears(Prime))) == bare(golden("wire-05"))
    primed = await participant.hears(Sync, lambda sync: sync.state == "PRIMED" and not sync.delete)
    assert bare(participant.body(primed)) == bare(golden("wire-07"))
    shown = await service.compositions.get(composition)
    assert shown["state"] == "PRIMED"
    assert shown["revisionId"] == str(primed.revision_id_composition)

    made = await service.instances.post(
        composition, json.dumps(instance_body(composition)).encode(), "application/json"
    )
    instance = UUID(made.body["instanceId"])
    assert made.created
    first = (await service.instances.get(composition, instance))["revisionId"]

    await service.instances.order(composition, instance, DeployOrder.DEPLOY, None, None)
    deploy = await participant.hears(Deploy)
    assert bare(participant.body(deploy)) == bare(golden("wire-08"))
    assert str(deploy.revision_id_instance) == first
    deployed = await participant.hears(Sync, lambda sync: sync.automation_composition_id == instance)
    assert bare(participant.body(deployed)) == bare(golden("wire-11"))
    await world.instance_is(composition, instance, "DEPLOYED")

    await service.instances.order(composition, instance, DeployOrder.UNDEPLOY, None, None)
    undeploy = await participant.hears(StateChange)
    assert bare(participant.body(undeploy)) == bare(golden("wire-13"))
    assert undeploy.revision_id_instance == deployed.automation_compositions[0].revision_id
    await world.instance_is(composition, instance, "UNDEPLOYED")

    answer = await service.instances.delete(composition, instance)
    assert answer["instanceId"] == str(instance)
    delete = await participant.hears(StateChange, count=2)
    assert bare(participant.body(delete)) == bare(golden("wire-20"))
    gone = await participant.hears(Sync, lambda sync: sync.delete and sync.automation_composition_id == instance)
    assert bare(participant.body(gone)) == bare(golden("wire-22"))
    with pytest.raises(Refused) as refused:
        await service.instances.get(composition, instance)
    assert (refused.value.status, refused.value.details) == (404, "AutomationComposition not found")

    await service.compositions.order(composition, PrimeOrder.DEPRIME)
    assert bare(participant.body(await participant.hears(Prime, count=2))) == bare(golden("wire-23"))
    ended = await participant.hears(Sync, lambda sync: sync.delete and sync.automation_composition_id is None)
    assert bare(participant.body(ended)) == bare(golden("wire-25"))
    await world.composition_is(composition, "COMMISSIONED")
    assert (await service.compositions.delete(composition))["compositionId"] == str(composition)

    await participant.leave()
    assert bare(participant.body(await participant.hears(DeregisterAck))) == bare(golden("wire-27"))

    async def replicas() -> Any:
        return (await service.participants.list(_everything()))[0]["participant"]["replicas"]

    await until(replicas, lambda found: found == {})


async def test_what_rest_shows_of_it(world: World) -> None:
    await world.start()
    participant = await world.present()
    service = world.service
    rest = {path.stem[:7]: json.loads(path.read_text()) for path in (DATA / "rest").glob("*.json")}
    created = await service.compositions.commission(json.dumps(document()).encode(), "application/json")
    composition = UUID(created.body["compositionId"])
    assert shape(await service.compositions.get(composition)) == shape(rest["rest-02"])

    await service.compositions.order(composition, PrimeOrder.PRIME)
    primed = await world.composition_is(composition, "PRIMED")
    assert shape(primed) == shape(rest["rest-03"])

    made = await service.instances.post(
        composition, json.dumps(instance_body(composition)).encode(), "application/json"
    )
    instance = UUID(made.body["instanceId"])
    assert shape(made.body) == shape(rest["rest-04"])
    assert shape(await service.instances.get(composition, instance)) == shape(rest["rest-05"])
    known = await service.participants.list(_everything())
    assert known[0]["participant"]["participantId"] == str(P)
    assert list(known[0]["participant"]["replicas"]) == [str(R)]
    assert set(known[0]) == set(rest["rest-07"][0])

    await world.deploy(composition, instance)
    deployed = await world.instance_is(composition, instance, "DEPLOYED")
    assert shape(deployed) == shape(rest["rest-06"])
    assert participant.registered.is_set()


def shape(told: Any) -> Any:
    """A body with what is made up anew masked, keys that are made up among it."""
    made_up = _MADE_UP | _IDS | {"lastMsg", "nodeTemplateStateId"}
    if isinstance(told, dict):
        return {key: "..." if key in made_up else shape(value) for key, value in told.items()}
    return [shape(one) for one in told] if isinstance(told, list) else told


def _everything() -> Any:
    from mizzen.acm.runtime.service import Page

    return Page()
