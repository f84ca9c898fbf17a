"""Calls that no well-behaved client makes, as bytes over HTTP/2: each has its answer, and none ends the server."""

from __future__ import annotations

import asyncio
import gzip
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mizzen.http.client import Client
from mizzen.http.http2.client import Http2Client
from mizzen.http.server import Limits
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.framing import frame
from mizzen.serve.protocols.grpc.status import Code, decode_message

INFER = f"/{schema.INFERENCE}/ModelInfer"
LIVE = f"/{schema.INFERENCE}/ServerLive"
GRPC = (b"content-type", b"application/grpc")


@pytest.fixture
async def client() -> AsyncIterator[Http2Client]:
    async with Http2Client(environ={}) as http2:
        yield http2


async def sent(
    client: Http2Client, speaker: Any, path: str, body: bytes, *headers: tuple[bytes, bytes], method: str = "POST"
) -> Any:
    async with asyncio.timeout(20):
        return await client.request(method, f"http://{speaker.address}{path}", headers=list(headers), body=body)


def told(answer: Any) -> tuple[str, str]:
    """The status's name and the sentence, wherever the call's end stands."""
    fields = dict(answer.trailers or answer.headers)
    assert answer.status == 200
    assert dict(answer.headers)[b"content-type"] == b"application/grpc"
    return Code(int(fields[b"grpc-status"])).name, decode_message(fields.get(b"grpc-message", b""))


PACKED = struct.pack(">BI", 1, len(gzip.compress(b"\0" * 10**7))) + gzip.compress(b"\0" * 10**7)

BODIES = [
    (b"", (), "INVALID_ARGUMENT", "the request has no message"),
    (b"\0\0\0", (), "INVALID_ARGUMENT", "the request ends within a message's prefix"),
    (b"\0\0\0\0\x05abc", (), "INVALID_ARGUMENT", "5 bytes is announced, only 3 bytes came"),
    (b"\0\0\0\0\x01abc", (), "INVALID_ARGUMENT", "1 bytes is announced, and another, where one is taken, 3 bytes came"),
    (b"\0\xff\xff\xff\xffabc", (), "RESOURCE_EXHAUSTED", "4294967295 bytes is larger than the 8388608 bytes"),
    (frame(b"\xff" * 20), (), "INVALID_ARGUMENT", "this is no inference.ModelInferRequest"),
    (frame(b"\x0a\x02\xff\xfe"), (), "INVALID_ARGUMENT", "this is no inference.ModelInferRequest"),
    (b"\1\0\0\0\0", (), "INTERNAL", "grpc-encoding does not say how"),
    (b"\1\0\0\0\1a", ((b"grpc-encoding", b"identity"),), "INTERNAL", "grpc-encoding does not say how"),
    (b"\1\0\0\0\1a", ((b"grpc-encoding", b"gzip"),), "INVALID_ARGUMENT", "a message is no gzip"),
    (b"\1\0\0\0\1a", ((b"grpc-encoding", b"zstd"),), "UNIMPLEMENTED", "'zstd' cannot be read"),
    (PACKED, ((b"grpc-encoding", b"gzip"),), "RESOURCE_EXHAUSTED", "larger, unpacked, than the 8388608 bytes"),
    (frame(b""), ((b"grpc-timeout", b"soon"),), "INVALID_ARGUMENT", "grpc-timeout must be at most eight digits"),
    (frame(b""), (), "NOT_FOUND", "Model with name  does not exist."),
]


@pytest.mark.parametrize(("body", "headers", "code", "says"), BODIES)
async def test_bodies(speak: Any, client: Http2Client, body: bytes, headers: Any, code: str, says: str) -> None:
    speaker = await speak()
    answer = await sent(client, speaker, INFER, body, GRPC, *headers)
    found, text = told(answer)
    assert found == code
    assert says in text
    assert not answer.body
    if code == "UNIMPLEMENTED":
        assert dict(answer.headers)[b"grpc-accept-encoding"] == b"identity, deflate, gzip"
    # The connection, and the server, go on.
    live = await sent(client, speaker, LIVE, frame(b""), GRPC)
    assert told(live) == ("OK", "")
    assert client.connections == 1


async def test_time_that_is_over_before_it_begins(speak: Any, kit: Any, client: Http2Client) -> None:
    speaker = await speak(kit.Echo())
    body = frame(kit.raw_request("echo", kit.floats).SerializeToString())
    answer = await sent(client, speaker, INFER, body, GRPC, (b"grpc-timeout", b"0m"))
    assert told(answer)[0] == "DEADLINE_EXCEEDED"
    assert speaker.repository.get("echo").model.got == []


