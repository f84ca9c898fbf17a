"""A participant with a handler that does as it is told, and somebody who plays the runtime: without a broker, or over
a real one. What is said comes from the goldens that ONAP's own classes wrote."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from msgspec import structs

from mizzen.acm.messages.elements import SupportedElementType
from mizzen.acm.messages.states import DeployState
from mizzen.acm.participant.configuration import Configuration, KafkaAccess, load, read
from mizzen.acm.participant.handler import Composition, Element, ElementHandler, Outcome, Publisher
from mizzen.acm.participant.participant import Participant
from mizzen.bus import Bus, BusSettings
from mizzen.bus.errors import BusError
from mizzen.bus.record import Handler, Record

WIRE = Path(__file__).parent / "data" / "acm" / "wire"
OPERATION, SYNC = "policy-acruntime-participant", "acm-ppnt-sync"
GROUP = "policy-clamp-ac-kserve-ppnt"
NEWER = ("primeDtoList", "primeOrder", "participantDtoList")

P = UUID("101c62b3-8918-41b9-a747-d21eb79c6c04")
R = UUID("5eed0001-0002-4000-8000-000000000002")
C = UUID("5eed0001-0003-4000-8000-000000000003")
I = UUID("5eed0001-0004-4000-8000-000000000004")  # noqa: E741  (as the reference names it)
E = UUID("709c62b3-8918-41b9-a747-d21eb79c6c20")
TYPE = SupportedElementType(
    id=UUID("5eed0001-0007-4000-8000-000000000007"),
    type_name="org.onap.policy.clamp.acm.KserveAutomationCompositionElement",
    type_version="1.0.1",
)
# Seconds for what comes by itself.
_PATIENCE = 20
_NEVER_THE_SAME = ("timestamp", "messageId", "intermediaryVersion")


def golden(number: str, **changes: Any) -> dict[str, Any]:
    """The golden whose name begins with ``wire-<number>-``, with some of its members changed."""
    found = next(path for path in WIRE.glob("*.json") if path.name.startswith(f"wire-{number}-"))
    return json.loads(found.read_text()) | changes


def older(message: dict[str, Any]) -> dict[str, Any]:
    """The same in the dialect of release 9.1.0 and before."""
    return {key: value for key, value in message.items() if key not in NEWER}


def again(message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same said once more: another message."""
    return copy.deepcopy(message) | {"messageId": str(uuid4())} | changes


def essence(message: dict[str, Any]) -> dict[str, Any]:
    """Without what is never the same twice."""
    return {key: value for key, value in message.items() if key not in _NEVER_THE_SAME}


class StubHandler(ElementHandler):
    """Deploys and undeploys at once, unless ``does`` has something else for the method's name.

    Attributes:
        calls: names of methods with what they were given, in the order in which they began.
        cancelled: names of methods that were.
    """

    def __init__(self, **does: Callable[..., Awaitable[Outcome]]) -> None:
        self.does = does
        self.calls: list[tuple[Any, ...]] = []
        self.cancelled: list[str] = []
        self.publisher: Publisher | None = None
        self.closed = False
        self.wrong: str | None = None

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    async def _do(self, name: str, *given: Any) -> Outcome:
        self.calls.append((name, *given))
        try:
            return await self.does[name](*given)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise

    async def start(self, publisher: Publisher) -> None:
        self.publisher = publisher

    async def close(self) -> None:
        self.closed = True

    async def check(self) -> str | None:
        return self.wrong

    async def deploy(self, element: Element) -> Outcome:
        self.does.setdefault("deploy", _said("Deployed"))
        return await self._do("deploy", element)

    async def undeploy(self, element: Element) -> Outcome:
        self.does.setdefault("undeploy", _said("Undeployed"))
        return await self._do("undeploy", element)

    async def deployed(self, element: Element) -> None:
        self.calls.append(("deployed", element))
        if "deployed" in self.does:
            await self.does["deployed"](element)

    async def gone(self, element: Element, state: DeployState) -> None:
        self.calls.append(("gone", element, state))


