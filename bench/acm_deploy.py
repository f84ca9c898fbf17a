"""What automation compositions add to a model that is deployed, and how long a participant takes to be there.

*Added*: in a set of `mizzen acm up` (embedded broker, SQLite) beside an installation whose scikit-learn zygote is warm,
from sending the order to deploy over REST to the answer that says DEPLOYED, asked for every 10 ms, less the
InferenceService's own time to Ready, which is from the watch event that brings it to the one that says Ready. The
definition is the sample that is shipped, with one InferenceService; instances are deployed and undeployed one by one.

*Registered*: from the start of the process `mizzen acm participant`, with the interpreter's start and its imports, to
the acknowledgement that it has from the runtime. The runtime runs already, and no other replica does.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import yaml

import processes
import service
from figures import Figure, Say
from home import PATIENCE, Home, new_home
from mizzen.acm.messages.topics import Topics
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.bus import Broker
from mizzen.kube.client import Client
from startup import wait_warm

ADDED_MS, REGISTERED = 200.0, 2.0
_POLL = 0.01
_SAMPLES = resources.files("mizzen.acm") / "samples"
_TOPICS = Topics()


def measure(quick: bool, say: Say) -> list[Figure]:
    deployments, starts = (2, 1) if quick else (20, 10)
    with new_home() as home:
        service.train(home.models)
        home.up()
        wait_warm(home)
        registered = asyncio.run(_registered(home, starts))
        say(f"registered after {max(registered):.2f} s at most")
        begun = time.perf_counter()
        home.mizzen("acm", "up", "-d", "--rest-port", "0")
        up = time.perf_counter() - begun
        try:
            added, whole, undeployed = asyncio.run(_deployed(home, deployments, say))
            memory = {part: processes.pss(told["pid"]) for part, told in _state(home)["parts"].items()}
        finally:
            with suppress(RuntimeError, subprocess.TimeoutExpired):
                home.mizzen("acm", "down")
    note = "with the embedded broker; joining its groups takes a second of it"
    return [
        Figure(name="order to deploy to DEPLOYED, added", unit="ms", readings=added, at_most=ADDED_MS),
        Figure(name="order to deploy to DEPLOYED", unit="s", readings=whole),
        Figure(name="order to undeploy to UNDEPLOYED", unit="s", readings=undeployed),
        Figure(name="participant, start to registered", unit="s", readings=registered, at_most=REGISTERED, note=note),
        Figure(name="`mizzen acm up` to ready", unit="s", readings=[up]),
        *(Figure(name=f"PSS of the {part}", unit="MB", readings=[found]) for part, found in memory.items()),
    ]


def _state(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home.root / "acm/state.json").read_text())
    return found


async def _registered(home: Home, starts: int) -> list[float]:
    found = []
    async with Broker([_TOPICS.operation, _TOPICS.sync]) as broker:
        database = f"sqlite:///{home.root}/bench.db"
        who = ("--user", "bench", "--password", "bench", "--port", "0", "--database", database)
        with _started(home, "runtime", broker.address, *who):
            for _ in range(starts):
                with _started(home, "participant", broker.address, "--kubeconfig", str(home.kubeconfig)) as seconds:
                    found.append(seconds)
    return found


@contextmanager
def _started(home: Home, part: str, broker: str, *options: str) -> Iterator[float]:
    """A part alone, as its command starts it; yields the seconds until it has said that it is ready."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "mizzen.cli", "acm", part, "--broker", broker, "--quick", *options]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--ready", str(writer)],
        env=home.environment,
        pass_fds=[writer],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            if not pipe.read(100):
                raise RuntimeError(f"the {part} has ended before it was ready")
        yield time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Rest:
    """The runtime of a set."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._base = base

    async def ask(self, verb: str, path: str, body: Any = None) -> Any:
        async with self._session.request(verb, f"{self._base}{path}", json=body) as answer:
            told = await answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{verb} {path}: {answer.status} {told.decode()}")
            return json.loads(told) if told else None

    async def until(self, path: str, member: str, state: str) -> float:
        """When it was first told that something is in a state."""
        deadline = time.monotonic() + PATIENCE
        while True:
            body = await self.ask("GET", path)
            arrived = time.perf_counter()
            if body[member] == state:
                return arrived
            if body["stateChangeResult"] != "NO_ERROR" or time.monotonic() > deadline:
                raise RuntimeError(f"{path} is {body[member]}, not {state}: {body}")
            await asyncio.sleep(_POLL)

    async def primed(self) -> str:
        definition = yaml.safe_load((_SAMPLES / "kserve-composition.yaml").read_text())
        key: str = (await self.ask("POST", "/compositions", definition))["compositionId"]
        await self.ask("PUT", f"/compositions/{key}", {"primeOrder": "PRIME"})
        await self.until(f"/compositions/{key}", "state", "PRIMED")
        return key

    async def made(self, composition: str, name: str, model: Path) -> str:
        """The path of a new instance of the sample, of its own name and with its own InferenceService."""
        sample = yaml.safe_load((_SAMPLES / "kserve-instance.yaml").read_text())
        (element,) = sample["elements"].values()
        (entity,) = element["properties"]["kserveInferenceEntities"]
        payload = json.loads(entity["payload"])
        payload["metadata"]["name"] = name
        payload["spec"]["predictor"]["model"]["storageUri"] = f"file://{model}"
        entity |= {"name": name, "payload": json.dumps(payload)}
        element["id"] = str(uuid4())
        body = sample | {"name": name, "compositionId": composition, "elements": {element["id"]: element}}
        instances = f"/compositions/{composition}/instances"
        return f"{instances}/{(await self.ask('POST', instances, body))['instanceId']}"


@asynccontextmanager
async def _rest(home: Home) -> AsyncIterator[Rest]:
    known = json.loads((home.root / "acm/credentials.json").read_text())
    who = aiohttp.BasicAuth(known["user"], known["password"])
    async with aiohttp.ClientSession(auth=who) as session:
        yield Rest(session, f"{_state(home)['url']}/onap/policy/clamp/acm/v2")


async def _deployed(home: Home, count: int, say: Say) -> tuple[list[float], list[float], list[float]]:
    added, whole, undeployed = [], [], []
    async with service.client(home) as api, _rest(home) as rest:
        composition = await rest.primed()
        for turn in range(count):
            name = f"model-{turn}"
            instance = await rest.made(composition, name, home.models)
            watching = asyncio.create_task(_own_time(api, name))
            await asyncio.sleep(0.1)  # the watch is open
            begun = time.perf_counter()
            await rest.ask("PUT", instance, {"deployOrder": "DEPLOY"})
            whole.append(await rest.until(instance, "deployState", "DEPLOYED") - begun)
            own = await watching
            added.append((whole[-1] - own) * 1000)
            begun = time.perf_counter()
            await rest.ask("PUT", instance, {"deployOrder": "UNDEPLOY"})
            undeployed.append(await rest.until(instance, "deployState", "UNDEPLOYED") - begun)
            await service.without_pods(api, name)
            say(f"deployment {turn + 1} of {count}: {whole[-1]:.3f} s, of which {own:.3f} s are the model's own")
    return added, whole, undeployed


async def _own_time(api: Client, name: str) -> float:
    """From the first that is seen of an InferenceService to its being Ready."""
    _, since = await api.list_raw(INFERENCE_SERVICE, "default")
    began = 0.0
    async for event in api.watch(
        INFERENCE_SERVICE, "default", resource_version=since, field_selector=f"metadata.name={name}", timeout=60
    ):
        arrived = time.perf_counter()
        began = began or arrived
        conditions = json.loads(bytes(event.object)).get("status", {}).get("conditions", [])
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return arrived - began
    raise RuntimeError(f"the InferenceService {name} did not become ready")
