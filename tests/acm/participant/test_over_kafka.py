"""Participants over a real broker: several replicas, a broker that comes and goes, and whatever may lie in a topic."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest

from mizzen.acm.participant import lifecycle
from mizzen.acm.participant.handler import Outcome
from mizzen.bus import Broker
from participant_world import (
    OPERATION,
    SYNC,
    E,
    StubHandler,
    again,
    forever,
    golden,
    replica_over,
    runtime_over,
    until,
)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups take their time to form, and brokers to come back."""
    monkeypatch.setattr("participant_world._PATIENCE", 60)


async def test_of_two_replicas_one_carries_out_each_order_and_both_are_told(broker: Broker) -> None:
    """Orders of many compositions, so that both replicas' partitions have some."""
    handlers = {uuid4(): StubHandler() for _ in range(2)}
    first, second = handlers
    async with runtime_over(broker.settings) as runtime:
        async with (
            replica_over(broker.settings, handlers[first], first),
            replica_over(broker.settings, handlers[second], second),
        ):
            registered = {(await runtime.next("PARTICIPANT_REGISTER"))["replicaId"] for _ in range(2)}
            assert registered == {str(first), str(second)}
            for replica in handlers:
                await runtime.say(golden("02", replicaId=str(replica)))
            compositions = [str(uuid4()) for _ in range(24)]
            for composition in compositions:
                await runtime.say(
                    again(golden("07"), compositionId=composition, partitionKey=composition, revisionIdComposition=None)
                )
            for composition in compositions:
                instance, element = str(uuid4()), str(uuid4())
                order = again(
                    golden("08"),
                    compositionId=composition,
                    automationCompositionId=instance,
                    partitionKey=composition,
                    revisionIdComposition=None,
                )
                del order["participantDtoList"]
                order["participantUpdatesList"][0]["acElementList"][0]["id"] = element
                await runtime.say(order)
            acks = [await runtime.ack() for _ in compositions]
            deployed = {
                replica: [call[1].composition_id for call in handler.calls if call[0] == "deploy"]
                for replica, handler in handlers.items()
            }
            assert sorted(map(str, deployed[first] + deployed[second])) == sorted(compositions)
            assert len({str(ack["automationCompositionId"]) for ack in acks}) == len(compositions)
            assert min(len(found) for found in deployed.values()) > 0
            # Both know the compositions: each asks for nothing, and both watch over what the runtime tells.
            assert runtime.of("PARTICIPANT_REQ_SYNC_MSG") == []
            await runtime.say(golden("11"))
            await until(lambda: all("deployed" in handler.names() for handler in handlers.values()))


async def test_what_a_replica_leaves_another_takes_up(broker: Broker) -> None:
    """One is killed while it deploys: the next to come is told, goes on, and acknowledges."""
    async with runtime_over(broker.settings) as runtime:
        slow = StubHandler(deploy=forever)
        async with replica_over(broker.settings, slow, first := uuid4()):
            await runtime.next("PARTICIPANT_REGISTER")
            await runtime.say(golden("02", replicaId=str(first)))
            await runtime.next("PARTICIPANT_STATUS")
            await runtime.say(golden("05"))
            await runtime.ack()
            await runtime.say(golden("07"))
            await runtime.say(golden("08"))
            await until(lambda: slow.names() == ["deploy"])
        assert slow.cancelled == ["deploy"]
        quick = StubHandler()
        async with replica_over(broker.settings, quick, second := uuid4()):
            await runtime.next("PARTICIPANT_REGISTER")
            restart = golden("19", replicaId=str(second))
            [told] = restart["automationcompositionList"]
            for each in (told, *told["acElementList"]):
                each |= {"deployState": "DEPLOYING", "lockState": "NONE"}
            await runtime.say(restart)
            ack = await runtime.ack()
            assert (ack["replicaId"], ack["message"]) == (str(second), "Deployed")
            assert list(ack["automationCompositionResultMap"]) == [str(E)]


