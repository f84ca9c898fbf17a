"""The runtime of automation compositions under a crowd: so many instances of two elements, ordered over REST, with
elements that answer at once.

The runtime is a process of its own with its REST API, a SQLite file and the embedded broker; here are the client and a
participant that answers every element of an order without doing anything. Counted are the time from the first order to
the last instance DEPLOYED (all orders are given at once, sixteen requests at a time), what the runtime then has
of memory (PSS, MB are 10^6 bytes), and how long REST takes to list them all.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

import processes
from figures import Figure, Say
from mizzen.acm.messages import codec
from mizzen.acm.messages.acks import PrimeAck, StateChangeAck
from mizzen.acm.messages.elements import ElementAck, SupportedElementType
from mizzen.acm.messages.orders import Deploy, Prime
from mizzen.acm.messages.reports import Register
from mizzen.acm.messages.states import AcTypeState, DeployState, LockState, StateChangeResult
from mizzen.acm.messages.topics import Topics
from mizzen.acm.runtime.config import Settings
from mizzen.acm.runtime.rest import settings as rest
from mizzen.acm.runtime.rest.app import app
from mizzen.acm.runtime.rest.serving import serve
from mizzen.acm.runtime.runtime import Runtime
from mizzen.bus import Broker, Bus, BusSettings, Record

SECONDS, MEGABYTES, LIST_MS = 60.0, 150.0, 100.0
TOPICS = Topics()
TYPE = "org.onap.policy.clamp.acm.AutomationCompositionElement"
COMPOSITION = "org.onap.policy.clamp.acm.AutomationComposition"
P, R = uuid4(), uuid4()


def measure(quick: bool, say: Say) -> list[Figure]:
    instances, turns = (50, 1) if quick else (500, 3)
    readings = [asyncio.run(_turn(instances, say)) for _ in range(turns)]
    deployed, memory, listed, made = zip(*readings, strict=True)
    name = f"{instances} instances of 2 elements"
    return [
        Figure(name=f"{name}, deployed", unit="s", readings=list(deployed), at_most=SECONDS),
        Figure(name=f"{name}, made", unit="s", readings=list(made)),
        Figure(name=f"{name}, PSS of the runtime", unit="MB", readings=list(memory), at_most=MEGABYTES),
        Figure(name=f"{name}, listed by REST", unit="ms", readings=list(listed), at_most=LIST_MS),
    ]


async def _turn(count: int, say: Say) -> tuple[float, float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with Broker([TOPICS.operation, TOPICS.sync]) as broker:
            process = await asyncio.create_subprocess_exec(
                sys.executable, __file__, broker.address, folder, stdout=asyncio.subprocess.PIPE
            )
            try:
                assert process.stdout is not None
                port = int(await process.stdout.readline())
                reading = await _crowd(broker.settings, port, process.pid, count)
            finally:
                process.terminate()
                await process.wait()
    deployed, memory, listed, _ = reading
    say(f"{count} instances: deployed in {deployed:.1f} s, {memory:.0f} MB, listed in {listed:.0f} ms")
    return reading


async def _crowd(broker: BusSettings, port: int, pid: int, count: int) -> tuple[float, float, float, float]:
    base = f"http://127.0.0.1:{port}{rest.PREFIX}/v2"
    async with Bus(broker) as bus, aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        stub = tasks.create_task(_stub(bus))
        while not await _get(http, f"{base}/participants"):
            await asyncio.sleep(0.1)
        body = await _ask(http, "POST", f"{base}/compositions", _template(), 201)
        composition = body["compositionId"]
        await _ask(http, "PUT", f"{base}/compositions/{composition}", {"primeOrder": "PRIME"}, 202)
        while (await _get(http, f"{base}/compositions/{composition}"))["state"] != "PRIMED":
            await asyncio.sleep(0.05)
        path, turnstile = f"{base}/compositions/{composition}/instances", asyncio.Semaphore(16)

        async def ask(verb: str, at: str, told: dict[str, Any], status: int) -> dict[str, Any]:
            async with turnstile:
                return await _ask(http, verb, at, told, status)

        begun = time.monotonic()
        made = await asyncio.gather(*(ask("POST", path, _instance(composition, one), 201) for one in range(count)))
        makes = time.monotonic() - begun
        begun = time.monotonic()
        orders = asyncio.gather(
            *(ask("PUT", f"{path}/{one['instanceId']}", {"deployOrder": "DEPLOY"}, 202) for one in made)
        )
        await orders
        while len(
            await _get(http, f"{base}/instances?deployState=DEPLOYING&page=0&size=1", "automationCompositionList")
        ):
            await asyncio.sleep(0.1)
        deployed = time.monotonic() - begun
        listed = []
        for _ in range(10):
            begun = time.monotonic()
            assert len(await _get(http, path, "automationCompositionList")) == count
            listed.append((time.monotonic() - begun) * 1000)
        await asyncio.sleep(2)
        memory = processes.pss(pid)
        stub.cancel()
    return deployed, memory, sorted(listed)[len(listed) // 2], makes


async def _ask(http: aiohttp.ClientSession, verb: str, url: str, told: Any, status: int) -> dict[str, Any]:
    async with http.request(verb, url, json=told) as answer:
        text = await answer.text()
        assert answer.status == status, f"{verb} {url}: {answer.status} {text}"
        return json.loads(text) if text else {}


async def _get(http: aiohttp.ClientSession, url: str, member: str = "") -> Any:
    async with http.get(url) as answer:
        found = json.loads(await answer.read())
        return found[member] if member else found


async def _stub(bus: Bus) -> None:
    """A participant whose elements have nothing to do."""
    waiting: set[asyncio.Task[None]] = set()

    async def handle(record: Record) -> None:
        message = codec.decode(record.value)
        answers: list[PrimeAck | StateChangeAck] = []
        if isinstance(message, Prime):
            answers = [PrimeAck(composition_id=message.composition_id, composition_state=AcTypeState.PRIMED)]
        elif isinstance(message, Deploy):
            deployed = ElementAck(deploy_state=DeployState.DEPLOYED, lock_state=LockState.LOCKED, message="Deployed")
            answers = [
                StateChangeAck(
                    automation_composition_id=message.automation_composition_id,
                    automation_composition_result_map={one.id: deployed},
                )
                for group in message.participant_updates_list
                for one in group.ac_element_list
            ]
        for ack in answers:
            ack.participant_id, ack.replica_id, ack.response_to = P, R, message.message_id  # type: ignore[union-attr]
            ack.state_change_result, ack.message = StateChangeResult.NO_ERROR, "Deployed"
            task = asyncio.create_task(bus.send(TOPICS.operation, codec.encode(ack), key=ack.key))
            waiting.add(task)
            task.add_done_callback(waiting.discard)

    listener = bus.group([TOPICS.operation], "stub", handle)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listener.run())
        await listener.ready.wait()
        kind = SupportedElementType(id=uuid4(), type_name=TYPE, type_version="1.0.1")
        register = Register(participant_id=P, replica_id=R, participant_supported_element_type=[kind])
        await bus.send(TOPICS.operation, codec.encode(register), key=register.key)


def _template() -> dict[str, Any]:
    names = ("first", "second")
    kind = {"version": "1.0.1", "derived_from": "tosca.nodetypes.Root", "properties": {}}
    elements = [{"name": name, "version": "1.0.0"} for name in names]
    node = {"version": "1.0.0", "type_version": "1.0.1"}
    return {
        "tosca_definitions_version": "tosca_simple_yaml_1_3",
        "node_types": {TYPE: kind, COMPOSITION: kind},
        "topology_template": {
            "node_templates": {
                **{name: {**node, "type": TYPE, "properties": {"provider": "ONAP"}} for name in names},
                "composition": {**node, "type": COMPOSITION, "properties": {"elements": elements}},
            }
        },
    }


def _instance(composition: str, number: int) -> dict[str, Any]:
    entity = {"name": f"model-{number}", "namespace": "default", "payload": "{}" * 200}
    elements = {
        str(uuid4()): {
            "definition": {"name": name, "version": "1.0.0"},
            "properties": {"kserveInferenceEntities": [entity]},
        }
        for name in ("first", "second")
    }
    for key, element in elements.items():
        element["id"] = key
    return {"name": f"instance-{number}", "version": "1.0.0", "compositionId": composition, "elements": elements}


async def _runtime(broker: str, folder: str) -> None:
    settings = Settings(database=f"sqlite:///{folder}/acm.db", broker=broker)
    async with Bus(settings.bus(quick=True)) as bus, Runtime(settings, bus) as runtime:
        application = app(runtime.service, rest.Settings(basic_auth=False))
        await serve(application, "127.0.0.1", 0, listening=lambda port: print(port, flush=True))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    asyncio.run(_runtime(*sys.argv[1:]))
