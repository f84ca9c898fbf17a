"""gRPC's health checking protocol, by its own client."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mizzen.serve.errors import LoadError
from mizzen.serve.model import TensorModel
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.repository import Repository


class Broken(TensorModel):
    def load(self) -> None:
        raise LoadError("there is no file")


@pytest.fixture
async def speaker(speak: Any, kit: Any) -> Any:
    repository = Repository()
    repository.load(kit.Echo())
    repository.load(kit.Doubled())
    with pytest.raises(LoadError):
        repository.load(Broken("broken"))
    return await speak(repository=repository)


async def test_check(speaker: Any) -> None:
    health = pytest.importorskip("grpc_health.v1", reason="grpcio-health-checking is not installed")
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    assert health is not None

    def story() -> None:
        import grpc

        stub = health_pb2_grpc.HealthStub(speaker.channel)

        def status(service: str) -> Any:
            return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status

        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        assert status("") == status("echo") == status(schema.INFERENCE) == status("grpc.health.v1.Health") == serving
        assert status("broken") == not_serving
        with pytest.raises(grpc.RpcError) as caught:
            status("nobody")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        speaker.repository.draining = True
        assert status("") == status("echo") == not_serving

    await speaker.run(story)


async def test_watch(speaker: Any) -> None:
    watch = speaker.stub("Watch", schema.HEALTH)

    def begin(service: str) -> Any:
        return watch(schema.HealthCheckRequest(service=service), timeout=20)

    def story() -> None:
        import grpc

        kinds = schema.HealthCheckResponse
        whole, echo, nobody = begin(""), begin("echo"), begin("nobody")
        assert next(whole).status == next(echo).status == kinds.SERVING
        assert next(nobody).status == kinds.SERVICE_UNKNOWN
        speaker.repository.get("echo").fail("it broke")
        assert next(echo).status == kinds.NOT_SERVING
        asyncio.run_coroutine_threadsafe(load(), loop).result(10)
        assert next(nobody).status == kinds.SERVING
        speaker.repository.draining = True
        assert next(whole).status == kinds.NOT_SERVING
        loop.call_soon_threadsafe(speaker.service.drain)
        with pytest.raises(grpc.RpcError) as caught:
            next(whole)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def load() -> None:
        class Late(TensorModel):
            def load(self) -> None:
                pass

        speaker.repository.load(Late("nobody"))

    loop = asyncio.get_running_loop()
    await speaker.run(story)


async def test_who_watches_may_leave(speaker: Any) -> None:
    call = speaker.stub("Watch", schema.HEALTH)(schema.HealthCheckRequest(), timeout=20)
    await speaker.run(lambda: next(call))
    call.cancel()
    async with asyncio.timeout(10):
        while speaker.server.tasks:
            await asyncio.sleep(0.01)
