"""A runtime over a real broker, and a participant that does as it is told, for tests of the two."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from mizzen.acm.messages import codec
from mizzen.acm.messages.acks import PrimeAck, RegisterAck, StateChangeAck
from mizzen.acm.messages.elements import ElementAck, SupportedElementType
from mizzen.acm.messages.envelope import Envelope, Message
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, Prime, PropertiesUpdate, StateChange
from mizzen.acm.messages.reports import Deregister, Register, Status
from mizzen.acm.messages.states import (
    AcTypeState,
    DeployOrder,
    DeployState,
    LockOrder,
    LockState,
    PrimeOrder,
    StateChangeResult,
)
from mizzen.acm.messages.sync import StatusRequest, Sync
from mizzen.acm.messages.topics import Topics
from mizzen.acm.runtime.config import Settings
from mizzen.acm.runtime.runtime import Runtime
from mizzen.acm.runtime.service import Body, Instances, Service
from mizzen.bus import Bus, BusSettings, Record

DATA = Path(__file__).parent / "data" / "acm"
P = UUID("101c62b3-8918-41b9-a747-d21eb79c6c04")
R = UUID("5eed0001-0002-4000-8000-000000000002")
TYPE = "org.onap.policy.clamp.acm.KserveAutomationCompositionElement"
ELEMENT = "org.onap.policy.clamp.acm.AutomationCompositionElement"
COMPOSITION = "org.onap.policy.clamp.acm.AutomationComposition"
TOPICS = Topics()
WAIT = 30.0
OK, FAILED = StateChangeResult.NO_ERROR, StateChangeResult.FAILED

Answer = Callable[[Message, UUID, str], ElementAck | None]


def definition(
    *elements: dict[str, Any], version: str = "1.2.3", types: dict[str, Any] | None = None, metadata: Any = None
) -> dict[str, Any]:
    """A definition of elements ``{"name", "type"?, "version"?, "properties"?}``, of the KServe participant's type."""
    kinds = {element.get("type", TYPE) for element in elements}
    template: dict[str, Any] = {
        "tosca_definitions_version": "tosca_simple_yaml_1_3",
        "node_types": {
            ELEMENT: {"version": "1.0.1", "derived_from": "tosca.nodetypes.Root", "properties": {}},
            COMPOSITION: {
                "version": "1.0.1",
                "derived_from": "tosca.nodetypes.Root",
                "properties": {"elements": {"type": "list", "required": True, "entry_schema": {"type": "string"}}},
            },
            **{
                kind: {"version": "1.0.1", "derived_from": ELEMENT, "properties": (types or {}).get(kind, {})}
                for kind in kinds
            },
        },
        "topology_template": {
            "node_templates": {
                **{
                    element["name"]: {
                        "version": element.get("version", version),
                        "type": element.get("type", TYPE),
                        "type_version": "1.0.1",
                        "properties": element.get("properties", {}),
                    }
                    for element in elements
                },
                "composition": {
                    "version": version,
                    "type": COMPOSITION,
                    "type_version": "1.0.1",
                    "properties": {
                        "elements": [
                            {"name": element["name"], "version": element.get("version", version)}
                            for element in elements
                        ]
                    },
                },
            }
        },
    }
    if metadata:
        template["metadata"] = metadata
    return template


