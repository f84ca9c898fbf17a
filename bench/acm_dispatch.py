"""How many messages a second a participant takes: records in, decoded, dispatched, carried out by a handler that has
nothing to do, and acknowledged.

The lives of so many instances of one element, message by message as a runtime sends them (prepared beforehand, from
what ONAP's own classes wrote), on one core. There is no broker: what is measured is the participant. Apart from that,
synchronisations alone, of which every replica reads all.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import uvloop

import servers
from figures import Figure, Say

LIMIT = 1000.0
WIRE = Path(__file__).parents[1] / "tests" / "data" / "acm" / "wire"
OPERATION, SYNC = "policy-acruntime-participant", "acm-ppnt-sync"
LIFE = ("08", "11", "13", "gone", "20", "22")
ENVIRONMENT = {
    "PARTICIPANT_INTERMEDIARYPARAMETERS_PARTICIPANTID": "101c62b3-8918-41b9-a747-d21eb79c6c04",
    "PARTICIPANT_INTERMEDIARYPARAMETERS_KAFKA_BOOTSTRAPSERVERS": "kafka:9092",
    "PARTICIPANT_INTERMEDIARYPARAMETERS_KAFKA_CONSUMER_GROUPID": "group",
    "PARTICIPANT_INTERMEDIARYPARAMETERS_PARTICIPANTSUPPORTEDELEMENTTYPES_0_TYPENAME": "a.type",
    "PARTICIPANT_INTERMEDIARYPARAMETERS_PARTICIPANTSUPPORTEDELEMENTTYPES_0_TYPEVERSION": "1.0.1",
}


def measure(quick: bool, say: Say) -> list[Figure]:
    core, _ = servers.cores()
    os.sched_setaffinity(0, {core})
    instances, turns = (100, 2) if quick else (1000, 5)
    lives = [uvloop.run(_run(_messages(instances, LIFE), instances)) for _ in range(turns)]
    told = [uvloop.run(_run(_messages(instances, ("11",)), instances)) for _ in range(turns)]
    figures = [
        Figure(name="participant, messages of whole lives", unit="/s", readings=lives, at_least=LIMIT),
        Figure(name="participant, synchronised instances", unit="/s", readings=told, at_least=LIMIT),
    ]
    say(", ".join(f"{figure.name} {figure.median:.0f}/s" for figure in figures))
    return figures


def _messages(instances: int, life: tuple[str, ...]) -> list[tuple[str, bytes]]:
    goldens = {number: _golden(number) for number in ("07", "08", "11", "13", "20", "22")}
    gone = json.loads(json.dumps(goldens["11"]))
    for told in (gone["automationcompositionList"][0], *gone["automationcompositionList"][0]["acElementList"]):
        told |= {"deployState": "UNDEPLOYED", "lockState": "NONE"}
    goldens["gone"] = gone
    found = [(SYNC, json.dumps(goldens["07"]).encode())]
    ids = [(str(uuid4()), str(uuid4())) for _ in range(instances)]
    instance, element = goldens["08"]["automationCompositionId"], "709c62b3-8918-41b9-a747-d21eb79c6c20"
    for number in life:
        message = goldens[number]
        text = json.dumps(message)
        topic = SYNC if message["messageType"] == "PARTICIPANT_SYNC_MSG" else OPERATION
        for own in ids:
            mine = text.replace(instance, own[0]).replace(element, own[1])
            found.append((topic, mine.replace(message["messageId"], str(uuid4())).encode()))
    return found


def _golden(number: str) -> dict[str, Any]:
    message = json.loads(next(WIRE.glob(f"wire-{number}-*.json")).read_text())
    # Orders are not to wait for a revision that nobody makes here.
    message.pop("revisionIdInstance", None)
    return message


class Sink:
    """A bus that takes everything at once. ``handlers`` are the participant's, by topic."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}
        self.sent = 0
        self.connected = True

    async def send(self, topic: str, value: bytes, *, key: str | None = None) -> None:
        self.sent += 1

    async def check(self, timeout: float = 5.0) -> str | None:
        return None

    def group(self, topics: list[str], group: str, handle: Any) -> Any:
        self.handlers |= dict.fromkeys(topics, handle)
        return Ready()

    def tail(self, topics: list[str], handle: Any, *, group: str) -> Any:
        return self.group(topics, group, handle)


class Ready:
    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def run(self) -> None:
        self.ready.set()
        await asyncio.Event().wait()


async def _run(messages: list[tuple[str, bytes]], instances: int) -> float:
    from mizzen.acm.participant.configuration import load, read
    from mizzen.acm.participant.handler import Element, ElementHandler, Outcome
    from mizzen.acm.participant.participant import Participant
    from mizzen.bus.record import Record

    class Idle(ElementHandler):
        async def deploy(self, element: Element) -> Outcome:
            return Outcome(message="Deployed")

        async def undeploy(self, element: Element) -> Outcome:
            return Outcome(message="Undeployed")

        async def deployed(self, element: Element) -> None:
            watched.add(element.element_id)

    watched: set[UUID] = set()
    records = [Record(topic=topic, partition=0, offset=0, key=None, value=value) for topic, value in messages]
    sink = Sink()
    running = asyncio.create_task(Participant(read(load([], ENVIRONMENT)), sink, Idle()).run())
    while len(sink.handlers) < 2 or not sink.sent:
        await asyncio.sleep(0)
    orders = sum(record.topic == OPERATION for record in records)
    sink.sent = 0
    begun = time.perf_counter()
    for record in records:
        await sink.handlers[record.topic](record)
        await asyncio.sleep(0)  # where a listener waits for the next record
    while sink.sent < orders:
        await asyncio.sleep(0)
    seconds = time.perf_counter() - begun
    running.cancel()
    await asyncio.wait([running])
    if len(watched) != instances:
        raise RuntimeError(f"of {instances} instances {len(watched)} were deployed")
    return len(records) / seconds
