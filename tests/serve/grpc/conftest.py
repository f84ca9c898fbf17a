"""A server that speaks gRPC in the test's own loop, models that do what a test needs, and grpcio to ask them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mizzen.http.exchange import Exchange
from mizzen.http.server import Limits, Server, json_refusal
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Extras, Options, Tensor, TensorMetadata, TensorModel
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.call import MessageLimits
from mizzen.serve.protocols.grpc.service import GrpcService
from mizzen.serve.repository import Repository

PATIENCE = 20
ROOT = Path(__file__).parents[3]


class Echo(TensorModel):
    """Gives back what it gets, and keeps what it was told."""

    def __init__(self, name: str = "echo", version: str | None = None, reads_headers: bool = False) -> None:
        super().__init__(name, version)
        self.platform = "echo"
        self.inputs = [TensorMetadata("x", "FP32", [-1, 4]), TensorMetadata("text", "BYTES", [-1])]
        self.outputs = [TensorMetadata("x", "FP32", [-1, 4])]
        self.reads_headers = reads_headers
        self.got: list[list[Tensor]] = []
        self.told: list[Options] = []

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        self.got.append(inputs)
        self.told.append(options)
        return inputs


class Doubled(TensorModel):
    """Twice each number; rows are independent."""

    def __init__(self, name: str = "doubled") -> None:
        super().__init__(name)
        self.batchable = True
        self.foreign = False

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        return [Tensor("y", inputs[0].array * 2)]


class Raising(TensorModel):
    def __init__(self, error: BaseException, name: str = "raising") -> None:
        super().__init__(name)
        self.error = error

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        raise self.error


class Waiting(TensorModel):
    """Answers once it is let go."""

    def __init__(self, name: str = "waiting") -> None:
        super().__init__(name)
        self.begun = threading.Event()
        self.go = threading.Event()
        self.calls = 0

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return inputs


class Fixed(TensorModel):
    """Gives the same arrays whatever it is asked."""

    def __init__(self, name: str = "fixed", **arrays: Any) -> None:
        super().__init__(name)
        self.arrays = arrays

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        return [Tensor(name, np.asarray(array)) for name, array in self.arrays.items()]


class Speaker:
    """A running server, and grpcio as its client."""

    def __init__(self, service: GrpcService, repository: Repository, server: Server, port: int) -> None:
        import grpc

        self.service = service
        self.repository = repository
        self.server = server
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.channel = grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def stub(self, method: str, service: str = schema.INFERENCE) -> Any:
        """The method as grpcio offers it, blocking: messages in, messages out."""
        described = schema.POOL.FindServiceByName(service).methods_by_name[method]
        sides = described.client_streaming, described.server_streaming
        make = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, True): self.channel.stream_stream,
        }[sides]
        return make(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=schema.message(described.output_type.full_name).FromString,
        )

    async def ask(self, method: str, request: Any, service: str = schema.INFERENCE, **options: Any) -> Any:
        """Call a method of one message and one answer.

        Raises:
            grpc.RpcError
        """
        return await asyncio.to_thread(self.stub(method, service), request, **{"timeout": PATIENCE, **options})

    async def told(self, method: str, request: Any, **options: Any) -> Any:
        """The same, with the call, which knows the metadata at its end."""
        stub = self.stub(method).with_call
        return await asyncio.to_thread(stub, request, **{"timeout": PATIENCE, **options})

    async def refused(self, method: str, request: Any, service: str = schema.INFERENCE, **options: Any) -> Any:
        """The name of the status that the call ends with, and its sentence."""
        import grpc

        with pytest.raises(grpc.RpcError) as caught:
            await self.ask(method, request, service, **options)
        return caught.value.code().name, caught.value.details()

    async def run(self, story: Callable[[], Any]) -> Any:
        """Run something that blocks, beside the server."""
        async with asyncio.timeout(2 * PATIENCE):
            return await asyncio.to_thread(story)


@pytest.fixture
def _grpcio() -> None:
    pytest.importorskip("grpc", reason="grpcio is not installed")


@pytest.fixture
async def speak(_grpcio: None) -> AsyncIterator[Callable[..., Any]]:
    """``speaker = await speak(model, ...)``"""
    running: list[Speaker] = []

    async def start(
        *models: TensorModel,
        limits: Limits | None = None,
        messages: MessageLimits | None = None,
        scheduling: Scheduling | None = None,
        repository: Repository | None = None,
    ) -> Speaker:
        repository = repository or Repository(scheduling)
        for model in models:
            repository.load(model)
        service = GrpcService(repository, messages or MessageLimits())

        def refuse(exchange: Exchange, status: int, text: str) -> None:
            if not service.refuse(exchange, status, text):
                body, headers = json_refusal(status, text)
                exchange.respond(status, body, headers)

        server = Server(service.handle, limits=limits, http2=True, streaming=service.streams, refuse=refuse)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        speaker = Speaker(service, repository, server, port)
        running.append(speaker)
        return speaker

    yield start
    for speaker in running:
        speaker.channel.close()
        speaker.service.drain()
        await speaker.server.close(0)
        speaker.repository.close()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    model = Waiting()
    yield model
    model.go.set()


def raw_request(model: str, *arrays: Any, **fields: Any) -> Any:
    """A request of numeric arrays, raw; they are called x, x1, x2."""
    request = schema.ModelInferRequest(model_name=model, **fields)
    for at, array in enumerate(arrays):
        array = np.asarray(array)
        name = f"x{at or ''}"
        datatype = _DATATYPES[array.dtype.str[1:]]
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


_DATATYPES = {
    "b1": "BOOL",
    "f2": "FP16",
    "f4": "FP32",
    "f8": "FP64",
    **{f"i{size}": f"INT{size * 8}" for size in (1, 2, 4, 8)},
    **{f"u{size}": f"UINT{size * 8}" for size in (1, 2, 4, 8)},
}
FLOATS = np.arange(8, dtype=np.float32).reshape(2, 4)


class Toolbox:
    """What tests need by name; a conftest cannot be imported."""

    Echo = Echo
    Doubled = Doubled
    Raising = Raising
    Waiting = Waiting
    Fixed = Fixed
    Extras = Extras
    raw_request = staticmethod(raw_request)
    floats = FLOATS


@pytest.fixture(scope="session")
def kit() -> type[Toolbox]:
    return Toolbox


@pytest.fixture(scope="session")
def kserve_python() -> str:
    """An interpreter that has the kserve SDK, which pins other versions than ours, so it lives apart."""
    found = os.environ.get("MIZZEN_KSERVE_PYTHON") or str(ROOT / ".venv-kserve/bin/python")
    if not os.access(found, os.X_OK):
        pytest.skip("the kserve SDK is not installed: make kserve-env")
    return found