async def test_what_is_not_grpc(speak: Any, client: Http2Client) -> None:
    speaker = await speak()
    answer = await sent(client, speaker, LIVE, frame(b""), (b"content-type", b"application/json"))
    assert answer.status == 415
    assert answer.body == b"gRPC calls here are application/grpc or application/grpc+proto; this is application/json"
    answer = await sent(client, speaker, LIVE, frame(b""))
    assert (answer.status, answer.body[-7:]) == (415, b"missing")
    answer = await sent(client, speaker, LIVE, b"", GRPC, method="GET")
    assert (answer.status, dict(answer.headers)[b"allow"]) == (405, b"POST")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/inference.GRPCInferenceService/Nothing", "inference.GRPCInferenceService has no method Nothing here"),
        ("/inference.GRPCInferenceService", "has no method  here"),
        ("/other.Service/ModelInfer", "there is no service other.Service here; there are inference.GRPC"),
        ("/", "there is no service  here"),
    ],
)
async def test_methods_that_are_not_there(speak: Any, client: Http2Client, path: str, says: str) -> None:
    speaker = await speak()
    code, text = told(await sent(client, speaker, path, frame(b""), GRPC))
    assert code == "UNIMPLEMENTED"
    assert says in text


async def test_content_types_that_are_grpc_s(speak: Any, client: Http2Client) -> None:
    speaker = await speak()
    for media_type in (b"application/grpc", b"application/grpc+proto", b"application/grpc;v=1"):
        answer = await sent(client, speaker, LIVE, frame(b""), (b"content-type", media_type))
        assert told(answer) == ("OK", "")
        assert answer.body == b"\0\0\0\0\2\x08\1"


async def test_a_message_in_many_small_frames(speak: Any, kit: Any, client: Http2Client) -> None:
    speaker = await speak(kit.Echo())
    body = frame(kit.raw_request("echo", kit.floats).SerializeToString())
    async with asyncio.timeout(20):
        async with client.open("POST", f"http://{speaker.address}{INFER}", headers=[GRPC]) as call:
            for byte in body:
                call.write(bytes((byte,)))
                await asyncio.sleep(0)
            call.finish()
            answer = await call.answer()
    assert told(answer) == ("OK", "")
    answered = schema.ModelInferResponse.FromString(answer.body[5:])
    assert answered.raw_output_contents[0] == kit.floats.tobytes()


async def test_a_body_beyond_the_transport_s_limit(speak: Any, client: Http2Client) -> None:
    speaker = await speak(limits=Limits(body=1000))
    answer = await sent(client, speaker, INFER, b"\0" * 5000, GRPC)
    assert told(answer)[0] == "RESOURCE_EXHAUSTED"


async def test_a_body_that_does_not_come(speak: Any, client: Http2Client) -> None:
    speaker = await speak(limits=Limits(body_timeout=0.2))
    async with asyncio.timeout(20):
        async with client.open("POST", f"http://{speaker.address}{INFER}", headers=[GRPC]) as call:
            call.write(b"\0\0")
            answer = await call.answer()
    assert told(answer)[0] == "DEADLINE_EXCEEDED"


async def test_http_1(speak: Any) -> None:
    speaker = await speak()
    async with Client(environ={}) as http1:
        url = f"http://{speaker.address}{LIVE}"
        async with await http1.request("POST", url, headers=[GRPC], body=frame(b"")) as answer:
            assert (answer.status, await answer.read()) == (505, b"gRPC is spoken over HTTP/2\n")


async def test_a_compressed_answer_only_to_who_takes_it(speak: Any, kit: Any, client: Http2Client) -> None:
    speaker = await speak(kit.Fixed(y=[0] * 1000))
    message = kit.raw_request("fixed", kit.floats).SerializeToString()
    packed = gzip.compress(message)
    body = struct.pack(">BI", 1, len(packed)) + packed
    gzipped = (b"grpc-encoding", b"gzip")
    answer = await sent(client, speaker, INFER, body, GRPC, gzipped, (b"grpc-accept-encoding", b"gzip"))
    assert dict(answer.headers)[b"grpc-encoding"] == b"gzip"
    assert answer.body[0] == 1
    plain = gzip.decompress(answer.body[5:])
    answer = await sent(client, speaker, INFER, body, GRPC, gzipped)
    assert b"grpc-encoding" not in dict(answer.headers)
    assert answer.body[0] == 0
    assert schema.ModelInferResponse.FromString(answer.body[5:]).outputs == (
        schema.ModelInferResponse.FromString(plain).outputs
    )


async def test_calls_that_are_given_up_by_the_hundred(speak: Any, kit: Any, waiting: Any, client: Http2Client) -> None:
    """Each reset cancels its own call and no other."""
    speaker = await speak(waiting)
    body = frame(kit.raw_request("waiting", kit.floats, id="kept").SerializeToString())
    kept = asyncio.create_task(sent(client, speaker, INFER, body, GRPC))
    await asyncio.to_thread(waiting.begun.wait, 10)
    given_up = [asyncio.create_task(sent(client, speaker, INFER, body, GRPC)) for _ in range(200)]
    served = speaker.repository.get("waiting")
    async with asyncio.timeout(10):
        while served.in_flight < 201:
            await asyncio.sleep(0.01)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    async with asyncio.timeout(10):
        while any(not call.settled for group in served.lane._queue for call in group.calls):
            await asyncio.sleep(0.01)
    waiting.go.set()
    assert told(await kept) == ("OK", "")
    assert waiting.calls == 1