class AbleHandler(StubHandler):
    """Does everything else, too."""

    async def update(self, before: Element, after: Element) -> Outcome:
        self.does.setdefault("update", _said("Updated"))
        return await self._do("update", before, after)

    async def rollback_update(self, before: Element, after: Element) -> Outcome:
        self.does.setdefault("rollback_update", _said("Gone back"))
        return await self._do("rollback_update", before, after)

    async def migrate(self, before: Element | None, after: Element | None, stage: int) -> Outcome:
        self.does.setdefault("migrate", _said("Migrated"))
        return await self._do("migrate", before, after, stage)

    async def rollback_migrate(self, before: Element | None, after: Element | None, stage: int) -> Outcome:
        self.does.setdefault("rollback_migrate", _said("Migrated back"))
        return await self._do("rollback_migrate", before, after, stage)

    async def precheck(self, before: Element | None, after: Element | None) -> Outcome:
        self.does.setdefault("precheck", _said("Checked"))
        return await self._do("precheck", before, after)

    async def prepare(self, element: Element, stage: int) -> Outcome:
        self.does.setdefault("prepare", _said("Prepared"))
        return await self._do("prepare", element, stage)

    async def review(self, element: Element) -> Outcome:
        self.does.setdefault("review", _said("Reviewed"))
        return await self._do("review", element)

    async def lock(self, element: Element) -> Outcome:
        self.does.setdefault("lock", _said("Locked"))
        return await self._do("lock", element)

    async def unlock(self, element: Element) -> Outcome:
        self.does.setdefault("unlock", _said("Unlocked"))
        return await self._do("unlock", element)

    async def delete(self, element: Element) -> Outcome:
        self.does.setdefault("delete", _said("Deleted"))
        return await self._do("delete", element)

    async def prime(self, composition: Composition) -> Outcome:
        self.does.setdefault("prime", _said("Primed"))
        return await self._do("prime", composition)

    async def deprime(self, composition: Composition) -> Outcome:
        self.does.setdefault("deprime", _said("Deprimed"))
        return await self._do("deprime", composition)


def _said(message: str) -> Callable[..., Awaitable[Outcome]]:
    async def say(*given: Any) -> Outcome:
        return Outcome(message=message)

    return say


async def forever(*given: Any) -> Outcome:
    """Something that does not end by itself."""
    await asyncio.Event().wait()
    raise AssertionError


def configuration(replica: UUID = R, **changes: Any) -> Configuration:
    environment = {
        "PARTICIPANT_INTERMEDIARYPARAMETERS_PARTICIPANTID": str(P),
        "PARTICIPANT_INTERMEDIARYPARAMETERS_KAFKA_BOOTSTRAPSERVERS": "kafka:9092",
        "PARTICIPANT_INTERMEDIARYPARAMETERS_KAFKA_CONSUMER_GROUPID": GROUP,
        "PARTICIPANT_INTERMEDIARYPARAMETERS_PARTICIPANTSUPPORTEDELEMENTTYPES_0_TYPENAME": TYPE.type_name,
        "PARTICIPANT_INTERMEDIARYPARAMETERS_PARTICIPANTSUPPORTEDELEMENTTYPES_0_TYPEVERSION": TYPE.type_version,
    }
    found = read(load([], environment))
    kafka = KafkaAccess("kafka:9092", GROUP, f"{GROUP}-{replica}")
    return structs.replace(found, replica_id=replica, types=(TYPE,), kafka=kafka, **changes)


