"""A replica that is gone in the middle of an order: those that are left are told how things stand, and take it up."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from mizzen.acm.messages.states import DeployState
from mizzen.acm.messages.sync import Sync
from mizzen.acm.runtime.service import Page
from runtime_world import TestParticipant, World, definition, until

ONE = definition({"name": "one"})


async def _two(world: World) -> tuple[TestParticipant, TestParticipant, UUID, UUID]:
    first = await world.present()
    second = await world.present(replica=uuid4())
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    return first, second, composition, instance


@pytest.mark.parametrize("way", ["says so", "falls silent"])
async def test_the_others_are_told_what_goes_on(world: World, way: str) -> None:
    await world.start(**({"max_status_wait_ms": 5000, "heart_beat_ms": 300} if way == "falls silent" else {}))
    first, second, composition, instance = await _two(world)
    first.silent = second.silent = True
    await world.deploy(composition, instance)
    if way == "says so":
        await first.leave()
    beating = asyncio.create_task(_beat(second))
    told = await second.hears(Sync, lambda one: one.restarting and one.replica_id is None)
    beating.cancel()
    assert (told.composition_id, told.participant_id) == (composition, second.id)
    assert [one.automation_composition_id for one in told.automation_compositions] == [instance]
    assert told.automation_compositions[0].deploy_state is DeployState.DEPLOYING


async def _beat(participant: TestParticipant) -> None:
    while True:
        await participant.say(participant.status())
        await asyncio.sleep(0.2)


async def test_nothing_is_told_when_nothing_goes_on(world: World) -> None:
    await world.start()
    first, second, composition, instance = await _two(world)
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    await first.leave()
    await until(lambda: _is_gone(world, first), bool)
    await world.undeploy(composition, instance)
    await world.instance_is(composition, instance, "UNDEPLOYED")
    assert not [one for one in second.heard if isinstance(one, Sync) and one.restarting and one.replica_id is None]


async def _is_gone(world: World, participant: TestParticipant) -> bool:
    told = await world.service.participants.get(participant.id, Page())
    return str(participant.replica) not in told["participant"]["replicas"]
