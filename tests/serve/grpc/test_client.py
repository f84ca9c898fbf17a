"""Our client, against our server, against grpcio's, and against what is neither."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from concurrent import futures
from typing import Any

import numpy as np
import pytest

from mizzen.http.server import Server
from mizzen.serve.model import Extras, Options, Tensor
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.client import GrpcClient, UpstreamError
from mizzen.serve.protocols.grpc.framing import frame


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., GrpcClient]]:
    clients: list[GrpcClient] = []

    def make(address: str, **options: Any) -> GrpcClient:
        clients.append(GrpcClient(f"http://{address}", environ={}, **options))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


ARRAYS = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([0.5], np.float16),
    "flag": np.array([[True], [False]]),
    "long": np.array([2**64 - 1, 0], np.uint64),
    "text": np.array(["a", b"\xff", "\u00e9"], dtype=object),
    "none": np.zeros((0, 4)),
    "scalar": np.array(7, np.int8),
}


async def test_tensors_there_and_back(speak: Any, kit: Any, connect: Any) -> None:
    model = kit.Echo(version="4", reads_headers=True)
    speaker = await speak(model)
    client = connect(speaker.address, authority="iris.example.com")
    inputs = [Tensor(name, array, {"p": name}) for name, array in ARRAYS.items()]
    outputs, extras = await client.infer(
        "echo",
        inputs,
        Options({"mode": "fast", "share": 0.5}, ("text", "float", "scalar")),
        version="4",
        headers={"X-Request-Id": "r1"},
        timeout=10,
    )
    assert [tensor.name for tensor in outputs] == ["text", "float", "scalar"]
    assert outputs[0].array.tolist() == [b"a", b"\xff", "\u00e9".encode()]
    np.testing.assert_array_equal(outputs[1].array, ARRAYS["float"])
    assert outputs[2].array.shape == () and outputs[2].array.dtype == np.int8
    assert outputs[1].parameters == {"p": "float"}
    assert (extras.parameters, extras.headers) == (None, None)
    for tensor, (name, array) in zip(model.got[0], ARRAYS.items(), strict=True):
        assert tensor.name == name
        if name != "text":
            assert tensor.array.dtype == array.dtype
            np.testing.assert_array_equal(tensor.array, array)
    options = model.told[0]
    assert options.parameters == {"mode": "fast", "share": 0.5}
    assert options.headers["x-request-id"] == "r1"
    assert options.headers["host"] == "iris.example.com"


async def test_readiness(speak: Any, kit: Any, connect: Any) -> None:
    speaker = await speak(kit.Echo())
    client = connect(speaker.address)
    assert await client.server_ready(timeout=10)
    assert await client.ready("echo")
    speaker.repository.get("echo").fail("broken")
    assert not await client.ready("echo")
    with pytest.raises(UpstreamError, match="Model with name none does not exist") as caught:
        await client.ready("none")
    assert (caught.value.status, caught.value.code) == (404, 5)


async def test_errors_keep_their_status_and_text(speak: Any, kit: Any, connect: Any) -> None:
    from mizzen.serve.errors import InferenceError, InvalidInput

    table = [
        (InvalidInput("50 % \u2191"), 400),
        (InferenceError("too many", 429), 429),
        (NotImplementedError("not that"), 501),
        (InferenceError("away", 503), 503),
        (ValueError("it broke"), 500),
    ]
    speaker = await speak(*[kit.Raising(error, f"m{at}") for at, (error, _) in enumerate(table)])
    client = connect(speaker.address)
    for at, (error, status) in enumerate(table):
        with pytest.raises(UpstreamError) as caught:
            await client.infer(f"m{at}", [Tensor("x", kit.floats)])
        assert (caught.value.status, str(caught.value)) == (status, str(error))


async def test_time_out(speak: Any, kit: Any, connect: Any, waiting: Any) -> None:
    speaker = await speak(waiting)
    with pytest.raises(UpstreamError) as caught:
        await connect(speaker.address).infer("waiting", [Tensor("x", kit.floats)], timeout=0.2)
    assert caught.value.status == 504


async def test_a_caller_that_gives_up_cancels(speak: Any, kit: Any, connect: Any, waiting: Any) -> None:
    speaker = await speak(waiting)
    client = connect(speaker.address)
    first = asyncio.create_task(client.infer("waiting", [Tensor("x", kit.floats)]))
    await asyncio.to_thread(waiting.begun.wait, 10)
    second = asyncio.create_task(client.infer("waiting", [Tensor("x", kit.floats)]))
    served = speaker.repository.get("waiting")
    async with asyncio.timeout(10):
        while served.in_flight < 2:
            await asyncio.sleep(0.01)
    second.cancel()
    async with asyncio.timeout(10):
        while any(not call.settled for group in served.lane._queue for call in group.calls):
            await asyncio.sleep(0.01)
    waiting.go.set()
    outputs, _ = await first
    np.testing.assert_array_equal(outputs[0].array, kit.floats)
    assert waiting.calls == 1


async def test_nobody_there(connect: Any, kit: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(UpstreamError, match=f"http://{address} did not answer") as caught:
            await connect(address).infer("m", [Tensor("x", kit.floats)])
    assert caught.value.status == 503


def _answers() -> list[tuple[str, Callable[[Any], None], int, str]]:
    ok = ((b"grpc-status", b"0"),)
    head = b"content-type: application/grpc\r\n"
    good = schema.ModelInferResponse(model_name="m")
    short = schema.ModelInferResponse(raw_output_contents=[b"", b""])
    short.outputs.add(name="y", datatype="FP32", shape=[1])
    lying = schema.ModelInferResponse(raw_output_contents=[b"\0"])
    lying.outputs.add(name="y", datatype="FP32", shape=[1])

    def answer(body: bytes, trailers: Any = ok, headers: bytes = head, status: int = 200) -> Callable[[Any], None]:
        return lambda exchange: exchange.respond(status, body, headers, trailers)

    return [
        ("json", answer(b"{}", (), b"content-type: application/json\r\n"), 502, "HTTP status 200 and application/json"),
        ("404", answer(b"", (), b"", 404), 502, "HTTP status 404 and no content type"),
        ("503", answer(b"", (), b"", 503), 503, "HTTP status 503"),
        ("no status", answer(b"\0\0\0\0\0", ()), 502, "it has no grpc-status"),
        ("no number", answer(b"", ((b"grpc-status", b"x"),)), 502, "it has no grpc-status"),
        ("no message", answer(b""), 502, "the request has no message"),
        ("cut off", answer(b"\0\0\0\0\5a"), 502, "only 1 bytes came"),
        ("no protobuf", answer(frame(b"\xff")), 502, "this is no inference.ModelInferResponse"),
        ("blocks", answer(frame(short.SerializeToString())), 502, "1 outputs and raw contents of 2"),
        ("block", answer(frame(lying.SerializeToString())), 502, "'y'"),
        ("trailers only", answer(b"", (), head + b"grpc-status: 16\r\ngrpc-message: who%3F\r\n"), 401, "who?"),
        ("unknown", answer(b"", ((b"grpc-status", b"77"),)), 500, "gRPC status 77"),
        ("good", answer(frame(good.SerializeToString())), 0, ""),
    ]


@pytest.mark.parametrize(("what", "handler", "status", "says"), _answers(), ids=lambda value: str(value)[:12])
async def test_answers_that_are_none(
    connect: Any, kit: Any, what: str, handler: Callable[[Any], None], status: int, says: str
) -> None:
    server = Server(handler, http2=True)
    [(_, port)] = await server.listen("127.0.0.1", 0)
    try:
        client = connect(f"127.0.0.1:{port}")
        if not status:
            assert await client.infer("m", [Tensor("x", kit.floats)]) == ([], Extras(None, None))
            return
        with pytest.raises(UpstreamError) as caught:
            await client.infer("m", [Tensor("x", kit.floats)])
        assert caught.value.status == status
        assert says in str(caught.value)
    finally:
        await client.close()
        await server.close(0)


async def test_grpcio_s_server(_grpcio: None, connect: Any, kit: Any) -> None:
    """With typed contents, compression and trailing metadata, as another's server may answer."""
    import grpc

    def infer(request: Any, context: Any) -> Any:
        assert dict(context.invocation_metadata())["x-tag"] == "t"
        context.set_trailing_metadata((("x-served-by", "grpcio"),))
        context.set_compression(grpc.Compression.Gzip)
        answer = schema.ModelInferResponse(model_name=request.model_name, id=request.id)
        answer.parameters["p"].int64_param = 3
        values = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
        answer.outputs.add(name="y", datatype="FP32", shape=[len(values)]).contents.fp32_contents.extend(
            values.tolist()
        )
        return answer

    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(
            infer,
            request_deserializer=schema.ModelInferRequest.FromString,
            response_serializer=schema.ModelInferResponse.SerializeToString,
        )
    }
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(schema.INFERENCE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        client = connect(f"127.0.0.1:{port}")
        array = np.arange(1000, dtype=np.float32)
        outputs, extras = await client.infer("m", [Tensor("x", array)], headers={"x-tag": "t"}, timeout=10)
        np.testing.assert_array_equal(outputs[0].array, array * 2)
        assert extras.parameters == {"p": 3}
        assert extras.headers == {"x-served-by": "grpcio"}
        with pytest.raises(UpstreamError) as caught:
            await client.ready("m")
        assert caught.value.status == 501
    finally:
        await client.close()
        server.stop(0)


async def test_many_at_once(speak: Any, kit: Any, connect: Any) -> None:
    speaker = await speak(kit.Doubled())
    client = connect(speaker.address)

    async def ask(number: int) -> bool:
        array = np.full((1, 3), float(number))
        outputs, _ = await client.infer("doubled", [Tensor("x", array)], timeout=20)
        return bool((outputs[0].array == 2 * number).all())

    assert all(await asyncio.gather(*[ask(number) for number in range(300)]))
