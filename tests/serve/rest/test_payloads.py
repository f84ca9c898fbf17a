"""V1 requests to models that take payloads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from mizzen.serve.errors import DeadlineExceeded, InvalidInput, QueueFull
from mizzen.serve.lanes.payloads import PayloadCall, PayloadLane
from mizzen.serve.model import Extras

from .conftest import Payloads

PATH = "/v1/models/p:predict"


def test_the_lane_of_these_tests_is_one():
    assert isinstance(Payloads(lambda call: None).lane, PayloadLane)


@pytest.mark.parametrize(
    ("media", "body", "payload"),
    [
        (None, b'{"a": 1}', {"a": 1}),
        ("application/json", b"[1, 2]", [1, 2]),
        ("Application/JSON; charset=utf-8", b'"x"', "x"),
        ("application/ld+json", b"{}", {}),
        ("application/problem+json", b"{}", {}),
        ("application/x-www-form-urlencoded", b'{"a": 1}', {"a": 1}),
        ("application/x-www-form-urlencoded", b"a=1", b"a=1"),
        ("application/octet-stream", b'{"a": 1}', {"a": 1}),
        ("application/octet-stream", b"\xff\0", b"\xff\0"),
        ("text/plain", b'{"a": 1}', b'{"a": 1}'),
        ("image/png", b"\x89PNG", b"\x89PNG"),
        ("image/png", b"", b""),
    ],
)
async def test_what_the_body_is_to_the_model(asking, media, body, payload):
    seen: list[Any] = []
    ask = await asking(Payloads(lambda call: seen.append(call.payload) or {}))
    headers = {"content-type": media} if media else {}
    assert (await ask("POST", PATH, body, headers)).status == 200
    assert seen == [payload]


@pytest.mark.parametrize("media", [None, "application/json", "application/cloudevents+json"])
@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff", b"[" * 10_000])
async def test_what_should_be_json_and_is_not(asking, media, body):
    ask = await asking(Payloads(lambda call: {}))
    answer = await ask("POST", PATH, body, {"content-type": media} if media else {})
    assert answer.status == 400
    assert answer.error.startswith("Unrecognized request format: ")


@pytest.mark.parametrize(
    ("timeout", "microseconds"),
    [(1000, 1000), (1000.5, 1000.5), ("30s", None), (None, None), (True, None), ([], None)],
)
async def test_a_deadline_in_the_payload_is_the_calls_and_is_passed_on(asking, timeout, microseconds):
    model = Payloads(lambda call: {})
    ask = await asking(model)
    body = {"parameters": {"timeout": timeout}, "instances": [2]}
    began = asyncio.get_running_loop().time()
    assert (await ask("POST", PATH, body)).status == 200
    [call] = model.lane.calls
    assert call.payload == body
    if microseconds is None:
        assert call.deadline is None
    else:
        # Added up as the server does: the difference would be rounded below zero.
        earliest = began + microseconds / 1e6
        assert earliest <= call.deadline < earliest + 20


@pytest.mark.parametrize("timeout", [0, -1, 1e300])
async def test_a_deadline_that_cannot_be_kept_is_400(asking, timeout):
    ask = await asking(Payloads(lambda call: {}))
    answer = await ask("POST", PATH, {"parameters": {"timeout": timeout}})
    assert (answer.status, answer.error.partition(",")[0]) == (
        400,
        "the parameter timeout must be a positive number of microseconds",
    )


async def test_verb_headers_and_identifier(asking):
    seen: list[PayloadCall] = []
    ask = await asking(Payloads(lambda call: seen.append(call) or {}))
    await ask("POST", PATH, {}, {"X-Request-Id": "mine", "X-B3-TraceId": "1", "TraceParent": "00-a-b-01"})
    await ask("POST", "/v1/models/p:explain", {})
    first, second = seen
    assert (first.verb, second.verb) == ("predict", "explain")
    assert (first.identifier, second.identifier) == ("mine", None)
    assert first.headers["x-b3-traceid"] == "1" and first.headers["traceparent"] == "00-a-b-01"


@pytest.mark.parametrize(
    ("result", "body", "media"),
    [
        ({"predictions": [1, float("nan")]}, b'{"predictions":[1,null]}', "application/json"),
        ([1], b"[1]", "application/json"),
        (None, b"null", "application/json"),
        ({"a": np.array([[1, 2]]), "b": np.float32(0.5)}, b'{"a":[[1,2]],"b":0.5}', "application/json"),
        (b"\xff\0", b"\xff\0", None),
        ("täxt", "täxt".encode(), None),
        ("\ud800", b"\xed\xa0\x80", None),
    ],
)
async def test_what_a_model_answers(asking, result, body, media):
    ask = await asking(Payloads(lambda call: (result, None)))
    answer = await ask("POST", PATH, {})
    assert (answer.status, answer.body, answer.headers.get("content-type")) == (200, body, media)


async def test_a_models_own_header_fields(asking):
    headers = {"X-Mine": "a", "Content-Type": "text/csv"}
    ours = {"Content-Length": "999", "Connection": "close", "Date": "never"}
    ask = await asking(Payloads(lambda call: ("a,b\n", Extras(headers=headers | ours))))
    answer = await ask("POST", PATH, {}, {"x-request-id": "7"})
    assert answer.body == b"a,b\n"
    assert (answer.headers["x-mine"], answer.headers["content-type"]) == ("a", "text/csv")
    assert answer.headers["content-length"] == "4" and answer.headers["date"] != "never"
    assert answer.headers["x-request-id"] == "7"


@pytest.mark.parametrize("headers", [{"x-mine": "a\r\nx-forged: b"}, {"x-mine\n": "a"}, {"x": "\u20ac"}, {"ü": "a"}])
async def test_header_fields_that_cannot_be_sent(asking, headers):
    ask = await asking(Payloads(lambda call: ({}, Extras(headers=headers))))
    answer = await ask("POST", PATH, {})
    assert answer.status == 500
    assert answer.error.startswith("the model's response headers cannot be sent: ")


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (InvalidInput("no rows"), 400, "no rows"),
        (ValueError("broken"), 500, "broken"),
        (NotImplementedError("no explain"), 501, "no explain"),
        (DeadlineExceeded(), 504, "did not answer"),
    ],
)
async def test_what_a_model_raises(asking, error, status, text):
    ask = await asking(Payloads(lambda call: error))
    answer = await ask("POST", PATH, {})
    assert (answer.status, text in answer.error) == (status, True)


async def test_an_answer_without_a_json_form(asking):
    ask = await asking(Payloads(lambda call: {"a": object()}))
    answer = await ask("POST", PATH, {})
    assert (answer.status, answer.error) == (500, "object has no JSON form")


async def test_a_lane_that_takes_no_more(asking):
    model = Payloads(lambda call: {})

    def refuse(call: PayloadCall) -> None:
        raise QueueFull("p", 3)

    model.lane.submit_payload = refuse  # type: ignore[method-assign]
    answer = await (await asking(model))("POST", PATH, {})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def pieces(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        if isinstance(value, Exception):
            raise value
        yield value


async def test_a_stream_of_pieces(asking):
    extras = Extras(headers={"content-type": "text/event-stream"})
    ask = await asking(Payloads(lambda call: (pieces(b"a", "ü", {"x": [1]}, b""), extras)))
    answer = await ask("POST", PATH, {})
    assert answer.body == 'aü{"x":[1]}\n'.encode()
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-type"] == "text/event-stream"


async def test_an_empty_stream(asking):
    answer = await (await asking(Payloads(lambda call: pieces())))("POST", PATH, {})
    assert (answer.status, answer.body) == (200, b"")


async def test_a_stream_that_fails_at_once_is_an_error(asking):
    answer = await (await asking(Payloads(lambda call: pieces(InvalidInput("no")))))("POST", PATH, {})
    assert (answer.status, answer.error) == (400, "no")


async def test_a_stream_that_fails_later_is_cut_off(asking):
    from mizzen.http.errors import HttpError

    ask = await asking(Payloads(lambda call: pieces(b"a", ValueError("broken"))))
    with pytest.raises(HttpError):
        await ask("POST", PATH, {})


async def test_a_stream_is_read_no_faster_than_the_client_does_and_closed_when_it_leaves(asking):
    given, closed = 0, asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        try:
            while True:
                given += 1
                yield b"x" * 65536
        finally:
            closed.set()

    cancelled = asyncio.Event()

    def answer(call: PayloadCall) -> Any:
        call.on_cancel = cancelled.set
        return endless()

    ask = await asking(Payloads(answer))
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.port, limit=1024)
    writer.write(b"POST /v1/models/p:predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
    await reader.readuntil(b"\r\n\r\n")
    before = -1
    while given != before:  # until the buffers between here and there are full
        before = given
        await asyncio.sleep(0.2)
    assert given < 1000
    writer.transport.abort()
    async with asyncio.timeout(10):
        await closed.wait()
        await cancelled.wait()


async def test_who_leaves_before_the_answer_is_told_to_the_lane(asking):
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    def answer(call: PayloadCall) -> None:
        call.on_cancel = cancelled.set
        waiting.set()

    ask = await asking(Payloads(answer))
    _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    writer.write(b"POST /v1/models/p:predict HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
    async with asyncio.timeout(10):
        await waiting.wait()
        writer.transport.abort()
        await cancelled.wait()


async def test_large_and_compressed_payloads(asking):
    import gzip

    seen: list[Any] = []
    ask = await asking(Payloads(lambda call: seen.append(call.payload) or call.payload))
    large = {"instances": [[number] * 10 for number in range(20_000)]}
    answer = await ask("POST", PATH, large)
    assert answer.json == large
    await ask("POST", PATH, gzip.compress(json.dumps(large).encode()), {"content-encoding": "gzip"})
    await ask("POST", PATH, b"x" * 400_000, {"content-type": "text/plain"})
    assert seen == [large, large, b"x" * 400_000]


async def test_a_model_that_is_gone(asking):
    ask = await asking(Payloads(lambda call: {}))
    await ask.server.repository.shut("p")
    assert (await ask("POST", PATH, {})).status == 404