class TestParticipant:
    """Registers, and answers every order at once, unless ``answer`` says otherwise.

    Attributes:
        answer: for each element of an order: what is said of it; None says nothing.
        heard: everything that it was sent, in order, by topic.
    """

    __test__ = False

    def __init__(
        self,
        bus: Bus,
        *,
        participant: UUID = P,
        replica: UUID = R,
        types: Iterable[str] = (TYPE,),
        answer: Answer | None = None,
    ) -> None:
        self.id = participant
        self.replica = replica
        self.types = list(types)
        self.answer: Answer = answer or obedient
        self.prime_answer: Callable[[Prime], PrimeAck | None] = self._primed
        self.silent = False
        self.heard: list[Message | Envelope] = []
        self.bodies: list[dict[str, Any]] = []
        self.registered = asyncio.Event()
        self._bus = bus
        self._group = bus.group([TOPICS.operation], f"participant-{participant}", self._operation)
        self._tail = bus.tail([TOPICS.sync], self._sync, group=f"participant-{participant}-sync")
        self._news = asyncio.Condition()
        self._compositions: dict[UUID, list[dict[str, Any]]] = {}
        self._elements: dict[UUID, dict[UUID, str]] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._group.run())
            tasks.create_task(self._tail.run())
            tasks.create_task(self._present())

    async def _present(self) -> None:
        while True:
            await self._group.ready.wait()
            await self._tail.ready.wait()
            if not self.registered.is_set():
                await self.say(self.register())
            await asyncio.sleep(1)

    def supported(self) -> list[SupportedElementType]:
        return [SupportedElementType(id=uuid4(), type_name=name, type_version="1.0.1") for name in self.types]

    def register(self) -> Register:
        return Register(
            participant_id=self.id, replica_id=self.replica, participant_supported_element_type=self.supported()
        )

    def status(self) -> Status:
        return Status(
            participant_id=self.id, replica_id=self.replica, participant_supported_element_type=self.supported()
        )

    async def say(self, message: Envelope) -> None:
        await self._bus.send(TOPICS.of(message), codec.encode(message), key=message.key)

    async def leave(self) -> None:
        await self.say(Deregister(participant_id=self.id, replica_id=self.replica))

    async def hears(self, kind: type[Any], test: Callable[[Any], bool] = lambda message: True, count: int = 1) -> Any:
        """The ``count``-th message of a kind that passes, as soon as it is there."""

        def found() -> list[Any]:
            return [one for one in self.heard if isinstance(one, kind) and test(one)]

        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(lambda: len(found()) >= count), WAIT)
            except TimeoutError:
                kinds = [type(one).__name__ for one in self.heard]
                raise AssertionError(f"no {kind.__name__} in {kinds}") from None
            return found()[count - 1]

    def body(self, message: Any) -> dict[str, Any]:
        """What stood in the record."""
        return self.bodies[self.heard.index(message)]

    async def _note(self, record: Record) -> Any:
        message = codec.decode(record.value)
        async with self._news:
            self.heard.append(message)
            self.bodies.append(json.loads(record.value))
            self._news.notify_all()
        return message

    async def _sync(self, record: Record) -> None:
        message = await self._note(record)
        if not message.applies_to(self.id, self.replica):
            return
        if isinstance(message, RegisterAck):
            self.registered.set()
            await self.say(self.status())
        elif isinstance(message, StatusRequest):
            await self.say(self.status())
        elif isinstance(message, Sync) and message.restarting:
            for instance in message.automation_compositions:
                own = [one for one in instance.ac_element_list if one.participant_id == self.id]
                self._elements[instance.automation_composition_id] = {one.id: one.definition.key for one in own}

    async def _operation(self, record: Record) -> None:
        if isinstance(codec.decode(record.value), Register | Status | Deregister | PrimeAck | StateChangeAck):
            return
        message = await self._note(record)
        if self.silent or not message.applies_to(self.id, self.replica):
            return
        if isinstance(message, Prime):
            ack = self.prime_answer(message)
            if ack is not None:
                await self.say(ack)
        elif isinstance(message, Deploy | StateChange | PropertiesUpdate | Prepare | Migration):
            await self._obey(message)

    def _primed(self, message: Prime) -> PrimeAck:
        primed = message.prime_order is PrimeOrder.PRIME
        return PrimeAck(
            composition_id=message.composition_id,
            participant_id=self.id,
            replica_id=self.replica,
            response_to=message.message_id,
            state_change_result=OK,
            composition_state=AcTypeState.PRIMED if primed else AcTypeState.COMMISSIONED,
            message="Not implemented",
        )

    async def _obey(self, message: Any) -> None:
        own = {
            one.instance_element_target.element_id: one
            for group in message.participant_dto_list or []
            if group.participant_id == self.id
            for one in group.element_dtos
            if one.instance_element_target is not None
        }
        for key, dto in own.items():
            properties = dto.composition_element.in_properties
            if isinstance(message, Deploy | StateChange) and properties.get("startPhase", 0) != message.start_phase:
                continue
            answer = self.answer(message, key, dto.composition_element.element_definition_id.name)
            if answer is not None:
                await self.acknowledge(message, key, answer)

    async def acknowledge(
        self,
        message: Message | None,
        key: UUID,
        answer: ElementAck,
        *,
        instance: UUID | None = None,
        stage: int | None = None,
    ) -> None:
        """``answer.result`` False stands for FAILED here."""
        stage = stage if stage is not None else getattr(answer, "use_state", None) and _stage(answer)
        await self.say(
            StateChangeAck(
                automation_composition_id=message.automation_composition_id if message else instance,
                participant_id=self.id,
                replica_id=self.replica,
                response_to=message.message_id if message else None,
                state_change_result=OK if answer.result else FAILED,
                message=answer.message,
                stage=stage,
                automation_composition_result_map={key: answer},
            )
        )


