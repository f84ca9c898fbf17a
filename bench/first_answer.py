"""How long a user waits for a model: from applying its manifest to the first answer of the right numbers.

The user is a client of the API with a watch, and one kept connection to the gateway. *Apply* begins when the request
that applies the InferenceService (server-side) is sent; *Ready* is the arrival of the watch event that says so; the
*first answer* is the arrival of the body of the first response that is a 200 and has what the model itself predicts.
The manifest is the smallest there is: a scikit-learn SVC in a local folder. The client asks from Ready on; a Ready that
comes before the gateway has the route would show as requests refused, which are counted.

- *zygote warm*: services one after another in one installation, each with a name of its own, deleted afterwards.
- *killed*: the model server's process is killed with SIGKILL; from then to the next answer.
- *woken*: the service was stopped with ``serving.kserve.io/stop`` and has no pod; from taking that back to the answer.
- *first ever*: from the start of ``mizzen up`` on a new home, where the zygote is still cold, over apply to the answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

import processes
import service
from figures import Figure, Say
from home import Home, new_home
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.kube.client import Client
from startup import wait_warm

LIMIT = 1.0
_STOP = "serving.kserve.io/stop"


def measure(quick: bool, say: Say) -> list[Figure]:
    return asyncio.run(_measure(2 if quick else 20, 1 if quick else 7, say))


async def _measure(services: int, homes: int, say: Say) -> list[Figure]:
    ready, answered, killed, woken, first = [], [], [], [], []
    refused = 0
    with new_home() as home:
        expected = service.train(home.models)
        home.up()
        await asyncio.to_thread(wait_warm, home)
        async with service.client(home) as api:
            asker = service.Asker(home, expected)
            for turn in range(services):
                name = f"iris-{turn}"
                begun = time.perf_counter()
                applied = await api.apply(INFERENCE_SERVICE, service.manifest(name, home.models))
                ready.append(await service.until_ready(api, applied) - begun)
                arrived, before = asker.until_answered(name)
                answered.append(arrived - begun)
                refused += before
                killed.append(_killed(home, asker, name))
                say(f"service {turn + 1} of {services}: Ready {ready[-1]:.3f} s, answer {answered[-1]:.3f} s")
                await api.delete(INFERENCE_SERVICE, name, "default")
                await service.without_pods(api, name)
            for turn in range(services):
                woken.append(await _woken(api, home, asker, f"sleeper-{turn}"))
            say(f"woken from no pod: {max(woken):.3f} s at most")
            asker.close()
    for turn in range(homes):
        with new_home() as home:
            expected = service.train(home.models)
            begun = time.perf_counter()
            home.up()
            async with service.client(home) as api:
                applied = await api.apply(INFERENCE_SERVICE, service.manifest("iris", home.models))
                await service.until_ready(api, applied)
            asker = service.Asker(home, expected)
            first.append(asker.until_answered("iris")[0] - begun)
            asker.close()
        say(f"first ever {turn + 1} of {homes}: {first[-1]:.2f} s")
    note = f"{refused} requests were refused between Ready and the first answers"
    whole = "apply to Ready to first answer, zygote warm"
    return [
        Figure(name="apply to Ready, zygote warm", unit="s", readings=ready, at_most=LIMIT),
        Figure(name=whole, unit="s", readings=answered, at_most=LIMIT, note=note),
        Figure(name="first ever: `mizzen up` on a new home, apply, first answer", unit="s", readings=first),
        Figure(name="model server killed to next answer", unit="s", readings=killed),
        Figure(name="stopped service woken to first answer", unit="s", readings=woken),
    ]


def _killed(home: Home, asker: service.Asker, name: str) -> float:
    (server,) = (pid for pid, role in home.processes().items() if role == "pods")
    begun = time.perf_counter()
    os.kill(server, signal.SIGKILL)
    while server in processes.descendants(home.state["supervisor"]["pid"]):
        time.sleep(0.0005)  # until it is gone it might still answer
    return asker.until_answered(name)[0] - begun


async def _woken(api: Client, home: Home, asker: service.Asker, name: str) -> float:
    applied = await api.apply(INFERENCE_SERVICE, service.manifest(name, home.models))
    await service.until_ready(api, applied)
    stopped = await api.apply(INFERENCE_SERVICE, service.manifest(name, home.models, **{_STOP: "true"}))
    await service.until_ready(api, stopped, "False")
    await service.without_pods(api, name)
    begun = time.perf_counter()
    again = await api.apply(INFERENCE_SERVICE, service.manifest(name, home.models))
    await service.until_ready(api, again)
    took = asker.until_answered(name)[0] - begun
    await api.delete(INFERENCE_SERVICE, name, "default")
    await service.without_pods(api, name)
    return took
