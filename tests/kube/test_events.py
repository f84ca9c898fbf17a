"""Events tell people what happened, once and with a count, and never stand in anybody's way."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from fake_api import FakeApi, client_of, fake_api, hanging_up, refusing, until
from mizzen.apis.core import CONFIG_MAP, ConfigMap
from mizzen.apis.meta import ObjectMeta
from mizzen.kube import events
from mizzen.kube.events import EventRecorder, Reference

ABOUT = Reference(api_version="v1", kind="ConfigMap", name="a", namespace="ns", uid="u")


async def echo(request: web.Request) -> web.StreamResponse:
    return web.json_response(json.loads(await request.text()) | {"metadata": {"name": "e"}})


@asynccontextmanager
async def recording(host: str = "") -> AsyncIterator[tuple[FakeApi, EventRecorder]]:
    async with fake_api() as api, client_of(api) as client:
        recorder = EventRecorder(client, "test-controller", host)
        task = asyncio.create_task(recorder.run())
        try:
            yield api, recorder
        finally:
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(result, asyncio.CancelledError), result


async def test_an_event_says_who_what_and_about_what():
    async with recording("node-1") as (api, recorder):
        api.answers = [echo]
        recorder.record(ABOUT, "Warning", "Broken", "it broke")
        await until(lambda: len(api.bodies) == 1)
    assert api.requests[0][:2] == ("POST", "/api/v1/namespaces/ns/events")
    event = api.bodies[0]
    assert event["metadata"]["name"].startswith("a.")
    assert event["metadata"]["namespace"] == "ns"
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "a",
        "namespace": "ns",
        "uid": "u",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Broken", "it broke")
    assert event["count"] == 1
    assert event["firstTimestamp"] == event["lastTimestamp"]
    assert event["source"] == {"component": "test-controller", "host": "node-1"}
    assert event["reportingComponent"] == "test-controller"


async def test_the_same_sentence_is_one_event_that_counts():
    async with recording() as (api, recorder):
        api.answers = [echo] * 5
        for _ in range(3):
            recorder.record(ABOUT, "Normal", "Done", "it is done")
        recorder.record(ABOUT, "Normal", "Done", "something else")
        recorder.record(ABOUT, "Warning", "Done", "it is done")
        await until(lambda: len(api.bodies) == 5)
    assert [method for method, _, _ in api.requests] == ["POST", "PATCH", "PATCH", "POST", "POST"]
    name = api.bodies[0]["metadata"]["name"]
    assert [path.rpartition("/")[2] for _, path, _ in api.requests[1:3]] == [name, name]
    assert [api.bodies[index]["count"] for index in (1, 2)] == [2, 3]
    assert set(api.bodies[1]) == {"count", "lastTimestamp"}


async def test_an_event_that_has_expired_is_written_anew():
    async with recording() as (api, recorder):
        api.answers = [echo, refusing(404, "NotFound"), echo, echo]
        for _ in range(3):
            recorder.record(ABOUT, "Normal", "Done", "it is done")
        await until(lambda: len(api.bodies) == 4)
    assert [method for method, _, _ in api.requests] == ["POST", "PATCH", "POST", "PATCH"]
    assert api.bodies[2]["count"] == 1
    assert api.bodies[3]["count"] == 2


async def test_an_event_that_cannot_be_written_stops_nothing():
    async with recording() as (api, recorder):
        api.answers = [refusing(403, "Forbidden", "the namespace is going"), hanging_up, echo]
        for message in ("one", "two", "three"):
            recorder.record(ABOUT, "Normal", "Done", message)
        await until(lambda: len(api.bodies) >= 3)
    assert [body["message"] for body in api.bodies] == ["one", "two", "three"]


async def test_too_many_events_are_dropped_and_said(monkeypatch, caplog):
    monkeypatch.setattr(events, "_WAITING", 2)
    caplog.set_level(logging.WARNING, "mizzen.kube.events")
    async with fake_api() as api, client_of(api) as client:
        recorder = EventRecorder(client, "test")
        for number in range(4):
            recorder.record(ABOUT, "Normal", "Done", f"message {number}")
    assert [record.getMessage()[-9:] for record in caplog.records] == ["message 2", "message 3"]


async def test_only_the_latest_sentences_are_remembered(monkeypatch):
    monkeypatch.setattr(events, "_REMEMBERED", 2)
    async with recording() as (api, recorder):
        api.answers = [echo] * 5
        for message in ("one", "two", "three", "three", "one"):
            recorder.record(ABOUT, "Normal", "Done", message)
        await until(lambda: len(api.bodies) == 5)
    assert [method for method, _, _ in api.requests] == ["POST", "POST", "POST", "PATCH", "POST"]


async def test_a_long_message_is_cut_and_a_cluster_object_is_told_of_in_default():
    async with recording() as (api, recorder):
        api.answers = [echo]
        recorder.record(Reference(api_version="v1", kind="Node", name="n"), "Normal", "Long", "x" * 5000)
        await until(lambda: len(api.bodies) == 1)
    assert api.requests[0][1] == "/api/v1/namespaces/default/events"
    assert len(api.bodies[0]["message"]) == 1024


def test_a_reference_to_a_typed_object():
    found = ConfigMap(metadata=ObjectMeta(name="a", namespace="ns", uid="u"))
    assert Reference.to(found, CONFIG_MAP) == ABOUT
