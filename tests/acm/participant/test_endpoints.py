"""Health and metrics over HTTP: who may read them, and what is in them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mizzen.acm.participant import metrics
from mizzen.acm.participant.configuration import Credentials
from mizzen.acm.participant.endpoints import application
from mizzen.acm.participant.errors import Misconfigured
from mizzen.acm.participant.participant import Participant
from mizzen.acm.participant.web import bound, serve
from participant_world import NoBus, StubHandler, configuration, golden, taking_part

CONTEXT = "/onap/policy/clamp/acm/kserveparticipant"
WHO = ("me", "it's: mine")
PATHS = ("health", "health/liveness", "health/readiness", "metrics", "prometheus")


class World:
    def __init__(self) -> None:
        self.bus, self.handler = NoBus(), StubHandler()
        self.participant = Participant(configuration(), self.bus, self.handler)
        app = application(self.participant, CONTEXT, Credentials(*WHO))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=f"http://localhost{CONTEXT}", auth=WHO
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    async with taking_part(found.participant), found.client:
        await found.bus.register()
        yield found


@pytest.mark.parametrize("path", [*PATHS, "metrics/listener.participant_prime", "nothing", "v2/instances"])
async def test_nothing_is_told_to_strangers(world: World, path: str) -> None:
    for auth in (None, ("me", "wrong"), ("other", WHO[1]), ("", "")):
        answer = await httpx.AsyncClient(transport=world.client._transport).get(
            f"http://localhost{CONTEXT}/{path}", **({} if auth is None else {"auth": auth})
        )
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "given", ["Basic", "Basic !!", "Basic bWU=", "Bearer bWU6bWluZQ==", "Basic bWU6bWluZQ=", "Basic é"]
)
async def test_odd_credentials(world: World, given: str) -> None:
    headers = {"Authorization": given.encode()}
    stranger = httpx.AsyncClient(transport=world.client._transport)
    assert (await stranger.get(f"http://localhost{CONTEXT}/health", headers=headers)).status_code == 401


async def test_what_there_is_not(world: World) -> None:
    for path in ("nothing", "metrics/nothing", "health/nothing", ""):
        assert (await world.client.get(path)).status_code == 404
    assert (await world.client.get("http://localhost/health")).status_code == 404


async def test_health(world: World) -> None:
    answer = await world.client.get("health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "UP",
        "components": {"kafka": {"status": "UP"}, "handler": {"status": "UP"}, "ping": {"status": "UP"}},
    }
    world.handler.wrong, world.bus.away = "the cluster refuses the token", True
    answer = await world.client.get("health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "DOWN"
    assert answer.json()["components"]["handler"] == {
        "status": "DOWN",
        "details": {"error": "the cluster refuses the token"},
    }
    for probe in ("liveness", "readiness"):
        assert (await world.client.get(f"health/{probe}")).json() == {"status": "UP"}


async def test_ready_once_the_runtime_can_be_heard() -> None:
    world = World()
    async with world.client:
        answer = await world.client.get("health/readiness")
        assert (answer.status_code, answer.json()) == (503, {"status": "OUT_OF_SERVICE"})
        assert (await world.client.get("health/liveness")).status_code == 200


async def test_metrics_count_what_came_and_went(world: World) -> None:
    await world.bus.say(golden("05"))
    await world.bus.ack()
    await world.bus.say(b"nonsense", "acm-ppnt-sync")
    names = (await world.client.get("metrics")).json()["names"]
    assert {f"listener.{name}" for name in metrics.LISTENER.values()} <= set(names)
    assert {f"publisher.{name}" for name in metrics.PUBLISHER.values()} <= set(names)
    answer = (await world.client.get("metrics/listener.participant_prime")).json()
    assert (answer["name"], answer["baseUnit"], answer["availableTags"]) == (
        "listener.participant_prime",
        "seconds",
        [],
    )
    values = {each["statistic"]: each["value"] for each in answer["measurements"]}
    assert values["COUNT"] == 1
    assert 0 < values["TOTAL_TIME"] == values["MAX"] < 10
    registered = (await world.client.get("metrics/participant.registered")).json()["measurements"]
    assert registered == [{"statistic": "VALUE", "value": 1.0}]


async def test_prometheus_reads_the_same(world: World) -> None:
    await world.bus.say(golden("05"))
    await world.bus.ack()
    await world.bus.say(b"nonsense", "acm-ppnt-sync")
    answer = await world.client.get("prometheus")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        sample.name: sample.value for family in text_string_to_metric_families(answer.text) for sample in family.samples
    }
    for name in metrics.LISTENER.values():
        for ending in ("count", "sum", "max"):
            assert f"listener_{name}_seconds_{ending}" in samples
    assert samples["listener_participant_prime_seconds_count"] == 1
    assert samples["publisher_participant_prime_ack_seconds_count"] == 1
    assert samples["participant_undecodable_records_total"] == 1
    assert "process_resident_memory_bytes" in samples


def test_a_maximum_fades() -> None:
    now = 0.0
    timer = metrics.Timer("x", lambda: now)
    timer.record(5)
    now = 100
    timer.record(1)
    assert timer.highest == 5
    now = 200
    assert timer.highest == 1
    now = 400
    assert (timer.highest, timer.count, timer.total) == (0, 2, 6)


async def test_over_a_socket_and_to_the_end() -> None:
    world, listening = World(), bound("127.0.0.1", 0)
    port = listening.getsockname()[1]
    app = application(world.participant, CONTEXT, Credentials(*WHO))
    with pytest.raises(Misconfigured, match=f"server.port: 127.0.0.1:{port} cannot be listened at"):
        bound("127.0.0.1", port)
    serving = asyncio.create_task(serve(app, listening))
    async with httpx.AsyncClient(trust_env=False, auth=WHO) as client:
        answer = await client.get(f"http://127.0.0.1:{port}{CONTEXT}/health/liveness")
        assert answer.status_code == 200
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
