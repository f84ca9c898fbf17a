"""A runtime without Kafka or database: one participant that does what it is told when the test says so.

Definitions and instances are read and checked by the real parser, orders are allowed by the real state table; what a
participant would do comes to pass by :meth:`Double.finish`, :meth:`Double.fail` and :meth:`Double.time_out`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec

from mizzen.acm.messages.states import (
    AcTypeState,
    DeployOrder,
    DeployState,
    LockOrder,
    LockState,
    PrimeOrder,
    StateChangeResult,
    SubOrder,
    SubState,
)
from mizzen.acm.runtime.orders import states
from mizzen.acm.runtime.orders.operations import AFTER, DURING, Operation
from mizzen.acm.runtime.service import (
    Body,
    Change,
    Compositions,
    Created,
    Instances,
    Logged,
    Page,
    Participants,
    Refused,
    Service,
)
from mizzen.acm.tosca.checks import check
from mizzen.acm.tosca.composition import elements, instance_fields
from mizzen.acm.tosca.echo import normalise
from mizzen.acm.tosca.instance import check_instance, merge, read_instance
from mizzen.acm.tosca.parse import read
from mizzen.acm.tosca.problems import Unreadable

PARTICIPANT = "101c62b3-8918-41b9-a747-d21eb79c6c04"
REPLICA = "5eed0001-0002-4000-8000-000000000002"
TYPE = ("org.onap.policy.clamp.acm.KserveAutomationCompositionElement", "1.0.1")

_LOG_LENGTH = 500


def stamp() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"


def paged(found: list[Any], page: Page) -> list[Any]:
    if page.page is None or page.size is None:
        return found
    return found[page.page * page.size : (page.page + 1) * page.size]


class Double(Service):
    """
    Attributes:
        after: seconds after which an order is done by itself; None waits for the test.
        broken: what is wrong, by part.
    """

    def __init__(self, *, participant: bool = True, after: float | None = None) -> None:
        self.definitions: dict[str, Body] = {}
        self.stored: dict[str, Body] = {}
        self.before: dict[str, Body] = {}
        self.online = True
        self.registered = participant
        self.heard = stamp()
        self.after = after
        self.broken: dict[str, str | None] = {"database": None, "kafka": None}
        self.log: list[Logged] = []
        self.asked: list[tuple[str, Any]] = []
        self._queues: set[asyncio.Queue[Change]] = set()
        self._number = 0
        self.compositions: DoubleCompositions = DoubleCompositions(self)
        self.instances: DoubleInstances = DoubleInstances(self)
        self.participants: DoubleParticipants = DoubleParticipants(self)

    @contextmanager
    def changes(self) -> Iterator[AsyncIterator[Change]]:
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._queues.add(queue)

        async def told() -> AsyncIterator[Change]:
            while True:
                yield await queue.get()

        try:
            yield told()
        finally:
            self._queues.discard(queue)

    def tell(self, kind: str, identity: str) -> None:
        for queue in self._queues:
            queue.put_nowait(Change(kind, identity))

    def record(self, direction: str, kind: str, outcome: str, body: Body, **ids: str | None) -> None:
        self._number += 1
        self.log.append(
            Logged(
                number=self._number,
                at=datetime.now(UTC).isoformat(),
                direction=direction,
                topic="policy-acruntime-participant",
                type=kind,
                composition_id=ids.get("composition"),
                instance_id=ids.get("instance"),
                participant_id=ids.get("participant"),
                outcome=outcome,
                body={"messageType": kind, **body},
            )
        )
        del self.log[:-_LOG_LENGTH]
        self.tell("message", str(self._number))

    async def messages(self, *, before: int | None = None, limit: int = 100, **wanted: str | None) -> list[Logged]:
        names = {"composition": "composition_id", "instance": "instance_id", "participant": "participant_id"}
        found = []
        for one in reversed(self.log):
            if before is not None and one.number >= before:
                continue
            if all(value is None or getattr(one, names.get(name, name)) == value for name, value in wanted.items()):
                found.append(one)
        return found[:limit]

    async def health(self) -> dict[str, str | None]:
        return self.broken

    def go_offline(self) -> None:
        self.online = False
        self.tell("participant", PARTICIPANT)

    def go_online(self) -> None:
        self.online, self.registered, self.heard = True, True, stamp()
        self.tell("participant", PARTICIPANT)

    def offline(self) -> None:
        if not self.online:
            raise Refused(409, f"Participant: {PARTICIPANT} is OFFLINE")

    def ordered(self, identity: str) -> None:
        if self.after is not None:
            asyncio.get_running_loop().call_later(self.after, self.finish, identity)

    def finish(self, identity: str, url: str = "http://sklearn-iris.default.example.com") -> None:
        """What was ordered of a definition or an instance is done."""
        if identity in self.definitions:
            self._primed(identity)
        elif identity in self.stored:
            self._done(identity, url)

    def _primed(self, identity: str) -> None:
        body = self.definitions[identity]
        state = "PRIMED" if body["state"] == "PRIMING" else "COMMISSIONED"
        body |= {"state": state, "stateChangeResult": "NO_ERROR", "lastMsg": stamp()}
        for node in body["elementStateMap"].values():
            node |= {"state": state, "message": "Not implemented"}
        ids = {"composition": identity, "participant": PARTICIPANT}
        self.record("in", "PARTICIPANT_PRIME_ACK", "applied", {"compositionState": state}, **ids)
        self.tell("composition", identity)

    def _done(self, identity: str, url: str) -> None:
        body = self.stored[identity]
        operation = going_on(body)
        if operation is None:
            return
        if operation is Operation.DELETE:
            del self.stored[identity]
        else:
            deploy, lock = AFTER[operation]
            settled = {"deployState": deploy.value, "lockState": lock.value, "subState": "NONE"}
            body |= settled | {"stateChangeResult": "NO_ERROR", "lastMsg": stamp()}
            if "compositionTargetId" in body:
                body["compositionId"] = body.pop("compositionTargetId")
            for element in body["elements"].values():
                element |= settled | {"message": deploy.value.capitalize()}
                deployed = deploy is DeployState.DEPLOYED
                element["outProperties"] = out_properties(element, url) if deployed else {}
                element["operationalState"] = "ENABLED" if deployed else "DISABLED"
        ids = {"composition": body["compositionId"], "instance": identity, "participant": PARTICIPANT}
        self.record("in", "AUTOMATION_COMPOSITION_STATECHANGE_ACK", "applied", {"stateChangeResult": "NO_ERROR"}, **ids)
        self.tell("instance", identity)

    def fail(self, identity: str, message: str) -> None:
        body = self.definitions.get(identity) or self.stored[identity]
        body |= {"stateChangeResult": "FAILED"}
        for element in body.get("elements", body.get("elementStateMap", {})).values():
            element["message"] = message
        self.tell("instance" if identity in self.stored else "composition", identity)

    def time_out(self, identity: str) -> None:
        body = self.definitions.get(identity) or self.stored[identity]
        body["stateChangeResult"] = "TIMEOUT"
        self.tell("instance" if identity in self.stored else "composition", identity)


def out_properties(element: Body, url: str) -> Body:
    wanted = element["properties"].get("kserveInferenceEntities") or []
    told = [
        {"name": one.get("name"), "namespace": one.get("namespace"), "ready": True, "url": url}
        for one in wanted
        if isinstance(one, dict)
    ]
    return {"ready": True, "url": url, "entities": told}


def state_of(body: Body) -> states.State:
    return (
        DeployState(body["deployState"]),
        LockState(body["lockState"]),
        SubState(body["subState"]),
        StateChangeResult(body["stateChangeResult"]),
    )


def going_on(body: Body) -> Operation | None:
    deploy, lock, sub, _ = state_of(body)
    for operation, during in DURING.items():
        settled = (during[0] in (DeployState.DEPLOYED, DeployState.UNDEPLOYED), during[2] is SubState.NONE)
        if sub is not SubState.NONE:
            if during[2] is sub:
                return operation
        elif (not settled[0] and during[0] is deploy) or (settled == (True, True) and during[1] is lock):
            return operation
    return None


class DoubleCompositions(Compositions):
    def __init__(self, double: Double) -> None:
        self._double = double

    def _get(self, composition: UUID) -> Body:
        try:
            return self._double.definitions[str(composition)]
        except KeyError:
            details = f'Get serviceTemplate "{composition}" failed, serviceTemplate does not exist'
            raise Refused(404, details) from None

    async def list(
        self, *, name: str | None = None, version: str | None = None, participant: UUID | None = None, page: Page
    ) -> list[Body]:
        found = [body["serviceTemplate"] for body in self._double.definitions.values()]
        found = [one for one in found if name in (None, one["name"]) and version in (None, one["version"])]
        return paged(found, page)

    async def commission(self, document: bytes, media_type: str) -> Created:
        try:
            found = read(document, media_type=media_type)
        except Unreadable as error:
            raise Refused(error.status, error.details, error.problems) from None
        report = check(found)
        if not report.ok:
            raise Refused(report.status, report.details, report.problems)
        given = (found.value.get("metadata") or {}).get("compositionId")
        if given is not None:
            stored = self._get(UUID(given))
            if stored["state"] != "COMMISSIONED":
                raise Refused(400, "ACM not in COMMISSIONED state, Update of ACM Definition not allowed")
        identity = given or str(uuid4())
        template = normalise(found, composition_id=identity)
        nodes = {
            one.name: {
                "nodeTemplateStateId": str(uuid4()),
                "nodeTemplateId": {"name": one.name, "version": one.version},
                "state": "COMMISSIONED",
                "outProperties": {},
            }
            for one in elements(template)
        }
        self._double.definitions[identity] = {
            "compositionId": identity,
            "serviceTemplate": template,
            "state": "COMMISSIONED",
            "stateChangeResult": "NO_ERROR",
            "lastMsg": stamp(),
            "elementStateMap": nodes,
            "revisionId": str(uuid4()),
        }
        self._double.tell("composition", identity)
        return Created(given is None, f"/compositions/{identity}", self._response(identity))

    def _response(self, identity: str) -> Body:
        nodes = self._double.definitions[identity]["serviceTemplate"]["topology_template"]["node_templates"]
        affected = [{"name": one["name"], "version": one["version"]} for one in nodes.values()]
        return {"compositionId": identity, "affectedAutomationCompositionDefinitions": affected}

    async def get(self, composition: UUID) -> Body:
        return self._get(composition)

    async def order(self, composition: UUID, order: PrimeOrder) -> None:
        double, identity = self._double, str(composition)
        if any(one["compositionId"] == identity for one in double.stored.values()):
            raise Refused(400, "There are instances, Priming/Depriming not allowed")
        body = self._get(composition)
        if not states.takes(order, AcTypeState(body["state"]), StateChangeResult(body["stateChangeResult"])):
            raise Refused(400, f"Not valid {order}")
        double.offline()
        template = body["serviceTemplate"]
        for one in elements(template):
            if (one.type, one.type_version) != TYPE or not double.registered:
                raise Refused(400, f"Element Type {one.type} {one.type_version} not supported")
        state = "PRIMING" if order is PrimeOrder.PRIME else "DEPRIMING"
        body |= {"state": state, "stateChangeResult": "NO_ERROR", "lastMsg": stamp()}
        for node in body["elementStateMap"].values():
            node |= {"state": state, "participantId": PARTICIPANT}
        ids = {"composition": identity, "participant": PARTICIPANT}
        double.record("out", "PARTICIPANT_PRIME", "sent", {"compositionId": identity}, **ids)
        double.tell("composition", identity)
        double.ordered(identity)

    async def delete(self, composition: UUID) -> Body:
        identity = str(composition)
        if any(one["compositionId"] == identity for one in self._double.stored.values()):
            raise Refused(400, "Delete instances, to commission automation composition definitions")
        if self._get(composition)["state"] != "COMMISSIONED":
            raise Refused(400, "ACM not in COMMISSIONED state, Delete of ACM Definition not allowed")
        response = self._response(identity)
        del self._double.definitions[identity]
        self._double.tell("composition", identity)
        return response

    async def fields(self, composition: UUID) -> list[Body]:
        body = self._get(composition)
        template = body["serviceTemplate"]
        return [
            {
                "element": {"name": one.name, "version": one.version},
                "participantId": body["elementStateMap"][one.name].get("participantId"),
                "fields": msgspec.to_builtins(instance_fields(template, one)),
            }
            for one in elements(template)
        ]


class DoubleInstances(Instances):
    def __init__(self, double: Double) -> None:
        self._double = double

    def _get(self, composition: UUID, instance: UUID) -> Body:
        body = self._double.stored.get(str(instance))
        if body is None:
            raise Refused(404, "AutomationComposition not found")
        if str(composition) not in (body["compositionId"], body.get("compositionTargetId")):
            raise Refused(400, f"{body['compositionId']} do not match with {composition}")
        return body

    async def list(
        self,
        *,
        composition: UUID | None = None,
        name: str | None = None,
        version: str | None = None,
        participant: UUID | None = None,
        ids: Sequence[UUID] = (),
        deploy_states: Sequence[DeployState] = (),
        results: Sequence[StateChangeResult] = (),
        sort: str | None = None,
        order: str | None = None,
        page: Page,
    ) -> list[Body]:
        found = [
            one
            for one in self._double.stored.values()
            if (composition is None or one["compositionId"] == str(composition))
            and name in (None, one["name"])
            and version in (None, one["version"])
            and (not ids or UUID(one["instanceId"]) in ids)
            and (not deploy_states or one["deployState"] in deploy_states)
            and (not results or one["stateChangeResult"] in results)
        ]
        if sort == "lastMsg":
            found.sort(key=lambda one: str(one["lastMsg"]), reverse=order == "DESC")
        return paged(found, page)

    async def post(self, composition: UUID, document: bytes, media_type: str) -> Created:
        try:
            request = read_instance(document, media_type, composition_id=str(composition))
        except Unreadable as error:
            raise Refused(error.status, error.details, error.problems) from None
        if request.composition_id != str(composition):
            raise Refused(400, f"{composition} do not match with {request.composition_id}")
        if request.instance_id is not None:
            return self._changed(composition, request)
        double = self._double
        if any((one["name"], one["version"]) == (request.name, request.version) for one in double.stored.values()):
            raise Refused(400, f"{request.name} {request.version} already defined")
        definition = double.compositions._get(composition)
        if definition["state"] != "PRIMED":
            raise Refused(400, f"{composition} Commissioned automation composition definition not primed")
        double.offline()
        report = check_instance(request, definition["serviceTemplate"], taken=lambda ids: {})
        if not report.ok:
            raise Refused(report.status, report.details, report.problems)
        identity = str(uuid4())
        double.stored[identity] = {
            "name": request.name,
            "version": request.version,
            "instanceId": identity,
            "compositionId": str(composition),
            "deployState": "UNDEPLOYED",
            "lockState": "NONE",
            "subState": "NONE",
            "stateChangeResult": "NO_ERROR",
            "lastMsg": stamp(),
            "revisionId": str(uuid4()),
            "elements": {
                key: {
                    "id": one.id,
                    "definition": {"name": one.definition.name, "version": one.definition.version},
                    "participantId": PARTICIPANT,
                    "deployState": "UNDEPLOYED",
                    "lockState": "NONE",
                    "subState": "NONE",
                    "migrationState": "DEFAULT",
                    "properties": one.properties,
                    "outProperties": {},
                }
                | ({"description": one.description} if one.description else {})
                for key, one in request.elements.items()
            },
        } | ({"description": request.description} if request.description else {})
        double.tell("instance", identity)
        return Created(True, f"/compositions/{composition}/instances/{identity}", self._response(identity))

    def _changed(self, composition: UUID, request: Any) -> Created:
        body = self._get(composition, UUID(request.instance_id))
        settled = body["deployState"] == "UNDEPLOYED"
        target = request.composition_target_id
        if not settled:
            order = "MIGRATE_PRECHECK" if request.precheck else "MIGRATE" if target else "UPDATE"
            if order not in states.allowed(state_of(body)):
                raise Refused(400, f"Not allowed to {order} in the state {body['deployState']}")
            self._double.offline()
            self._double.before[body["instanceId"]] = msgspec.json.decode(msgspec.json.encode(body))
            if target and not request.precheck:
                body["compositionTargetId"] = target
            self._begin(body, Operation(order))
        for key, one in request.elements.items():
            if key not in body["elements"]:
                raise Refused(400, f"Element id not present {key}")
            stored = body["elements"][key]
            stored["properties"] = one.properties if settled else merge(stored["properties"], one.properties)
        body |= {"name": request.name, "version": request.version} if settled else {}
        self._double.tell("instance", body["instanceId"])
        where = f"/compositions/{composition}/instances/{body['instanceId']}"
        return Created(False, where, self._response(body["instanceId"]))

    def _response(self, identity: str) -> Body:
        body = self._double.stored[identity]
        affected = {"name": body["name"], "version": body["version"]}
        return {"instanceId": identity, "affectedAutomationComposition": affected}

    async def get(self, composition: UUID, instance: UUID) -> Body:
        return self._get(composition, instance)

    def _begin(self, body: Body, operation: Operation) -> None:
        deploy, lock, sub = (str(one.value) for one in DURING[operation])
        now = {"deployState": deploy, "lockState": lock, "subState": sub}
        body |= now | {"stateChangeResult": "NO_ERROR", "lastMsg": stamp()}
        for element in body["elements"].values():
            element |= now
            element.pop("message", None)
        ids = {"composition": body["compositionId"], "instance": body["instanceId"], "participant": PARTICIPANT}
        self._double.record("out", "AUTOMATION_COMPOSITION_DEPLOY", "sent", {"elements": body["elements"]}, **ids)
        self._double.tell("instance", body["instanceId"])
        self._double.ordered(body["instanceId"])

    async def order(
        self,
        composition: UUID,
        instance: UUID,
        deploy: DeployOrder | None,
        lock: LockOrder | None,
        sub: SubOrder | None,
    ) -> None:
        body = self._get(composition, instance)
        self._double.offline()
        state = state_of(body)
        name = states.resolve(deploy, lock, sub, state)
        if name is None:
            given = ", ".join(
                f"{key}={value or 'null'}"
                for key, value in (("deployOrder", deploy), ("lockOrder", lock), ("subOrder", sub))
            )
            raise Refused(400, f"Not valid order AcInstanceStateUpdate({given}); {_tail(body)}")
        self._begin(body, Operation(name))

    async def delete(self, composition: UUID, instance: UUID) -> Body:
        body = self._get(composition, instance)
        self._double.offline()
        if "DELETE" not in states.allowed(state_of(body)):
            raise Refused(400, f"Not valid order DELETE; {_tail(body)}")
        self._begin(body, Operation.DELETE)
        return self._response(str(instance))

    async def rollback(self, composition: UUID, instance: UUID) -> None:
        body = self._get(composition, instance)
        allowed = set(states.allowed(state_of(body))) & {"UPDATE_REVERT", "MIGRATION_REVERT"}
        if not allowed:
            raise Refused(400, f"Invalid state for rollback, Ac Instance is {body['deployState']}")
        before = self._double.before.pop(str(instance), None)
        if before is None:
            raise Refused(404, "Instance not found for rollback")
        body["elements"] = before["elements"]
        body.pop("compositionTargetId", None)
        self._begin(body, Operation(allowed.pop()))

    def allowed(self, instance: Body) -> list[str]:
        return states.allowed(state_of(instance))


def _tail(body: Body) -> str:
    names = ("deployState", "lockState", "subState", "stateChangeResult")
    return "; ".join(f"{name[0].upper()}{name[1:]}: {body[name]}" for name in names)


class DoubleParticipants(Participants):
    def __init__(self, double: Double) -> None:
        self._double = double

    def _body(self) -> Body:
        replicas = {REPLICA: {"replicaId": REPLICA, "participantState": "ON_LINE", "lastMsg": self._double.heard}}
        nodes = [
            node
            for body in self._double.definitions.values()
            for node in body["elementStateMap"].values()
            if node.get("participantId")
        ]
        instances = [one for body in self._double.stored.values() for one in body["elements"].values()]
        type_id = "5eed0001-0007-4000-8000-000000000007"
        return {
            "participant": {
                "participantId": PARTICIPANT,
                "participantSupportedElementTypes": {
                    type_id: {"id": type_id, "typeName": TYPE[0], "typeVersion": TYPE[1]}
                },
                "replicas": replicas if self._double.online else {},
            },
            "acNodeTemplateStateDefinitionMap": {node["nodeTemplateStateId"]: node for node in nodes},
            "acElementInstanceMap": {one["id"]: one for one in instances},
        }

    async def list(self, page: Page) -> list[Body]:
        return paged([self._body()] if self._double.registered else [], page)

    async def get(self, participant: UUID, page: Page) -> Body:
        if str(participant) != PARTICIPANT or not self._double.registered:
            raise Refused(404, f"Participant Not Found with ID: {participant}")
        return self._body()

    async def request_status(self, participant: UUID | None) -> None:
        if participant is not None:
            await self.get(participant, Page())
        self._double.asked.append(("status", participant))

    async def synchronise(self, participant: UUID | None) -> None:
        if participant is not None:
            await self.get(participant, Page())
        self._double.asked.append(("sync", participant))

    async def compositions(self, participant: UUID, page: Page) -> Body:
        await self.get(participant, page)
        return {"compositions": [{"compositionId": one} for one in self._double.definitions]}

    async def composition(self, participant: UUID, composition: UUID) -> Body:
        await self.get(participant, Page())
        self._double.compositions._get(composition)
        return {"compositionId": str(composition)}
