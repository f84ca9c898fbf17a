"""How a group remembers: nothing is left out by a rebalance, a restart or a death, and little is handled twice."""

from __future__ import annotations

import asyncio

from bus.listening import Heard, ready, running, until
from mizzen.bus import Broker, Bus, BusSettings, Record


async def test_what_is_sent_while_nobody_reads_is_heard_later(bus: Bus) -> None:
    """Also on partitions that have never had a record: their ends were committed on the first assignment."""
    async with running(bus.group(["operations"], "readers", Heard())):
        pass
    sent = [b"%d" % number for number in range(50)]
    for value in sent:
        await bus.send("operations", value, key=value.decode())
    heard = Heard()
    async with running(bus.group(["operations"], "readers", heard)):
        assert sorted(await heard.count(50)) == sorted(sent)


async def test_a_group_begins_at_the_end_unless_told_otherwise(broker: Broker) -> None:
    async with Bus(broker.settings) as bus:
        await bus.send("operations", b"before", key="k")
        heard = Heard()
        async with running(bus.group(["operations"], "late", heard)):
            await bus.send("operations", b"after", key="k")
            assert await heard.count(1) == [b"after"]
    settings = BusSettings(broker.address, quick=True, consumer={"auto.offset.reset": "earliest"})
    async with Bus(settings) as bus:
        heard = Heard()
        async with running(bus.group(["operations"], "early", heard)):
            assert await heard.count(2) == [b"before", b"after"]


async def test_nothing_is_lost_or_handled_twice_when_members_come_and_go(broker: Broker) -> None:
    """A member joins and leaves in an orderly way while records flow; handlers take their time."""
    heard = Heard()

    async def handle(record: Record) -> None:
        await asyncio.sleep(0.002)
        await heard(record)

    async with Bus(broker.settings) as one, Bus(broker.settings) as two:
        total, stop = 0, False

        async def produce() -> None:
            nonlocal total
            while not stop:
                await one.send("operations", b"%d" % total, key=str(total))
                total += 1
                await asyncio.sleep(0.005)

        async with running(one.group(["operations"], "readers", handle)):
            producing = asyncio.create_task(produce())
            for _ in range(2):
                before = len(heard.values)
                async with running(two.group(["operations"], "readers", handle)):
                    await heard.count(before + 100)
                await heard.count(len(heard.values) + 100)
            stop = True
            await producing
            await heard.until(lambda values: len(set(values)) == total)
    assert len(heard.values) == total


async def test_a_member_that_dies_leaves_its_records_to_the_others(broker: Broker) -> None:
    """What the dead one had begun and not ended is handled by another."""
    begun = Heard()

    async def never_done(record: Record) -> None:
        await begun(record)
        await asyncio.sleep(3600)

    async with Bus(broker.settings) as bus:
        async with running(bus.group(["operations"], "readers", never_done)):
            sent = [b"%d" % number for number in range(30)]
            for value in sent:
                await bus.send("operations", value, key=value.decode())
            await until(lambda: len({record.partition for record in begun.records}) > 3)
        heard = Heard()
        async with running(bus.group(["operations"], "readers", heard)):
            assert sorted(await heard.count(30)) == sorted(sent)


async def test_replicas_share_partitions_and_a_replica_without_one_is_ready_too(broker: Broker) -> None:
    async with Bus(broker.settings) as bus:
        await bus.ensure_topics(["narrow"], partitions=1)
        heard = [Heard(), Heard()]
        listeners = [bus.group(["narrow"], "readers", each) for each in heard]
        async with running(*listeners):
            await bus.send("narrow", b"x")
            await until(lambda: len(heard[0].values) + len(heard[1].values) == 1)
            await ready(*listeners)


async def test_one_group_reads_several_topics(bus: Bus) -> None:
    heard = Heard()
    async with running(bus.group(["operations", "sync"], "readers", heard)):
        await bus.send("operations", b"1")
        await bus.send("sync", b"2")
        await heard.count(2)
    assert {(record.topic, record.value) for record in heard.records} == {("operations", b"1"), ("sync", b"2")}
