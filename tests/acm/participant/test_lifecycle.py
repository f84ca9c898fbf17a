"""That a replica says it is there: when it can hear, until it is heard, and for as long as it is."""

from __future__ import annotations

import asyncio

import pytest

from mizzen.acm.participant import lifecycle
from mizzen.acm.participant.participant import Participant
from participant_world import (
    NoBus,
    StubHandler,
    configuration,
    essence,
    golden,
    registered,
    settle,
    taking_part,
    until,
)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_FIRST_PAUSE", 0.01)


class Deaf(NoBus):
    """Partitions are assigned when the test says so."""

    def _listen(self, topics, handle):  # type: ignore[no-untyped-def]
        listener = super()._listen(topics, handle)

        async def run() -> None:
            await asyncio.Event().wait()

        listener.run = run  # type: ignore[method-assign]
        return listener


@pytest.mark.parametrize("first", [0, 1])
async def test_nothing_is_said_before_both_topics_can_be_heard(first: int) -> None:
    bus = Deaf()
    participant = Participant(configuration(), bus, StubHandler())
    async with taking_part(participant):
        await until(lambda: len(bus.listeners) == 2)
        await settle()
        bus.listeners[first].ready.set()
        await settle()
        assert (bus.heard, participant.begun) == ([], False)
        bus.listeners[1 - first].ready.set()
        assert essence(await bus.next()) == essence(golden("01"))
        assert participant.begun


async def test_register_is_said_until_it_is_heard() -> None:
    bus = NoBus()
    participant = Participant(configuration(heartbeat=0.05), bus, StubHandler())
    async with taking_part(participant):
        for _ in range(4):
            await bus.next("PARTICIPANT_REGISTER")
        assert bus.of("PARTICIPANT_STATUS") == []
        assert not participant.registered
        await bus.say(golden("02"))
        await bus.next("PARTICIPANT_STATUS")
        assert participant.registered
        count = len(bus.of("PARTICIPANT_REGISTER"))
        for _ in range(3):
            await bus.next("PARTICIPANT_STATUS")
        assert len(bus.of("PARTICIPANT_REGISTER")) == count


async def test_a_runtime_that_comes_late_is_not_waited_for_until_the_heartbeat() -> None:
    bus = NoBus()
    async with taking_part(Participant(configuration(heartbeat=3600), bus, StubHandler())):
        for _ in range(4):
            await bus.next("PARTICIPANT_REGISTER")


async def test_an_acknowledgement_for_another_replica_is_none() -> None:
    bus = NoBus()
    participant = Participant(configuration(heartbeat=0.05), bus, StubHandler())
    async with taking_part(participant):
        await bus.next("PARTICIPANT_REGISTER")
        await bus.say(golden("02", replicaId="5eed0001-0002-4000-8000-0000000000ff"))
        await bus.next("PARTICIPANT_REGISTER")
        assert not participant.registered


@pytest.mark.parametrize("addressed", [True, False])
async def test_who_is_asked_answers(addressed: bool) -> None:
    async with registered(StubHandler()) as bus:
        question = golden("04")
        if not addressed:
            question |= {"participantIdList": []}
            del question["participantId"]
        await bus.say(question)
        assert essence(await bus.next("PARTICIPANT_STATUS")) == essence(golden("03"))


async def test_kafka_may_be_away_at_the_start() -> None:
    bus = NoBus()
    bus.away = True
    handler = StubHandler()
    async with taking_part(Participant(configuration(heartbeat=0.05), bus, handler)):
        await asyncio.sleep(0.1)
        bus.away = False
        await bus.register()
    assert bus.heard[-1]["messageType"] == "PARTICIPANT_DEREGISTER"


async def test_kafka_may_be_away_at_the_end() -> None:
    handler = StubHandler()
    async with registered(handler) as bus:
        bus.away = True
    assert handler.closed
    assert bus.of("PARTICIPANT_DEREGISTER") == []


async def test_who_was_never_heard_does_not_leave() -> None:
    bus, handler = Deaf(), StubHandler()
    async with taking_part(Participant(configuration(), bus, handler)):
        await until(lambda: len(bus.listeners) == 2)
    assert (bus.heard, handler.closed) == ([], True)