def _stage(answer: ElementAck) -> int | None:
    """A test says the next stage as ``use_state`` ``stage N``."""
    told = answer.use_state or ""
    return int(told.removeprefix("stage ")) if told.startswith("stage ") else None


def obedient(message: Message, key: UUID, name: str) -> ElementAck | None:
    """What an element says that has done as it was told."""
    deployed = ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.LOCKED, message="Deployed")
    match message:
        case Deploy():
            return deployed
        case StateChange(deploy_ordered_state=DeployOrder.UNDEPLOY):
            return ElementAck(deploy_state=DeployState.UNDEPLOYED, message="Undeployed")
        case StateChange(deploy_ordered_state=DeployOrder.DELETE):
            return ElementAck(deploy_state=DeployState.DELETED, message="Not implemented")
        case StateChange(lock_ordered_state=LockOrder.UNLOCK):
            return ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.UNLOCKED, message="Unlocked")
        case StateChange():
            return ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.LOCKED, message="Locked")
        case Prepare(pre_deploy=True):
            return ElementAck(deploy_state=DeployState.UNDEPLOYED, message="Prepared")
        case Migration(precheck=False) as migration:
            for group in migration.participant_dto_list or []:
                for one in group.element_dtos:
                    goal = one.instance_element_target
                    if goal is not None and goal.element_id == key and goal.state == "REMOVED":
                        return ElementAck(deploy_state=DeployState.DELETED, message="Removed")
            return ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.LOCKED, message="Migrated")
        case PropertiesUpdate():
            return ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.LOCKED, message="Updated")
        case _:
            return ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.LOCKED, message="Reviewed")


def failing(message: Message, key: UUID, name: str) -> ElementAck | None:
    """What an element says that could not."""
    told = obedient(message, key, name)
    assert told is not None
    match message:
        case Deploy() | StateChange(deploy_ordered_state=DeployOrder.DELETE):
            state = DeployState.UNDEPLOYED
        case StateChange() | PropertiesUpdate() | Migration():
            state = DeployState.DEPLOYED
        case _:
            state = told.deploy_state
    lock = LockState.LOCKED if state is DeployState.DEPLOYED else LockState.NONE
    return ElementAck(
        deploy_state=state, lock_state=lock, message="Automation composition element failed", result=False
    )