async def test_the_broker_is_killed_and_comes_back(broker: Broker) -> None:
    """In the middle of an operation: the acknowledgement waits, and what is ordered afterwards is carried out."""
    go_on = asyncio.Event()

    async def when_told(*given: object) -> Outcome:
        await go_on.wait()
        return Outcome(message="Deployed", out_properties={"url": "http://a"})

    handler = StubHandler(deploy=when_told)
    async with runtime_over(broker.settings) as runtime, replica_over(broker.settings, handler) as participant:
        await runtime.register()
        await runtime.say(golden("05"))
        await runtime.ack()
        await runtime.say(golden("07"))
        await runtime.say(golden("08"))
        await until(lambda: handler.names() == ["deploy"])
        await broker.stop()
        go_on.set()
        await asyncio.sleep(0.5)
        assert (await participant.health())["kafka"] is not None
        await broker.start()
        await runtime.listening.ready.wait()
        ack = await runtime.ack()
        assert (ack["message"], ack["responseTo"]) == ("Deployed", golden("08")["messageId"])
        await asyncio.wait_for(_heard_again(runtime), 60)
        await runtime.say(golden("13", revisionIdInstance=golden("08")["revisionIdInstance"]))
        assert (await runtime.ack())["message"] == "Undeployed"
        assert (await participant.health())["kafka"] is None


async def _heard_again(runtime) -> None:  # type: ignore[no-untyped-def]
    """The sync topic is read from where it ends now, so the question is put until it is answered."""
    while True:
        await runtime.say(golden("04"))
        try:
            async with asyncio.timeout(0.5):
                await runtime.next("PARTICIPANT_STATUS")
                return
        except TimeoutError:
            continue


async def test_a_broker_that_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_FIRST_PAUSE", 0.2)
    broker = Broker((OPERATION, SYNC))
    await broker.start()
    settings = broker.settings
    await broker.stop()
    handler = StubHandler()
    async with replica_over(settings, handler) as participant:
        await asyncio.sleep(0.5)
        assert not participant.begun
        assert "kafka" in [part for part, wrong in (await participant.health()).items() if wrong]
        try:
            await broker.start()
            async with runtime_over(settings) as runtime:
                await runtime.register()
        finally:
            await broker.stop()


async def test_what_is_no_message_is_passed_over(broker: Broker) -> None:
    """Both topics, all manner of things; then an order, which is carried out."""
    handler = StubHandler()
    async with runtime_over(broker.settings) as runtime, replica_over(broker.settings, handler) as participant:
        await runtime.register()
        big = golden("05", messageId=str(uuid4()), more="x" * 5_000_000)
        strange = [
            b"",
            b"\xff\x00",
            b"[]",
            b"null",
            b'{"messageType":"PARTICIPANT_RESTART"}',
            b'{"messageType":"NEWS"}',
            b'{"messageType":"PARTICIPANT_PRIME","compositionId":7}',
            b"[" * 100_000,
            b'{"messageType":"PARTICIPANT_SYNC_MSG","automationcompositionList":[{}]}',
            json.dumps(golden("08", participantIdList=[str(uuid4())])).encode(),
            json.dumps(golden("01", participantId=str(uuid4()), replicaId=None)).encode(),
            json.dumps(golden("17", automationCompositionId=None)).encode(),
            json.dumps(golden("08", participantUpdatesList=None, participantDtoList=None)).encode(),
        ]
        for topic in (OPERATION, SYNC):
            for value in strange:
                await runtime.say(value, topic)
        await runtime.say(big)
        assert (await runtime.ack())["responseTo"] == big["messageId"]
        await runtime.say(golden("05", primeDtoList=[{"unheard": 1, **golden("05")["primeDtoList"][0]}], unheardOf={}))
        assert (await runtime.ack())["message"] == "Not implemented"
        await until(lambda: participant.metrics.undecodable >= 18)
        assert handler.calls == []
