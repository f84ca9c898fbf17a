"""gRPC of a server that is a process: its arguments, several workers, and its end."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mizzen.serve.model import Tensor
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.client import GrpcClient, UpstreamError

ROW = np.array([[5.1, 3.5, 1.4, 0.2]])


def command(folder: Path, *more: str) -> list[str]:
    return ["--model_dir", str(folder), "--model_name", "iris", "--http_port", "0", "--host", "127.0.0.1", *more]


async def test_sizes_are_arguments(start: Any, iris: Path) -> None:
    server = start(*command(iris, "--grpc_max_receive_message_length", "1000", "--grpc_max_send_message_length", "200"))
    async with GrpcClient(await server.url(), environ={}) as client:
        [output], _ = await client.infer("iris", [Tensor("input-0", ROW)], timeout=30)
        assert output.array.tolist() == [0]
        with pytest.raises(UpstreamError, match="larger than the 1000 bytes") as caught:
            await client.infer("iris", [Tensor("input-0", np.repeat(ROW, 100, 0))], timeout=30)
        assert caught.value.status == 429
        with pytest.raises(UpstreamError, match="larger than the 200 bytes"):
            await client.infer("iris", [Tensor("input-0", np.repeat(ROW, 25, 0))], timeout=30)


async def test_it_can_be_switched_off(start: Any, iris: Path) -> None:
    server = start(*command(iris, "--enable_grpc", "false"))
    async with GrpcClient(await server.url(), environ={}) as client:
        with pytest.raises(UpstreamError, match="does not answer in gRPC"):
            await client.server_ready(timeout=30)


async def test_each_worker_speaks_it_and_loading_acts_on_all(start: Any, iris: Path) -> None:
    server = start(*command(iris, "--workers", "2"))
    url = await server.url()

    async def answered() -> bool:
        """A new connection each time, so that either worker may have it."""
        async with GrpcClient(url, environ={}) as client:
            try:
                await client.infer("iris", [Tensor("input-0", ROW)], timeout=30)
            except UpstreamError as error:
                assert error.status == 503
                return False
        return True

    assert all([await answered() for _ in range(10)])
    async with GrpcClient(url, environ={}) as client:
        request = schema.RepositoryModelUnloadRequest(model_name="iris")
        await client._call("RepositoryModelUnload", request.SerializeToString(), schema.ModelReadyResponse, None, 30)
    assert not any([await answered() for _ in range(10)])


async def test_a_stream_that_is_open_does_not_hold_up_the_end(start: Any, iris: Path) -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    server = start(*command(iris))
    address = (await server.url()).removeprefix("http://")

    def story() -> Any:
        with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            watch = channel.unary_stream(
                "/grpc.health.v1.Health/Watch",
                request_serializer=schema.HealthCheckRequest.SerializeToString,
                response_deserializer=schema.HealthCheckResponse.FromString,
            )(schema.HealthCheckRequest(service="iris"), timeout=60)
            seen = [next(watch).status]
            server.popen.send_signal(signal.SIGTERM)
            try:
                for answer in watch:
                    seen.append(answer.status)
            except grpc.RpcError as error:
                return seen, error.code().name
            return seen, "OK"

    seen, code = await asyncio.to_thread(story)
    assert seen == [schema.HealthCheckResponse.SERVING, schema.HealthCheckResponse.NOT_SERVING]
    assert code == "UNAVAILABLE"
    async with asyncio.timeout(20):  # the grace period would be 30 s
        assert await server.ended() == 0
