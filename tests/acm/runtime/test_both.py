"""Runtime and participant together, as they ship: every order, either dialect, and what happens when one is away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from mizzen.acm.messages.dialects import Dialect
from mizzen.acm.messages.states import LockOrder, PrimeOrder, SubOrder
from mizzen.acm.participant.handler import Failed, Outcome
from mizzen.acm.runtime.service import Page, Refused
from mizzen.bus import Broker
from participant_world import AbleHandler, StubHandler, forever, replica_over
from runtime_world import P, World, definition, until

ONE = definition({"name": "one"})
PHASED = definition({"name": "late", "properties": {"startPhase": 1}}, {"name": "early"})


async def fails(*_: Any) -> Outcome:
    raise Failed("no room")


@asynccontextmanager
async def known(world: World, handler: StubHandler, **changes: Any) -> AsyncIterator[None]:
    """A replica that the runtime knows."""
    replica = uuid4()
    async with replica_over(world.broker, handler, replica, **changes):

        async def replicas() -> list[str]:
            try:
                return list((await world.service.participants.get(P, Page()))["participant"]["replicas"])
            except Refused:
                return []

        await until(replicas, lambda found: str(replica) in found)
        yield


@pytest.mark.parametrize("dialect", Dialect)
async def test_a_life_in_every_dialect(world: World, dialect: Dialect) -> None:
    await world.start(dialect=dialect)
    handler = AbleHandler()
    async with known(world, handler):
        composition = await world.primed(PHASED)
        instance = await world.made(composition, "early", "late")
        await world.instances.order(composition, instance, None, None, SubOrder.PREPARE)
        await world.instance_is(composition, instance, "UNDEPLOYED")
        await world.deploy(composition, instance)
        found = await world.instance_is(composition, instance, "DEPLOYED")
        deploys = [call[1].definition.name for call in handler.calls if call[0] == "deploy"]
        assert deploys == ["early", "late"]
        await world.instances.order(composition, instance, None, None, SubOrder.REVIEW)
        await world.instance_is(composition, instance, "DEPLOYED")
        for order, state in ((LockOrder.UNLOCK, "UNLOCKED"), (LockOrder.LOCK, "LOCKED")):
            await world.instances.order(composition, instance, None, order, None)

            async def lock() -> Any:
                return (await world.instances.get(composition, instance))["lockState"]

            await until(lock, lambda found, state=state: found == state)
        key = next(UUID(key) for key, one in found["elements"].items() if one["definition"]["name"] == "early")
        await world.post(composition, (key, "early", {"size": 2}), instanceId=str(instance))
        await world.instance_is(composition, instance, "DEPLOYED")
        update = next(call for call in handler.calls if call[0] == "update" and call[1].element_id == key)
        assert (update[1].properties, update[2].properties) == ({"name": "early"}, {"name": "early", "size": 2})
        await world.undeploy(composition, instance)
        await world.instance_is(composition, instance, "UNDEPLOYED")
        undeploys = [call[1].definition.name for call in handler.calls if call[0] == "undeploy"]
        assert undeploys == ["late", "early"]
        await world.instances.delete(composition, instance)

        async def listed() -> Any:
            return await world.instances.list(page=Page())

        await until(listed, lambda found: found == [])
        await world.service.compositions.order(composition, PrimeOrder.DEPRIME)
        await world.composition_is(composition, "COMMISSIONED")


@pytest.mark.parametrize("dialect", Dialect)
async def test_a_migration_fails_is_taken_back_and_done(world: World, dialect: Dialect) -> None:
    await world.start(dialect=dialect)
    handler = AbleHandler()
    async with known(world, handler):
        stages = {"stage": {"migrate": [1, 2]}}
        source = await world.primed(definition({"name": "stays"}, {"name": "goes"}, version="1.0.0"))
        target = await world.primed(
            definition({"name": "stays", "properties": stages}, {"name": "comes"}, version="2.0.0")
        )
        keys = {name: uuid4() for name in ("stays", "goes", "comes")}
        made = await world.post(
            source, (keys["stays"], "stays", {"a": 1}), (keys["goes"], "goes", {}), version="1.0.0", name="moving"
        )
        instance = UUID(made.body["instanceId"])
        await world.deploy(source, instance)
        await world.instance_is(source, instance, "DEPLOYED")

        async def staged(before: Any, after: Any, stage: int) -> Outcome:
            more = after is not None and after.definition.name == "stays" and stage == 1
            return Outcome(message="Migrated", stage=2 if more else None)

        async def migrate(**more: Any) -> None:
            await world.post(
                source,
                (keys["stays"], "stays", {"b": 2}),
                (keys["comes"], "comes", {}),
                version="2.0.0",
                name="moving",
                instanceId=str(instance),
                compositionTargetId=str(target),
                **more,
            )

        await migrate(precheck=True)
        await world.instance_is(source, instance, "DEPLOYED")

        async def second_fails(before: Any, after: Any, stage: int) -> Outcome:
            if stage == 2:
                raise Failed("no room")
            return await staged(before, after, stage)

        handler.does["migrate"] = second_fails
        await migrate()
        found = await world.instance_is(source, instance, "MIGRATING", "FAILED")
        assert "no room" in str(found["elements"][str(keys["stays"])]["message"])
        await world.instances.rollback(source, instance)
        found = await world.instance_is(source, instance, "DEPLOYED")
        assert set(found["elements"]) == {str(keys["stays"]), str(keys["goes"])}

        handler.does["migrate"] = staged
        await migrate()
        found = await world.instance_is(target, instance, "DEPLOYED")
        assert set(found["elements"]) == {str(keys["stays"]), str(keys["comes"])}
        await world.undeploy(target, instance)
        await world.instance_is(target, instance, "UNDEPLOYED")


async def test_a_reason_arrives(world: World) -> None:
    await world.start()
    handler = StubHandler(deploy=fails)
    async with known(world, handler):
        composition = await world.primed(ONE)
        instance = await world.made(composition, "one")
        await world.deploy(composition, instance)
        found = await world.instance_is(composition, instance, "DEPLOYING", "FAILED")
        (element,) = found["elements"].values()
        assert element["message"] == "Automation composition element deploy failed: no room"
        del handler.does["deploy"]
        await world.undeploy(composition, instance)
        await world.instance_is(composition, instance, "UNDEPLOYED")


async def test_the_participant_is_killed_in_the_middle(world: World) -> None:
    await world.start()
    slow = StubHandler(deploy=forever)
    async with known(world, slow):
        composition = await world.primed(ONE)
        instance = await world.made(composition, "one")
        await world.deploy(composition, instance)

        async def begun() -> list[str]:
            return slow.names()

        await until(begun, lambda found: found == ["deploy"])
    async with known(world, StubHandler()):
        await world.instance_is(composition, instance, "DEPLOYED")


async def test_the_broker_is_killed_in_the_middle(world: World, broker: Broker) -> None:
    await world.start()
    go_on = asyncio.Event()

    async def when_told(*_: Any) -> Outcome:
        await go_on.wait()
        return Outcome(message="Deployed")

    handler = StubHandler(deploy=when_told)
    async with known(world, handler):
        composition = await world.primed(ONE)
        instance = await world.made(composition, "one")
        await world.deploy(composition, instance)

        async def begun() -> list[str]:
            return handler.names()

        await until(begun, lambda found: "deploy" in found)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await broker.died()
        go_on.set()
        await broker.start()
        await world.instance_is(composition, instance, "DEPLOYED")
        await world.undeploy(composition, instance)
        await world.instance_is(composition, instance, "UNDEPLOYED")


async def test_the_runtime_is_away_for_a_while(world: World) -> None:
    handler = StubHandler()
    async with world.another() as first:
        world.runtime = first
        go_on = asyncio.Event()

        async def when_told(*_: Any) -> Outcome:
            await go_on.wait()
            return Outcome(message="Deployed")

        handler.does["deploy"] = when_told
        stack = known(world, handler)
        await stack.__aenter__()
        composition = await world.primed(ONE)
        instance = await world.made(composition, "one")
        await world.deploy(composition, instance)

        async def begun() -> list[str]:
            return handler.names()

        await until(begun, lambda found: "deploy" in found)
    go_on.set()
    await asyncio.sleep(0.3)
    await world.start()
    await world.instance_is(composition, instance, "DEPLOYED")
    await stack.__aexit__(None, None, None)
