"""What a bus promises while all is well: records arrive in order and once, and a slow or failing handler harms none."""

from __future__ import annotations

import asyncio
import logging

import pytest

from bus.listening import Heard, ready, running, until
from mizzen.bus import Broker, Bus, BusError, BusSettings, Record


async def test_what_is_sent_is_heard_with_all_that_belongs_to_it(bus: Bus) -> None:
    heard = Heard()
    async with running(bus.group(["operations"], "readers", heard)):
        await bus.send("operations", b'{"a": 1}', key="k\u00e9y", headers=[("traceparent", b"00-1"), ("empty", b"")])
        await bus.send("operations", b"", key=None)
        await heard.count(2)
    first = next(record for record in heard.records if record.value)
    assert (first.topic, first.key, first.value) == ("operations", "k\u00e9y", b'{"a": 1}')
    assert first.headers == (("traceparent", b"00-1"), ("empty", b""))
    assert first.timestamp is not None and first.timestamp > 1_600_000_000
    second = next(record for record in heard.records if not record.value)
    assert (second.key, second.headers) == (None, ())


async def test_records_of_a_key_keep_their_order(bus: Bus) -> None:
    heard = Heard()
    expected = [f"{key}:{number}" for number in range(200) for key in "abc"]
    async with running(bus.group(["operations"], "readers", heard)):
        await asyncio.gather(*(bus.send("operations", value.encode(), key=value[0]) for value in expected))
        await heard.count(len(expected))
    for key in "abc":
        numbers = [int(value[2:]) for value in heard.values if value.startswith(key.encode())]
        assert numbers == list(range(200))


async def test_a_tail_hears_every_record_and_a_group_shares_them(broker: Broker) -> None:
    async with Bus(broker.settings) as one, Bus(broker.settings) as two:
        tails, members = [Heard(), Heard()], [Heard(), Heard()]
        listeners = [
            one.tail(["sync"], tails[0], group="readers-1"),
            two.tail(["sync"], tails[1], group="readers-2"),
            one.group(["operations"], "readers", members[0]),
            two.group(["operations"], "readers", members[1]),
        ]
        async with running(*listeners):
            values = [b"%d" % number for number in range(60)]
            for value in values:
                await one.send("sync", value, key=value.decode())
                await one.send("operations", value, key=value.decode())
            for tail in tails:
                await tail.count(60)
            await until(lambda: len(members[0].values) + len(members[1].values) >= 60)
        assert [sorted(tail.values) for tail in tails] == [sorted(values)] * 2
        assert set(members[0].values) | set(members[1].values) == set(values)


async def test_a_tail_begins_at_the_end(bus: Bus) -> None:
    await bus.send("sync", b"before", key="k")
    heard = Heard()
    async with running(bus.tail(["sync"], heard, group="readers-1")):
        await bus.send("sync", b"after", key="k")
        await heard.count(1)
    assert heard.values == [b"after"]


async def test_a_handler_that_raises_is_logged_and_its_record_counts_as_handled(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()

    async def fail_first(record: Record) -> None:
        await heard(record)
        if record.value == b"first":
            raise ValueError("a defect of the handler")

    async with running(bus.group(["operations"], "readers", fail_first)):
        await bus.send("operations", b"first", key="k")
        await bus.send("operations", b"second", key="k")
        await heard.count(2)
    complaint = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert "operations-" in complaint.getMessage() and "a defect of the handler" in caplog.text

    again = Heard()
    async with running(bus.group(["operations"], "readers", again)):
        await bus.send("operations", b"third", key="k")
        await again.count(1)
    assert again.values == [b"third"]


async def test_a_slow_partition_holds_up_no_other_and_costs_no_membership(broker: Broker) -> None:
    """More waits than a lane holds, for longer than the group would wait for a poll."""
    settings = BusSettings(broker.address, quick=True, consumer={"max.poll.interval.ms": "2000"})
    heard, blocked = Heard(), asyncio.Event()

    async def handle(record: Record) -> None:
        if record.key == "slow":
            await blocked.wait()
        await heard(record)

    async with Bus(settings) as bus:
        listener = bus.group(["operations"], "readers", handle)
        async with running(listener):
            await asyncio.gather(*(bus.send("operations", b"slow %d" % n, key="slow") for n in range(2000)))
            await asyncio.gather(*(bus.send("operations", b"fast %d" % n, key="fast") for n in range(50)))
            assert all(value.startswith(b"fast") for value in await heard.count(50))
            await asyncio.sleep(3)
            assert listener.ready.is_set()
            blocked.set()
            await heard.count(2050)
            assert heard.values[50:] == [b"slow %d" % n for n in range(2000)]


async def test_a_message_of_five_megabytes_passes(bus: Bus) -> None:
    heard, large = Heard(), b"x" * 5 * 1024 * 1024
    async with running(bus.group(["operations"], "readers", heard)):
        await bus.send("operations", large, key="k")
        assert await heard.count(1) == [large]


async def test_a_message_that_is_too_large_is_refused_in_words(bus: Bus) -> None:
    with pytest.raises(BusError, match=r"topic operations.*larger than permitted.*message\.max\.bytes"):
        await bus.send("operations", b"x" * 20 * 1024 * 1024)


async def test_topics_are_made_once_and_left_as_they_are(bus: Bus) -> None:
    await bus.ensure_topics(["added", "operations"], partitions=3)
    await bus.ensure_topics(["added"], partitions=5)
    heard = Heard()
    async with running(bus.tail(["added"], heard, group="readers-1")):
        for number in range(50):
            await bus.send("added", b"x", key=str(number))
        await heard.count(50)
    assert {record.partition for record in heard.records} == {0, 1, 2}


async def test_a_producer_does_not_make_topics(broker: Broker) -> None:
    settings = BusSettings(broker.address, quick=True, send_timeout=1.0)
    async with Bus(settings) as bus:
        with pytest.raises(BusError, match=r"topic nowhere.*does not exist \(tried for 1 s\)"):
            await bus.send("nowhere", b"x")
        heard = Heard()
        listener = bus.tail(["nowhere"], heard, group="readers-1")
        async with running(listener, wait=False):
            await until(lambda: bus.connected)
            await asyncio.sleep(0.5)
            assert not listener.ready.is_set()
            await bus.ensure_topics(["nowhere"])
            await ready(listener)
            await bus.send("nowhere", b"now", key="k")
            await heard.count(1)


async def test_a_listener_ends_when_cancelled_and_cancels_its_handlers(bus: Bus) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(record: Record) -> None:
        entered.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with running(bus.group(["operations"], "readers", hang)):
        await bus.send("operations", b"x")
        await asyncio.wait_for(entered.wait(), 30)
    assert cancelled.is_set()
    # What was not handled is heard again.
    heard = Heard()
    async with running(bus.group(["operations"], "readers", heard)):
        assert await heard.count(1) == [b"x"]


async def test_a_listener_runs_once_at_a_time(bus: Bus) -> None:
    listener = bus.tail(["sync"], Heard(), group="readers-1")
    async with running(listener):
        with pytest.raises(RuntimeError, match="runs already"):
            await listener.run()
    async with running(listener):
        assert listener.ready.is_set()
    assert not listener.ready.is_set()


async def test_outside_its_block_a_bus_says_so(broker: Broker) -> None:
    bus = Bus(broker.settings)
    with pytest.raises(BusError, match="outside its `async with`"):
        await bus.send("operations", b"x")
    assert not bus.connected


async def test_a_send_that_waits_when_the_bus_is_left_fails() -> None:
    async with Broker() as broker:
        settings = broker.settings
    async with Bus(settings) as bus:
        sending = asyncio.create_task(bus.send("operations", b"x"))
        await asyncio.sleep(0.2)
    with pytest.raises(BusError, match="closed"):
        await sending
