"""Keys land where Java puts them, and an independent client reads and writes what we do."""

from __future__ import annotations

import asyncio

import pytest

from bus.listening import PATIENCE, Heard, running
from mizzen.bus import Broker, Bus

aiokafka = pytest.importorskip("aiokafka")

# The hash values that Apache Kafka's own tests expect of Java's murmur2.
MURMUR2 = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}
UUIDS = [f"101c62b3-8918-41b9-a747-d21eb79c6c{number:02x}" for number in range(40)]


async def test_a_key_lands_on_the_partition_that_java_chooses(broker: Broker, bus: Bus) -> None:
    from aiokafka.partitioner import DefaultPartitioner

    chooses = DefaultPartitioner()
    partitions = list(range(10))
    for key in [*MURMUR2, *UUIDS]:
        await bus.send("operations", b"value of " + key.encode(), key=key, headers=[("h", b"1")])
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=broker.address, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([aiokafka.TopicPartition("operations", number) for number in partitions])
        await consumer.seek_to_beginning()
        found = {}
        async with asyncio.timeout(PATIENCE):
            while len(found) < len(MURMUR2) + len(UUIDS):
                record = await consumer.getone()
                assert record.value == b"value of " + record.key and list(record.headers) == [("h", b"1")]
                found[record.key.decode()] = record.partition
    finally:
        await consumer.stop()
    assert {key: found[key] for key in MURMUR2} == {key: (hash & 0x7FFFFFFF) % 10 for key, hash in MURMUR2.items()}
    assert found == {key: chooses(key.encode(), partitions, partitions) for key in found}
    assert len(set(found.values())) > 5


async def test_what_another_client_sends_is_heard(broker: Broker, bus: Bus) -> None:
    heard = Heard()
    async with running(bus.group(["operations"], "readers", heard)):
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker.address)
        await producer.start()
        try:
            sent = {}
            for key in [*MURMUR2, None]:
                value = f"of {key}".encode()
                metadata = await producer.send_and_wait(
                    "operations", value, key=key and key.encode(), headers=[("h", b"\xff")]
                )
                sent[value] = (key, metadata.partition, metadata.offset)
            await heard.count(len(sent))
        finally:
            await producer.stop()
    assert {record.value: (record.key, record.partition, record.offset) for record in heard.records} == sent
    assert {record.headers for record in heard.records} == {(("h", b"\xff"),)}


async def test_a_key_that_is_no_text_is_heard_all_the_same(broker: Broker, bus: Bus) -> None:
    heard = Heard()
    async with running(bus.tail(["sync"], heard, group="readers-1")):
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=broker.address)
        await producer.start()
        try:
            await producer.send_and_wait("sync", None, key=b"\xff\xfe")
        finally:
            await producer.stop()
        await heard.count(1)
    assert (heard.records[0].key, heard.records[0].value) == ("\ufffd\ufffd", b"")
