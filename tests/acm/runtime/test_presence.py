"""Participants that come, go, clash, restart and ask; and records that are no messages."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from mizzen.acm.messages.acks import RegisterAck
from mizzen.acm.messages.concepts import Identifier, NodeTemplate
from mizzen.acm.messages.elements import (
    ElementDefinition,
    ElementInfo,
    InstanceInfo,
    ParticipantDefinition,
)
from mizzen.acm.messages.reports import RequestSync, Status
from mizzen.acm.messages.states import DeployState, PrimeOrder
from mizzen.acm.messages.sync import StatusRequest, Sync
from mizzen.acm.runtime.service import Page, Refused
from runtime_world import ELEMENT, TOPICS, TYPE, TestParticipant, World, definition, until

ONE = definition({"name": "one"})


async def log_of(world: World, **filters: Any) -> list[Any]:
    return await world.service.messages(**filters)


async def test_a_type_belongs_to_whoever_came_first(world: World) -> None:
    await world.start()
    await world.present()
    second = await world.participant(participant=uuid4(), replica=uuid4())

    async def ignored() -> list[Any]:
        found = await log_of(world, type="PARTICIPANT_REGISTER", participant=str(second.id))
        return [one.outcome for one in found]

    outcomes = await until(ignored, bool)
    assert outcomes[0].startswith(f"ignored: the element type {TYPE} 1.0.1 is taken by participant ")
    assert not second.registered.is_set()
    assert len(await world.service.participants.list(Page())) == 1
    with pytest.raises(Refused) as error:
        await world.service.participants.get(second.id, Page())
    assert (error.value.status, error.value.details) == (404, f"Participant Not Found with ID: {second.id}")


async def test_two_participants_of_two_types_share_a_composition(world: World) -> None:
    await world.start()
    first = await world.present()
    other_type = f"{ELEMENT}Other"
    second = await world.present(participant=uuid4(), replica=uuid4(), types=[other_type])
    composition = await world.primed(definition({"name": "one"}, {"name": "two", "type": other_type}))
    instance = await world.made(composition, "one", "two")
    await world.deploy(composition, instance)
    found = await world.instance_is(composition, instance, "DEPLOYED")
    owners = {one["definition"]["name"]: one["participantId"] for one in found["elements"].values()}
    assert owners == {"one": str(first.id), "two": str(second.id)}
    told = await world.service.participants.get(second.id, Page())
    assert [one["definition"]["name"] for one in told["acElementInstanceMap"].values()] == ["two"]
    (dto,) = (await world.service.participants.compositions(second.id, Page()))["compositions"]
    assert set(dto["inPropertiesMap"]) == {"two 1.2.3"}


async def test_nobody_takes_the_type_and_nobody_is_there(world: World) -> None:
    await world.start()
    composition = await world.commissioned(ONE)
    with pytest.raises(Refused) as error:
        await world.service.compositions.order(composition, PrimeOrder.PRIME)
    assert (error.value.status, error.value.details) == (400, f"Element Type {TYPE} 1.0.1 not supported")

    participant = await world.present()
    await world.service.compositions.order(composition, PrimeOrder.PRIME)
    await world.composition_is(composition, "PRIMED")
    instance = await world.made(composition, "one")
    await participant.leave()

    async def replicas() -> Any:
        return (await world.service.participants.get(participant.id, Page()))["participant"]["replicas"]

    await until(replicas, lambda found: found == {})
    for asked in (
        world.deploy(composition, instance),
        world.service.compositions.order(await world.commissioned(ONE), PrimeOrder.PRIME),
        world.made(composition, "one"),
    ):
        with pytest.raises(Refused) as error:
            await asked
        assert (error.value.status, error.value.details) == (409, f"Participant: {participant.id} is OFFLINE")


async def test_a_replica_that_says_nothing_is_forgotten(world: World) -> None:
    await world.start(max_status_wait_ms=1500, heart_beat_ms=300)
    participant = await world.present()

    async def replicas() -> Any:
        return (await world.service.participants.get(participant.id, Page()))["participant"]["replicas"]

    assert await replicas()
    await until(replicas, lambda found: found == {})


async def test_a_new_replica_is_told_everything(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    await world.commissioned(ONE)

    second = await world.present(replica=uuid4())
    sync = await second.hears(Sync, lambda one: one.restarting and one.replica_id == second.replica)
    assert (sync.composition_id, sync.participant_id) == (composition, participant.id)
    assert [one.automation_composition_id for one in sync.automation_compositions] == [instance]
    assert sync.automation_compositions[0].state_change_result is None
    assert sync.automation_compositions[0].deploy_state is DeployState.DEPLOYED
    assert len([one for one in second.heard if isinstance(one, Sync) and one.restarting]) == 1


async def test_a_participant_asks_for_what_it_missed(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    ids = {"participant_id": participant.id, "replica_id": participant.replica}
    await participant.say(RequestSync(composition_id=composition, automation_composition_id=instance, **ids))
    sync = await participant.hears(Sync, lambda one: one.restarting)
    assert [one.automation_composition_id for one in sync.automation_compositions] == [instance]
    await participant.say(RequestSync(automation_composition_id=instance, **ids))
    sync = await participant.hears(Sync, lambda one: one.automation_composition_id == instance)
    assert (sync.restarting, sync.participant_id_list) == (False, [participant.id])
    await participant.say(RequestSync(composition_target_id=composition, **ids))
    sync = await participant.hears(Sync, lambda one: one.restarting, count=2)
    assert sync.automation_compositions == []
    await participant.say(RequestSync(composition_id=uuid4(), **ids))

    async def ignored() -> list[str]:
        found = await log_of(world, type="PARTICIPANT_REQ_SYNC_MSG")
        return [one.outcome for one in found]

    assert (await until(ignored, lambda found: len(found) == 4))[0] == "ignored: what is asked for is not known"


async def test_what_a_participant_tells_of_its_elements(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    (key,) = (await world.instances.get(composition, instance))["elements"]
    told = ElementInfo(
        automation_composition_element_id=UUID(key),
        operational_state="ENABLED",
        use_state="ACTIVE",
        out_properties={"url": "http://one"},
    )
    status = Status(
        participant_id=participant.id,
        replica_id=participant.replica,
        composition_id=composition,
        participant_supported_element_type=participant.supported(),
        automation_composition_info_list=[InstanceInfo(automation_composition_id=instance, elements=[told])],
        participant_definition_updates=[
            ParticipantDefinition(
                participant_id=participant.id,
                automation_composition_element_definition_list=[
                    ElementDefinition(
                        ac_element_definition_id=Identifier("one", "1.2.3"),
                        automation_composition_element_tosca_node_template=NodeTemplate(name="one", version="1.2.3"),
                        out_properties={"license": "known"},
                    )
                ],
            )
        ],
    )
    with world.service.changes() as changes:
        await participant.say(status)
        async for change in changes:
            if (change.kind, change.id) == ("instance", str(instance)):
                break
    element = (await world.instances.get(composition, instance))["elements"][key]
    assert (element["operationalState"], element["useState"]) == ("ENABLED", "ACTIVE")
    assert element["outProperties"] == {"url": "http://one"}
    node = (await world.service.compositions.get(composition))["elementStateMap"]["one"]
    assert node["outProperties"] == {"license": "known"}


async def test_a_status_without_its_lists(world: World) -> None:
    await world.start()
    participant = await world.present()
    bare = {
        "messageType": "PARTICIPANT_STATUS",
        "messageId": str(uuid4()),
        "timestamp": "2026-08-21T12:00:00Z",
        "participantId": str(participant.id),
        "replicaId": str(participant.replica),
        "participantSupportedElementType": None,
    }
    await send(participant, bare)
    before = len(await log_of(world, type="PARTICIPANT_STATUS"))

    async def applied() -> list[str]:
        return [one.outcome for one in await log_of(world, type="PARTICIPANT_STATUS")]

    assert set(await until(applied, lambda found: len(found) > before or len(found) > 1)) == {"applied"}
    types = (await world.service.participants.get(participant.id, Page()))["participant"]
    assert len(types["participantSupportedElementTypes"]) == 1


async def test_records_that_are_no_messages(world: World) -> None:
    await world.start()
    participant = await world.present()
    known = {"messageId": str(uuid4()), "participantId": str(participant.id), "replicaId": str(participant.replica)}
    for body in (
        b"no JSON",
        b"[]",
        b'{"messageType":"PARTICIPANT_RESTART"}',
        b'{"messageType":"PARTICIPANT_STATUS","messageId":"x"}',
        b'{"a":' * 5000,
        b'{"messageType":"AUTOMATION_COMPOSITION_STATECHANGE_ACK"}',
        b'{"messageType":"PARTICIPANT_PRIME_ACK","compositionId":"%s"}' % str(uuid4()).encode(),
    ):
        await participant._bus.send(TOPICS.operation, body, key="k")
    await send(participant, {"messageType": "PARTICIPANT_STATUS", **known, "unknown": {"field": 1}})

    async def logged() -> list[str]:
        return [one.outcome for one in await log_of(world, direction="in") if one.outcome.startswith("ignored")]

    outcomes = await until(logged, lambda found: len(found) == 7)
    assert any("not JSON" in one for one in outcomes)
    assert any("'PARTICIPANT_RESTART' is unknown" in one for one in outcomes)


async def test_status_and_synchronisation_on_request(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    await world.service.participants.request_status(participant.id)
    asked = await participant.hears(StatusRequest, lambda one: one.participant_id == participant.id)
    assert asked.participant_id_list == [participant.id]
    await world.service.participants.synchronise(None)
    sync = await participant.hears(Sync, lambda one: one.restarting)
    assert (sync.composition_id, sync.replica_id) == (composition, None)
    for asking in (world.service.participants.request_status, world.service.participants.synchronise):
        with pytest.raises(Refused):
            await asking(uuid4())


async def test_a_message_that_comes_twice(world: World) -> None:
    await world.start()
    participant = await world.present()
    before = await participant.hears(RegisterAck)
    register = participant.register()
    await participant.say(register)
    await participant.say(register)
    acks = [
        await participant.hears(RegisterAck, lambda one: one.response_to == register.message_id, count=count)
        for count in (1, 2)
    ]
    assert len(acks) == 2 and before.response_to != register.message_id
    await asyncio.sleep(0)
    assert len(await world.service.participants.list(Page())) == 1


async def send(participant: TestParticipant, body: dict[str, Any]) -> None:
    import json

    await participant._bus.send(TOPICS.operation, json.dumps(body).encode(), key="k")
