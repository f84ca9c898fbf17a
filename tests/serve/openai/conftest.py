"""A server of generative models in the test's own loop, and OpenAI's client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mizzen.http.client import Client
from mizzen.http.server import Limits
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Servable
from mizzen.serve.repository import Repository
from mizzen.serve.server import ModelServer

PATIENCE = 20.0


@dataclass
class Asked:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"message", "type", "param", "code"}
        found: dict[str, Any] = self.json["error"]
        return found

    @property
    def events(self) -> list[Any]:
        """A stream's events; the last is a text where it is ``[DONE]``."""
        assert self.headers["content-type"].startswith("text/event-stream")
        lines = self.body.decode().split("\n\n")
        assert lines.pop() == ""
        assert all(line.startswith("data: ") for line in lines)
        texts = [line.removeprefix("data: ") for line in lines]
        return [text if text == "[DONE]" else json.loads(text) for text in texts]


class Running:
    """A server, and ways to ask it."""

    def __init__(self, server: ModelServer, port: int, client: Client) -> None:
        self.server = server
        self.port = port
        self.http = client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/openai/v1"

    def client(self, **more: Any) -> Any:
        """OpenAI's own, asynchronous."""
        openai = pytest.importorskip("openai", reason="openai is not installed")
        return openai.AsyncOpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=PATIENCE, **more)

    def blocking(self) -> Any:
        """OpenAI's own, for another thread."""
        openai = pytest.importorskip("openai", reason="openai is not installed")
        return openai.OpenAI(base_url=self.url, api_key="none", max_retries=0, timeout=PATIENCE)

    async def ask(self, path: str, body: Any = None, method: str = "POST", prefix: str = "/openai/v1/") -> Asked:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        async with asyncio.timeout(PATIENCE):
            url = f"http://127.0.0.1:{self.port}{prefix}{path}"
            async with await self.http.request(method, url, body=data) as response:
                text = await response.read()
        return Asked(response.status, {n.decode(): v.decode() for n, v in response.headers}, text)


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def running() -> AsyncIterator[Start]:
    """``server = await running(model, ...)``: models that are loaded here."""
    started = []

    async def start(*models: Servable, scheduling: Scheduling | None = None, limits: Limits | None = None) -> Running:
        repository = Repository(scheduling)
        for model in models:
            repository.load(model)
        server = ModelServer(repository, limits)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        found = Running(server, port, Client(environ={}))
        started.append(found)
        return found

    yield start
    for one in started:
        await one.http.close()
        await one.server.drain(0, 0)


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until it is."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)