class World:
    """A runtime, participants, and what a test does with them through the service."""

    def __init__(self, broker: BusSettings, database: str) -> None:
        self.broker = broker
        self.database = database
        self._stack = AsyncExitStack()
        self.runtime: Runtime | None = None

    @property
    def service(self) -> Service:
        assert self.runtime is not None
        return self.runtime.service

    @property
    def instances(self) -> Instances:
        return self.service.instances

    async def __aenter__(self) -> World:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self, **settings: Any) -> Runtime:
        self.runtime = await self._stack.enter_async_context(self.another(**settings))
        return self.runtime

    @asynccontextmanager
    async def another(self, **settings: Any) -> AsyncIterator[Runtime]:
        """A runtime of the same database, besides or after another."""
        told = Settings(**{"database": self.database, "broker": self.broker.servers, "scan_ms": 100, **settings})
        async with Bus(self.broker) as bus, Runtime(told, bus) as runtime:
            yield runtime

    async def participant(self, **options: Any) -> TestParticipant:
        bus = await self._stack.enter_async_context(Bus(self.broker))
        participant = TestParticipant(bus, **options)
        task = asyncio.create_task(participant.run())
        self._stack.push_async_callback(_ended, task)
        return participant

    async def present(self, **options: Any) -> TestParticipant:
        """A participant that the runtime knows."""
        participant = await self.participant(**options)
        await asyncio.wait_for(participant.registered.wait(), WAIT)
        await participant.hears(RegisterAck)
        return participant

    async def commissioned(self, template: dict[str, Any]) -> UUID:
        created = await self.service.compositions.commission(json.dumps(template).encode(), "application/json")
        return UUID(created.body["compositionId"])

    async def primed(self, template: dict[str, Any]) -> UUID:
        key = await self.commissioned(template)
        await self.service.compositions.order(key, PrimeOrder.PRIME)
        await self.composition_is(key, "PRIMED")
        return key

    async def made(
        self, composition: UUID, *elements: str, name: str = "", version: str = "1.2.3", **more: Any
    ) -> UUID:
        created = await self.post(composition, *elements, name=name, version=version, **more)
        return UUID(created.body["instanceId"])

    async def post(
        self, composition: UUID, *elements: str | tuple[UUID, str, dict[str, Any]], name: str = "", **more: Any
    ) -> Any:
        version = more.pop("version", "1.2.3")
        told: dict[str, Any] = {
            "name": name or f"instance-{uuid4().hex[:8]}",
            "version": "1.0.0",
            "compositionId": str(composition),
            "elements": {},
            **more,
        }
        for one in elements:
            key, element, properties = one if isinstance(one, tuple) else (uuid4(), one, {"name": one})
            told["elements"][str(key)] = {
                "id": str(key),
                "definition": {"name": element, "version": version},
                "properties": properties,
            }
        return await self.instances.post(composition, json.dumps(told).encode(), "application/json")

    async def deploy(self, composition: UUID, instance: UUID) -> None:
        await self.instances.order(composition, instance, DeployOrder.DEPLOY, None, None)

    async def undeploy(self, composition: UUID, instance: UUID) -> None:
        await self.instances.order(composition, instance, DeployOrder.UNDEPLOY, None, None)

    async def composition_is(self, key: UUID, state: str, result: str = "NO_ERROR") -> Body:
        async def look() -> Body:
            return await self.service.compositions.get(key)

        body: Body = await until(look, lambda found: (found["state"], found["stateChangeResult"]) == (state, result))
        return body

    async def instance_is(
        self, composition: UUID, key: UUID, state: str, result: str = "NO_ERROR", sub: str = "NONE"
    ) -> Body:
        async def look() -> Body:
            return await self.instances.get(composition, key)

        def there(found: Body) -> bool:
            return (found["deployState"], found["stateChangeResult"], found["subState"]) == (state, result, sub)

        body: Body = await until(look, there)
        return body


async def until(look: Callable[[], Any], test: Callable[[Any], bool]) -> Any:
    """What is looked at, once it passes."""
    deadline = asyncio.get_running_loop().time() + WAIT
    while True:
        found = await look()
        if test(found):
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"still {json.dumps(found, default=str)[:2000]}")
        await asyncio.sleep(0.02)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
