"""Custom models in a server of the test's own loop, and somebody who asks them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from mizzen.http.client import Client
from mizzen.serve.custom.model import Model
from mizzen.serve.custom.servable import CustomServable
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.repository import Repository
from mizzen.serve.served import Served
from mizzen.serve.server import ModelServer


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


class Asker:
    """A client of the server at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = Client(environ={}, max_idle=256)

    async def __call__(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        async with asyncio.timeout(30):
            async with await self.client.request(method, self.url + path, body=data, headers=fields) as response:
                text = await response.read()
        return Answer(response.status, text, {name.decode(): value.decode() for name, value in response.headers})

    async def predict(self, name: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        return await self("POST", f"/v1/models/{name}:predict", body, headers)

    async def explain(self, name: str, body: Any) -> Answer:
        return await self("POST", f"/v1/models/{name}:explain", body)

    async def infer(self, name: str, *inputs: dict[str, Any], headers: Any = None, **more: Any) -> Answer:
        return await self("POST", f"/v2/models/{name}/infer", {"inputs": list(inputs), **more}, headers)


class Serving(Asker):
    """A server of custom models, and its client."""

    def __init__(self, repository: Repository, server: ModelServer, port: int) -> None:
        super().__init__(f"http://127.0.0.1:{port}")
        self.repository = repository
        self.server = server
        self.port = port
        self.stuck: list[str] = []

    @classmethod
    async def of(cls, *models: Model, scheduling: Scheduling | None = None) -> Serving:
        stuck: list[str] = []

        def lost(served: Served, reason: str) -> None:
            stuck.append(f"{served.model.name}: {reason}")

        repository = Repository(scheduling, stuck=lost)
        for model in models:
            await asyncio.to_thread(repository.load, CustomServable.of(model))
        server = ModelServer(repository)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        serving = cls(repository, server, port)
        serving.stuck = stuck
        return serving

    async def end(self) -> None:
        await self.client.close()
        await self.server.drain(0, 0)


def tensor(data: Any, shape: list[int] | None = None, datatype: str = "FP32", name: str = "input-0") -> dict[str, Any]:
    """A V2 input."""
    return {"name": name, "shape": shape or [len(data)], "datatype": datatype, "data": data}
