"""Two runtimes of one database: messages spread between them, one supervises, either may go."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from mizzen.acm.messages.orders import Deploy
from mizzen.acm.runtime.runtime import Runtime
from mizzen.acm.runtime.service import Page
from mizzen.acm.runtime.store import leases, outbox
from mizzen.acm.runtime.store.engine import Store
from runtime_world import World, definition, obedient, until

ONE = definition({"name": "one"})


def silent(*_: Any) -> None:
    return None


def leading(*runtimes: Runtime) -> list[bool]:
    return [bool(one._scanner and one._scanner.leads) for one in runtimes]


async def leads(*runtimes: Runtime) -> None:
    async def look() -> int:
        return sum(leading(*runtimes))

    assert await until(look, bool) == 1


async def test_both_work_and_one_supervises(world: World) -> None:
    first = await world.start(max_operation_wait_ms=600)
    async with world.another(max_operation_wait_ms=600) as second:
        await leads(first, second)
        participant = await world.present()
        composition = await world.primed(ONE)
        instances = [await world.made(composition, "one") for _ in range(8)]
        services = [first.service, second.service]
        with second.service.changes() as changes:
            told: set[tuple[str, str]] = set()

            async def listen() -> None:
                async for change in changes:
                    told.add((change.kind, change.id))

            task = asyncio.create_task(listen())
            for number, instance in enumerate(instances):
                world.runtime = (first, second)[number % 2]
                await world.deploy(composition, instance)
            for instance in instances:
                await world.instance_is(composition, instance, "DEPLOYED")
            wanted = {("instance", str(instance)) for instance in instances}

            async def heard() -> bool:
                return wanted <= told

            # Whoever did it, whoever listens here is told.
            assert await until(heard, bool)
            task.cancel()
        participant.answer = silent
        world.runtime = second
        late = await world.made(composition, "one")
        await world.deploy(composition, late)
        await world.instance_is(composition, late, "DEPLOYING", "TIMEOUT")
        deploys = [one for one in participant.heard if isinstance(one, Deploy)]
        assert len({one.automation_composition_id for one in deploys}) == 9
        for service in services:
            assert len(await service.instances.list(page=Page())) == 9


async def test_the_other_takes_over(world: World) -> None:
    async with world.another() as first:
        await leads(first)
        second = await world.start()
        await asyncio.sleep(0.3)
        assert leading(first, second) == [True, False]
    await leads(second)


async def test_what_a_dead_runtime_had_still_to_send(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    participant.answer = silent
    await world.deploy(composition, instance)
    order = await participant.hears(Deploy)
    dead = leases.new_owner().replace(leases.new_owner().split("/")[2], "999999999")
    store = Store(world.database)
    body = b'{"messageType":"AUTOMATION_COMPOSITION_DEPLOY","messageId":"%s","participantUpdatesList":[]}'
    marked = str(uuid4())
    await store.write(
        lambda work: outbox.add(
            work, dead, "policy-acruntime-participant", "k", body % marked.encode(), due=0, logged=0
        )
    )
    store.close()
    assert leases.is_dead(dead)
    assert not leases.is_dead(leases.new_owner())
    assert (await participant.hears(Deploy, lambda one: str(one.message_id) == marked)) is not order
    participant.answer = obedient
