"""What tests say to an API server, and what it says back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

CORE = "/api/v1"
DEFAULT = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"


class Answer(dict[str, Any]):
    """A JSON answer with its code and headers. ``ok()`` fails with the text of a refusal."""

    code: int
    headers: Any
    text: str

    def ok(self) -> Answer:
        assert self.code < 300, f"{self.code}: {self.text}"
        return self

    @property
    def reason(self) -> str:
        return str(self.get("reason"))

    @property
    def message(self) -> str:
        return str(self.get("message"))

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The causes of a refusal, as (field, reason)."""
        return [(cause["field"], cause["reason"]) for cause in (self.get("details") or {}).get("causes", ())]

    @property
    def names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self["items"]]

    @property
    def version(self) -> str:
        return str(self["metadata"]["resourceVersion"])

    @property
    def warnings(self) -> list[str]:
        return list(self.headers.getall("Warning", []))


class Api:
    """Requests by method, with mappings for bodies."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def request(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json", **headers: str
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes | str) else json.dumps(body)
            sent["Content-Type"] = content
        async with self.session.request(method, path, data=data, headers=sent) as response:
            text = await response.text()
            try:
                found = json.loads(text)
            except json.JSONDecodeError:
                found = {}
            answer = Answer(found if isinstance(found, dict) else {"value": found})
            answer.code, answer.headers, answer.text = response.status, response.headers, text
            return answer

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.request("GET", path, **headers)

    async def create(self, path: str, body: Any, **options: str) -> Answer:
        return await self.request("POST", path, body, **options)

    async def put(self, path: str, body: Any, **options: str) -> Answer:
        return await self.request("PUT", path, body, **options)

    async def patch(self, path: str, body: Any, content: str = MERGE, **options: str) -> Answer:
        return await self.request("PATCH", path, body, content=content, **options)

    async def apply(self, path: str, body: Any, manager: str = "tester", query: str = "") -> Answer:
        separator = "&" if "?" in path else "?"
        return await self.patch(f"{path}{separator}fieldManager={manager}{query}", body, APPLY)

    async def delete(self, path: str, body: Any = None) -> Answer:
        return await self.request("DELETE", path, body)

    @asynccontextmanager
    async def watch(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        separator = "&" if "?" in path else "?"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(f"{path}{separator}watch=true", headers=sent) as response:
            yield Stream(response)


class Stream:
    """A watch that is being read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, seconds: float = 20) -> dict[str, Any]:
        """The next event; fails if none comes."""
        async with asyncio.timeout(seconds):
            line = await self.response.content.readline()
        assert line, "the stream has ended"
        found: dict[str, Any] = json.loads(line)
        return found

    async def take(self, count: int) -> list[tuple[str, str]]:
        """The next events as (type, name)."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    async def rest(self, seconds: float = 20) -> list[dict[str, Any]]:
        """Everything until the stream ends."""
        async with asyncio.timeout(seconds):
            return [json.loads(line) async for line in self.response.content]

    async def is_silent(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for a while. Only for events that must not be there."""
        try:
            async with asyncio.timeout(seconds):
                return not await self.response.content.readline()
        except TimeoutError:
            return True


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": "example.com/app:1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": containers, **spec},
    }


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example.com/app:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }
