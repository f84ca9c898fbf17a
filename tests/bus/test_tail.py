"""A tail reads all partitions, those that are added while it runs too."""

from __future__ import annotations

import msgspec
import pytest

from bus.listening import Heard, running, until
from mizzen.bus import Broker, Bus, watch


async def test_partitions_that_are_added_are_read_from_their_beginning(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded broker cannot add any, so it is the watch that learns of the last six later."""
    known, answer = 4, watch.answer

    def short(future: object) -> object:
        found = answer(future)  # type: ignore[arg-type]
        return msgspec.structs.replace(found, partitions=known) if isinstance(found, watch.Topic) else found

    monkeypatch.setattr(watch, "answer", short)
    async with Bus(broker.settings) as bus:
        heard = Heard()
        async with running(bus.tail(["sync"], heard, group="readers-1")):
            for number in range(100):
                await bus.send("sync", b"%d" % number, key=str(number))
            await until(lambda: {record.partition for record in heard.records} == {0, 1, 2, 3})
            known = 10
            assert sorted(await heard.count(100)) == sorted(b"%d" % number for number in range(100))
    assert {record.partition for record in heard.records} == set(range(10))
    assert len(heard.records) == 100


async def test_a_tail_leaves_no_trace_at_the_broker(broker: Broker, bus: Bus) -> None:
    from confluent_kafka.admin import AdminClient

    heard = Heard()
    async with running(bus.tail(["sync"], heard, group="readers-1")):
        await bus.send("sync", b"x")
        await heard.count(1)
        groups = AdminClient({"bootstrap.servers": broker.address}).list_consumer_groups().result(30)
        assert [group.group_id for group in groups.valid] == []
