"""The client says what the API said, and what is wrong when it says nothing."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from fake_api import client_of, fake_api, hanging_up, refusing, saying, status, until
from mizzen.apis.core import CONFIG_MAP, NAMESPACE, POD
from mizzen.kube import client as clients
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.config import ClusterConfig
from mizzen.kube.errors import ApiError

OBJECT = saying('{"kind": "ConfigMap", "metadata": {"name": "a"}}')


async def test_each_verb_goes_where_the_api_expects_it():
    body = {"metadata": {"name": "a", "namespace": "ns"}}
    async with fake_api() as api, client_of(api) as client:
        api.answers = [OBJECT] * 9
        await client.get(CONFIG_MAP, "a", "ns")
        await client.get(POD, "p", "ns", subresource="status")
        await client.create(CONFIG_MAP, body)
        await client.update(CONFIG_MAP, body)
        await client.patch(CONFIG_MAP, "a", "ns", {"data": {}})
        await client.patch(CONFIG_MAP, "a", "ns", [], kind="json")
        await client.apply(CONFIG_MAP, body, dry_run=True, field_validation="Strict")
        await client.delete(CONFIG_MAP, "a", "ns", uid="u", grace_period=0)
        await client.get(NAMESPACE, "ns", "ignored")
        path = "/api/v1/namespaces/ns/configmaps"
        manager = {"fieldManager": "tester"}
        assert api.requests == [
            ("GET", f"{path}/a", {}),
            ("GET", "/api/v1/namespaces/ns/pods/p/status", {}),
            ("POST", path, manager),
            ("PUT", f"{path}/a", manager),
            ("PATCH", f"{path}/a", manager),
            ("PATCH", f"{path}/a", manager),
            ("PATCH", f"{path}/a", manager | {"force": "true", "dryRun": "All", "fieldValidation": "Strict"}),
            ("DELETE", f"{path}/a", {}),
            ("GET", "/api/v1/namespaces/ns", {}),
        ]
        assert api.bodies[7] == {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": "u"},
        }


async def test_who_asks_and_in_which_form():
    seen: list[web.Request] = []

    async def look(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.json_response({})

    async with fake_api() as api:
        api.answers = [look] * 5
        async with Client(ClusterConfig(server=api.url, token="secret"), field_manager="me") as client:
            await client.get(CONFIG_MAP, "a", "ns")
            for kind in ("merge", "json", "strategic"):
                await client.patch(CONFIG_MAP, "a", "ns", {}, kind=kind)
            await client.apply(CONFIG_MAP, {"metadata": {"name": "a"}})
    assert {request.headers["Authorization"] for request in seen} == {"Bearer secret"}
    assert {request.headers["User-Agent"] for request in seen} == {"me/mizzen"}
    assert [request.headers.get("Content-Type") for request in seen[1:]] == [
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
    ]


async def test_a_refusal_keeps_the_apis_words():
    async def refuse(_: web.Request) -> web.StreamResponse:
        return status(422, "Invalid", "spec: wrong", name="a", causes=[{"field": "spec"}])

    async with fake_api() as api, client_of(api) as client:
        api.answers = [refuse]
        with pytest.raises(ApiError, match="spec: wrong") as caught:
            await client.get(CONFIG_MAP, "a", "ns")
        assert (caught.value.code, caught.value.reason) == (422, "Invalid")
        assert caught.value.details == {"name": "a", "causes": [{"field": "spec"}]}


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (saying("plain words", 403, "text/plain"), 403, "plain words"),
        (saying("", 502), 502, "Bad Gateway"),
        (saying('{"not": "a status"}', 500), 500, "not"),
        (saying(b"\xff\xfe", 500), 500, ""),
        (saying('{"kind": "Status", "message": null}', 404), 404, "without a message"),
    ],
)
async def test_a_refusal_in_another_form(answer, code, words):
    async with fake_api() as api, client_of(api) as client:
        api.answers = [answer]
        with pytest.raises(ApiError) as caught:
            await client.get(CONFIG_MAP, "a", "ns")
        assert caught.value.code == code
        assert words in str(caught.value)


@pytest.mark.parametrize("answer", [hanging_up, saying("<html>", content_type="text/html"), saying("{"), saying(b"")])
async def test_what_is_no_answer(answer):
    async with fake_api() as api, client_of(api) as client:
        api.answers = [answer] * 9  # a connection that was closed is tried once more
        with pytest.raises(Unreachable) as caught:
            await client.get(CONFIG_MAP, "a", "ns")
        assert api.url in str(caught.value)
        with pytest.raises(Unreachable):
            await client.list(CONFIG_MAP)
        with pytest.raises(Unreachable):
            await client.raw("GET", "/readyz")


async def test_nobody_listens():
    async with fake_api() as api:
        url = api.url
    async with Client(ClusterConfig(server=url)) as client:
        with pytest.raises(Unreachable, match=f"the API server at {url} does not answer"):
            await client.get(CONFIG_MAP, "a", "ns")
        with pytest.raises(Unreachable):
            await anext(client.watch(CONFIG_MAP))


async def test_an_answer_that_never_comes(monkeypatch):
    monkeypatch.setattr(clients, "_PATIENCE", 0.05)

    async def silent(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        raise AssertionError("nobody waits so long")

    async with fake_api() as api, client_of(api) as client:
        api.answers = [silent]
        with pytest.raises(Unreachable, match="has not answered GET /api/v1/namespaces/ns/configmaps/a within"):
            await client.get(CONFIG_MAP, "a", "ns")


async def test_an_answer_that_breaks_off():
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"kind":')
        assert request.transport is not None
        request.transport.close()
        return response

    async def half_a_refusal(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500, headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"kind":')
        assert request.transport is not None
        request.transport.close()
        return response

    async with fake_api() as api, client_of(api) as client:
        api.answers = [half, half_a_refusal]
        with pytest.raises(Unreachable, match="broke off"):
            await client.get(CONFIG_MAP, "a", "ns")
        with pytest.raises(ApiError, match="broke off") as caught:
            await client.get(CONFIG_MAP, "a", "ns")
        assert caught.value.code == 500


async def test_a_list_says_of_what_kind_its_items_are():
    async with fake_api() as api, client_of(api) as client:
        api.page = 2
        for name in "abcde":
            await api.put(CONFIG_MAP, name)
        found = await client.list(CONFIG_MAP)
        assert [one["metadata"]["name"] for one in found] == list("abcde")
        assert {(one["apiVersion"], one["kind"]) for one in found} == {("v1", "ConfigMap")}
        items, version = await client.list_raw(CONFIG_MAP, page=2)
        assert len(items) == 5
        assert version == str(api.revision)
        assert api.requests[-1][2] == {"limit": "2", "continue": "4"}


async def test_an_empty_list_may_be_null():
    async with fake_api() as api, client_of(api) as client:
        api.answers = [saying('{"metadata": {"resourceVersion": "7"}, "items": null}')]
        assert await client.list_raw(CONFIG_MAP) == ([], "7")


async def events(api, client, *chunks: bytes, end: bool = True):
    """What a watch gives for a stream that comes in these pieces."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.001)
        if not end and request.transport is not None:
            request.transport.abort()
        return response

    api.answers = [stream]
    return [(event.type, json.loads(bytes(event.object))) async for event in client.watch(CONFIG_MAP)]