class Runtime:
    """Whoever plays the runtime.

    Attributes:
        heard: what participants have said, in the order in which it came.
    """

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self._taken = 0
        self._news = asyncio.Event()

    def hear(self, message: dict[str, Any]) -> None:
        self.heard.append(message)
        self._news.set()

    async def say(self, message: dict[str, Any] | bytes, topic: str | None = None) -> None:
        raise NotImplementedError

    async def next(self, *types: str) -> dict[str, Any]:
        """The next message of one of these types that has not been taken yet; others before it are passed over."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                while self._taken < len(self.heard):
                    self._taken += 1
                    if not types or self.heard[self._taken - 1]["messageType"] in types:
                        return self.heard[self._taken - 1]
                self._news.clear()
                await self._news.wait()

    async def ack(self) -> dict[str, Any]:
        return await self.next("AUTOMATION_COMPOSITION_STATECHANGE_ACK", "PARTICIPANT_PRIME_ACK")

    async def register(self) -> None:
        """Answer a REGISTER, and hear the STATUS that follows."""
        asked = await self.next("PARTICIPANT_REGISTER")
        answer = golden("02", responseTo=asked["messageId"], replicaId=asked["replicaId"])
        await self.say(answer)
        await self.next("PARTICIPANT_STATUS")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["messageType"] == kind]


class _NoListener:
    def __init__(self) -> None:
        self.ready = asyncio.Event()

    async def run(self) -> None:
        self.ready.set()
        await asyncio.Event().wait()


class NoBus(Runtime):
    """A bus without a broker, and the runtime at its other end.

    Attributes:
        away: as if the broker were.
        refuses: as if it were there, and took nothing.
        tries_of_acks: how many acknowledgements could not be sent for either reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.refuses = False
        self.tries_of_acks = 0
        self.sent: list[tuple[str, str | None]] = []
        self.listeners: list[_NoListener] = []
        self._handlers: dict[str, Handler] = {}

    @property
    def connected(self) -> bool:
        return not self.away

    async def send(self, topic: str, value: bytes, *, key: str | None = None) -> None:
        await asyncio.sleep(0)
        if self.away or self.refuses:
            self.tries_of_acks += b'"AUTOMATION_COMPOSITION_STATECHANGE_ACK"' in value
            raise BusError("no")
        self.sent.append((topic, key))
        self.hear(json.loads(value))

    async def check(self, timeout: float = 5.0) -> str | None:
        return "away" if self.away else None

    def group(self, topics: Sequence[str], group: str, handle: Handler) -> Any:
        return self._listen(topics, handle)

    def tail(self, topics: Sequence[str], handle: Handler, *, group: str) -> Any:
        return self._listen(topics, handle)

    def _listen(self, topics: Sequence[str], handle: Handler) -> _NoListener:
        self._handlers.update(dict.fromkeys(topics, handle))
        self.listeners.append(_NoListener())
        return self.listeners[-1]

    async def say(self, message: dict[str, Any] | bytes, topic: str | None = None) -> None:
        value = message if isinstance(message, bytes) else json.dumps(message).encode()
        topic = topic or _topic(message)
        await self._handlers[topic](Record(topic=topic, partition=0, offset=0, key=None, value=value))


class OverKafka(Runtime):
    """The runtime, over a bus of its own."""

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus
        self.listening = bus.group([OPERATION], "acm-runtime", self._record)

    async def _record(self, record: Record) -> None:
        message = json.loads(record.value)
        assert (record.key or "") == message.get("partitionKey", "")
        if message.get("replicaId") and message["messageType"] != "PARTICIPANT_REGISTER_ACK":
            self.hear(message)

    async def say(self, message: dict[str, Any] | bytes, topic: str | None = None) -> None:
        value = message if isinstance(message, bytes) else json.dumps(message).encode()
        key = message.get("partitionKey") if isinstance(message, dict) else None
        await self._bus.send(topic or _topic(message), value, key=key)


def _topic(message: dict[str, Any] | bytes) -> str:
    synced = ("PARTICIPANT_REGISTER_ACK", "PARTICIPANT_STATUS_REQ", "PARTICIPANT_SYNC_MSG")
    return SYNC if isinstance(message, dict) and message["messageType"] in synced else OPERATION


@asynccontextmanager
async def taking_part(participant: Participant) -> AsyncIterator[Participant]:
    """A participant, running."""
    running = asyncio.create_task(participant.run())
    try:
        yield participant
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled() and (error := running.exception()):
            raise error


@asynccontextmanager
async def registered(handler: ElementHandler, **changes: Any) -> AsyncIterator[NoBus]:
    """A participant without a broker, known to the runtime."""
    bus = NoBus()
    async with taking_part(Participant(configuration(**changes), bus, handler)):
        await bus.register()
        yield bus


@asynccontextmanager
async def runtime_over(settings: BusSettings) -> AsyncIterator[OverKafka]:
    """The runtime's side over a real broker."""
    async with Bus(settings) as bus, asyncio.TaskGroup() as group:
        runtime = OverKafka(bus)
        listening = group.create_task(runtime.listening.run())
        async with asyncio.timeout(_PATIENCE):
            await runtime.listening.ready.wait()
        try:
            yield runtime
        finally:
            listening.cancel()


@asynccontextmanager
async def replica_over(
    settings: BusSettings, handler: ElementHandler, replica: UUID = R, **changes: Any
) -> AsyncIterator[Participant]:
    """A participant over a real broker."""
    async with Bus(settings) as bus:
        async with taking_part(Participant(configuration(replica, **changes), bus, handler)) as participant:
            yield participant


async def until(done: Callable[[], bool]) -> None:
    """Wait for something that comes by itself."""
    async with asyncio.timeout(_PATIENCE):
        while not done():
            await asyncio.sleep(0.005)


async def settle() -> None:
    """Let everything go on that can, for what must not come."""
    for _ in range(50):
        await asyncio.sleep(0)
