"""Killed, cut off, locked out: an order outlives it, and nothing is ever in two states."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from mizzen.acm.messages.orders import Deploy
from mizzen.acm.messages.states import PrimeOrder
from mizzen.acm.runtime.service import Page, Refused
from mizzen.acm.runtime.store import engine
from mizzen.bus import Broker
from runtime_world import WAIT, World, definition, obedient, until

ONE = definition({"name": "one"})
CHILD = Path(__file__).parents[2] / "runtime_child.py"


def silent(*_: Any) -> None:
    return None


@contextlib.asynccontextmanager
async def child(world: World, count: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        world.broker.servers,
        world.database,
        str(count),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHILD.parent), *sys.path])},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    found = await asyncio.wait_for(process.stdout.readline(), WAIT)
    assert found, "the runtime has ended"
    return found.decode().strip()


async def test_an_order_outlives_the_runtime(world: World) -> None:
    participant = await world.participant()
    async with child(world, 1) as process:
        assert await line(process) == "started"
        composition = UUID(json.loads(await line(process))["composition"])
        participant.answer = silent
        instance = UUID(json.loads(await line(process))["instance"])
        order = await participant.hears(Deploy)
    participant.answer = obedient
    await world.start()
    again = await participant.hears(Deploy, count=2)
    assert again.message_id == order.message_id
    assert again.revision_id_instance == order.revision_id_instance
    await world.instance_is(composition, instance, "DEPLOYED")


@pytest.mark.parametrize("after", [1, 4, 9])
async def test_killed_anywhere_it_takes_up_where_it_was(world: World, after: int) -> None:
    await world.participant()
    async with child(world, 12) as process:
        await line(process)
        composition = UUID(json.loads(await line(process))["composition"])
        for _ in range(after):
            await line(process)
    await world.start()

    async def states() -> list[str]:
        return [one["deployState"] for one in await world.instances.list(page=Page())]

    found = await until(states, lambda found: set(found) <= {"DEPLOYED", "UNDEPLOYED"})
    assert found.count("UNDEPLOYED") <= 1
    assert len(found) >= after
    for one in await world.instances.list(page=Page()):
        if one["deployState"] == "UNDEPLOYED":
            await world.deploy(composition, UUID(one["instanceId"]))
    await until(states, lambda found: set(found) == {"DEPLOYED"})


async def test_an_order_outlives_the_broker(world: World, broker: Broker) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    begun, later = [await world.made(composition, "one") for _ in range(2)]
    participant.answer = silent
    await world.deploy(composition, begun)
    order = await participant.hears(Deploy)

    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    await broker.died()
    participant.answer = obedient
    await world.deploy(composition, later)

    async def waiting() -> list[str]:
        found = await world.service.messages(instance=str(later), direction="out")
        return [one.outcome for one in found]

    assert await waiting() == ["waiting"]

    async def kafka() -> str | None:
        return (await world.service.health())["kafka"]

    assert broker.address in (await until(kafka, bool))
    await broker.start()
    await world.instance_is(composition, begun, "DEPLOYED")
    await world.instance_is(composition, later, "DEPLOYED")
    assert "waiting" not in await until(waiting, lambda found: "waiting" not in found)
    repeats = [one for one in participant.heard if isinstance(one, Deploy) and one.message_id == order.message_id]
    assert len(repeats) >= 2


async def test_priming_outlives_the_broker(world: World, broker: Broker) -> None:
    await world.start()
    participant = await world.present()
    primed, participant.prime_answer = participant.prime_answer, silent
    composition = await world.commissioned(ONE)
    await world.service.compositions.order(composition, PrimeOrder.PRIME)
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    await broker.died()
    participant.prime_answer = primed
    await broker.start()
    await world.composition_is(composition, "PRIMED")


async def test_no_broker_at_start(world: World, broker: Broker) -> None:
    await broker.stop()
    await world.start()
    composition = await world.commissioned(ONE)
    health = await world.service.health()
    assert health["database"] is None
    assert health["kafka"] is not None
    await broker.start()
    await world.present()
    await world.service.compositions.order(composition, PrimeOrder.PRIME)
    await world.composition_is(composition, "PRIMED")


async def test_a_locked_database_is_a_sentence_and_no_message_is_lost(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_PATIENCE", 0.3)
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    participant.answer = silent
    await world.deploy(composition, instance)
    order = await participant.hears(Deploy)
    (key,) = (await world.instances.get(composition, instance))["elements"]

    other = sqlite3.connect(tmp_path / "acm.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    told = obedient(order, UUID(key), "one")
    assert told is not None
    await participant.acknowledge(order, UUID(key), told)
    with pytest.raises(Refused) as error:
        await world.made(composition, "one")
    assert error.value.status == 503
    assert error.value.details == ("The database cannot be used now, nothing has been changed: database is locked")
    # What is only read can be read.
    assert (await world.instances.get(composition, instance))["deployState"] == "DEPLOYING"
    other.execute("ROLLBACK")
    other.close()
    await world.instance_is(composition, instance, "DEPLOYED")


async def test_a_database_that_was_removed(world: World, tmp_path: Path) -> None:
    await world.start()
    composition = await world.commissioned(ONE)
    kept = tmp_path / "kept.db"
    (tmp_path / "acm.db").rename(kept)
    with pytest.raises(Refused) as error:
        await world.commissioned(ONE)
    assert error.value.status == 503
    assert "has been removed or replaced while the runtime had it open" in error.value.details
    assert (await world.service.health())["database"] == error.value.details
    kept.rename(tmp_path / "acm.db")
    assert (await world.service.compositions.get(composition))["state"] == "COMMISSIONED"


async def test_a_message_that_no_broker_takes_holds_nobody_up(world: World) -> None:
    world.broker = structs.replace(world.broker, producer={"message.max.bytes": "50000"})
    await world.start()
    await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    made = await world.post(composition, (UUID(int=7), "one", {"text": "x" * 100_000}))
    large = UUID(made.body["instanceId"])
    await world.deploy(composition, large)
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    found = await world.instance_is(composition, large, "DEPLOYING", "FAILED")
    (element,) = found["elements"].values()
    assert "the message is larger than permitted" in element["message"]
    outcomes = [one.outcome for one in await world.service.messages(instance=str(large))]
    assert any(one.startswith("refused: ") for one in outcomes)