LINE = b'{"type": "ADDED", "object": {"n": 1}}\n'
GIVEN = ("ADDED", {"n": 1})


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([LINE], [GIVEN], id="a line"),
        pytest.param([LINE * 3], [GIVEN] * 3, id="lines at once"),
        pytest.param([LINE[:10], LINE[10:]], [GIVEN], id="a line in pieces"),
        pytest.param([LINE + LINE[:5], LINE[5:]], [GIVEN] * 2, id="one and a half"),
        pytest.param([bytes([byte]) for byte in LINE], [GIVEN], id="byte by byte"),
        pytest.param([LINE[:-1], b"\n"], [GIVEN], id="the end of the line alone"),
        pytest.param([LINE + b"\n\n" + LINE], [GIVEN] * 2, id="empty lines"),
        pytest.param([LINE, LINE[:-5]], [GIVEN], id="the rest of a line that was cut off"),
        pytest.param([], [], id="nothing"),
    ],
)
async def test_a_stream_in_pieces(chunks, expected):
    async with fake_api() as api, client_of(api) as client:
        assert await events(api, client, *chunks) == expected


async def test_a_huge_line():
    text = "x" * (5 * 2**20)
    line = json.dumps({"type": "MODIFIED", "object": {"text": text}}).encode() + b"\n"
    async with fake_api() as api, client_of(api) as client:
        pieces = [line[place : place + 70_000] for place in range(0, len(line), 70_000)]
        assert await events(api, client, *pieces, LINE) == [("MODIFIED", {"text": text}), GIVEN]


async def test_a_stream_that_breaks_off():
    async with fake_api() as api, client_of(api) as client:
        with pytest.raises(Unreachable, match="broke off a watch"):
            await events(api, client, LINE, end=False)


async def test_an_error_in_a_stream():
    error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    async with fake_api() as api, client_of(api) as client:
        with pytest.raises(ApiError, match="too old") as caught:
            await events(api, client, LINE, json.dumps(error).encode() + b"\n")
        assert caught.value.code == 410


async def test_a_stream_of_something_else():
    async with fake_api() as api, client_of(api) as client:
        with pytest.raises(Unreachable, match="no Kubernetes API"):
            await events(api, client, b"<html>\n")


async def test_a_stream_that_is_refused():
    async with fake_api() as api, client_of(api) as client:
        api.answers = [refusing(403, "Forbidden", "you may not")]
        with pytest.raises(ApiError, match="you may not"):
            await anext(client.watch(CONFIG_MAP))


async def test_leaving_a_watch_ends_its_stream():
    async with fake_api() as api, client_of(api) as client:
        await api.put(CONFIG_MAP, "a")
        stream = client.watch(CONFIG_MAP)
        assert (await anext(stream)).type == "ADDED"
        assert api.watches == 1
        await stream.aclose()
        await until(lambda: api.watches == 0)


async def test_a_log_is_a_stream_of_bytes():
    async with fake_api() as api, client_of(api) as client:
        api.answers = [saying("one\ntwo\n", content_type="text/plain"), refusing(404, "NotFound", "no such pod")]
        async with client.logs("p", "ns", {"follow": "true"}) as log:
            assert await log.read() == b"one\ntwo\n"
        assert api.requests == [("GET", "/api/v1/namespaces/ns/pods/p/log", {"follow": "true"})]
        with pytest.raises(ApiError, match="no such pod"):
            async with client.logs("p", "ns", {}):
                raise AssertionError("there is no log")
